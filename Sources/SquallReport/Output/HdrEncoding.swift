package import SquallLoad

/// A histogram in HdrHistogram's V2 encoding with 3 significant digits, so that its many readers in
/// all languages open ours.
///
///     cookie u32 | byteCount u32 | normalizingOffset u32 = 0 | digits u32 = 3 |
///     lowest u64 = 1 | highest u64 | ratio f64 = 1.0 | counts, byteCount bytes
///
/// all big-endian. Counts are zigzag LEB128 of at most 9 bytes; a negative one is a run of zeros. The
/// compressed form is a cookie, a byte count and the above in zlib's format (RFC 1950).
///
/// HdrHistogram has 1,024 sub-buckets an octave, a fourth of ours in width, and a bucket of ours goes
/// where its middle is. So nothing moves further than it had already, and reading back gives the same
/// buckets. Not carried: sum and sum of squares, and what was below 512 ns (it goes to the minimum)
/// or above an hour.
package enum HdrEncoding {
  package static let highestNs: UInt64 = 3_600_000_000_000

  /// `V2EncodingCookieBase` and `V2CompressedEncodingCookieBase` of the reference implementation, with
  /// its 0x10 for counts of variable width.
  private static let cookie: UInt32 = 0x1c84_9313
  private static let compressedCookie: UInt32 = 0x1c84_9314
  private static let headByteCount = 40
  private static let halfBits: UInt64 = 10
  private static let subBucketMask: UInt64 = 2047
  /// Counts an array for `highestNs` has.
  private static let countsEnd = index(highestNs) + 1

  /// The encoding without compression.
  package static func payload(_ histogram: CompactHistogram) -> [UInt8] {
    var counts: [(index: Int, count: UInt64)] = []
    func add(_ valueNs: UInt64, _ count: UInt64) {
      guard count > 0 else { return }
      let index = index(min(valueNs, highestNs))
      if let last = counts.last, last.index == index {
        counts[counts.count - 1].count += count
      } else {
        counts.append((index, count))
      }
    }
    add(histogram.minNs, histogram.underCount)
    for bucket in histogram.buckets {
      // Kept inside the extremes, which other tools then read as such.
      let middleNs = HistogramLayout.middleNs(Int(bucket.index))
      add(max(histogram.minNs, min(histogram.maxNs, middleNs)), bucket.count)
    }
    add(histogram.maxNs, histogram.overCount)

    var body: [UInt8] = []
    var next = 0
    for (index, count) in counts {
      if index > next { appendVarint(index - next == 1 ? 0 : -Int64(index - next), to: &body) }
      appendVarint(Int64(clamping: count), to: &body)
      next = index + 1
    }
    var bytes: [UInt8] = []
    append(cookie, to: &bytes)
    append(UInt32(body.count), to: &bytes)
    append(UInt32(0), to: &bytes)
    append(UInt32(3), to: &bytes)
    append(UInt64(1), to: &bytes)
    append(highestNs, to: &bytes)
    append(1.0.bitPattern, to: &bytes)
    return bytes + body
  }

  /// The compressed encoding in base 64, as histogram logs and most tools take it. `deflate` makes a
  /// zlib stream of bytes.
  package static func text(
    _ histogram: CompactHistogram, deflate: ([UInt8]) -> [UInt8]
  ) -> String {
    let compressed = deflate(payload(histogram))
    var bytes: [UInt8] = []
    append(compressedCookie, to: &bytes)
    append(UInt32(compressed.count), to: &bytes)
    return Base64.encode(bytes + compressed)
  }

  /// Reads either encoding back; nil when it is none of ours. `inflate` is needed for the compressed
  /// one.
  package static func histogram(
    _ bytes: [UInt8], inflate: (([UInt8]) -> [UInt8]?)? = nil
  ) -> CompactHistogram? {
    guard bytes.count >= 8 else { return nil }
    let head: UInt32 = integer(bytes[0..<4])
    let byteCount = Int(integer(bytes[4..<8]) as UInt32)
    if head == compressedCookie {
      guard bytes.count == 8 + byteCount, let inflated = inflate?(Array(bytes[8...])) else {
        return nil
      }
      return histogram(inflated)
    }
    guard head == cookie, bytes.count == headByteCount + byteCount,
      integer(bytes[8..<12]) as UInt32 == 0, integer(bytes[12..<16]) as UInt32 == 3,
      integer(bytes[16..<24]) as UInt64 == 1,
      integer(bytes[32..<40]) as UInt64 == 1.0.bitPattern
    else { return nil }

    var histogram = CompactHistogram()
    var rest = bytes[headByteCount...]
    var index = 0
    while !rest.isEmpty {
      guard let number = takeVarint(&rest) else { return nil }
      let skipped = number < 0 ? number.magnitude : 1
      guard skipped <= countsEnd - index else { return nil }
      if number > 0 { histogram.record(middleNs(index), count: UInt64(number)) }
      index += Int(skipped)
    }
    return histogram
  }

  private static func index(_ valueNs: UInt64) -> Int {
    let bucket = UInt64(53 - (valueNs | subBucketMask).leadingZeroBitCount)
    let subBucket = valueNs >> bucket
    return Int((bucket << halfBits) + subBucket)
  }

  private static func middleNs(_ index: Int) -> UInt64 {
    guard index >= 2048 else { return UInt64(index) }
    let bucket = UInt64(index) >> halfBits - 1
    let lower = (UInt64(index) & 1023 | 1024) << bucket
    return lower + 1 << bucket / 2
  }

  private static func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
    for shift in stride(from: value.bitWidth - 8, through: 0, by: -8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }

  private static func integer<Value: FixedWidthInteger>(_ bytes: ArraySlice<UInt8>) -> Value {
    bytes.reduce(0) { $0 << 8 | Value(truncatingIfNeeded: $1) }
  }

  private static func appendVarint(_ value: Int64, to bytes: inout [UInt8]) {
    var rest = UInt64(bitPattern: value << 1 ^ value >> 63)
    for _ in 0..<8 {
      if rest < 0x80 { break }
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    // The ninth byte has eight bits of value.
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  private static func takeVarint(_ bytes: inout ArraySlice<UInt8>) -> Int64? {
    var bits: UInt64 = 0
    for place in 0..<9 as Range<UInt64> {
      guard let byte = bytes.popFirst() else { return nil }
      if place == 8 {
        bits |= UInt64(byte) << 56
      } else {
        bits |= UInt64(byte & 0x7f) << (7 * place)
        if byte < 0x80 { break }
      }
    }
    return Int64(bitPattern: bits >> 1) ^ -Int64(bitPattern: bits & 1)
  }
}
