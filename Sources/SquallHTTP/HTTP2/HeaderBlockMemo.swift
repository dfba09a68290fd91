/// Header blocks of late, with what they came to and what they added to a table.
@safe struct HeaderBlockMemo: ~Copyable {
  /// Shorter blocks are decoded sooner than found.
  static let blockByteCountMin = 16
  /// Longer blocks, and those that add more, are decoded each time.
  static let blockByteCountMax = 512
  static let addedByteCountMax = 1024
  /// A block has one place among so many, by its bytes.
  static let count = 16

  private struct Entry: BitwiseCopyable {
    var fields = ResponseFields()
    /// 0 when nothing is kept.
    var blockByteCount = 0
    var addedByteCount = 0
    var addedListByteCount: UInt32 = 0
    var addedCount: UInt32 = 0
  }

  private let entries: UnsafeMutablePointer<Entry>
  /// For each entry the block, then what it added.
  private let bytes: UnsafeMutableRawPointer
  private static let stride = blockByteCountMax + addedByteCountMax

  init() {
    unsafe entries = .allocate(capacity: Self.count)
    unsafe entries.initialize(repeating: Entry(), count: Self.count)
    unsafe bytes = .allocate(byteCount: Self.count * Self.stride, alignment: 16)
  }

  deinit {
    unsafe entries.deallocate()
    unsafe bytes.deallocate()
  }

  /// What `block` came to when it was read before, after adding to `table` what it adds.
  @inline(__always)
  func recall(_ block: ByteCursor, table: inout HeaderTable) -> ResponseFields? {
    guard Self.blockByteCountMin...Self.blockByteCountMax ~= block.byteCount else { return nil }
    let index = Self.index(of: block)
    let entry = unsafe entries + index
    let at = unsafe bytes + index &* Self.stride
    let known = unsafe ByteCursor(at: at, end: at + entry.pointee.blockByteCount)
    guard block.equals(known) else { return nil }
    let added = unsafe at + Self.blockByteCountMax
    let entries = unsafe HeaderTable.Entries(
      bytes: ByteCursor(at: added, end: added + entry.pointee.addedByteCount),
      count: entry.pointee.addedCount, byteCount: entry.pointee.addedListByteCount)
    return unsafe table.insert(entries) ? entry.pointee.fields : nil
  }

  /// Keeps `block` in the place of the one before it.
  mutating func keep(_ block: ByteCursor, fields: ResponseFields, added: HeaderTable.Entries) {
    guard Self.blockByteCountMin...Self.blockByteCountMax ~= block.byteCount,
      added.bytes.byteCount <= Self.addedByteCountMax
    else { return }
    let index = Self.index(of: block)
    let at = unsafe bytes + index * Self.stride
    unsafe at.copyMemory(from: block.at, byteCount: block.byteCount)
    unsafe (at + Self.blockByteCountMax).copyMemory(
      from: added.bytes.at, byteCount: added.bytes.byteCount)
    unsafe entries[index] = Entry(
      fields: fields, blockByteCount: block.byteCount,
      addedByteCount: added.bytes.byteCount, addedListByteCount: added.byteCount,
      addedCount: added.count)
  }

  /// By length, beginning and end: a Date stands anywhere, a length often last.
  @inline(__always)
  private static func index(of block: ByteCursor) -> Int {
    var end = block
    end.skip(block.byteCount &- 8)
    let word = (block.word(as: UInt64.self) ?? 0) ^ (end.word(as: UInt64.self) ?? 0)
    let mixed = (word ^ UInt64(block.byteCount)) &* 0x9E37_79B9_7F4A_7C15
    return Int(mixed >> 60)
  }
}
