internal import Glibc
internal import SquallEngine
internal import SquallLoad

/// Time: what is due, what has run out, when to look again.
extension Connections where Job: ~Copyable, Talk: ~Copyable, Line: ~Copyable {
  /// Releases what the open loop has due, oldest first, to the connections that waited longest.
  mutating func release(on ring: borrowing Ring, nowNs: UInt64) {
    guard isOpenLoop else { return }
    if Job.hasUsers { return releaseIterations(on: ring, nowNs: nowNs) }
    let sinceStartNs = nowNs &- log.startNs
    if plan.times.deadlineNs != .max && sinceStartNs > plan.times.deadlineNs {
      let count = duty.pacer.drop(dueBeforeNs: sinceStartNs - plan.times.deadlineNs)
      if count > 0 { log.dropped(scheduledNs: nowNs - plan.times.deadlineNs, count: count) }
    }
    while duty.pacer.nextDueNs <= sinceStartNs {
      if inFlightCount >= inFlightLimit {
        while let scheduledNs = duty.pacer.take(nowNs: sinceStartNs) {
          log.dropped(scheduledNs: log.startNs + scheduledNs, count: 1)
        }
        return
      }
      guard let row = idle.popFirst() else {
        blockedSinceNs = min(blockedSinceNs, sinceStartNs)
        return
      }
      rows[row].isIdle = false
      // One each, so that a backlog spreads over all connections.
      fill(row, on: ring, nowNs: nowNs, countMax: 1)
      queue(row)
    }
    blockedSinceNs = .max
  }

  /// Offers work to every connection: after a start, a new share or a renewed lease.
  mutating func offerAll(on ring: borrowing Ring, nowNs: UInt64) {
    for row in 0..<startedCount where rows[row].state == .ready {
      offer(row, on: ring, nowNs: nowNs)
    }
  }

  /// Offers what is to be sent again to connections that no answer will wake. Others take it with their
  /// next offer.
  mutating func offerUnprocessed(on ring: borrowing Ring, nowNs: UInt64) {
    guard unprocessed.count > 0, readyCount > inFlightCount else { return }
    offerAll(on: ring, nowNs: nowNs)
  }

  /// Why a flight whose time is over ended.
  @inline(__always)
  func expiredCause(_ flight: Flight) -> ErrorCause {
    plan.times.deadlineNs != .max && flight.endsNs == flight.scheduledNs &+ plan.times.deadlineNs
      ? .deadline : .timeout
  }

  mutating func expire(on ring: borrowing Ring, nowNs: UInt64) {
    while let row = wheel.popDue(nowNs: nowNs) {
      switch rows[row].state {
      case .unused, .waiting: continue
      case .resting: openRested(row, on: ring, nowNs: nowNs)
      case .connecting:
        openingFailed(row, errno: ETIMEDOUT, isUnderWay: true, on: ring, nowNs: nowNs)
      case .securing: lineFailed(row, otherwise: .timedOut, on: ring, nowNs: nowNs)
      case .ready:
        guard !rows[row].flights.isEmpty else {
          if Job.hasUsers {
            offer(row, on: ring, nowNs: nowNs)
          } else {
            wheel.set(row, deadlineNs: nowNs &+ patienceNs)
          }
          continue
        }
        guard expireFlights(row, on: ring, nowNs: nowNs) else { continue }
        let endNs = flights.earliestEndNs(of: rows[row].flights, row)
        if endNs != .max {
          wheel.set(row, deadlineNs: endNs)
        } else if !Job.hasUsers {
          wheel.set(row, deadlineNs: nowNs &+ patienceNs)
        }
      }
    }
  }

  /// Ends the requests whose time is over. False when that took the connection.
  private mutating func expireFlights(
    _ row: Int, on ring: borrowing Ring, nowNs: UInt64
  ) -> Bool {
    var place: Int? = rows[row].flights.isEmpty ? nil : rows[row].flights.oldest
    var hasExpired = false
    while let at = place {
      place = flights.next(after: at, of: row)
      let flight = flights[row, at]
      guard nowNs >= flight.endsNs else { continue }
      let cause = expiredCause(flight)
      guard !Talk.isOrdered, flight.key == 0 || rows[row].talk.cancel(key: flight.key) else {
        fail(row, cause, at: at, on: ring, nowNs: nowNs)
        return false
      }
      fail(row, cause, at: at)
      hasExpired = true
    }
    if hasExpired {
      flush(row, on: ring, nowNs: nowNs)
      offer(row, on: ring, nowNs: nowNs)
    }
    return true
  }
}
