/// bombardier. Errors are in its latencies (https://github.com/codesenberg/bombardier/pull/73);
/// its rate is a bucket refilled every 10 ms.
package struct Bombardier: Client {
  package let name = "bombardier"
  package let program = "bombardier"
  package let origin = Origin.source("https://github.com/codesenberg/bombardier")
  package let remark =
    "errors are in its latencies (codesenberg/bombardier#73); Debian's package "
    + "of this name is a game"

  package init() {}

  package func command(
    _ load: Load, program: String, folder: String
  ) throws(Unable) -> Command {
    guard load.pipeline == 1 else { throw Unable("does not pipeline") }
    var arguments = [
      program, "-c", "\(load.connections)", "-p", "r", "-o", "json", "-l",
    ]
    if let count = load.requestCount {
      arguments += ["-n", "\(count)"]
    } else {
      arguments += ["-d", "\(load.seconds)s"]
    }
    if let rate = load.rateHz { arguments += ["-r", "\(rate)"] }
    return Command(
      arguments + [load.url], environment: ["GOMAXPROCS": "\(load.threads)"])
  }

  package func claim(_ output: Output, load: Load) throws(Unable) -> Claim {
    guard let json = JSONDocument(output.standardOutput), let ok = json.count("result", "req2xx")
    else { throw Unable("printed no result: \(output.standardError.prefix(200))") }
    var claim = Claim(ok: ok)
    claim.failed = ["req1xx", "req3xx", "req4xx", "req5xx", "others"].reduce(0) { sum, kind in
      sum + (json.count("result", kind) ?? 0)
    }
    claim.seconds = json.number("result", "timeTakenSeconds")
    claim.meanNs = json.number("result", "latency", "mean").map { $0 * 1e3 }
    claim.p50Ns = json.number("result", "latency", "percentiles", "50").map { $0 * 1e3 }
    claim.p75Ns = json.number("result", "latency", "percentiles", "75").map { $0 * 1e3 }
    claim.p99Ns = json.number("result", "latency", "percentiles", "99").map { $0 * 1e3 }
    return claim
  }
}
