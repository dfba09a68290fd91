package import SquallCluster
package import SquallLoad

/// What a run does at this moment: its workers, its totals, and its last whole interval.
package struct LiveFigures: Sendable {
  package struct Recent: Sendable {
    package var index: UInt32
    /// Of the run's timeline.
    package var endNs: UInt64
    package var okPerS: Double
    package var completedPerS: Double
    package var latency: CompactHistogram
    package var lag: CompactHistogram
    /// CPU time of the busiest worker, of the time its counts cover.
    package var busyRatioMax: Double?
  }

  package static let rateCountMax = 24

  package var status: Status
  /// Nil before the first run.
  package var run: UInt64?
  /// With what was changed of its load.
  package var plan: Plan?
  /// A change that was asked for and has no instant yet.
  package var asked: LoadChange?
  package var totals: Tally
  package var inFlight: Int64
  /// Nil before the first interval is here.
  package var recent: Recent?
  /// Ok rates of the last intervals, oldest first.
  package var rates: [Double]

  package init(
    status: Status, run: UInt64?, plan: Plan?, asked: LoadChange? = nil, ledger: RunLedger
  ) {
    self.asked = asked
    self.status = status
    self.run = run
    self.plan = plan
    totals = ledger.phases.counted
    inFlight = ledger.inFlight
    rates = []
    // One more than is shown: the newest may not be whole.
    let measured = ledger.timeline.intervals.suffix(Self.rateCountMax + 1)
      .filter { $0.phase == .measured }
    let whole = measured.last.map(isWhole) == true ? measured : measured.dropLast()
    rates = whole.suffix(Self.rateCountMax).map { Self.perSecond($0.tally.ok, in: $0) }
    recent = whole.last.map {
      Recent(
        index: $0.lastIndex, endNs: $0.endNs, okPerS: Self.perSecond($0.tally.ok, in: $0),
        completedPerS: Self.perSecond($0.tally.completed, in: $0),
        latency: $0.response.isEmpty ? $0.service : $0.response, lag: $0.scheduleLag,
        busyRatioMax: $0.workers.compactMap(Self.busyRatio).max())
    }
  }

  /// The newest interval is whole once everyone who works has reported it, or has had the time to.
  package func isWhole(_ interval: Timeline.Interval) -> Bool {
    let working = status.workers.count { $0.state == .running || $0.state == .ramping }
    return interval.workers.count >= working
      || status.elapsedNs ?? 0 >= interval.endNs + interval.durationNs / 4
  }

  private static func busyRatio(_ worker: Timeline.Worker) -> Double? {
    worker.spanNs == 0 ? nil : Double(worker.cpuNs) / Double(worker.spanNs)
  }

  private static func perSecond(_ count: UInt64, in interval: Timeline.Interval) -> Double {
    interval.durationNs == 0 ? 0 : Double(count) / (Double(interval.durationNs) * 1e-9)
  }

  /// The answer to `GET /api/status`: each worker by itself.
  package var json: JSONValue { json(workers: .array(status.workers.map(Self.json))) }

  /// An event of `GET /api/live`: the workers counted by state, so that it is small.
  package var smallJSON: JSONValue {
    json(
      workers: .object(
        WorkerState.allCases.map { state in
          .init(state.rawValue, .integer(Int128(status.workers.count { $0.state == state })))
        }))
  }

  private func json(workers: JSONValue) -> JSONValue {
    .object([
      .init("state", .string(status.stage == .idle ? "waiting" : status.stage.rawValue)),
      .init("run", run.map { .string($0.hexadecimal) } ?? .null),
      .init("elapsed_ns", status.elapsedNs.map { .integer(Int128($0)) } ?? .null),
      .init("epoch", .integer(Int128(status.epoch))),
      .init("workers_ready", .integer(Int128(status.readyCount))),
      .init("workers", workers),
      .init(
        "totals",
        .object([
          .init("sent", .integer(Int128(totals.sent))),
          .init("ok", .integer(Int128(totals.ok))),
          .init("not_ok", .integer(Int128(totals.notOk))),
          .init("in_flight", .integer(Int128(inFlight))),
          .init("dropped", .integer(Int128(totals.counters.dropped))),
        ])),
      .init("recent", recent.map(Self.json) ?? .null),
      .init("target", target),
      .init("changes", .array((plan?.changes ?? []).map(\.json))),
      .init("asked", asked.map(\.json) ?? .null),
    ])
  }

  /// What the load is to be at this moment, and how it can be changed; null without a run.
  private var target: JSONValue {
    guard let plan, let atNs = status.elapsedNs else { return .null }
    var members: [JSONValue.Member] = []
    if case .open(let schedule) = plan.load {
      let rateHz = (schedule.rateHz(atNs: atNs) * 1_000).rounded() / 1_000
      members.append(.init("rate", .number(rateHz)))
    }
    let count = plan.changedCount(atNs: atNs) ?? plan.connections.count
    let hasUsers = !plan.content.program.isEmpty
    members.append(.init(hasUsers ? "users" : "connections", .integer(Int128(count))))
    members.append(
      .init("count_max", .integer(Int128(plan.connections.reach))))
    return .object(members)
  }

  private static func json(_ recent: Recent) -> JSONValue {
    func quantile(_ fraction: Double) -> JSONValue {
      recent.latency.isEmpty ? .null : .integer(Int128(recent.latency.quantileNs(fraction)))
    }
    return .object([
      .init("interval", .integer(Int128(recent.index))),
      .init("ok_per_s", .number(recent.okPerS)),
      .init("completed_per_s", .number(recent.completedPerS)),
      .init("response_p50_ns", quantile(0.5)),
      .init("response_p99_ns", quantile(0.99)),
    ])
  }

  private static func json(_ worker: Status.Worker) -> JSONValue {
    .object([
      .init("host", .string(worker.host)),
      .init("cpu", .integer(Int128(worker.cpu))),
      .init("state", .string(worker.state.rawValue)),
      .init("connections", .integer(Int128(worker.share?.connections ?? 0))),
      .init("restarts", .integer(Int128(worker.restarts))),
      .init("sent", .integer(Int128(worker.sums.sent))),
      .init("ok", .integer(Int128(worker.sums.ok))),
      .init("not_ok", .integer(Int128(worker.sums.notOk))),
    ])
  }
}
