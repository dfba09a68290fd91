extension RunOrder {
  /// Sends one request of each name and tells both sides.
  func tryOut(_ tell: @escaping DebugExchange.Telling) throws(Complaint) {
    if let scenario { return try DryRun.run(scenario, by: draft, tell: tell) }
    let found = try Preflight.check(plan, workerCount: 1)
    try DebugExchange.run(plan, at: found, tell: tell)
  }
}
