/// A whole request, looked at where it lies. The parser has judged its form already.
@safe struct ShopRequest {
  let method: Excerpt
  let path: Excerpt
  let query: Excerpt
  let body: Excerpt
  private let fields: Excerpt

  /// Nil where the body comes in chunks, which the shop does not read.
  init?(_ bytes: Excerpt) {
    var start = 0
    // Empty lines before a request are no part of it (RFC 9112 section 2.2).
    while start < bytes.count, bytes[start] == 0x0d || bytes[start] == 0x0a { start += 1 }
    let request = bytes.dropping(start)
    let headEnd = request.firstIndex(of: Excerpt("\r\n\r\n")) ?? request.count
    let (line, rest) = request[0..<headEnd].cut(at: 0x0a)
    let (method, target) = line.cut(at: UInt8(ascii: " "))
    self.method = method
    (path, query) = target.cut(at: UInt8(ascii: " ")).before.cut(at: UInt8(ascii: "?"))
    fields = rest
    body = request.dropping(headEnd + 4)
    if field("transfer-encoding") != nil { return nil }
  }

  /// The first field of that name.
  func field(_ name: StaticString) -> Excerpt? {
    var rest = fields
    while !rest.isEmpty {
      let (line, behind) = rest.cut(at: 0x0a)
      let (key, value) = line.cut(at: UInt8(ascii: ":"))
      if key.isSameField(as: name) { return value.trimmed }
      rest = behind
    }
    return nil
  }

  func cookie(_ name: StaticString) -> Excerpt? {
    var rest = field("cookie") ?? path[0..<0]
    while !rest.isEmpty {
      let (pair, behind) = rest.cut(at: UInt8(ascii: ";"))
      let (key, value) = pair.trimmed.cut(at: UInt8(ascii: "="))
      if key == name { return value }
      rest = behind
    }
    return nil
  }

  /// What stands behind the path's beginning.
  func path(behind prefix: StaticString) -> Excerpt? {
    guard path.hasPrefix(prefix), path.count > prefix.utf8CodeUnitCount else { return nil }
    return path.dropping(prefix.utf8CodeUnitCount)
  }

  func hasType(_ type: StaticString) -> Bool {
    guard let given = field("content-type") else { return false }
    return given.cut(at: UInt8(ascii: ";")).before.trimmed == type
  }
}

/// A JSON object of texts, numbers and words, the only JSON that the shop is sent.
@safe struct ShopJSON {
  struct Value {
    var text: Excerpt
    var isText: Bool
    var number: UInt64? { isText ? nil : text.number }
  }

  private let text: Excerpt

  init(_ text: Excerpt) { self.text = text }

  /// Nil when there is none, or the whole is no such object.
  subscript(name: StaticString) -> Value? {
    var index = 0
    var found: Value?
    func skipBlanks() {
      while index < text.count, text[index] == 0x20 || (0x09...0x0d).contains(text[index]) {
        index += 1
      }
    }
    func take(_ byte: UInt8) -> Bool {
      skipBlanks()
      guard index < text.count, text[index] == byte else { return false }
      index += 1
      return true
    }
    func quoted() -> Excerpt? {
      guard take(UInt8(ascii: "\"")) else { return nil }
      let start = index
      while index < text.count, text[index] != UInt8(ascii: "\"") {
        index += text[index] == UInt8(ascii: "\\") ? 2 : 1
      }
      guard index < text.count else { return nil }
      index += 1
      return text[start..<index - 1]
    }
    func isBare(_ byte: UInt8) -> Bool {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
        UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "E"):
        true
      default: false
      }
    }
    guard take(UInt8(ascii: "{")) else { return nil }
    repeat {
      guard let key = quoted(), take(UInt8(ascii: ":")) else { return nil }
      skipBlanks()
      let start = index
      var value = Value(text: text[start..<start], isText: false)
      if index < text.count, text[index] == UInt8(ascii: "\"") {
        guard let word = quoted() else { return nil }
        value = Value(text: word, isText: true)
      } else {
        while index < text.count, isBare(text[index]) { index += 1 }
        guard index > start else { return nil }
        value.text = text[start..<index]
      }
      if key == name { found = value }
    } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "}")) else { return nil }
    skipBlanks()
    return index == text.count ? found : nil
  }
}
