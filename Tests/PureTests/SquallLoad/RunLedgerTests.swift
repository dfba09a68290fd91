import SquallLoad
import Testing

struct RunLedgerTests {
  /// A run of three workers: two seconds of warm-up, five measured, a drain; worker 1 is killed
  /// after the fourth second and comes back as another life.
  private func batches(seed: UInt64) -> [Batch] {
    var random = SplitMix64(seed: seed)
    var batches: [Batch] = []
    for worker in 0..<3 as Range<UInt16> {
      var sequence: UInt32 = 0
      for second in 0..<8 as Range<UInt32> {
        let life: UInt64 = worker == 1 && second >= 4 ? 2 : 1
        if worker == 1 && second == 4 { sequence = 0 }
        let service = (0..<Int.random(in: 1...40, using: &random)).map { _ in
          UInt64.random(in: 300...90_000_000_000, using: &random)
            >> UInt64.random(in: 0...20, using: &random)
        }
        batches.append(
          LoadSample.batch(
            LoadSample.incarnation(worker: worker, life: life), sequence: sequence,
            interval: second,
            phase: second < 2 ? .warmup : second < 7 ? .measured : .drain, service: service,
            response: service.map { $0 + 1000 }, lag: service.map { $0 / 100 },
            inFlight: second == 7 || (life == 1 && second == 3 && worker == 1) ? 3 : 0,
            errors: [.timeout: 2, .connect: 1], rejected: 1, dropped: 1))
        sequence += 1
      }
    }
    return batches
  }

