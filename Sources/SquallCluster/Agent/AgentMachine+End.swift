import SquallLoad

/// Keeping, delivering, and the ways out: handed over, refused, given up.
extension AgentMachine {
  mutating func batchClosed(_ batch: Batch) {
    guard part.run != 0 else { return }
    outbox.keep(batch)
  }

  /// At the bound the load stops and the counts stay; at half of it the load may go on.
  mutating func superviseKept() {
    if !isFull, outbox.byteCount >= settings.keptByteCountMax {
      isFull = true
      log(.keptFull)
      session.isReportDue = true
      for slot in slots.indices where slots[slot].isLive { takeBack(slot) }
    } else if isFull, outbox.byteCount <= settings.keptByteCountMax / 2 {
      isFull = false
      log(.keptDrained)
      session.isReportDue = true
    }
  }

  mutating func deliver(nowNs: UInt64) {
    guard link == .joined else { return }
    let due = outbox.due(nowNs: nowNs, delayNs: clock.delayNs ?? 0)
    for message in due.messages { send(message) }
    wake(atNs: due.wakeNs)
  }

  mutating func leave(nowNs: UInt64) {
    guard !isLeaving else { return giveUp() }
    isLeaving = true
    leaveSinceNs = nowNs
    session.isReportDue = true
    for slot in slots.indices where slots[slot].isLive && !part.isStopping {
      effects.append(.stopWorker(slot: slot))
    }
  }

  /// Nothing is kept and nothing is still to come.
  private var isDelivered: Bool {
    outbox.isEmpty && !slots.contains { $0.isLive || $0.state == .starting }
  }

  mutating func superviseEnd(nowNs: UInt64) {
    if isDismissed || isLeaving {
      if isDelivered {
        if link == .joined { sayGoodbye(nowNs: nowNs) } else { exit(.delivered) }
        return
      }
      let untilNs =
        isDismissed ? dismissedNs + settings.endWaitNs : leaveSinceNs + settings.leaveWaitNs
      guard nowNs < untilNs else { return giveUp() }
      wake(atNs: untilNs)
    }
    if let lostSinceNs, part.run != 0 {
      // With everything delivered and its part done, there is nothing to come back for.
      let isDone = part.isStopping && isDelivered && isLast
      let patienceNs =
        isDone ? session.heartbeatIntervalNs * UInt64(session.liveness) : settings.giveUpNs
      guard nowNs < lostSinceNs + patienceNs else { return isDone ? exit(.delivered) : giveUp() }
      wake(atNs: lostSinceNs + patienceNs)
    }
  }

  /// A few times, because it may be lost; not for ever, because all it says is that we go.
  private mutating func sayGoodbye(nowNs: UInt64) {
    guard session.goodbyeCount == 0 || nowNs >= session.goodbyeAtNs else {
      return wake(atNs: session.goodbyeAtNs)
    }
    guard session.goodbyeCount < 5 else { return exit(.delivered) }
    send(.goodbye(Goodbye()))
    session.goodbyeCount += 1
    session.goodbyeAtNs = nowNs + settings.resendFirstNs
    wake(atNs: session.goodbyeAtNs)
  }

  /// What cannot be delivered is written down.
  mutating func giveUp() {
    persist()
    exit(.delivered)
  }

  mutating func persist() {
    let left = outbox.leftovers()
    guard !left.batches.isEmpty || !left.ledgers.isEmpty else { return }
    hasGivenUp = true
    effects.append(
      .persist(
        run: part.run, planHash: part.plan.hash, batches: left.batches, ledgers: left.ledgers))
  }

  mutating func exit(_ exit: Exit) {
    guard !hasExited else { return }
    hasExited = true
    wakeNs = .max
    if link != .down { effects.append(.disconnect) }
    effects.append(.exit(exit == .delivered && hasGivenUp ? .gaveUp : exit))
  }
}
