/// What the fields of a response, or of its trailers, come to, judged by RFC 9113 8.2 and 8.3.
struct ResponseFields: FieldVisitor, Equatable, BitwiseCopyable, Sendable {
  static let noContentLength = UInt64.max

  private(set) var contentLength = Self.noContentLength
  private var bounds = FieldBounds()
  /// 0 when there is none, as in trailers.
  private(set) var status: UInt16 = 0
  private var hasOrdinary = false

  @inline(__always)
  mutating func take(_ field: HeaderField) throws(H2Violation) {
    try bounds.take(field)
    if field.meaning == .ordinary {
      hasOrdinary = true
    } else {
      try takeSpecial(field)
    }
  }

  @inline(__always)
  private mutating func takeSpecial(_ field: HeaderField) throws(H2Violation) {
    if let status = field.meaning.status {
      guard !hasOrdinary else { throw .misplacedPseudoField }
      guard self.status == 0 else { throw .repeatedStatus }
      self.status = status
    } else if field.meaning == .contentLength {
      hasOrdinary = true
      guard let length = field.valueCursor.decimal else { throw .invalidContentLength }
      guard contentLength == Self.noContentLength || contentLength == length else {
        throw .conflictingContentLengths
      }
      contentLength = length
    } else {
      switch field.meaning {
      case .connection: throw .connectionField
      case .pseudo: throw .unknownPseudoField
      case .invalidStatus: throw .invalidStatusCode
      case .invalidName: throw .invalidFieldName
      default: throw .invalidFieldValue
      }
    }
  }
}

/// The same, with every field kept for someone who asked.
struct KeptFields: FieldVisitor {
  var fields = ResponseFields()
  private(set) var bytes: [UInt8] = []
  /// Where in `bytes` each name and each value ends.
  private(set) var ends: [(name: Int, value: Int)] = []

  mutating func removeAll() {
    fields = ResponseFields()
    bytes.removeAll(keepingCapacity: true)
    ends.removeAll(keepingCapacity: true)
  }

  mutating func take(_ field: HeaderField) throws(H2Violation) {
    try fields.take(field)
    unsafe bytes.append(contentsOf: field.name)
    let nameEnd = bytes.count
    unsafe bytes.append(contentsOf: field.value)
    ends.append((nameEnd, bytes.count))
  }
}
