package import SquallLoad
package import SquallReport

/// Measures plans on this host, one after the other, with the same workers' places.
package struct Measurement: Sendable {
  package var placement: Placement
  package var ring = RingChoice.unsettled
  /// A target of ours runs on this host.
  package var hasOwnTarget = false
  package var showsProgress = false
  package var announce: @Sendable (AgentHost.Announcement) -> Void = Console.announce

  /// Who else is shown the runs.
  package var shown: Shown?

  package init(placement: Placement) { self.placement = placement }

  /// Runs the plan to its end, or to the first signal. With the signal when there was one.
  package func result(
    of plan: Plan, at addresses: [TargetAddresses]? = nil, objectives: [Objective] = []
  ) async throws -> (result: RunResult, signal: Int32?) {
    var options = InProcessCarrier.Options(cpus: placement.workers)
    options.isPinned = placement.isPinned
    options.ring = ring
    options.sharedCPUs = hasOwnTarget ? placement.shared : []
    options.addresses = addresses
    options.announce = announce
    var host = RunHost.Options()
    host.expectWorkers = placement.workers.count
    var head = host.head
    head.objectives = objectives.map(\.expression)
    let record = RunRecord(inMemory: plan, head: head)
    let run = RunHost(options: host, carrier: InProcessCarrier(to: plan, options: options))
    shown?.show(run)
    let line = showsProgress ? LiveLine() : nil
    async let showing: Void? = line?.follow(run.feed, namesWorkers: false)
    let interrupts = Interrupts { run.interrupted($0) }
    try await run.open(leading: record)
    let finished = try await run.finished()
    await showing
    try await run.close(late: Console.say)
    interrupts.end()
    let result = RunResult(
      ledger: finished.ledger, plan: plan, facts: finished.facts, objectives: objectives,
      deflate: deflate)
    return (result, interrupts.signal)
  }
}
