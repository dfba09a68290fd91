/// zrk, a constant-rate io_uring client in Zig (https://github.com/zoxy-io/zrk).
package struct Zrk: Client {
  package let name = "zrk"
  package let program = "zrk"
  package let origin = Origin.source("https://github.com/zoxy-io/zrk")
  package let remark = "one histogram of 280 KiB a connection"

  package init() {}

  package func command(
    _ load: Load, program: String, folder: String
  ) throws(Unable) -> Command {
    guard let rate = load.rateHz else { throw Unable("has no closed loop") }
    guard load.requestCount == nil else { throw Unable("does not stop after a count") }
    guard load.pipeline == 1 else { throw Unable("does not pipeline") }
    return Command([
      program, "-t", "\(load.threads)", "-c", "\(load.connections)", "-d", "\(load.seconds)s",
      "-R", "\(rate)", "--format", "json", load.url,
    ])
  }

  package func claim(_ output: Output, load: Load) throws(Unable) -> Claim {
    guard let json = JSONDocument(output.standardOutput),
      let ok = json.count("status_codes", "2xx")
    else { throw Unable("printed no result: \(output.standardError.prefix(200))") }
    var claim = Claim(ok: ok)
    claim.failed = ["connect", "read", "write", "timeout", "deadline", "non_2xx_3xx"]
      .reduce(0) { sum, cause in sum + (json.count("errors", cause) ?? 0) }
    claim.seconds = json.number("duration_s")
    claim.meanNs = json.number("latency_us", "mean").map { $0 * 1e3 }
    claim.p50Ns = json.number("latency_us", "p50").map { $0 * 1e3 }
    claim.p75Ns = json.number("latency_us", "p75").map { $0 * 1e3 }
    claim.p99Ns = json.number("latency_us", "p99").map { $0 * 1e3 }
    return claim
  }
}
