/// Seeded randomness for delays, names and nonces: SplitMix64 (Steele, Lea and Flood, 2014).
/// A node that needs unguessable nonces seeds it from the kernel and takes nonces from there.
package struct Jitter: RandomNumberGenerator, Sendable {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var bits = state
    bits = (bits ^ (bits >> 30)) &* 0xbf58_476d_1ce4_e5b9
    bits = (bits ^ (bits >> 27)) &* 0x94d0_49bb_1331_11eb
    return bits ^ (bits >> 31)
  }

  /// Exponential backoff with full jitter over its upper half: `firstNs` doubled per attempt up to
  /// `lastNs`, of which between one half and all is waited.
  package mutating func backoffNs(attempt: Int, firstNs: UInt64, lastNs: UInt64) -> UInt64 {
    let ceilingNs = min(lastNs, firstNs << UInt64(min(attempt, 20)))
    return ceilingNs / 2 + next() % (ceilingNs / 2 + 1)
  }

  /// An empty `seed` for tests is fine; the kernel's for the network.
  package mutating func bytes(_ byteCount: Int) -> [UInt8] {
    (0..<byteCount).map { _ in UInt8(truncatingIfNeeded: next() >> 32) }
  }
}
