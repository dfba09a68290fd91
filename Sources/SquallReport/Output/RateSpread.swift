internal import SquallLoad

/// How even the rate was: ok responses per second, interval by interval.
package struct RateSpread: Equatable, Sendable {
  package var minPerS: Double
  package var medianPerS: Double
  package var maxPerS: Double
  /// Standard deviation per mean.
  package var variation: Double

  /// Over the measured intervals of at least half a plan's interval, since the rate of a splinter at
  /// the end says little. Nil when there are fewer than two.
  package init?(_ result: RunResult) {
    let rates = result.intervals
      .filter { $0.isMeasured && ($0.endNs - $0.startNs) * 2 >= result.plan.intervalNs }
      .filter { $0.seconds > 0 }
      .map { Double($0.ok) / $0.seconds }
      .sorted()
    guard rates.count >= 2 else { return nil }
    let mean = rates.reduce(0, +) / Double(rates.count)
    let square = rates.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(rates.count - 1)
    minPerS = rates[0]
    medianPerS = (rates[(rates.count - 1) / 2] + rates[rates.count / 2]) / 2
    maxPerS = rates[rates.count - 1]
    variation = mean > 0 ? square.squareRoot() / mean : 0
  }
}
