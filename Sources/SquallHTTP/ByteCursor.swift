/// Reads forward through bytes that someone else owns, never past their end.
///
/// Every door checks the end for itself, so a mistake in a parser can misread a message but cannot
/// leave the buffer. Whoever makes a cursor promises that the bytes outlive it.
@safe struct ByteCursor {
  private(set) var at: UnsafeRawPointer
  let end: UnsafeRawPointer

  @inline(__always)
  init(at: UnsafeRawPointer, end: UnsafeRawPointer) {
    unsafe self.at = at
    unsafe self.end = end
  }

  /// Bytes not read yet.
  var byteCount: Int {
    @inline(__always) get { unsafe end - at }
  }

  var isEmpty: Bool {
    @inline(__always) get { unsafe at == end }
  }

  var first: UInt8? {
    @inline(__always) get {
      guard unsafe at < end else { return nil }
      return unsafe at.load(as: UInt8.self)
    }
  }

  /// The next bytes as a little-endian word, nil when fewer are here.
  @inline(__always)
  func word<Word: FixedWidthInteger & BitwiseCopyable>(as type: Word.Type) -> Word? {
    guard has(MemoryLayout<Word>.size) else { return nil }
    return Word(littleEndian: unsafe at.loadUnaligned(as: type))
  }

  /// Whether `byteCount` bytes are here.
  @inline(__always)
  private func has(_ byteCount: Int) -> Bool {
    // No buffer begins below byte 16 of the address space, so this cannot wrap; and the compiler
    // computes the right side once for a loop, which it does not with `end - at`.
    unsafe UInt(bitPattern: at) <= UInt(bitPattern: end) &- UInt(bitPattern: byteCount)
  }

  /// The same bytes, but no more than `byteCountMax` of them.
  @inline(__always)
  func prefix(_ byteCountMax: UInt32) -> ByteCursor {
    unsafe ByteCursor(at: at, end: at + min(byteCount, Int(byteCountMax)))
  }

  /// The same bytes up to where `other`, which began here, has read to.
  func prefix(upTo other: ByteCursor) -> ByteCursor {
    unsafe ByteCursor(at: at, end: other.at)
  }

  @inline(__always)
  func withBytes(_ take: (UnsafeRawBufferPointer) -> Void) {
    unsafe take(UnsafeRawBufferPointer(start: at, count: byteCount))
  }

  /// Goes to where `other` has read to; `other` is a prefix of this cursor.
  @inline(__always)
  mutating func catchUp(with other: ByteCursor) {
    unsafe at = other.at
  }

  @inline(__always)
  mutating func skip() {
    unsafe precondition(at < end, "skipped past the end of the bytes")
    unsafe at += 1
  }

  @inline(__always)
  mutating func skip(_ byteCount: Int) {
    precondition(has(byteCount), "skipped past the end of the bytes")
    unsafe at += byteCount
  }

  /// Skips at most `limit` bytes and says how many.
  @inline(__always)
  mutating func skip(upTo limit: UInt64) -> UInt64 {
    let byteCount = min(UInt64(UInt(bitPattern: self.byteCount)), limit)
    unsafe at += Int(byteCount)
    return byteCount
  }

  /// Skips what may stand in a field value or a reason phrase: HTAB, SP, VCHAR and obs-text
  /// (RFC 9110 5.5). Stops at a control character or at the end.
  @inline(__always)
  mutating func skipText() {
    while has(16) {
      let block = unsafe at.loadUnaligned(as: SIMD16<UInt8>.self)
      // Per lane, below 0x80: bit 7 of x - 0x20 is set for x < 0x20, of x + 1 for DEL.
      let below = block &- SIMD16(repeating: 0x20)
      let above = block &+ SIMD16(repeating: 1)
      if skipToMark(in: (below | above) & ~block) {
        // HTAB is the one control character that is text, too rare for an instruction above.
        guard unsafe at.load(as: UInt8.self) == UInt8(ascii: "\t") else { return }
        unsafe at += 1
      }
    }
    while let byte = first, byte.isText { unsafe at += 1 }
  }

