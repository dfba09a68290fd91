internal import SquallLoad

/// Rows that users draw from: lists in the file, CSV and JSON lines beside it.
extension Compiler {
  mutating func compileData(_ node: Node) throws(Fault) {
    for entry in try node.entries("'data'") {
      let name = try entry.key.string("a table's name")
      guard name.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" }),
        !name.isEmpty, !Self.functions.contains(name), name != "env", name != "var"
      else { throw Fault(entry.key, "'\(name)' is not a name for data: take another word") }
      guard !program.tables.contains(where: { $0.name == name }) else {
        throw Fault(entry.key, "the data '\(name)' is there twice: give each its own name")
      }
      let fields = try Fields(entry.value, "a data table", keys: ["file", "list", "pick"])
      guard let kind = try fields.only(["file", "list"]), let source = fields[kind] else {
        throw Fault(entry.value, "the data '\(name)' has no rows: give a file or a list")
      }
      var table = Program.Table(
        name: name, file: "", columns: [], rowCount: 0, firstText: UInt32(program.texts.count),
        pick: kind == "list" ? .random : .sequential)
      if let pick = fields["pick"] { table.pick = try self.pick(pick) }
      let rows: [[String]]
      if kind == "list" {
        var list: [[String]] = []
        for element in try source.elements("'list'") {
          list.append([try resolved(element, "a row")])
        }
        rows = list
      } else {
        table.file = try resolved(source, "'file'")
        (table.columns, rows) = try self.rows(of: source, name: table.file)
      }
      guard !rows.isEmpty else { throw Fault(source, "the data '\(name)' has no rows") }
      table.rowCount = UInt32(rows.count)
      for row in rows { for cell in row { program.texts.append(pooled(cell)) } }
      program.tables.append(table)
      tablePlaces.append(entry.key.place)
    }
  }

  private func pick(_ node: Node) throws(Fault) -> Program.Table.Pick {
    switch try node.string("'pick'") {
    case "unique": return .unique
    case "sequential": return .sequential
    case "random": return .random
    case "shuffle": return .shuffle
    case let word:
      throw .unknown(
        node, word, "a way to pick", known: ["unique", "sequential", "random", "shuffle"])
    }
  }

  private func rows(
    of node: Node, name: String
  ) throws(Fault) -> (columns: [String], rows: [[String]]) {
    let bytes = try bytes(of: node)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Fault(node, "the file '\(name)' is not UTF-8")
    }
    if name.hasSuffix(".csv") { return try csv(text, node, name) }
    if name.hasSuffix(".jsonl") || name.hasSuffix(".ndjson") { return try lines(text, node, name) }
    throw Fault(node, "the file '\(name)' is neither .csv nor .jsonl, so its rows cannot be told")
  }

  private func csv(
    _ text: String, _ node: Node, _ name: String
  ) throws(Fault) -> (columns: [String], rows: [[String]]) {
    guard var rows = CommaSeparated.rows(text) else {
      throw Fault(node, "the file '\(name)' ends within quotes")
    }
    guard !rows.isEmpty else { throw Fault(node, "the file '\(name)' is empty") }
    let columns = rows.removeFirst()
    guard Set(columns).count == columns.count else {
      throw Fault(node, "the file '\(name)' names a column twice in its first line")
    }
    if let index = rows.firstIndex(where: { $0.count != columns.count }) {
      throw Fault(
        node,
        "row \(index + 1) of '\(name)' has \(rows[index].count) cells, its first line "
          + "names \(columns.count) columns")
    }
    return (columns, rows)
  }

  private func lines(
    _ text: String, _ node: Node, _ name: String
  ) throws(Fault) -> (columns: [String], rows: [[String]]) {
    var columns: [String] = []
    var rows: [[String]] = []
    for (index, line) in text.split(separator: "\n").enumerated() {
      let value: JSONValue
      do throws(JSONValue.Malformed) { value = try JSONValue(text: String(line)) } catch {
        throw Fault(node, "line \(index + 1) of '\(name)' is \(error)")
      }
      guard case .object(let members) = value else {
        throw Fault(node, "line \(index + 1) of '\(name)' is not an object")
      }
      if index == 0 { columns = members.map(\.name) }
      var row: [String] = []
      for column in columns {
        guard let cell = value[column] else {
          throw Fault(node, "line \(index + 1) of '\(name)' has no '\(column)'")
        }
        if case .string(let text) = cell { row.append(text) } else { row.append(cell.text) }
      }
      rows.append(row)
    }
    return (columns, rows)
  }
}

/// RFC 4180, with line ends of either kind.
enum CommaSeparated {
  /// Empty lines are none. Nil when the text ends within quotes.
  static func rows(_ text: String) -> [[String]]? {
    var rows: [[String]] = []
    var row: [String] = []
    var cell = ""
    var isQuoted = false
    var wasQuoted = false
    var previousWasQuote = false
    func isBlank() -> Bool { row.isEmpty && cell.isEmpty && !wasQuoted }
    for character in text {
      if isQuoted {
        if character == "\"" { previousWasQuote.toggle() }
        if character == "\"", previousWasQuote { continue }
        if previousWasQuote {
          isQuoted = false
          previousWasQuote = false
        } else {
          cell.append(character)
          continue
        }
      }
      switch character {
      case "\"" where cell.isEmpty && !wasQuoted:
        isQuoted = true
        wasQuoted = true
      case ",":
        row.append(cell)
        cell = ""
        wasQuoted = false
      case "\n", "\r\n", "\r":
        if !isBlank() { rows.append(row + [cell]) }
        (row, cell, wasQuoted) = ([], "", false)
      default: cell.append(character)
      }
    }
    if isQuoted && !previousWasQuote { return nil }
    if !isBlank() { rows.append(row + [cell]) }
    return rows
  }
}
