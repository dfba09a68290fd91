internal import SquallLoad

/// Sequences of steps.
extension Compiler {
  static let methods = ["get", "post", "put", "patch", "delete", "head", "options"]
  private static let verbs = methods + ["think", "chance", "repeat", "if", "unless", "use"]
  private static let laterVerbs = [
    "each": "capture one element with take: random",
    "until": "write repeat: N with a think time",
  ]

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
    if let later = entries.first(where: { Self.laterVerbs[$0.key.text ?? ""] != nil }),
      let word = later.key.text, let instead = Self.laterVerbs[word]
    {
      throw Fault(later.key, "'\(word)' is not carried out yet: \(instead)")
    }
    let verbs = words.filter { Self.verbs.contains($0) }
    guard let verb = verbs.first else {
      let key = entries.first?.key ?? node
      throw .unknown(key, key.text ?? "", "a step", known: Self.verbs + Array(Self.laterVerbs.keys))
    }
    switch verb {
    case "think":
      let fields = try Fields(node, "a think step", keys: ["think"])
      if let value = fields["think"], let index = try think(value, mayBeNone: false) {
        emit(.think, argument: index)
      }
    case "use": try compileUse(node)
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
      throw .unknown(value, name, "a block under 'steps'", known: Array(blocks.keys))
    }
    guard !scope.useStack.contains(name) else {
      throw Fault(
        value,
        "the block '\(name)' uses itself: \((scope.useStack + [name]).joined(separator: " → "))")
    }
    guard scope.useStack.count < Self.useDepthMax else {
      throw Fault(value, "blocks use one another more than \(Self.useDepthMax) deep")
    }
    blocks[name]?.isUsed = true
    scope.useStack.append(name)
    try compileSteps(block.steps, "the block '\(name)'")
    scope.useStack.removeLast()
  }

  private mutating func compileBranch(
    _ verb: String, _ condition: Node, _ steps: Node
  ) throws(Fault) {
    let start = program.steps.count
    switch verb {
    case "chance": emit(.chance, low: try chance(condition))
    case "repeat":
      let turns = try self.turns(condition)
      guard scope.loopDepth < Program.loopDepthMax else {
        throw Fault(condition, "more than \(Program.loopDepthMax) repeats within one another")
      }
      emit(.enterLoop, counter: scope.loopDepth, low: turns.lowerBound, high: turns.upperBound)
      scope.loopDepth += 1
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
    if verb == "repeat" {
      scope.loopDepth -= 1
      emit(.endLoop, counter: scope.loopDepth)
      program.steps[program.steps.count - 1].target = UInt32(start + 1)
    }
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
    guard let low = ends[0], let high = ends[ends.count - 1], low <= high, high > 0,
      high <= UInt32(UInt16.max)
    else {
      throw Fault(
        node, "'repeat' '\(text)' is not a number up to 65535: write repeat: 3, or repeat: 1..3")
    }
    return low...high
  }
}
