internal import CSquall
internal import Glibc
internal import SquallEngine
internal import SquallHTTP
internal import SquallLoad
internal import SquallScenario

/// Requests out, responses in.
extension ConnectionTable {
  /// The longest a request may stay in flight, in nanoseconds.
  var patienceNs: UInt64 { min(plan.timeoutNs, plan.deadlineNs) }

  /// Gives a connection that can take one its next requests, or queues it for the pacer.
  @inline(__always)
  mutating func offer(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    if isSurplus(row) {
      if unsafe connections[row].inFlight == 0 { retire(row, on: ring) }
      return
    }
    guard isSending else { return }
    guard !isScripted else { return follow(row, on: ring, nowNs: nowNs) }
    fill(row, on: ring, nowNs: nowNs)
    if isOpenLoop { queue(row) }
  }

  /// Puts a connection with room into the queue of the open loop.
  mutating func queue(_ row: Int) {
    guard unsafe !connections[row].isIdle, canTake(row) else { return }
    unsafe connections[row].isIdle = true
    idle.append(UInt32(truncatingIfNeeded: row))
  }

  @inline(__always)
  func canTake(_ row: Int) -> Bool {
    unsafe connections[row].state == .ready && connections[row].inFlight < pipeline
      && connections[row].requestsLeft > 0 && !connections[row].isSending
  }

  /// Sends as many requests on this connection as are due and as it has room for, in one send.
  @inline(__always)
  mutating func fill(
    _ row: Int, on ring: borrowing Ring, nowNs: UInt64, countMax: UInt32 = .max
  ) {
    guard canTake(row), inFlightCount < inFlightLimit else { return }
    let connection = unsafe connections + row
    let room = unsafe min(pipeline &- connection.pointee.inFlight, connection.pointee.requestsLeft)
    var count: UInt32 = 0
    let sinceStartNs = nowNs &- log.startNs
    while count < min(room, countMax), let scheduledNs = pacer.take(nowNs: sinceStartNs) {
      var place = unsafe connection.pointee.oldest &+ connection.pointee.inFlight &+ count
      if place >= pipeline { place &-= pipeline }
      unsafe flights[row &* Int(pipeline) &+ Int(place)] = Flight(
        scheduledNs: log.startNs &+ scheduledNs, sentNs: nowNs)
      log.sent(
        scheduledNs: log.startNs &+ scheduledNs, byteCount: requestByteCount,
        ownLagNs: max(scheduledNs, min(sinceStartNs, blockedSinceNs)) &- scheduledNs, nowNs: nowNs)
      count &+= 1
    }
    guard count > 0 else { return }
    unsafe connection.pointee.inFlight &+= count
    unsafe connection.pointee.requestsLeft &-= count
    inFlightCount &+= Int(count)
    sentCount &+= UInt64(count)
    if plan.deadlineNs != .max { watchDeadline(row) }
    let bytes = unsafe UnsafeRawBufferPointer(
      rebasing: UnsafeRawBufferPointer(requests)[0..<Int(count) &* requestByteCount])
    unsafe connection.pointee.isSending = !sendsSilently
    unsafe ring.send(
      slot: UInt32(truncatingIfNeeded: row), bytes: bytes, isSilent: sendsSilently,
      token: token(.send, row))
  }

  /// A send completed: silent ones only when they failed.
  mutating func sent(
    _ row: Int, _ completion: Completion, on ring: borrowing Ring, nowNs: UInt64
  ) {
    unsafe connections[row].isSending = false
    if completion.result >= 0 {
      offer(row, on: ring, nowNs: nowNs)
    } else if completion.result == -EPIPE || completion.result == -ECONNRESET {
      // An early answer may still be waiting to be read (RFC 9112 section 9.5); the receive ends it.
      unsafe connections[row].sendFailed = true
      if unsafe !connections[row].isReceiving { fail(row, .send, on: ring, nowNs: nowNs) }
    } else {
      fail(row, .send, on: ring, nowNs: nowNs)
    }
  }

