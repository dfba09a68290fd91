package import SquallLoad

/// One service level objective: a number of the result and the limit it is held to.
///
///     objectives = objective *( "," objective ) [ "of" name ]
///     objective  = metric comparison limit
///     metric     = ( percentile / "mean" / "max" ) [ "(" series ")" ] / "errors" / "rate" / "cpu"
///     percentile = "p" number           ; p50, p99.9
///     series     = "response" / "service" / "connect" / "tls" / "first_byte" / "schedule_lag"
///     comparison = "<" / "<=" / ">" / ">="
///     limit      = duration / number "%" / number [ "/s" ]
///
/// Latencies take a duration, as does `cpu`, the workers' CPU time per request; `errors` takes a
/// percentage or a share of 1, `rate` ok responses per second. The series is `response` unless named. Space
/// is allowed between all parts. With a name, which ends with the text, all of them are of the requests
/// that are counted under it: latencies of `response` and `service`, and `errors`.
package struct Objective: Equatable, Sendable {
  package enum Metric: Equatable, Sendable {
    /// The argument is in 0 ... 1.
    case quantile(Double, Series)
    case mean(Series)
    case max(Series)
    case errors
    case rate
    case cpu
  }

  package enum Series: String, CaseIterable, Equatable, Sendable {
    case response
    case service
    case connect
    case tls
    case firstByte = "first_byte"
    case scheduleLag = "schedule_lag"
  }

  package enum Comparison: String, Equatable, Sendable {
    case below = "<"
    case atMost = "<="
    case above = ">"
    case atLeast = ">="

    package func holds(_ value: Double, _ limit: Double) -> Bool {
      switch self {
      case .below: value < limit
      case .atMost: value <= limit
      case .above: value > limit
      case .atLeast: value >= limit
      }
    }
  }

  package var metric: Metric
  package var comparison: Comparison
  /// Nanoseconds, a share of 1, or per second.
  package var limit: Double
  /// As it was typed.
  package var expression: String
  /// Of the requests counted under it alone; nil for all.
  package var name: String?

  /// Reads a list such as `p99<20ms,errors<0.1%`.
  package static func list(_ text: String) throws(Misspelt) -> [Objective] {
    var reader = Reader(text)
    var objectives: [Objective] = []
    repeat {
      reader.skipSpace()
      objectives.append(try objective(&reader))
      reader.skipSpace()
    } while reader.take(",")
    if reader.take("of ") {
      reader.skipSpace()
      let position = reader.position
      let name = reader.take { _ in true }
      for index in objectives.indices {
        guard objectives[index].metric.isOfNames else {
          throw reader.misspelt(
            "of one name only p50, p75, p90, p95, p99, p99.9, p99.99, mean and max of response or "
              + "service, and errors are kept", at: position)
        }
        objectives[index].name = name
        objectives[index].expression += " of \(name)"
      }
    }
    try reader.end()
    return objectives
  }

  private static func objective(_ reader: inout Reader) throws(Misspelt) -> Objective {
    let start = reader.position
    let metric = try metric(&reader)
    reader.skipSpace()
    guard
      let comparison = ["<=", ">=", "<", ">"].first(where: { reader.take($0) })
        .flatMap(Comparison.init)
    else { throw reader.misspelt("expected <, <=, > or >=") }
    reader.skipSpace()
    let limit = try limit(&reader, of: metric)
    let expression = String(Array(reader.text)[start..<reader.position])
    return Objective(metric: metric, comparison: comparison, limit: limit, expression: expression)
  }

  static func metric(_ reader: inout Reader) throws(Misspelt) -> Metric {
    if reader.take("errors") { return .errors }
    if reader.take("rate") { return .rate }
    if reader.take("cpu") { return .cpu }
    if reader.take("mean") { return .mean(try series(&reader)) }
    if reader.take("max") { return .max(try series(&reader)) }
    guard reader.take("p") else {
      throw reader.misspelt("expected a metric: p99, mean, max, errors, rate or cpu")
    }
    let position = reader.position
    let percent = try reader.number("expected a percentile such as p99 or p99.9")
    guard percent > 0, percent <= 100 else {
      throw reader.misspelt("a percentile is above 0 and at most 100", at: position)
    }
    let series = try series(&reader)
    // 99.9 / 100 is not the double nearest to 0.999, and a rank would come out one too high.
    let fraction = (percent * 1e6).rounded() / 1e8
    guard [.response, .service].contains(series) || LatencySummary.has(fraction) else {
      throw reader.misspelt(
        "of this series only p50, p75, p90, p95, p99, p99.9 and p99.99 are kept", at: position)
    }
    return .quantile(fraction, series)
  }

  private static func series(_ reader: inout Reader) throws(Misspelt) -> Series {
    reader.skipSpace()
    guard reader.take("(") else { return .response }
    reader.skipSpace()
    let position = reader.position
    let name = reader.take { $0.isLetter || $0 == "_" }
    guard let series = Series(rawValue: name) else {
      let names = Series.allCases.map(\.rawValue).joined(separator: ", ")
      throw reader.misspelt("unknown series '\(name)', use \(names)", at: position)
    }
    reader.skipSpace()
    guard reader.take(")") else { throw reader.misspelt("expected ')'") }
    return series
  }

  private static func limit(_ reader: inout Reader, of metric: Metric) throws(Misspelt) -> Double {
    switch metric {
    case .quantile, .mean, .max, .cpu:
      return Double(try Quantity.durationNs(&reader, allowsBareSeconds: false))
    case .rate:
      let limit = try Quantity.number(&reader)
      _ = reader.take("/s")
      return limit
    case .errors:
      let position = reader.position
      let number = try reader.number("expected a share such as 0.1% or 0.001")
      guard reader.take("%") else {
        guard number < 1 else {
          throw reader.misspelt(
            "a share of errors is a percentage such as 1%, or a fraction below 1", at: position)
        }
        return number
      }
      guard number <= 100 else {
        throw reader.misspelt("a share is at most 100%", at: position)
      }
      return number / 100
    }
  }

  /// The metric's value in a result: nanoseconds, a share of 1, or per second. Nil when the run has no
  /// such value, such as a latency without an ok response.
  package static func value(of metric: Metric, in result: RunResult) -> Double? {
    switch metric {
    case .quantile(let fraction, let series):
      let summary = result.latency[series]
      guard summary.count > 0 else { return nil }
      if let kept = summary.quantile(fraction) { return Double(kept) }
      let histogram = result.histogram(series == .service ? .service : .response)
      return histogram.isEmpty ? nil : Double(histogram.quantileNs(fraction))
    case .mean(let series):
      let summary = result.latency[series]
      return summary.mean.map { Double($0) }
    case .max(let series):
      let summary = result.latency[series]
      return summary.max.map { Double($0) }
    case .errors: return result.errorShare
    case .rate: return result.rate.okPerS
    case .cpu: return result.cpuNsPerRequest
    }
  }

  /// The metric's value of the requests counted under a name. Nil when there is none.
  private static func value(
    of metric: Metric, in result: RunResult, under name: String
  ) -> Double? {
    guard let endpoint = result.requestsByName.first(where: { $0.name == name }) else { return nil }
    func summary(_ series: Series) -> LatencySummary {
      series == .service ? endpoint.latency.service : endpoint.latency.response
    }
    switch metric {
    case .quantile(let fraction, let series):
      return summary(series).quantile(fraction).map { Double($0) }
    case .mean(let series): return summary(series).mean.map { Double($0) }
    case .max(let series): return summary(series).max.map { Double($0) }
    case .errors:
      let ended = endpoint.ok + endpoint.notOk
      return ended == 0 ? nil : Double(endpoint.notOk) / Double(ended)
    case .rate, .cpu: return nil
    }
  }

  /// Whether the result keeps to it. Not said of an interrupted run, which is another run than the one
  /// planned. A value that does not exist keeps to nothing.
  package func outcome(of result: RunResult) -> RunResult.SloOutcome {
    var outcome = RunResult.SloOutcome()
    outcome.expression = expression
    guard !result.interrupted else { return outcome }
    if let name {
      outcome.value = Self.value(of: metric, in: result, under: name)
    } else {
      outcome.value = Self.value(of: metric, in: result)
    }
    outcome.pass = outcome.value.map { comparison.holds($0, limit) } ?? false
    return outcome
  }
}

