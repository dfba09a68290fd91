/// The parts of `http[s]://host[:port]/path?query` that a connection and a request need (RFC 3986,
/// RFC 9110 4.2.1).
///
/// Strict: nothing is guessed, decoded or normalised, so what is sent is what was written. A
/// fragment is dropped, as it never goes on the wire. The scheme may be left out where a port says
/// that a host is meant (`localhost:8080/x`).
package struct TargetURL: Equatable, Sendable {
  /// A name or an address to connect to; an IPv6 address without its brackets.
  package let host: String
  /// 1 to 65535; 80 or 443 when the URL names none.
  package let port: UInt16
  /// The scheme is https: TLS comes before HTTP.
  package let isSecure: Bool
  /// Path and query as they go on the request line; begins with `/`.
  package let target: String
  /// The value of the Host field: IPv6 addresses in brackets, the port unless it is the scheme's.
  package let hostField: String

  /// RFC 1035 3.1: 255 bytes of labels and lengths make 253 characters.
  static let hostByteCountMax = 253

  /// Scheme and host, as a URL.
  package var text: String { (isSecure ? "https://" : "http://") + hostField }

  package enum Fault: Error, Equatable, Sendable {
    case missingScheme(String)
    case unsupportedScheme(String)
    case userInfo
    case emptyHost
    case invalidHost(String, Unicode.Scalar)
    case hostTooLong(byteCount: Int)
    case bareIPv6(String)
    case invalidIPv6(String)
    case invalidPort(String)
    case invalidTarget(String, Unicode.Scalar)
  }

  package init(_ text: String) throws(Fault) {
    let (rest, isSecure) = try Self.afterScheme(text)
    let defaultPort: UInt16 = isSecure ? 443 : 80
    let authority = rest.prefix { !"/?#".unicodeScalars.contains($0) }
    guard !authority.contains("@") else { throw .userInfo }

    let (host, port, isIPv6) = try Self.split(authority, defaultPort: defaultPort)
    self.host = host
    self.isSecure = isSecure
    self.port = port
    let name = isIPv6 ? "[\(host)]" : host
    hostField = port == defaultPort ? name : "\(name):\(port)"

    let target = rest[authority.endIndex...].prefix { $0 != "#" }
    if let scalar = target.first(where: { !$0.isTarget }) {
      throw .invalidTarget(String(target), scalar)
    }
    self.target = (target.first == "/" ? "" : "/") + String(target)
  }

  private static func afterScheme(
    _ text: String
  ) throws(Fault) -> (rest: Substring.UnicodeScalarView, isSecure: Bool) {
    let scalars = text[...].unicodeScalars
    let scheme = scalars.prefix { $0.isLetter || $0.isDigit || "+-.".unicodeScalars.contains($0) }
    if !scheme.isEmpty, scalars[scheme.endIndex...].starts(with: "://".unicodeScalars) {
      switch String(scheme).lowercased() {
      case "http": return (scalars[scheme.endIndex...].dropFirst(3), false)
      case "https": return (scalars[scheme.endIndex...].dropFirst(3), true)
      default: throw .unsupportedScheme(String(scheme))
      }
    }
    // "host:port" cannot be told from "scheme:rest" but by what follows the colon.
    let authority = scalars.prefix { !"/?#".unicodeScalars.contains($0) }
    guard let colon = authority.lastIndex(of: ":"), colon != authority.startIndex,
      case let port = authority[authority.index(after: colon)...], !port.isEmpty,
      port.allSatisfy(\.isDigit)
    else { throw .missingScheme(text) }
    return (scalars, false)
  }

  private static func split(
    _ authority: Substring.UnicodeScalarView, defaultPort: UInt16
  ) throws(Fault) -> (host: String, port: UInt16, isIPv6: Bool) {
    guard authority.first == "[" else {
      let host = authority.prefix { $0 != ":" }
      guard authority[host.endIndex...].lazy.filter({ $0 == ":" }).count < 2 else {
        throw .bareIPv6(String(authority))
      }
      guard !host.isEmpty else { throw .emptyHost }
      if let scalar = host.first(where: { !$0.isHostName }) {
        throw .invalidHost(String(host), scalar)
      }
      guard host.count <= hostByteCountMax else { throw .hostTooLong(byteCount: host.count) }
      return (String(host), try port(authority[host.endIndex...], defaultPort), false)
    }
    guard let close = authority.firstIndex(of: "]") else { throw .invalidIPv6(String(authority)) }
    let address = authority[..<close].dropFirst()
    guard Substring(address).isIPv6Address else { throw .invalidIPv6(String(address)) }
    return (String(address), try port(authority[close...].dropFirst(), defaultPort), true)
  }

  /// Of `:port`, or of nothing.
  private static func port(
    _ text: Substring.UnicodeScalarView, _ defaultPort: UInt16
  ) throws(Fault) -> UInt16 {
    guard !text.isEmpty else { return defaultPort }
    let digits = text.dropFirst()
    guard text.first == ":", digits.allSatisfy(\.isDigit), let port = UInt16(String(digits)),
      port > 0
    else { throw .invalidPort(String(text.first == ":" ? digits : text)) }
    return port
  }
}

