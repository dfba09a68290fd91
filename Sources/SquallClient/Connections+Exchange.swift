internal import Glibc
internal import SquallEngine
internal import SquallHTTP
internal import SquallLoad

/// Requests out, answers in.
extension Connections where Job: ~Copyable, Talk: ~Copyable, Line: ~Copyable {
  /// The longest a request may stay in flight, in nanoseconds.
  var patienceNs: UInt64 { min(plan.times.timeoutNs, plan.times.deadlineNs) }

  /// Gives a connection that can take one its next requests, or queues it for the pacer.
  @inline(__always)
  mutating func offer(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    if claims && rows[row].owedCount > 0 { sendOwed(row, on: ring, nowNs: nowNs) }
    if isSurplus(row) {
      if rows[row].flights.isEmpty { retire(row, on: ring) }
      return
    }
    guard isSending || (unprocessed.count > 0 || isLastOrders) && duty.maySendAgain else { return }
    if Line.seals { sayWhatIsLong(row, on: ring) }
    guard !Job.hasUsers else { return follow(row, on: ring, nowNs: nowNs) }
    fill(row, on: ring, nowNs: nowNs)
    if isOpenLoop { queue(row) }
  }

  /// Puts a connection with room into the queue of the open loop.
  mutating func queue(_ row: Int) {
    guard !rows[row].isIdle, room(row) > 0 else { return }
    rows[row].isIdle = true
    if Job.sharesConnections { job.free(row) } else { idle.append(row) }
  }

  /// Requests that the connection takes now.
  @inline(__always)
  func room(_ row: Int, inBatches: Bool = false) -> UInt32 {
    guard rows[row].state == .ready, !rows[row].isSending else { return 0 }
    return min(
      rows[row].talk.room(
        depth: depth, inFlight: rows[row].flights.count, inBatches: inBatches),
      rows[row].requestsLeft)
  }

  /// Sends as many requests on this connection as are due and as it has room for, in one send.
  @inline(__always)
  mutating func fill(
    _ row: Int, on ring: borrowing Ring, nowNs: UInt64, countMax: UInt32 = .max
  ) {
    let room = min(room(row, inBatches: !isOpenLoop), countMax)
    guard room > 0, inFlightCount < inFlightLimit else { return }
    var output = unsafe OutgoingBytes(Talk.composes ? composeBuffer(row) : none)
    var count: UInt32 = 0
    let sinceStartNs = nowNs &- log.startNs
    while count < room, !Talk.composes || rows[row].talk.fits(output, common: common) {
      let scheduledNs: UInt64
      let isNew = unprocessed.count == 0
      if isNew {
        guard isSending, let dueNs = duty.pacer.take(nowNs: sinceStartNs) else { break }
        scheduledNs = log.startNs &+ dueNs
      } else if let owedNs = unprocessed.popFirst() {
        scheduledNs = owedNs
      } else {
        break
      }
      let place = flights.append(
        Flight(
          scheduledNs: scheduledNs, sentNs: nowNs, endsNs: endNs(scheduledNs, sentNs: nowNs),
          endpoint: 0), to: &rows[row].flights, of: row)
      var byteCount = requestByteCount
      if Talk.composes {
        let key = rows[row].talk.put(
          tag: UInt32(truncatingIfNeeded: place), common: common, into: &output)
        byteCount = rows[row].talk.putByteCount
        flights[row, place].key = key
      }
      count &+= 1
      guard isNew else { continue }
      let dueNs = scheduledNs &- log.startNs
      log.sent(
        scheduledNs: scheduledNs, byteCount: byteCount,
        ownLagNs: max(dueNs, min(sinceStartNs, blockedSinceNs)) &- dueNs, nowNs: nowNs)
      sentCount &+= 1
    }
    guard count > 0 else {
      if Talk.composes { outgoing.giveBack(row) }
      return
    }
    rows[row].requestsLeft &-= count
    inFlightCount &+= Int(count)
    if plan.times.deadlineNs != .max {
      // A deadline counts from the scheduled instant, so a late send's comes sooner than the wheel
      // was told.
      wheel.set(row, deadlineNs: flights.earliestEndNs(of: rows[row].flights, row))
    }
    guard Talk.composes else {
      return unsafe transmit(
        row,
        UnsafeRawBufferPointer(
          rebasing: UnsafeRawBufferPointer(requests)[0..<Int(count) &* requestByteCount]),
        on: ring, nowNs: nowNs)
    }
    rows[row].talk.write(into: &output)
    unsafe transmit(row, composed(row, output.byteCount), on: ring, nowNs: nowNs)
  }

