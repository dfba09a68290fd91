/// oha. Its success rate and headline leave requests cut off at the deadline out or in
/// (https://github.com/hatoo/oha/issues/645); it keeps about 120 bytes a request.
package struct Oha: Client {
  package let name = "oha"
  package let program = "oha"
  package let origin = Origin.source("https://github.com/hatoo/oha")
  package let remark = "keeps every sample; another engine with -q than without (hatoo/oha#645)"

  package init() {}

  package func command(
    _ load: Load, program: String, folder: String
  ) throws(Unable) -> Command {
    guard load.pipeline == 1 else { throw Unable("does not pipeline") }
    var arguments = [
      program, "--no-tui", "--output-format", "json", "--redirect", "0", "-c",
      "\(load.connections)",
    ]
    if let count = load.requestCount {
      arguments += ["-n", "\(count)"]
    } else {
      arguments += ["-z", "\(load.seconds)s"]
    }
    if let rate = load.rateHz { arguments += ["-q", "\(rate)", "--latency-correction"] }
    return Command(arguments + [load.url])
  }

  package func claim(_ output: Output, load: Load) throws(Unable) -> Claim {
    guard let json = JSONDocument(output.standardOutput),
      let codes = json.value("statusCodeDistribution") as? [String: Int]
    else { throw Unable("printed no result: \(output.standardError.prefix(200))") }
    var claim = Claim(ok: UInt64(codes["200"] ?? 0))
    let errors = json.value("errorDistribution") as? [String: Int] ?? [:]
    let cutOff = errors["aborted due to deadline"] ?? 0
    claim.inFlight = UInt64(cutOff)
    claim.failed = UInt64(errors.values.reduce(0, +) - cutOff)
    claim.seconds = json.number("summary", "total")
    claim.meanNs = json.number("summary", "average").map { $0 * 1e9 }
    claim.p50Ns = json.number("latencyPercentiles", "p50").map { $0 * 1e9 }
    claim.p75Ns = json.number("latencyPercentiles", "p75").map { $0 * 1e9 }
    claim.p99Ns = json.number("latencyPercentiles", "p99").map { $0 * 1e9 }
    return claim
  }
}
