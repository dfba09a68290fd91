/// One field of a header block, where its bytes lie: there until the block's next field is read.
@safe package struct HeaderField {
  fileprivate let nameAt: UnsafeRawPointer
  fileprivate let valueAt: UnsafeRawPointer
  let nameByteCount: UInt32
  let valueByteCount: UInt32
  package let meaning: FieldMeaning

  init(name: ByteCursor, value: ByteCursor, meaning: FieldMeaning) {
    unsafe nameAt = name.at
    unsafe valueAt = value.at
    nameByteCount = UInt32(truncatingIfNeeded: name.byteCount)
    valueByteCount = UInt32(truncatingIfNeeded: value.byteCount)
    self.meaning = meaning
  }

  /// A field whose name and value lie behind one another.
  @inline(__always)
  init(
    at: UnsafeRawPointer, nameByteCount: UInt32, valueByteCount: UInt32, meaning: FieldMeaning
  ) {
    unsafe nameAt = at
    unsafe valueAt = at + Int(nameByteCount)
    self.nameByteCount = nameByteCount
    self.valueByteCount = valueByteCount
    self.meaning = meaning
  }

  var nameCursor: ByteCursor {
    @inline(__always) get { unsafe ByteCursor(at: nameAt, end: nameAt + Int(nameByteCount)) }
  }

  var valueCursor: ByteCursor {
    @inline(__always) get { unsafe ByteCursor(at: valueAt, end: valueAt + Int(valueByteCount)) }
  }

  package var name: UnsafeRawBufferPointer { unsafe nameCursor.buffer }
  package var value: UnsafeRawBufferPointer { unsafe valueCursor.buffer }

  /// As tables and limits count it (RFC 7541 4.1, RFC 9113 6.5.2).
  package var listByteCount: UInt32 {
    @inline(__always) get { nameByteCount &+ valueByteCount &+ 32 }
  }
}

/// What a field is to HTTP itself, judged once, when it is read for the first time: a table keeps
/// it with the field.
package struct FieldMeaning: Equatable, BitwiseCopyable, Sendable {
  /// From 100 on: a status.
  private let code: UInt16

  static let ordinary = FieldMeaning(code: 0)
  static let contentLength = FieldMeaning(code: 1)
  /// One that concerns an HTTP/1 connection (RFC 9113 8.2.2).
  static let connection = FieldMeaning(code: 2)
  /// A pseudo field other than `:status`.
  static let pseudo = FieldMeaning(code: 3)
  static let invalidName = FieldMeaning(code: 4)
  static let invalidValue = FieldMeaning(code: 5)
  static let invalidStatus = FieldMeaning(code: 6)

  private init(code: UInt16) { self.code = code }

  /// As `rawValue` had it.
  init(rawValue: UInt16) { code = rawValue }
  var rawValue: UInt16 { code }

  var status: UInt16? {
    @inline(__always) get { code >= 100 ? code : nil }
  }

  /// Of a field that has not been judged before.
  init(name: ByteCursor, value: ByteCursor) {
    self = FieldMeaning(name: name).with(value: value)
  }

  /// Of a field that has the name of `known`.
  @inline(__always)
  init(nameOf known: HeaderField, value: ByteCursor) {
    let ofName: FieldMeaning =
      if known.meaning.status != nil {
        .invalidStatus
      } else if known.meaning == .invalidValue {
        FieldMeaning(name: known.nameCursor)
      } else {
        known.meaning
      }
    self = ofName.with(value: value)
  }

  /// What the name's meaning becomes with a value.
  private func with(value: ByteCursor) -> FieldMeaning {
    guard Self.isValid(value: value) else { return .invalidValue }
    guard self == .invalidStatus, let status = value.status else { return self }
    return FieldMeaning(code: status)
  }

  /// Of a name alone. A status without a value is none.
  private init(name: ByteCursor) {
    self = Self.meaning(of: name)
  }

  private static func meaning(of name: ByteCursor) -> FieldMeaning {
    var rest = name
    let isPseudo = rest.first == UInt8(ascii: ":")
    if isPseudo { rest.skip() }
    guard !rest.isEmpty else { return .invalidName }
    while let byte = rest.takeByte() {
      guard byte.isToken, !(UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte) else {
        return .invalidName
      }
    }
    if isPseudo { return name.equals(ByteCursor(":status")) ? .invalidStatus : .pseudo }
    if name.equals(ByteCursor("content-length")) { return .contentLength }
    let isOfConnection =
      name.equals(ByteCursor("connection")) || name.equals(ByteCursor("transfer-encoding"))
      || name.equals(ByteCursor("keep-alive")) || name.equals(ByteCursor("upgrade"))
      || name.equals(ByteCursor("proxy-connection"))
    return isOfConnection ? .connection : .ordinary
  }

  /// RFC 9113 8.2.1: text without space at its ends.
  private static func isValid(value: ByteCursor) -> Bool {
    var rest = value
    rest.skipText()
    return rest.isEmpty && !value.first.isSpace && !value.last.isSpace
  }
}

extension UInt8? {
  fileprivate var isSpace: Bool { self == UInt8(ascii: " ") || self == UInt8(ascii: "\t") }
}

extension ByteCursor {
  fileprivate var last: UInt8? {
    isEmpty ? nil : unsafe end.load(fromByteOffset: -1, as: UInt8.self)
  }

  /// Three digits, 100 to 599.
  fileprivate var status: UInt16? {
    guard byteCount == 3, let number = decimal, 100...599 ~= number else { return nil }
    return UInt16(number)
  }

  /// Digits that are a number below 2^63.
  var decimal: UInt64? {
    guard !isEmpty else { return nil }
    var rest = self
    var number: UInt64 = 0
    while let byte = rest.takeByte() {
      let digit = byte &- UInt8(ascii: "0")
      guard digit <= 9, number <= UInt64(Int64.max) / 10 else { return nil }
      number = number * 10 + UInt64(digit)
    }
    return number <= UInt64(Int64.max) ? number : nil
  }
}
