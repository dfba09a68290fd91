/// nighthawk_client. It spins between sends by default; connections and rate are for each loop.
package struct Nighthawk: Client {
  package let name = "nighthawk"
  package let program = "nighthawk_client"
  package let origin = Origin.source("https://github.com/envoyproxy/nighthawk")
  package let remark = "burns a CPU by spinning between sends; counts its warm-up"

  package init() {}

  package func command(
    _ load: Load, program: String, folder: String
  ) throws(Unable) -> Command {
    guard load.pipeline == 1 else { throw Unable("does not pipeline") }
    guard load.requestCount == nil else { throw Unable("does not stop after a count") }
    var arguments = [
      program, "--concurrency", "\(load.threads)", "--connections",
      "\(load.connections / load.threads)", "--duration", "\(load.seconds)", "--output-format",
      "json",
    ]
    if let rate = load.rateHz {
      arguments += ["--rps", "\(rate / load.threads)", "--open-loop"]
    } else {
      // Its closed loop is a rate out of reach, held back by its connections.
      arguments += ["--rps", "1000000"]
    }
    return Command(arguments + [load.url])
  }

  package func claim(_ output: Output, load: Load) throws(Unable) -> Claim {
    guard let json = JSONDocument(output.standardOutput),
      let results = json.value("results") as? [[String: Any]],
      let global = results.first(where: { $0["name"] as? String == "global" })
    else { throw Unable("printed no result: \(output.standardError.suffix(200))") }
    let counters = (global["counters"] as? [[String: Any]] ?? []).reduce(
      into: [String: UInt64]()
    ) { all, counter in
      if let name = counter["name"] as? String, let value = counter["value"] as? String {
        all[name] = UInt64(value)
      }
    }
    guard let ok = counters["benchmark.http_2xx"] else { throw Unable("counted no answers") }
    var claim = Claim(ok: ok)
    claim.failed = ["http_4xx", "http_5xx", "stream_resets", "pool_connection_failure"]
      .reduce(0) { sum, name in sum + (counters["benchmark.\(name)"] ?? 0) }
    let statistics = global["statistics"] as? [[String: Any]] ?? []
    let latency = statistics.first {
      ($0["id"] as? String) == "benchmark_http_client.request_to_response"
    }
    claim.seconds = Self.seconds(global["execution_duration"])
    claim.meanNs = Self.seconds(latency?["mean"]).map { $0 * 1e9 }
    for percentile in latency?["percentiles"] as? [[String: Any]] ?? [] {
      guard let share = percentile["percentile"] as? Double,
        let value = Self.seconds(percentile["duration"]).map({ $0 * 1e9 })
      else { continue }
      if share == 0.5 { claim.p50Ns = value }
      if share == 0.75 { claim.p75Ns = value }
      if abs(share - 0.99) < 0.002 { claim.p99Ns = value }
    }
    return claim
  }

  /// A protobuf Duration in JSON: "0.000417s".
  private static func seconds(_ value: Any?) -> Double? {
    (value as? String).flatMap { Scan.ns($0) }.map { $0 / 1e9 }
  }
}