  @inline(__always)
  mutating func received(
    _ row: Int, _ completion: Completion, on ring: borrowing Ring, nowNs: UInt64
  ) {
    if completion.result > 0, let buffer = completion.buffer {
      unsafe connections[row].isReceiving = completion.hasMore
      unsafe read(
        row, ring.bytes(buffer, count: completion.result), on: ring, nowNs: nowNs)
      return
    }
    unsafe connections[row].isReceiving = false
    switch -completion.result {
    case 0: peerClosed(row, on: ring, nowNs: nowNs)
    // All buffers were full this turn; they are free by the next.
    case ENOBUFS: receive(row, on: ring)
    default: fail(row, .reset, on: ring, nowNs: nowNs)
    }
  }

  @inline(__always)
  private mutating func read(
    _ row: Int, _ bytes: UnsafeRawBufferPointer, on ring: borrowing Ring, nowNs: UInt64
  ) {
    let connection = unsafe connections + row
    log.received(byteCount: bytes.count, endpoint: unsafe connection.pointee.endpoint)
    var rest = unsafe bytes
    while rest.count > 0 {
      guard unsafe connection.pointee.inFlight > 0 else {
        // Bytes nobody asked for: whatever follows on this connection is no answer of ours.
        unsafe noteStray(row, rest)
        return reopen(row, on: ring, nowNs: nowNs)
      }
      if unsafe !connection.pointee.parser.hasBegun {
        unsafe connection.pointee.firstByteNs = nowNs
      }
      switch unsafe isScripted
        ? readScripted(row, rest, nowNs: nowNs)
        : connection.pointee.parser.consume(rest)
      {
      case .needsMore:
        unsafe rest = UnsafeRawBufferPointer(rebasing: rest[rest.count...])
      case .complete(let consumedByteCount):
        if let cause = complete(row, nowNs: nowNs) {
          return fail(row, cause, on: ring, nowNs: nowNs)
        }
        guard unsafe connection.pointee.parser.keepAlive, unsafe !isSpent(connection.pointee)
        else {
          return replace(row, on: ring, nowNs: nowNs)
        }
        unsafe connection.pointee.parser.reset(expectsNoBody: expectsNoBody)
        unsafe rest = UnsafeRawBufferPointer(rebasing: rest[consumedByteCount...])
      case .malformed(let reason):
        return unsafe failMalformed(row, reason, rest, on: ring, nowNs: nowNs)
      }
    }
    if unsafe !connection.pointee.isReceiving { receive(row, on: ring) }
    offer(row, on: ring, nowNs: nowNs)
  }

  /// All requests this connection may carry are sent and answered.
  private func isSpent(_ connection: Connection) -> Bool {
    connection.requestsLeft == 0 && connection.inFlight == 0
  }

  /// The oldest request in flight was answered: nil, or why that does not count, as when its time was
  /// over and the wheel had not come to it yet.
  @inline(__always)
  private mutating func complete(_ row: Int, nowNs: UInt64) -> ErrorCause? {
    if let cause = expiredCause(row, nowNs: nowNs) { return cause }
    let connection = unsafe connections + row
    let flight = unsafe flights[row &* Int(pipeline) &+ Int(connection.pointee.oldest)]
    let isGood = !isScripted || judge(row, flight, nowNs: nowNs)
    let isOk = log.completed(
      flight, status: unsafe connection.pointee.parser.status,
      bodyByteCount: unsafe connection.pointee.parser.bodyByteCount,
      firstByteNs: unsafe connection.pointee.firstByteNs, nowNs: nowNs,
      endpoint: unsafe connection.pointee.endpoint, isGood: isGood)
    if isOk { unsafe connection.pointee.okCount &+= 1 }
    dropOldest(row)
    unsafe connection.pointee.failures = 0
    return nil
  }

