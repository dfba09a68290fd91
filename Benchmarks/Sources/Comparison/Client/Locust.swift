/// Locust with one of its two users, from PyPI in an environment of its own.
package struct Locust: Client {
  package let name: String
  package let user: String
  package let file: String
  package let program = "locust"
  package let origin = Origin.pypi("locust")
  package let remark = "a Python greenlet a user; latencies in whole, above 100 ms rounded, ms"

  package static func all(file: String) -> [Locust] {
    [
      Locust(name: "Locust Fast", user: "Fast", file: file),
      Locust(name: "Locust Http", user: "Http", file: file),
    ]
  }

  package func command(
    _ load: Load, program: String, folder: String
  ) throws(Unable) -> Command {
    guard load.threads == 1 else { throw Unable("runs on one CPU a process") }
    guard load.pipeline == 1 else { throw Unable("does not pipeline") }
    guard load.requestCount == nil else { throw Unable("does not stop after a count") }
    guard load.connections <= 256 else {
      throw Unable("left out above 256 users: minutes to start")
    }
    var environment = ["LOAD_PATH": load.path, "PYTHONUNBUFFERED": "1"]
    if let rate = load.rateHz {
      environment["LOAD_RATE"] = "\(Double(rate) / Double(load.connections))"
    }
    return Command(
      [
        program, "-f", file, "--headless", "--json", "--only-summary", "--loglevel", "ERROR",
        "-u", "\(load.connections)", "-r", "\(load.connections)", "-t", "\(load.seconds)s", "-H",
        "http://\(load.host):\(load.port)", user,
      ], environment: environment)
  }

  package func claim(_ output: Output, load: Load) throws(Unable) -> Claim {
    guard let start = output.standardOutput.firstIndex(of: "["),
      let json = JSONDocument(String(output.standardOutput[start...])),
      let all = json.number("0", "num_requests")
    else { throw Unable("printed no result: \(output.standardError.suffix(200).trimmed)") }
    let failed = json.number("0", "num_failures") ?? 0
    var claim = Claim(ok: UInt64(all - failed))
    claim.failed = UInt64(failed)
    claim.meanNs = json.number("0", "total_response_time").map { all > 0 ? $0 * 1e6 / all : 0 }
    let times = (json.value("0", "response_times") as? [String: Int] ?? [:])
      .compactMap { key, count in Double(key).map { ($0, count) } }
      .sorted { $0.0 < $1.0 }
    claim.p50Ns = Self.percentileNs(times, 0.5)
    claim.p75Ns = Self.percentileNs(times, 0.75)
    claim.p99Ns = Self.percentileNs(times, 0.99)
    if let begin = json.number("0", "start_time"),
      let end = json.number("0", "last_request_timestamp")
    {
      claim.seconds = end - begin
    }
    return claim
  }

  private static func percentileNs(_ times: [(Double, Int)], _ share: Double) -> Double? {
    let rank = Int((Double(times.reduce(0) { $0 + $1.1 }) * share).rounded(.up))
    var seen = 0
    for (ms, count) in times {
      seen += count
      if seen >= rank { return ms * 1e6 }
    }
    return nil
  }
}