  @Test(arguments: UInt64(0)..<20)
  func anyOrderGivesTheSameTotals(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let batches = batches(seed: seed)
    var forward = RunLedger(endpointCount: 1)
    var shuffled = RunLedger(endpointCount: 1)
    for batch in batches { forward.merge(batch) }
    for batch in batches.shuffled(using: &random) { shuffled.merge(batch) }

    #expect(shuffled.phases == forward.phases)
    #expect(shuffled.endpoints == forward.endpoints)
    #expect(shuffled.incarnations == forward.incarnations)
    #expect(shuffled.measuredSpanNs == forward.measuredSpanNs)
    #expect(shuffled.scheduleLag == forward.scheduleLag)
    #expect(shuffled.timeline.intervals.map(\.tally) == forward.timeline.intervals.map(\.tally))
    #expect(
      shuffled.timeline.intervals.map(\.response) == forward.timeline.intervals.map(\.response))
    for worker in forward.workers {
      let other = shuffled.workers.first { $0.place == worker.place }
      #expect(other?.phases == worker.phases)
      #expect(other?.measured.cpuUserNs == worker.measured.cpuUserNs)
      #expect(Set(other?.lives ?? []) == Set(worker.lives))
    }
  }

  @Test func sentIsOkAndNotOkAndInFlightForEveryPart() {
    var ledger = RunLedger(endpointCount: 1)
    let batches = batches(seed: 5)
    for batch in batches { ledger.merge(batch) }

    let whole = ledger.phases.whole
    #expect(ledger.inFlight == 12)
    #expect(whole.sent == whole.ok + whole.notOk + 12)
    // Two timeouts and a 503 each; a failed connection is not a request.
    #expect(whole.notOk == UInt64(batches.count) * 3)
    #expect(whole.counters.errorCount(.connect) == UInt64(batches.count))
    let workers = ledger.workers.map(\.phases)
    #expect(workers.reduce(0) { $0 + $1.inFlight } == 12)
    #expect(workers.reduce(0) { $0 + $1.whole.ok } == whole.ok)
    #expect(ledger.incarnations.values.reduce(0) { $0 + $1.sent } == whole.sent)
    #expect(ledger.incarnations.count == 4)
    #expect(ledger.workers.map(\.lives.count) == [1, 2, 1])
    let intervals = ledger.timeline.intervals
    #expect(intervals.reduce(0) { $0 + $1.tally.ok } == whole.ok)
    #expect(intervals.reduce(0) { $0 + $1.tally.sent } == whole.sent)
  }

  /// 100 a second: 200 in the warm-up, 300 in the measured time.
  private func balance(
    warmup: (sent: Int, dropped: UInt64) = (200, 0), measured: [(sent: Int, dropped: UInt64)],
    requestCount: UInt64 = .max, endedEarly: Bool = false
  ) -> Balance? {
    var plan = Plan(
      to: .init(url: "", destinations: []), sending: .init(method: "GET", endpoints: []),
      load: .open(Schedule(startHz: 100)), over: .init(8))
    plan.times.warmupNs = 2_000_000_000
    plan.times.durationNs = 3_000_000_000
    plan.requestCount = requestCount
    var ledger = RunLedger(endpointCount: 1)
    let first = LoadSample.incarnation()
    ledger.merge(
      LoadSample.batch(
        first, sequence: 0, interval: 1, phase: .warmup,
        service: Array(repeating: 1000, count: warmup.sent), dropped: warmup.dropped))
    for (index, (sent, dropped)) in measured.enumerated() {
      ledger.merge(
        LoadSample.batch(
          LoadSample.incarnation(worker: UInt16(index)), sequence: 1, interval: UInt32(2 + index),
          service: Array(repeating: 1000, count: sent), dropped: dropped))
    }
    return ledger.balance(plan, endedEarly: endedEarly)
  }

  @Test func whatNoWorkerCountsIsDropped() {
    #expect(
      balance(measured: [(100, 0), (90, 10), (100, 0)])
        == Balance(due: 300, dropped: 10, unassigned: 0))
    #expect(
      balance(measured: [(100, 0), (50, 10), (100, 0)])
        == Balance(due: 300, dropped: 50, unassigned: 40))
    // What was nobody's in the warm-up is not in the measured time's count.
    #expect(
      balance(warmup: (150, 0), measured: [(100, 0), (50, 10), (100, 0)])
        == Balance(due: 300, dropped: 50, unassigned: 40))
    // A worker gave up in the measured time what had fallen due in the warm-up.
    #expect(
      balance(warmup: (150, 0), measured: [(100, 50), (100, 0), (100, 0)])
        == Balance(due: 300, dropped: 0, unassigned: 0))
  }

  @Test func aCountOfRequestsIsWhatIsDue() {
    #expect(
      balance(measured: [(100, 0), (50, 0)], requestCount: 350)
        == Balance(due: 150, dropped: 0, unassigned: 0))
    #expect(
      balance(measured: [(100, 0), (50, 0)], requestCount: 1000)
        == Balance(due: 300, dropped: 150, unassigned: 150))
  }

  /// Of the three workers two end with the load, which is stopped after two seconds.
  @Test func aLoadThatIsStoppedHasNothingDueAfterwards() {
    #expect(
      balance(measured: [(100, 0), (80, 5)], endedEarly: true)
        == Balance(due: 200, dropped: 20, unassigned: 15))
    #expect(
      balance(measured: [(100, 0), (130, 5)], endedEarly: true)
        == Balance(due: 235, dropped: 5, unassigned: 0))
  }

  @Test func theWarmUpIsNotCounted() {
    var ledger = RunLedger(endpointCount: 1)
    let worker = LoadSample.incarnation()
    ledger.merge(
      LoadSample.batch(worker, sequence: 0, interval: 0, phase: .warmup, service: [5_000_000]))
    ledger.merge(LoadSample.batch(worker, sequence: 1, interval: 1, service: [1000, 2000]))
    ledger.merge(
      LoadSample.batch(worker, sequence: 2, interval: 2, phase: .drain, service: [9000]))
    #expect(ledger.phases.measured.ok == 2)
    #expect(ledger.phases.counted.ok == 3)
    #expect(ledger.phases.whole.ok == 4)
    #expect(ledger.service.count == 3)
    #expect(ledger.service.maxNs == 9000)
    #expect(ledger.measuredSpanNs == 1_000_000_000..<2_000_000_000)
    #expect(ledger.workers[0].measuredNs == 1_000_000_000)
    #expect(ledger.workers[0].measured.cpuUserNs == 100_000_000)
  }

  @Test func inAClosedLoopResponseIsService() {
    var ledger = RunLedger(endpointCount: 1)
    ledger.merge(
      LoadSample.batch(LoadSample.incarnation(), sequence: 0, interval: 0, service: [1000]))
    #expect(ledger.response == ledger.service)
    #expect(ledger.response.count == 1)
  }

  @Test func theWorkersSideAndTheMastersComeToTheSameLedger() {
    var ledger = RunLedger(endpointCount: 1)
    var own: [Incarnation: IncarnationLedger] = [:]
    for batch in batches(seed: 1) {
      ledger.merge(batch)
      own[batch.name.incarnation, default: IncarnationLedger()].merge(batch)
    }
    #expect(ledger.incarnations == own)
  }

  /// One nanosecond more in one response of one batch, and the ledgers differ.
  @Test func aBentHistogramShowsInTheHash() {
    let worker = LoadSample.incarnation()
    var right = IncarnationLedger()
    right.merge(LoadSample.batch(worker, sequence: 0, interval: 0, service: [1000, 2000]))
    for service in [[1001, 2000], [1000, 1000], [1000, 2000, 3000], [2000, 1001]] as [[UInt64]] {
      var wrong = IncarnationLedger()
      wrong.merge(LoadSample.batch(worker, sequence: 0, interval: 0, service: service))
      #expect(wrong.histogramHash != right.histogramHash)
    }
  }

  @Test func whatCannotBeTrueIsRefused() {
    let good = LoadSample.batch(LoadSample.incarnation(), sequence: 0, interval: 0, service: [1000])
    let bends: [(inout Batch) -> Void] = [
      { $0.endpoints[0].index = 1 },
      { $0.endpoints.append($0.endpoints[0]) },
      { $0.endpoints[0].counters.sent = .max },
      { $0.endpoints[0].counters.errors = [] },
      { $0.endpoints[0].counters.statuses = [200: .max] },
      { $0.endpoints[0].service.buckets[0].index = UInt16(HistogramLayout.bucketCount) },
      { $0.endpoints[0].service.buckets.append($0.endpoints[0].service.buckets[0]) },
      { $0.endpoints[0].service.minNs = 2000 },
      { $0.endpoints[0].service.sumOfSquares = .max },
      { $0.worker.cpuUserNs = .max },
      { $0.startNs = $0.endNs + 1 },
      { $0.endNs = .max },
      { $0.firstInterval = 1 },
    ]
    for (number, bend) in bends.enumerated() {
      var bad = good
      bend(&bad)
      var ledger = RunLedger(endpointCount: 1)
      let isTaken = ledger.merge(bad)
      #expect(!isTaken, "bend \(number)")
      #expect(ledger.refusedCount == 1)
      #expect(ledger.phases == PhaseTallies())
      let isGoodTaken = ledger.merge(good)
      #expect(isGoodTaken)
    }
  }
}

