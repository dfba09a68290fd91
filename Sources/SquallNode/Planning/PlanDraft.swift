internal import Glibc
internal import SquallEngine
internal import SquallHTTP
package import SquallLoad
internal import SquallReport

/// A plan as a user describes it, before it is checked. Durations are nanoseconds.
package struct PlanDraft {
  package static let connectionCountMax: UInt64 = 1_000_000
  package static let pipelineMax: UInt64 = 1_024
  /// A body is kept in memory once per worker and pipeline step.
  package static let bodyByteCountMax = 32 << 20
  static let rateHzMax = 100_000_000.0

  package var url: String
  package var connections = UInt64(Plan.Connections.usual.count)
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
  /// Whether `@FILE` is one, or a text that begins so.
  package var readsFiles = true
  package var timeoutNs = Plan.Times.usual.timeoutNs
  package var connectTimeoutNs = Plan.Times.usual.connectTimeoutNs
  package var deadlineNs: UInt64?
  package var warmupNs = Plan.Times.usual.warmupNs
  package var rampNs = Plan.Connections.usual.rampNs
  package var drainNs = Plan.Times.usual.drainNs
  package var pipeline = UInt64(Plan.Connections.usual.pipeline)
  package var version = HTTPVersionDraft.http1
  /// Of a connection of HTTP/2; nil for what suits the load.
  package var streams: UInt64?
  package var tls = TLSDraft()
  package var keepsAlive = true
  package var requestsPerConnection: UInt64?
  package var sourceAddresses: [String] = []
  /// `HOST:PORT:HOST2:PORT2` each.
  package var connectTo: [String] = []
  /// Path of a socket that takes the place of the URL's host and port.
  package var unixSocket: String?
  package var intervalNs = Plan.Times.usual.intervalNs
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
      to: Plan.Origin(url: url, destinations: try destinations(for: target)),
      sending: Plan.Content(
        method: methodName,
        endpoints: [
          Plan.Endpoint(
            name: target.target, request: request.bytes, expectsNoBody: request.expectsNoBody)
        ]),
      over: Plan.Connections(try connectionCount()))
    try setTimes(&plan)
    plan.load = try load(plan)
    if case .open(let schedule) = plan.load { setDuration(&plan, by: schedule) }
    try setWire(&plan, for: target)
    plan.connections.pipeline = try pipelineDepth()
    plan.connections.requestsEach = try requestsPerConnectionCount()
    plan.connections.inFlightLimit = inFlightLimit.map { UInt32(clamping: $0) } ?? .max
    plan.spins = spins
    plan.seed = seed
    plan.origin.sourceAddresses = sourceAddresses
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
    where time > Plan.Times.endlessNs {
      throw .usage("a time of more than 36 years is not one that anybody waits for.")
    }
    plan.times.durationNs =
      durationNs ?? (requestCount == nil ? Plan.Times.usual.durationNs : Plan.Times.endlessNs)
    plan.requestCount = requestCount ?? .max
    plan.times.timeoutNs = timeoutNs
    plan.times.connectTimeoutNs = connectTimeoutNs
    plan.times.deadlineNs = deadlineNs ?? .max
    plan.times.warmupNs = warmupNs
    plan.connections.rampNs = rampNs
    plan.times.drainNs = drainNs
    plan.times.intervalNs = intervalNs
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
    if let rate, rate.hasPrefix(":") || rate.hasSuffix(":") {
      throw .usage("-R '\(rate)' lacks a rate beside its colon: write it as -R 1k:5k, or -R 1k.")
    }
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
        schedule.stages = [Schedule.Stage(durationNs: plan.times.durationNs, endHz: ends[1])]
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
    return .open(schedule.holdingStart(forNs: plan.times.warmupNs))
  }

  /// Without a word of how long, a run lasts as long as its stages.
  private func setDuration(_ plan: inout Plan, by schedule: Schedule) {
    guard !stages.isEmpty, durationNs == nil, requestCount == nil else { return }
    plan.times.durationNs = stagesNs(schedule)
  }

  /// Of the stages that were asked for.
  private func stagesNs(_ schedule: Schedule) -> UInt64 {
    schedule.stages.suffix(stages.count).reduce(0) { sum, stage in
      min(sum.addingSaturated(stage.durationNs), Plan.Times.endlessNs)
    }
  }

  /// What a user should know of a plan that is as asked for, and perhaps not as meant.
  package func remark(on plan: Plan) -> String? {
    guard !stages.isEmpty, let durationNs, case .open(let schedule) = plan.load else { return nil }
    let stagesNs = stagesNs(schedule)
    guard stagesNs != durationNs else { return nil }
    let (given, sum) = (Figures.plainDuration(durationNs), Figures.plainDuration(stagesNs))
    return durationNs < stagesNs
      ? "-d \(given) ends the run before its stages, which take \(sum)"
      : "-d \(given) is longer than the stages, which take \(sum): the last rate is held"
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

  private func pipelineDepth() throws(Complaint) -> UInt32 {
    guard (1...Self.pipelineMax).contains(pipeline) else {
      throw .usage("--pipeline \(pipeline) is outside of 1 to \(Self.pipelineMax).")
    }
    return UInt32(pipeline)
  }

  func requestsPerConnectionCount() throws(Complaint) -> UInt32 {
    guard keepsAlive || pipeline == 1 else {
      throw .usage(
        "--no-keepalive sends one request on a connection and --pipeline several: give one of them."
      )
    }
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
        host: target.hostField, headers: fields, body: body,
        closes: !keepsAlive && version == .http1,
        userAgent: "squall/\(Build.version)")
    } catch {
      throw .usage("\(error).")
    }
  }

  private func bodyBytes() throws(Complaint) -> [UInt8] {
    guard let body else { return [] }
    guard readsFiles, body.hasPrefix("@") else { return Array(body.utf8) }
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

  func destinations(for target: TargetURL) throws(Complaint) -> [Plan.Destination] {
    if let unixSocket { return [try socket(at: unixSocket)] }
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

  private func socket(at path: String) throws(Complaint) -> Plan.Destination {
    guard connectTo.isEmpty, sourceAddresses.isEmpty else {
      throw .usage(
        "--unix-socket connects to no address: leave out "
          + (connectTo.isEmpty ? "--source-ip." : "--connect-to."))
    }
    let whole = path.hasPrefix("/") ? path : Host.folder + "/" + path
    guard !path.isEmpty, Address(whole, port: 0) != nil else {
      throw .usage(
        "--unix-socket '\(path)' is no path that a socket may have: give one of 1 to 107 bytes, "
          + "counted from the root (unix(7)).")
    }
    return Plan.Destination(host: whole, port: 0)
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