extension Objective.Metric {
  /// Whether it is kept for each name.
  fileprivate var isOfNames: Bool {
    switch self {
    case .quantile(let fraction, let series):
      [.response, .service].contains(series) && LatencySummary.has(fraction)
    case .mean(let series), .max(let series): [.response, .service].contains(series)
    case .errors: true
    case .rate, .cpu: false
    }
  }
}

extension RunResult {
  /// Failed attempts, connections that could not be opened among them, per attempt; 1 when there was
  /// none that ended.
  package var errorShare: Double {
    let failed = Double(requests.notOk) + Double(errors.ofOpening)
    let attempts = failed + Double(requests.ok)
    return attempts == 0 ? 1 : failed / attempts
  }
}

extension RunResult.Latencies {
  package subscript(series: Objective.Series) -> LatencySummary {
    switch series {
    case .response: response
    case .service: service
    case .connect: connect
    case .tls: tls
    case .firstByte: firstByte
    case .scheduleLag: scheduleLag
    }
  }
}

extension LatencySummary {
  private static let keptFractions = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999]

  /// The quantile, if it is one of those kept and anything was measured.
  package func quantile(_ fraction: Double) -> UInt64? {
    let values = [p50, p75, p90, p95, p99, p999, p9999]
    return Self.place(fraction).flatMap { values[$0] }
  }

  package static func has(_ fraction: Double) -> Bool { place(fraction) != nil }

  private static func place(_ fraction: Double) -> Int? {
    keptFractions.firstIndex { abs($0 - fraction) < 1e-9 }
  }
}
