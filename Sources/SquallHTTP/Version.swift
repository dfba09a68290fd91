/// The version as the little-endian word of its eight bytes.
extension UInt64 {
  static let http10: UInt64 = 0x302E_312F_5054_5448  // "HTTP/1.0"
  static let http11: UInt64 = 0x312E_312F_5054_5448  // "HTTP/1.1"

  var isHTTP1: Bool {
    @inline(__always) get { self == Self.http11 || self == Self.http10 }
  }

  /// What is wrong with `byte` as byte `index`, 0 to 7, of a version.
  static func versionFault(_ byte: UInt8, at index: UInt8) -> Malformation? {
    func matches(_ version: UInt64) -> Bool {
      byte == UInt8(truncatingIfNeeded: version >> (UInt64(index) * 8))
    }
    if matches(http11) || matches(http10) { return nil }
    return index < 5 ? .notHTTP : .unsupportedVersion
  }
}
