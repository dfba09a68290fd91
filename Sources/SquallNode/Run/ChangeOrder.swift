internal import SquallCluster
package import SquallLoad
internal import SquallReport

/// A change of the load as a page or a script asks for it: any of `rate`, `connections`, `users` and
/// `spawn_rate`, each as it is typed after its flag or as a number.
package enum ChangeOrder {
  package static func change(_ document: JSONValue) throws(Objection) -> LoadChange {
    guard case .object(let members) = document else {
      throw Objection(.unusable, "send a JSON object, such as {\"rate\": 500}")
    }
    var change = LoadChange()
    for member in members where member.value != .null {
      switch member.name {
      case "rate": change.rateHz = try number(member)
      case "connections": change.connections = try count(member)
      case "users": change.users = try count(member)
      case "spawn_rate": change.spawnHz = try number(member)
      default:
        throw Objection(
          .unusable,
          "a change has no member '\(member.name)': it has rate, connections, users and spawn_rate",
          field: member.name)
      }
    }
    return change
  }

  private static func count(_ member: JSONValue.Member) throws(Objection) -> UInt32 {
    let number = try number(member)
    guard let count = UInt32(exactly: number) else {
      throw Objection(.unusable, "'\(member.name)' is a whole number", field: member.name)
    }
    return count
  }

  private static func number(_ member: JSONValue.Member) throws(Objection) -> Double {
    func fault(_ sentence: String) -> Objection {
      Objection(.unusable, "'\(member.name)': \(sentence)", field: member.name)
    }
    switch member.value {
    case .integer(let integer): return Double(integer)
    case .number(let number) where number.isFinite: return number
    case .string(let text):
      let bare = text.hasSuffix("/s") ? String(text.dropLast(2)) : text
      do throws(Misspelt) {
        return try Quantity.number(bare)
      } catch {
        throw fault("\(error)")
      }
    default: throw fault("it is a number, or a text such as \"10k\"")
    }
  }

  /// For whoever asked, with the remedy.
  static func objection(_ refusal: ChangeRefusal) -> Objection {
    switch refusal {
    case .noLoad:
      Objection(.untimely, "no load is on: a change is for a run whose load has begun")
    case .empty:
      Objection(
        .unusable, "say what is to change: rate, connections, or users with spawn_rate")
    case .rateOfClosedLoop:
      Objection(
        .unusable,
        "this load is a closed loop and has no rate: change its connections or users, or begin a run "
          + "with a rate (-R)", field: "rate")
    case .connectionsOfUsers:
      Objection(
        .unusable, "each user has a connection of its own: change users", field: "connections")
    case .usersWithoutScenario:
      Objection(
        .unusable, "users are for a scenario: change connections or the rate", field: "users")
    case .usersOfArrivals:
      Objection(
        .unusable, "iterations begin on a schedule: change the rate", field: "users")
    case .usersThatShare:
      Objection(
        .unusable,
        "users that share connections are as many from start to end: begin a run with another number",
        field: "users")
    case .ownRows:
      Objection(
        .unusable,
        "each user has a row of its own ('unique'), dealt by its number: begin another run with the load "
          + "that you want")
    case .spawnRateWithoutUsers:
      Objection(
        .unusable, "spawn_rate says how fast users come or go: give users too",
        field: "spawn_rate")
    case .rate(let most):
      Objection(
        .unusable, "a rate is a number from 0 to \(Figures.grouped(UInt64(most))) a second",
        field: "rate")
    case .spawnRate(let least):
      Objection(
        .unusable, "a spawn_rate is a number of users a second from \(least) on",
        field: "spawn_rate")
    case .connections(let most):
      Objection(
        .unusable,
        "connections are 1 to \(Figures.grouped(UInt64(most))) in this run: begin one with more (-c) "
          + "for a larger range", field: "connections")
    case .users(let most):
      Objection(
        .unusable,
        "users are 1 to \(Figures.grouped(UInt64(most))) in this run: begin one with more (-u) for a "
          + "larger range", field: "users")
    case .tooMany(let most):
      Objection(
        .untimely, "the load was changed \(most) times, and no more is kept: begin another run")
    }
  }
}

extension LoadChange {
  /// What an API answers with.
  var json: JSONValue {
    var members: [JSONValue.Member] = []
    // One that waits for its instant has none.
    if atNs > 0 { members.append(.init("at_ns", .integer(Int128(atNs)))) }
    if let rateHz { members.append(.init("rate", .number(rateHz))) }
    if let connections { members.append(.init("connections", .integer(Int128(connections)))) }
    if let users { members.append(.init("users", .integer(Int128(users)))) }
    if let spawnHz { members.append(.init("spawn_rate", .number(spawnHz))) }
    return .object(members)
  }
}
