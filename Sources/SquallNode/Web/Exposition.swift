/// A run's totals in Prometheus' text format, version 0.0.4
/// (https://prometheus.io/docs/instrumenting/exposition_formats/).
package struct Exposition: Sendable {
  package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  package private(set) var text = ""

  package init(_ totals: RunTotals) {
    for metric in totals.metrics {
      text +=
        "# HELP \(metric.name) \(metric.help)\n# TYPE \(metric.name) \(metric.kind.rawValue)\n"
      for sample in metric.samples { add(sample, of: metric.name) }
    }
  }

  private mutating func add(_ sample: Metric.Sample, of name: String) {
    let labels = sample.labels.map { ($0.key, $0.value) }
    switch sample.value {
    case .count(let count): line(name, labels, count)
    case .signed(let count): line(name, labels, count)
    case .ratio(let ratio): line(name, labels, ratio)
    case .seconds(let ns): line(name, labels, Self.seconds(ns))
    case .distribution(let distribution):
      for (boundNs, count) in zip(RunTotals.Distribution.boundsNs, distribution.counts) {
        line(name + "_bucket", [("le", Self.seconds(UInt128(boundNs)))] + labels, count)
      }
      line(name + "_bucket", [("le", "+Inf")] + labels, distribution.count)
      line(name + "_sum", labels, Self.seconds(distribution.sumNs))
      line(name + "_count", labels, distribution.count)
    }
  }

  private mutating func line(
    _ name: String, _ labels: [(String, String)], _ value: some LosslessStringConvertible
  ) {
    text += name
    if !labels.isEmpty {
      text += "{" + labels.map { "\($0)=\"\(Self.escaped($1))\"" }.joined(separator: ",") + "}"
    }
    text += " \(value)\n"
  }

  private static func escaped(_ label: String) -> String {
    var text = ""
    for character in label.unicodeScalars {
      switch character {
      case "\\": text += "\\\\"
      case "\"": text += "\\\""
      case "\n": text += "\\n"
      default: text.unicodeScalars.append(character)
      }
    }
    return text
  }

  /// Exact: all nine places.
  private static func seconds(_ ns: UInt128) -> String {
    let (whole, rest) = ns.quotientAndRemainder(dividingBy: 1_000_000_000)
    guard rest > 0 else { return "\(whole)" }
    var places = String(1_000_000_000 + rest).dropFirst()
    while places.last == "0" { places.removeLast() }
    return "\(whole).\(places)"
  }
}
