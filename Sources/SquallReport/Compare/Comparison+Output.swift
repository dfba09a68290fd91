package import SquallLoad

extension Objective.Metric {
  /// As it is typed in an objective: `p99`, `p99.9(service)`, `rate`.
  package var name: String {
    func suffix(_ series: Objective.Series) -> String {
      series == .response ? "" : "(\(series.rawValue))"
    }
    switch self {
    case .quantile(let fraction, let series):
      let percent = (fraction * 1e8).rounded() / 1e6
      let digits = percent == percent.rounded() ? String(Int(percent)) : String(percent)
      return "p\(digits)" + suffix(series)
    case .mean(let series): return "mean" + suffix(series)
    case .max(let series): return "max" + suffix(series)
    case .errors: return "errors"
    case .rate: return "rate"
    case .cpu: return "cpu"
    }
  }

  /// A value of it for a reader.
  package func text(_ value: Double) -> String {
    switch self {
    case .errors: Figures.percent(value)
    case .rate: Figures.rate(value) + "/s"
    case .quantile, .mean, .max, .cpu: Figures.duration(UInt64(Swift.max(0, value.rounded())))
    }
  }
}

extension Comparison {
  /// A table of 80 columns. `names` are the sides'.
  package func text(baseline: String, candidate: String) -> String {
    func side(_ word: String, _ name: String, _ count: Int) -> String {
      "  \(Columns.left(word, 10)) \(Columns.harmless(name))  (\(count == 1 ? "1 run" : "\(count) runs"))"
    }
    var lines = [
      "squall compare" + (method == .paired ? "   in pairs" : ""),
      side("baseline", baseline, baselineCount), side("candidate", candidate, candidateCount),
    ]
    for difference in planDifferences {
      lines += Columns.wrapped(difference, after: "  PLANS DIFFER  ")
    }
    for caution in cautions { lines += Columns.wrapped(caution, after: "  - ") }
    lines.append("")
    lines.append(
      "  " + Columns.left("", 16) + Columns.right("baseline", 12) + Columns.right("candidate", 12)
        + Columns.right("change", 9) + Columns.right("95% interval", 17) + "  verdict")
    for row in rows {
      func cell(_ value: Double?) -> String { value.map(row.metric.text) ?? "-" }
      var interval = "-"
      if let low = row.low, let high = row.high {
        interval = "\(Self.signed(low)) \(Self.signed(high))"
      }
      lines.append(
        "  " + Columns.left(row.metric.name, 16) + Columns.right(cell(row.baseline), 12)
          + Columns.right(cell(row.candidate), 12)
          + Columns.right(row.change.map(Self.signed) ?? "-", 9) + Columns.right(interval, 17)
          + "  " + row.verdict.rawValue)
    }
    return lines.joined(separator: "\n") + "\n"
  }

  static func signed(_ change: Double) -> String {
    let percent = change * 100
    let size = percent.magnitude
    let text = Figures.fixed(size, size < 0.95 ? 2 : size < 99.5 ? 1 : 0)
    return (percent < 0 ? "-" : "+") + text + "%"
  }

  package var json: JSONValue {
    func number(_ value: Double?) -> JSONValue { value.map { .number($0) } ?? .null }
    return .object([
      .init("schema", .string("squall.comparison/1")),
      .init("method", .string(method.rawValue)),
      .init("baseline_runs", .integer(Int128(baselineCount))),
      .init("candidate_runs", .integer(Int128(candidateCount))),
      .init("plan_differences", .array(planDifferences.map { .string($0) })),
      .init("cautions", .array(cautions.map { .string($0) })),
      .init(
        "metrics",
        .array(
          rows.map { row in
            .object([
              .init("metric", .string(row.metric.name)),
              .init("baseline", number(row.baseline)),
              .init("candidate", number(row.candidate)),
              .init("change", number(row.change)),
              .init("low", number(row.low)),
              .init("high", number(row.high)),
              .init("verdict", .string(row.verdict.rawValue)),
            ])
          })),
    ])
  }
}
