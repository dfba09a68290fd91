internal import SquallHTTP
internal import SquallLoad

/// Turns a document into a program, or says the first thing that is wrong with it.
///
/// What is accepted is carried out. A key of the grammar that is not yet carried out is refused by its
/// name, never skipped.
package struct Compiler {
  /// What a scenario may take from outside of its file.
  package struct Surroundings {
    /// `${env.X}`, and `${var.X}` of `--set`.
    package var environment: (String) -> String? = { _ in nil }
    package var variables: [String: String] = [:]
    /// `--host`: in the place of `target`.
    package var target: String?
    package var userAgent = "squall"
    /// The bytes of a data file or body, by its path as written; nil when it cannot be read.
    package var file: (String) -> [UInt8]? = { _ in nil }
    /// The root of another document, by its path as written; nil when it cannot be read.
    package var included: (String) -> Result<Node, Fault>? = { _ in nil }
    /// Tasks with one of these are done, and no others; empty for all tasks.
    package var tags: [String] = []
    /// Tasks with one of these are not done.
    package var excludedTags: [String] = []

    package init() {}
  }

  static let useDepthMax = 16

  let surroundings: Surroundings
  var program = Program()
  var defaults = Defaults()
  var blocks: [String: Block] = [:]
  /// Of each included source, the folder that its file names count from.
  var folders: [Int: String] = [:]
  var slotIndices: [String: UInt16] = [:]
  /// Where each slot is captured first, for the sentence about one that is never used.
  var slotPlaces: [Place] = []
  var usedSlots: Set<UInt16> = []
  var tablePlaces: [Place] = []
  var usedTables: Set<Int> = []
  var endpointIndices: [String: UInt16] = [:]
  /// All tags of tasks.
  var taskTags: Set<String> = []
  var scope = Scope()
  /// What is done before the load, and what it captures.
  var setup: Program?
  var setupSlots: Set<UInt16> = []

  struct Block {
    var key: Node
    var steps: Node
    var isUsed = false
  }

  struct Defaults {
    var headers: [(name: String, value: Node)] = []
    var timeoutNs: UInt64 = 10_000_000_000
    var check: [String: Node] = [:]
    var redirectCount = 0
  }

  /// What is so while one user's steps are compiled.
  struct Scope {
    var captured: Set<UInt16> = []
    /// Where each slot is used first.
    var used: [UInt16: Place] = [:]
    var tags: [String] = []
    var loopDepth = 0
    /// Lists that are gone over, value by value.
    var lists: [UInt16] = []
    var useStack: [String] = []
  }

  package static func compile(
    _ document: Document, in surroundings: Surroundings = Surroundings()
  ) throws(Fault) -> Program {
    try compileWithSetup(document, in: surroundings).program
  }

  /// With what is done once, before the load: a program of one user, whose `on_start` it is. Its slots are
  /// those of the other program.
  package static func compileWithSetup(
    _ document: Document, in surroundings: Surroundings = Surroundings()
  ) throws(Fault) -> (program: Program, setup: Program?) {
    var compiler = Compiler(surroundings: surroundings)
    try compiler.compile(document.root)
    return (compiler.program, compiler.setup)
  }

  private init(surroundings: Surroundings) { self.surroundings = surroundings }

  private mutating func compile(_ root: Node) throws(Fault) {
    let fields = try Fields(
      root, "a scenario",
      keys: [
        "squall", "target", "include", "defaults", "connections", "data", "steps", "users", "load",
        "slo", "setup",
      ])
    guard let version = fields["squall"] else {
      throw Fault(root, "'squall: 1' is missing: it says which grammar the file is written in")
    }
    guard version.text == "1" else {
      throw Fault(version, "this squall reads version 1, not \(version.described)")
    }
    try compileTarget(fields["target"], root)
    if let node = fields["include"] {
      for name in try node.elements("'include'") { try include(name) }
    }
    try compileShared(fields)
    guard let users = fields["users"] else {
      throw Fault(root, "'users' is missing: it says who does what")
    }
    for block in blocks.values { try declareSlots(in: block.steps) }
    try declareSlots(in: users)
    if let node = fields["setup"] {
      try declareSlots(in: node)
      try compileSetup(node)
    }
    try compileUsers(users)
    if let node = fields["connections"] { try compileConnections(node) }
    if let node = fields["load"] { try compileLoad(node) }
    if let node = fields["slo"] { try compileObjectives(node) }
    try findUnused()
    guard program.steps.count <= Program.stepCountMax else {
      throw Fault(users, "more than \(Program.stepCountMax) steps in all")
    }
    guard program.pool.count <= Program.poolByteCountMax else {
      throw Fault(root, "texts and data are larger than the 64 MiB allowed")
    }
  }

  /// The steps are compiled by a copy, so that nothing of them is in the program of the load.
  private mutating func compileSetup(_ node: Node) throws(Fault) {
    var other = self
    other.scope = Scope()
    try other.compileSteps(node, "'setup'")
    other.emit(.end)
    other.emit(.endIteration)
    try other.refuseUncaptured("'setup'")
    for slot in other.scope.captured where program.slots[Int(slot)].isList {
      throw Fault(
        node,
        "'\(program.slots[Int(slot)].name)' is a list, and setup gives single values to users: take one"
      )
    }
    other.program.users = [
      Program.UserClass(
        name: "setup", weight: 1, fixed: nil, onStart: 0,
        iteration: UInt32(other.program.steps.count - 1), onStop: nil, think: nil, row: nil,
        tasks: [])
    ]
    setup = other.program
    // Following redirects may have taken a slot.
    program.slots = other.program.slots
    slotIndices = other.slotIndices
    slotPlaces = other.slotPlaces
    setupSlots = other.scope.captured
    usedSlots = other.usedSlots
    usedTables = other.usedTables
    blocks = other.blocks
  }

  /// What an included file may have, too.
  private mutating func compileShared(_ fields: Fields) throws(Fault) {
    if let node = fields["defaults"] { try compileDefaults(node) }
    if let node = fields["data"] { try compileData(node) }
    guard let node = fields["steps"] else { return }
    for entry in try node.entries("'steps'") {
      let name = try entry.key.string("a block's name")
      if let other = blocks[name] {
        throw Fault(
          entry.key, "the block '\(name)' is there twice, first in line \(other.key.place.line)")
      }
      blocks[name] = Block(key: entry.key, steps: entry.value)
    }
  }

  /// Takes data, steps and defaults of another file, before this one's own.
  private mutating func include(_ node: Node) throws(Fault) {
    let name = try resolved(node, "a file's name")
    guard let result = surroundings.included(name) else {
      throw Fault(
        node,
        "the file '\(name)' cannot be read: name one that is there, by its path from this file")
    }
    let root = try result.get()
    let fields = try Fields(
      root, "an included file", keys: ["squall", "defaults", "data", "steps"])
    if let version = fields["squall"], version.text != "1" {
      throw Fault(version, "this squall reads version 1, not \(version.described)")
    }
    folders[root.place.source] = name.lastIndex(of: "/").map { String(name[...$0]) }
    try compileShared(fields)
  }

  private mutating func compileTarget(_ node: Node?, _ root: Node) throws(Fault) {
    let text: String
    if let given = surroundings.target {
      text = given
    } else if let node {
      text = try resolved(node, "'target'")
    } else {
      throw Fault(root, "'target' is missing: write it as http://host[:port], or give --host")
    }
    let url: TargetURL
    do throws(TargetURL.Fault) { url = try TargetURL(text) } catch {
      throw Fault(node ?? root, "\(error)")
    }
    guard url.target == "/" else {
      throw Fault(node ?? root, "'target' ends with the host: write the path in the steps")
    }
    add(url, as: text)
  }

  private mutating func add(_ url: TargetURL, as text: String) {
    program.origins.append(
      Program.Origin(
        url: text, host: url.host.lowercased(), hostField: url.hostField, isSecure: url.isSecure))
  }

  /// The origin of an absolute address.
  mutating func origin(of url: TargetURL, at node: Node) throws(Fault) -> UInt8 {
    let address = "\(url.isSecure ? "https" : "http")://\(url.hostField)".lowercased()
    if let known = program.origins.firstIndex(where: { $0.address == address }) {
      return UInt8(known)
    }
    guard program.origins.count < Program.originCountMax else {
      throw Fault(
        node, "more than \(Program.originCountMax) hosts: name fewer, or split the scenario")
    }
    add(url, as: address)
    return UInt8(program.origins.count - 1)
  }

  /// A text that is known before the run: only `${env.…}` and `${var.…}` may stand in it.
  func resolved(_ node: Node, _ name: String) throws(Fault) -> String {
    var text = ""
    for piece in try node.pieces(name) {
      switch piece {
      case .literal(let literal): text += literal
      case .placeholder(let placeholder):
        guard let value = try outside(placeholder) else {
          throw Fault(
            placeholder.place,
            "\(name) must be known before the run: only ${env.X} and ${var.X} may stand in it")
        }
        text += value
      }
    }
    return text
  }

  /// The value of `env.X` or `var.X`; nil for every other name.
  func outside(_ placeholder: Placeholder) throws(Fault) -> String? {
    let parts = placeholder.name.split(separator: ".", maxSplits: 1)
    guard parts.count == 2, parts[0] == "env" || parts[0] == "var" else { return nil }
    let name = String(parts[1])
    let value =
      parts[0] == "env" ? surroundings.environment(name) : surroundings.variables[name]
    if let value = value ?? placeholder.fallback { return value }
    throw Fault(
      placeholder.place,
      parts[0] == "env"
        ? "the environment has no '\(name)': set it, or write ${env.\(name):-value}"
        : "nothing sets '\(name)': give --set \(name)=VALUE, or write ${var.\(name):-value}")
  }

  private mutating func compileDefaults(_ node: Node) throws(Fault) {
    let fields = try Fields(
      node, "'defaults'", keys: ["headers", "timeout", "cookies", "check", "redirects"])
    if let node = fields["headers"] {
      for header in try headers(node) {
        defaults.headers.removeAll { $0.name.lowercased() == header.name.lowercased() }
        defaults.headers.append(header)
      }
    }
    if let node = fields["timeout"] { defaults.timeoutNs = try timeoutNs(node) }
    if let node = fields["cookies"] { program.keepsCookies = try node.boolean("'cookies'") }
    if let node = fields["redirects"] { defaults.redirectCount = try redirectCount(node) }
    if let node = fields["check"] { defaults.check = try checkEntries(node) }
  }

  func timeoutNs(_ node: Node) throws(Fault) -> UInt64 {
    let ns = try node.durationNs("'timeout'")
    guard ns > 0 else { throw Fault(node, "a timeout of 0 lets nothing be answered: write 10s") }
    return ns
  }

  func redirectCount(_ node: Node) throws(Fault) -> Int {
    Int(try node.count("'redirects'", 0...Program.redirectCountMax))
  }

  func headers(_ node: Node) throws(Fault) -> [(name: String, value: Node)] {
    var headers: [(name: String, value: Node)] = []
    for entry in try node.entries("'headers'") {
      let name = try entry.key.string("a header's name")
      guard !headers.contains(where: { $0.name.lowercased() == name.lowercased() }) else {
        throw Fault(entry.key, "the header '\(name)' is given twice: take one out")
      }
      headers.append((name, entry.value))
    }
    return headers
  }

  private func findUnused() throws(Fault) {
    for (index, slot) in program.slots.enumerated() where !usedSlots.contains(UInt16(index)) {
      throw Fault(
        slotPlaces[index], "'\(slot.name)' is captured and never used: use it or take it out")
    }
    for (index, table) in program.tables.enumerated() where !usedTables.contains(index) {
      throw Fault(
        tablePlaces[index], "the data '\(table.name)' is never used: use it or take it out")
    }
    let unused = blocks.filter { !$0.value.isUsed }.map(\.value.key)
    if let key = unused.min(by: { $0.place.line < $1.place.line }) {
      throw Fault(
        key,
        "the block '\(key.text ?? "")' is never used: write '- use: \(key.text ?? "")', "
          + "or take it out")
    }
  }

  // MARK: Pool

  mutating func pooled(_ bytes: some Collection<UInt8>) -> Program.Span {
    let span = Program.Span(
      offset: UInt32(clamping: program.pool.count), byteCount: UInt32(clamping: bytes.count))
    program.pool += bytes
    return span
  }

  mutating func pooled(_ text: String) -> Program.Span { pooled(text.utf8) }
}
