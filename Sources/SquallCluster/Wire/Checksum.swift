/// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78, as in iSCSI, RFC 3720 appendix B.4), eight
/// bytes at a time by tables (Kounavis and Berry, 2005).
package enum Checksum {
  /// Table k, byte b at 256k + b: the remainder of b followed by k zero bytes.
  private static let tables: [UInt32] = {
    var tables = [UInt32](repeating: 0, count: 8 * 256)
    for byte in 0..<256 {
      var remainder = UInt32(byte)
      for _ in 0..<8 {
        remainder = remainder & 1 == 0 ? remainder >> 1 : remainder >> 1 ^ 0x82f6_3b78
      }
      tables[byte] = remainder
    }
    for index in 256..<8 * 256 {
      let before = tables[index - 256]
      tables[index] = before >> 8 ^ tables[Int(before & 0xff)]
    }
    return tables
  }()

  /// The checksum of `bytes[range]`, continuing from that of the bytes before them.
  package static func crc32c(
    _ bytes: [UInt8], _ range: Range<Int>, after previous: UInt32 = 0
  ) -> UInt32 {
    precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "range beyond the bytes")
    let table = tables.span
    let span = bytes.span
    var remainder = ~previous
    var index = range.lowerBound
    while index &+ 8 <= range.upperBound {
      var word: UInt64 = 0
      for offset in 0..<8 { word |= UInt64(span[index &+ offset]) &<< UInt64(offset &* 8) }
      word ^= UInt64(remainder)
      var next: UInt32 = 0
      for offset in 0..<8 {
        let byte = Int(truncatingIfNeeded: word &>> UInt64(offset &* 8)) & 0xff
        next ^= table[(7 &- offset) &* 256 &+ byte]
      }
      remainder = next
      index &+= 8
    }
    while index < range.upperBound {
      remainder = remainder &>> 8 ^ table[Int((remainder ^ UInt32(span[index])) & 0xff)]
      index &+= 1
    }
    return ~remainder
  }
}