struct TimelineTests {
  @Test func twoWorkersShareAnInterval() {
    var ledger = RunLedger(endpointCount: 1)
    for worker in 0..<2 as Range<UInt16> {
      ledger.merge(
        LoadSample.batch(
          LoadSample.incarnation(worker: worker), sequence: 0, interval: 3,
          service: [1000, 2000], lag: [5000 * UInt64(worker + 1)]))
    }
    let interval = ledger.timeline.intervals[0]
    #expect(ledger.timeline.intervals.count == 1)
    #expect(interval.tally.ok == 4)
    #expect(interval.workers.map(\.ordinal) == [0, 1])
    #expect(interval.workers.map(\.cpuNs) == [400_000_000, 400_000_000])
    #expect(interval.workers[1].lagP99Ns == 10_000)
    #expect(interval.startNs == 3_000_000_000)
    #expect(interval.durationNs == 1_000_000_000)
  }

  @Test func phasesOfOneIntervalStayApartAndInOrder() {
    var timeline = Timeline()
    let worker = LoadSample.incarnation()
    for (sequence, phase) in [(2, Phase.drain), (0, .warmup), (1, .measured)] {
      timeline.merge(
        LoadSample.batch(
          worker, sequence: UInt32(sequence), interval: 0, phase: phase, service: [1000]),
        ordinal: 0)
    }
    #expect(timeline.intervals.map(\.phase) == [.warmup, .measured, .drain])
  }

