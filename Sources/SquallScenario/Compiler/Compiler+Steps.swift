internal import SquallLoad

/// Sequences of steps.
extension Compiler {
  static let methods = ["get", "post", "put", "patch", "delete", "head", "options"]
  private static let verbs = methods + ["think", "chance", "repeat", "each", "if", "unless", "use"]

  mutating func emit(
    _ operation: Program.Step.Operation, counter: Int = 0, argument: UInt16 = 0, low: UInt32 = 0,
    high: UInt32 = 0
  ) {
    program.steps.append(
      Program.Step(
        operation: operation, counter: UInt8(counter), argument: argument, low: low, high: high))
  }

  mutating func compileSteps(_ node: Node, _ name: String) throws(Fault) {
    let elements = try node.elements(name)
    guard !elements.isEmpty else { throw Fault(node, "\(name) has no steps: give at least one") }
    for element in elements { try compileStep(element) }
  }

  private mutating func compileStep(_ node: Node) throws(Fault) {
    let entries = try node.entries("a step")
    let words = entries.compactMap(\.key.text)
    let verbs = words.filter { Self.verbs.contains($0) }
    guard let verb = verbs.first else {
      let key = entries.first?.key ?? node
      throw .unknown(key, key.text ?? "", "a step", known: Self.verbs)
    }
    switch verb {
    case "think":
      let fields = try Fields(node, "a think step", keys: ["think"])
      if let value = fields["think"], let index = try think(value, mayBeNone: false) {
        emit(.think, argument: index)
      }
    case "use": try compileUse(node)
    case "each": try compileEach(node)
    case "chance", "repeat", "if", "unless":
      let fields = try Fields(node, "a '\(verb)' step", keys: [verb, "do"])
      guard let condition = fields[verb] else { return }
      guard let steps = fields["do"] else {
        throw Fault(node, "'\(verb)' has no steps: give them with do")
      }
      try compileBranch(verb, condition, steps)
    default: try compileRequest(verb, node)
    }
  }

  private mutating func compileUse(_ node: Node) throws(Fault) {
    let fields = try Fields(node, "a 'use' step", keys: ["use"])
    guard let value = fields["use"] else { return }
    let name = try value.string("'use'")
    guard let block = blocks[name] else {
      throw .unknown(
        value, name, "a block under 'steps'", known: Array(blocks.keys),
        otherwise: "write it there, as in steps: {\(name): [{get: /}]}")
    }
    guard !scope.useStack.contains(name) else {
      throw Fault(
        value,
        "the block '\(name)' uses itself: \((scope.useStack + [name]).joined(separator: " -> "))")
    }
    guard scope.useStack.count < Self.useDepthMax else {
      throw Fault(value, "blocks use one another more than \(Self.useDepthMax) deep")
    }
    blocks[name]?.isUsed = true
    scope.useStack.append(name)
    try compileSteps(block.steps, "the block '\(name)'")
    scope.useStack.removeLast()
  }

  /// The steps once for each value of a list.
  private mutating func compileEach(_ node: Node) throws(Fault) {
    let fields = try Fields(node, "an 'each' step", keys: ["each", "at_most", "do"])
    guard let value = fields["each"] else { return }
    guard let steps = fields["do"] else {
      throw Fault(node, "'each' has no steps: give them with do")
    }
    let name = try value.string("'each'")
    guard let slot = slotIndices[name] else {
      throw .unknown(
        value, name, "captured", known: Array(slotIndices.keys),
        otherwise: "write capture: {\(name): $.path} at a request")
    }
    let known = program.slots[Int(slot)]
    guard known.isList else {
      throw Fault(value, "'\(name)' is one value: capture it with take: all, or collect")
    }
    guard !scope.lists.contains(slot) else {
      throw Fault(value, "'each' goes over '\(name)' already")
    }
    use(slot, at: value.place)
    let counter = try enterLoop(value)
    var most = UInt64(known.valueCountMax)
    if let node = fields["at_most"] { most = try node.count("'at_most'", 1...most) }
    let start = program.steps.count
    emit(.enterEach, counter: counter, argument: slot, high: UInt32(most))
    scope.lists.append(slot)
    try compileSteps(steps, "'do'")
    scope.lists.removeLast()
    leaveLoop(.endEach, counter, argument: slot, from: start)
  }

  /// The counter of one more loop.
  private mutating func enterLoop(_ node: Node) throws(Fault) -> Int {
    guard scope.loopDepth < Program.loopDepthMax else {
      throw Fault(node, "more than \(Program.loopDepthMax) loops within one another")
    }
    scope.loopDepth += 1
    return scope.loopDepth - 1
  }

