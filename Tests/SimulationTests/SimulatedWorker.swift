import SquallCluster
import SquallLoad

/// One worker process, as far as the protocol can see it: it sends what its shares say, while they are
/// valid, and counts into pages that outlive it.
///
/// It does not simulate requests one by one: `advance` sends at once all that were due since the last
/// time, which is as often as anything about its shares changes.
struct SimulatedWorker {
  enum State {
    case running
    /// Draining, then its last batch.
    case stopping
    case finished
    case dead
  }

  /// A stretch of the schedule, in run time.
  private struct Stretch {
    var share: Share
    var fromNs: UInt64
    var untilNs: UInt64
  }

  let incarnation: Incarnation
  let plan: Plan
  let rateHz: Double
  var state = State.running
  var isPaused = false
  /// Two looks in a row found it standing still.
  var stillCount = 0
  /// Commands that came while it was paused.
  var waiting: [Simulation.Command] = []
  var lastCommandNs: UInt64 = 0
  private(set) var share = Share.idle(epoch: 0)
  private(set) var validUntilNs: UInt64 = 0
  private(set) var startNs: UInt64?
  private(set) var sentInLife: UInt64 = 0
  private var sentInEpoch: UInt64 = 0
  private var hasSaidExhausted = false
  private var untilNs: UInt64 = .max
  private var stretches: [Stretch] = []
  /// Everything of the schedule due earlier has been dealt with.
  private var cursorNs: UInt64 = 0
  private var lastNs: UInt64 = 0
  private var owed = 0.0

  // The open page.
  private(set) var pageSent: UInt64 = 0
  private var pageFirstInterval: UInt32 = 0
  private var pageStartNs: UInt64 = 0
  private(set) var sequence: UInt32 = 0
  private var sums = IncarnationLedger()

  init(incarnation: Incarnation, plan: Plan, rateHz: Double) {
    self.incarnation = incarnation
    self.plan = plan
    self.rateHz = rateHz
  }

  var isAlive: Bool { state == .running || state == .stopping }
  var endNs: UInt64? { startNs.map { $0 + plan.warmupNs + plan.durationNs } }
  private var isOpenLoop: Bool { plan.load != .closed }

  /// Connections it uses at this instant of its clock.
  func activeConnections(nowNs: UInt64) -> UInt32 {
    guard state == .running, !isPaused, !share.isIdle, nowNs < validUntilNs, let startNs,
      nowNs >= startNs, let endNs, nowNs < endNs,
      untilNs == .max || nowNs < startNs + untilNs,
      share.requestQuota == .max || sentInEpoch < share.requestQuota
    else { return 0 }
    return share.connections
  }

  /// When `activeConnections` next falls by itself.
  var lapseNs: UInt64? {
    guard state == .running, let startNs, let endNs else { return nil }
    return min(validUntilNs, endNs, untilNs == .max ? .max : startNs + untilNs)
  }

  mutating func start(atNs: UInt64, nowNs: UInt64) {
    guard startNs == nil || startNs! > nowNs else { return }
    startNs = atNs
    lastNs = max(lastNs, atNs)
  }

  /// Returns how many it had sent in its life, when this is news.
  mutating func take(
    _ share: Share, untilNs: UInt64, validUntilNs: UInt64
  ) -> UInt64? {
    self.validUntilNs = max(self.validUntilNs, validUntilNs)
    let isNews = share.epoch > self.share.epoch
    self.share = share
    self.untilNs = untilNs
    if isNews {
      sentInEpoch = 0
      hasSaidExhausted = false
    }
    if share.isIdle {
      stretches = []
    } else {
      stretches = stretches.compactMap { stretch in
        var kept = stretch
        kept.untilNs = min(kept.untilNs, share.fromNs)
        return kept.fromNs < kept.untilNs ? kept : nil
      }
      stretches.append(
        Stretch(share: share, fromNs: max(share.fromNs, cursorNs), untilNs: untilNs))
    }
    return isNews ? sentInLife : nil
  }

