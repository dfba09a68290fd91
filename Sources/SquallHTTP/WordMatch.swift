/// A word this module looks for in a head, whatever its case.
enum Word: UInt8, CaseIterable {
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

  /// The first of a set of words.
  @inline(__always)
  init?(first bits: UInt16) {
    guard bits != 0 else { return nil }
    self.init(rawValue: UInt8(truncatingIfNeeded: bits.trailingZeroBitCount))
  }

  /// This word as a set.
  var bit: UInt16 {
    @inline(__always) get { 1 << UInt16(rawValue) }
  }

  /// Lower case. Letters, digits and hyphens only, which `WordMatch` relies on.
  var text: StaticString {
    switch self {
    case .contentLength: "content-length"
    case .transferEncoding: "transfer-encoding"
    case .connection: "connection"
    case .expect: "expect"
    case .host: "host"
    case .close: "close"
    case .keepAlive: "keep-alive"
    case .chunked: "chunked"
    case .continue100: "100-continue"
    }
  }
}

/// Compares a token with the words of interest as it comes, in as many pieces as it comes: what has
/// been read is remembered as the words it may still become, so no byte of it is kept.
struct WordMatch: BitwiseCopyable, Sendable {
  /// One bit for each word the token may still become.
  private var candidates: UInt16
  /// Bytes of the token so far; saturates, as no word is that long.
  private var byteCount: UInt8 = 0

  static let name = WordMatch(
    candidates: Word.contentLength.bit | Word.transferEncoding.bit | Word.connection.bit
      | Word.expect.bit | Word.host.bit)
  static let member = WordMatch(
    candidates: Word.close.bit | Word.keepAlive.bit | Word.chunked.bit | Word.continue100.bit)
  /// A token that is none of the words, whatever follows.
  static let none = WordMatch(candidates: 0)

  private init(candidates: UInt16) { self.candidates = candidates }

  /// Takes the next bytes of the token, all of them token characters.
  mutating func take(_ piece: ByteCursor) {
    var rest = candidates
    while let word = Word(first: rest) {
      rest &= ~word.bit
      if !piece.continues(word.text, after: Int(byteCount)) { candidates &= ~word.bit }
    }
    byteCount = UInt8(clamping: Int(byteCount) + piece.byteCount)
  }

  /// The word that the token is when it ends with `piece`.
  @inline(__always)
  func word(endingWith piece: ByteCursor) -> Word? {
    let offset = Int(byteCount)
    guard let word = Word(first: candidates & Self.equallyLong(offset + piece.byteCount)),
      piece.continues(word.text, after: offset)
    else { return nil }
    return word
  }

  /// The words that are `byteCount` bytes long. No two names are, and no two members, so that at
  /// most one is left to compare.
  @inline(__always)
  private static func equallyLong(_ byteCount: Int) -> UInt16 {
    // Most names are as long as no word, and this is asked of every name.
    guard byteCount < 32, lengths >> UInt32(truncatingIfNeeded: byteCount) & 1 == 1 else {
      return 0
    }
    return switch byteCount {
    case 4: Word.host.bit
    case 5: Word.close.bit
    case 6: Word.expect.bit
    case 7: Word.chunked.bit
    case 10: Word.connection.bit | Word.keepAlive.bit
    case 12: Word.continue100.bit
    case 14: Word.contentLength.bit
    case 17: Word.transferEncoding.bit
    default: 0
    }
  }

  private static let lengths: UInt32 =
    1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 12 | 1 << 14 | 1 << 17
}

extension ByteCursor {
  /// Whether `text` goes on with these bytes after its first `offset` bytes, ignoring case.
  @inline(__always)
  fileprivate func continues(_ text: StaticString, after offset: Int) -> Bool {
    let byteCount = byteCount
    guard offset + byteCount <= text.utf8CodeUnitCount else { return false }
    let expected = unsafe UnsafeRawPointer(text.utf8Start + offset)
    if byteCount >= 8 {
      // Two overlapping words cover up to sixteen bytes; the one longer word takes a third.
      var index = 0
      while true {
        let mine = unsafe at.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        let theirs = unsafe expected.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        guard mine | 0x2020_2020_2020_2020 == theirs else { return false }
        if index == byteCount - 8 { return true }
        index = min(index + 8, byteCount - 8)
      }
    }
    for index in 0..<byteCount {
      let mine = unsafe at.load(fromByteOffset: index, as: UInt8.self) | 0x20
      guard unsafe mine == expected.load(fromByteOffset: index, as: UInt8.self) else {
        return false
      }
    }
    return true
  }
}
