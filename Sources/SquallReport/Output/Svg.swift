internal import SquallLoad

/// Shapes as text. Coordinates have one decimal, classes carry all colour.
struct Svg {
  private(set) var text = ""

  static func number(_ value: Double) -> String {
    let text = Figures.fixed(value, 1)
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }

  /// Text for HTML and SVG alike, in content and in quoted attributes. Control characters, which HTML
  /// has no way to say, become the replacement character.
  static func escaped(_ text: String) -> String {
    var escaped = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": escaped += "&amp;"
      case "<": escaped += "&lt;"
      case ">": escaped += "&gt;"
      case "\"": escaped += "&quot;"
      case "'": escaped += "&#39;"
      case "\n", "\t": escaped.unicodeScalars.append(scalar)
      case _ where scalar.value < 0x20 || (0x7f..<0xa0).contains(scalar.value):
        escaped += "\u{fffd}"
      // Bidirectional overrides would let a name rewrite its neighbourhood.
      case "\u{202a}"..."\u{202e}", "\u{2066}"..."\u{2069}": escaped += "\u{fffd}"
      default: escaped.unicodeScalars.append(scalar)
      }
    }
    return escaped
  }

  mutating func line(_ style: String, _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double) {
    text += "<path class=\"\(style)\" d=\"M\(Self.number(x1)) \(Self.number(y1))"
    text += "L\(Self.number(x2)) \(Self.number(y2))\"/>"
  }

  /// A line through points; a nil breaks it. A lone point is a dot.
  mutating func line(_ style: String, _ points: [(x: Double, y: Double)?]) {
    var path = ""
    var isDown = false
    for (index, point) in points.enumerated() {
      guard let point else {
        isDown = false
        continue
      }
      path += "\(isDown ? "L" : "M")\(Self.number(point.x)) \(Self.number(point.y))"
      let isAlone = !isDown && (index + 1 == points.count || points[index + 1] == nil)
      if isAlone { path += "h.1" }
      isDown = true
    }
    if !path.isEmpty { text += "<path class=\"\(style)\" d=\"\(path)\"/>" }
  }

  mutating func rectangle(
    _ style: String, x: Double, y: Double, width: Double, height: Double, title: String? = nil
  ) {
    text += "<rect class=\"\(style)\" x=\"\(Self.number(x))\" y=\"\(Self.number(y))\""
    text += " width=\"\(Self.number(width))\" height=\"\(Self.number(height))\""
    text += title.map { "><title>\(Self.escaped($0))</title></rect>" } ?? "/>"
  }

  enum Anchor: String {
    case start
    case middle
    case end
  }

  mutating func label(
    _ label: String, x: Double, y: Double, anchor: Anchor = .start, style: String = "tick"
  ) {
    text += "<text class=\"\(style)\" x=\"\(Self.number(x))\" y=\"\(Self.number(y))\""
    text += anchor == .start ? ">" : " text-anchor=\"\(anchor.rawValue)\">"
    text += Self.escaped(label) + "</text>"
  }

  mutating func raw(_ shapes: String) { text += shapes }
}
