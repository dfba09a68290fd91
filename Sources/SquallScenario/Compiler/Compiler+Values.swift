internal import SquallLoad

/// Values in texts: where they come from and how they are written where they stand.
extension Compiler {
  /// Parts and literal bytes of a request in the making.
  struct Draft {
    var parts: [Program.Part] = []
    var literal: [UInt8] = []
  }

  mutating func flush(_ draft: inout Draft) {
    guard !draft.literal.isEmpty else { return }
    let span = pooled(draft.literal)
    draft.parts.append(
      Program.Part(kind: .literal, a: Int64(span.offset), b: Int64(span.byteCount)))
    draft.literal = []
  }

  mutating func append(_ part: Program.Part, to draft: inout Draft) {
    flush(&draft)
    draft.parts.append(part)
  }

  /// Appends a text: its literals and what is known before the run escaped at once.
  mutating func append(
    _ node: Node, _ name: String, _ escape: Program.Part.Escape, to draft: inout Draft
  ) throws(Fault) {
    try append(try node.pieces(name), escape, to: &draft)
  }

  mutating func append(
    _ pieces: [Piece], _ escape: Program.Part.Escape, to draft: inout Draft
  ) throws(Fault) {
    for piece in pieces {
      switch piece {
      case .literal(let text):
        // In a URL the author's own characters stand as they are.
        draft.literal += escape == .path ? Array(text.utf8) : escape.escaped(text.utf8)
      case .placeholder(let placeholder):
        if let value = try outside(placeholder) {
          if let byte = value.utf8.first(where: { escape.refuses($0) }) {
            throw Fault(
              placeholder.place,
              "the value of '\(placeholder.name)' holds the byte \(byte), which cannot stand there")
          }
          draft.literal += escape.escaped(value.utf8)
        } else {
          append(try part(placeholder, escape), to: &draft)
        }
      }
    }
  }

  /// The index of a captured value.
  mutating func slot(_ placeholder: Placeholder) throws(Fault) -> UInt16 {
    guard let slot = slotIndices[placeholder.name] else { throw unknown(placeholder) }
    use(slot, at: placeholder.place)
    return slot
  }

  mutating func use(_ slot: UInt16, at place: Place) {
    usedSlots.insert(slot)
    if scope.used[slot] == nil { scope.used[slot] = place }
  }

  private func unknown(_ placeholder: Placeholder) -> Fault {
    let parts = placeholder.name.split(separator: ".", maxSplits: 1)
    if let table = program.tables.first(where: { $0.name == String(parts.first ?? "") }) {
      if table.columns.isEmpty, parts.count == 2 {
        return Fault(
          placeholder.place, "the data '\(table.name)' is a list: write ${\(table.name)}")
      }
      if !table.columns.isEmpty, parts.count == 1 {
        return Fault(
          placeholder.place,
          "the data '\(table.name)' has columns: write ${\(table.name).\(table.columns[0])}")
      }
    }
    let node = Node(.scalar(placeholder.name, isPlain: true), at: placeholder.place)
    return .unknown(
      node, placeholder.name, "captured, data or a function",
      known: Array(slotIndices.keys)
        + program.tables.flatMap { table in
          table.columns.isEmpty ? [table.name] : table.columns.map { "\(table.name).\($0)" }
        } + Self.functions)
  }

  static let functions = [
    "int", "float", "choice", "uuid", "hex", "text", "now", "seq", "user", "iteration", "worker",
    "pick",
  ]

  /// The part that one placeholder becomes.
  mutating func part(
    _ placeholder: Placeholder, _ escape: Program.Part.Escape
  ) throws(Fault) -> Program.Part {
    var part = try source(of: placeholder)
    part.escape = escape
    switch placeholder.format {
    case nil: break
    case "url": part.format = .url
    case "base64": part.format = .base64
    case "json": part.format = .json
    case .some(let format):
      guard let width = UInt8(format), (1...40).contains(width) else {
        throw Fault(
          placeholder.place,
          "'\(format)' is not a format: write :url, :base64, :json, or a width such as :6")
      }
      part.format = .padded
      if part.kind != .float { part.width = width }
    }
    if placeholder.fallback != nil {
      throw Fault(
        placeholder.place, "only ${env.X} and ${var.X} have a value to fall back on")
    }
    return part
  }

  private mutating func source(of placeholder: Placeholder) throws(Fault) -> Program.Part {
    if let arguments = placeholder.arguments { return try call(placeholder, arguments) }
    switch placeholder.name {
    case "uuid": return Program.Part(kind: .uuid)
    case "now": return Program.Part(kind: .nowSeconds)
    case "seq": return Program.Part(kind: .sequence)
    case "user": return Program.Part(kind: .user)
    case "iteration": return Program.Part(kind: .iteration)
    case "worker": return Program.Part(kind: .worker)
    default: break
    }
    let words = placeholder.name.split(separator: ".", maxSplits: 1).map(String.init)
    if let index = program.tables.firstIndex(where: { $0.name == words[0] }) {
      usedTables.insert(index)
      let table = program.tables[index]
      if table.columns.isEmpty, words.count == 1 {
        return table.pick == .random
          ? Program.Part(
            kind: .choice, a: Int64(table.firstText), b: Int64(table.rowCount))
          : Program.Part(kind: .cell, a: Int64(index), b: 0)
      }
      guard words.count == 2, let column = table.columns.firstIndex(of: words[1]) else {
        throw unknown(placeholder)
      }
      return Program.Part(kind: .cell, a: Int64(index), b: Int64(column))
    }
    let slot = try slot(placeholder)
    guard !program.slots[Int(slot)].isList || scope.lists.contains(slot) else {
      throw Fault(
        placeholder.place,
        "'\(placeholder.name)' is a list: write ${pick(\(placeholder.name))}, or 'each: "
          + "\(placeholder.name)' around the step")
    }
    return Program.Part(kind: .slot, a: Int64(slot))
  }

