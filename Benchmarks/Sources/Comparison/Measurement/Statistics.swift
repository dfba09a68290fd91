/// The value in the middle, or the mean of the two there; nil of nothing.
package func median(_ values: [Double]) -> Double? {
  guard !values.isEmpty else { return nil }
  let sorted = values.sorted()
  let half = sorted.count / 2
  return sorted.count % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
}

/// The smallest value that at least the given share (0...1) of the values does not exceed: the
/// nearest-rank quantile, which never invents a value that was not measured.
///
/// - Precondition: the values are in ascending order.
package func quantile(_ ascending: [Double], _ share: Double) -> Double? {
  guard !ascending.isEmpty else { return nil }
  let rank = (Double(ascending.count) * share).rounded(.up)
  return ascending[min(max(Int(rank) - 1, 0), ascending.count - 1)]
}

/// A 64-bit generator whose whole state is its printed seed (Steele, Lea, Flood 2014).
package struct SplitMix64: RandomNumberGenerator, Sendable {
  private var state: UInt64

  package init(seed: UInt64) {
    state = seed
  }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// A measured ratio, with the interval that holds 95 % of what resampling makes of it.
package struct Ratio: Codable, Equatable, Sendable {
  package let value: Double
  package let low: Double
  package let high: Double
  /// How many rounds had both figures.
  package let pairCount: Int

  package init(value: Double, low: Double, high: Double, pairCount: Int) {
    self.value = value
    self.low = low
    self.high = high
    self.pairCount = pairCount
  }
}

/// The median over the rounds of `subject / reference`, with its bootstrap 95 % interval
/// (percentile method, Efron 1979).
///
/// The figures are paired by round, because what disturbs a machine disturbs a round: two clients
/// that both slow down keep their ratio. With five rounds the interval is close to the span of
/// what was seen; it cannot be narrower than the data allows. Nil without a common round.
package func pairedRatio(
  of subject: [Int: Double], to reference: [Int: Double], seed: UInt64, resampleCount: Int = 2_000
) -> Ratio? {
  let ratios = subject.keys.sorted().compactMap { round -> Double? in
    guard let above = subject[round], let below = reference[round], below != 0 else { return nil }
    return above / below
  }
  guard let value = median(ratios) else { return nil }
  var random = SplitMix64(seed: seed)
  let resampled = (0..<resampleCount).compactMap { _ in
    median(ratios.map { _ in ratios[Int.random(in: 0..<ratios.count, using: &random)] })
  }.sorted()
  return Ratio(
    value: value, low: quantile(resampled, 0.025) ?? value,
    high: quantile(resampled, 0.975) ?? value, pairCount: ratios.count)
}
