/// How long a list of fields is by now, held against what the peer was told in our SETTINGS.
struct FieldBounds: Equatable, BitwiseCopyable, Sendable {
  /// Of names, values and 32 bytes for each field (RFC 9113 section 6.5.2).
  static let listByteCountMax: UInt32 = 64 << 10
  static let countMax: UInt16 = 256

  private var listByteCount: UInt32 = 0
  private var count: UInt16 = 0

  @inline(__always)
  mutating func take(_ field: HeaderField) throws(H2Violation) {
    let (sum, isOver) = listByteCount.addingReportingOverflow(field.listByteCount)
    listByteCount = sum
    guard !isOver, sum <= Self.listByteCountMax else { throw .fieldsTooLong }
    guard count < Self.countMax else { throw .tooManyFields }
    count &+= 1
  }
}
