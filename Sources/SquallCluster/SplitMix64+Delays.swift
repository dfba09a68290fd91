package import SquallLoad

/// Delays, names and nonces of the machines. A node that needs unguessable nonces seeds the stream from
/// the kernel and takes nonces from there.
extension SplitMix64 {
  /// Exponential backoff with full jitter over its upper half: `firstNs` doubled per attempt up to
  /// `lastNs`, of which between one half and all is waited.
  package mutating func backoffNs(attempt: Int, firstNs: UInt64, lastNs: UInt64) -> UInt64 {
    let ceilingNs = min(lastNs, firstNs << UInt64(min(attempt, 20)))
    return ceilingNs / 2 + next() % (ceilingNs / 2 + 1)
  }

  package mutating func bytes(_ byteCount: Int) -> [UInt8] {
    (0..<byteCount).map { _ in UInt8(truncatingIfNeeded: next() >> 32) }
  }
}
