/// Bytes where they lie: valid as long as what they lie in.
@safe struct Excerpt {
  private let bytes: UnsafeRawBufferPointer

  init(_ bytes: UnsafeRawBufferPointer) { unsafe self.bytes = bytes }

  var count: Int { unsafe bytes.count }
  var isEmpty: Bool { unsafe bytes.isEmpty }
  var raw: UnsafeRawBufferPointer { unsafe bytes }

  subscript(index: Int) -> UInt8 { unsafe bytes[index] }

  subscript(range: Range<Int>) -> Excerpt {
    unsafe Excerpt(UnsafeRawBufferPointer(rebasing: bytes[range]))
  }

  func dropping(_ count: Int) -> Excerpt { self[min(count, self.count)..<self.count] }

  static func == (left: Excerpt, right: StaticString) -> Bool {
    left.count == right.utf8CodeUnitCount && left.hasPrefix(right)
  }

  static func == (left: Excerpt, right: Excerpt) -> Bool {
    left.count == right.count && left.hasPrefix(right)
  }

  func hasPrefix(_ text: StaticString) -> Bool { hasPrefix(Excerpt(text)) }

  func hasPrefix(_ other: Excerpt) -> Bool {
    guard count >= other.count else { return false }
    for index in 0..<other.count where self[index] != other[index] { return false }
    return true
  }

  /// Of field names, which have no case (RFC 9110 section 5.1).
  func isSameField(as name: StaticString) -> Bool {
    let name = Excerpt(name)
    guard count == name.count else { return false }
    for index in 0..<count where self[index] | 0x20 != name[index] | 0x20 { return false }
    return true
  }

  init(_ text: StaticString) {
    unsafe self.init(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  func firstIndex(of byte: UInt8, from start: Int = 0) -> Int? {
    var index = start
    while index < count {
      if self[index] == byte { return index }
      index += 1
    }
    return nil
  }

  func firstIndex(of text: Excerpt, from start: Int = 0) -> Int? {
    var index = start
    while index + text.count <= count {
      if self[index..<index + text.count] == text { return index }
      index += 1
    }
    return nil
  }

  /// What stands before the first `byte` and behind it; all, and nothing, when there is none.
  func cut(at byte: UInt8) -> (before: Excerpt, behind: Excerpt) {
    guard let index = firstIndex(of: byte) else { return (self, self[count..<count]) }
    return (self[0..<index], self[index + 1..<count])
  }

  var trimmed: Excerpt {
    func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }
    var (start, end) = (0, count)
    while start < end, isBlank(self[start]) { start += 1 }
    while end > start, isBlank(self[end - 1]) { end -= 1 }
    return self[start..<end]
  }

  /// Up to 18 digits and nothing else.
  var number: UInt64? {
    guard (1...18).contains(count) else { return nil }
    var number: UInt64 = 0
    for index in 0..<count {
      let digit = self[index] &- UInt8(ascii: "0")
      guard digit <= 9 else { return nil }
      number = number * 10 + UInt64(digit)
    }
    return number
  }

  /// Sixteen hexadecimal digits.
  var mark: UInt64? {
    guard count == 16 else { return nil }
    var number: UInt64 = 0
    for index in 0..<16 {
      guard let digit = self[index].hexadecimalDigit else { return nil }
      number = number << 4 | UInt64(digit)
    }
    return number
  }

  /// The value of `name` in `a=b&c=d`.
  func item(_ name: StaticString) -> Excerpt? {
    var rest = self
    while !rest.isEmpty {
      let (item, behind) = rest.cut(at: UInt8(ascii: "&"))
      let (key, value) = item.cut(at: UInt8(ascii: "="))
      if key == name { return value }
      rest = behind
    }
    return nil
  }
}

extension UInt8 {
  var hexadecimalDigit: UInt8? {
    switch self {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
    default: nil
    }
  }
}
