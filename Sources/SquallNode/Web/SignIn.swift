internal import Glibc
internal import HTTPTypes
internal import NIOConcurrencyHelpers
internal import SquallCluster
internal import SquallEngine
internal import SquallLoad

/// Whether a request on a port that others can reach comes from somebody who knows the token: by the
/// header `Authorization: Bearer TOKEN`, or by the cookie that `POST /api/session` gives to a page.
///
/// The cookie holds an instant and an HMAC of it under the token, so that nothing is kept of a session
/// and a master that is started again still knows it. It is no token: it opens this port until then.
final class SignIn: Sendable {
  enum Outcome {
    case cookie(String)
    case wrong
    /// Too many wrong ones of late.
    case tooMany
  }

  private static let name = "squall"
  private static let lifeNs: UInt64 = 12 * 3_600_000_000_000
  /// Wrong tokens in a minute, from anybody: a person mistypes a few.
  private static let wrongCountMax = 10
  private static let wrongSpanNs: UInt64 = 60_000_000_000

  private let token: SharedToken
  private let isSecure: Bool
  private let wrongNs = NIOLockedValueBox<[UInt64]>([])

  /// `isSecure`: the port speaks TLS, and the cookie goes over nothing else.
  init(_ token: SharedToken, isSecure: Bool) {
    self.token = token
    self.isSecure = isSecure
  }

  func knows(_ headers: HTTPFields) -> Bool {
    let words = (headers[.authorization] ?? "").split(separator: " ")
    if words.count == 2, words[0] == "Bearer", token.isSame(as: String(words[1])) { return true }
    for cookies in headers[values: .cookie] {
      for cookie in cookies.split(separator: ";") {
        let parts = cookie.drop { $0 == " " }.split(separator: "=", maxSplits: 1)
        if parts.count == 2, parts[0] == Self.name, isGood(String(parts[1])) { return true }
      }
    }
    return false
  }

  func signIn(_ text: String) -> Outcome {
    let nowNs = monotonicNs()
    let isOpen = wrongNs.withLockedValue { wrong in
      wrong.removeAll { nowNs - min($0, nowNs) > Self.wrongSpanNs }
      return wrong.count < Self.wrongCountMax
    }
    guard isOpen else { return .tooMany }
    guard token.isSame(as: text) else {
      wrongNs.withLockedValue { $0.append(nowNs) }
      return .wrong
    }
    let untilS = String((wallNs() + Self.lifeNs) / 1_000_000_000)
    return .cookie(cookie("\(untilS).\(seal(untilS))", ageS: Self.lifeNs / 1_000_000_000))
  }

  /// Takes the cookie away.
  var signOut: String { cookie("", ageS: 0) }

  private func cookie(_ value: String, ageS: UInt64) -> String {
    "\(Self.name)=\(value); Path=/; Max-Age=\(ageS); HttpOnly; SameSite=Strict"
      + (isSecure ? "; Secure" : "")
  }

  private func isGood(_ value: String) -> Bool {
    let parts = value.split(separator: ".")
    guard parts.count == 2, let untilS = UInt64(parts[0]), untilS > wallNs() / 1_000_000_000
    else { return false }
    return Authentication.areEqual(Array(seal(String(parts[0])).utf8), Array(parts[1].utf8))
  }

  private func seal(_ untilS: String) -> String {
    token.authenticate(Array("squall page until \(untilS)".utf8)).map { byte in
      (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }.joined()
  }
}
