internal import SquallLoad

extension Program {
  /// The plan as people read it: what `squall check` prints.
  package var explanation: String {
    var text = "target  \(target)\n"
    for origin in origins.dropFirst() { text += "and     \(origin.url)\n" }
    text += "\nusers\n"
    let fixed = users.reduce(0) { $0 + Int($1.fixed ?? 0) }
    let total = users.reduce(0) { $0 + $1.weight }
    for user in users {
      let share =
        user.fixed.map { "\($0) fixed" }
        ?? (fixed > 0
          ? "\(Self.percent(user.weight, of: total)) of the others"
          : Self.percent(user.weight, of: total))
      text += "  \(user.name), \(share)\(thinking(user))\(row(user))\n"
      if let start = user.onStart { text += "    on start\n" + sequence(start, indent: 6) }
      if user.tasks.isEmpty {
        text += "    each iteration\n" + sequence(user.iteration, indent: 6)
      } else {
        text += tasks(of: user)
      }
      if let stop = user.onStop { text += "    on stop\n" + sequence(stop, indent: 6) }
    }
    text += "\nnames\n"
    for endpoint in endpoints {
      text += "  \(endpoint.name)"
      if !endpoint.tags.isEmpty { text += "  [\(endpoint.tags.joined(separator: ", "))]" }
      text += "\n"
    }
    if !tables.isEmpty {
      text += "\ndata\n"
      for table in tables {
        text += "  \(table.name)  \(table.rowCount) \(table.rowCount == 1 ? "row" : "rows")"
        if !table.file.isEmpty { text += " of \(table.file)" }
        text += ", \(table.pick.word)\n"
      }
    }
    let captured = slots.filter { $0.name != Compiler.locationName }
    if !captured.isEmpty {
      text += "\ncaptured\n"
      for slot in captured {
        let values = slot.isList ? "up to \(slot.valueCountMax) values of " : ""
        text += "  \(slot.name)  \(values)up to \(slot.byteCountMax) bytes\n"
      }
    }
    text += "\nload\n  \(loadSentence)\n"
    if sharedConnectionCount > 0 {
      text +=
        "  over \(sharedConnectionCount) shared connections"
        + (origins.count > 1 ? " to each of \(origins.count) hosts\n" : "\n")
    }
    if !objectives.isEmpty {
      text += "\nobjectives\n"
      for objective in objectives {
        text += "  \(objective.text)"
        if let name = objective.name { text += "  of \(name)" }
        if let tag = objective.tag { text += "  of those tagged \(tag)" }
        text += "\n"
      }
    }
    return text
  }

  private static func percent(_ part: Double, of total: Double) -> String {
    guard total > 0 else { return "0 %" }
    let tenths = Int((part / total * 1_000).rounded())
    return tenths % 10 == 0 ? "\(tenths / 10) %" : "\(tenths / 10).\(tenths % 10) %"
  }

  private static func rate(_ hz: Double) -> String {
    hz == hz.rounded() && hz < 1e15 ? "\(Int(hz))" : "\(hz)"
  }

  private func thinking(_ user: UserClass) -> String {
    guard let index = user.think else { return "" }
    return ", " + thinks[Int(index)].words
  }

  private func row(_ user: UserClass) -> String {
    user.row.map { ", one row of \(tables[Int($0)].name) each" } ?? ""
  }

  private func tasks(of user: UserClass) -> String {
    var text = ""
    let total = user.tasks.reduce(0) { $0 + $1.weight }
    var start = Int(user.iteration) + 1
    for task in user.tasks {
      text += "    \(Self.percent(task.weight, of: total))  \(task.name)"
      if !task.tags.isEmpty { text += "  [\(task.tags.joined(separator: ", "))]" }
      text += "\n" + sequence(UInt32(start), indent: 6)
      while steps[start].operation != .endIteration { start += 1 }
      start += 1
    }
    return text
  }

  /// The steps from `start` to the end of their sequence, one a line.
  private func sequence(_ start: UInt32, indent: Int) -> String {
    var text = ""
    var ends: [Int] = []
    var index = Int(start)
    while true {
      while let end = ends.last, end <= index { ends.removeLast() }
      let step = steps[index]
      let space = String(repeating: " ", count: indent + 2 * ends.count)
      switch step.operation {
      case .send:
        let request = requests[Int(step.argument)]
        if !request.isHop { text += space + words(request) + "\n" }
      case .think: text += space + thinks[Int(step.argument)].words + "\n"
      case .enterLoop:
        let turns = step.low == step.high ? "\(step.low)" : "\(step.low) to \(step.high)"
        text += space + (step.argument > 0 ? "up to \(turns) times\n" : "\(turns) times\n")
        ends.append(Int(step.target))
      case .enterEach:
        text += space + "for each \(slots[Int(step.argument)].name), up to \(step.high)\n"
        ends.append(Int(step.target))
      case .chance:
        text += space + "\(Self.percent(Double(step.low), of: 0x1p32)) of the time\n"
        ends.append(Int(step.target))
      case .unlessSet, .ifSet:
        let word = step.operation == .unlessSet ? "if" : "unless"
        text += space + "\(word) \(slots[Int(step.argument)].name)\n"
        ends.append(Int(step.target))
      case .endIteration, .end: return text
      case .endLoop, .endEach, .jump, .pick, .ifMet, .unlessRedirected: break
      }
      index += 1
    }
  }

