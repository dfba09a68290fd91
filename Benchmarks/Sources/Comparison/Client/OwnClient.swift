/// The clients of this package, which share a command line and a line of JSON: `floor`, `epoll`,
/// `nio-client`, `async-http-client`.
package struct OwnClient: Client {
  package let name: String
  package let program: String
  package let remark: String
  package let pipelines: Bool
  package let paces: Bool
  package let wires: Set<Wire>

  package var origin: Origin {
    .ours("swift build -c release --package-path Benchmarks --product \(program)")
  }
  package var versionArguments: [String] { [] }

  package static let all: [OwnClient] = [
    OwnClient(
      name: "floor", program: "floor",
      remark: "bare C io_uring loop: no parsing, no counting; a lower bound, not a tool",
      pipelines: true, paces: true, wires: [.http1]),
    OwnClient(
      name: "TLS floor", program: "tls-floor",
      remark: "bare C loop that seals and opens records of TLS 1.3 and counts bytes; a lower bound",
      pipelines: false, paces: false, wires: [.https]),
    OwnClient(
      name: "h2c floor", program: "h2c-floor",
      remark: "bare C loop that writes the same HEADERS again and counts ends of streams; a lower "
        + "bound", pipelines: false, paces: false, wires: [.h2c]),
    OwnClient(
      name: "epoll", program: "epoll", remark: "the floor's twin on epoll; a lower bound too",
      pipelines: true, paces: true, wires: [.http1]),
    OwnClient(
      name: "SwiftNIO", program: "nio-client",
      remark: "NIOHTTP1 on one event loop, written for this comparison", pipelines: false,
      paces: false, wires: [.http1]),
    OwnClient(
      name: "AsyncHTTPClient", program: "async-http-client",
      remark: "one task a connection; the pool may open fewer connections than tasks",
      pipelines: false, paces: false, wires: [.http1]),
  ]

  package func command(
    _ load: Load, program: String, folder: String
  ) throws(Unable) -> Command {
    guard load.threads == 1 else { throw Unable("runs on one thread") }
    guard load.pipeline == 1 || pipelines else { throw Unable("does not pipeline") }
    guard load.rateHz == nil || paces else { throw Unable("keeps no rate") }
    guard load.connecting == .kept else { throw Unable("keeps its connections") }
    var arguments = [
      program, load.host, "\(load.port)", load.path, "-c", "\(load.connections)", "-d",
      "\(load.requestCount == nil ? load.seconds : 60)",
    ]
    if let count = load.requestCount { arguments += ["-n", "\(count)"] }
    if let rate = load.rateHz { arguments += ["-R", "\(rate)"] }
    if load.pipeline > 1 { arguments += ["-p", "\(load.pipeline)"] }
    if load.streams > 1 { arguments += ["-p", "\(load.streams)"] }
    if load.spins {
      guard load.rateHz != nil else { throw Unable("spins only to keep a rate") }
      arguments += ["--spin", "\(Self.spinMarginUs(rateHz: load.rateHz ?? 1))"]
    }
    return Command(arguments)
  }

  /// How long before a send polling must begin to hide the wake-up, which is deeper the rarer the
  /// sends: 40 us at 10 k/s, 100 us at 1 k/s on the machine this was measured on.
  package static func spinMarginUs(rateHz: Int) -> Int {
    rateHz >= 5_000 ? 40 : 100
  }

  package func claim(_ output: Output, load: Load) throws(Unable) -> Claim {
    guard let json = JSONDocument(output.standardOutput), let ok = json.count("requests") else {
      throw Unable("printed no result: \(output.standardError.prefix(200))")
    }
    var claim = Claim(ok: ok)
    claim.sent = json.count("sent")
    claim.failed = json.count("failed") ?? 0
    claim.seconds = json.number("seconds")
    claim.meanNs = json.number("mean_latency_ns")
    claim.probes = json.count("probes") ?? 0
    claim.inFlight = (claim.sent ?? ok) - ok - claim.failed
    return claim
  }
}
