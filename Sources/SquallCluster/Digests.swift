/// The two pure functions of bytes that the machines need and do not have: the owner passes them in.
package struct Digests: Sendable {
  /// SHA-256, 32 bytes.
  package var hash: @Sendable ([UInt8]) -> [UInt8]
  /// HMAC-SHA-256 under the shared token, 32 bytes; nil when there is no token.
  package var authenticate: (@Sendable ([UInt8]) -> [UInt8])?

  package init(
    hash: @escaping @Sendable ([UInt8]) -> [UInt8],
    authenticate: (@Sendable ([UInt8]) -> [UInt8])? = nil
  ) {
    self.hash = hash
    self.authenticate = authenticate
  }
}

/// What is signed under the token. The labels differ, so neither side's answer serves as the other's
/// and a peer that only mirrors learns nothing.
package enum Authentication {
  package static func masterText(agentNonce: [UInt8], masterNonce: [UInt8]) -> [UInt8] {
    Array("squall master".utf8) + agentNonce + masterNonce
  }

  package static func agentText(agentNonce: [UInt8], masterNonce: [UInt8]) -> [UInt8] {
    Array("squall agent".utf8) + masterNonce + agentNonce
  }

  /// The MAC of this text is the key of the session's datagrams.
  package static func datagramText(agentNonce: [UInt8], masterNonce: [UInt8]) -> [UInt8] {
    Array("squall datagram".utf8) + agentNonce + masterNonce
  }

  /// Takes the same time wherever the first difference is.
  package static func areEqual(_ one: [UInt8], _ other: [UInt8]) -> Bool {
    guard one.count == other.count else { return false }
    var difference: UInt8 = 0
    for index in one.indices { difference |= one[index] ^ other[index] }
    return difference == 0
  }
}
