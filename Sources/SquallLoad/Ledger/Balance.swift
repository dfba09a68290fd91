/// What an open loop's schedule called for in the measured time, held against what workers did:
/// `sent + dropped = due`, whatever became of the workers.
package struct Balance: Equatable, Sendable {
  package var due: UInt64
  /// Due and never sent, as far as anybody knows.
  package var dropped: UInt64
  /// Of the dropped, those that no worker counts: they fell due while no worker had them, or were
  /// those of a worker that was lost with its counts.
  package var unassigned: UInt64

  package init(due: UInt64, dropped: UInt64, unassigned: UInt64) {
    self.due = due
    self.dropped = dropped
    self.unassigned = unassigned
  }
}

extension RunLedger {
  /// Nil for a load without a schedule of single requests, and of one that never began.
  ///
  /// A load that ends early ends for each worker when it hears of that: what a worker had to send
  /// later was never due. What no worker had is due until the first of them heard.
  package func balance(_ plan: Plan, endedEarly: Bool) -> Balance? {
    guard case .open(let schedule) = plan.load, plan.content.program.isEmpty,
      let endNs = loadEndNs(plan, endedEarly: endedEarly)
    else { return nil }
    func due(beforeNs: UInt64) -> UInt64 {
      min(plan.requestCount, schedule.firstIndex(atOrAfterNs: beforeNs))
    }
    let due = (
      warmup: due(beforeNs: min(plan.times.warmupNs, endNs)), whole: due(beforeNs: endNs)
    )
    let (counted, warmup) = (phases.counted, phases.warmup)
    let (passed, passedInWarmup) = (counted.passed + warmup.passed, warmup.passed)
    let left = due.whole - min(due.whole, passed)
    let leftInWarmup = min(left, due.warmup - min(due.warmup, passedInWarmup))
    // What a worker gave up later than it fell due may stand in the wrong phase.
    let misplaced = due.warmup - min(due.warmup, passedInWarmup + leftInWarmup)
    let dropped = counted.counters.dropped
    let unassigned = left - leftInWarmup
    let all = dropped - min(dropped, misplaced) + unassigned
    return Balance(
      due: endedEarly ? counted.sent + all : due.whole - due.warmup, dropped: all,
      unassigned: unassigned)
  }

  private func loadEndNs(_ plan: Plan, endedEarly: Bool) -> UInt64? {
    guard let lastNs = measuredSpanNs?.upperBound else { return nil }
    let plannedNs = plan.times.warmupNs.addingSaturated(plan.times.durationNs)
    guard endedEarly else { return plannedNs }
    // Who ended an interval sooner did not end with the load.
    let ends = workers.lazy.map(\.measuredEndNs).filter { $0 + plan.times.intervalNs > lastNs }
    return min(plannedNs, ends.min() ?? lastNs)
  }
}

extension Tally {
  /// Requests of the schedule that this accounts for.
  fileprivate var passed: UInt64 { sent + counters.dropped }
}
