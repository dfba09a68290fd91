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

/// The same, with every field kept for someone who asked, as lines of HTTP/1.1.
struct KeptFields: FieldVisitor {
  private static let separatorByteCount = 2

  private(set) var fields = ResponseFields()
  private var bytes: [UInt8] = []
  /// Where in `bytes` each name and each value ends.
  private var ends: [(name: Int, value: Int)] = []
  /// Where the fields begin that are no pseudo fields.
  private var linesStart = 0

  var count: Int { ends.count }

  func name(_ index: Int) -> ArraySlice<UInt8> {
    bytes[(index > 0 ? ends[index - 1].value + Self.separatorByteCount : 0)..<ends[index].name]
  }

  func value(_ index: Int) -> ArraySlice<UInt8> {
    bytes[(ends[index].name + Self.separatorByteCount)..<ends[index].value]
  }

  /// The lines and the empty one behind them.
  func withLines(_ take: (UnsafeRawBufferPointer) -> Void) {
    unsafe bytes.withUnsafeBytes { bytes in
      unsafe take(UnsafeRawBufferPointer(rebasing: bytes[linesStart...]))
    }
  }

  mutating func begin() {
    fields = ResponseFields()
    bytes.removeAll(keepingCapacity: true)
    ends.removeAll(keepingCapacity: true)
    linesStart = 0
  }

  mutating func take(_ field: HeaderField) throws(H2Violation) {
    try fields.take(field)
    unsafe bytes.append(contentsOf: field.name)
    let nameEnd = bytes.count
    bytes.append(UInt8(ascii: ":"))
    bytes.append(UInt8(ascii: " "))
    unsafe bytes.append(contentsOf: field.value)
    ends.append((nameEnd, bytes.count))
    endLine()
    if unsafe field.name.first == UInt8(ascii: ":") { linesStart = bytes.count }
  }

  mutating func end() { endLine() }

  private mutating func endLine() {
    bytes.append(UInt8(ascii: "\r"))
    bytes.append(UInt8(ascii: "\n"))
  }
}
