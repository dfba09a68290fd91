/// How well a client kept a fixed rate, by the arrival instants its target stamped.
///
/// The k-th arrival should come at `start + k / rate`. The start is fitted (the median of what each
/// arrival says it is), so a constant delay is no error; a late, an early and a missing send are.
package struct Pacing: Codable, Equatable, Sendable {
  package let arrivalCount: Int
  /// Arrivals a second between the first and the last.
  package let achievedHz: Double
  /// Distance from the schedule, either way.
  package let errorNsP50: Double
  package let errorNsP99: Double
  package let errorNsP999: Double
  package let errorNsMax: Double
  /// Share of the gaps shorter than a fifth of the planned one: sends that came in bursts.
  package let burstShare: Double

  /// Nil with fewer than ten arrivals, which say nothing.
  package init?(arrivalsNs: [UInt64], rateHz: Double) {
    guard arrivalsNs.count >= 10, rateHz > 0, let first = arrivalsNs.first,
      let last = arrivalsNs.last, last > first
    else { return nil }
    let gapNs = 1e9 / rateHz
    let starts = arrivalsNs.enumerated().map { Double($1 - first) - Double($0) * gapNs }
    guard let start = median(starts) else { return nil }
    let errors = starts.map { abs($0 - start) }.sorted()
    let bursts = zip(arrivalsNs, arrivalsNs.dropFirst()).count { Double($1 - $0) < gapNs / 5 }

    arrivalCount = arrivalsNs.count
    achievedHz = Double(arrivalsNs.count - 1) * 1e9 / Double(last - first)
    errorNsP50 = quantile(errors, 0.5) ?? 0
    errorNsP99 = quantile(errors, 0.99) ?? 0
    errorNsP999 = quantile(errors, 0.999) ?? 0
    errorNsMax = errors.last ?? 0
    burstShare = Double(bursts) / Double(arrivalsNs.count - 1)
  }
}
