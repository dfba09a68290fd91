internal import SquallLoad

/// What is taken from an answer, and what must hold of it.
extension Compiler {
  private static let captureKinds = ["json", "header", "cookie", "between", "regex"]

  // MARK: Captures

  /// Every name captured anywhere gets its slot before any step is compiled, so that a step may use
  /// what a later one captures for the next iteration.
  mutating func declareSlots(in node: Node) throws(Fault) {
    switch node.content {
    case .scalar: return
    case .sequence(let elements): for element in elements { try declareSlots(in: element) }
    case .mapping(let entries):
      for entry in entries {
        guard entry.key.text == "capture", case .mapping(let captures) = entry.value.content,
          entries.contains(where: { Self.methods.contains($0.key.text ?? "") })
        else {
          try declareSlots(in: entry.value)
          continue
        }
        for capture in captures { try declareSlot(capture) }
      }
    }
  }

  private mutating func declareSlot(_ capture: Node.Entry) throws(Fault) {
    let name = try capture.key.string("a name")
    let isWord = name.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" }
    guard isWord, name.first?.isLetter == true || name.first == "_" else {
      throw Fault(capture.key, "'\(name)' is not a name: use letters, digits, _ and -")
    }
    guard !Self.functions.contains(name), name != "env", name != "var",
      !program.tables.contains(where: { $0.name == name })
    else { throw Fault(capture.key, "'\(name)' means something already: take another name") }
    var byteCountMax = UInt32(Program.slotByteCountDefault)
    if case .mapping(let entries) = capture.value.content,
      let max = entries.first(where: { $0.key.text == "max" })?.value
    {
      byteCountMax = UInt32(try max.count("'max'", 1...UInt64(Program.slotByteCountMax)))
    }
    let valueCountMax = try valueCountMax(capture.value)
    defer {
      if let slot = slotIndices[name] { program.slots[Int(slot)].valueCountMax = valueCountMax }
    }
    if let slot = slotIndices[name] {
      let known = program.slots[Int(slot)]
      byteCountMax = max(known.byteCountMax, byteCountMax)
      program.slots[Int(slot)].byteCountMax = byteCountMax
      guard known.valueCountMax == valueCountMax else {
        throw Fault(
          capture.key, "'\(name)' keeps another number of values elsewhere: say the same each time")
      }
    }
    guard Int(valueCountMax) * (Int(byteCountMax) + 2) <= Program.listByteCountMax else {
      throw Fault(
        capture.key,
        "\(valueCountMax) values of \(byteCountMax) bytes are more than 64 KiB: keep fewer")
    }
    guard slotIndices[name] == nil else { return }
    guard program.slots.count < Program.slotCountMax else {
      throw Fault(capture.key, "more than \(Program.slotCountMax) names are captured")
    }
    slotIndices[name] = UInt16(program.slots.count)
    program.slots.append(.init(name: name, byteCountMax: byteCountMax))
    slotPlaces.append(capture.key.place)
  }

  /// How many values a capture keeps; 0 for one that is no list.
  private func valueCountMax(_ node: Node) throws(Fault) -> UInt16 {
    guard case .mapping(let entries) = node.content else { return 0 }
    func value(_ key: String) -> Node? { entries.first { $0.key.text == key }?.value }
    let most = UInt64(UInt16.max - 1)
    if let collect = value("collect") { return UInt16(try collect.count("'collect'", 1...most)) }
    guard value("take")?.text == "all" else { return 0 }
    guard let keep = value("keep") else { return UInt16(Program.listValueCountDefault) }
    return UInt16(try keep.count("'keep'", 1...most))
  }

  mutating func compileCaptures(_ node: Node) throws(Fault) -> Program.Slice {
    let first = program.captures.count
    var names: Set<String> = []
    for entry in try node.entries("'capture'") {
      let name = try entry.key.string("a name")
      guard names.insert(name).inserted else {
        throw Fault(entry.key, "'\(name)' is captured twice in one step: take one out")
      }
      guard let slot = slotIndices[name] else { continue }
      guard !scope.lists.contains(slot) else {
        throw Fault(entry.key, "'each' goes over '\(name)': capture it elsewhere")
      }
      try compileCapture(name, slot, entry.value)
      scope.captured.insert(slot)
    }
    return Program.Slice(first: UInt32(first), count: UInt32(program.captures.count - first))
  }

