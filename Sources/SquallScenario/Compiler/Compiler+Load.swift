internal import SquallLoad

/// How many users there are over time, or how often an iteration begins.
extension Compiler {
  mutating func compileLoad(_ node: Node) throws(Fault) {
    let fields = try Fields(
      node, "'load'", keys: ["users", "iterations", "requests"])
    switch try fields.only(["users", "iterations"]) {
    case "users": if let users = fields["users"] { try compileUserLoad(users) }
    case "iterations":
      if let arrivals = fields["iterations"] { try compileArrivals(arrivals, "'iterations'") }
    default:
      guard fields["requests"] != nil else {
        throw Fault(node, "'load' is empty: say how many users, or how many iterations")
      }
    }
    if let requests = fields["requests"] { try compileRequestCount(requests, fields) }
    let userCount = program.arrivals?.userCountMax ?? program.load.userCountMax
    for (index, table) in program.tables.enumerated()
    where table.pick == .unique && userCount > UInt64(table.rowCount) {
      throw Fault(tablePlaces[index], table.shortage(of: userCount))
    }
  }

  /// `shared N`: fewer connections than users.
  mutating func compileConnections(_ node: Node) throws(Fault) {
    let words = try node.string("'connections'").split(separator: " ")
    switch words.first {
    case "own" where words.count == 1: return
    case "shared" where words.count == 2:
      do throws(Misspelt) {
        let count = try Quantity.count(String(words[1]))
        guard (1...1_000_000).contains(count) else {
          throw Misspelt(String(words[1]), column: 1, "outside of 1 to 1000000")
        }
        program.sharedConnectionCount = UInt32(count)
      } catch {
        throw Fault(node, error, "'connections: shared'")
      }
    default:
      throw Fault(
        node,
        "'connections' is own, one for each user, or shared N, such as connections: shared 500")
    }
  }

  /// The load ends after so many requests of all users together.
  private mutating func compileRequestCount(_ node: Node, _ fields: Fields) throws(Fault) {
    if case .mapping = node.content {
      try compileRequestRate(node, fields)
      return
    }
    guard fields["iterations"] == nil else {
      throw Fault(
        fields.key("requests"),
        "'requests' contradicts 'iterations', whose rate says how many there are: end them with "
          + "stages, or with -d")
    }
    program.load.requestCount = try node.count("'requests'", 1...(1 << 50))
  }

  /// Requests at a rate are iterations of users that have one request in each.
  private mutating func compileRequestRate(_ node: Node, _ fields: Fields) throws(Fault) {
    if let other = fields["users"] ?? fields["iterations"] {
      throw Fault(other, "'requests' at a rate says how often: give it alone")
    }
    for user in program.users where !isOneRequest(user) {
      throw Fault(
        node,
        "an iteration of '\(user.name)' is more than one request: what begins at a rate are then "
          + "iterations: {rate: 50/s, users: {max: 500}}")
    }
    try compileArrivals(node, "'requests'")
  }

  private func isOneRequest(_ user: Program.UserClass) -> Bool {
    var start = Int(user.iteration)
    if program.steps[start].operation == .pick { start += 1 }
    for _ in 0..<max(1, user.tasks.count) {
      guard program.steps[start].operation == .send,
        program.steps[start + 1].operation == .endIteration
      else { return false }
      start += 2
    }
    return true
  }

  private mutating func compileUserLoad(_ users: Node) throws(Fault) {
    if case .scalar = users.content {
      // As many from the beginning to the end.
      program.load.userCountFixed = try users.count("'users'", 1...1_000_000)
      return
    }
    let load = try Fields(users, "'users'", keys: ["stages"])
    guard let stages = load["stages"] else {
      throw Fault(users, "'stages' is missing: write stages: [{to: 50, over: 10s}, {for: 1m}]")
    }
    for stage in try stages.elements("'stages'") {
      if let durationNs = try holdNs(stage) {
        program.load.stages.append(
          .init(durationNs: durationNs, to: program.load.stages.last?.to ?? 0))
      } else {
        let (to, overNs) = try goal(stage, "USERS")
        program.load.stages.append(
          .init(durationNs: overNs, to: try to.count("'to'", 0...1_000_000)))
      }
    }
    guard program.load.userCountMax > 0 else {
      throw Fault(stages, "these stages never have a user: begin with {to: 50, over: 10s}")
    }
  }

  private mutating func compileArrivals(_ node: Node, _ name: String) throws(Fault) {
    let fields = try Fields(node, name, keys: ["rate", "arrival", "users", "stages"])
    guard let rate = fields["rate"] else {
      throw Fault(node, "'rate' is missing: it says how many begin, as in rate: 50/s")
    }
    guard let users = fields["users"],
      let most = try Fields(users, "'users'", keys: ["max"])["max"]
    else {
      throw Fault(
        fields["users"] ?? node,
        "'max' is missing: it says how many users do them, as in users: {max: 500}")
    }
    var arrivals = Program.ArrivalLoad(
      startHz: try rateHz(rate, "'rate'"), userCountMax: try most.count("'max'", 1...1_000_000))
    switch try fields["arrival"]?.string("'arrival'") ?? "uniform" {
    case "uniform": break
    case "poisson": arrivals.isPoisson = true
    case let word:
      throw .unknown(
        fields["arrival"] ?? node, word, "a way to arrive", known: ["uniform", "poisson"])
    }
    for stage in try fields["stages"]?.elements("'stages'") ?? [] {
      if let durationNs = try holdNs(stage) {
        arrivals.stages.append(
          .init(durationNs: durationNs, endHz: arrivals.stages.last?.endHz ?? arrivals.startHz))
      } else {
        let (to, overNs) = try goal(stage, "RATE")
        arrivals.stages.append(.init(durationNs: overNs, endHz: try rateHz(to, "'to'")))
      }
    }
    guard arrivals.startHz > 0 || arrivals.stages.contains(where: { $0.endHz > 0 }) else {
      throw Fault(rate, "at this rate no iteration ever begins: write rate: 50/s")
    }
    program.arrivals = arrivals
  }

  /// Of a stage that holds what there is, its time; nil of one that goes somewhere.
  private func holdNs(_ stage: Node) throws(Fault) -> UInt64? {
    let fields = try Fields(stage, "a stage", keys: ["to", "over", "for"])
    guard let hold = fields["for"] else { return nil }
    guard fields["to"] == nil, fields["over"] == nil else {
      throw Fault(hold, "a stage either goes to a number over a time, or holds it for one")
    }
    return try hold.durationNs("'for'")
  }

  private func goal(_ stage: Node, _ what: String) throws(Fault) -> (to: Node, overNs: UInt64) {
    let fields = try Fields(stage, "a stage", keys: ["to", "over", "for"])
    guard let to = fields["to"], let over = fields["over"] else {
      throw Fault(stage, "a stage is {to: \(what), over: TIME} or {for: TIME}")
    }
    return (to, try over.durationNs("'over'"))
  }

  private func rateHz(_ node: Node, _ name: String) throws(Fault) -> Double {
    let text = try node.string(name).trimmed
    do throws(Misspelt) {
      let hz = try Quantity.number(text.hasSuffix("/s") ? String(text.dropLast(2)) : text)
      guard hz <= 10_000_000 else {
        throw Misspelt(text, column: 1, "more than the 10000000 per second allowed")
      }
      return hz
    } catch {
      throw Fault(node, error, name)
    }
  }
}
