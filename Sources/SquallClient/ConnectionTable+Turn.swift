internal import Glibc
internal import SquallEngine
internal import SquallLoad

/// Time: what is due, what has run out, when to look again.
extension ConnectionTable {
  /// Releases what the open loop has due, oldest first, to the connections that waited longest.
  mutating func release(on ring: borrowing Ring, nowNs: UInt64) {
    guard isOpenLoop else { return }
    let sinceStartNs = nowNs &- log.startNs
    if plan.deadlineNs != .max && sinceStartNs > plan.deadlineNs {
      let count = pacer.drop(dueBeforeNs: sinceStartNs - plan.deadlineNs)
      if count > 0 { log.dropped(scheduledNs: nowNs - plan.deadlineNs, count: count) }
    }
    while pacer.nextDueNs <= sinceStartNs {
      if inFlightCount >= inFlightLimit {
        while let scheduledNs = pacer.take(nowNs: sinceStartNs) {
          log.dropped(scheduledNs: log.startNs + scheduledNs, count: 1)
        }
        return
      }
      guard let row = idle.popFirst() else {
        blockedSinceNs = min(blockedSinceNs, sinceStartNs)
        return
      }
      unsafe connections[Int(row)].isIdle = false
      // One each, so that a backlog spreads over all connections.
      fill(Int(row), on: ring, nowNs: nowNs, countMax: 1)
      queue(Int(row))
    }
    blockedSinceNs = .max
  }

  /// Gives up what fell due before an instant and was not sent, for want of a free connection.
  mutating func abandon(dueBeforeNs instantNs: UInt64) {
    guard isOpenLoop, log.startNs != .max, instantNs > log.startNs else { return }
    let count = pacer.drop(dueBeforeNs: instantNs - log.startNs)
    if count > 0 { log.dropped(scheduledNs: instantNs - 1, count: count) }
  }

  /// Offers work to every connection: after a start, a new share or a renewed lease.
  mutating func offerAll(on ring: borrowing Ring, nowNs: UInt64) {
    for row in 0..<startedCount where unsafe connections[row].state == .ready {
      offer(row, on: ring, nowNs: nowNs)
    }
  }

  /// A deadline counts from the scheduled instant, so a late send's comes sooner than the wheel
  /// was told.
  mutating func watchDeadline(_ row: Int) {
    wheel.set(row, deadlineNs: expiryNs(row))
  }

  /// What the oldest request in flight on this connection ran out of, if it did.
  @inline(__always)
  func expiredCause(_ row: Int, nowNs: UInt64) -> ErrorCause? {
    guard nowNs >= expiryNs(row) else { return nil }
    let flight = unsafe flights[row &* Int(pipeline) &+ Int(connections[row].oldest)]
    return nowNs &- flight.sentNs >= timeoutNs(row) ? .timeout : .deadline
  }

  /// When the oldest request in flight on this connection runs out of time.
  @inline(__always)
  private func expiryNs(_ row: Int) -> UInt64 {
    let flight = unsafe flights[row &* Int(pipeline) &+ Int(connections[row].oldest)]
    let timeoutNs = flight.sentNs &+ timeoutNs(row)
    return plan.deadlineNs == .max
      ? timeoutNs : min(timeoutNs, flight.scheduledNs &+ plan.deadlineNs)
  }

  @inline(__always)
  private func timeoutNs(_ row: Int) -> UInt64 {
    isScripted ? unsafe connections[row].patienceNs : plan.timeoutNs
  }

  mutating func expire(on ring: borrowing Ring, nowNs: UInt64) {
    while let row = wheel.popDue(nowNs: nowNs) {
      switch unsafe connections[row].state {
      case .unused: continue
      case .resting: openRested(row, on: ring, nowNs: nowNs)
      case .connecting:
        openingFailed(row, errno: ETIMEDOUT, isUnderWay: true, on: ring, nowNs: nowNs)
      case .ready:
        guard unsafe connections[row].inFlight > 0 else {
          if isScripted {
            offer(row, on: ring, nowNs: nowNs)
            continue
          }
          wheel.set(row, deadlineNs: nowNs &+ patienceNs)
          continue
        }
        if let cause = expiredCause(row, nowNs: nowNs) {
          fail(row, cause, on: ring, nowNs: nowNs)
        } else {
          wheel.set(row, deadlineNs: expiryNs(row))
        }
      }
    }
  }
}
