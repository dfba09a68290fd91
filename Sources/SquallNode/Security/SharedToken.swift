internal import Glibc
package import SquallCluster
internal import SquallEngine
internal import SquallLoad
internal import SquallTLS

/// The secret that master and workers share. It never leaves the process: both sides only prove that
/// they know it.
package struct SharedToken: Sendable {
  /// What 128 random bits are in base 64.
  package static let characterCountMin = 22
  package static let characterCountMax = 4_096
  package static let variable = "SQUALL_TOKEN"

  private let key: [UInt8]

  init(_ text: String) { key = Array(text.utf8) }

  /// A new one of 256 random bits, and its text for those who are to share it.
  package static func made() -> (token: SharedToken, text: String) {
    let words = (0..<4).map { _ in UInt64.random(in: 0...UInt64.max).hexadecimal }
    let text = words.joined()
    return (SharedToken(text), text)
  }

  /// The token of the file, else that of the environment, else none. The environment forgets it, so
  /// that no child inherits it.
  package static func given(file: String?) throws(Complaint) -> SharedToken? {
    if let file { return try SharedToken(file: file) }
    guard let text = Host.variable(variable) else { return nil }
    unsafe unsetenv(variable)
    return try SharedToken(checking: text, from: "the environment variable \(variable)")
  }

  private init(file: String) throws(Complaint) {
    let mode: mode_t
    do throws(SystemError) { mode = try fileMode(file) } catch {
      throw .usage("--token-file \(file) cannot be read: \(SystemError.explain(error.errno)).")
    }
    guard mode & 0o077 == 0 else {
      throw .usage(
        "--token-file \(file) may be read by other users: run chmod 600 \(file), and make a new "
          + "token if others have read it.")
    }
    guard let bytes = readBytes(file) else {
      throw .usage("--token-file \(file) cannot be read: \(SystemError.explain(errno)).")
    }
    let text = String(decoding: bytes, as: UTF8.self)
    try self.init(checking: text, from: "--token-file \(file)")
  }

  private init(checking text: String, from source: String) throws(Complaint) {
    let blanks: [Character] = [" ", "\t", "\n", "\r", "\r\n"]
    let trimmed = text.drop { blanks.contains($0) }.reversed().drop { blanks.contains($0) }
    guard (Self.characterCountMin...Self.characterCountMax).contains(trimmed.count) else {
      throw .usage(
        "the token in \(source) has \(trimmed.count) characters and needs "
          + "\(Self.characterCountMin) to \(Self.characterCountMax): make one with "
          + "'head -c 32 /dev/urandom | base64'.")
    }
    self.init(String(trimmed.reversed()))
  }

  /// Takes the same time wherever the first difference is.
  func isSame(as text: String) -> Bool {
    Authentication.areEqual(key, Array(text.utf8))
  }

  /// HMAC-SHA-256 (RFC 2104), 32 bytes.
  package func authenticate(_ text: [UInt8]) -> [UInt8] { hmacSHA256(text, key: key) }
}

/// Signs and checks a session's datagrams under a key of their own.
struct DatagramKey: Sendable {
  private let key: [UInt8]?

  /// `keyText` is what both machines said the key is made of. Without a token nothing is signed.
  init(_ keyText: [UInt8], digests: Digests) {
    key = digests.authenticate.map { $0(keyText) }
  }

  var sign: (([UInt8]) -> [UInt8])? {
    guard let key else { return nil }
    return { hmacSHA256($0, key: key) }
  }

  /// Takes the same time wherever the first difference is.
  func isAuthentic(_ datagram: Datagram) -> Bool {
    guard let sign else { return true }
    return Authentication.areEqual(
      Array(sign(datagram.signedBytes).prefix(Datagram.macByteCount)), datagram.mac)
  }
}

extension Digests {
  /// Of those who share no token.
  static let standard = standard(token: nil)

  /// SHA-256, and HMAC-SHA-256 when there is a token.
  package static func standard(token: SharedToken?) -> Digests {
    var digests = Digests(hash: sha256)
    if let token { digests.authenticate = { token.authenticate($0) } }
    return digests
  }
}
