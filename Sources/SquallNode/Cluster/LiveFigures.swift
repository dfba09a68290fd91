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
  }

  package var status: Status
  package var run: UInt64
  package var totals: Tally
  package var inFlight: Int64
  /// Nil before the first interval is here.
  package var recent: Recent?
  /// Ok rates of the last intervals, oldest first.
  package var rates: [Double]

  init(status: Status, run: UInt64, ledger: RunLedger) {
    self.status = status
    self.run = run
    totals = ledger.phases.counted
    inFlight = ledger.inFlight
    let measured = ledger.timeline.intervals.filter { $0.phase == .measured }
    // The newest interval is whole once everyone who works has reported it, or has had the time to.
    let working = status.workers.count { $0.state == .running || $0.state == .ramping }
    let elapsedNs = status.elapsedNs ?? 0
    let isWhole =
      measured.last.map {
        $0.workers.count >= working || elapsedNs >= $0.endNs + $0.durationNs / 4
      } == true
    let whole = isWhole ? measured : measured.dropLast()
    rates = whole.suffix(LiveLine.rateCountMax).map { Self.perSecond($0.tally.ok, in: $0) }
    recent = whole.last.map {
      Recent(
        index: $0.lastIndex, endNs: $0.endNs, okPerS: Self.perSecond($0.tally.ok, in: $0),
        completedPerS: Self.perSecond($0.tally.completed, in: $0),
        latency: $0.response.isEmpty ? $0.service : $0.response, lag: $0.scheduleLag)
    }
  }

  private static func perSecond(_ count: UInt64, in interval: Timeline.Interval) -> Double {
    interval.durationNs == 0 ? 0 : Double(count) / (Double(interval.durationNs) * 1e-9)
  }

  /// Nil before the first interval is here.
  package var moment: LiveLine.Moment? {
    guard let recent else { return nil }
    let working = status.workers.count { $0.state == .running || $0.state == .ramping }
    let known = status.workers.count { $0.state != .gone }
    return LiveLine.Moment(
      endNs: recent.endNs, okPerS: recent.okPerS, latency: recent.latency.dense,
      lag: recent.lag.dense, errorCount: totals.notOk + totals.counters.errorCount(.connect),
      rates: rates, workers: "\(working)/\(known) workers")
  }

  /// The answer to `GET /api/status`.
  package var json: JSONValue {
    .object([
      .init("state", .string(status.stage.rawValue)),
      .init("run", .string(run.hexadecimal)),
      .init("elapsed_ns", status.elapsedNs.map { .integer(Int128($0)) } ?? .null),
      .init("epoch", .integer(Int128(status.epoch))),
      .init("workers_ready", .integer(Int128(status.readyCount))),
      .init("workers", .array(status.workers.map(Self.json))),
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
    ])
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