  private mutating func compileCapture(
    _ name: String, _ slot: UInt16, _ node: Node
  ) throws(Fault) {
    let label = pooled(
      "\(name) is longer than the \(program.slots[Int(slot)].byteCountMax) bytes kept for it")
    var capture = Program.Capture(kind: .json, slot: slot, label: label)
    if node.text != nil {
      capture.argument = try compilePath(node, isRaw: false)
      program.captures.append(capture)
      return
    }
    let fields = try Fields(
      node, "a capture", keys: Self.captureKinds + ["take", "as", "max", "keep", "collect"])
    guard let kind = try fields.only(Self.captureKinds), let value = fields[kind] else {
      throw Fault(node, "a capture says where: json, header, cookie, between or regex")
    }
    if let take = fields["take"] {
      switch try take.string("'take'") {
      case "first": break
      case "random": capture.take = .random
      case "last": capture.take = .last
      case "all": capture.take = .all
      case let word:
        throw .unknown(take, word, "something to take", known: ["first", "random", "last", "all"])
      }
    }
    if let keep = fields["keep"], capture.take != .all {
      throw Fault(keep, "'keep' says how many of take: all")
    }
    if capture.take == .all { _ = try fields.only(["take", "collect"]) }
    if let form = fields["as"] {
      guard try form.string("'as'") == "raw", kind == "json" else {
        throw Fault(form, "'as' says that JSON is taken as it stands: write as: raw, with json")
      }
      capture.isRaw = true
    }
    guard capture.take == .first || kind == "json" else {
      throw Fault(fields.key("take"), "only json has several to take from")
    }
    switch kind {
    case "json": capture.argument = try compilePath(value, isRaw: capture.isRaw)
    case "regex":
      capture.kind = .regex
      capture.argument = try compilePattern(value)
      if let collect = fields["collect"] {
        throw Fault(collect, "what a regex takes is one value: collect it with json or between")
      }
    case "header":
      capture.kind = .header
      capture.first = pooled(try resolved(value, "'header'").lowercased())
    case "cookie":
      capture.kind = .cookie
      guard program.keepsCookies else {
        throw Fault(value, "the defaults say cookies: false, so there is no jar to take from")
      }
      capture.first = pooled(try resolved(value, "'cookie'"))
    default:
      capture.kind = .between
      let ends = try value.elements("'between'")
      guard ends.count == 2 else {
        throw Fault(value, "'between' has two texts: write between: ['before', 'after']")
      }
      let texts = [
        try resolved(ends[0], "the text before"), try resolved(ends[1], "the text after"),
      ]
      guard !texts.contains(where: { $0.isEmpty || $0.utf8.count > 256 }) else {
        throw Fault(value, "each text of 'between' has 1 to 256 bytes")
      }
      capture.first = pooled(texts[0])
      capture.second = pooled(texts[1])
    }
    program.captures.append(capture)
  }

  // MARK: Paths

  /// `$.a.b[0]['c'][*]`.
  private mutating func compilePath(_ node: Node, isRaw: Bool) throws(Fault) -> UInt32 {
    let text = try node.string("a JSON path")
    var reader = Reader(text)
    let first = program.segments.count
    do throws(Misspelt) {
      guard reader.take("$") else {
        throw reader.misspelt("a JSON path begins with $, as in $.items[0].id")
      }
      while !reader.isAtEnd { program.segments.append(try segment(&reader)) }
    } catch {
      throw Fault(node, "\(error)")
    }
    let count = program.segments.count - first
    guard count <= Program.Path.segmentCountMax else {
      throw Fault(node, "a JSON path has at most \(Program.Path.segmentCountMax) parts")
    }
    program.paths.append(
      .init(segments: .init(first: UInt32(first), count: UInt32(count)), isRaw: isRaw))
    return UInt32(program.paths.count - 1)
  }

  private mutating func segment(
    _ reader: inout Reader
  ) throws(Misspelt) -> Program.Path.Segment {
    if reader.take(".") {
      if reader.take(".") { throw reader.misspelt("'..' is not read: name each member on the way") }
      let name = reader.take { $0 != "." && $0 != "[" }
      guard !name.isEmpty else { throw reader.misspelt("expected a member's name") }
      if name == "*" { throw reader.misspelt("'*' stands for elements only: write [*]") }
      return .init(kind: .member, name: pooled(name))
    }
    guard reader.take("[") else { throw reader.misspelt("expected . or [") }
    if reader.take("*]") { return .init(kind: .every) }
    if reader.take("'") {
      let name = reader.take { $0 != "'" }
      guard reader.take("']") else { throw reader.misspelt("expected ']") }
      return .init(kind: .member, name: pooled(name))
    }
    let digits = reader.take { ("0"..."9").contains($0) }
    guard let index = UInt32(digits) else {
      throw reader.misspelt("expected a number, '*' or a name in quotes")
    }
    guard reader.take("]") else { throw reader.misspelt("expected ]") }
    return .init(kind: .element, index: index)
  }

  // MARK: Checks

  private static let checkKeys = ["status", "contains", "json", "header", "time", "has"]

  func checkEntries(_ node: Node) throws(Fault) -> [String: Node] {
    let fields = try Fields(node, "a check", keys: Self.checkKeys)
    var entries: [String: Node] = [:]
    for key in Self.checkKeys { entries[key] = fields[key] }
    return entries
  }

