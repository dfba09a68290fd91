package import SquallLoad

/// What makes a comparison fail: `--fail-on 'p99>+5%,rate<-3%'`.
///
///     regressions = regression *( "," regression )
///     regression  = metric ( ">" / "<" ) [ "+" / "-" ] number "%"
///
/// with the metrics of an `Objective`. The number is a change of the value in percent of the baseline's,
/// for `errors` in percentage points.
package struct Regression: Equatable, Sendable {
  package var metric: Objective.Metric
  package var comparison: Objective.Comparison
  /// A change of 5 % is 0.05.
  package var limit: Double
  package var expression: String

  package static func list(_ text: String) throws(Misspelt) -> [Regression] {
    var reader = Reader(text)
    var regressions: [Regression] = []
    repeat {
      reader.skipSpace()
      let start = reader.position
      let metric = try Objective.metric(&reader)
      reader.skipSpace()
      let comparison: Objective.Comparison
      if reader.take(">") {
        comparison = .above
      } else if reader.take("<") {
        comparison = .below
      } else {
        throw reader.misspelt("expected > or <")
      }
      reader.skipSpace()
      let sign: Double = reader.take("-") ? -1 : 1
      if sign > 0 { _ = reader.take("+") }
      let number = try reader.number("expected a change such as +5% or -3%")
      guard reader.take("%") else { throw reader.misspelt("expected %") }
      let expression = String(Array(text)[start..<reader.position])
      regressions.append(
        Regression(
          metric: metric, comparison: comparison, limit: sign * number / 100,
          expression: expression))
      reader.skipSpace()
    } while reader.take(",")
    try reader.end()
    return regressions
  }

  /// Whether the comparison shows it: a change beyond the limit that chance does not explain. Nil when
  /// the metric could not be compared.
  package func isShown(by comparison: Comparison) -> Bool? {
    guard let row = comparison.rows.first(where: { $0.metric == metric }),
      row.verdict != .notComparable, let change = row.change
    else { return nil }
    return row.verdict != .noDifference && self.comparison.holds(change, limit)
  }
}
