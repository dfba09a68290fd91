internal import SquallEngine
internal import SquallHTTP
internal import SquallLoad
internal import SquallScenario

/// Connections that belong to users.
extension Connections where Job: ~Copyable, Talk: ~Copyable, Line: ~Copyable {
  /// After a request that could not be rendered a user rests this long.
  private static var unsendablePauseNs: UInt64 { 1_000_000 }

  /// Lets the row's user do what comes next: send, rest, or leave.
  mutating func follow(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    guard rows[row].flights.isEmpty, room(row) > 0 else { return }
    while true {
      switch job.next(row, nowNs: nowNs) {
      case .send(let request): return send(request, row, on: ring, nowNs: nowNs)
      case .rest(let untilNs): return wheel.set(row, deadlineNs: untilNs)
      case .wait:
        wheel.set(row, deadlineNs: .max)
        return queue(row)
      case .leave: return retire(row, on: ring)
      case .iterationEnded(let end):
        if !end.hasSent { log.iterationBegan(startNs: end.startNs) }
        log.iterationEnded(startNs: end.startNs, nowNs: nowNs, isAbandoned: end.isAbandoned)
      }
    }
  }

  /// Gives what is due to users that wait; what finds none is dropped.
  mutating func releaseIterations(on ring: borrowing Ring, nowNs: UInt64) {
    let sinceStartNs = nowNs &- log.startNs
    while duty.pacer.nextDueNs <= sinceStartNs {
      guard let row = idle.popFirst() else {
        while let dueNs = duty.pacer.take(nowNs: sinceStartNs) {
          log.iterationsDropped(scheduledNs: log.startNs &+ dueNs, count: 1)
        }
        return
      }
      rows[row].isIdle = false
      guard room(row) > 0, rows[row].flights.isEmpty, job.isWaiting(row) else { continue }
      guard let dueNs = duty.pacer.take(nowNs: sinceStartNs) else { return queue(row) }
      job.arrive(row, scheduledNs: log.startNs &+ dueNs)
      follow(row, on: ring, nowNs: nowNs)
    }
  }

  /// Lets so many users of this worker be there. Those too many go, the last first.
  mutating func admit(_ count: Int, on ring: borrowing Ring, nowNs: UInt64) {
    let before = min(admittedCount, rows.count)
    admittedCount = count
    for row in min(before, count)..<before {
      job.dismiss(row)
      if rows[row].state == .ready { offer(row, on: ring, nowNs: nowNs) }
    }
    for row in min(before, count)..<min(count, rows.count) {
      job.readmit(row)
      reuse(row, nowNs: nowNs)
    }
  }

  /// The load is over: users do what they have to do before they go.
  mutating func callLastOrders(on ring: borrowing Ring, nowNs: UInt64) {
    guard job.hasEndings, !isLastOrders else { return }
    isLastOrders = true
    for row in 0..<rows.count {
      job.dismiss(row)
      guard job.isLeaving(row) else { continue }
      if rows[row].state == .ready { offer(row, on: ring, nowNs: nowNs) }
      reuse(row, nowNs: nowNs)
    }
  }

  /// Opens a row again that was started and has no connection.
  private mutating func reuse(_ row: Int, nowNs: UInt64) {
    guard row < startedCount, rows[row].state == .unused else { return }
    rows[row].state = .resting
    wheel.set(row, deadlineNs: nowNs)
  }

  private mutating func send(
    _ request: UserRequest, _ row: Int, on ring: borrowing Ring, nowNs: UInt64
  ) {
    var scheduledNs = request.scheduledNs ?? nowNs
    if request.scheduledNs != nil {
      // Past the end only what was due before it begins.
      guard isLastOrders || !log.isStopped || request.isArrival else { return }
    } else if !isLastOrders {
      // Without one the load is over for this connection.
      guard let dueNs = duty.pacer.take(nowNs: nowNs &- log.startNs) else { return }
      scheduledNs = log.startNs &+ dueNs
    }
    let buffer = unsafe Line.seals ? scratch : outgoing.take(row)
    guard let byteCount = unsafe job.render(row, into: buffer, nowNs: nowNs) else {
      outgoing.giveBack(row)
      log.dropped(scheduledNs: nowNs, count: 1, endpoint: request.endpoint)
      job.failed(row)
      let untilNs = nowNs &+ Self.unsendablePauseNs
      job.rest(row, untilNs: untilNs)
      return wheel.set(row, deadlineNs: untilNs)
    }
    let flight = Flight(
      scheduledNs: scheduledNs, sentNs: nowNs, endsNs: nowNs &+ request.timeoutNs,
      endpoint: request.endpoint)
    _ = flights.append(flight, to: &rows[row].flights, of: row)
    rows[row].talk.expect(noBody: request.expectsNoBody)
    log.sent(
      scheduledNs: scheduledNs, byteCount: byteCount, ownLagNs: nowNs &- scheduledNs, nowNs: nowNs,
      endpoint: request.endpoint)
    if let startNs = job.sent(row, nowNs: nowNs) { log.iterationBegan(startNs: startNs) }
    rows[row].requestsLeft &-= 1
    inFlightCount &+= 1
    sentCount &+= 1
    wheel.set(row, deadlineNs: flight.endsNs)
    unsafe transmit(
      row, UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<byteCount]),
      on: ring, nowNs: nowNs)
  }
}
