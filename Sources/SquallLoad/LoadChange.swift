/// What somebody changed of a run's load while it ran. It holds from `atNs` on to the run's end, or to the
/// next change: what ramps and stages had still to do ends there. Nil leaves a figure as it is.
public struct LoadChange: Equatable, Sendable {
  /// Of one run; one more is refused.
  public static let countMax = 100
  /// A rise or fall that takes longer is as good as none.
  public static let spawnHzMin = 1e-3

  /// Nanoseconds of run time; one instant for all workers.
  public var atNs: UInt64
  /// Of an open loop: requests, or iterations, per second over all workers.
  public var rateHz: Double?
  /// Connections over all workers.
  public var connections: UInt32?
  /// Of a scenario: users over all workers. Each has a connection of its own.
  public var users: UInt32?
  /// How many users come or go in a second on the way to `users`; nil for all at once.
  public var spawnHz: Double?

  public init(
    atNs: UInt64 = 0, rateHz: Double? = nil, connections: UInt32? = nil, users: UInt32? = nil,
    spawnHz: Double? = nil
  ) {
    self.atNs = atNs
    self.rateHz = rateHz
    self.connections = connections
    self.users = users
    self.spawnHz = spawnHz
  }

  /// Takes over what a later one says; what it leaves out stays.
  package mutating func update(from later: LoadChange) {
    rateHz = later.rateHz ?? rateHz
    connections = later.connections ?? connections
    if later.users != nil {
      users = later.users
      spawnHz = later.spawnHz
    }
  }
}

extension LoadChange: PlainRecord {
  package static let blank = LoadChange()

  package mutating func pass(through coder: inout some PlainCoder) {
    coder.pass(&atNs)
    coder.pass(&rateHz)
    coder.pass(&connections)
    coder.pass(&users)
    coder.pass(&spawnHz)
  }
}

extension Plan {
  /// The plan with its load as it was changed on the way, in the order of time.
  package func changed(by changes: [LoadChange]) -> Plan {
    var plan = self
    plan.changes = changes
    if case .open(var schedule) = load {
      for change in changes { schedule.change(change) }
      plan.load = .open(schedule)
    }
    return plan
  }

  /// Connections that are wanted over all workers, after all changes. Users that are to go have theirs
  /// until they went.
  package var connectionCount: UInt32 {
    changes.reduce(connections.count) { count, change in
      if let users = change.users { return max(count, users) }
      return change.connections ?? count
    }
  }

  /// Of these, the connections to one origin that are open at a time. Users that share them are not
  /// changed.
  package var openCount: UInt32 {
    connections.shared == 0 ? connectionCount : connections.countEach
  }

  /// Connections, or users, that are to be there at an instant of run time by what was changed last
  /// before it; nil before the first change of them.
  package func changedCount(atNs: UInt64) -> UInt32? {
    changes.last { $0.atNs <= atNs && ($0.connections ?? $0.users) != nil }
      .flatMap { $0.users ?? $0.connections }
  }
}

extension Plan.Connections {
  /// Up to how many the load may be changed, to one origin: room for so many is made when a run begins.
  package var reach: UInt32 {
    guard shared == 0 else { return countEach }
    // Each stream or request in flight has a place of its own.
    let depth = max(pipeline, streams, 1)
    let most = min(Self.reachMax, max(Self.reachMin, count.multipliedReportingOverflow(by: 10).0))
    return max(count, most / depth)
  }

  private static let reachMin: UInt32 = 1_000
  private static let reachMax: UInt32 = 10_000
}
