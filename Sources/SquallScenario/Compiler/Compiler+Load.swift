internal import SquallLoad

/// How many users there are over time, or how often an iteration begins.
extension Compiler {
  mutating func compileLoad(_ node: Node) throws(Fault) {
    let fields = try Fields(
      node, "'load'", keys: ["users", "iterations"],
      later: [
        "requests": "iterations can be said, or leave load out and give -R with a URL"
      ])
    switch try fields.only(["users", "iterations"]) {
    case "users": if let users = fields["users"] { try compileUserLoad(users) }
    case "iterations": if let arrivals = fields["iterations"] { try compileArrivals(arrivals) }
    default: throw Fault(node, "'load' is empty: say how many users, or how many iterations")
    }
    let userCount = program.arrivals?.userCountMax ?? program.load.userCountMax
    for (index, table) in program.tables.enumerated()
    where table.pick == .unique && userCount > UInt64(table.rowCount) {
      throw Fault(tablePlaces[index], table.shortage(of: userCount))
    }
  }

  private mutating func compileUserLoad(_ users: Node) throws(Fault) {
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

  private mutating func compileArrivals(_ node: Node) throws(Fault) {
    let fields = try Fields(node, "'iterations'", keys: ["rate", "arrival", "users", "stages"])
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
