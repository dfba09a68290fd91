internal import SquallEngine
internal import SquallHTTP
internal import SquallLoad
internal import SquallScenario

/// Connections that belong to users, or that users take turns on.
extension Connections where Job: ~Copyable, Talk: ~Copyable, Line: ~Copyable {
  /// After a request that could not be rendered a user rests this long.
  private static var unsendablePauseNs: UInt64 { 1_000_000 }

  /// Lets the row's user do what comes next: send, rest, or leave.
  ///
  /// - Parameter countMax: requests sent at most, where the connection carries several.
  mutating func follow(
    _ row: Int, on ring: borrowing Ring, nowNs: UInt64, countMax: Int = .max
  ) {
    guard room(row) > 0 else { return }
    if Job.sharesConnections {
      advanceUsers(on: ring, nowNs: nowNs)
      guard mayServe else { return queue(row) }
    }
    var output = unsafe OutgoingBytes(Talk.composes ? composeBuffer(row) : none)
    var (count, isWaiting, isLeaving) = (0, false, false)
    sending: while count < countMax, room(row) > 0,
      !Talk.composes || rows[row].talk.fits(output, common: common)
    {
      switch job.next(lane(row, rows[row].flights.nextPlace), nowNs: nowNs) {
      case .send(let request):
        if send(request, row, into: &output, on: ring, nowNs: nowNs) { count += 1 }
        // One that is its user's has nobody else.
        if !Job.sharesConnections { break sending }
      case .rest(let untilNs):
        wheel.set(row, deadlineNs: untilNs)
        break sending
      case .wait:
        isWaiting = true
        break sending
      case .leave:
        isLeaving = true
        break sending
      case .iterationEnded(let end): iterationEnded(end, nowNs: nowNs)
      }
    }
    if Talk.composes { finish(row, &output, on: ring, nowNs: nowNs) }
    if isWaiting { queue(row) }
    if isLeaving { retire(row, on: ring) }
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
        guard room(row) > 0 else {
          // It was closed while it was free.
          reuse(row, nowNs: nowNs)
          continue
        }
        follow(row, on: ring, nowNs: nowNs, countMax: fairCount)
      }
    } while job.hasMoving
  }

  /// Requests of those who wait that one of the connections takes, so that all have some.
  private var fairCount: Int {
    Talk.composes ? max(1, (job.waitingCount + readyCount - 1) / max(1, readyCount)) : 1
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
      guard room(row) > 0, job.isWaiting(row) else { continue }
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

  /// Puts one request on its way. False when it is not sent.
  private mutating func send(
    _ request: UserRequest, _ row: Int, into output: inout OutgoingBytes, on ring: borrowing Ring,
    nowNs: UInt64
  ) -> Bool {
    let lane = lane(row, rows[row].flights.nextPlace)
    var scheduledNs = request.scheduledNs ?? nowNs
    if request.scheduledNs != nil {
      // Past the end only what was due before it begins.
      guard isLastOrders || !log.isStopped || request.isArrival else {
        job.park(lane)
        return false
      }
    } else if !isLastOrders {
      // Without one the load is over for this connection.
      guard let dueNs = duty.pacer.take(nowNs: nowNs &- log.startNs) else {
        job.park(lane)
        return false
      }
      scheduledNs = log.startNs &+ dueNs
    }
    // The wait for a connection is part of the response time.
    if Job.sharesConnections { scheduledNs = request.waitsSinceNs }
    var flight = Flight(
      scheduledNs: scheduledNs, sentNs: nowNs, endsNs: nowNs &+ request.timeoutNs,
      endpoint: request.endpoint)
    guard
      let bytes = unsafe render(request, row, lane, &flight, into: &output, nowNs: nowNs)
    else {
      giveUp(request, row, lane, nowNs: nowNs)
      return false
    }
    _ = flights.append(flight, to: &rows[row].flights, of: row)
    if request.expectsNoBody { rows[row].talk.expect(noBody: true) }
    log.sent(
      scheduledNs: scheduledNs,
      byteCount: Talk.composes ? rows[row].talk.putByteCount : bytes.count,
      ownLagNs: (Job.sharesConnections ? request.readyNs : nowNs) &- scheduledNs, nowNs: nowNs,
      endpoint: request.endpoint)
    if request.thoughtUntilNs > 0 {
      log.thought(
        lateNs: (Job.sharesConnections ? request.readyNs : nowNs) &- request.thoughtUntilNs)
    }
    if let startNs = job.sent(lane, nowNs: nowNs) { log.iterationBegan(startNs: startNs) }
    rows[row].requestsLeft &-= 1
    inFlightCount &+= 1
    sentCount &+= 1
    // One that is sooner looks again when it comes.
    if wheel.deadlineNs(row) > flight.endsNs { wheel.set(row, deadlineNs: flight.endsNs) }
    if !Talk.composes { unsafe transmit(row, bytes, on: ring, nowNs: nowNs) }
    return true
  }

  /// The rendered bytes; nil when the request cannot be sent. Where it is composed of them, it stands in
  /// `output`, and the flight knows what it needs to be sent again.
  @inline(__always)
  private mutating func render(
    _ request: UserRequest, _ row: Int, _ lane: Int, _ flight: inout Flight,
    into output: inout OutgoingBytes, nowNs: UInt64
  ) -> UnsafeRawBufferPointer? {
    guard Talk.composes else {
      let buffer = unsafe Line.seals ? scratch : outgoing.take(row)
      guard let byteCount = unsafe job.render(lane, into: buffer, nowNs: nowNs) else { return nil }
      return unsafe UnsafeRawBufferPointer(
        rebasing: UnsafeRawBufferPointer(buffer)[..<byteCount])
    }
    let buffer = unsafe renderings.take(lane)
    guard let byteCount = unsafe job.render(lane, into: buffer, nowNs: nowNs) else { return nil }
    let rendered = unsafe UnsafeRawBufferPointer(
      rebasing: UnsafeRawBufferPointer(buffer)[..<byteCount])
    let traits = AnswerTraits(
      expectsNoBody: request.expectsNoBody, isRead: job.readsAnswer(lane))
    guard
      let key = unsafe rows[row].talk.put(
        rendered, tag: UInt32(truncatingIfNeeded: rows[row].flights.nextPlace), traits: traits,
        common: common, into: &output)
    else { return nil }
    flight.key = key
    flight.renderedByteCount = UInt32(truncatingIfNeeded: byteCount)
    flight.expectsNoBody = request.expectsNoBody
    return unsafe rendered
  }

  /// A request that cannot be sent: its user goes on after a pause.
  private mutating func giveUp(
    _ request: UserRequest, _ row: Int, _ lane: Int, nowNs: UInt64
  ) {
    if Talk.composes { renderings.giveBack(lane) } else { outgoing.giveBack(row) }
    log.dropped(scheduledNs: nowNs, count: 1, endpoint: request.endpoint)
    let untilNs = nowNs &+ Self.unsendablePauseNs
    job.rest(lane, untilNs: untilNs)
    job.failed(lane)
    if !Job.sharesConnections {
      wheel.set(row, deadlineNs: untilNs)
    } else if rows[row].flights.isEmpty {
      wheel.set(row, deadlineNs: .max)
    }
  }

  /// Sends again what a connection before has left, as it was rendered.
  mutating func sendOwed(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    guard isSending || duty.maySendAgain, room(row) > 0 else { return }
    var output = unsafe OutgoingBytes(composeBuffer(row))
    var next: Int? = rows[row].flights.oldest
    while let place = next, room(row) > 0, rows[row].talk.fits(output, common: common) {
      next = flights.next(after: place, of: row)
      guard isOwed(row, place) else { continue }
      let lane = lane(row, place)
      let flight = flights[row, place]
      let rendered = unsafe UnsafeRawBufferPointer(
        rebasing: UnsafeRawBufferPointer(renderings.buffer(of: lane))[
          ..<Int(flight.renderedByteCount)])
      let traits = AnswerTraits(
        expectsNoBody: flight.expectsNoBody, isRead: job.readsAnswer(lane))
      guard
        let key = unsafe rows[row].talk.put(
          rendered, tag: UInt32(truncatingIfNeeded: place), traits: traits, common: common,
          into: &output)
      else { preconditionFailure("a request that was sent cannot be sent again") }
      flights[row, place].key = key
      flights[row, place].sentNs = nowNs
      flights[row, place].endsNs = nowNs &+ (flight.endsNs &- flight.sentNs)
      rows[row].owedCount &-= 1
      rows[row].requestsLeft &-= 1
    }
    finish(row, &output, on: ring, nowNs: nowNs)
    let endNs = flights.earliestEndNs(of: rows[row].flights, row)
    if wheel.deadlineNs(row) > endNs { wheel.set(row, deadlineNs: endNs) }
  }

  /// Sends what was composed, if anything was.
  private mutating func finish(
    _ row: Int, _ output: inout OutgoingBytes, on ring: borrowing Ring, nowNs: UInt64
  ) {
    rows[row].talk.write(into: &output)
    guard output.byteCount > 0 else { return outgoing.giveBack(row) }
    unsafe transmit(row, composed(row, output.byteCount), on: ring, nowNs: nowNs)
  }
}
