package import SquallLoad

/// Why a change of the load cannot be.
package enum ChangeRefusal: Error, Equatable, Sendable {
  /// There is no load: none yet, or none any more.
  case noLoad
  /// It says nothing.
  case empty
  /// A rate is for a load that has one.
  case rateOfClosedLoop
  /// The load has users, or has none.
  case connectionsOfUsers
  case usersWithoutScenario
  /// Iterations begin on a schedule.
  case usersOfArrivals
  /// Their connections are dealt by their number.
  case usersThatShare
  /// Rows of data are users' own by their numbers, which stand from start to end.
  case ownRows
  case spawnRateWithoutUsers
  /// Not a number in this range.
  case rate(max: Double)
  case spawnRate(min: Double)
  case connections(max: UInt32)
  case users(max: UInt32)
  /// It was changed so often that no more is kept.
  case tooMany(Int)
}

/// The load is changed while it is on. Everybody yields at one instant of run time, and the grant from
/// there on is of the changed plan, so that sums hold as they do when shares move.
///
/// One that is asked for while another is not yet in force takes its place, member by member.
extension MasterMachine {
  /// Nil when it can be.
  package func refusal(of asked: LoadChange) -> ChangeRefusal? {
    guard run.stage == .running else { return .noLoad }
    let plan = run.settings.plan
    let hasUsers = !plan.content.program.isEmpty
    if let rateHz = asked.rateHz {
      guard run.isOpenLoop else { return .rateOfClosedLoop }
      guard rateHz >= 0, rateHz <= Schedule.rateHzMax else { return .rate(max: Schedule.rateHzMax) }
    }
    guard !plan.connections.isNumbered else { return .ownRows }
    let reach = plan.connections.reach
    if let connections = asked.connections {
      guard !hasUsers else { return .connectionsOfUsers }
      guard (1...reach).contains(connections) else { return .connections(max: reach) }
    }
    if let users = asked.users {
      guard hasUsers else { return .usersWithoutScenario }
      guard !run.isOpenLoop else { return .usersOfArrivals }
      guard plan.connections.shared == 0 else { return .usersThatShare }
      guard (1...reach).contains(users) else { return .users(max: reach) }
    }
    if let spawnHz = asked.spawnHz {
      guard asked.users != nil else { return .spawnRateWithoutUsers }
      guard spawnHz >= LoadChange.spawnHzMin, spawnHz <= Schedule.rateHzMax else {
        return .spawnRate(min: LoadChange.spawnHzMin)
      }
    }
    guard asked.rateHz != nil || asked.connections != nil || asked.users != nil else {
      return .empty
    }
    let pending = run.asked != nil || dealing.deal?.asked != nil || dealing.isPending
    if run.changes.count + (pending ? 1 : 0) >= LoadChange.countMax {
      return .tooMany(LoadChange.countMax)
    }
    return nil
  }

  mutating func asked(for change: LoadChange) {
    guard refusal(of: change) == nil else { return }
    var whole = run.asked ?? dealing.deal?.asked ?? LoadChange()
    whole.update(from: change)
    run.asked = whole
    isDirty = true
  }

  /// In force, or with an instant that is to come; in the order of time.
  package var changes: [LoadChange] { run.changes }

  /// Asked for, and without an instant yet.
  package var askedChange: LoadChange? { run.asked ?? dealing.deal?.asked }
}