  private func words(_ request: Request) -> String {
    var text = endpoints[Int(request.endpoint)].name
    let names = captures[request.captures.indices].map { slots[Int($0.slot)].name }
      .filter { $0 != Compiler.locationName }
    if !names.isEmpty { text += ", keeps \(names.joined(separator: ", "))" }
    let labels = checks[request.checks.indices].map { self.text($0.label) }
    text += "; \(labels.dropLast(Int(request.awaitedCount)).joined(separator: "; "))"
    if request.awaitedCount > 0 {
      text += "; until \(labels.suffix(Int(request.awaitedCount)).joined(separator: ", "))"
    }
    if request.follows != .none { text += "; follows redirects" }
    switch request.otherwise {
    case .proceed: break
    case .nextIteration: text += "; else the next iteration"
    case .stopUser: text += "; else the user stops"
    }
    return text
  }

  private var loadSentence: String {
    if let arrivals {
      var words = ["\(Self.rate(arrivals.startHz)) iterations begin a second"]
      var last = arrivals.startHz
      for stage in arrivals.stages {
        let time = stage.durationNs.duration
        words.append(
          stage.endHz == last
            ? "for \(time)" : "to \(Self.rate(stage.endHz)) a second over \(time)")
        last = stage.endHz
      }
      return words.joined(separator: ", then ")
        + (arrivals.isPoisson ? ", at random instants" : "")
        + "; up to \(arrivals.userCountMax) users do them"
    }
    let end = load.requestCount > 0 ? ", until \(load.requestCount) requests are sent" : ""
    guard !load.stages.isEmpty else {
      guard load.userCountFixed > 0 else {
        return end.isEmpty
          ? "not said here: give -u USERS and -d TIME" : "not said here: give -u USERS\(end)"
      }
      return "\(load.userCountFixed) users" + (end.isEmpty ? ": give -d TIME" : end)
    }
    var last: UInt64 = 0
    let words = load.stages.map { stage in
      defer { last = stage.to }
      let time = stage.durationNs.duration
      return stage.to == last
        ? "\(stage.to) users for \(time)" : "to \(stage.to) users over \(time)"
    }
    return words.joined(separator: ", then ") + end
  }
}

extension Program.Table.Pick {
  fileprivate var word: String {
    switch self {
    case .unique: "a row for each user"
    case .sequential: "in order"
    case .random: "drawn at random"
    case .shuffle: "in random order"
    }
  }
}

extension Program.Think {
  fileprivate var words: String {
    switch kind {
    case .uniform:
      lowNs == highNs
        ? "thinks \(lowNs.duration)" : "thinks \(lowNs.duration) to \(highNs.duration)"
    case .exponential: "thinks \(lowNs.duration) on average, exponentially"
    case .pace: "one iteration every \(lowNs.duration)"
    }
  }
}

extension UInt64 {
  /// As people write it: `1m30s`, `2.5s`, `20ms`.
  fileprivate var duration: String {
    let units: [(String, UInt64)] = [("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)]
    if self >= 60_000_000_000, self % 1_000_000_000 == 0 {
      let seconds = self / 1_000_000_000
      let (hours, rest) = seconds.quotientAndRemainder(dividingBy: 3600)
      let (minutes, left) = rest.quotientAndRemainder(dividingBy: 60)
      return (hours > 0 ? "\(hours)h" : "") + (minutes > 0 ? "\(minutes)m" : "")
        + (left > 0 ? "\(left)s" : "")
    }
    guard let (name, ns) = units.last(where: { self >= $0.1 }) else {
      return self == 0 ? "0s" : "\(self)ns"
    }
    let (whole, rest) = quotientAndRemainder(dividingBy: ns)
    guard rest > 0 else { return "\(whole)\(name)" }
    var digits = String(rest)
    digits = String(repeating: "0", count: String(ns).count - 1 - digits.count) + digits
    while digits.hasSuffix("0") { digits.removeLast() }
    return "\(whole).\(digits)\(name)"
  }
}
