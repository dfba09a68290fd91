/// gcannon, a closed-loop io_uring client in C (https://github.com/MDA2AV/gcannon).
package struct Gcannon: Client {
  package let name = "gcannon"
  package let program = "gcannon"
  package let origin = Origin.source("https://github.com/MDA2AV/gcannon")
  package let remark = "drops its first 100 ms from its counts; a parse error hangs a connection"
  package let versionArguments: [String] = []

  package init() {}

  package func command(
    _ load: Load, program: String, folder: String
  ) throws(Unable) -> Command {
    guard load.rateHz == nil else { throw Unable("keeps no rate") }
    guard load.requestCount == nil else { throw Unable("does not stop after a count") }
    var arguments = [
      program, load.url, "-c", "\(load.connections)", "-t", "\(load.threads)", "-d",
      "\(load.seconds)", "--json",
    ]
    if load.pipeline > 1 { arguments += ["-p", "\(load.pipeline)"] }
    return Command(arguments, environment: ["HOME": folder])
  }

  package func claim(_ output: Output, load: Load) throws(Unable) -> Claim {
    guard let json = JSONDocument(output.standardOutput),
      let ok = json.count("status", "2xx")
    else { throw Unable("printed no result: \(output.standardError.prefix(200))") }
    var claim = Claim(ok: ok)
    claim.sent = json.count("requests")
    claim.failed = ["connect", "read", "timeout"].reduce(0) { sum, cause in
      sum + (json.count("errors", cause) ?? 0)
    }
    claim.seconds = json.number("elapsed_sec")
    claim.meanNs = json.number("latency_us", "avg").map { $0 * 1e3 }
    claim.p50Ns = json.number("latency_us", "p50").map { $0 * 1e3 }
    claim.p99Ns = json.number("latency_us", "p99").map { $0 * 1e3 }
    return claim
  }
}
