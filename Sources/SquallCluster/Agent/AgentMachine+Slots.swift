import SquallLoad

/// The host's workers: their shares, the validity of these, their deaths and restarts.
extension AgentMachine {
  struct Slot: Sendable {
    enum State: Equatable {
      case idle
      case starting
      case ready
      case stalled
      case dead
      case finished
      /// Died too often.
      case givenUp
    }

    let cpu: UInt16
    var state = State.idle
    var life: UInt64 = 0
    /// The newest epoch whose share it was given, and when.
    var givenEpoch: UInt32 = 0
    var givenNs: UInt64 = 0
    /// Changes of the load that it was told of.
    var changeCount = 0
    /// Of the share it was given: where its schedule ends, in run time.
    var untilNs: UInt64 = .max
    /// The newest epoch it said it took up.
    var adoptedEpoch: UInt32 = 0
    /// The newest one it took up before its schedule's end had passed, which is what the master may
    /// build on: after it, older shares may have been used beyond that end.
    var confirmedEpoch: UInt32 = 0
    var sentBefore: UInt64 = 0
    var share = Share.idle(epoch: 0)
    var isExhausted = false
    /// The latest validity it was ever told, whether or not it has looked.
    var validUntilNs: UInt64 = 0
    var isUnresponsive = false
    /// It has nothing under the epoch it was given last: the order named no share for it, or the one
    /// it named was taken back here.
    var isTakenBack = false
    var restarts = 0

    init(cpu: UInt16) { self.cpu = cpu }

    /// Has a process that can act.
    var isLive: Bool { state == .ready || state == .stalled }

    func report(slot: Int) -> Report.Worker? {
      let state: Report.Worker.State
      switch self.state {
      case .idle, .starting: return nil
      case .ready: state = .ready
      case .stalled: state = .stalled
      case .dead, .givenUp: state = .dead
      case .finished: state = .finished
      }
      guard life != 0 else { return nil }
      return Report.Worker(
        slot: UInt16(slot), life: life, state: state, epoch: confirmedEpoch, sentBefore: sentBefore,
        isExhausted: isExhausted, isTakenBack: isTakenBack)
    }
  }

  // MARK: What workers say

  mutating func workerReady(_ slot: Int, life: UInt64) {
    guard slots[slot].state != .idle else { return }  // Of a run that was left.
    let (cpu, restarts) = (slots[slot].cpu, slots[slot].restarts)
    slots[slot] = Slot(cpu: cpu)
    slots[slot].restarts = restarts
    slots[slot].state = .ready
    slots[slot].life = life
    session.isReportDue = true
    if let startLocalNs = part.startLocalNs { effects.append(.startAt(localNs: startLocalNs)) }
    if part.isStopping || isLeaving { effects.append(.stopWorker(slot: slot)) }
  }

  mutating func workerAdopted(_ slot: Int, epoch: UInt32, sentBefore: UInt64, nowNs: UInt64) {
    guard slots[slot].isLive, epoch > slots[slot].adoptedEpoch else { return }
    slots[slot].adoptedEpoch = epoch
    slots[slot].sentBefore = sentBefore
    slots[slot].isExhausted = false
    let isInTime =
      slots[slot].untilNs == .max
      || part.startLocalNs.map { nowNs < $0.addingSaturated(slots[slot].untilNs) } ?? true
    if isInTime || epoch != slots[slot].givenEpoch {
      slots[slot].confirmedEpoch = epoch
      session.isReportDue = true
    }
    workerResumed(slot)
  }

  mutating func workerExhausted(_ slot: Int, epoch: UInt32) {
    guard slots[slot].isLive, slots[slot].adoptedEpoch == epoch, !slots[slot].isExhausted else {
      return
    }
    slots[slot].isExhausted = true
    session.isReportDue = true
  }

  mutating func workerStalled(_ slot: Int) {
    if slots[slot].isLive { slots[slot].isUnresponsive = true }
  }

  mutating func workerResumed(_ slot: Int) {
    slots[slot].isUnresponsive = false
    guard slots[slot].state == .stalled else { return }
    slots[slot].state = .ready
    session.isReportDue = true
  }

  mutating func workerFinished(_ slot: Int, _ ledger: Ledger) {
    guard slots[slot].state != .idle else { return }
    slots[slot].state = .finished
    outbox.keep(ledger)
    session.isReportDue = true
  }