  /// Ends the loop that the step `start` entered.
  private mutating func leaveLoop(
    _ operation: Program.Step.Operation, _ counter: Int, argument: UInt16 = 0, from start: Int
  ) {
    scope.loopDepth -= 1
    emit(operation, counter: counter, argument: argument)
    program.steps[program.steps.count - 1].target = UInt32(start + 1)
    program.steps[start].target = UInt32(program.steps.count)
  }

  /// Sends a request, or sends it again until what is awaited holds.
  mutating func emitSend(
    _ request: inout Program.Request, hopCount: Int, until node: Node?
  ) throws(Fault) {
    guard let node else { return emitExchange(hopCount: hopCount) }
    let fields = try untilFields(node)
    guard let most = fields["at_most"] else {
      throw Fault(node, "'at_most' is missing: it says how often, as in at_most: 20")
    }
    let tries = UInt32(try most.count("'at_most'", 2...Program.tryCountMax))
    var pause: UInt16?
    if let every = fields["every"] { pause = try think(every, mayBeNone: false) }
    let counter = try enterLoop(node)
    request.tryCounter = UInt8(counter)
    let start = program.steps.count
    emit(.enterLoop, counter: counter, argument: 1, low: tries, high: tries)
    var begin = start + 1
    if let pause {
      // The first try comes at once.
      emit(.jump)
      begin = program.steps.count
      emit(.think, argument: pause, low: 1)
      program.steps[start + 1].target = UInt32(program.steps.count)
    }
    emitExchange(hopCount: hopCount)
    let met = program.steps.count
    emit(.ifMet)
    leaveLoop(.endLoop, counter, from: start)
    program.steps[program.steps.count - 1].target = UInt32(begin)
    program.steps[met].target = UInt32(program.steps.count)
  }

  /// Sends the request that comes next into the table, and behind it those that follow redirects: two for
  /// the last of them stand first there, the second for another host, and then two for the others.
  private mutating func emitExchange(hopCount: Int) {
    let first = UInt16(program.requests.count)
    emit(.send, argument: first)
    var exits: [Int] = []
    for hop in 0..<hopCount {
      exits.append(program.steps.count)
      emit(.unlessRedirected)
      emit(.send, argument: first + (hop == hopCount - 1 ? 1 : 3))
    }
    for exit in exits { program.steps[exit].target = UInt32(program.steps.count) }
  }

  private mutating func compileBranch(
    _ verb: String, _ condition: Node, _ steps: Node
  ) throws(Fault) {
    let start = program.steps.count
    switch verb {
    case "chance": emit(.chance, low: try chance(condition))
    case "repeat":
      let turns = try self.turns(condition)
      let counter = try enterLoop(condition)
      emit(.enterLoop, counter: counter, low: turns.lowerBound, high: turns.upperBound)
    default:
      guard case .placeholder(let placeholder)? = try condition.pieces("'\(verb)'").first,
        try condition.pieces("'\(verb)'").count == 1, placeholder.arguments == nil,
        placeholder.format == nil
      else {
        throw Fault(
          condition, "'\(verb)' asks whether something was captured: write '\(verb): ${name}'")
      }
      let slot = try slot(placeholder)
      emit(verb == "if" ? .unlessSet : .ifSet, argument: slot)
    }
    try compileSteps(steps, "'do'")
    guard verb != "repeat" else { return leaveLoop(.endLoop, scope.loopDepth - 1, from: start) }
    program.steps[start].target = UInt32(program.steps.count)
  }

  private func chance(_ node: Node) throws(Fault) -> UInt32 {
    let text = try node.string("'chance'").trimmed
    guard text.hasSuffix("%"), let percent = Double(text.dropLast().trimmed), percent > 0,
      percent < 100
    else {
      throw Fault(node, "'chance' '\(text)' is not above 0% and below 100%: write chance: 30%")
    }
    return UInt32(clamping: Int(percent / 100 * 0x1p32))
  }

  private func turns(_ node: Node) throws(Fault) -> ClosedRange<UInt32> {
    let text = try node.string("'repeat'").trimmed
    let parts = text.firstRange(of: "..").map { [text[..<$0.lowerBound], text[$0.upperBound...]] }
    let ends = (parts ?? [text[...]]).map { UInt32($0.trimmed) }
    if let low = ends[0], let high = ends[ends.count - 1], low > high {
      throw Fault(
        node, "'repeat' '\(text)' goes from small to large: write repeat: \(high)..\(low)")
    }
    guard let low = ends[0], let high = ends[ends.count - 1], high > 0,
      high <= UInt32(UInt16.max)
    else {
      throw Fault(
        node, "'repeat' '\(text)' is not a number up to 65535: write repeat: 3, or repeat: 1..3")
    }
    return low...high
  }
}
