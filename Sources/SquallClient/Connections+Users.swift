internal import SquallEngine
internal import SquallHTTP
internal import SquallLoad
internal import SquallScenario

/// Connections that belong to users, or that users take turns on.
extension Connections where Job: ~Copyable, Talk: ~Copyable, Line: ~Copyable {
  /// After a request that could not be rendered a user rests this long.
  private static var unsendablePauseNs: UInt64 { 1_000_000 }

  /// Lets the row's user do what comes next: send, rest, or leave.
  mutating func follow(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    guard rows[row].flights.isEmpty, room(row) > 0 else { return }
    if Job.sharesConnections {
      advanceUsers(on: ring, nowNs: nowNs)
      guard mayServe else { return queue(row) }
    }
    while true {
      switch job.next(row, nowNs: nowNs) {
      case .send(let request):
        let isTaken = send(request, row, on: ring, nowNs: nowNs)
        // A shared connection is free for the next user then.
        if isTaken || !Job.sharesConnections { return }
      case .rest(let untilNs): return wheel.set(row, deadlineNs: untilNs)
      case .wait: return queue(row)
      case .leave: return retire(row, on: ring)
      case .iterationEnded(let end): iterationEnded(end, nowNs: nowNs)
      }
    }
  }

  // MARK: Shared connections

  /// Whoever waits for a connection may still send.
  private var mayServe: Bool { isOpenLoop || isLastOrders || duty.pacer.quotaLeft > 0 }

  private mutating func advanceUsers(on ring: borrowing Ring, nowNs: UInt64) {
    while let news = job.advance(nowNs: nowNs) {
      switch news {
      case .iterationEnded(let end): iterationEnded(end, nowNs: nowNs)
      case .missed(let scheduledNs): log.iterationsDropped(scheduledNs: scheduledNs, count: 1)
      case .wanted(let row): reuse(row, nowNs: nowNs)
      case .left(let rows):
        for row in rows where row < startedCount { retire(row, on: ring) }
      }
    }
  }

  /// Goes on with users that need no connection, and gives free ones to those who wait.
  mutating func serve(on ring: borrowing Ring, nowNs: UInt64) {
    guard Job.sharesConnections, isServing else { return }
    repeat {
      advanceUsers(on: ring, nowNs: nowNs)
      while mayServe, let row = job.takeServable() {
        rows[row].isIdle = false
        guard room(row) > 0, rows[row].flights.isEmpty else {
          // It was closed while it was free.
          reuse(row, nowNs: nowNs)
          continue
        }
        follow(row, on: ring, nowNs: nowNs)
      }
    } while job.hasMoving
  }

  private var isServing: Bool { isSending || isLastOrders && duty.maySendAgain }

  /// When to serve next.
  var serveNs: UInt64 { Job.sharesConnections && isServing ? job.nextUserNs : .max }

  /// The same as `releaseIterations`, for users without connections.
  private mutating func releaseToUsers(nowNs: UInt64) {
    let sinceStartNs = nowNs &- log.startNs
    while duty.pacer.nextDueNs <= sinceStartNs {
      guard let user = job.takeIdle() else {
        while let dueNs = duty.pacer.take(nowNs: sinceStartNs) {
          log.iterationsDropped(scheduledNs: log.startNs &+ dueNs, count: 1)
        }
        return
      }
      guard let dueNs = duty.pacer.take(nowNs: sinceStartNs) else {
        return job.giveBack(idle: user)
      }
      job.arrive(idle: user, scheduledNs: log.startNs &+ dueNs)
    }
  }

  // MARK: Coming and going

  private func iterationEnded(_ end: Iteration, nowNs: UInt64) {
    if !end.hasSent { log.iterationBegan(startNs: end.startNs) }
    log.iterationEnded(startNs: end.startNs, nowNs: nowNs, isAbandoned: end.isAbandoned)
  }

  /// Gives what is due to users that wait; what finds none is dropped.
  mutating func releaseIterations(on ring: borrowing Ring, nowNs: UInt64) {
    guard !Job.sharesConnections else { return releaseToUsers(nowNs: nowNs) }
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
    guard !Job.sharesConnections else { return job.admit(count) }
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
    if Job.sharesConnections { job.dismissAll() }
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

  /// False when the request is not sent.
  private mutating func send(
    _ request: UserRequest, _ row: Int, on ring: borrowing Ring, nowNs: UInt64
  ) -> Bool {
    var scheduledNs = request.scheduledNs ?? nowNs
    if request.scheduledNs != nil {
      // Past the end only what was due before it begins.
      guard isLastOrders || !log.isStopped || request.isArrival else {
        job.park(row)
        return false
      }
    } else if !isLastOrders {
      // Without one the load is over for this connection.
      guard let dueNs = duty.pacer.take(nowNs: nowNs &- log.startNs) else {
        job.park(row)
        return false
      }
      scheduledNs = log.startNs &+ dueNs
    }
    // The wait for a connection is part of the response time.
    if Job.sharesConnections { scheduledNs = request.waitsSinceNs }
    let buffer = unsafe Line.seals ? scratch : outgoing.take(row)
    guard let byteCount = unsafe job.render(row, into: buffer, nowNs: nowNs) else {
      outgoing.giveBack(row)
      log.dropped(scheduledNs: nowNs, count: 1, endpoint: request.endpoint)
      let untilNs = nowNs &+ Self.unsendablePauseNs
      job.rest(row, untilNs: untilNs)
      job.failed(row)
      wheel.set(row, deadlineNs: Job.sharesConnections ? .max : untilNs)
      return false
    }
    let flight = Flight(
      scheduledNs: scheduledNs, sentNs: nowNs, endsNs: nowNs &+ request.timeoutNs,
      endpoint: request.endpoint)
    _ = flights.append(flight, to: &rows[row].flights, of: row)
    if request.expectsNoBody { rows[row].talk.expect(noBody: true) }
    log.sent(
      scheduledNs: scheduledNs, byteCount: byteCount,
      ownLagNs: (Job.sharesConnections ? request.readyNs : nowNs) &- scheduledNs, nowNs: nowNs,
      endpoint: request.endpoint)
    if request.thoughtUntilNs > 0 {
      log.thought(
        lateNs: (Job.sharesConnections ? request.readyNs : nowNs) &- request.thoughtUntilNs)
    }
    if let startNs = job.sent(row, nowNs: nowNs) { log.iterationBegan(startNs: startNs) }
    rows[row].requestsLeft &-= 1
    inFlightCount &+= 1
    sentCount &+= 1
    // One that is sooner looks again when it comes.
    if wheel.deadlineNs(row) > flight.endsNs { wheel.set(row, deadlineNs: flight.endsNs) }
    unsafe transmit(
      row, UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<byteCount]),
      on: ring, nowNs: nowNs)
    return true
  }
}
