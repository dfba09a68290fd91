/// What a worker may do, and when: its share, its lease, its part of the schedule, the load's end.
///
///     loading ─ end of the load, stop ─▶ draining ─ nothing left, cut ─▶ finished
///
/// Commands in, news out; it has no clock and no I/O. Call `obey` with every command, and take all of
/// `next` when `wakeNs` has come, or sooner. Instants are of the monotonic clock; those of shares and
/// of the pacer are run time.
///
/// Every request of the schedule that its shares named is taken from the pacer or told as dropped. Of
/// those that fell due after its last lease had ended nothing is told: they may be another's.
package struct Duty: Sendable {
  package enum Stage: Sendable { case loading, draining, finished }

  package enum News: Equatable, Sendable {
    /// The share of this epoch was taken up: its connections are in use, its schedule is from its time.
    case adopted(epoch: UInt32)
    /// So many requests that were due before this instant are given up.
    case dropped(UInt64, dueBeforeNs: UInt64)
    /// The load's time is over, at `measuredEndNs`. What was due may still go out, unless the load was
    /// cut short.
    case stopped
    /// Nothing more is sent, awaited or counted.
    case finished
  }

  /// How far the master's end and this worker's may be apart by their clocks' difference.
  package static let stopMarginNs: UInt64 = 100_000_000

  package private(set) var stage = Stage.loading
  /// The run's start; `UInt64.max` until it is known.
  package private(set) var startNs: UInt64 = .max
  /// When the load ends; `UInt64.max` until the start is known.
  package private(set) var endNs: UInt64 = .max
  /// The newest that was taken up. Without connections it is one that nothing may be sent under.
  package private(set) var share = Share.idle(epoch: 0)
  /// What was changed of the load, in the order of time.
  package private(set) var changes: [LoadChange] = []
  /// Connections of the share before, which are in use until the new one begins.
  private var connectionsBefore: UInt32 = 0
  /// What is due of the schedule.
  package var pacer: Pacer

  private let warmupNs: UInt64
  private let loadNs: UInt64
  private let drainNs: UInt64
  private let isCounted: Bool
  private let isOpenLoop: Bool
  private let isNumbered: Bool
  private let faults: Faults
  /// When its lease ends.
  package private(set) var validUntilNs: UInt64 = 0
  private var isAdoptionTold = true
  /// Given up and not told yet.
  private var droppedCount: UInt64 = 0
  /// Since when all requests of the share are sent and have ended.
  private var exhaustedNs: UInt64?
  private var isCutShort = false
  private var isStopTold = false
  /// When the drain is over at the latest; 0 when it is cut.
  private var cutNs: UInt64 = .max

  package init(_ plan: Plan, faults: Faults = Faults()) {
    self.faults = faults
    warmupNs = plan.times.warmupNs
    loadNs = plan.times.warmupNs.addingSaturated(plan.times.durationNs)
    drainNs = plan.times.drainNs
    isCounted = plan.requestCount != .max
    isOpenLoop = plan.load != .closed
    isNumbered = plan.connections.isNumbered
    pacer = Pacer(load: plan.load, share: share, endNs: loadNs)
  }

  // MARK: Commands

  /// True when it changed something besides the lease.
  package mutating func obey(_ command: Command, nowNs: UInt64) -> Bool {
    switch command {
    case .start(let atNs):
      guard stage == .loading, nowNs < startNs, atNs != startNs else { return false }
      startNs = atNs
      endNs = atNs.addingSaturated(loadNs)
      return true
    case .share(let newer, let untilNs, let validUntilNs):
      return adopt(newer, untilNs: untilNs, validUntilNs: validUntilNs, nowNs: nowNs)
    case .change(let change):
      guard change.atNs > changes.last?.atNs ?? 0 else { return false }
      changes.append(change)
      pacer.change(change)
      return true
    case .renew(let validUntilNs):
      self.validUntilNs = max(self.validUntilNs, validUntilNs)
      return false
    case .stop:
      // Its own clock tells the load's natural end better than a word that crossed a network.
      let leftNs = endNs - min(nowNs, endNs)
      if startNs != .max && (1...Self.stopMarginNs).contains(leftNs) { return false }
      return stop(atNs: min(nowNs, endNs), isEarly: nowNs < endNs)
    case .cut:
      guard stage != .finished else { return false }
      _ = stop(atNs: min(nowNs, endNs), isEarly: true)
      isCutShort = true
      cutNs = 0
      return true
    }
  }

  /// An older epoch changes nothing. Of the same epoch, a share can be taken back: its connections are
  /// gone, and what falls due of its schedule is dropped until a newer one says where it ends.
  private mutating func adopt(
    _ newer: Share, untilNs: UInt64, validUntilNs: UInt64, nowNs: UInt64
  ) -> Bool {
    guard stage != .finished, newer.epoch >= share.epoch || faults.obeysOldEpochs else {
      return false
    }
    self.validUntilNs = max(self.validUntilNs, validUntilNs)
    guard newer.epoch != share.epoch else {
      guard newer.isIdle, !share.isIdle, !faults.keepsTakenShares else { return false }
      share.connections = 0
      connectionsBefore = 0
      return true
    }
    connectionsBefore = connectionCount(nowNs: nowNs)
    droppedCount += pacer.adopt(newer, untilNs: faults.outrunsYields ? .max : untilNs)
    if share.isIdle {
      droppedCount += pacer.drop(dueBeforeNs: min(newer.fromNs, untilNs, runNs(nowNs)))
    }
    share = newer
    isAdoptionTold = false
    exhaustedNs = nil
    return true
  }

  private mutating func stop(atNs: UInt64, isEarly: Bool) -> Bool {
    guard stage == .loading else { return false }
    stage = .draining
    isCutShort = isEarly
    endNs = atNs
    cutNs = atNs.addingSaturated(drainNs)
    return true
  }

  private func runNs(_ nowNs: UInt64) -> UInt64 { nowNs > startNs ? nowNs - startNs : 0 }

  // MARK: What may be done

  /// Connections in use. In an open loop the share's are opened ahead of its schedule; in a closed one
  /// they are the load, and so begin and end with the share's time.
  package func connectionCount(nowNs: UInt64) -> UInt32 {
    isWaitingForShare(nowNs: nowNs) ? connectionsBefore : share.connections
  }

  /// When the share's connections come into use; nil when they are.
  package func shareBeginsNs(nowNs: UInt64) -> UInt64? {
    isWaitingForShare(nowNs: nowNs) ? startNs.addingSaturated(share.fromNs) : nil
  }

  private func isWaitingForShare(nowNs: UInt64) -> Bool {
    !isOpenLoop && !share.isIdle && startNs != .max && runNs(nowNs) < share.fromNs
  }

  /// New requests may go out, as far as the pacer has any.
  package func maySend(nowNs: UInt64) -> Bool {
    guard nowNs < validUntilNs || faults.outlivesLeases, !share.isIdle else { return false }
    switch stage {
    case .loading: return nowNs >= startNs
    case .draining: return !isCutShort
    case .finished: return false
    }
  }

  /// The load is over, and what was sent already may go out again.
  package var maySendAgain: Bool { stage == .draining && cutNs > 0 }

  /// When the measured time ended: at the load's end, or earlier, when all requests had ended.
  package var measuredEndNs: UInt64 { min(endNs, exhaustedNs ?? .max) }

  /// When `next` has something to say, or `maySend` changes, by time alone.
  package func wakeNs(nowNs: UInt64) -> UInt64 {
    var wakeNs: UInt64
    switch stage {
    case .loading:
      wakeNs = nowNs < startNs ? startNs : endNs
      if let beginsNs = shareBeginsNs(nowNs: nowNs) { wakeNs = min(wakeNs, beginsNs) }
    case .draining: wakeNs = cutNs
    case .finished: return .max
    }
    return nowNs < validUntilNs ? min(wakeNs, validUntilNs) : wakeNs
  }

  // MARK: News

  /// The next thing that has become true by now, each once; nil when there is no more. `isIdle` says
  /// that nothing is in flight, and nothing waits to be sent again.
  package mutating func next(nowNs: UInt64, isIdle: Bool) -> News? {
    if droppedCount > 0 {
      defer { droppedCount = 0 }
      if !faults.forgetsDropped { return .dropped(droppedCount, dueBeforeNs: nowNs) }
    }
    switch stage {
    case .loading:
      if nowNs >= endNs {
        _ = stop(atNs: endNs, isEarly: false)
        return next(nowNs: nowNs, isIdle: isIdle)
      }
      guard !isAdoptionTold else { return nil }
      // A user whose request is under way still has its row.
      guard !isNumbered || !share.isIdle || isIdle else { return nil }
      isAdoptionTold = true
      return .adopted(epoch: share.epoch)
    case .draining:
      if !isStopTold {
        isStopTold = true
        return .stopped
      }
      let isOwing = isOpenLoop && !pacer.isExhausted && maySend(nowNs: nowNs)
      guard isIdle && !isOwing || nowNs >= cutNs else { return nil }
      if let dropped = dropRest() { return dropped }
      stage = .finished
      return .finished
    case .finished: return nil
    }
  }

  /// Gives up what was due before the load's end and was not sent, the warm-up's part by itself.
  private mutating func dropRest() -> News? {
    let dueNs = runNs(faults.countsOthers ? endNs : min(endNs, validUntilNs))
    for beforeNs in [min(warmupNs, dueNs), dueNs] {
      let count = pacer.drop(dueBeforeNs: beforeNs)
      if count > 0, !faults.forgetsDropped {
        return .dropped(count, dueBeforeNs: startNs + beforeNs)
      }
    }
    return nil
  }

  /// True once for a share, when every request that it allows was sent and has ended. To be asked
  /// after all that could send one more.
  package mutating func becameExhausted(nowNs: UInt64, isIdle: Bool) -> Bool {
    guard isIdle, isCounted, exhaustedNs == nil, pacer.isExhausted, stage == .loading,
      isAdoptionTold
    else { return false }
    exhaustedNs = nowNs
    return true
  }
}
