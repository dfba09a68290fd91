extension Program.Part.Escape {
  /// At most so many bytes become of one.
  static let growthMax = 6

  /// What `byte` becomes, first byte lowest, and how many bytes that is.
  @inline(__always)
  func escaped(_ byte: UInt8) -> (bytes: UInt64, count: Int) {
    switch self {
    case .none, .target, .header: return (UInt64(byte), 1)
    case .path, .query: return byte.isUnreserved ? (UInt64(byte), 1) : byte.percentEncoded
    case .form:
      // application/x-www-form-urlencoded (WHATWG URL, 5.2): a space is a plus.
      if byte == UInt8(ascii: " ") { return (UInt64(UInt8(ascii: "+")), 1) }
      return byte.isUnreserved ? (UInt64(byte), 1) : byte.percentEncoded
    case .json, .jsonValue:
      if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
        return (UInt64(UInt8(ascii: "\\")) | UInt64(byte) << 8, 2)
      }
      guard byte < 0x20 else { return (UInt64(byte), 1) }
      // "\u00XY", as two words.
      let digits = UInt64(byte.hexadecimal(high: true)) | UInt64(byte.hexadecimal(high: false)) << 8
      return (0x3030_755c | digits << 32, 6)
    }
  }

  /// Bytes that may not stand there at all.
  @inline(__always)
  func refuses(_ byte: UInt8) -> Bool {
    switch self {
    case .header: byte == 0x0d || byte == 0x0a || byte == 0
    case .target: byte <= 0x20 || byte >= 0x7f || byte == UInt8(ascii: "#")
    case .none, .path, .query, .form, .json, .jsonValue: false
    }
  }

  func escaped(_ text: some Sequence<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    for byte in text {
      let (bytes, count) = escaped(byte)
      for index in 0..<count { result.append(UInt8(truncatingIfNeeded: bytes >> (8 * index))) }
    }
    return result
  }
}

extension UInt8 {
  /// RFC 3986 2.3.
  @inline(__always)
  var isUnreserved: Bool {
    switch self {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
      UInt8(ascii: "_"), UInt8(ascii: "~"):
      true
    default: false
    }
  }

  @inline(__always)
  func hexadecimal(high: Bool) -> UInt8 {
    let digit = high ? self &>> 4 : self & 15
    return digit < 10 ? UInt8(ascii: "0") &+ digit : UInt8(ascii: "A") &+ digit &- 10
  }

  @inline(__always)
  fileprivate var percentEncoded: (bytes: UInt64, count: Int) {
    (
      UInt64(UInt8(ascii: "%")) | UInt64(hexadecimal(high: true)) << 8
        | UInt64(hexadecimal(high: false)) << 16, 3
    )
  }
}