  mutating func workerDied(_ slot: Int, _ ledger: Ledger?) {
    // It had said all it had to say, or its run was left.
    guard slots[slot].state != .finished, slots[slot].state != .idle else { return }
    if let ledger {
      outbox.keep(ledger)
      log(.workerDied(slot: slot, ledger.ending))
    }
    slots[slot].state = .dead
    session.isReportDue = true
    guard !part.isStopping, !isLeaving else { return }
    guard slots[slot].restarts < settings.restartsMax else {
      slots[slot].state = .givenUp
      log(.workerGivenUp(slot: slot))
      return
    }
    let delayNs = jitter.backoffNs(
      attempt: slots[slot].restarts, firstNs: settings.restartFirstNs,
      lastNs: settings.restartLastNs)
    slots[slot].restarts += 1
    effects.append(.startWorker(slot: slot, afterNs: delayNs))
  }

  // MARK: What the master orders

  mutating func ordered(_ order: Order, nowNs: UInt64) {
    session.heardNs = nowNs
    guard
      order.number > session.orderNumber && !isOvertaken(order) || settings.faults.obeysOldEpochs
    else { return }
    session.orderNumber = order.number
    isLast = order.isLast
    var validUntilNs: UInt64 = 0
    if let echo = order.echo, echo.reportSentNs <= nowNs {
      clock.measured(
        sentNs: echo.reportSentNs, receivedNs: echo.reportReceivedNs, answeredNs: order.sentNs,
        nowNs: nowNs)
      confirmed(echo.reportNumber)
      // From when we made the report, not from now: the master counts from when it got it, which is
      // never earlier, so our lease has always ended when the master believes it has.
      validUntilNs = echo.reportSentNs + order.leaseNs
    }
    if part.run == 0 { join(order) }
    if part.run != 0, part.run == order.run {
      part.epoch = order.epoch
      if order.changes.count > part.changes.count { part.changes = order.changes }
      switch order.phase {
      case .prepare, .run: assign(order, validUntilNs: validUntilNs, nowNs: nowNs)
      case .stop: stopWorkers()
      case .end: leaveRun()
      case .abandon:
        persist()
        leaveRun()
      }
    }
    if part.run == 0, isLast, !isDismissed {
      isDismissed = true
      dismissedNs = nowNs
    }
  }

  /// It deals shares of an older epoch.
  private func isOvertaken(_ order: Order) -> Bool {
    order.run == part.run && order.epoch < part.epoch && !order.isOver
  }

  /// Takes part in the run that the order is about, unless that is over.
  private mutating func join(_ order: Order) {
    guard order.run != 0, !order.isOver, !isLeaving else { return }
    part.run = order.run
    part.plan.expect(hash: order.planHash, byteCount: Int(order.planByteCount))
    outbox = Outbox(run: order.run, settings: settings)
    session.isReportDue = true
  }

  /// The run is over and was accounted for. Clock and connection stay for the next one.
  private mutating func leaveRun() {
    part = Part()
    outbox = Outbox(run: 0, settings: settings)
    slots = slots.map { Slot(cpu: $0.cpu) }
    isFull = false
    session.isReportDue = true
    effects.append(.leaveRun)
  }

  private mutating func assign(_ order: Order, validUntilNs: UInt64, nowNs: UInt64) {
    startClock(masterNs: order.startNs, nowNs: nowNs)
    if validUntilNs > part.leaseEndNs { part.leaseEndNs = validUntilNs }
    var assigned = Array(repeating: false, count: slots.count)
    for assignment in order.assignments where Int(assignment.slot) < slots.count {
      let slot = Int(assignment.slot)
      guard slots[slot].isLive, slots[slot].life == assignment.life else { continue }
      assigned[slot] = true
      if part.isStopping || isLeaving {
        idle(slot, epoch: order.epoch, nowNs: nowNs)
      } else if assignment.share.epoch > slots[slot].givenEpoch || settings.faults.obeysOldEpochs {
        give(slot, assignment, validUntilNs: validUntilNs, nowNs: nowNs)
      } else {
        renew(slot, validUntilNs: validUntilNs)
      }
    }
    for slot in slots.indices where slots[slot].isLive && !assigned[slot] {
      idle(slot, epoch: order.epoch, nowNs: nowNs)
    }
  }

