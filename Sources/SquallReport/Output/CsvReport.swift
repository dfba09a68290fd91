internal import SquallLoad

/// Rows for spreadsheets (RFC 4180, with line feeds).
package enum Csv {
  /// One line. A cell with a comma, quote or line break is quoted; one that a spreadsheet would take
  /// for a formula gets an apostrophe before it.
  package static func line(_ cells: [String]) -> String {
    cells.map(cell).joined(separator: ",") + "\n"
  }

  private static func cell(_ text: String) -> String {
    var text = text
    if let first = text.first, "=+-@\t\r".contains(first), Double(text) == nil { text = "'" + text }
    guard text.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return text }
    return "\""
      + text.split(separator: "\"", omittingEmptySubsequences: false)
      .joined(separator: "\"\"") + "\""
  }

  /// Names of the columns of `row`, in their order.
  package static var header: String { line(columns.map(\.name)) }

  /// One result in one line.
  package static func row(_ result: RunResult) -> String { line(columns.map { $0.cell(result) }) }

  private static var columns: [(name: String, cell: (RunResult) -> String)] {
    var columns: [(name: String, cell: (RunResult) -> String)] = [
      ("started_at", { $0.startedAt }),
      ("version", { $0.tool.version }),
      ("url", { $0.plan.url }),
      ("method", { $0.plan.method }),
      ("load", { $0.plan.schedule == nil ? "closed" : "open" }),
      ("workers", { String($0.workers.count) }),
      ("connections", { String($0.plan.connections) }),
      ("pipeline", { String($0.plan.pipeline) }),
      ("measured_ns", { String($0.measuredNs) }),
      ("ok_per_s", { number($0.rate.okPerS) }),
      ("target_per_s", { $0.rate.targetPerS.map(number) ?? "" }),
      ("achieved_ratio", { $0.rate.achievedRatio.map(number) ?? "" }),
      ("sent", { String($0.requests.sent) }),
      ("ok", { String($0.requests.ok) }),
      ("not_ok", { String($0.requests.notOk) }),
      ("in_flight_at_stop", { String($0.requests.inFlightAtStop) }),
      ("dropped", { String($0.requests.dropped) }),
      ("bytes_sent", { String($0.bytes.sent) }),
      ("bytes_received", { String($0.bytes.received) }),
    ]
    for cause in ErrorCause.allCases {
      columns.append(("error_" + cause.name, { String($0.errors[cause]) }))
    }
    for series in [Objective.Series.response, .service] {
      let figures: [(String, (LatencySummary) -> UInt64?)] = [
        ("mean", \.mean), ("min", \.min), ("p50", \.p50), ("p75", \.p75), ("p90", \.p90),
        ("p95", \.p95), ("p99", \.p99), ("p99.9", \.p999), ("p99.99", \.p9999), ("max", \.max),
      ]
      for (name, figure) in figures {
        columns.append(("\(series.rawValue)_\(name)_ns", { integer(figure($0.latency[series])) }))
      }
    }
    columns += [
      ("iterations", { $0.iterations.map { String($0.completed) } ?? "" }),
      ("iteration_p50_ns", { integer($0.iterations?.time.p50) }),
      ("iteration_p95_ns", { integer($0.iterations?.time.p95) }),
      ("iteration_p99_ns", { integer($0.iterations?.time.p99) }),
      ("schedule_lag_p99_ns", { integer($0.latency.scheduleLag.p99) }),
      ("busy_ratio_max", { number($0.workers.map(\.busyRatio).max() ?? 0) }),
      ("cpu_ns_per_request", { $0.cpuNsPerRequest.map(number) ?? "" }),
      ("saturated", { String($0.verdict.saturated) }),
      ("valid", { String($0.verdict.valid) }),
      ("incomplete", { String($0.verdict.incomplete) }),
      ("interrupted", { String($0.interrupted) }),
      (
        "labels",
        { result in
          result.plan.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            .joined(separator: ";")
        }
      ),
    ]
    return columns
  }

  static func number(_ number: Double) -> String { Figures.fixed(number, 3) }

  /// An empty cell where there is no value.
  static func integer(_ integer: UInt64?) -> String { integer.map(String.init) ?? "" }
}

extension RunResult {
  /// CPU time of the workers per completed request of the measured time; nil without one.
  package var cpuNsPerRequest: Double? {
    let completed = rate.completedPerS * Double(measuredNs) * 1e-9
    guard completed >= 1 else { return nil }
    return Double(workers.reduce(0) { $0 + $1.cpuUserNs + $1.cpuSystemNs }) / completed
  }

  /// `--timeseries`: one line of JSON per interval.
  package func timeseries(withHistograms: Bool) -> String {
    intervals.map { $0.timeseriesLine(withHistograms: withHistograms) }.joined()
  }
}

extension RunResult.Interval {
  /// The interval's members and its rate, on one line.
  package func timeseriesLine(withHistograms: Bool) -> String {
    guard case .object(var members) = json else { return "" }
    if !withHistograms { members.removeAll { $0.name.hasSuffix("_histogram") } }
    let perSecond = seconds > 0 ? (Double(ok) / seconds * 1000).rounded() / 1000 : 0
    members.insert(.init("ok_per_s", .number(perSecond)), at: 5)
    return JSONValue.object(members).text + "\n"
  }
}
