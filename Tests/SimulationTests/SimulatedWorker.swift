import SquallCluster
import SquallLoad

/// One worker process, as far as the protocol can see it: the real duty and pacer, and counts in pages
/// that outlive it.
///
/// It does not simulate requests one by one: `advance` goes from one instant at which something about
/// its duty changes to the next, and sends at once all that was due in between.
struct SimulatedWorker {
  /// What it did at an instant.
  enum Deed {
    /// A request went out: its index in the schedule, nil in a closed loop.
    case sent(UInt64?)
    case news(Duty.News, sentBefore: UInt64)
    case exhausted(epoch: UInt32)
  }

  let incarnation: Incarnation
  let run: UInt64
  let plan: Plan
  let rateHz: Double
  private(set) var duty: Duty
  var isDead = false
  var isPaused = false
  /// No connection is free: the target takes its time.
  var isBlocked = false
  /// Nothing is in flight any more.
  var isDrained = false
  /// Two looks in a row found it standing still.
  var stillCount = 0
  /// Commands that came while it was paused.
  var waiting: [Command] = []
  var lastCommandNs: UInt64 = 0
  private(set) var sentInLife: UInt64 = 0
  private(set) var droppedInLife: UInt64 = 0
  private var lastNs: UInt64 = 0
  private var owed = 0.0

  // The open page.
  private var pageSent: UInt64 = 0
  private var pageDropped: UInt64 = 0
  private var pageFirstInterval: UInt32 = 0
  private var pageStartNs: UInt64 = 0
  private var phase = Phase.measured
  private(set) var sequence: UInt32 = 0
  private var sums = IncarnationLedger()

  init(incarnation: Incarnation, run: UInt64, plan: Plan, rateHz: Double, faults: Faults) {
    self.incarnation = incarnation
    self.run = run
    self.plan = plan
    self.rateHz = rateHz
    duty = Duty(plan, faults: faults)
  }

  var isAlive: Bool { !isDead && duty.stage != .finished }
  var startNs: UInt64? { duty.startNs == .max ? nil : duty.startNs }
  var endNs: UInt64? { duty.endNs == .max ? nil : duty.endNs }

  /// Connections it uses at this instant of its clock.
  func activeConnections(nowNs: UInt64) -> UInt32 {
    guard !isDead, !isPaused, duty.stage == .loading, duty.maySend(nowNs: nowNs),
      nowNs < duty.endNs, nowNs - duty.startNs < duty.pacer.lastUntilNs,
      duty.share.requestQuota > 0,
      duty.share.requestQuota == .max || !duty.pacer.isExhausted
    else { return 0 }
    return duty.connectionCount(nowNs: nowNs)
  }

  /// The numbers of the users that it has at this instant of its clock.
  func userNumbers(nowNs: UInt64) -> [UInt32] {
    (0..<activeConnections(nowNs: nowNs)).map {
      duty.share.position + $0 * duty.share.workerCount
    }
  }

  mutating func obey(_ command: Command, nowNs: UInt64) { _ = duty.obey(command, nowNs: nowNs) }

  /// Does what it would have done by now.
  mutating func advance(nowNs: UInt64, _ deed: (Deed) -> Void) {
    guard isAlive, !isPaused, nowNs >= lastNs else {
      lastNs = max(lastNs, nowNs)
      return
    }
    turn(lastNs, deed)
    while lastNs < nowNs {
      let untilNs = min(nowNs, duty.wakeNs(nowNs: lastNs))
      if !isBlocked, duty.maySend(nowNs: lastNs) { send(beforeNs: untilNs, deed) }
      lastNs = untilNs
      turn(untilNs, deed)
    }
  }

  private mutating func turn(_ nowNs: UInt64, _ deed: (Deed) -> Void) {
    // In its load nothing is in flight for longer than an instant.
    while let news = duty.next(
      nowNs: nowNs, isIdle: isDrained || plan.connections.isNumbered && duty.stage == .loading)
    {
      if case .dropped(let count, _) = news {
        pageDropped += count
        droppedInLife += count
      }
      deed(.news(news, sentBefore: sentInLife))
    }
    if duty.becameExhausted(nowNs: nowNs, isIdle: true) {
      deed(.exhausted(epoch: duty.share.epoch))
    }
  }

