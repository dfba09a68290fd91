/// A stream of 64-bit numbers from a seed (Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", 2014). Nothing here needs more than it gives: speed, and the same numbers everywhere.
package struct SplitMix64: RandomNumberGenerator, BitwiseCopyable, Sendable {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  /// The stream that belongs to `first` and `second` among all of `seed`'s.
  package init(seed: UInt64, _ first: UInt64, _ second: UInt64) {
    state = Self.mix(Self.mix(seed &+ Self.golden &* (first &+ 1)) &+ Self.golden &* (second &+ 1))
  }

  package mutating func next() -> UInt64 {
    state &+= Self.golden
    return Self.mix(state)
  }

  /// Uniform in (0, 1]: never zero, so that its logarithm is finite.
  package mutating func nextUnit() -> Double {
    Double((next() &>> 11) &+ 1) * 0x1p-53
  }

  /// Exponentially distributed with mean 1.
  package mutating func nextExponential() -> Double { -naturalLogarithm(nextUnit()) }

  /// Normally distributed with mean 0 and standard deviation 1 (Marsaglia's polar method, 1964).
  package mutating func nextNormal() -> Double {
    while true {
      let x = 2 * nextUnit() - 1
      let y = 2 * nextUnit() - 1
      let square = x * x + y * y
      if square < 1 && square > 0 {
        return x * (-2 * naturalLogarithm(square) / square).squareRoot()
      }
    }
  }

  /// Gamma-distributed with the given shape, at least 1, and mean equal to it (Marsaglia, Tsang,
  /// "A simple method for generating gamma variables", 2000).
  package mutating func nextGamma(shape: Double) -> Double {
    let d = shape - 1.0 / 3
    let c = 1 / (9 * d).squareRoot()
    while true {
      let x = nextNormal()
      let cubeRoot = 1 + c * x
      guard cubeRoot > 0 else { continue }
      let v = cubeRoot * cubeRoot * cubeRoot
      if naturalLogarithm(nextUnit()) < 0.5 * x * x + d * (1 - v + naturalLogarithm(v)) {
        return d * v
      }
    }
  }

  private static let golden: UInt64 = 0x9e37_79b9_7f4a_7c15

  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z &>> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z &>> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z &>> 31)
  }
}

/// The natural logarithm of a positive, finite, normal number, within 2 units in the last place.
///
/// Built from additions, multiplications and one division, which IEEE 754 rounds in one way only, so
/// two hosts with different C libraries place a random schedule's index on the same nanosecond.
package func naturalLogarithm(_ x: Double) -> Double {
  var exponent = Double(x.exponent)
  var significand = x.significand  // 1 ..< 2
  if significand > 1.414_213_562_373_095_1 {
    significand *= 0.5
    exponent += 1
  }
  // ln m = 2 artanh s with s = (m - 1) / (m + 1), |s| < 0.1716: eleven terms reach 2^-53.
  let s = (significand - 1) / (significand + 1)
  let q = s * s
  var series = 1.0 / 21
  series = series * q + 1.0 / 19
  series = series * q + 1.0 / 17
  series = series * q + 1.0 / 15
  series = series * q + 1.0 / 13
  series = series * q + 1.0 / 11
  series = series * q + 1.0 / 9
  series = series * q + 1.0 / 7
  series = series * q + 1.0 / 5
  series = series * q + 1.0 / 3
  // ln 2 in two parts: the first has trailing zeros, so its product with an exponent is exact.
  let high = 0.693_147_180_369_123_8
  let low = 1.908_214_929_270_587_7e-10
  return exponent * high + (exponent * low + 2 * (s + s * q * series))
}
