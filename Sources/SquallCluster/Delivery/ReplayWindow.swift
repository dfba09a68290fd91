/// Which datagrams of a session have been taken already (RFC 4303 section 3.4.3, with more room): each
/// sequence number is accepted once, and not at all when it is older than the newest by `width`.
package struct ReplayWindow: Equatable, Sendable {
  package static let width: UInt32 = 1_024
  private static let wordCount = Int(width / 64)

  private var newest: UInt32 = 0
  private var words = [UInt64](repeating: 0, count: wordCount)

  package init() {}

  /// True the first time. Call it only for a datagram whose MAC was right. Sequences start at 1; a
  /// session ends before they wrap.
  package mutating func accept(_ sequence: UInt32) -> Bool {
    guard sequence > 0 else { return false }
    if sequence > newest {
      if sequence - newest >= Self.width {
        for word in words.indices { words[word] = 0 }
      } else {
        for skipped in newest + 1...sequence { clear(skipped) }
      }
      newest = sequence
    } else if newest - sequence >= Self.width {
      return false
    }
    let word = Int(sequence / 64) % Self.wordCount
    let bit: UInt64 = 1 << UInt64(sequence % 64)
    guard words[word] & bit == 0 else { return false }
    words[word] |= bit
    return true
  }

  private mutating func clear(_ sequence: UInt32) {
    words[Int(sequence / 64) % Self.wordCount] &= ~(1 << UInt64(sequence % 64))
  }
}
