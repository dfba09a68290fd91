internal import SquallLoad

/// Confidence intervals and tests by resampling, from a seed: the same numbers give the same answer.
struct Bootstrap {
  static let resampleCount = 2000

  private var random: SplitMix64

  init(seed: UInt64) { random = SplitMix64(seed: seed) }

  /// The middle 95 % of the mean's distribution over resamples of `values`, expanded for their number.
  ///
  /// A plain percentile interval is too narrow for a few values; it is stretched from its centre by
  /// sqrt(n / (n - 1)) t / z (Hesterberg, "What Teachers Should Know About the Bootstrap", 2015,
  /// section 5.2). At least two values.
  mutating func meanInterval(_ values: [Double]) -> ClosedRange<Double> {
    let mean = values.reduce(0, +) / Double(values.count)
    let means = resamples { random in
      var sum = 0.0
      for _ in values { sum += values[Int.random(in: 0..<values.count, using: &random)] }
      return sum / Double(values.count)
    }
    return Self.expanded(means, around: mean, count: values.count)
  }

  /// As `meanInterval`, of the difference of two independent means.
  mutating func differenceInterval(_ left: [Double], _ right: [Double]) -> ClosedRange<Double> {
    func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
    let differences = resamples { random in
      var sums = (0.0, 0.0)
      for _ in left { sums.0 += left[Int.random(in: 0..<left.count, using: &random)] }
      for _ in right { sums.1 += right[Int.random(in: 0..<right.count, using: &random)] }
      return sums.1 / Double(right.count) - sums.0 / Double(left.count)
    }
    return Self.expanded(
      differences, around: mean(right) - mean(left), count: min(left.count, right.count))
  }

  /// The standard deviation of `statistic` over resamples of a time series in blocks, so that what
  /// neighbours have in common is not taken for independent news (Künsch's moving blocks, 1989; block
  /// length n^(1/3), wrapped around the end).
  mutating func blockDeviation(count: Int, statistic: ([Int]) -> Double?) -> Double? {
    guard count >= 2 else { return nil }
    var length = 1
    while (length + 1) * (length + 1) * (length + 1) <= count { length += 1 }
    var values: [Double] = []
    for _ in 0..<Self.blockResampleCount {
      var picks: [Int] = []
      picks.reserveCapacity(count + length)
      while picks.count < count {
        let start = Int.random(in: 0..<count, using: &random)
        for offset in 0..<length { picks.append((start + offset) % count) }
      }
      if let value = statistic(Array(picks.prefix(count))) { values.append(value) }
    }
    guard values.count >= 2 else { return nil }
    let mean = values.reduce(0, +) / Double(values.count)
    let square = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    return (square / Double(values.count - 1)).squareRoot()
  }

  private static let blockResampleCount = 400

  /// How often differences as large come about when each has its sign by chance: the exact test of no
  /// difference in pairs (Fisher's). All 2^n signs up to 14 pairs, beyond it `signFlipCount` drawn ones.
  mutating func signFlipProbability(_ differences: [Double]) -> Double {
    // What equals the observed sum but for rounding counts as extreme.
    let observed = abs(differences.reduce(0, +)) * (1 - 1e-12)
    if differences.count <= 14 {
      let count: UInt64 = 1 << UInt64(differences.count)
      let extreme = (0..<count).count { signs in
        var sum = 0.0
        for (place, difference) in differences.enumerated() {
          sum += signs >> UInt64(place) & 1 == 0 ? difference : -difference
        }
        return abs(sum) >= observed
      }
      return Double(extreme) / Double(count)
    }
    var extreme = 1
    for _ in 0..<Self.signFlipCount {
      var sum = 0.0
      for difference in differences { sum += random.next() & 1 == 0 ? difference : -difference }
      if abs(sum) >= observed { extreme += 1 }
    }
    return Double(extreme) / Double(Self.signFlipCount + 1)
  }

  private static let signFlipCount = 20_000

  private mutating func resamples(_ draw: (inout SplitMix64) -> Double) -> [Double] {
    (0..<Self.resampleCount).map { _ in draw(&random) }.sorted()
  }

  private static func expanded(
    _ sorted: [Double], around centre: Double, count: Int
  ) -> ClosedRange<Double> {
    let low = sorted[Int(0.025 * Double(sorted.count))]
    let high = sorted[Int(0.975 * Double(sorted.count)) - 1]
    let n = Double(count)
    let stretch = (n / (n - 1)).squareRoot() * studentQuantile(count - 1) / 1.959_96
    return min(
      centre, centre + (low - centre) * stretch)...max(
        centre, centre + (high - centre) * stretch)
  }

  /// Student's t at 97.5 % for as many degrees of freedom.
  static func studentQuantile(_ degrees: Int) -> Double {
    let table = [
      12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
      2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
      2.052, 2.048, 2.045, 2.042,
    ]
    return degrees <= table.count ? table[max(1, degrees) - 1] : 1.959_96 + 2.45 / Double(degrees)
  }
}
