/// h2load over HTTP/1.1. Its `--rps` is for each connection, and sends in bursts of its 10 ms timer.
package struct H2load: Client {
  package let name = "h2load"
  package let program = "h2load"
  package let origin = Origin.debian("nghttp2-client")
  package let remark = "--rps is per connection and leaves in bursts (nghttp2/nghttp2#1584)"

  package init() {}

  package func command(
    _ load: Load, program: String, folder: String
  ) throws(Unable) -> Command {
    var arguments = [
      program, "--h1", "-t", "\(load.threads)", "-c", "\(load.connections)", "-m",
      "\(load.pipeline)",
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
