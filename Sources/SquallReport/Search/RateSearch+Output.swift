package import SquallLoad

extension RateSearch {
  /// The outcome in a sentence, the steps by rate, and the curve of p99 against rate.
  package var text: String {
    var lines = Columns.wrapped(sentence, after: "")
    lines.append("")
    lines.append(
      "  "
        + ["rate/s", "ok/s", "p50", "p90", "p99", "max", "errors", "busy"]
        .map { Columns.right($0, 9) }.joined())
    let sorted = measurements.enumerated().sorted {
      ($0.element.rateHz, $0.offset) < ($1.element.rateHz, $1.offset)
    }.map(\.element)
    for measurement in sorted {
      let cells = [
        Figures.rate(measurement.rateHz), Figures.rate(measurement.okPerS),
        Figures.duration(measurement.latency.p50), Figures.duration(measurement.latency.p90),
        Figures.duration(measurement.latency.p99), Figures.duration(measurement.latency.max),
        Figures.percent(measurement.errorShare), Figures.percent(measurement.busyRatio),
      ]
      let word = measurement.passes ? "pass" : measurement.saturated ? "generator" : "FAIL"
      lines.append(
        "  " + cells.map { Columns.right($0, 9) }.joined() + "  "
          + (measurement.isConfirming ? "\(word)*" : word))
    }
    if measurements.contains(where: \.isConfirming) { lines.append("  * confirming run") }
    lines += plot(sorted)
    return lines.joined(separator: "\n") + "\n"
  }

  private var sentence: String {
    guard let outcome else { return "The search is not over." }
    guard let rateHz = outcome.rateHz else {
      switch outcome.limit {
      case .stepCount: return "No rate passed in \(measurements.count) steps."
      default: return "Not even the lowest rate tried met the objectives."
      }
    }
    let rate = "\(Figures.rate(rateHz))/s"
    let confirmed = outcome.isConfirmed ? "confirmed by a run of its own" : "not confirmed"
    switch outcome.limit {
    case .objective(let expression):
      return
        "Highest rate that meets the objectives: \(rate), \(confirmed). Above it, \(expression) fails."
    case .rateNotReached:
      return "Highest rate the target takes: \(rate), \(confirmed)."
    case .generator(let reason):
      return
        "The generator reached its own limit: \(rate) passed, \(confirmed). The target may do more. "
        + "Above it: \(reason ?? "the generator was saturated")."
    case .end:
      return "\(rate), the highest rate allowed, passed, \(confirmed). The target may do more."
    case .nothingPasses, .stepCount:
      return "Highest rate that passed in \(measurements.count) steps: \(rate), \(confirmed)."
    }
  }

  private static let plotRows = 12
  private static let plotColumns = 60

  /// p99 response time over rate, both logarithmic.
  private func plot(_ sorted: [Measurement]) -> [String] {
    let points = sorted.filter { $0.rateHz > 0 }.compactMap { measurement in
      measurement.latency.p99.map {
        (
          x: naturalLogarithm(measurement.rateHz), y: naturalLogarithm(Double($0)),
          measurement.passes
        )
      }
    }
    guard points.count >= 2, let left = points.first?.x, let right = points.last?.x, right > left,
      let low = points.map(\.y).min(), let high = points.map(\.y).max()
    else { return [] }
    let rows = Self.plotRows
    let columns = Self.plotColumns
    var cells = Array(repeating: Array(repeating: Character(" "), count: columns), count: rows)
    for point in points {
      let column = Int((point.x - left) / (right - left) * Double(columns - 1))
      let height = high > low ? (point.y - low) / (high - low) : 0
      cells[rows - 1 - Int(height * Double(rows - 1))][column] = point.2 ? "o" : "x"
    }
    var lines = ["", "  p99 response time against rate, both logarithmic; o passes, x does not"]
    for (row, line) in cells.enumerated() {
      let height = Double(rows - 1 - row) / Double(rows - 1)
      let label =
        row == 0 || row == rows - 1 || row == rows / 2
        ? Figures.duration(UInt64(exponential(low + (high - low) * height))) : ""
      var text = "  " + Columns.right(label, 8) + " |" + String(line)
      while text.last == " " { text.removeLast() }
      lines.append(text)
    }
    lines.append("           +" + String(repeating: "-", count: columns))
    let first = Figures.short(exponential(left)) + "/s"
    let last = Figures.short(exponential(right)) + "/s"
    lines.append("            " + first + Columns.right(last, columns - first.count))
    return lines
  }

  package var csv: String {
    var text = Csv.line([
      "rate_per_s", "confirming", "ok_per_s", "achieved_ratio", "error_share", "p50_ns", "p90_ns",
      "p99_ns", "p99.9_ns", "max_ns", "busy_ratio", "saturated", "passes",
    ])
    for measurement in measurements {
      text += Csv.line([
        Csv.number(measurement.rateHz), String(measurement.isConfirming),
        Csv.number(measurement.okPerS), Csv.number(measurement.achievedRatio),
        Csv.number(measurement.errorShare), Csv.integer(measurement.latency.p50),
        Csv.integer(measurement.latency.p90), Csv.integer(measurement.latency.p99),
        Csv.integer(measurement.latency.p999), Csv.integer(measurement.latency.max),
        Csv.number(measurement.busyRatio), String(measurement.saturated),
        String(measurement.passes),
      ])
    }
    return text
  }

  package var json: JSONValue {
    let limit: String =
      switch outcome?.limit {
      case .objective(let expression): "objective " + expression
      case .rateNotReached: "rate not reached"
      case .generator: "generator"
      case .end: "end of range"
      case .nothingPasses: "nothing passes"
      case .stepCount: "number of steps"
      case nil: "not over"
      }
    return .object([
      .init("schema", .string("squall.find/1")),
      .init("rate_per_s", outcome?.rateHz.map { .number($0) } ?? .null),
      .init("confirmed", .bool(outcome?.isConfirmed ?? false)),
      .init("limit", .string(limit)),
      .init(
        "steps",
        .array(
          measurements.map { measurement in
            .object([
              .init("rate_per_s", .number(measurement.rateHz)),
              .init("confirming", .bool(measurement.isConfirming)),
              .init("ok_per_s", .number(measurement.okPerS)),
              .init("achieved_ratio", .number(measurement.achievedRatio)),
              .init("error_share", .number(measurement.errorShare)),
              .init("response_ns", measurement.latency.json),
              .init("busy_ratio", .number(measurement.busyRatio)),
              .init("saturated", .bool(measurement.saturated)),
              .init("reason", measurement.reason.map { .string($0) } ?? .null),
              .init("passes", .bool(measurement.passes)),
              .init("slo", measurement.objectives.json),
            ])
          })),
    ])
  }
}
