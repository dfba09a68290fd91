package import SquallCluster
package import SquallLoad
package import SquallReport

/// All that is known of a run at one moment, so that somebody else can make a result of it, off the
/// master's loop.
package struct RunPicture: Sendable {
  package var run: UInt64
  package var figures: LiveFigures
  package var ledger: RunLedger
  package var ledgers: [Ledger]
  package var plan: Plan
  /// What the numbers in its counts mean.
  package var words: RunFacts
  package var head: RecordHead
  package var startedAtNs: UInt64
  /// Its load was ended by a command.
  package var isStopped: Bool

  /// Workers of a list; the rest is counted.
  private static let workerCountMax = 256
  private static let listCountMax = 500
  /// Intervals among which a worker's newest report is looked for.
  private static let reportCountMax = 4

  /// What it has come to by now, with the last intervals only if so many are enough.
  package func result(recentCount: Int = .max) -> RunResult {
    var facts = words
    facts.take(head, run: run, startedAtNs: startedAtNs)
    facts.tool = .ours
    facts.host = .ours
    facts.changes = plan.changes
    facts.goesOn = figures.status.stage != .ended
    facts.interrupted = isStopped && !facts.goesOn
    for worker in figures.status.workers {
      facts.workers[WorkerPlace(worker.incarnation)] = WorkerFacts(
        host: worker.host, process: worker.process, cpu: UInt32(worker.cpu))
    }
    // A life that goes on has no account of its own yet, and none is missing.
    facts.ownLedgers = ledger.incarnations
    for own in ledgers { facts.ownLedgers[own.incarnation] = own.sums }
    let objectives = head.objectives.flatMap { (try? Objective.list($0)) ?? [] }
    var result = RunResult(
      ledger: ledger, plan: plan, facts: facts, objectives: objectives, recentCount: recentCount,
      deflate: { _ in [] })
    if let last = ledger.timeline.intervals.last, !figures.isWhole(last) {
      result.intervals.removeLast()
    }
    return result
  }

  /// As pages draw it: whole, or what is new of it.
  package func view(recentCount: Int = .max) -> RunView {
    RunView(
      result(recentCount: recentCount), recentCount: recentCount, listCountMax: Self.listCountMax,
      curves: (CompactHistogram(ledger.response), CompactHistogram(ledger.service)),
      missingCount: figures.status.workers.count { $0.state == .missing })
  }

  /// The workers as they are now, those first who are not at work.
  package var fleet: JSONValue {
    let places = Dictionary(
      uniqueKeysWithValues: ledger.workers.enumerated().map { ($1.place, $0) })
    let newest = ledger.timeline.intervals.suffix(Self.reportCountMax).reversed()
    let listed = figures.status.workers.enumerated().sorted {
      ($0.element.state.urgency, $0.offset) < ($1.element.state.urgency, $1.offset)
    }
    return .array(
      listed.prefix(Self.workerCountMax).map { number, worker in
        let ordinal = places[WorkerPlace(worker.incarnation)]
        let recent = ordinal.flatMap { ordinal in
          newest.lazy.compactMap { $0.worker(ordinal) }.first
        }
        return Self.json(number, worker, recent)
      })
  }

  private static func json(
    _ number: Int, _ worker: Status.Worker, _ recent: Timeline.Worker?
  ) -> JSONValue {
    let busy = recent.flatMap { $0.spanNs == 0 ? nil : Double($0.cpuNs) / Double($0.spanNs) }
    let lagNs = recent.flatMap { $0.lagP99Ns == 0 ? nil : $0.lagP99Ns }
    return .object([
      .init("number", .integer(Int128(number))),
      .init("host", .string(worker.host)),
      .init("cpu", .integer(Int128(worker.cpu))),
      .init("state", .string(worker.state.rawValue)),
      .init("connections", .integer(Int128(worker.share?.connections ?? 0))),
      .init("busy_ratio", busy.map { .number(($0 * 10_000).rounded() / 10_000) } ?? .null),
      .init("schedule_lag_p99_ns", lagNs.map { .integer(Int128($0)) } ?? .null),
      .init("sent", .integer(Int128(worker.sums.sent))),
      .init("ok", .integer(Int128(worker.sums.ok))),
      .init("not_ok", .integer(Int128(worker.sums.notOk))),
      .init(
        "in_flight_at_stop",
        .integer(Int128(worker.sums.sent) - Int128(worker.sums.ok) - Int128(worker.sums.notOk))),
      .init("restarts", .integer(Int128(worker.restarts))),
    ])
  }
}

extension WorkerState {
  fileprivate var urgency: Int {
    switch self {
    case .missing: 0
    case .gone: 1
    case .ready, .ramping, .running, .stopping: 2
    }
  }
}