  /// The step's own checks, and of the defaults those it does not speak of.
  mutating func compileChecks(_ node: Node?) throws(Fault) -> Program.Slice {
    var entries = defaults.check
    if let node { entries.merge(try checkEntries(node)) { $1 } }
    let first = program.checks.count
    try compileStatus(entries["status"])
    try compileChecks(entries)
    return .init(first: UInt32(first), count: UInt32(program.checks.count - first))
  }

  func untilFields(_ node: Node) throws(Fault) -> Fields {
    try Fields(node, "'until'", keys: Self.checkKeys + ["at_most", "every"])
  }

  /// What is awaited: checks behind those of the request. Returns how many.
  mutating func compileAwaited(_ node: Node) throws(Fault) -> Int {
    let fields = try untilFields(node)
    let first = program.checks.count
    if let status = fields["status"] { try compileStatus(status) }
    var entries: [String: Node] = [:]
    for key in Self.checkKeys { entries[key] = fields[key] }
    try compileChecks(entries)
    guard program.checks.count > first else {
      throw Fault(node, "'until' awaits nothing: write until: {json: {$.done: true}, at_most: 20}")
    }
    return program.checks.count - first
  }

  /// All but the status.
  private mutating func compileChecks(_ entries: [String: Node]) throws(Fault) {
    if let node = entries["time"] { try compileTime(node) }
    if let node = entries["header"] {
      for entry in try node.entries("'header'") {
        let name = try entry.key.string("a header's name")
        let text = try resolved(entry.value, "the header's text")
        program.checks.append(
          .init(
            kind: .header, name: pooled(name.lowercased()), text: pooled(text),
            label: pooled("\(name) contains '\(text)'")))
      }
    }
    if let node = entries["contains"] {
      let texts: [Node]
      if case .sequence(let elements) = node.content { texts = elements } else { texts = [node] }
      for node in texts {
        let text = try resolved(node, "'contains'")
        guard (1...256).contains(text.utf8.count) else {
          throw Fault(node, "'contains' has 1 to 256 bytes")
        }
        program.checks.append(
          .init(kind: .contains, text: pooled(text), label: pooled("contains '\(text)'")))
      }
    }
    if let node = entries["json"] {
      for entry in try node.entries("'json'") { try compileJSONCheck(entry) }
    }
    if let node = entries["has"] {
      for node in try node.elements("'has'") {
        let name = try node.string("a name")
        guard let slot = slotIndices[name] else {
          throw .unknown(
            node, name, "captured", known: Array(slotIndices.keys),
            otherwise: "write capture: {\(name): $.path} at a request")
        }
        use(slot, at: node.place)
        program.checks.append(
          .init(kind: .has, argument: UInt32(slot), label: pooled("has \(name)")))
      }
    }
  }

  private mutating func compileJSONCheck(_ entry: Node.Entry) throws(Fault) {
    let path = try compilePath(entry.key, isRaw: false)
    guard case .scalar(let text, _) = entry.value.content else {
      throw Fault(
        entry.value, "a JSON check compares with one value, this is \(entry.value.described)")
    }
    let expected = entry.value.kind == .null ? "null" : try resolved(entry.value, "the value")
    program.checks.append(
      .init(
        kind: .json, argument: path, text: pooled(expected),
        label: pooled("\(entry.key.text ?? "") is \(text)")))
  }

  private mutating func compileStatus(_ node: Node?) throws(Fault) {
    var set = [UInt64](repeating: 0, count: 8)
    var words: [String] = []
    func insert(_ range: ClosedRange<Int>) {
      for status in range { set[(status - 100) / 64] |= 1 << UInt64((status - 100) % 64) }
    }
    if let node {
      let nodes: [Node]
      if case .sequence(let elements) = node.content { nodes = elements } else { nodes = [node] }
      for node in nodes {
        let text = try node.string("'status'").trimmed
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map {
          Int($0.trimmed)
        }
        guard (1...2).contains(ends.count), let low = ends[0], let high = ends[ends.count - 1],
          (100...599).contains(low), (100...599).contains(high), low <= high
        else {
          throw Fault(node, "'status' '\(text)' is not one: write 200, 200-399, or a list of them")
        }
        insert(low...high)
        words.append(text)
      }
      guard !words.isEmpty else { throw Fault(node, "'status' names no status: write status: 200") }
    } else {
      insert(200...399)
      words = ["200-399"]
    }
    program.checks.append(
      .init(
        kind: .status, argument: UInt32(program.statusSets.count / 8),
        label: pooled("status \(words.joined(separator: ", "))")))
    program.statusSets += set
  }

  private mutating func compileTime(_ node: Node) throws(Fault) {
    let text = try node.string("'time'").trimmed
    guard text.hasPrefix("<"), let ns = try? Quantity.durationNs(text.dropFirst().trimmed), ns > 0
    else { throw Fault(node, "'time' '\(text)' is not a limit: write time: <500ms") }
    program.checks.append(.init(kind: .time, limitNs: ns, label: pooled("time \(text)")))
  }
}
