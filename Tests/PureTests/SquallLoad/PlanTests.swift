import SquallLoad
import Testing

/// A plan's bytes are the whole plan.
@Suite struct PlanTests {
  private static var full: Plan {
    var plan = Plan(
      to: .init(url: "https://h/", destinations: [.init(host: "h", port: 443)]),
      sending: .init(
        method: "PUT", endpoints: [.init(name: "/", request: [1, 2], expectsNoBody: true)],
        program: [3]),
      load: .open(
        Schedule(
          startHz: 1, stages: [.init(durationNs: 2, endHz: 3)], arrival: .poisson, seed: 4)),
      over: .init(5))
    plan.origin.sourceAddresses = ["127.0.0.1"]
    plan.origin.tls = TLSPlan(serverName: "h")
    plan.labels = ["a": "b", "c": "d"]
    return plan
  }

  private static let changes: [@Sendable (inout Plan) -> Void] = [
    { $0.origin.url += "x" }, { $0.origin.destinations[0].host += "x" },
    { $0.origin.destinations[0].port += 1 }, { $0.origin.sourceAddresses.append("::1") },
    { $0.origin.tls = nil }, { $0.origin.tls?.serverName += "x" },
    { $0.origin.tls?.verifies.toggle() }, { $0.origin.tls?.resumes.toggle() },
    { $0.origin.tls?.versionMin += 1 }, { $0.origin.tls?.versionMax += 1 },
    { $0.origin.tls?.ciphers += "x" }, { $0.origin.tls?.groups += "x" },
    { $0.origin.tls?.protocols.append("h2") }, { $0.origin.tls?.authorities.append(1) },
    { $0.origin.tls?.certificate.append(1) }, { $0.origin.tls?.key.append(1) },
    { $0.content.method += "x" }, { $0.content.endpoints[0].name += "x" },
    { $0.content.endpoints[0].request.append(1) },
    { $0.content.endpoints[0].expectsNoBody.toggle() }, { $0.content.program.append(1) },
    { $0.load = .closed }, { $0.load = .open(Schedule(startHz: 1)) },
    { $0.requestCount -= 1 }, { $0.connections.count += 1 }, { $0.connections.rampNs += 1 },
    { $0.connections.pipeline += 1 }, { $0.connections.streams += 1 },
    { $0.connections.requestsEach += 1 }, { $0.connections.inFlightLimit -= 1 },
    { $0.times.durationNs += 1 }, { $0.times.warmupNs += 1 }, { $0.times.drainNs += 1 },
    { $0.times.intervalNs += 1 }, { $0.times.timeoutNs += 1 }, { $0.times.connectTimeoutNs += 1 },
    { $0.times.deadlineNs -= 1 }, { $0.spins.toggle() }, { $0.seed += 1 },
    { $0.labels["a"] = "c" }, { $0.labels["e"] = "f" },
  ]

  @Test func eachFieldTravels() {
    for (index, change) in Self.changes.enumerated() {
      var plan = Self.full
      change(&plan)
      #expect(plan.bytes != Self.full.bytes, "change \(index)")
      #expect(Plan(bytes: plan.bytes) == plan, "change \(index)")
    }
  }

  @Test func nothingButAWholePlanIsRead() {
    let bytes = Self.full.bytes
    for count in bytes.indices { #expect(Plan(bytes: Array(bytes[..<count])) == nil) }
    #expect(Plan(bytes: bytes + [0]) == nil)
    #expect(Plan(bytes: [bytes[0] &+ 1] + bytes.dropFirst()) == nil)
  }
}
