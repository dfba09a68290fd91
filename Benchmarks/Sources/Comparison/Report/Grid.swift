/// A table of text: a title, a remark, columns, rows, and notes its cells point to.
package struct Grid: Sendable {
  package var title: String
  package var remark = ""
  package var columns: [String]
  package var rows: [[String]] = []
  package var notes: [String] = []

  package init(title: String, remark: String = "", columns: [String]) {
    self.title = title
    self.remark = remark
    self.columns = columns
  }

  package var markdown: String {
    func line(_ cells: [String]) -> String {
      "| " + cells.map { $0.replacing("|", with: "\\|") }.joined(separator: " | ") + " |"
    }
    let rule = columns.indices.map { $0 == 0 ? "---" : "---:" }
    var parts = ["### \(title)", ""]
    if !remark.isEmpty { parts += [remark, ""] }
    parts += [line(columns), line(rule)] + rows.map(line)
    if !notes.isEmpty {
      parts += [""] + notes.enumerated().map { "\($0 + 1). \($1)" }
    }
    return parts.joined(separator: "\n") + "\n"
  }

  package var text: String {
    let all = [columns] + rows
    let widths = columns.indices.map { column in
      all.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    func line(_ cells: [String]) -> String {
      let padded = zip(cells, widths).enumerated().map { index, pair in
        let fill = String(repeating: " ", count: pair.1 - pair.0.count)
        return index == 0 ? pair.0 + fill : fill + pair.0
      }
      return "  " + padded.joined(separator: "  ")
    }
    var parts = [title]
    if !remark.isEmpty { parts.append("  " + remark) }
    parts += [line(columns)] + rows.map(line)
    parts += notes.enumerated().map { "  \($0 + 1). \($1)" }
    return parts.joined(separator: "\n") + "\n"
  }
}

/// A number with about three digits that mean something, and no more decimals than that takes.
package func shown(_ value: Double) -> String {
  guard value.isFinite else { return "–" }
  let size = abs(value)
  if size >= 1_000 { return grouped(Int(value.rounded())) }
  let decimals = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : size >= 0.01 ? 3 : 4
  if value == 0 { return "0" }
  return fixed(value, decimals)
}

package func fixed(_ value: Double, _ decimals: Int) -> String {
  guard decimals > 0 else { return String(Int(value.rounded())) }
  let scale = (0..<decimals).reduce(1.0) { scale, _ in scale * 10 }
  let scaled = Int((abs(value) * scale).rounded())
  let digits = String(scaled % Int(scale))
  let fraction = String(repeating: "0", count: decimals - digits.count) + digits
  return "\(value < 0 && scaled > 0 ? "-" : "")\(scaled / Int(scale)).\(fraction)"
}
