/// Reads the heads of HTTP/2 requests, judged by RFC 9113 8.2 and 8.3. One serves all connections of a
/// server.
@safe package struct RequestHeadReader: ~Copyable {
  private var decoder = FieldDecoder()
  private var fields = RequestFields()

  package init() {}

  deinit { unsafe fields.room.deallocate() }

  package var isHead: Bool { fields.isHead }

  /// The value of `:path`, until the next head is read.
  @safe package var target: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(rebasing: fields.room[..<fields.targetByteCount])
  }

  /// Says whether the block would mean the same again while the table has the same entries.
  @inline(__always)
  mutating func read(
    _ block: ByteCursor, table: inout HeaderTable, isTrailers: Bool = false
  ) throws(H2Violation) -> Bool {
    fields.begin()
    // A change of the table's size is more than its bytes: it may drop entries.
    let changesSize = block.first.map { $0 & 0xE0 == 0x20 } ?? false
    _ = try decoder.decode(block, table: &table, into: &fields)
    try fields.check(isTrailers: isTrailers)
    return !changesSize
  }
}

/// What the fields of a request come to.
@safe private struct RequestFields: FieldVisitor {
  static let targetByteCountMax = 8_192

  /// For the target.
  let room = UnsafeMutableRawBufferPointer.allocate(byteCount: targetByteCountMax, alignment: 16)
  private(set) var targetByteCount = 0
  private(set) var isHead = false
  private var found: Pseudo = []
  private var bounds = FieldBounds()
  private var hasOrdinary = false

  struct Pseudo: OptionSet {
    let rawValue: UInt8
    static let method = Pseudo(rawValue: 1 << 0)
    static let scheme = Pseudo(rawValue: 1 << 1)
    static let path = Pseudo(rawValue: 1 << 2)
    static let authority = Pseudo(rawValue: 1 << 3)
    static let needed: Pseudo = [.method, .scheme, .path]
  }

  mutating func begin() {
    targetByteCount = 0
    isHead = false
    found = []
    bounds = FieldBounds()
    hasOrdinary = false
  }

  func check(isTrailers: Bool) throws(H2Violation) {
    if isTrailers {
      guard found.isEmpty else { throw .misplacedPseudoField }
    } else {
      guard found.isSuperset(of: .needed) else { throw .missingRequestField }
    }
  }

  @inline(__always)
  mutating func take(_ field: HeaderField) throws(H2Violation) {
    try bounds.take(field)
    switch field.meaning {
    case .ordinary, .contentLength: hasOrdinary = true
    case .pseudo: try takePseudo(field)
    case .connection: throw .connectionField
    case .invalidName: throw .invalidFieldName
    case .invalidValue: throw .invalidFieldValue
    default: throw .unknownPseudoField  // `:status`
    }
  }

  private mutating func takePseudo(_ field: HeaderField) throws(H2Violation) {
    guard !hasOrdinary else { throw .misplacedPseudoField }
    let name = field.nameCursor
    let kind: Pseudo
    if name.equals(ByteCursor(":path")) {
      guard field.valueByteCount > 0 else { throw .missingRequestField }
      guard field.valueByteCount <= Self.targetByteCountMax else { throw .fieldsTooLong }
      unsafe room.copyMemory(from: field.value)
      targetByteCount = Int(field.valueByteCount)
      kind = .path
    } else if name.equals(ByteCursor(":method")) {
      isHead = field.valueCursor.equals(ByteCursor("HEAD"))
      kind = .method
    } else if name.equals(ByteCursor(":scheme")) {
      kind = .scheme
    } else if name.equals(ByteCursor(":authority")) {
      kind = .authority
    } else {
      throw .unknownPseudoField
    }
    guard found.insert(kind).inserted else { throw .repeatedRequestField }
  }
}