  mutating func renew(validUntilNs: UInt64) {
    self.validUntilNs = max(self.validUntilNs, validUntilNs)
  }

  /// Sends what has become due by now, as far as it may. `sent` is told each index (of the schedule, or
  /// nil in a closed loop) that goes out.
  mutating func advance(nowNs: UInt64, sent: (UInt64?) -> Void) {
    defer { lastNs = max(lastNs, nowNs) }
    guard state == .running, !isPaused, let startNs, let endNs else { return }
    let untilNs = min(nowNs, validUntilNs, endNs)
    guard untilNs > lastNs, nowNs > startNs else { return }
    if isOpenLoop {
      sendSchedule(runNs: untilNs - startNs, sent: sent)
    } else {
      owed += Double(untilNs - max(lastNs, startNs)) * 1e-9 * rateHz / 4 * Double(share.connections)
      while owed >= 1 {
        owed -= 1
        guard mayStillSend else { continue }
        count()
        sent(nil)
      }
    }
  }

  private var mayStillSend: Bool {
    !share.isIdle && (share.requestQuota == .max || sentInEpoch < share.requestQuota)
  }

  private mutating func sendSchedule(runNs: UInt64, sent: (UInt64?) -> Void) {
    while let stretch = stretches.first {
      let endNs = min(stretch.untilNs, runNs)
      if endNs > stretch.fromNs {
        var index = firstIndex(dueAtOrAfterNs: stretch.fromNs)
        let step = UInt64(stretch.share.workerCount)
        index += (step + UInt64(stretch.share.position) - index % step) % step
        while dueNs(index) < endNs {
          guard mayStillSend else {
            stretches[0].fromNs = dueNs(index)
            cursorNs = max(cursorNs, dueNs(index))
            return
          }
          count()
          sent(index)
          index += step
        }
        stretches[0].fromNs = endNs
        cursorNs = max(cursorNs, endNs)
      }
      guard stretches[0].fromNs >= stretch.untilNs else { return }
      stretches.removeFirst()
    }
  }

  func dueNs(_ index: UInt64) -> UInt64 { UInt64(Double(index) * 1e9 / rateHz) }

  private func firstIndex(dueAtOrAfterNs: UInt64) -> UInt64 {
    var index = UInt64(Double(dueAtOrAfterNs) * 1e-9 * rateHz)
    while index > 0, dueNs(index - 1) >= dueAtOrAfterNs { index -= 1 }
    while dueNs(index) < dueAtOrAfterNs { index += 1 }
    return index
  }

  private mutating func count() {
    sentInLife += 1
    sentInEpoch += 1
    pageSent += 1
  }

  /// Once, when the share's requests are used up.
  mutating func becameExhausted() -> Bool {
    guard state == .running, share.requestQuota != .max, !share.isIdle, !hasSaidExhausted,
      sentInEpoch >= share.requestQuota
    else { return false }
    hasSaidExhausted = true
    return true
  }

  /// Closes the page into a batch of about `parts` parts; nil when nothing is in it.
  mutating func closePage(nowNs: UInt64, parts: Int) -> Batch? {
    guard pageSent > 0, let startNs else { return nil }
    let runNs = nowNs > startNs ? nowNs - startNs : 0
    let interval = UInt32(runNs / plan.intervalNs)
    var batch = Batch(
      name: BatchName(incarnation: incarnation, sequence: sequence),
      firstInterval: min(pageFirstInterval, interval), lastInterval: interval, phase: .measured,
      startNs: min(pageStartNs, runNs), endNs: runNs)
    let first = pageSent / 3
    for (index, share) in [(UInt16(0), first), (UInt16(1), pageSent - first)] where share > 0 {
      var endpoint = Batch.Endpoint(index: index)
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
      batch.endpoints.append(endpoint)
    }
    sums.merge(batch)
    sequence += 1
    pageSent = 0
    pageFirstInterval = interval
    pageStartNs = runNs
    return batch
  }

  func ledger(_ ending: Ledger.Ending) -> Ledger {
    Ledger(incarnation: incarnation, sums: sums, inFlight: 0, ending: ending)
  }
}
