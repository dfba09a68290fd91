import ArgumentParser
import SquallLoad
import SquallNode

/// What to send and how much: the flags that `run`, `master` and `find` share.
struct LoadOptions: ParsableArguments {
  @Argument(
    help: ArgumentHelp(
      "Where to send requests: http[s]://host[:port]/path.",
      discussion: "Without it, the built-in target is started on this host and driven."))
  var url: String?

  @Option(
    name: .short("c"),
    help: "Connections in all, dealt out over the workers (default: 64).", transform: Read.count)
  var connections = UInt64(Plan.Connections.usual.count)

  @Option(
    name: .short("d", "z"),
    help: "Measured time, warm-up not included: 10s, 1m30s, 250ms (default: 10s).",
    transform: Read.measuredTime)
  var duration: UInt64?

  @Option(
    name: .short("n"), help: "Stop after this many requests in all.",
    transform: Read.count)
  var requests: UInt64?

  @Option(
    name: .short("R"),
    help: ArgumentHelp(
      "Open loop: requests per second in all, on a schedule that does not wait for responses.",
      discussion: "A:B goes from A to B over the run.", valueName: "rate|from:to"))
  var rate: String?

  @Option(
    help: ArgumentHelp(
      "Open loop in stages: go to RATE within TIME. Repeatable; starts from -R or 0. Without -d the "
        + "run lasts as long as its stages.",
      valueName: "time:rate"))
  var stage: [String] = []

  @Option(help: "Spacing of an open loop: uniform or poisson.")
  var arrival: ArrivalName = .uniform

  @Option(
    help: "Open loop: requests in flight at most; what is due beyond it is dropped and counted.",
    transform: Read.count)
  var maxInFlight: UInt64?

  @Option(name: [.customShort("m"), .customShort("X"), .long], help: "Request method.")
  var method: String?

  @Option(
    name: [.customShort("H"), .long],
    help: ArgumentHelp("Header to send; repeatable.", valueName: "name: value"))
  var header: [String] = []

  @Option(
    name: [.customShort("b"), .long, .customLong("data")],
    help: ArgumentHelp(
      "Request body: text, @FILE, or @- for standard input.", valueName: "text|@file|@-"))
  var body: String?

  @Option(help: "From the send to the complete response (default: 10s).", transform: Read.time)
  var timeout = Plan.Times.usual.timeoutNs

  @Option(help: "For opening a connection (default: 5s).", transform: Read.time)
  var connectTimeout = Plan.Times.usual.connectTimeoutNs

  @Option(
    help:
      "From the scheduled instant to the complete response; late requests are shed and counted.",
    transform: Read.time)
  var deadline: UInt64?

  @Option(help: "Real load before the measured time, not counted.", transform: Read.time)
  var warmup = Plan.Times.usual.warmupNs

  @Option(help: "Open the connections spread over this time.", transform: Read.time)
  var ramp = Plan.Connections.usual.rampNs

  @Option(
    help: "How long to await what is in flight at the end; the rest is reported (default: 2s).",
    transform: Read.time)
  var drain = Plan.Times.usual.drainNs

  @Option(
    help: "Requests in flight on one connection (HTTP/1.1 pipelining; default: 1).",
    transform: Read.count)
  var pipeline = UInt64(Plan.Connections.usual.pipeline)

  @Flag(
    name: [.customLong("no-keepalive"), .customLong("disable-keepalive")],
    help: "One request per connection.")
  var noKeepalive = false

  @Option(help: "Replace a connection after this many requests.", transform: Read.count)
  var requestsPerConnection: UInt64?

  @Option(
    help: ArgumentHelp(
      "Local addresses to connect from, in turn; for more than about 28,000 connections to one "
        + "address.", valueName: "address,..."))
  var sourceIP: String?

  @Option(
    help: ArgumentHelp(
      "Connect to HOST2:PORT2 for HOST:PORT; repeatable, each is used in turn.",
      valueName: "host:port:host2:port2"))
  var connectTo: [String] = []

  @Option(
    help: ArgumentHelp(
      "Connect to this Unix socket instead of the URL's host and port, as curl does.",
      valueName: "path"))
  var unixSocket: String?

  @Option(help: "Length of an interval of the time series (default: 1s).", transform: Read.time)
  var interval = Plan.Times.usual.intervalNs

  @Flag(
    help: "Spin for the last microseconds before a scheduled instant: exact pacing for a busy CPU.")
  var spin = false

  @Option(help: "Seed of everything random about the load (default: 1).", transform: Read.number)
  var seed: UInt64 = 1

  @Option(
    help: ArgumentHelp("Word to keep with the result; repeatable.", valueName: "key=value"))
  var label: [String] = []

  @OptionGroup(title: "TLS and HTTP/2") var wire: WireOptions
}

enum ArrivalName: String, ExpressibleByArgument, CaseIterable {
  case uniform, poisson
}
extension LoadOptions {
  /// The target for a load without a URL. `vs` is the line of flags of another load on it.
  func target(cpus: [UInt16], ring: RingChoice, vs: String? = nil) throws -> BuiltInTarget? {
    guard url == nil else { return nil }
    let words = vs.map { Read.words($0) } ?? []
    return try BuiltInTarget(
      cpus: cpus, ring: ring, isSecure: wire.tls || words.contains("--tls"))
  }

  /// The plan these flags describe. Without a URL, that of the target started for it.
  func plan(_ target: BuiltInTarget? = nil) throws -> Plan {
    var draft = try draft(url: url ?? target?.url(isSecure: wire.tls) ?? "")
    if url == nil { draft.tls.builtInAuthority = target?.authority ?? [] }
    let plan = try draft.plan()
    if let remark = draft.remark(on: plan) { Console.say("note: \(remark)") }
    return plan
  }

  /// The plan that `text`, a line of flags, describes.
  func other(_ text: String, _ target: BuiltInTarget?) throws -> Plan {
    do {
      var options = try LoadOptions.parse(Read.words(text))
      options.url = options.url ?? url
      return try options.plan(target)
    } catch let complaint as Complaint {
      throw complaint
    } catch {
      throw Complaint.usage("--vs '\(text)': \(LoadOptions.message(for: error))")
    }
  }

  func draft(url: String) throws -> PlanDraft {
    var draft = PlanDraft(url: url)
    try wire.fill(&draft)
    draft.connections = connections
    draft.durationNs = duration
    draft.requestCount = requests
    draft.rate = rate
    draft.stages = stage
    draft.arrival = arrival == .poisson ? .poisson : .uniform
    draft.inFlightLimit = maxInFlight
    draft.method = method
    draft.headers = header
    draft.body = body
    draft.timeoutNs = timeout
    draft.connectTimeoutNs = connectTimeout
    draft.deadlineNs = deadline
    draft.warmupNs = warmup
    draft.rampNs = ramp
    draft.drainNs = drain
    draft.pipeline = pipeline
    draft.keepsAlive = !noKeepalive
    draft.requestsPerConnection = requestsPerConnection
    draft.sourceAddresses = sourceIP?.split(separator: ",").map(String.init) ?? []
    draft.connectTo = connectTo
    draft.unixSocket = unixSocket
    draft.intervalNs = interval
    draft.spins = spin
    draft.seed = seed
    draft.labels = label
    return draft
  }
}
