/// How durations and numbers are typed, everywhere: flags, objectives, schedules.
package enum Quantity {
  /// Nanoseconds of `10s`, `1m30s`, `250ms`, `50us`, `1.5h`: parts of descending unit. A number without
  /// unit is seconds where `allowsBareSeconds`, and always when zero. At most 292 years.
  package static func durationNs(
    _ text: String, allowsBareSeconds: Bool = true
  ) throws(Misspelt) -> UInt64 {
    var reader = Reader(text)
    reader.skipSpace()
    let ns = try durationNs(&reader, allowsBareSeconds: allowsBareSeconds)
    try reader.end()
    return ns
  }

  /// A number such as `10000`, `10k`, `2.5m`, `1g` (thousand, million, thousand million).
  package static func number(_ text: String) throws(Misspelt) -> Double {
    var reader = Reader(text)
    reader.skipSpace()
    let number = try number(&reader)
    try reader.end()
    return number
  }

  /// As `number`, where it must be whole.
  package static func count(_ text: String) throws(Misspelt) -> UInt64 {
    let number = try number(text)
    guard number < 0x1p63, number.rounded() == number else {
      throw Misspelt(text, column: 1, "expected a whole number")
    }
    return UInt64(number)
  }

  private static let unitsNs: [(name: String, ns: Double)] = [
    ("ns", 1), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9),
    ("h", 3600e9), ("d", 86400e9),
  ]

  package static func durationNs(
    _ reader: inout Reader, allowsBareSeconds: Bool
  ) throws(Misspelt) -> UInt64 {
    let start = reader.position
    var total = 0.0
    var previousUnitNs = Double.infinity
    repeat {
      let number = try reader.number("expected a duration such as 10s, 1m30s, 250ms or 50us")
      let unitPosition = reader.position
      let name = reader.take { $0.isLetter }
      if name.isEmpty {
        guard previousUnitNs == .infinity, allowsBareSeconds || number == 0 else {
          throw reader.misspelt("expected a unit: ns, us, ms, s, m, h or d")
        }
        total = number * 1e9
        break
      }
      guard let unit = unitsNs.first(where: { $0.name == name }) else {
        throw reader.misspelt(
          "unknown unit '\(name)', use ns, us, ms, s, m, h or d", at: unitPosition)
      }
      guard unit.ns < previousUnitNs else {
        throw reader.misspelt("units go from large to small, each once", at: unitPosition)
      }
      previousUnitNs = unit.ns
      total += number * unit.ns
    } while reader.next.map { ("0"..."9").contains($0) } ?? false
    guard total < 0x1p63 else { throw reader.misspelt("a duration too long", at: start) }
    return UInt64(total.rounded())
  }

  package static func number(_ reader: inout Reader) throws(Misspelt) -> Double {
    let number = try reader.number("expected a number such as 500, 10k or 2.5m")
    if reader.take("k") || reader.take("K") { return number * 1e3 }
    if reader.take("m") || reader.take("M") { return number * 1e6 }
    if reader.take("g") || reader.take("G") { return number * 1e9 }
    return number
  }
}