  private mutating func send(beforeNs: UInt64, _ deed: (Deed) -> Void) {
    guard plan.load != .closed else {
      owed +=
        Double(beforeNs - lastNs) * 1e-9 * rateHz / 4
        * Double(duty.connectionCount(nowNs: lastNs))
      while owed >= 1 {
        owed -= 1
        guard duty.pacer.take(nowNs: beforeNs - 1 - duty.startNs) != nil else { continue }
        count()
        deed(.sent(nil))
      }
      return
    }
    while let dueNs = duty.pacer.take(nowNs: beforeNs - 1 - duty.startNs) {
      count()
      deed(.sent(duty.pacer.schedule.firstIndex(atOrAfterNs: dueNs)))
    }
  }

  private mutating func count() {
    sentInLife += 1
    pageSent += 1
  }

  /// Closes the page into a batch of about `parts` parts; nil when nothing is in it. The first to be
  /// closed after the load's end is of the measured time, up to that.
  mutating func closePage(nowNs: UInt64, parts: Int) -> Batch? {
    let isOver = duty.stage != .loading
    let isLast = isOver && phase == .measured
    guard pageSent + pageDropped > 0 || isLast && sequence > 0 else { return nil }
    let atNs = isLast ? min(nowNs, duty.endNs) : nowNs
    let runNs = atNs > duty.startNs ? atNs - duty.startNs : 0
    let interval = UInt32(runNs / plan.times.intervalNs)
    var batch = Batch(
      name: BatchName(incarnation: incarnation, sequence: sequence),
      firstInterval: min(pageFirstInterval, interval), lastInterval: interval, phase: phase,
      startNs: min(pageStartNs, runNs), endNs: runNs)
    let first = pageSent / 3
    for (index, share) in [(UInt16(0), first), (UInt16(1), pageSent - first)] {
      var endpoint = Batch.Endpoint(index: index)
      if index == 0 { endpoint.counters.dropped = pageDropped }
      if share > 0 { count(share, parts: parts, in: &endpoint) }
      if share > 0 || endpoint.counters.dropped > 0 { batch.endpoints.append(endpoint) }
    }
    sums.merge(batch)
    sequence += 1
    pageSent = 0
    pageDropped = 0
    pageFirstInterval = interval
    pageStartNs = runNs
    if isOver { phase = .drain }
    return batch
  }

  private func count(_ share: UInt64, parts: Int, in endpoint: inout Batch.Endpoint) {
    endpoint.counters.sent = share
    endpoint.counters.statuses[200] = share
    endpoint.counters.bytesSent = share * 100
    let apart = min(share - 1, 5)
    for bucket in 0..<UInt16(apart) {
      endpoint.service.buckets.append(.init(index: 500 + 3 * bucket, count: 1))
    }
    endpoint.service.buckets.append(.init(index: 600, count: UInt32(share - apart)))
    if parts > 1 {
      // Ballast: buckets of about four bytes each.
      for bucket in 0..<UInt16(parts * 250) {
        let count = 100_000 + UInt32(bucket) * 7_777 % 90_000
        endpoint.firstByte.buckets.append(.init(index: 5 * bucket + 17, count: count))
      }
      endpoint.firstByte.minNs = 1
      endpoint.firstByte.maxNs = 2
    }
    endpoint.service.sumNs = share * 1_000_000
    endpoint.service.sumOfSquares = UInt128(share) * 1_000_000_000_000
    endpoint.service.minNs = 1_000_000
    endpoint.service.maxNs = 1_000_000
  }

  func ledger(_ ending: Ledger.Ending) -> Ledger {
    Ledger(incarnation: incarnation, sums: sums, inFlight: 0, ending: ending)
  }
}
