internal import SquallLoad

/// Words laid out for a terminal of 80 columns.
package enum Columns {
  static let width = 80

  package static func left(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  package static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  /// At most `width` characters of a text.
  package static func cut(_ text: String, _ width: Int) -> String {
    text.count <= width ? text : text.prefix(width - 3) + "..."
  }

  /// At most `width` characters of a text, with its beginning and its end.
  package static func elided(_ text: String, _ width: Int) -> String {
    guard text.count > width else { return text }
    let kept = max(0, width - 3)
    return text.prefix(kept - kept / 2) + "..." + text.suffix(kept / 2)
  }

  /// Breaks at spaces; the first line after `first`, the others after as many spaces. A word longer
  /// than a line stays whole.
  package static func wrapped(_ text: String, after first: String) -> [String] {
    let indent = String(repeating: " ", count: first.count)
    var lines: [String] = []
    var line = first
    var isEmpty = true
    for word in text.split(separator: " ") {
      if !isEmpty && line.count + 1 + word.count > width {
        lines.append(line)
        line = indent
        isEmpty = true
      }
      line += isEmpty ? String(word) : " " + word
      isEmpty = false
    }
    return lines + [line]
  }

  /// What a terminal may show of a text from outside: control characters become `?`.
  package static func harmless(_ text: String) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.map {
          $0.value < 0x20 || (0x7f..<0xa0).contains($0.value) ? "?" : $0
        }))
  }
}
