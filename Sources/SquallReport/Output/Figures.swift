internal import SquallLoad

/// Numbers as a reader takes them in: three or four significant digits, a unit, grouped thousands.
package enum Figures {
  /// `912,481`.
  package static func grouped(_ number: some BinaryInteger) -> String {
    let digits = String(number.magnitude)
    var text = ""
    for (place, digit) in digits.enumerated() {
      if place > 0 && (digits.count - place) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return (number < 0 ? "-" : "") + text
  }

  /// A number with as many digits behind the point, rounded to the nearest, halves up.
  package static func fixed(_ number: Double, _ digits: Int) -> String {
    guard number.isFinite else { return "-" }
    let factor = (0..<digits).reduce(1.0) { product, _ in product * 10 }
    let scaled = (number.magnitude * factor).rounded()
    guard scaled < 0x1p63 else { return number.description }
    let units = UInt64(scaled)
    let whole = units / UInt64(factor)
    let sign = number < 0 && units > 0 ? "-" : ""
    guard digits > 0 else { return sign + String(whole) }
    let fraction = String(units % UInt64(factor))
    return sign + String(whole) + "." + String(repeating: "0", count: digits - fraction.count)
      + fraction
  }

  /// `912,481`, `49.98`, `0.5`: a rate per second.
  package static func rate(_ perSecond: Double) -> String {
    guard perSecond.isFinite else { return "-" }
    if perSecond >= 1000 && perSecond < 0x1p63 { return grouped(UInt64(perSecond.rounded())) }
    return significant(perSecond)
  }

  /// `898k`, `1.24M`: four characters or so.
  package static func short(_ number: Double) -> String {
    if number >= 999.5e6 { return significant(number / 1e9) + "G" }
    if number >= 999.5e3 { return significant(number / 1e6) + "M" }
    if number >= 999.5 { return significant(number / 1e3) + "k" }
    return significant(number)
  }

  /// `276us`, `1.40ms`, `2.50s`, `12m30s`; never longer than seven characters below a hundred hours.
  /// `-` where there is no value.
  package static func duration(_ ns: UInt64?) -> String {
    guard let ns else { return "-" }
    if ns < 1000 { return "\(ns)ns" }
    if ns < 999_500 { return significant(Double(ns) / 1e3) + "us" }
    if ns < 999_500_000 { return significant(Double(ns) / 1e6) + "ms" }
    if ns < 99_950_000_000 { return significant(Double(ns) / 1e9) + "s" }
    let seconds = (ns + 500_000_000) / 1_000_000_000
    if seconds < 3600 { return "\(seconds / 60)m\(twoDigits(seconds % 60))s" }
    return "\(seconds / 3600)h\(twoDigits(seconds / 60 % 60))m"
  }

  /// A plan's duration: `30s`, `1m30s`, `250ms`, exact.
  package static func plainDuration(_ ns: UInt64) -> String {
    for (unit, name) in [(3_600_000_000_000, "h"), (60_000_000_000, "m"), (1_000_000_000, "s")]
      as [(UInt64, String)] where ns >= unit
    {
      let rest = ns % unit
      if rest == 0 { return "\(ns / unit)\(name)" }
      if name != "s" && rest % 1_000_000_000 == 0 {
        return "\(ns / unit)\(name)" + plainDuration(rest)
      }
    }
    if ns % 1_000_000 == 0 { return "\(ns / 1_000_000)ms" }
    if ns % 1000 == 0 { return "\(ns / 1000)us" }
    return "\(ns)ns"
  }

  /// `1.21 GiB`.
  package static func bytes(_ count: Double) -> String {
    var rest = count
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
      if rest < 1000 || unit == "TiB" { return significant(rest) + " " + unit }
      rest /= 1024
    }
    return ""
  }

  /// `99.5%`, `0.03%`, `100%`.
  package static func percent(_ ratio: Double) -> String {
    let percent = ratio * 100
    if percent != 0 && percent.magnitude < 1 { return significant(percent) + "%" }
    let text = fixed(percent, 1)
    return (text.hasSuffix(".0") ? String(text.dropLast(2)) : text) + "%"
  }

  /// Three significant digits of a number below a thousand; `0` as `0`.
  package static func significant(_ number: Double) -> String {
    let size = number.magnitude
    if size == 0 { return "0" }
    if size >= 99.95 { return fixed(number, 0) }
    if size >= 9.995 { return fixed(number, 1) }
    if size >= 0.9995 { return fixed(number, 2) }
    return fixed(number, 3)
  }

  private static func twoDigits(_ number: UInt64) -> String {
    number < 10 ? "0\(number)" : "\(number)"
  }
}