  /// Skips what may stand in a token (RFC 9110 5.6.2) and returns the bytes skipped.
  @inline(__always)
  mutating func skipToken() -> ByteCursor {
    let start = unsafe at
    while has(16) {
      let block = unsafe at.loadUnaligned(as: SIMD16<UInt8>.self)
      // Letters and the hyphen make nearly all names. Per lane, below 0x80: bit 7 of x + 0x1F is
      // set from "a" on, of x + 5 after "z".
      let small = block | SIMD16(repeating: 0x20)
      let letters = (small &+ SIMD16(repeating: 0x1F)) & ~(small &+ SIMD16(repeating: 5))
      let hyphens = block ^ SIMD16(repeating: UInt8(ascii: "-"))
      let ordinary = letters & ~block | (hyphens &- SIMD16(repeating: 1)) & ~hyphens
      if skipToMark(in: ~ordinary) {
        guard unsafe at.load(as: UInt8.self).isToken else {
          return unsafe ByteCursor(at: start, end: at)
        }
        unsafe at += 1
      }
    }
    while let byte = first, byte.isToken { unsafe at += 1 }
    return unsafe ByteCursor(at: start, end: at)
  }

  /// Skips what may stand in a request target, VCHAR, and returns the bytes skipped.
  @inline(__always)
  mutating func skipVisible() -> ByteCursor {
    let start = unsafe at
    while has(16) {
      let block = unsafe at.loadUnaligned(as: SIMD16<UInt8>.self)
      let below = block &- SIMD16(repeating: 0x21)
      let above = block &+ SIMD16(repeating: 1)
      if skipToMark(in: below | above | block) { return unsafe ByteCursor(at: start, end: at) }
    }
    while let byte = first, 0x21...0x7E ~= byte { unsafe at += 1 }
    return unsafe ByteCursor(at: start, end: at)
  }

  /// Whether these bytes begin with `bytes`, of which there are 16 or more.
  @inline(__always)
  func begins(with bytes: UnsafeRawBufferPointer) -> Bool {
    guard has(bytes.count), bytes.count >= 16, let other = bytes.baseAddress else { return false }
    // All are compared before one look: that some differ is the exception here. The last block may
    // overlap the one before.
    let last = bytes.count - 16
    var difference = unsafe difference(from: other, at: last)
    var offset = 0
    while offset < last {
      difference |= unsafe self.difference(from: other, at: offset)
      offset &+= 16
    }
    let words = unsafe unsafeBitCast(difference, to: SIMD2<UInt64>.self)
    return words[0] | words[1] == 0
  }

  @inline(__always)
  private func difference(from other: UnsafeRawPointer, at offset: Int) -> SIMD16<UInt8> {
    unsafe at.loadUnaligned(fromByteOffset: offset, as: SIMD16<UInt8>.self)
      ^ other.loadUnaligned(fromByteOffset: offset, as: SIMD16<UInt8>.self)
  }

  /// `buffer` has room for all of them from `offset` on.
  func copy(to buffer: UnsafeMutableRawBufferPointer, at offset: Int) {
    unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[offset...])
      .copyMemory(from: UnsafeRawBufferPointer(start: at, count: byteCount))
  }

  /// Skips to the first of the next 16 bytes whose lane has bit 7 set, or all 16 when none has.
  ///
  /// Swift 6.3 compiles a SIMD comparison to a loop over its lanes and has no name for `pmovmskb`,
  /// so masks here are bit 7 of each lane, made by wrapping sums, and read as two words. The three
  /// ways out stay three: one sum for all would make each load wait for the mask before it.
  @inline(__always)
  private mutating func skipToMark(in lanes: SIMD16<UInt8>) -> Bool {
    let words = unsafe unsafeBitCast(lanes & SIMD16(repeating: 0x80), to: SIMD2<UInt64>.self)
    let low = UInt64(littleEndian: words[0])
    if low != 0 {
      unsafe at += low.trailingZeroBitCount / 8
      return true
    }
    let high = UInt64(littleEndian: words[1])
    if high != 0 {
      unsafe at += 8 + high.trailingZeroBitCount / 8
      return true
    }
    unsafe at += 16
    return false
  }
}

extension UInt8 {
  /// A character of a token: `!#$%&'*+-.^_`|~`, a digit or a letter (RFC 9110 5.6.2).
  var isToken: Bool {
    @inline(__always) get {
      let bits: UInt64 = self < 64 ? 0x03FF_6CFA_0000_0000 : 0x57FF_FFFF_C7FF_FFFE
      return self < 128 && (bits >> UInt64(self & 63)) & 1 == 1
    }
  }

  /// SP, VCHAR or obs-text: anything but a control character.
  var isText: Bool {
    @inline(__always) get { self > 0x1F && self != 0x7F || self == UInt8(ascii: "\t") }
  }
}
