extension Int32 {
  /// A window for sending after the peer's change of it, which may leave it below zero (RFC 9113
  /// sections 6.9.1 and 6.9.2).
  func widened(by change: Int64) throws(H2Violation) -> Int32 {
    guard let sum = Int32(exactly: Int64(self) + change) else { throw .windowOverflow }
    return sum
  }
}