  /// When a request runs out of time.
  @inline(__always)
  private func endNs(_ scheduledNs: UInt64, sentNs: UInt64) -> UInt64 {
    let timeoutNs = sentNs &+ plan.times.timeoutNs
    return plan.times.deadlineNs == .max
      ? timeoutNs : min(timeoutNs, scheduledNs &+ plan.times.deadlineNs)
  }

  // MARK: - Bytes out

  var none: UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
  }

  /// Where bytes are written that are sealed afterwards, or that go as they are.
  mutating func composeBuffer(_ row: Int) -> UnsafeMutableRawBufferPointer {
    unsafe Line.seals ? scratch : outgoing.take(row)
  }

  func composed(_ row: Int, _ byteCount: Int) -> UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(
      rebasing: (Line.seals ? scratch : outgoing.buffer(of: row))[..<byteCount])
  }

  /// Sends bytes that stay in place until they are answered, or seals and sends them.
  @inline(__always)
  mutating func transmit(
    _ row: Int, _ plain: UnsafeRawBufferPointer, on ring: borrowing Ring, nowNs: UInt64
  ) {
    var bytes = unsafe plain
    if Line.seals {
      let buffer = unsafe outgoing.take(row)
      let byteCount = unsafe line.seal(row, plain, into: buffer)
      guard byteCount > 0 else { return lineFailed(row, otherwise: .other, on: ring, nowNs: nowNs) }
      unsafe bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<byteCount])
    }
    rows[row].isSending = !sendsSilently
    unsafe ring.send(
      slot: UInt32(truncatingIfNeeded: row), bytes: bytes, isSilent: sendsSilently,
      token: token(.send, row))
  }

  /// Sends what the dialect or the wire has to say besides requests.
  mutating func flush(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    guard Talk.composes || Line.seals, rows[row].state == .ready, !rows[row].isSending else {
      return
    }
    if Talk.composes && rows[row].talk.hasOutput {
      var output = unsafe OutgoingBytes(composeBuffer(row))
      rows[row].talk.write(into: &output)
      guard output.byteCount == 0 else {
        return unsafe transmit(row, composed(row, output.byteCount), on: ring, nowNs: nowNs)
      }
      outgoing.giveBack(row)
    }
    if Line.seals { sayOfLine(row, on: ring) }
  }

  /// A send completed: silent ones only when they failed.
  mutating func sent(
    _ row: Int, _ completion: Completion, on ring: borrowing Ring, nowNs: UInt64
  ) {
    rows[row].isSending = false
    if completion.result >= 0 {
      if !sendsSilently { outgoing.giveBack(row) }
      if Line.seals && lineHasSaid(row, on: ring) { return }
      offer(row, on: ring, nowNs: nowNs)
      flush(row, on: ring, nowNs: nowNs)
    } else if completion.result == -EPIPE || completion.result == -ECONNRESET {
      // An early answer may still be waiting to be read (RFC 9112 section 9.5); the receive ends it.
      rows[row].sendFailed = true
      if !rows[row].isReceiving { fail(row, .send, on: ring, nowNs: nowNs) }
    } else {
      fail(row, .send, on: ring, nowNs: nowNs)
    }
  }

  // MARK: - Bytes in

  @inline(__always)
  mutating func received(
    _ row: Int, _ completion: Completion, on ring: borrowing Ring, nowNs: UInt64
  ) {
    if completion.result > 0, let buffer = completion.buffer {
      rows[row].isReceiving = completion.hasMore
      unsafe take(row, ring.bytes(buffer, count: completion.result), on: ring, nowNs: nowNs)
      return
    }
    rows[row].isReceiving = false
    switch -completion.result {
    case 0: peerClosed(row, on: ring, nowNs: nowNs)
    // All buffers were full this turn; they are free by the next.
    case ENOBUFS: receive(row, on: ring)
    default: fail(row, .reset, on: ring, nowNs: nowNs)
    }
  }

  /// Takes bytes off the wire. In a handshake they only make its next step due.
  @inline(__always)
  mutating func take(
    _ row: Int, _ bytes: UnsafeMutableRawBufferPointer, on ring: borrowing Ring, nowNs: UInt64
  ) {
    if !claims {
      let endpoint = rows[row].flights.isEmpty ? 0 : flights[row, rows[row].flights.oldest].endpoint
      log.received(byteCount: bytes.count, endpoint: endpoint)
    } else if !Line.seals {
      rows[row].talk.arrived(byteCount: bytes.count)
    }
    var rest = unsafe bytes
    taking: while true {
      let sealedByteCount = rest.count
      let arrival = unsafe line.take(row, &rest)
      if claims && Line.seals {
        rows[row].talk.arrived(byteCount: sealedByteCount &- rest.count)
      }
      switch arrival {
      case .bytes(let plain):
        guard unsafe read(row, plain, on: ring, nowNs: nowNs) else { return }
        if !Line.seals { break taking }
      case .needsMore: break taking
      case .stepIsDue:
        queueHandshake(row)
        break taking
      case .secured: break taking
      case .closed: return peerClosed(row, on: ring, nowNs: nowNs)
      case .failed: return lineFailed(row, otherwise: .other, on: ring, nowNs: nowNs)
      }
    }
    if !rows[row].isReceiving { receive(row, on: ring) }
    if Line.seals && rows[row].state != .ready { return }
    offer(row, on: ring, nowNs: nowNs)
    flush(row, on: ring, nowNs: nowNs)
  }

  /// Bytes that come are counted under the name of what they answer, which the dialect says.
  @inline(__always)
  var claims: Bool { Job.hasUsers && !Talk.isOrdered }

  /// Counts bytes that came, up to those ahead, as some request's.
  @inline(__always)
  private func claim(_ row: Int, for place: Int, ahead: Int) {
    guard claims else { return }
    log.received(
      byteCount: rows[row].talk.claim(ahead: ahead), endpoint: flights[row, place].endpoint)
  }

  /// Counts bytes that belong to no answer, at the connection's end.
  func claimRest(_ row: Int) {
    guard claims else { return }
    let byteCount = rows[row].talk.claim(ahead: 0)
    if byteCount > 0 { log.received(byteCount: byteCount, endpoint: 0) }
  }

  /// Reads answers. False when the connection was given up.
  @inline(__always)
  mutating func read(
    _ row: Int, _ bytes: UnsafeRawBufferPointer, on ring: borrowing Ring, nowNs: UInt64
  ) -> Bool {
    var rest = unsafe bytes
    let connection = unsafe rows.place(row)
    while true {
      if Talk.isOrdered {
        guard rest.count > 0 else { return true }
        guard !rows[row].flights.isEmpty else {
          // Bytes nobody asked for: whatever follows on this connection is no answer of ours.
          unsafe noteStray(row, rest)
          reopen(row, on: ring, nowNs: nowNs)
          return false
        }
        if !rows[row].talk.hasBegun {
          flights[row, rows[row].flights.oldest].firstByteNs = nowNs
          if !Talk.composes && !Job.hasUsers && !hasFirstHead {
            hasFirstHead = unsafe FirstHead.keep(of: rest, answering: requests, in: log)
          }
        }
      }
      let before = unsafe rest
      let event = unsafe job.read(
        row, &rest, talk: &connection.pointee.talk, common: &common, nowNs: nowNs)
      switch event {
      case .needsMore: return true
      case .answered(let tag, let status, let bodyByteCount, let isLast):
        claim(row, for: place(row, tag), ahead: rest.count)
        if let cause = answered(
          row, place(row, tag), status: status, bodyByteCount: bodyByteCount, nowNs: nowNs)
        {
          fail(row, cause, on: ring, nowNs: nowNs)
          return false
        }
        if isLast || isSpent(row) {
          replace(row, on: ring, nowNs: nowNs)
          return false
        }
      case .begun(let tag):
        claim(row, for: Int(tag), ahead: rest.count)
        if flights[row, Int(tag)].firstByteNs == 0 { flights[row, Int(tag)].firstByteNs = nowNs }
        if Job.hasUsers { takeFields(row, Int(tag), nowNs: nowNs) }
      case .body(let tag, let piece):
        claim(row, for: Int(tag), ahead: rest.count)
        unsafe job.take(body: piece, of: lane(row, Int(tag)), nowNs: nowNs)
      case .unprocessed(let tag):
        if Job.hasUsers { owe(row, Int(tag)) } else { sendAgain(row, Int(tag)) }
        if isSpent(row) {
          reopen(row, on: ring, nowNs: nowNs)
          return false
        }
      case .refused(let tag):
        log.found(HTTP2Code.refusedStream.reset)
        if Job.hasUsers { owe(row, Int(tag)) } else { sendAgain(row, Int(tag)) }
        if isSpent(row) {
          reopen(row, on: ring, nowNs: nowNs)
          return false
        }
      case .reset(let tag, let code):
        resetByPeer(row, Int(tag), code)
        if isSpent(row) {
          reopen(row, on: ring, nowNs: nowNs)
          return false
        }
      case .goingAway(let code):
        noteGoingAway(row, code)
        if isSpent(row) {
          reopen(row, on: ring, nowNs: nowNs)
          return false
        }
      case .roomChanged: break
      case .broken(let fault, let tag):
        unsafe failBroken(
          row, fault, at: tag.map { place(row, $0) }, before, on: ring, nowNs: nowNs)
        return false
      }
    }
  }

  /// Where the flight of a tag stands.
  @inline(__always)
  private func place(_ row: Int, _ tag: UInt32) -> Int {
    Talk.isOrdered ? rows[row].flights.oldest : Int(tag)
  }

  /// Where a user's request is under way, among those of all connections.
  @inline(__always)
  func lane(_ row: Int, _ place: Int) -> Int {
    Talk.isOrdered ? row : row &* Int(depth) &+ place
  }

  private mutating func takeFields(_ row: Int, _ place: Int, nowNs: UInt64) {
    let lane = lane(row, place)
    guard job.readsAnswer(lane) else { return }
    unsafe Talk.withFieldLines(common) { lines in
      unsafe job.take(fields: lines, of: lane, nowNs: nowNs)
    }
  }

  /// All requests this connection may carry are sent and answered.
  @inline(__always)
  private func isSpent(_ row: Int) -> Bool {
    (rows[row].requestsLeft == 0 || rows[row].isLeaving)
      && rows[row].flights.count == rows[row].owedCount
  }

  /// A request was answered: nil, or why that does not count, as when its time was over and the
  /// wheel had not come to it yet.
  @inline(__always)
  private mutating func answered(
    _ row: Int, _ place: Int, status: UInt16, bodyByteCount: UInt64, nowNs: UInt64
  ) -> ErrorCause? {
    let flight = flights[row, place]
    if nowNs >= flight.endsNs {
      let cause = expiredCause(flight)
      guard !Talk.isOrdered else { return cause }
      fail(row, cause, at: place)
      return nil
    }
    let failedCheck =
      Job.hasUsers
      ? job.judge(lane(row, place), status: status, serviceNs: nowNs &- flight.sentNs) : nil
    let isOk = log.completed(
      flight, status: status, bodyByteCount: bodyByteCount, nowNs: nowNs,
      failedCheck: failedCheck, isChecked: Job.hasUsers)
    if isOk { rows[row].okCount &+= 1 }
    remove(row, place)
    rows[row].failures = 0
    return nil
  }

  /// Takes a flight out; its buffer is free when nothing else says so.
  @inline(__always)
  mutating func remove(_ row: Int, _ place: Int) {
    if Job.hasUsers && Talk.composes {
      if flights[row, place].key == 0 { rows[row].owedCount &-= 1 }
      renderings.giveBack(lane(row, place))
    }
    flights.remove(place, from: &rows[row].flights, of: row)
    inFlightCount &-= 1
    if (Job.hasUsers || Line.seals) && sendsSilently { outgoing.giveBack(row) }
  }

  // MARK: - Ends

  /// The connection ends with the answer just read. What was sent behind it was not looked at
  /// (RFC 9112 sections 9.3.2 and 9.6; RFC 9113 section 6.8), so it is sent again.
  private mutating func replace(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    // A user's request is owed, and stays its row's.
    while !Job.hasUsers, !rows[row].flights.isEmpty { sendAgain(row, rows[row].flights.oldest) }
    reopen(row, isDone: !rows[row].isLeaving, on: ring, nowNs: nowNs)
  }

  private mutating func sendAgain(_ row: Int, _ place: Int) {
    unprocessed.append(flights[row, place].scheduledNs)
    log.found(.sentAgain)
    remove(row, place)
  }

  /// Of requests that are not owed, that sent first. There is one.
  private func oldestSent(_ row: Int) -> Int {
    var place = rows[row].flights.oldest
    while isOwed(row, place), let next = flights.next(after: place, of: row) { place = next }
    return place
  }

  @inline(__always)
  func isOwed(_ row: Int, _ place: Int) -> Bool { claims && flights[row, place].key == 0 }

  /// A user's request that the peer has not looked at goes out again on the row's next connection.
  private mutating func owe(_ row: Int, _ place: Int) {
    flights[row, place].key = 0
    flights[row, place].firstByteNs = 0
    rows[row].owedCount &+= 1
    log.found(.sentAgain)
  }

  private mutating func resetByPeer(_ row: Int, _ place: Int, _ code: HTTP2Code) {
    fail(row, .reset, at: place)
    log.found(code.reset)
  }

  /// The peer ends the connection, in one step or in several of the same code (RFC 9113 section 6.8).
  private mutating func noteGoingAway(_ row: Int, _ code: HTTP2Code) {
    guard rows[row].leavingCode != code else { return }
    log.found(code.goAway)
    rows[row].leavingCode = code
  }

  private mutating func peerClosed(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    guard rows[row].state == .ready else {
      return lineFailed(row, otherwise: .closed, on: ring, nowNs: nowNs)
    }
    guard rows[row].flights.count > rows[row].owedCount else {
      // A server may close an idle connection at any time (RFC 9112 section 9.8). One that never
      // answered on it is given a pause.
      return reopen(row, on: ring, nowNs: nowNs)
    }
    let hadBegun = rows[row].talk.hasBegun
    let end = rows[row].talk.ended(isCut: !line.wasAnnounced(row))
    if case .answered(let tag, let status, let bodyByteCount, _) = end {
      if let cause = answered(
        row, place(row, tag), status: status, bodyByteCount: bodyByteCount, nowNs: nowNs)
      {
        return fail(row, cause, on: ring, nowNs: nowNs)
      }
      return replace(row, on: ring, nowNs: nowNs)
    }
    let cause: ErrorCause = rows[row].sendFailed && !hadBegun ? .send : .closed
    fail(row, cause, on: ring, nowNs: nowNs)
  }

  /// Gives the connection up: `cause` is what became of the request at `place`, or of its oldest; the
  /// others were closed with it.
  mutating func fail(
    _ row: Int, _ cause: ErrorCause, at place: Int? = nil, on ring: borrowing Ring, nowNs: UInt64
  ) {
    guard rows[row].state == .ready else {
      return lineFailed(row, otherwise: .closed, on: ring, nowNs: nowNs)
    }
    noteEnd(row, cause)
    if let place { fail(row, cause, at: place) }
    var isFirst = place == nil
    var next: Int? = rows[row].flights.isEmpty ? nil : rows[row].flights.oldest
    while let at = next {
      next = flights.next(after: at, of: row)
      guard !isOwed(row, at) else { continue }
      fail(row, isFirst ? cause : .closed, at: at)
      isFirst = false
    }
    reopen(row, on: ring, nowNs: nowNs)
  }

  mutating func fail(_ row: Int, _ cause: ErrorCause, at place: Int) {
    let flight = flights[row, place]
    log.failed(scheduledNs: flight.scheduledNs, cause, endpoint: flight.endpoint)
    if Job.hasUsers { job.failed(lane(row, place)) }
    remove(row, place)
  }

  /// No connection comes for what the row has to send again.
  mutating func failOwed(_ row: Int) {
    while rows[row].owedCount > 0 { fail(row, .closed, at: rows[row].flights.oldest) }
  }

  /// An answer cannot be read: so it is with all that follows on the connection.
  private mutating func failBroken(
    _ row: Int, _ fault: DialectEvent.Fault, at place: Int?, _ bytes: UnsafeRawBufferPointer,
    on ring: borrowing Ring, nowNs: UInt64
  ) {
    guard rows[row].flights.count > rows[row].owedCount else {
      return reopen(row, on: ring, nowNs: nowNs)
    }
    let place = place ?? oldestSent(row)
    let flight = flights[row, place]
    fail(row, .parse, at: place, on: ring, nowNs: nowNs)
    // After the error: a kill between the two must not leave more reasons than errors.
    log.malformed(flight, fault.number)
    if fault.isOfStart { log.keep(.strangeStart, bytes) }
  }

  /// Answers that this connection has brought since it was opened.
  private func answerCount(_ row: Int) -> UInt32 {
    let quota = plan.connections.requestsEach == 0 ? UInt32.max : plan.connections.requestsEach
    return quota - rows[row].requestsLeft - rows[row].flights.count
  }

  /// Bytes came while nothing was in flight.
  private func noteStray(_ row: Int, _ bytes: UnsafeRawBufferPointer) {
    guard answerCount(row) > 0 else {
      log.found(.unaskedConnections)
      return log.keep(.strangeStart, bytes)
    }
    log.found(.strayConnections)
    log.found(.strayByteCount, UInt64(bytes.count))
  }

  /// Some answer has begun and not ended.
  private func hasAnswerBegun(_ row: Int) -> Bool {
    var place: Int? = rows[row].flights.oldest
    while let at = place {
      if flights[row, at].firstByteNs > 0 { return true }
      place = flights.next(after: at, of: row)
    }
    return false
  }

  /// What explains the end of a connection with requests in flight, besides its cause.
  private func noteEnd(_ row: Int, _ cause: ErrorCause) {
    guard !rows[row].flights.isEmpty else { return }
    let hasBegun = Talk.isOrdered ? rows[row].talk.hasBegun : hasAnswerBegun(row)
    switch cause {
    case .timeout, .deadline:
      if hasBegun { log.found(.lateInAnswer) }
    case .closed, .reset, .send:
      if hasBegun {
        // How much of an answer had come is known where they come one after the other.
        guard Talk.isOrdered else { return }
        log.found(.cutShort)
        log.found(.cutShortByteCount, rows[row].talk.bodyByteCount)
      } else if answerCount(row) > 0 {
        let answerCount = UInt64(answerCount(row))
        log.found(.reuseClosed)
        log.found(.answersBeforeClose, answerCount)
        log.found(.answersBeforeCloseSquared, answerCount * answerCount)
      }
    case .connect, .parse, .status, .tls, .check, .other: break
    }
  }
}
