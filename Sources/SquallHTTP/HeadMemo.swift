/// The last response head a worker has read, and what a parser knew after it.
///
/// Under load a server sends the same head again and again, until its Date changes or for good. The
/// same bytes mean the same, so a head that equals the last one, byte for byte, need not be read
/// once more: comparing takes a tenth of the time. One of these serves all connections of a worker.
///
/// Where every head differs, keeping each would cost more than it ever saves, so heads that went
/// unused make the next ones less likely to be kept: at worst one in `pauseMax` is.
package struct HeadMemo: Sendable {
  /// Longer heads are read each time.
  static let byteCountMax = 512
  /// Heads that pass after one that was kept in vain, at most.
  static let pauseMax: UInt16 = 256

  private var bytes = InlineArray<512, UInt8>(repeating: 0)
  /// 0 when nothing is kept.
  private var byteCount = 0
  private var parser = ResponseParser()
  private var wasUsed = true
  private var pause: UInt16 = 0
  private var pauseLeft: UInt16 = 0

  package init() {}

  /// The parser as it was after the head that `cursor` stands at, which is skipped; nil when that is
  /// not the head kept.
  @inline(__always)
  mutating func recall(_ cursor: inout ByteCursor) -> ResponseParser? {
    let isSame = unsafe bytes.span.withUnsafeBytes { kept in
      unsafe cursor.begins(with: UnsafeRawBufferPointer(rebasing: kept[..<byteCount]))
    }
    guard byteCount > 0, isSame else { return nil }
    cursor.skip(byteCount)
    wasUsed = true
    return parser
  }

  /// Keeps the head `head`, after which the parser is `parser`.
  mutating func keep(_ head: ByteCursor, parser: ResponseParser) {
    guard head.byteCount <= Self.byteCountMax else { return }
    guard pauseLeft == 0 else {
      pauseLeft -= 1
      return
    }
    pause = wasUsed ? 0 : min(pause * 2 + 1, Self.pauseMax)
    pauseLeft = pause
    wasUsed = false
    byteCount = head.byteCount
    self.parser = parser
    var span = bytes.mutableSpan
    unsafe span.withUnsafeMutableBytes { kept in unsafe head.copy(to: kept, at: 0) }
  }
}
