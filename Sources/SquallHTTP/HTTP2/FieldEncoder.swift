/// Writes header blocks (RFC 7541). Used before a run, not in it: allocates as it likes.
struct FieldEncoder: ~Copyable {
  struct Field: Equatable, Sendable {
    let name: [UInt8]
    let value: [UInt8]

    var isPseudo: Bool { name.first == UInt8(ascii: ":") }
    /// As tables count it (RFC 7541 4.1).
    var listByteCount: Int { name.count + value.count + 32 }
  }

  private let huffman = HuffmanCode()
  private let statics: [Field] = StaticFields.all.map { name, value in
    Field(name: ByteCursor(name).bytes, value: ByteCursor(value).bytes)
  }

  /// The static entry that is `field`, if one is.
  func staticIndex(of field: Field) -> Int? {
    statics.firstIndex(of: field).map { $0 + 1 }
  }

  static func indexed(_ index: Int) -> [UInt8] { integer(index, prefixBitCount: 7, pattern: 0x80) }

  static func tableByteCountMax(_ byteCount: UInt32) -> [UInt8] {
    integer(Int(byteCount), prefixBitCount: 5, pattern: 0x20)
  }

  /// `field` spelled out, to be added to the table or not.
  func literal(_ field: Field, isAdded: Bool) -> [UInt8] {
    let index = statics.firstIndex { $0.name == field.name }.map { $0 + 1 } ?? 0
    let front =
      isAdded
      ? Self.integer(index, prefixBitCount: 6, pattern: 0x40)
      : Self.integer(index, prefixBitCount: 4, pattern: 0)
    return front + (index == 0 ? string(field.name) : []) + string(field.value)
  }

  private func string(_ bytes: [UInt8]) -> [UInt8] {
    let encoded = huffman.encoded(bytes)
    guard encoded.count < bytes.count else {
      return Self.integer(bytes.count, prefixBitCount: 7, pattern: 0) + bytes
    }
    return Self.integer(encoded.count, prefixBitCount: 7, pattern: 0x80) + encoded
  }

  private static func integer(_ number: Int, prefixBitCount: Int, pattern: UInt8) -> [UInt8] {
    let prefixMax = 1 << prefixBitCount - 1
    guard number >= prefixMax else { return [pattern | UInt8(number)] }
    var bytes = [pattern | UInt8(prefixMax)]
    var rest = number - prefixMax
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7F | 0x80))
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }
}

extension ByteCursor {
  var bytes: [UInt8] { unsafe Array(buffer) }
}