  private mutating func call(
    _ placeholder: Placeholder, _ arguments: [String]
  ) throws(Fault) -> Program.Part {
    func wrong(_ right: String) -> Fault {
      Fault(
        placeholder.place,
        "'\(placeholder.name)(\(arguments.joined(separator: ",")))' does not fit: write \(right)")
    }
    switch placeholder.name {
    case "int":
      guard arguments.count == 2, let low = Int64(arguments[0]), let high = Int64(arguments[1]),
        low <= high
      else { throw wrong("${int(1,100)}, from small to large") }
      return Program.Part(kind: .int, a: low, b: high)
    case "float":
      guard (2...3).contains(arguments.count), let low = Double(arguments[0]),
        let high = Double(arguments[1]), low <= high, abs(low) < 1e9, abs(high) < 1e9,
        let decimals = UInt8(arguments.count > 2 ? arguments[2] : "2"), decimals <= 9
      else { throw wrong("${float(0.5,9.5,2)}, from small to large with up to 9 decimals") }
      return Program.Part(
        kind: .float, width: decimals, a: Int64(bitPattern: low.bitPattern),
        b: Int64(bitPattern: high.bitPattern))
    case "choice":
      guard !arguments.isEmpty else { throw wrong("${choice(a,b)}") }
      let first = program.texts.count
      for argument in arguments { program.texts.append(pooled(argument)) }
      return Program.Part(kind: .choice, a: Int64(first), b: Int64(arguments.count))
    case "hex", "text":
      guard arguments.count == 1, let count = Int64(arguments[0]), (1...4096).contains(count)
      else { throw wrong("${\(placeholder.name)(8)}, up to 4096") }
      return Program.Part(kind: placeholder.name == "hex" ? .hex : .text, a: count)
    case "now":
      switch arguments {
      case ["s"]: return Program.Part(kind: .nowSeconds)
      case ["ms"]: return Program.Part(kind: .nowMilliseconds)
      case ["iso"]: return Program.Part(kind: .nowISO)
      default: throw wrong("${now}, ${now(ms)} or ${now(iso)}")
      }
    case "pick":
      guard arguments.count == 1 else { throw wrong("${pick(name)} of a list") }
      var list = placeholder
      list.name = arguments[0]
      let slot = try slot(list)
      guard program.slots[Int(slot)].isList else {
        throw Fault(
          placeholder.place,
          "'\(list.name)' is one value: capture it with take: all or collect, or write "
            + "${\(list.name)}")
      }
      return Program.Part(kind: .pick, a: Int64(slot))
    default:
      let node = Node(.scalar(placeholder.name, isPlain: true), at: placeholder.place)
      throw .unknown(node, placeholder.name, "a function", known: Self.functions)
    }
  }

  // MARK: JSON

  /// A JSON value as it is sent: strings with placeholders in them, numbers as they were written.
  mutating func appendJSON(_ node: Node, to draft: inout Draft, depth: Int = 0) throws(Fault) {
    guard depth < JSONValue.depthMax else { throw Fault(node, "nested too deep") }
    switch node.content {
    case .scalar(let text, _):
      switch node.kind {
      case .null: draft.literal += Array("null".utf8)
      case .bool: draft.literal += Array(text.lowercased().utf8)
      case .number: draft.literal += Array(text.utf8)
      case .string, nil:
        let pieces = try node.pieces("a JSON value")
        if pieces.count == 1, case .placeholder(let placeholder) = pieces[0],
          try outside(placeholder) == nil
        {
          let part = try part(placeholder, .jsonValue)
          return append(part, to: &draft)
        }
        draft.literal.append(UInt8(ascii: "\""))
        try append(pieces, .json, to: &draft)
        draft.literal.append(UInt8(ascii: "\""))
      }
    case .sequence(let elements):
      draft.literal.append(UInt8(ascii: "["))
      for (index, element) in elements.enumerated() {
        if index > 0 { draft.literal.append(UInt8(ascii: ",")) }
        try appendJSON(element, to: &draft, depth: depth + 1)
      }
      draft.literal.append(UInt8(ascii: "]"))
    case .mapping(let entries):
      draft.literal.append(UInt8(ascii: "{"))
      var names: Set<String> = []
      for (index, entry) in entries.enumerated() {
        guard let name = entry.key.text else { throw Fault(entry.key, "a key must be a word") }
        guard names.insert(name).inserted else {
          throw Fault(entry.key, "the member '\(name)' is given twice: take one out")
        }
        if index > 0 { draft.literal.append(UInt8(ascii: ",")) }
        draft.literal.append(UInt8(ascii: "\""))
        try append(entry.key, "a member's name", .json, to: &draft)
        draft.literal += Array("\":".utf8)
        try appendJSON(entry.value, to: &draft, depth: depth + 1)
      }
      draft.literal.append(UInt8(ascii: "}"))
    }
  }
}
