internal import SquallLoad

/// Who there is, what each does, and how many of them.
extension Compiler {
  mutating func compileUsers(_ node: Node) throws(Fault) {
    let entries = try node.entries("'users'")
    guard !entries.isEmpty else { throw Fault(node, "'users' is empty: name at least one") }
    var names: Set<String> = []
    for entry in entries {
      let name = try entry.key.string("a user's name")
      guard names.insert(name).inserted else {
        throw Fault(entry.key, "the user '\(name)' is there twice: give each its own name")
      }
      try compileUser(name, entry.value)
    }
    try refuseUnknownTags(node)
    if !program.users.contains(where: { $0.weight > 0 || ($0.fixed ?? 0) > 0 }) {
      throw Fault(node, "no user has a weight above 0, so nobody would do anything")
    }
  }

  private func refuseUnknownTags(_ node: Node) throws(Fault) {
    for tag in surroundings.tags + surroundings.excludedTags where !taskTags.contains(tag) {
      throw .unknown(
        node, tag, "a tag of this scenario", known: Array(taskTags),
        otherwise: "a task has them, as in tags: [\(tag)]")
    }
    guard !program.users.isEmpty else {
      throw Fault(node, "no user has a task with these tags, so nobody would do anything")
    }
  }

  /// Whether tasks with these tags are done.
  private func isWanted(_ tags: [String]) -> Bool {
    (surroundings.tags.isEmpty || tags.contains { surroundings.tags.contains($0) })
      && !tags.contains { surroundings.excludedTags.contains($0) }
  }

  private mutating func compileUser(_ name: String, _ node: Node) throws(Fault) {
    let fields = try Fields(
      node, "a user",
      keys: ["weight", "fixed", "think", "row", "on_start", "on_stop", "tasks", "do"])
    scope = Scope()
    scope.captured = setupSlots
    _ = try fields.only(["weight", "fixed"])
    var user = Program.UserClass(
      name: name, weight: 1, fixed: nil, onStart: nil, iteration: 0, onStop: nil, think: nil,
      row: nil, tasks: [])
    if let weight = fields["weight"] { user.weight = try self.weight(weight) }
    if let fixed = fields["fixed"] {
      user.weight = 0
      user.fixed = UInt32(try fixed.count("'fixed'", 1...1_000_000))
    }
    if let think = fields["think"] { user.think = try self.think(think, mayBeNone: true) }
    if let row = fields["row"] {
      let name = try row.string("'row'")
      guard let index = program.tables.firstIndex(where: { $0.name == name }) else {
        throw .unknown(
          row, name, "a data table", known: program.tables.map(\.name),
          otherwise: "write data: {\(name): {file: \(name).csv}}")
      }
      user.row = UInt16(index)
    }
    // Whatever a start captures is there in the iterations, so it is compiled first.
    if let start = fields["on_start"] {
      user.onStart = UInt32(program.steps.count)
      try compileSteps(start, "'on_start'")
      emit(.end)
    }
    guard try fields.only(["tasks", "do"]) != nil else {
      throw Fault(node, "the user '\(name)' does nothing: give it tasks, or a sequence with do")
    }
    user.iteration = UInt32(program.steps.count)
    var isIdle = false
    if let tasks = fields["tasks"] {
      user.tasks = try compileTasks(tasks)
      isIdle = user.tasks.isEmpty
    } else if let steps = fields["do"] {
      try compileSteps(steps, "'do'")
      emit(.endIteration)
      isIdle = !isWanted([])
    }
    if let stop = fields["on_stop"] {
      user.onStop = UInt32(program.steps.count)
      try compileSteps(stop, "'on_stop'")
      emit(.end)
    }
    try refuseUncaptured("the user '\(name)'")
    if !isIdle { program.users.append(user) }
  }

  func refuseUncaptured(_ whose: String) throws(Fault) {
    for (slot, place) in scope.used.sorted(by: {
      ($0.value.line, $0.value.column) < ($1.value.line, $1.value.column)
    })
    where !scope.captured.contains(slot) {
      throw Fault(
        place,
        "no step of \(whose) captures '\(program.slots[Int(slot)].name)': capture it before it is used"
      )
    }
  }

  private func weight(_ node: Node) throws(Fault) -> Double {
    let text = try node.string("'weight'")
    do throws(Misspelt) {
      return try Quantity.number(text)
    } catch {
      throw Fault(node, error, "'weight'")
    }
  }

