/// The header block that a connection read last, with what it came to, if it left the table as it was:
/// where it comes again, and the table still is the same, it comes to the same.
struct LastBlock: BitwiseCopyable {
  /// Blocks of other lengths are decoded each time.
  static let byteCounts = 8...32

  /// Words of its bytes from four places on, which together are all of them.
  private var words = SIMD4<UInt64>()
  private var tableVersion: UInt64 = 0
  private var byteCount = 0
  private var fields = ResponseFields()

  /// None.
  init() {}

  init(_ block: ByteCursor, fields: ResponseFields, tableVersion: UInt64) {
    guard let words = Self.words(of: block) else { return }
    self.words = words
    self.tableVersion = tableVersion
    self.fields = fields
    byteCount = block.byteCount
  }

  @inline(__always)
  func recall(_ block: ByteCursor, tableVersion: UInt64) -> ResponseFields? {
    guard block.byteCount == byteCount, tableVersion == self.tableVersion,
      let words = Self.words(of: block)
    else { return nil }
    let difference = words ^ self.words
    return difference[0] | difference[1] | difference[2] | difference[3] == 0 ? fields : nil
  }

  @inline(__always)
  private static func words(of block: ByteCursor) -> SIMD4<UInt64>? {
    guard byteCounts ~= block.byteCount else { return nil }
    let last = block.byteCount &- 8
    return SIMD4(
      word(block, at: 0), word(block, at: min(8, last)), word(block, at: min(16, last)),
      word(block, at: last))
  }

  @inline(__always)
  private static func word(_ block: ByteCursor, at offset: Int) -> UInt64 {
    var rest = block
    rest.skip(offset)
    return rest.word(as: UInt64.self) ?? 0
  }
}
