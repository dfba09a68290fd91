/// The code of RFC 7541 Appendix B. It is canonical: the lengths of its words determine it.
///
/// Its tables are memory of their own, as a table in a struct is copied wherever the struct is
/// lent.
@safe struct HuffmanCode: ~Copyable {
  /// Of the word for each byte, and last for the end of a string.
  private static let wordBitCounts: [UInt8] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
  ]
  private static let wordBitCountMax = 30
  private static let endOfString: UInt16 = 256

  /// By the next eight bits: a byte and the length of its word, 0 when that is longer than eight.
  private let short = unsafe Self.memory(256, of: UInt16(0))
  /// For each length: the first word that is longer, and the first word, both as the upper bits of
  /// 64; and where that one's byte stands in `ordered`.
  private let ends = unsafe Self.memory(wordBitCountMax + 1, of: UInt64(0))
  private let starts = unsafe Self.memory(wordBitCountMax + 1, of: UInt64(0))
  private let places = unsafe Self.memory(wordBitCountMax + 1, of: 0)
  /// The bytes in the order of their words.
  private let ordered = unsafe Self.memory(wordBitCounts.count, of: UInt16(0))
  private let words = unsafe Self.memory(wordBitCounts.count, of: UInt32(0))

  private static func memory<Number>(_ count: Int, of zero: Number) -> UnsafeMutablePointer<Number>
  {
    let memory = UnsafeMutablePointer<Number>.allocate(capacity: count)
    unsafe memory.initialize(repeating: zero, count: count)
    return unsafe memory
  }

  init() {
    var word: UInt64 = 0
    var place = 0
    for bitCount in 1...Self.wordBitCountMax {
      word <<= 1
      let shift = UInt64(64 - bitCount)
      unsafe starts[bitCount] = word << shift
      unsafe places[bitCount] = place
      for (byte, wordBitCount) in Self.wordBitCounts.enumerated() where wordBitCount == bitCount {
        unsafe ordered[place] = UInt16(byte)
        unsafe words[byte] = UInt32(word)
        if bitCount <= 8 {
          let first = Int(word) << (8 - bitCount)
          for index in first..<first + 1 << (8 - bitCount) {
            unsafe short[index] = UInt16(bitCount) << 8 | UInt16(byte)
          }
        }
        place += 1
        word += 1
      }
      // After the last word of all this is 2^64: everything is below it.
      unsafe ends[bitCount] = bitCount == Self.wordBitCountMax ? .max : word << shift
    }
  }

  deinit {
    unsafe short.deallocate()
    unsafe ends.deallocate()
    unsafe starts.deallocate()
    unsafe places.deallocate()
    unsafe ordered.deallocate()
    unsafe words.deallocate()
  }

  /// A string is at most this long decoded: the shortest word has five bits.
  @inline(__always)
  static func decodedByteCountMax(of byteCount: Int) -> Int { byteCount * 8 / 5 }

  /// Writes what `input` stands for to `output`, which has room for `decodedByteCountMax`, and
  /// returns how many bytes that is; nil when `input` is no string of this code.
  func decode(_ input: ByteCursor, to output: UnsafeMutableRawPointer) -> Int? {
    var input = input
    var to = unsafe output
    // The next bits, from the top, and how many are known.
    var window: UInt64 = 0
    var bitCount: UInt64 = 0
    while true {
      if let word = input.word(as: UInt64.self) {
        window |= word.byteSwapped >> bitCount
        let byteCount = (63 - bitCount) >> 3
        input.skip(Int(byteCount))
        bitCount += byteCount * 8
      } else {
        while bitCount <= 56, let byte = input.takeByte() {
          window |= UInt64(byte) << (56 - bitCount)
          bitCount += 8
        }
      }
      guard bitCount >= UInt64(Self.wordBitCountMax) else { break }
      repeat {
        guard let (byte, wordBitCount) = next(in: window) else { return nil }
        unsafe to.storeBytes(of: byte, as: UInt8.self)
        unsafe to += 1
        window <<= wordBitCount
        bitCount -= wordBitCount
      } while bitCount >= UInt64(Self.wordBitCountMax)
    }
    // What follows the last word is less than a byte of ones (RFC 7541 5.2).
    while bitCount > 0 {
      let padded = window | UInt64.max >> bitCount
      guard let (byte, wordBitCount) = next(in: padded), wordBitCount <= bitCount else {
        guard padded == .max, bitCount < 8 else { return nil }
        break
      }
      unsafe to.storeBytes(of: byte, as: UInt8.self)
      unsafe to += 1
      window <<= wordBitCount
      bitCount -= wordBitCount
    }
    return unsafe to - output
  }

  /// The byte whose word the window begins with, and how long that is; nil for the end of a string,
  /// which no string may hold.
  @inline(__always)
  private func next(in window: UInt64) -> (byte: UInt8, bitCount: UInt64)? {
    let entry = unsafe short[Int(window >> 56)]
    guard entry == 0 else { return (UInt8(truncatingIfNeeded: entry), UInt64(entry >> 8)) }
    return nextLong(in: window)
  }

  private func nextLong(in window: UInt64) -> (byte: UInt8, bitCount: UInt64)? {
    var bitCount = 9
    while unsafe window >= ends[bitCount], bitCount < Self.wordBitCountMax { bitCount += 1 }
    let offset = unsafe (window - starts[bitCount]) >> UInt64(64 - bitCount)
    let symbol = unsafe ordered[places[bitCount] + Int(offset)]
    guard symbol != Self.endOfString else { return nil }
    return (UInt8(truncatingIfNeeded: symbol), UInt64(bitCount))
  }

  /// `bytes` in this code, filled up with ones.
  func encoded(_ bytes: [UInt8]) -> [UInt8] {
    var encoded: [UInt8] = []
    var window: UInt64 = 0
    var bitCount = 0
    for byte in bytes {
      let wordBitCount = Int(Self.wordBitCounts[Int(byte)])
      window = unsafe window << UInt64(wordBitCount) | UInt64(words[Int(byte)])
      bitCount += wordBitCount
      while bitCount >= 8 {
        bitCount -= 8
        encoded.append(UInt8(truncatingIfNeeded: window >> UInt64(bitCount)))
      }
    }
    if bitCount > 0 {
      let padded = window << UInt64(8 - bitCount) | UInt64(0xFF >> bitCount)
      encoded.append(UInt8(truncatingIfNeeded: padded))
    }
    return encoded
  }
}