  @Test func aBatchOverSeveralIntervalsCountsInItsLast() {
    var timeline = Timeline()
    var batch = LoadSample.batch(
      LoadSample.incarnation(), sequence: 0, interval: 4, service: [1000])
    batch.firstInterval = 2
    batch.startNs = 2_000_000_000
    timeline.merge(batch, ordinal: 0)
    #expect(timeline.intervals[0].firstIndex == 4)
    #expect(timeline.intervals[0].durationNs == 3_000_000_000)
  }

  @Test func aLongRunKeepsItsCountsAndABoundedNumberOfIntervals() {
    var timeline = Timeline()
    let total = UInt32(Timeline.intervalCountMax) * 3
    for interval in 0..<total {
      timeline.merge(
        LoadSample.batch(
          LoadSample.incarnation(), sequence: interval, interval: interval,
          service: [UInt64(interval) + 1000]),
        ordinal: 0)
      #expect(timeline.intervals.count <= Timeline.intervalCountMax)
    }
    // A latecomer finds the coalesced interval it belongs to.
    timeline.merge(
      LoadSample.batch(LoadSample.incarnation(), sequence: total, interval: 17, service: [99]),
      ordinal: 0)
    let intervals = timeline.intervals
    #expect(intervals.count <= Timeline.intervalCountMax)
    #expect(intervals.reduce(0) { $0 + $1.tally.ok } == UInt64(total) + 1)
    #expect(intervals[0].response.underCount + intervals[0].service.underCount == 1)
    var next: UInt32 = 0
    for interval in intervals {
      #expect(interval.firstIndex == next)
      next = interval.lastIndex + 1
    }
    #expect(next == total)
    #expect(intervals.last.map { $0.lastIndex - $0.firstIndex } == 0)
  }
}

struct CompactHistogramTests {
  @Test(arguments: UInt64(0)..<10)
  func itIsTheDenseHistogramWithoutTheEmptyBuckets(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var dense = Histogram()
    var compact = CompactHistogram()
    for _ in 0..<20 {
      let part = LoadSample.sparse(
        (0..<50).map { _ in
          UInt64.random(in: 0...200_000_000_000, using: &random)
            >> UInt64.random(in: 0...30, using: &random)
        })
      dense.merge(part)
      compact.merge(part)
    }
    #expect(compact.dense == dense)
    #expect(compact == CompactHistogram(dense))
    #expect(compact.count == 1000)
    #expect(compact.meanNs == dense.meanNs)
    for fraction in [0, 0.01, 0.5, 0.9, 0.99, 0.999, 1] {
      #expect(compact.quantileNs(fraction) == dense.quantileNs(fraction))
    }
    var doubled = compact
    doubled.merge(compact)
    #expect(doubled.count == 2000)
    #expect(doubled.quantileNs(0.5) == compact.quantileNs(0.5))
  }

  @Test func countsBeyondThirtyTwoBitsSurvive() {
    var dense = Histogram()
    dense.record(1000, count: 10_000_000_000)
    dense.record(100, count: 5_000_000_000)
    dense.record(1 << 37, count: 6_000_000_000)
    #expect(CompactHistogram(dense).dense == dense)
  }

  @Test func emptyIsEmpty() {
    #expect(CompactHistogram().isEmpty)
    #expect(CompactHistogram().dense == Histogram())
    #expect(CompactHistogram().quantileNs(0.5) == 0)
  }
}