  /// Those that are wanted; what the others would do is only looked at for faults.
  private mutating func compileTasks(_ node: Node) throws(Fault) -> [Program.Task] {
    let elements = try node.elements("'tasks'")
    guard !elements.isEmpty else { throw Fault(node, "'tasks' is empty: give at least one") }
    var names: Set<String> = []
    var tasks: [Program.Task] = []
    var starts: [UInt32] = []
    let pick = program.steps.count
    emit(.pick)
    for element in elements {
      let fields = try Fields(element, "a task", keys: ["task", "weight", "tags", "do"])
      guard let name = try fields["task"]?.string("'task'") else {
        throw Fault(element, "a task has no name: begin it with '- task: NAME'")
      }
      guard names.insert(name).inserted else {
        throw Fault(fields.key("task"), "the task '\(name)' is there twice: give each its own name")
      }
      guard let steps = fields["do"] else {
        throw Fault(element, "the task '\(name)' does nothing: give it steps with do")
      }
      var task = Program.Task(name: name, weight: 1, tags: [])
      if let weight = fields["weight"] {
        task.weight = try self.weight(weight)
        guard task.weight > 0 else {
          throw Fault(weight, "a task of weight 0 is never reached: take it out")
        }
      }
      if let tags = fields["tags"] {
        for tag in try tags.elements("'tags'") { task.tags.append(try tag.string("a tag")) }
      }
      scope.tags = task.tags
      taskTags.formUnion(task.tags)
      let start = program.steps.count
      try compileSteps(steps, "'do'")
      emit(.endIteration)
      scope.tags = []
      guard isWanted(task.tags) else {
        program.steps.removeSubrange(start...)
        continue
      }
      starts.append(UInt32(start))
      tasks.append(task)
    }
    guard !tasks.isEmpty else {
      program.steps.removeSubrange(pick...)
      emit(.endIteration)
      return []
    }
    program.steps[pick].argument = UInt16(program.choices.count)
    program.choices.append(Program.Choice(weights: tasks.map(\.weight), outcomes: starts))
    return tasks
  }

  /// The index of a think time; nil for none.
  mutating func think(_ node: Node, mayBeNone: Bool) throws(Fault) -> UInt16? {
    let text = try node.string("'think'").trimmed
    if text == "none" {
      guard mayBeNone else { throw Fault(node, "a step that thinks of nothing: take it out") }
      return nil
    }
    var think = Program.Think(kind: .uniform, lowNs: 0, highNs: 0)
    do throws(Misspelt) {
      if text.hasPrefix("exp ") {
        think.kind = .exponential
        think.lowNs = try Quantity.durationNs(String(text.dropFirst(4)))
      } else if text.hasPrefix("pace ") {
        guard mayBeNone else {
          throw Misspelt(text, column: 1, "only a user has a pace, a step thinks for a time")
        }
        think.kind = .pace
        think.lowNs = try Quantity.durationNs(String(text.dropFirst(5)))
      } else if let dots = text.firstRange(of: "..") {
        think.lowNs = try Quantity.durationNs(String(text[..<dots.lowerBound]))
        think.highNs = try Quantity.durationNs(String(text[dots.upperBound...]))
        guard think.lowNs <= think.highNs else {
          throw Misspelt(text, column: 1, "goes from small to large")
        }
      } else {
        think.lowNs = try Quantity.durationNs(text)
        think.highNs = think.lowNs
      }
      guard max(think.lowNs, think.highNs) <= 86_400_000_000_000 else {
        throw Misspelt(text, column: 1, "nobody thinks for more than a day")
      }
    } catch {
      throw Fault(
        node,
        "'think' '\(text)': \(error.reason); write 2s, 1s..5s, exp 2s"
          + (mayBeNone ? ", pace 1s or none" : ""))
    }
    if let index = program.thinks.firstIndex(of: think) { return UInt16(index) }
    program.thinks.append(think)
    return UInt16(program.thinks.count - 1)
  }

  mutating func compileObjectives(_ node: Node) throws(Fault) {
    for element in try node.elements("'slo'") {
      if let text = element.text {
        program.objectives.append(.init(text: text))
        continue
      }
      let fields = try Fields(element, "an objective", keys: ["name", "tag", "is"])
      guard let text = try fields["is"]?.string("'is'") else {
        throw Fault(element, "'is' is missing: write {name: login, is: \"p95<1s\"}")
      }
      let which = try fields.only(["name", "tag"])
      guard let which, let value = try fields[which]?.string("'\(which)'") else {
        throw Fault(element, "an objective of everything is a text alone: write \"\(text)\"")
      }
      if which == "name" {
        guard endpointIndices[value] != nil else {
          throw .unknown(
            fields[which] ?? element, value, "a name of this scenario",
            known: program.endpoints.map(\.name))
        }
        program.objectives.append(.init(text: text, name: value))
      } else {
        let tags = Set(program.endpoints.flatMap(\.tags))
        guard tags.contains(value) else {
          throw .unknown(
            fields[which] ?? element, value, "a tag of this scenario", known: Array(tags),
            otherwise: "a task has them, as in tags: [\(value)]")
        }
        program.objectives.append(.init(text: text, tag: value))
      }
    }
  }
}

extension Program.Table {
  package func shortage(of userCount: UInt64) -> String {
    "\(userCount) users need a row each and '\(name)' has \(rowCount): add rows, or pick sequential"
  }
}

extension Program.Choice {
  /// - Parameters:
  ///   - weights: above 0, as many as outcomes.
  init(weights: [Double], outcomes: [UInt32]) {
    let count = Double(weights.count)
    let total = weights.reduce(0, +)
    var scaled = weights.map { $0 / total * count }
    columns = outcomes.map { Column(threshold: .max, own: $0, other: $0) }
    var small = scaled.indices.filter { scaled[$0] < 1 }
    var large = scaled.indices.filter { scaled[$0] >= 1 }
    while let less = small.popLast(), let more = large.popLast() {
      columns[less].threshold = UInt32(clamping: Int(scaled[less] * 0x1p32))
      columns[less].other = outcomes[more]
      scaled[more] -= 1 - scaled[less]
      if scaled[more] < 1 { small.append(more) } else { large.append(more) }
    }
  }
}
