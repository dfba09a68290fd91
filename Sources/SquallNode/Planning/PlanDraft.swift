internal import Glibc
internal import SquallEngine
internal import SquallHTTP
package import SquallLoad

/// A plan as a user describes it, before it is checked. Durations are nanoseconds.
package struct PlanDraft {
  package static let connectionCountMax: UInt64 = 1_000_000
  package static let pipelineMax: UInt64 = 1_024
  /// A body is kept in memory once per worker and pipeline step.
  package static let bodyByteCountMax = 32 << 20
  static let rateHzMax = 100_000_000.0

  package var url: String
  package var connections: UInt64 = 64
  package var durationNs: UInt64?
  package var requestCount: UInt64?
  /// `R` or `A:B`.
  package var rate: String?
  /// `TIME:RATE` each.
  package var stages: [String] = []
  package var arrival = Schedule.Arrival.uniform
  package var inFlightLimit: UInt64?
  package var method: String?
  /// `Name: value` each.
  package var headers: [String] = []
  /// Text, `@FILE` or `@-`.
  package var body: String?
  package var timeoutNs: UInt64 = 10_000_000_000
  package var connectTimeoutNs: UInt64 = 5_000_000_000
  package var deadlineNs: UInt64?
  package var warmupNs: UInt64 = 0
  package var rampNs: UInt64 = 0
  package var drainNs: UInt64 = 2_000_000_000
  package var pipeline: UInt64 = 1
  package var keepsAlive = true
  package var requestsPerConnection: UInt64?
  package var sourceAddresses: [String] = []
  /// `HOST:PORT:HOST2:PORT2` each.
  package var connectTo: [String] = []
  package var intervalNs: UInt64 = 1_000_000_000
  package var spins = false
  package var seed: UInt64 = 1
  /// `KEY=VALUE` each.
  package var labels: [String] = []

  package init(url: String) { self.url = url }

  /// The plan, or the first thing that is wrong with the draft. Reads the body's file.
  package func plan() throws(Complaint) -> Plan {
    let target = try targetURL()
    let request = try request(for: target)
    var plan = Plan(
      url: url, method: methodName,
      destinations: try destinations(for: target),
      endpoints: [
        Plan.Endpoint(
          name: target.target, request: request.bytes, expectsNoBody: request.expectsNoBody)
      ],
      connections: try connectionCount())
    try setTimes(&plan)
    plan.load = try load(plan)
    plan.pipeline = try pipelineDepth(requestByteCount: request.bytes.count)
    plan.requestsPerConnection = try requestsPerConnectionCount()
    plan.inFlightLimit = inFlightLimit.map { UInt32(clamping: $0) } ?? .max
    plan.spins = spins
    plan.seed = seed
    plan.sourceAddresses = sourceAddresses
    for address in sourceAddresses where Address(address, port: 0) == nil {
      throw .usage(
        "--source-ip '\(address)' is not an IPv4 or IPv6 address: name addresses of this host, "
          + "separated by commas.")
    }
    for label in labels {
      guard let split = label.firstIndex(of: "="), split != label.startIndex else {
        throw .usage("--label '\(label)' has no name: write it as key=value.")
      }
      plan.labels[String(label[..<split])] = String(label[label.index(after: split)...])
    }
    return plan
  }

  private var methodName: String { method ?? (body == nil ? "GET" : "POST") }

  private func targetURL() throws(Complaint) -> TargetURL {
    do throws(TargetURL.Fault) {
      return try TargetURL(url)
    } catch {
      throw .usage("\(error).")
    }
  }

  private func connectionCount() throws(Complaint) -> UInt32 {
    guard connections > 0 else {
      throw .usage("-c 0 opens no connection: give at least one, such as -c 64.")
    }
    guard connections <= Self.connectionCountMax else {
      throw .usage("-c \(connections) is more than the \(Self.connectionCountMax) allowed.")
    }
    return UInt32(connections)
  }

  func setTimes(_ plan: inout Plan) throws(Complaint) {
    if durationNs == 0 {
      throw .usage("-d 0 measures nothing: give a time such as -d 10s, or -n for a number.")
    }
    if requestCount == 0 {
      throw .usage("-n 0 sends nothing: give a number of requests, or -d for a time.")
    }
    if requestCount != nil && warmupNs > 0 {
      throw .usage("-n counts every request and --warmup leaves some out: use -d with --warmup.")
    }
    guard intervalNs >= 10_000_000 else {
      throw .usage("--interval is shorter than 10ms, the shortest that is reported.")
    }
    guard timeoutNs > 0, connectTimeoutNs > 0 else {
      throw .usage("a timeout of 0 lets nothing be answered: give a time such as 5s.")
    }
    for time in [durationNs ?? 0, warmupNs, drainNs, rampNs, timeoutNs, connectTimeoutNs]
    where time > Plan.endlessNs {
      throw .usage("a time of more than 36 years is not one that anybody waits for.")
    }
    plan.durationNs = durationNs ?? (requestCount == nil ? 10_000_000_000 : Plan.endlessNs)
    plan.requestCount = requestCount ?? .max
    plan.timeoutNs = timeoutNs
    plan.connectTimeoutNs = connectTimeoutNs
    plan.deadlineNs = deadlineNs ?? .max
    plan.warmupNs = warmupNs
    plan.rampNs = rampNs
    plan.drainNs = drainNs
    plan.intervalNs = intervalNs
  }

  private func load(_ plan: Plan) throws(Complaint) -> Load {
    guard rate != nil || !stages.isEmpty else {
      if deadlineNs != nil {
        throw .usage("--deadline counts from a schedule: add a rate with -R, or use --timeout.")
      }
      if inFlightLimit != nil {
        throw .usage("--max-in-flight is for an open loop: add a rate with -R, or use -c.")
      }
      return .closed
    }
    var schedule = Schedule(startHz: 0, arrival: arrival, seed: seed)
    let ends = try rate?.split(separator: ":", omittingEmptySubsequences: false).map {
      part throws(Complaint) in try rateHz(String(part), flag: "-R")
    }
    if let ends {
      guard ends.count <= 2 else {
        throw .usage("-R '\(rate ?? "")' has more than two rates: use --stage TIME:RATE for more.")
      }
      schedule.startHz = ends[0]
      if ends.count == 2 {
        guard stages.isEmpty else {
          throw .usage("-R A:B and --stage both shape the rate: give -R one rate, or no --stage.")
        }
        guard durationNs != nil else {
          throw .usage("-R A:B goes from A to B over the run: give its time with -d.")
        }
        schedule.stages = [Schedule.Stage(durationNs: plan.durationNs, endHz: ends[1])]
      }
    }
    for stage in stages {
      let parts = stage.split(separator: ":", maxSplits: 1).map(String.init)
      guard parts.count == 2 else {
        throw .usage("--stage '\(stage)' is not TIME:RATE, such as --stage 30s:5k.")
      }
      do throws(Misspelt) {
        schedule.stages.append(
          Schedule.Stage(
            durationNs: try Quantity.durationNs(parts[0]),
            endHz: try Quantity.number(parts[1])))
      } catch {
        throw .usage("--stage \(error).")
      }
    }
    guard schedule.startHz > 0 || schedule.stages.contains(where: { $0.endHz > 0 }) else {
      throw .usage("-R 0 never sends a request: give a rate above 0.")
    }
    return .open(schedule.holdingStart(forNs: plan.warmupNs))
  }

  private func rateHz(_ text: String, flag: String) throws(Complaint) -> Double {
    do throws(Misspelt) {
      // A per-second suffix is what people write; others would be guessed at.
      let bare = text.hasSuffix("/s") ? String(text.dropLast(2)) : text
      let hz = try Quantity.number(bare)
      guard hz <= Self.rateHzMax else {
        throw Misspelt(text, column: 1, "more than the \(Int(Self.rateHzMax)) per second allowed")
      }
      return hz
    } catch {
      throw .usage("\(flag) \(error).")
    }
  }

  private func pipelineDepth(requestByteCount: Int) throws(Complaint) -> UInt32 {
    guard (1...Self.pipelineMax).contains(pipeline) else {
      throw .usage("--pipeline \(pipeline) is outside of 1 to \(Self.pipelineMax).")
    }
    return UInt32(pipeline)
  }

  func requestsPerConnectionCount() throws(Complaint) -> UInt32 {
    if let requestsPerConnection {
      guard keepsAlive else {
        throw .usage("--no-keepalive and --requests-per-connection contradict each other.")
      }
      guard requestsPerConnection > 0 else {
        throw .usage("--requests-per-connection 0 sends nothing: leave it out for no limit.")
      }
      return UInt32(clamping: requestsPerConnection)
    }
    return keepsAlive ? 0 : 1
  }

  private func request(for target: TargetURL) throws(Complaint) -> RequestTemplate {
    var fields: [(name: String, value: String)] = []
    for header in headers {
      guard let colon = header.firstIndex(of: ":") else {
        throw .usage("-H '\(header)' has no colon: write it as 'Name: value'.")
      }
      let value = header[header.index(after: colon)...]
      fields.append((String(header[..<colon]), String(value.drop { $0 == " " || $0 == "\t" })))
    }
    let body = try bodyBytes()
    do throws(RequestError) {
      return try RequestTemplate(
        method: methodName, target: target.target,
        host: target.hostField, headers: fields, body: body, closes: !keepsAlive,
        userAgent: "squall/\(Build.version)")
    } catch {
      throw .usage("\(error).")
    }
  }

  private func bodyBytes() throws(Complaint) -> [UInt8] {
    guard let body else { return [] }
    guard body.hasPrefix("@") else { return Array(body.utf8) }
    let path = String(body.dropFirst())
    let bytes = path == "-" ? readAll(STDIN_FILENO) : readBytes(path)
    guard let bytes else {
      throw .usage(
        "-b \(body): \(SystemError.explain(errno)); name a readable file, or @- for standard input."
      )
    }
    guard bytes.count <= Self.bodyByteCountMax else {
      throw .usage("-b \(body) is larger than the \(Self.bodyByteCountMax >> 20) MiB allowed.")
    }
    return bytes
  }

  private func destinations(for target: TargetURL) throws(Complaint) -> [Plan.Destination] {
    let original = Plan.Destination(host: target.host, port: target.port)
    var replacements: [Plan.Destination] = []
    for rule in connectTo {
      let parts = Self.split(rule)
      guard parts.count == 4, let port = UInt16(parts[3]), port > 0 else {
        throw .usage(
          "--connect-to '\(rule)' is not HOST:PORT:HOST2:PORT2; leave HOST or PORT empty for any, "
            + "and put IPv6 addresses in brackets.")
      }
      let matches =
        (parts[0].isEmpty || parts[0] == target.host)
        && (parts[1].isEmpty || parts[1] == "\(target.port)")
      if matches {
        replacements.append(
          Plan.Destination(host: parts[2].isEmpty ? target.host : parts[2], port: port))
      }
    }
    if !connectTo.isEmpty && replacements.isEmpty {
      throw .usage("no --connect-to speaks of \(target.host):\(target.port), the URL's.")
    }
    return replacements.isEmpty ? [original] : replacements
  }

  /// Splits at colons outside of brackets, and takes the brackets off.
  private static func split(_ rule: String) -> [String] {
    var parts = [""]
    var isBracketed = false
    for character in rule {
      switch character {
      case "[": isBracketed = true
      case "]": isBracketed = false
      case ":" where !isBracketed: parts.append("")
      default: parts[parts.count - 1].append(character)
      }
    }
    return parts
  }
}
