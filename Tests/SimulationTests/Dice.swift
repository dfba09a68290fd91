import SquallLoad

/// Randomness of one simulation: a seed is all there is to a run.
struct Dice: RandomNumberGenerator {
  private var stream: SplitMix64

  init(seed: UInt64) { stream = SplitMix64(seed: seed) }

  mutating func next() -> UInt64 { stream.next() }

  /// Uniform in [0, 1).
  mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

  mutating func chance(_ probability: Double) -> Bool { unit() < probability }

  mutating func below(_ end: Int) -> Int { Int(next() % UInt64(end)) }

  mutating func between(_ low: UInt64, _ high: UInt64) -> UInt64 { low + next() % (high - low + 1) }

  mutating func between(_ low: Double, _ high: Double) -> Double { low + unit() * (high - low) }

  /// Memoryless, with the given mean, cut off at thirty times that.
  mutating func exponential(_ mean: Double) -> Double {
    // Good to a few per cent, which is all a delay needs, and the same on every host.
    var u = unit()
    var octaves = 0.0
    while u < 0.5 && octaves < 40 {
      u *= 2
      octaves += 1
    }
    return mean * 0.693_147 * (octaves + 2 * (1 - u))
  }
}

let microsecond: UInt64 = 1_000
let millisecond: UInt64 = 1_000_000
let second: UInt64 = 1_000_000_000
