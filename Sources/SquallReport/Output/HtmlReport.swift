internal import SquallLoad

/// A result as one HTML page that needs nothing but itself: no font, no request. Its script draws the
/// view that the page of a master draws, from the same data; who has no script reads the text.
///
/// At most `byteCountMax`: long runs are drawn in fewer columns and long tables are cut with a word.
package struct HtmlReport {
  /// What a page is made of, from whoever keeps its files.
  package struct Parts: Sendable {
    package var style: String
    /// One script without imports, which draws the element `view` into `main`.
    package var script: String
    /// SHA-256 of the script, base 64, without which the page would run nothing.
    package var scriptDigest: String

    package init(style: String, script: String, scriptDigest: String) {
      self.style = style
      self.script = script
      self.scriptDigest = scriptDigest
    }
  }

  package static let byteCountMax = 500 * 1024
  private static let viewByteCountMax = 280 * 1024
  private static let listCountMax = 64
  /// Characters of the text report; one takes up to five bytes when it is escaped.
  private static let textLengthMax = 20_000

  private let result: RunResult
  private let parts: Parts

  package init(_ result: RunResult, with parts: Parts) {
    self.result = result
    self.parts = parts
  }

  package var text: String {
    let title = "\(result.plan.method) \(result.plan.url)"
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
      style-src 'unsafe-inline'; script-src 'sha256-\(parts.scriptDigest)'">
      <title>squall: \(Self.escaped(String(title.prefix(300))))</title>
      <style>
      \(parts.style)</style>
      </head>
      <body>
      <main></main>
      <details class="text"><summary>The same as text</summary><pre>\
      \(Self.escaped(String(TextReport(result).text.prefix(Self.textLengthMax))))</pre></details>
      <script type="application/json" id="view">\(Self.inScript(view))</script>
      <script type="module">\(parts.script)</script>
      </body>
      </html>

      """
  }

  private var view: String {
    var result = result
    result.plan.url = String(result.plan.url.prefix(2_000))
    result.argv = result.argv.map { String($0.prefix(300)) }
    result.verdict.reasons = result.verdict.reasons.map { String($0.prefix(600)) }
    result.verdict.cautions = result.verdict.cautions.map { String($0.prefix(600)) }
    var columnCountMax = 960
    while true {
      let text = RunView(
        result, columnCountMax: columnCountMax, listCountMax: Self.listCountMax
      ).json.text
      if text.utf8.count <= Self.viewByteCountMax || columnCountMax < 30 { return text }
      columnCountMax /= 2
    }
  }

  /// No end of the script inside of it.
  private static func inScript(_ json: String) -> String {
    var text = ""
    text.reserveCapacity(json.utf8.count)
    for scalar in json.unicodeScalars {
      if scalar == "<" { text += "\\u003c" } else { text.unicodeScalars.append(scalar) }
    }
    return text
  }

  /// Text for content and quoted attributes. Control characters, which HTML has no way to say, become
  /// the replacement character.
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
}
