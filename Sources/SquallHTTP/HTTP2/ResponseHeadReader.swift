/// Reads the heads of HTTP/2 responses. One serves all connections of a worker.
///
/// A block that lies here already, byte for byte, is not decoded again, if its bytes alone say what
/// it means: what it adds to a table was kept with it. nginx sends all its fields so, in every
/// response. Others send the places of fields in the connection's table: of those the block before is
/// remembered by the connection.
@safe package struct ResponseHeadReader: ~Copyable {
  private var decoder = FieldDecoder()
  private var memo = HeaderBlockMemo()
  private var kept = KeptFields()

  package init() {}

  /// Fields kept from the head that was read last of a stream whose fields were asked for.
  package var fieldCount: Int { kept.count }

  /// - Parameter index: below `fieldCount`.
  package func name(_ index: Int) -> ArraySlice<UInt8> { kept.name(index) }

  /// - Parameter index: below `fieldCount`.
  package func value(_ index: Int) -> ArraySlice<UInt8> { kept.value(index) }

  /// Those that are no pseudo fields, as HTTP/1.1 has them: lines, and an empty one behind them.
  @safe package func withFieldLines(_ take: (UnsafeRawBufferPointer) -> Void) {
    unsafe kept.withLines(take)
  }

  @inline(__always)
  mutating func read(
    _ block: ByteCursor, table: inout HeaderTable, last: inout LastBlock, keepsFields: Bool
  ) throws(H2Violation) -> ResponseFields {
    guard !keepsFields else { return try readKeeping(block, table: &table) }
    if let known = last.recall(block, tableVersion: table.version) { return known }
    return try readAnew(block, table: &table, last: &last)
  }

  private mutating func readAnew(
    _ block: ByteCursor, table: inout HeaderTable, last: inout LastBlock
  ) throws(H2Violation) -> ResponseFields {
    if let known = memo.recall(block, table: &table) { return known }
    var fields = ResponseFields()
    let addedCount = table.addedCount
    let version = table.version
    if try decoder.decode(block, table: &table, into: &fields),
      let added = table.newest(table.addedCount &- addedCount)
    {
      memo.keep(block, fields: fields, added: added)
    }
    if table.version == version {
      last = LastBlock(block, fields: fields, tableVersion: version)
    }
    return fields
  }

  private mutating func readKeeping(
    _ block: ByteCursor, table: inout HeaderTable
  ) throws(H2Violation) -> ResponseFields {
    kept.begin()
    _ = try decoder.decode(block, table: &table, into: &kept)
    kept.end()
    return kept.fields
  }
}
