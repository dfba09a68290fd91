internal import SquallLoad

/// The three files of Locust's `--csv PREFIX`, with its column names, for dashboards that read them.
/// Times are milliseconds. Ours differ in two things: response times are of ok responses only, and a
/// history row's percentiles are those of its own interval.
package struct LocustCsv {
  private static let percentiles: [(name: String, fraction: Double)] = [
    ("50%", 0.5), ("66%", 0.66), ("75%", 0.75), ("80%", 0.8), ("90%", 0.9), ("95%", 0.95),
    ("98%", 0.98), ("99%", 0.99), ("99.9%", 0.999), ("99.99%", 0.9999), ("100%", 1),
  ]

  private let result: RunResult

  package init(_ result: RunResult) { self.result = result }

  /// `PREFIX_stats.csv`: a row for each name, then `Aggregated`.
  package var stats: String {
    var text = Csv.line(
      [
        "Type", "Name", "Request Count", "Failure Count", "Median Response Time",
        "Average Response Time", "Min Response Time", "Max Response Time", "Average Content Size",
        "Requests/s", "Failures/s",
      ] + Self.percentiles.map(\.name))
    for endpoint in result.requestsByName {
      let histogram =
        Base64.decode(endpoint.responseHistogram).flatMap { HdrEncoding.histogram($0) }
        ?? CompactHistogram()
      text += row(
        result.plan.method, endpoint.name, ok: endpoint.ok, failed: failed(endpoint),
        size: contentSize(endpoint.bytesBody, endpoint.status), endpoint.latency.response, histogram
      )
    }
    text += row(
      "", "Aggregated", ok: result.requests.ok, failed: failed,
      size: contentSize(result.bytes.body, result.status), result.latency.response,
      result.histogram(.response))
    return text
  }

  /// `PREFIX_stats_history.csv`: a row for each interval, `Aggregated` only, as Locust without
  /// `--csv-full-history`.
  package var history: String {
    var text = Csv.line(
      ["Timestamp", "User Count", "Type", "Name", "Requests/s", "Failures/s"]
        + Self.percentiles.map(\.name) + [
          "Total Request Count", "Total Failure Count", "Total Median Response Time",
          "Total Average Response Time", "Total Min Response Time", "Total Max Response Time",
          "Total Average Content Size",
        ])
    let start = HdrText.epochSeconds(result.startedAt) ?? 0
    var total = CompactHistogram()
    var ok: UInt64 = 0
    var failed: UInt64 = 0
    for interval in result.intervals where interval.phase != Phase.warmup.name {
      let histogram = interval.histogram(.response)
      total.merge(histogram)
      ok += interval.ok
      let failures = interval.notOk + interval.openingFailures
      failed += failures
      let seconds = max(interval.seconds, 1e-9)
      text += Csv.line(
        [
          Figures.fixed(start + Double(interval.endNs) * 1e-9, 0), String(result.plan.connections),
          "", "Aggregated", Figures.fixed(Double(interval.ok + failures) / seconds, 6),
          Figures.fixed(Double(failures) / seconds, 6),
        ] + quantiles(histogram) + [
          String(ok + failed), String(failed),
          milliseconds(total.isEmpty ? nil : total.quantileNs(0.5)),
          milliseconds(total.isEmpty ? nil : UInt64(total.meanNs)),
          milliseconds(total.isEmpty ? nil : total.minNs),
          milliseconds(total.isEmpty ? nil : total.maxNs),
          contentSize(result.bytes.body, result.status),
        ])
    }
    return text
  }

  /// `PREFIX_failures.csv`: a row for each name and cause, and for each check.
  package var failures: String {
    var text = Csv.line(["Method", "Name", "Error", "Occurrences"])
    for endpoint in result.requestsByName {
      for check in endpoint.checks {
        text += Csv.line(
          [result.plan.method, endpoint.name, "check: \(check.check)", String(check.failed)])
      }
      for cause in ErrorCause.allCases
      where cause != .status && cause != .check && endpoint.errors[cause] > 0 {
        text += Csv.line(
          [result.plan.method, endpoint.name, cause.name, String(endpoint.errors[cause])])
      }
      // All answers of one name have the same checks, nearly always: a status is asked for or it is not.
      guard endpoint.errors[.status] > 0 else { continue }
      for (status, count) in endpoint.status.sorted(by: { $0.key < $1.key }) {
        guard let code = UInt16(status), !Counters.accepts(code) else { continue }
        text += Csv.line([result.plan.method, endpoint.name, "status \(code)", String(count)])
      }
    }
    return text
  }

  private var failed: UInt64 { result.requests.notOk + result.errors.ofOpening }

  private func failed(_ endpoint: RunResult.RequestsOfName) -> UInt64 {
    endpoint.notOk + endpoint.errors.ofOpening
  }

  private func row(
    _ type: String, _ name: String, ok: UInt64, failed: UInt64, size: String,
    _ summary: LatencySummary, _ histogram: CompactHistogram
  ) -> String {
    let seconds = max(Double(result.measuredNs) * 1e-9, 1e-9)
    return Csv.line(
      [
        type, name, String(ok + failed), String(failed), milliseconds(summary.p50),
        milliseconds(summary.mean), milliseconds(summary.min), milliseconds(summary.max),
        size, Figures.fixed(Double(ok + failed) / seconds, 6),
        Figures.fixed(Double(failed) / seconds, 6),
      ] + quantiles(histogram))
  }

  private func quantiles(_ histogram: CompactHistogram) -> [String] {
    Self.percentiles.map {
      histogram.isEmpty ? "N/A" : milliseconds(histogram.quantileNs($0.fraction))
    }
  }

  private func milliseconds(_ ns: UInt64?) -> String {
    ns.map { Figures.fixed(Double($0) / 1e6, 6) } ?? "N/A"
  }

  /// The bodies are those of all answers, so their mean is over all answers.
  private func contentSize(_ body: UInt64, _ status: [String: UInt64]) -> String {
    let answers = status.values.reduce(0, +)
    return answers == 0 ? "N/A" : Figures.fixed(Double(body) / Double(answers), 2)
  }
}
