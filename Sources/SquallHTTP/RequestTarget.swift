/// The path and query of a request target, looked at where it lies: valid as long as its bytes.
///
/// Takes origin-form, absolute-form (its scheme and authority are skipped) and `*`. Names and
/// values are compared as they stand, without percent-decoding. Nothing here allocates.
@safe package struct RequestTarget {
  private let bytes: UnsafeRawBufferPointer
  private let pathRange: Range<Int>
  private let queryRange: Range<Int>

  /// What is wrong with the value of a query item that is there.
  package enum Fault: UInt8, Error, BitwiseCopyable, Sendable {
    case notANumber
    case tooLarge
    case missingUnit

    package var explanation: StaticString {
      switch self {
      case .notANumber:
        "a query item's value is not digits (and a unit, if it is a duration or a size)"
      case .tooLarge: "a query item's value is too large"
      case .missingUnit: "a duration in the query has no unit: write ns, us, ms, s or m after it"
      }
    }
  }

  package init(_ bytes: UnsafeRawBufferPointer) {
    unsafe self.bytes = bytes
    var start = 0
    if unsafe bytes.first != UInt8(ascii: "/") { start = unsafe Self.authorityEnd(bytes) }
    let end = bytes.count
    let question = unsafe bytes[start...].firstIndex(of: UInt8(ascii: "?")) ?? end
    pathRange = start..<question
    queryRange = min(question + 1, end)..<end
  }

  /// As it stands in the request; empty in `http://host?query`.
  package var path: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(rebasing: bytes[pathRange])
  }

  package func hasPath(_ path: StaticString) -> Bool { matches(pathRange, path) }

  /// Whether `name` is an item of the query, with or without a value other than `0`.
  package func flag(_ name: StaticString) -> Bool {
    guard let value = value(of: name) else { return false }
    return !matches(value, "0")
  }

  /// Nil when `name` is no item of the query. The first of several counts.
  package func integer(_ name: StaticString) throws(Fault) -> UInt64? {
    guard let value = value(of: name) else { return nil }
    let (number, end) = try digits(value)
    guard end == value.upperBound else { throw .notANumber }
    return number
  }

  /// A number of bytes, with `k`, `m` or `g` behind it of KiB, MiB or GiB. Nil when `name` is no
  /// item of the query. The first of several counts.
  package func byteCount(_ name: StaticString) throws(Fault) -> UInt64? {
    guard let value = value(of: name) else { return nil }
    let (number, end) = try digits(value)
    let unit = end..<value.upperBound
    let shift: UInt64
    if unit.isEmpty {
      shift = 0
    } else if matches(unit, "k") {
      shift = 10
    } else if matches(unit, "m") {
      shift = 20
    } else if matches(unit, "g") {
      shift = 30
    } else {
      throw .notANumber
    }
    guard number <= UInt64.max >> shift else { throw .tooLarge }
    return number << shift
  }

  /// Nanoseconds, from digits and one of `ns`, `us`, `ms`, `s`, `m`; a bare 0 needs no unit. Nil
  /// when `name` is no item of the query. The first of several counts.
  package func durationNs(_ name: StaticString) throws(Fault) -> UInt64? {
    guard let value = value(of: name) else { return nil }
    let (number, end) = try digits(value)
    let unit = end..<value.upperBound
    let unitNs: UInt64
    if matches(unit, "ns") {
      unitNs = 1
    } else if matches(unit, "us") {
      unitNs = 1_000
    } else if matches(unit, "ms") {
      unitNs = 1_000_000
    } else if matches(unit, "s") {
      unitNs = 1_000_000_000
    } else if matches(unit, "m") {
      unitNs = 60_000_000_000
    } else if unit.isEmpty {
      guard number == 0 else { throw .missingUnit }
      unitNs = 1
    } else {
      throw .notANumber
    }
    let (ns, overflow) = number.multipliedReportingOverflow(by: unitNs)
    guard !overflow else { throw .tooLarge }
    return ns
  }

  private func digits(_ value: Range<Int>) throws(Fault) -> (number: UInt64, end: Int) {
    var number: UInt64 = 0
    var index = value.lowerBound
    while index < value.upperBound {
      let digit = unsafe bytes[index] &- UInt8(ascii: "0")
      guard digit <= 9 else { break }
      let (tens, carried) = number.multipliedReportingOverflow(by: 10)
      let (sum, overflow) = tens.addingReportingOverflow(UInt64(digit))
      guard !carried, !overflow else { throw .tooLarge }
      number = sum
      index += 1
    }
    guard index > value.lowerBound else { throw .notANumber }
    return (number, index)
  }

  /// Where the value of item `name` stands; empty for an item without `=`.
  private func value(of name: StaticString) -> Range<Int>? {
    var start = queryRange.lowerBound
    while start < queryRange.upperBound {
      let item = start..<(index(of: UInt8(ascii: "&"), in: start..<queryRange.upperBound))
      let equals = index(of: UInt8(ascii: "="), in: item)
      if matches(item.lowerBound..<equals, name) {
        return min(equals + 1, item.upperBound)..<item.upperBound
      }
      start = item.upperBound + 1
    }
    return nil
  }

  /// Its end when `byte` is not in `range`.
  private func index(of byte: UInt8, in range: Range<Int>) -> Int {
    unsafe bytes[range].firstIndex(of: byte) ?? range.upperBound
  }

  private func matches(_ range: Range<Int>, _ text: StaticString) -> Bool {
    guard range.count == text.utf8CodeUnitCount else { return false }
    for offset in 0..<range.count
    where unsafe bytes[range.lowerBound + offset] != text.utf8Start[offset] { return false }
    return true
  }

  /// Where the authority of an absolute-form ends; 0 in every other form.
  private static func authorityEnd(_ bytes: UnsafeRawBufferPointer) -> Int {
    let end = bytes.count
    guard let colon = unsafe bytes.firstIndex(of: UInt8(ascii: ":")), colon + 2 < end,
      unsafe bytes[colon + 1] == UInt8(ascii: "/"), unsafe bytes[colon + 2] == UInt8(ascii: "/")
    else { return 0 }
    let rest = unsafe bytes[(colon + 3)...]
    return unsafe rest.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? end
  }
}
