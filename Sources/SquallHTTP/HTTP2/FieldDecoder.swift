/// Who is told of the fields of a block, in their order.
package protocol FieldVisitor {
  mutating func take(_ field: HeaderField) throws(H2Violation)
}

/// Reads header blocks (RFC 7541). One serves all connections of a worker: what belongs to one of
/// them is its table.
@safe package struct FieldDecoder: ~Copyable {
  private let huffman = HuffmanCode()
  private let statics: UnsafeMutablePointer<HeaderField>
  /// For the strings of one field, decoded, and a name that lies in the table to which the field is
  /// going to be added.
  private let scratch: UnsafeMutableRawPointer
  private static let scratchByteCount =
    HuffmanCode.decodedByteCountMax(of: FrameReader.blockByteCountMax) + Int(UInt16.max)

  package init() {
    let count = Int(StaticFields.count)
    unsafe statics = .allocate(capacity: count + 1)
    for (index, field) in StaticFields.all.enumerated() {
      let name = ByteCursor(field.name)
      let value = ByteCursor(field.value)
      unsafe (statics + index + 1).initialize(
        to: HeaderField(
          name: name, value: value, meaning: FieldMeaning(name: name, value: value)))
    }
    unsafe scratch = .allocate(byteCount: Self.scratchByteCount, alignment: 16)
  }

  deinit {
    unsafe statics.deallocate()
    unsafe scratch.deallocate()
  }

  /// Reads one block.
  @safe package mutating func decode(
    _ block: UnsafeRawBufferPointer, table: inout HeaderTable, into visitor: inout some FieldVisitor
  ) throws(H2Violation) {
    _ = try unsafe decode(ByteCursor(block), table: &table, into: &visitor)
  }

  /// Reads one block, and says whether its meaning depended on nothing but its bytes: it named no
  /// dynamic entry, left the table's size alone and added only what fits.
  @inline(__always)
  mutating func decode(
    _ block: ByteCursor, table: inout HeaderTable, into visitor: inout some FieldVisitor
  ) throws(H2Violation) -> Bool {
    guard block.byteCount <= FrameReader.blockByteCountMax else { throw .blockTooLong }
    var bytes = block
    var isSelfContained = true
    // A smallest and a final size, before the first field (RFC 7541 4.2).
    var tableUpdatesLeft = 2
    while let byte = bytes.first {
      if byte & 0x80 != 0 {
        let index = try Self.integer(from: &bytes, prefixBitCount: 7)
        if index > StaticFields.count { isSelfContained = false }
        try visitor.take(field(index, table: table))
      } else if byte & 0xE0 == 0x20 {
        guard tableUpdatesLeft > 0 else { throw .misplacedTableSize }
        tableUpdatesLeft -= 1
        isSelfContained = false
        try table.setByteCountMax(Self.integer(from: &bytes, prefixBitCount: 5))
        continue
      } else {
        let isAdded = byte & 0x40 != 0
        let index = try Self.integer(from: &bytes, prefixBitCount: isAdded ? 6 : 4)
        if index > StaticFields.count { isSelfContained = false }
        let field = try literal(index, from: &bytes, table: table)
        if isAdded, !table.insert(field) { isSelfContained = false }
        try visitor.take(field)
      }
      tableUpdatesLeft = 0
    }
    return isSelfContained
  }

  @inline(__always)
  private func field(
    _ index: UInt32, table: borrowing HeaderTable
  ) throws(H2Violation) -> HeaderField {
    guard index > StaticFields.count else {
      guard index > 0 else { throw .invalidIndex }
      return unsafe statics[Int(index)]
    }
    guard let field = table.field(age: index &- StaticFields.count &- 1) else {
      throw .invalidIndex
    }
    return field
  }

  /// A field with its value, and unless `index` names one with its name, in the block.
  private func literal(
    _ index: UInt32, from bytes: inout ByteCursor, table: borrowing HeaderTable
  ) throws(H2Violation) -> HeaderField {
    var scratchByteCount = 0
    guard index > 0 else {
      let name = try string(from: &bytes, scratchByteCount: &scratchByteCount)
      let value = try string(from: &bytes, scratchByteCount: &scratchByteCount)
      return HeaderField(name: name, value: value, meaning: FieldMeaning(name: name, value: value))
    }
    let known = try field(index, table: table)
    var name = known.nameCursor
    if index > StaticFields.count {
      // The table may move or drop it when it takes the new field.
      unsafe scratch.copyMemory(from: name.at, byteCount: name.byteCount)
      scratchByteCount = name.byteCount
      name = unsafe ByteCursor(at: scratch, end: scratch + scratchByteCount)
    }
    let value = try string(from: &bytes, scratchByteCount: &scratchByteCount)
    return HeaderField(
      name: name, value: value, meaning: FieldMeaning(nameOf: known, value: value))
  }

  /// A string literal (RFC 7541 5.2), where it lies or decoded behind `scratchByteCount`.
  private func string(
    from bytes: inout ByteCursor, scratchByteCount: inout Int
  ) throws(H2Violation) -> ByteCursor {
    guard let byte = bytes.first else { throw .truncatedBlock }
    let byteCount = try Self.integer(from: &bytes, prefixBitCount: 7)
    guard bytes.byteCount >= Int(byteCount) else { throw .truncatedBlock }
    let string = bytes.take(upTo: byteCount)
    guard byte & 0x80 != 0 else { return string }
    let to = unsafe scratch + scratchByteCount
    guard let decodedByteCount = unsafe huffman.decode(string, to: to) else {
      throw .invalidHuffman
    }
    scratchByteCount += decodedByteCount
    return unsafe ByteCursor(at: to, end: to + decodedByteCount)
  }

  /// An integer that begins in the lower bits of the next byte, which is there (RFC 7541 5.1).
  @inline(__always)
  private static func integer(
    from bytes: inout ByteCursor, prefixBitCount: UInt8
  ) throws(H2Violation) -> UInt32 {
    guard let byte = bytes.takeByte() else { throw .truncatedBlock }
    let prefixMax = UInt8(truncatingIfNeeded: 1 << UInt16(prefixBitCount) - 1)
    let prefix = byte & prefixMax
    guard prefix == prefixMax else { return UInt32(prefix) }
    return try longInteger(from: &bytes, first: UInt64(prefix))
  }

  private static func longInteger(
    from bytes: inout ByteCursor, first: UInt64
  ) throws(H2Violation) -> UInt32 {
    var number = first
    // Five bytes hold any number we could believe.
    for shift in stride(from: UInt64(0), through: 28, by: 7) {
      guard let byte = bytes.takeByte() else { throw .truncatedBlock }
      number += UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 {
        guard let number = UInt32(exactly: number) else { break }
        return number
      }
    }
    throw .integerTooLarge
  }
}
