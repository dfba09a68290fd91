/// A request rendered once, to be sent as it is any number of times (RFC 9112 3, 5).
package struct RequestTemplate: Equatable, Sendable {
  /// The whole request, body included.
  package let bytes: [UInt8]
  /// The request is a HEAD: its response ends with its head.
  package let expectsNoBody: Bool
  /// The request asks the server to close the connection after the response.
  package let closes: Bool

  /// - Parameters:
  ///   - target: path and query, beginning with `/`; or `*` with OPTIONS.
  ///   - host: value of the Host field unless `headers` has one.
  ///   - headers: sent in their order and spelling. Host and User-Agent replace what would be sent
  ///     without them; `Connection: close` means the same as `closes`.
  ///   - body: its length becomes Content-Length; without a body only POST, PUT and PATCH have one.
  ///   - userAgent: such as `squall/1.0`.
  package init(
    method: String, target: String, host: String, headers: [(name: String, value: String)],
    body: [UInt8], closes: Bool, userAgent: String
  ) throws(RequestError) {
    try Self.check(method: method, target: target)
    for (name, value) in headers { try Self.check(name: name, value: value) }
    try Self.check(name: "User-Agent", value: userAgent)
    func values(of wanted: String) -> [String] {
      headers.filter { $0.name.lowercased() == wanted }.map(\.value)
    }

    let hosts = values(of: "host")
    guard hosts.count <= 1 else { throw .repeatedHost }
    let host = hosts.first ?? host
    guard !host.isEmpty, host.unicodeScalars.allSatisfy(\.isTarget) else {
      throw .invalidHost(host)
    }

    let asksToClose = values(of: "connection").contains { value in
      value.split(separator: ",").contains { $0.trimmed.lowercased() == "close" }
    }

    var text = "\(method) \(target) HTTP/1.1\r\nHost: \(host)\r\n"
    for (name, value) in headers where name.lowercased() != "host" {
      text += "\(name): \(value)\r\n"
    }
    if values(of: "user-agent").isEmpty { text += "User-Agent: \(userAgent)\r\n" }
    if !body.isEmpty || ["POST", "PUT", "PATCH"].contains(method) {
      text += "Content-Length: \(body.count)\r\n"
    }
    if closes, !asksToClose { text += "Connection: close\r\n" }
    bytes = Array((text + "\r\n").utf8) + body
    expectsNoBody = method == "HEAD"
    self.closes = closes || asksToClose
  }

  private static func check(method: String, target: String) throws(RequestError) {
    guard method.isToken else { throw .invalidMethod(method) }
    guard method != "CONNECT" else { throw .connectMethod }
    if let scalar = target.unicodeScalars.first(where: { !$0.isTarget }) {
      throw .invalidTarget(target, scalar)
    }
    guard target.utf8.first == UInt8(ascii: "/") || target == "*" && method == "OPTIONS" else {
      throw .targetForm(target)
    }
  }

  private static func check(name: String, value: String) throws(RequestError) {
    guard name.isToken else { throw .invalidFieldName(name) }
    guard !["content-length", "transfer-encoding"].contains(name.lowercased()) else {
      throw .framingField(name)
    }
    let isText = { (scalar: Unicode.Scalar) in !scalar.isASCII || UInt8(ascii: scalar).isText }
    if let scalar = value.unicodeScalars.first(where: { !isText($0) }) {
      throw .invalidFieldValue(name: name, scalar)
    }
  }
}

extension StringProtocol {
  fileprivate var isToken: Bool { !isEmpty && utf8.allSatisfy(\.isToken) }

  var trimmed: String {
    let isSpace = { (character: Character) in character == " " || character == "\t" }
    return String(drop(while: isSpace).reversed().drop(while: isSpace).reversed())
  }
}
