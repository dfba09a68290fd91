/// h2load, over HTTP/1.1 unless HTTP/2 is asked for. It verifies no certificate. Its `--rps` is for each connection, and sends in bursts of its 10 ms timer.
package struct H2load: Client {
  package let name = "h2load"
  package let program = "h2load"
  package let origin = Origin.debian("nghttp2-client")
  package let remark =
    "--rps is per connection and leaves in bursts (nghttp2/nghttp2#1584); verifies no certificate, "
    + "and resumes where it connects again"
  package let wires = Set(Wire.allCases)

  package init() {}

  package func command(
    _ load: Load, program: String, folder: String
  ) throws(Unable) -> Command {
    var connections = load.connections
    switch load.connecting {
    case .kept: break
    case .full:
      // A connection of its own for each request from the start: those it makes later resume.
      guard let count = load.requestCount else { throw Unable("resumes where it connects again") }
      connections = count
    case .resumed: throw Unable("does not end after a time where connections end with answers")
    }
    var arguments = [program]
    if !load.wire.isHTTP2 { arguments.append("--h1") }
    arguments += [
      "-t", "\(load.threads)", "-c", "\(connections)", "-m",
      "\(load.wire.isHTTP2 ? load.streams : load.pipeline)",
    ]
    if let count = load.requestCount {
      arguments += ["-n", "\(count)"]
    } else {
      arguments += ["-D", "\(load.seconds)"]
    }
    if let rate = load.rateHz {
      arguments += ["--rps", "\(Double(rate) / Double(load.connections))"]
    }
    return Command(arguments + [load.url])
  }

  package func claim(_ output: Output, load: Load) throws(Unable) -> Claim {
    let scan = Scan(output.standardOutput)
    guard
      let counts = scan.groups(
        #"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed"#),
      let started = UInt64(counts[1]), let ok = UInt64(counts[3]), let failed = UInt64(counts[4])
    else { throw Unable("printed no result: \(output.standardError.prefix(200))") }
    var claim = Claim(ok: ok)
    claim.sent = started
    claim.failed = failed
    claim.inFlight = started > ok + failed ? started - ok - failed : 0
    claim.seconds = scan.groups(#"finished in ([0-9.]+[a-z]+)"#)
      .flatMap { $0.first }.flatMap { Scan.ns($0) }.map { $0 / 1e9 }
    claim.meanNs = scan.groups(#"time for request:\s+\S+\s+\S+\s+(\S+)"#)
      .flatMap { $0.first }.flatMap { Scan.ns($0) }
    return claim
  }
}
