/// Why bytes from outside were refused.
package enum Malformed: Error, Equatable, Sendable {
  case magic
  /// The frame's version, which is not ours.
  case version(UInt8)
  case kind(UInt8)
  case bodyByteCount(UInt32)
  case checksum
  /// A value goes on beyond the end.
  case truncated
  /// Something follows the end.
  case trailing
  /// A number outside its range, or a text that is none.
  case value
}

/// Builds a body. Numbers are little-endian or LEB128 varints; a list or text is its count, then its
/// elements.
package struct ByteWriter: Sendable {
  package private(set) var bytes: [UInt8] = []

  package init(capacity: Int = 0) { bytes.reserveCapacity(capacity) }

  package mutating func append(_ value: UInt8) { bytes.append(value) }

  package mutating func append(_ value: UInt16) {
    bytes.append(UInt8(truncatingIfNeeded: value))
    bytes.append(UInt8(truncatingIfNeeded: value >> 8))
  }

  package mutating func append(_ value: UInt32) {
    append(UInt16(truncatingIfNeeded: value))
    append(UInt16(truncatingIfNeeded: value >> 16))
  }

  package mutating func append(_ value: UInt64) {
    append(UInt32(truncatingIfNeeded: value))
    append(UInt32(truncatingIfNeeded: value >> 32))
  }

  package mutating func varint(_ value: some FixedWidthInteger & UnsignedInteger) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  /// Small magnitudes of either sign become small varints: 0, -1, 1, -2, 2 …
  package mutating func zigzag(_ value: Int64) {
    varint(UInt64(bitPattern: (value << 1) ^ (value >> 63)))
  }

  /// As many bytes as `body` makes, at most `count`.
  mutating func append(addingCapacity count: Int, _ body: (inout OutputSpan<UInt8>) -> Void) {
    bytes.append(addingCapacity: count, initializingWith: body)
  }

  package mutating func append(_ flag: Bool) { bytes.append(flag ? 1 : 0) }

  /// As they are, without a count.
  package mutating func raw(_ other: some Sequence<UInt8>) { bytes.append(contentsOf: other) }

  package mutating func list(_ other: [UInt8]) {
    varint(UInt64(other.count))
    bytes.append(contentsOf: other)
  }

  package mutating func text(_ value: String) { list(Array(value.utf8)) }
}

/// Takes a body apart. Nothing in it is trusted: each read checks its bounds first, and a count is
/// never believed further than the bytes that are there.
package struct ByteReader: Sendable {
  private let bytes: [UInt8]
  private var offset: Int

  package init(_ bytes: [UInt8]) {
    self.bytes = bytes
    offset = 0
  }

  package var remaining: Int { bytes.count - offset }

  package mutating func u8() throws(Malformed) -> UInt8 {
    guard offset < bytes.count else { throw .truncated }
    defer { offset += 1 }
    return bytes[offset]
  }

  package mutating func u16() throws(Malformed) -> UInt16 {
    UInt16(try u8()) | UInt16(try u8()) << 8
  }

  package mutating func u32() throws(Malformed) -> UInt32 {
    UInt32(try u16()) | UInt32(try u16()) << 16
  }

  package mutating func u64() throws(Malformed) -> UInt64 {
    UInt64(try u32()) | UInt64(try u32()) << 32
  }

  package mutating func flag() throws(Malformed) -> Bool {
    switch try u8() {
    case 0: false
    case 1: true
    default: throw .value
    }
  }

  package mutating func varint<Value: FixedWidthInteger & UnsignedInteger>(
    _ type: Value.Type = UInt64.self
  ) throws(Malformed) -> Value {
    var value: Value = 0
    var shift = 0
    while true {
      let byte = try u8()
      let low = Value(truncatingIfNeeded: byte & 0x7f)
      guard shift < Value.bitWidth, low <= Value.max >> Value(shift) else { throw .value }
      value |= low << Value(shift)
      if byte & 0x80 == 0 {
        // One number, one spelling: the last byte carries something, unless it is the only one.
        guard byte != 0 || shift == 0 else { throw .value }
        return value
      }
      shift += 7
    }
  }

  /// A varint that is at most `limit`.
  package mutating func varint(upTo limit: UInt64) throws(Malformed) -> UInt64 {
    let value = try varint(UInt64.self)
    guard value <= limit else { throw .value }
    return value
  }

  package mutating func zigzag() throws(Malformed) -> Int64 {
    let bits = try varint(UInt64.self)
    return Int64(bitPattern: bits >> 1) ^ -Int64(bitPattern: bits & 1)
  }

  /// How many elements follow, each of at least `elementByteCount` bytes and at most `limit` of them.
  package mutating func count(
    upTo limit: Int, elementByteCount: Int = 1
  ) throws(Malformed) -> Int {
    let count = try varint(upTo: UInt64(limit))
    guard count <= UInt64(remaining / elementByteCount) else { throw .truncated }
    return Int(count)
  }

  package mutating func raw(_ byteCount: Int) throws(Malformed) -> [UInt8] {
    guard byteCount <= remaining else { throw .truncated }
    defer { offset += byteCount }
    return Array(bytes[offset..<offset + byteCount])
  }

  /// All that is left.
  package mutating func rest() -> [UInt8] {
    defer { offset = bytes.count }
    return Array(bytes[offset...])
  }

  package mutating func list(upTo limit: Int) throws(Malformed) -> [UInt8] {
    try raw(try count(upTo: limit))
  }

  package mutating func text(upTo limit: Int) throws(Malformed) -> String {
    guard let text = String(validating: try list(upTo: limit), as: UTF8.self) else { throw .value }
    return text
  }

  package func end() throws(Malformed) {
    guard remaining == 0 else { throw .trailing }
  }

  /// Runs `body` over the bytes, from an offset that it moves on.
  mutating func scan(
    _ body: ([UInt8], inout Int) throws(Malformed) -> Void
  ) throws(Malformed) {
    try body(bytes, &offset)
  }
}
