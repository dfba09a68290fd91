extension RunOrder {
  /// Sends one request of each name and tells both sides.
  func tryOut(_ tell: @escaping DebugExchange.Telling) throws(Complaint) {
    if let scenario { return try DryRun.run(scenario, by: draft, tell: tell) }
    let found = try Preflight.check(plan, workerCount: 1)
    try DebugExchange.run(plan, at: found, tell: tell)
  }

  /// Does what the scenario says is to be done before the load, which blocks the thread until it is
  /// answered, and gives what it captured to all users.
  mutating func prepare() throws(Complaint) {
    guard let scenario, hasSetup else { return }
    plan = try draft.plan(
      of: DryRun.prepared(scenario, by: draft), users: crowd.users,
      spawnRateHz: crowd.spawnRateHz)
  }
}
