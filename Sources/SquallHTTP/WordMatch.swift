/// A word this module looks for in a head, whatever its case.
enum Word: UInt8 {
  // Field names.
  case contentLength
  case transferEncoding
  case connection
  case expect
  case host
  // Members of a field's list.
  case close
  case keepAlive
  case chunked
  case continue100

  static let count: UInt8 = 9

  /// Every word in its order, lower case and padded to `stride` with spaces, which no byte of a
  /// token folds to.
  private static let texts: StaticString = """
    content-length          \
    transfer-encoding       \
    connection              \
    expect                  \
    host                    \
    close                   \
    keep-alive              \
    chunked                 \
    100-continue            \

    """
  static let stride = 24

  var text: UnsafeRawPointer {
    @inline(__always) get {
      unsafe UnsafeRawPointer(Self.texts.utf8Start) + Int(rawValue) * Self.stride
    }
  }

  var bit: UInt16 {
    @inline(__always) get { 1 << UInt16(rawValue) }
  }

  /// `Word(rawValue:)` without its table of cases.
  @inline(__always)
  init(index: UInt8) {
    precondition(index < Self.count, "not the index of a word")
    self = unsafe unsafeBitCast(index, to: Word.self)
  }
}

/// The words a token may be. No two are equally long, so that its length leaves one to compare.
struct Vocabulary {
  fileprivate let bits: UInt16
  /// For each length from `byteCountMin`, four bits: 1 and the word's index, or 0.
  fileprivate let byLength: UInt64

  static let names = Vocabulary(
    bits: Word.host.bit | Word.expect.bit | Word.connection.bit | Word.contentLength.bit
      | Word.transferEncoding.bit,
    byLength: entry(.host, 4) | entry(.expect, 6) | entry(.connection, 10)
      | entry(.contentLength, 14) | entry(.transferEncoding, 17))
  static let members = Vocabulary(
    bits: Word.close.bit | Word.chunked.bit | Word.keepAlive.bit | Word.continue100.bit,
    byLength: entry(.close, 5) | entry(.chunked, 7) | entry(.keepAlive, 10)
      | entry(.continue100, 12))

  private static let byteCountMin = 4
  private static let byteCountMax = byteCountMin + 15

  private static func entry(_ word: Word, _ byteCount: Int) -> UInt64 {
    UInt64(word.rawValue + 1) << UInt64(4 * (byteCount - byteCountMin))
  }

  @inline(__always)
  fileprivate func word(byteCount: Int) -> Word? {
    guard Self.byteCountMin...Self.byteCountMax ~= byteCount else { return nil }
    let shift = UInt64(truncatingIfNeeded: 4 * (byteCount - Self.byteCountMin))
    let entry = UInt8(truncatingIfNeeded: byLength >> shift & 15)
    return entry == 0 ? nil : Word(index: entry - 1)
  }
}

/// Compares a token with the words of interest as it comes, in as many pieces as it comes: what has
/// been read is remembered as the words it may still become, so no byte of it is kept.
struct WordMatch: BitwiseCopyable, Sendable {
  /// One bit for each word the token may still become.
  private var candidates: UInt16
  /// Bytes of the token so far; saturates, as no word is that long.
  private var byteCount: UInt8 = 0

  /// A token that is none of the words, whatever follows.
  static let none = WordMatch(candidates: 0)

  @inline(__always)
  init(_ vocabulary: Vocabulary) { candidates = vocabulary.bits }

  private init(candidates: UInt16) { self.candidates = candidates }

  /// Takes the next bytes of the token, all of them token characters.
  @inline(never)
  mutating func take(_ piece: ByteCursor) {
    for index in 0..<Word.count where !piece.continues(Word(index: index), after: byteCount) {
      candidates &= ~Word(index: index).bit
    }
    byteCount = UInt8(clamping: Int(byteCount) + piece.byteCount)
  }

  /// The word that the token is when it ends with `piece`.
  @inline(__always)
  func word(endingWith piece: ByteCursor, of vocabulary: Vocabulary) -> Word? {
    guard let word = vocabulary.word(byteCount: Int(byteCount) + piece.byteCount),
      candidates & word.bit != 0
    else { return nil }
    guard byteCount == 0 else { return piece.continues(word, after: byteCount) ? word : nil }
    return piece.isWhole(word) ? word : nil
  }
}

/// How bytes are compared with a word whatever their case.
///
/// A set bit 5 makes a capital letter small and leaves small letters, digits and the hyphen as they
/// are; of all token characters only `^` and `_` turn into something else, and no word has what
/// they turn into.
extension ByteCursor {
  /// Whether these bytes, as many as `word` has, are `word`. Two overlapping units cover a word of
  /// up to sixteen bytes, three the one that is longer.
  @inline(__always)
  fileprivate func isWhole(_ word: Word) -> Bool {
    guard byteCount >= 8 else {
      return isFolded(word, at: 0, by: UInt32.self)
        && isFolded(word, at: byteCount - 4, by: UInt32.self)
    }
    return isFolded(word, at: 0, by: UInt64.self)
      && isFolded(word, at: byteCount - 8, by: UInt64.self)
      && isFolded(word, at: min(8, byteCount - 8), by: UInt64.self)
  }

  @inline(__always)
  private func isFolded<Unit: FixedWidthInteger & BitwiseCopyable>(
    _ word: Word, at offset: Int, by type: Unit.Type
  ) -> Bool {
    let bytes = unsafe at.loadUnaligned(fromByteOffset: offset, as: type) | Unit.max / 0xFF * 0x20
    return unsafe bytes == word.text.loadUnaligned(fromByteOffset: offset, as: type)
  }

  /// Whether `word` goes on with these bytes after its first `offset` bytes.
  @inline(never)
  fileprivate func continues(_ word: Word, after offset: UInt8) -> Bool {
    guard Int(offset) + byteCount <= Word.stride else { return false }
    for index in 0..<byteCount {
      let byte = unsafe at.load(fromByteOffset: index, as: UInt8.self) | 0x20
      let expected = unsafe word.text.load(fromByteOffset: Int(offset) + index, as: UInt8.self)
      guard byte == expected else { return false }
    }
    return true
  }
}
