import Foundation

/// vegeta. Two processes in a pipe: one attacks, one reports; it adds X-Vegeta-Seq to each request.
package struct Vegeta: Client {
  package let name = "vegeta"
  package let program = "vegeta"
  package let origin = Origin.source("https://github.com/tsenart/vegeta")
  package let remark = "adds a header to every request; its tail percentiles are t-digest estimates"
  package let versionArguments = ["-version"]

  package init() {}

  package func command(
    _ load: Load, program: String, folder: String
  ) throws(Unable) -> Command {
    guard load.pipeline == 1 else { throw Unable("does not pipeline") }
    guard load.requestCount == nil else { throw Unable("does not stop after a count") }
    let rate = load.rateHz.map { "\($0)/1s" } ?? "0"
    let attack =
      "echo 'GET \(load.url)' | '\(program)' attack -rate=\(rate) -duration=\(load.seconds)s "
      + "-workers=\(load.connections) -max-workers=\(load.connections) "
      + "-connections=\(load.connections) -redirects=-1 | '\(program)' report -type=json"
    return Command(
      ["/bin/sh", "-c", attack], environment: ["GOMAXPROCS": "\(load.threads)"])
  }

  package func claim(_ output: Output, load: Load) throws(Unable) -> Claim {
    guard let json = JSONDocument(output.standardOutput), let all = json.count("requests") else {
      throw Unable("printed no result: \(output.standardError.prefix(200))")
    }
    let codes = json.value("status_codes") as? [String: Int] ?? [:]
    var claim = Claim(ok: UInt64(codes["200"] ?? 0))
    claim.sent = all
    claim.failed = all - min(all, claim.ok)
    claim.seconds = json.number("duration").map { $0 / 1e9 }
    claim.meanNs = json.number("latencies", "mean")
    claim.p50Ns = json.number("latencies", "50th")
    claim.p99Ns = json.number("latencies", "99th")
    return claim
  }
}
