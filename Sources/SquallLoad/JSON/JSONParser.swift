extension JSONValue {
  /// Where and why a text is not JSON.
  package struct Malformed: Error, Equatable, CustomStringConvertible {
    /// From 1.
    package var line: Int
    /// In bytes from 1.
    package var column: Int
    package var reason: String

    package var description: String { "not JSON at line \(line), column \(column): \(reason)" }
  }

  /// Arrays and objects inside one another, at most.
  package static let depthMax = 64

  /// Reads exactly one value of RFC 8259, in UTF-8. Refuses what the RFC merely frowns at: repeated
  /// member names, numbers too large for a double, unpaired surrogates.
  package init(text: [UInt8]) throws(Malformed) {
    var parser = Parser(text: text)
    self = try parser.document()
  }

  package init(text: String) throws(Malformed) {
    try self.init(text: Array(text.utf8))
  }

  private struct Parser {
    let text: [UInt8]
    var position = 0

    mutating func document() throws(Malformed) -> JSONValue {
      let value = try value(depth: 0)
      skipSpace()
      guard position == text.count else { throw malformed("something after the value") }
      return value
    }

    private func malformed(_ reason: String) -> Malformed {
      let before = text[..<min(position, text.count)]
      let lineStart = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
      return Malformed(
        line: before.count { $0 == UInt8(ascii: "\n") } + 1, column: before.count - lineStart + 1,
        reason: reason)
    }

    private var next: UInt8? { position < text.count ? text[position] : nil }

    private static func isDigit(_ byte: UInt8) -> Bool {
      (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    private mutating func skipSpace() {
      while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
        position += 1
      }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
      guard next == byte else { return false }
      position += 1
      return true
    }

    private mutating func expect(_ character: Unicode.Scalar) throws(Malformed) {
      guard take(UInt8(ascii: character)) else { throw malformed("expected '\(character)'") }
    }

    private mutating func value(depth: Int) throws(Malformed) -> JSONValue {
      skipSpace()
      switch next {
      case UInt8(ascii: "{"): return try object(depth: depth)
      case UInt8(ascii: "["): return try array(depth: depth)
      case UInt8(ascii: "\""): return .string(try string())
      case UInt8(ascii: "t"): return try literal("true", .bool(true))
      case UInt8(ascii: "f"): return try literal("false", .bool(false))
      case UInt8(ascii: "n"): return try literal("null", .null)
      case nil: throw malformed("the text ends where a value is due")
      case .some(let byte) where byte == UInt8(ascii: "-") || Self.isDigit(byte):
        return try number()
      default: throw malformed("no value begins like this")
      }
    }

    private mutating func literal(_ word: String, _ value: JSONValue) throws(Malformed) -> JSONValue
    {
      guard text[position...].starts(with: word.utf8) else { throw malformed("expected \(word)") }
      position += word.utf8.count
      return value
    }

    private mutating func array(depth: Int) throws(Malformed) -> JSONValue {
      guard depth < JSONValue.depthMax else { throw malformed("nested too deep") }
      position += 1
      var elements: [JSONValue] = []
      skipSpace()
      if take(UInt8(ascii: "]")) { return .array(elements) }
      while true {
        elements.append(try value(depth: depth + 1))
        skipSpace()
        if take(UInt8(ascii: "]")) { return .array(elements) }
        try expect(",")
      }
    }

    private mutating func object(depth: Int) throws(Malformed) -> JSONValue {
      guard depth < JSONValue.depthMax else { throw malformed("nested too deep") }
      position += 1
      var members: [Member] = []
      var names: Set<String> = []
      skipSpace()
      if take(UInt8(ascii: "}")) { return .object(members) }
      while true {
        skipSpace()
        guard next == UInt8(ascii: "\"") else { throw malformed("expected a member's name") }
        let name = try string()
        guard names.insert(name).inserted else { throw malformed("repeated member \"\(name)\"") }
        skipSpace()
        try expect(":")
        members.append(Member(name, try value(depth: depth + 1)))
        skipSpace()
        if take(UInt8(ascii: "}")) { return .object(members) }
        try expect(",")
      }
    }

    private mutating func digits() throws(Malformed) {
      let start = position
      while let byte = next, Self.isDigit(byte) { position += 1 }
      guard position > start else { throw malformed("expected a digit") }
    }

    private mutating func number() throws(Malformed) -> JSONValue {
      let start = position
      _ = take(UInt8(ascii: "-"))
      let first = position
      try digits()
      if text[first] == UInt8(ascii: "0") && position > first + 1 {
        position = first
        throw malformed("a number with a leading zero")
      }
      var isInteger = true
      if take(UInt8(ascii: ".")) {
        isInteger = false
        try digits()
      }
      if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
        isInteger = false
        if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
        try digits()
      }
      let digits = String(decoding: text[start..<position], as: UTF8.self)
      if isInteger, let integer = Int128(digits) { return .integer(integer) }
      guard let number = Double(digits), number.isFinite else {
        position = start
        throw malformed("a number out of range")
      }
      return .number(number)
    }

    private mutating func string() throws(Malformed) -> String {
      position += 1
      var bytes: [UInt8] = []
      while true {
        guard let byte = next else { throw malformed("the text ends inside a string") }
        switch byte {
        case UInt8(ascii: "\""):
          guard let string = String(validating: bytes, as: UTF8.self) else {
            throw malformed("a string that is not UTF-8")
          }
          position += 1
          return string
        case UInt8(ascii: "\\"):
          position += 1
          bytes += try escape()
        case 0..<0x20: throw malformed("a control character inside a string")
        default:
          bytes.append(byte)
          position += 1
        }
      }
    }

    private mutating func escape() throws(Malformed) -> [UInt8] {
      guard let byte = next else { throw malformed("the text ends inside a string") }
      position += 1
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
      case UInt8(ascii: "b"): return [0x08]
      case UInt8(ascii: "f"): return [0x0c]
      case UInt8(ascii: "n"): return [0x0a]
      case UInt8(ascii: "r"): return [0x0d]
      case UInt8(ascii: "t"): return [0x09]
      case UInt8(ascii: "u"):
        var code = try hexadecimal()
        if (0xd800..<0xdc00).contains(code) {
          try expect("\\")
          try expect("u")
          let low = try hexadecimal()
          guard (0xdc00..<0xe000).contains(low) else { throw malformed("an unpaired surrogate") }
          code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
        }
        guard let scalar = Unicode.Scalar(code) else { throw malformed("an unpaired surrogate") }
        return Array(String(scalar).utf8)
      default:
        position -= 1
        throw malformed("an unknown escape")
      }
    }

    private mutating func hexadecimal() throws(Malformed) -> UInt32 {
      var code: UInt32 = 0
      for _ in 0..<4 {
        guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue,
          byte < 0x80
        else { throw malformed("expected four hexadecimal digits") }
        code = code << 4 | UInt32(digit)
        position += 1
      }
      return code
    }
  }
}