extension TargetURL.Fault: CustomStringConvertible {
  package var description: String {
    switch self {
    case .missingScheme(let text):
      "the target \(text.quoted) has no scheme: write it as http://host[:port]/path"
    case .unsupportedScheme(let scheme):
      "the scheme \(scheme.quoted) is not supported: write the target as http[s]://host[:port]/path"
    case .userInfo:
      "the target holds a user name: take it out and use -H 'Authorization: ...'"
    case .emptyHost:
      "the target has no host: write it as http://host[:port]/path"
    case .invalidHost(let host, let scalar):
      "the host \(host.quoted) holds \(scalar.name): "
        + (scalar.isASCII ? "write a name or an address" : "write it in its ASCII form (xn--...)")
    case .hostTooLong(let byteCount):
      "the host is \(byteCount) characters long: a name has at most \(TargetURL.hostByteCountMax)"
    case .bareIPv6(let authority):
      "the host \(authority.quoted) has more than one colon: write an IPv6 address in brackets"
    case .invalidIPv6(let address):
      "\(address.quoted) is not an IPv6 address: write it as [::1]"
    case .invalidPort(let port):
      "the port \(port.quoted) is not a number from 1 to 65535: write it as host:port"
    case .invalidTarget(let target, let scalar):
      "the path \(target.quoted) holds \(scalar.name): write it as \(scalar.percentEncoded)"
    }
  }
}

extension Unicode.Scalar {
  fileprivate var isDigit: Bool { "0"..."9" ~= self }
  fileprivate var isLetter: Bool { "a"..."z" ~= self || "A"..."Z" ~= self }
  /// Letters, digits, hyphen and dot, and the underscore that container networks use.
  fileprivate var isHostName: Bool {
    isLetter || isDigit || self == "-" || self == "." || self == "_"
  }
  /// VCHAR without `#`. More than RFC 3986 grants a path or query, which is the server's to judge;
  /// all that could end a request line is out.
  var isTarget: Bool { "!"..."~" ~= self && self != "#" }
}

extension Substring {
  /// RFC 3986 3.2.2, without a zone.
  fileprivate var isIPv6Address: Bool {
    // "::" stands for at least one group and may stand once; splitting at each colon shows it as an
    // empty part inside, or as two at an end.
    var parts = split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count >= 3 else { return false }
    if parts[0].isEmpty {
      guard parts[1].isEmpty else { return false }
      parts.removeFirst()
    }
    if let last = parts.last, last.isEmpty {
      guard parts[parts.count - 2].isEmpty else { return false }
      parts.removeLast()
    }
    var groupCount = 0
    var gapCount = 0
    for (index, part) in parts.enumerated() {
      if part.isEmpty {
        gapCount += 1
      } else if part.utf8.count <= 4, part.utf8.allSatisfy({ Character(.init($0)).isHexDigit }) {
        groupCount += 1
      } else if index == parts.count - 1, part.isIPv4Address {
        groupCount += 2
      } else {
        return false
      }
    }
    return gapCount == 0 ? groupCount == 8 : gapCount == 1 && groupCount <= 7
  }

  private var isIPv4Address: Bool {
    let parts = split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4
      && parts.allSatisfy { part in
        part.unicodeScalars.allSatisfy(\.isDigit) && (part.count == 1 || part.first != "0")
          && UInt8(part) != nil
      }
  }
}
