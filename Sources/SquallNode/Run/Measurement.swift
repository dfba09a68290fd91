internal import NIOConcurrencyHelpers
package import SquallLoad
package import SquallReport

/// Measures plans on this host, one after the other, with the same workers' places.
package struct Measurement: Sendable {
  package var placement: Placement
  package var isPinned = true
  /// A target of ours runs on this host.
  package var hasOwnTarget = false
  package var showsProgress = false
  package var announce: @Sendable (AgentHost.Announcement) -> Void = Console.announce

  package init(placement: Placement) { self.placement = placement }

  /// Runs the plan to its end, or to the first signal. With the signal when there was one.
  package func result(
    of plan: Plan, objectives: [Objective] = []
  ) async throws -> (result: RunResult, signal: Int32?) {
    var options = LocalRun.Options(cpus: placement.workers)
    options.isPinned = isPinned
    options.sharedCPUs = hasOwnTarget ? placement.shared : []
    options.announce = announce
    let progress =
      showsProgress ? Progress(plan: plan, workerCount: placement.workers.count) : nil
    options.observer.merged = { progress?.merged($0) }
    let run = LocalRun(plan: plan, options: options)
    let interrupts = Interrupts { run.stop() }
    let finished = try await run.run()
    interrupts.end()
    progress?.end()
    let result = RunResult(
      ledger: finished.ledger, plan: plan, facts: finished.facts, objectives: objectives,
      deflate: deflate)
    return (result, interrupts.signal)
  }
}
