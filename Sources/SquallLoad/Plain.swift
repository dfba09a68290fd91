/// Fixed-width little-endian fields, one after the other.
package struct PlainWriter {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  package mutating func write<Value: FixedWidthInteger>(_ value: Value) {
    for shift in stride(from: 0, to: Value.bitWidth, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> Value(shift)))
    }
  }

  package mutating func write(_ value: Double) { write(value.bitPattern) }

  package mutating func write(_ value: [UInt8]) {
    write(UInt32(value.count))
    bytes += value
  }

  package mutating func write(_ value: String) { write(Array(value.utf8)) }
}

/// Reads what `PlainWriter` wrote. Each read returns nil past the end or on a broken value.
package struct PlainReader {
  private let bytes: [UInt8]
  private var offset = 0
  /// A field of a record was past the end or broken.
  fileprivate var isBroken = false

  package init(_ bytes: [UInt8]) { self.bytes = bytes }

  package var isAtEnd: Bool { offset == bytes.count }

  fileprivate mutating func integer<Value: FixedWidthInteger>(_: Value.Type) -> Value? {
    let byteCount = Value.bitWidth / 8
    guard bytes.count - offset >= byteCount else { return nil }
    var value: Value = 0
    for index in 0..<byteCount {
      value |= Value(truncatingIfNeeded: bytes[offset + index]) << Value(index * 8)
    }
    offset += byteCount
    return value
  }

  package mutating func uint8() -> UInt8? { integer(UInt8.self) }
  package mutating func uint16() -> UInt16? { integer(UInt16.self) }
  package mutating func uint32() -> UInt32? { integer(UInt32.self) }
  package mutating func uint64() -> UInt64? { integer(UInt64.self) }
  package mutating func double() -> Double? { uint64().map(Double.init(bitPattern:)) }

  package mutating func byteList() -> [UInt8]? {
    guard let count = uint32(), bytes.count - offset >= Int(count) else { return nil }
    defer { offset += Int(count) }
    return Array(bytes[offset..<offset + Int(count)])
  }

  package mutating func string() -> String? {
    byteList().flatMap { String(validating: $0, as: UTF8.self) }
  }

  package mutating func list<Value>(_ read: (inout PlainReader) -> Value?) -> [Value]? {
    // Each element has at least one byte, which bounds what a hostile count can allocate.
    guard let count = uint32(), bytes.count - offset >= Int(count) else { return nil }
    var values: [Value] = []
    for _ in 0..<count {
      guard let value = read(&self) else { return nil }
      values.append(value)
    }
    return values
  }
}

/// What has one encoding.
package protocol PlainValue {
  func write(to writer: inout PlainWriter)
  /// Nil past the end or on a broken value.
  init?(from reader: inout PlainReader)
}

/// One of both directions.
package protocol PlainCoder {
  mutating func pass(_ value: inout some PlainValue)
  /// As a list of bytes is passed, in one piece.
  mutating func pass(_ bytes: inout [UInt8])
}

/// A value of several fields, which are named once for both directions.
package protocol PlainRecord: PlainValue {
  /// What a reader fills.
  static var blank: Self { get }
  mutating func pass(through coder: inout some PlainCoder)
}

extension PlainRecord {
  package func write(to writer: inout PlainWriter) {
    var copy = self
    copy.pass(through: &writer)
  }

  package init?(from reader: inout PlainReader) {
    self = Self.blank
    pass(through: &reader)
    if reader.isBroken { return nil }
  }
}

extension PlainWriter: PlainCoder {
  package mutating func write<Value: PlainValue>(_ values: [Value]) { values.write(to: &self) }
  package mutating func write<Value: PlainValue>(_ value: Value?) { value.write(to: &self) }

  package mutating func pass(_ value: inout some PlainValue) { value.write(to: &self) }
  package mutating func pass(_ bytes: inout [UInt8]) { write(bytes) }
}

extension PlainReader: PlainCoder {
  /// Of the type that is wanted; nil past the end or on a broken value.
  package mutating func value<Value: PlainValue>() -> Value? { Value(from: &self) }

  package mutating func bool() -> Bool? { uint8().flatMap { $0 <= 1 ? $0 == 1 : nil } }

  package mutating func pass<Value: PlainValue>(_ value: inout Value) {
    guard !isBroken, let read = Value(from: &self) else {
      isBroken = true
      return
    }
    value = read
  }

  package mutating func pass(_ bytes: inout [UInt8]) {
    guard !isBroken, let read = byteList() else {
      isBroken = true
      return
    }
    bytes = read
  }
}

extension PlainValue where Self: FixedWidthInteger {
  package func write(to writer: inout PlainWriter) { writer.write(self) }

  package init?(from reader: inout PlainReader) {
    guard let value = reader.integer(Self.self) else { return nil }
    self = value
  }
}

extension UInt8: PlainValue {}
extension UInt16: PlainValue {}
extension UInt32: PlainValue {}
extension UInt64: PlainValue {}

extension Double: PlainValue {
  package func write(to writer: inout PlainWriter) { writer.write(self) }

  package init?(from reader: inout PlainReader) {
    guard let value = reader.double() else { return nil }
    self = value
  }
}

extension Bool: PlainValue {
  package func write(to writer: inout PlainWriter) { writer.write(UInt8(self ? 1 : 0)) }

  package init?(from reader: inout PlainReader) {
    guard let value = reader.bool() else { return nil }
    self = value
  }
}

extension String: PlainValue {
  package func write(to writer: inout PlainWriter) { writer.write(self) }

  package init?(from reader: inout PlainReader) {
    guard let value = reader.string() else { return nil }
    self = value
  }
}

extension Array: PlainValue where Element: PlainValue {
  package func write(to writer: inout PlainWriter) {
    writer.write(UInt32(count))
    for element in self { element.write(to: &writer) }
  }

  package init?(from reader: inout PlainReader) {
    guard let value = reader.list({ Element(from: &$0) }) else { return nil }
    self = value
  }
}

extension Optional: PlainValue where Wrapped: PlainValue {
  package func write(to writer: inout PlainWriter) {
    (self != nil).write(to: &writer)
    self?.write(to: &writer)
  }

  package init?(from reader: inout PlainReader) {
    guard let isThere = Bool(from: &reader) else { return nil }
    self = nil
    guard isThere else { return }
    guard let value = Wrapped(from: &reader) else { return nil }
    self = .some(value)
  }
}

/// In the order of the keys, so that equal dictionaries have equal bytes.
extension Dictionary: PlainValue where Key == String, Value == String {
  package func write(to writer: inout PlainWriter) {
    writer.write(UInt32(count))
    for (key, value) in sorted(by: { $0.key < $1.key }) {
      writer.write(key)
      writer.write(value)
    }
  }

  package init?(from reader: inout PlainReader) {
    let pairs = reader.list { reader -> (String, String)? in
      guard let key = reader.string(), let value = reader.string() else { return nil }
      return (key, value)
    }
    guard let pairs else { return nil }
    self.init(pairs, uniquingKeysWith: { $1 })
  }
}
