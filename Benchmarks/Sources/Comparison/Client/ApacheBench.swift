/// ab, Apache's. HTTP/1.0 with keep-alive, one thread; it holds 32 bytes a planned request.
package struct ApacheBench: Client {
  package let name = "ab"
  package let program = "ab"
  package let origin = Origin.debian("apache2-utils")
  package let remark = "HTTP/1.0 with keep-alive; a 404 is no failure to it; times in whole ms"
  package let versionArguments = ["-V"]

  package init() {}

  package func command(
    _ load: Load, program: String, folder: String
  ) throws(Unable) -> Command {
    guard load.threads == 1 else { throw Unable("runs on one thread") }
    guard load.rateHz == nil else { throw Unable("keeps no rate") }
    guard load.pipeline == 1 else { throw Unable("does not pipeline") }
    guard load.connections <= 20_000 else { throw Unable("opens at most 20,000 connections") }
    var arguments = [program, "-k", "-q", "-c", "\(load.connections)"]
    if let count = load.requestCount {
      arguments += ["-n", "\(count)"]
    } else {
      // -t alone means 50,000 requests; -n after it lifts that.
      arguments += ["-t", "\(load.seconds)", "-n", "\(1_000_000 * load.seconds)"]
    }
    return Command(arguments + [load.url])
  }

  package func claim(_ output: Output, load: Load) throws(Unable) -> Claim {
    let scan = Scan(output.standardOutput)
    guard let complete = scan.count(#"Complete requests:\s+(\d+)"#) else {
      throw Unable("printed no result: \(output.standardError.suffix(200).trimmed)")
    }
    let failed = scan.count(#"Failed requests:\s+(\d+)"#) ?? 0
    let notOk = scan.count(#"Non-2xx responses:\s+(\d+)"#) ?? 0
    var claim = Claim(ok: complete - min(complete, failed + notOk))
    claim.failed = failed + notOk
    claim.seconds = scan.number(#"Time taken for tests:\s+([0-9.]+) seconds"#)
    claim.meanNs = scan.number(#"Time per request:\s+([0-9.]+) \[ms\] \(mean\)"#).map { $0 * 1e6 }
    claim.p50Ns = scan.number(#"\n\s+50%\s+(\d+)"#).map { $0 * 1e6 }
    claim.p75Ns = scan.number(#"\n\s+75%\s+(\d+)"#).map { $0 * 1e6 }
    claim.p99Ns = scan.number(#"\n\s+99%\s+(\d+)"#).map { $0 * 1e6 }
    return claim
  }
}