  @inline(__always)
  private mutating func dropOldest(_ row: Int) {
    let connection = unsafe connections + row
    let next = unsafe connection.pointee.oldest &+ 1
    unsafe connection.pointee.oldest = next == pipeline ? 0 : next
    unsafe connection.pointee.inFlight &-= 1
    inFlightCount &-= 1
  }

  /// The connection ends with the response just read: what was sent behind it will not be answered.
  private mutating func replace(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    failFlights(row, first: .closed)
    reopen(row, on: ring, nowNs: nowNs)
  }

  private mutating func peerClosed(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    guard unsafe connections[row].inFlight > 0 else {
      // A server may close an idle connection at any time (RFC 9112 section 9.8). One that never
      // answered on it is given a pause.
      return reopen(row, on: ring, nowNs: nowNs)
    }
    let hadBegun = unsafe connections[row].parser.hasBegun
    if case .complete = unsafe connections[row].parser.finish() {
      if let cause = complete(row, nowNs: nowNs) {
        return fail(row, cause, on: ring, nowNs: nowNs)
      }
      return replace(row, on: ring, nowNs: nowNs)
    }
    let cause: ErrorCause = unsafe connections[row].sendFailed && !hadBegun ? .send : .closed
    fail(row, cause, on: ring, nowNs: nowNs)
  }

  /// Gives the connection up: `cause` is what became of its oldest request, the ones behind it were
  /// closed with it.
  mutating func fail(_ row: Int, _ cause: ErrorCause, on ring: borrowing Ring, nowNs: UInt64) {
    noteEnd(row, cause)
    failFlights(row, first: cause)
    reopen(row, on: ring, nowNs: nowNs)
  }

  private mutating func failFlights(_ row: Int, first: ErrorCause) {
    var cause = first
    while unsafe connections[row].inFlight > 0 {
      let flight = unsafe flights[row * Int(pipeline) + Int(connections[row].oldest)]
      log.failed(flight, cause, endpoint: unsafe connections[row].endpoint)
      if isScripted {
        machine.failed(row)
        outgoing.giveBack(row)
      }
      dropOldest(row)
      cause = .closed
    }
  }

  /// The oldest request's answer cannot be read: so it is with all that follows on the connection.
  private mutating func failMalformed(
    _ row: Int, _ reason: Malformation, _ bytes: UnsafeRawBufferPointer, on ring: borrowing Ring,
    nowNs: UInt64
  ) {
    let flight = unsafe flights[row * Int(pipeline) + Int(connections[row].oldest)]
    let endpoint = unsafe connections[row].endpoint
    fail(row, .parse, on: ring, nowNs: nowNs)
    // After the error: a kill between the two must not leave more reasons than errors.
    log.malformed(flight, reason.rawValue, endpoint: endpoint)
    if reason.isOfStart { log.keep(.strangeStart, bytes) }
  }

  /// Answers that this connection has brought since it was opened.
  private func answerCount(_ row: Int) -> UInt32 {
    let quota = plan.requestsPerConnection == 0 ? UInt32.max : plan.requestsPerConnection
    return unsafe quota - connections[row].requestsLeft - connections[row].inFlight
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

  /// What explains the end of a connection with requests in flight, besides its cause.
  private func noteEnd(_ row: Int, _ cause: ErrorCause) {
    guard unsafe connections[row].inFlight > 0 else { return }
    let hasBegun = unsafe connections[row].parser.hasBegun
    switch cause {
    case .timeout, .deadline:
      if hasBegun { log.found(.lateInAnswer) }
    case .closed, .reset, .send:
      let answerCount = UInt64(answerCount(row))
      if hasBegun {
        log.found(.cutShort)
        log.found(.cutShortByteCount, unsafe connections[row].parser.bodyByteCount)
      } else if answerCount > 0 {
        log.found(.reuseClosed)
        log.found(.answersBeforeClose, answerCount)
        log.found(.answersBeforeCloseSquared, answerCount * answerCount)
      }
    case .connect, .parse, .status, .tls, .check, .other: break
    }
  }
}