  private mutating func give(
    _ slot: Int, _ assignment: Order.Assignment, validUntilNs: UInt64, nowNs: UInt64
  ) {
    slots[slot].givenEpoch = assignment.share.epoch
    slots[slot].givenNs = nowNs
    slots[slot].share = assignment.share
    slots[slot].untilNs = assignment.untilNs
    slots[slot].isTakenBack = false
    if slots[slot].isUnresponsive || isFull { return takeBack(slot) }
    slots[slot].validUntilNs = max(slots[slot].validUntilNs, validUntilNs)
    for change in part.changes.dropFirst(slots[slot].changeCount) {
      effects.append(.changeLoad(slot: slot, change))
    }
    slots[slot].changeCount = part.changes.count
    effects.append(
      .setShare(
        slot: slot, assignment.share, untilNs: assignment.untilNs,
        validUntilNs: slots[slot].validUntilNs))
  }

  private mutating func renew(_ slot: Int, validUntilNs: UInt64) {
    guard !slots[slot].share.isIdle, validUntilNs > slots[slot].validUntilNs,
      !slots[slot].isUnresponsive
    else { return }
    slots[slot].validUntilNs = validUntilNs
    effects.append(.renewShare(slot: slot, validUntilNs: validUntilNs))
  }

  private mutating func idle(_ slot: Int, epoch: UInt32, nowNs: UInt64) {
    guard !slots[slot].share.isIdle || slots[slot].givenEpoch < epoch else { return }
    slots[slot].givenEpoch = max(epoch, slots[slot].givenEpoch)
    slots[slot].givenNs = nowNs
    // Should this epoch's share be its again, the master must know that it will not take that up.
    if !slots[slot].isTakenBack { session.isReportDue = true }
    slots[slot].isTakenBack = true
    idleShare(slot)
  }

  mutating func takeBack(_ slot: Int) {
    guard !slots[slot].share.isIdle else { return }
    slots[slot].isTakenBack = true
    session.isReportDue = true
    idleShare(slot)
  }

  private mutating func idleShare(_ slot: Int) {
    slots[slot].share = .idle(epoch: slots[slot].givenEpoch)
    slots[slot].untilNs = .max
    effects.append(
      .setShare(
        slot: slot, slots[slot].share, untilNs: .max, validUntilNs: slots[slot].validUntilNs))
  }

  private mutating func startClock(masterNs: UInt64?, nowNs: UInt64) {
    guard let masterNs else { return }
    let localNs = clock.localNs(masterNs: masterNs)
    // Once the run has begun its time does not move any more.
    if let startLocalNs = part.startLocalNs, startLocalNs <= nowNs || startLocalNs == localNs {
      return
    }
    part.startLocalNs = localNs
    effects.append(.startAt(localNs: localNs))
  }

  mutating func stopWorkers() {
    guard !part.isStopping else { return }
    part.isStopping = true
    for slot in slots.indices where slots[slot].isLive {
      effects.append(.stopWorker(slot: slot))
    }
    session.isReportDue = true
  }

  // MARK: Timers

  /// A worker that does not take up what it was given keeps what it has until that lapses; only then
  /// is it called stalled, because only then is it certain to send nothing.
  mutating func superviseSlots(nowNs: UInt64) {
    let graceNs = session.heartbeatIntervalNs
    for slot in slots.indices where slots[slot].state == .ready {
      if slots[slot].adoptedEpoch < slots[slot].givenEpoch {
        if nowNs >= slots[slot].givenNs + graceNs {
          slots[slot].isUnresponsive = true
        } else {
          wake(atNs: slots[slot].givenNs + graceNs)
        }
      }
      guard slots[slot].isUnresponsive, !part.isStopping else { continue }
      if nowNs >= slots[slot].validUntilNs {
        takeBack(slot)
        slots[slot].state = .stalled
        session.isReportDue = true
      } else {
        wake(atNs: slots[slot].validUntilNs)
      }
    }
  }

  /// Says once that the load has stopped for want of a master, and once that it goes on.
  mutating func superviseLease(nowNs: UInt64) {
    guard part.leaseEndNs > 0, !part.isStopping, slots.contains(where: { !$0.share.isIdle }) else {
      return
    }
    if nowNs >= part.leaseEndNs {
      if !part.isLeaseLapsed { log(.leaseEnded) }
      part.isLeaseLapsed = true
    } else {
      if part.isLeaseLapsed { log(.leaseRenewed) }
      part.isLeaseLapsed = false
      wake(atNs: part.leaseEndNs)
    }
  }
}
