internal import SquallLoad

/// What is wrong with a scenario and where: the file, the line itself with a caret, the reason, and
/// what would be right.
package struct Fault: Error, Equatable, CustomStringConvertible {
  package var place: Place
  package var reason: String

  package init(_ place: Place, _ reason: String) {
    self.place = place
    self.reason = reason
  }

  package init(_ node: Node, _ reason: String) { self.init(node.place, reason) }

  package var description: String { "line \(place.line), column \(place.column): \(reason)" }

  /// The whole message, for a terminal.
  package func message(in sources: [Document.Source]) -> String {
    guard sources.indices.contains(place.source) else { return description }
    let source = sources[place.source]
    var text = "\(source.name):\(place.line):\(place.column): \(reason)"
    guard source.lines.indices.contains(place.line - 1) else { return text }
    let line = source.lines[place.line - 1]
    text += "\n  \(line)\n  "
    // Tabs stay tabs, so that the caret stands under its character.
    for character in line.prefix(place.column - 1) { text.append(character == "\t" ? "\t" : " ") }
    return text + "^"
  }
}

extension Fault {
  /// A key or word nobody knows, with the nearest one that is known, or what to do when none is.
  static func unknown(
    _ node: Node, _ word: String, _ whatIsNot: String, known: [String], otherwise: String = ""
  ) -> Fault {
    let near = known.min { word.distance(to: $0) < word.distance(to: $1) }
    let hint: String
    if let near, word.distance(to: near) <= max(1, word.count / 3) {
      hint = "did you mean '\(near)'?"
    } else if known.isEmpty {
      hint = "there is none" + (otherwise.isEmpty ? "" : "; \(otherwise)")
    } else if known.count == 1 {
      hint = "write '\(known[0])'"
    } else {
      hint = "write one of " + known.sorted().joined(separator: ", ")
    }
    return Fault(node, "'\(word)' is not \(whatIsNot): \(hint)")
  }
}

extension String {
  /// Letters to change, add, drop or swap with a neighbour (Damerau, 1964; adjacent swaps only).
  func distance(to other: String) -> Int {
    let (a, b) = (Array(lowercased()), Array(other.lowercased()))
    var rows = [Array(0...b.count)]
    for i in 1...max(1, a.count) where i <= a.count {
      var row = [i]
      for j in 1...max(1, b.count) where j <= b.count {
        var best = min(rows[i - 1][j] + 1, row[j - 1] + 1)
        best = min(best, rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
        if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
          best = min(best, rows[i - 2][j - 2] + 1)
        }
        row.append(best)
      }
      rows.append(row)
    }
    return rows[a.count][b.count]
  }
}
