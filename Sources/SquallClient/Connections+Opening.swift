internal import Glibc
internal import SquallEngine
internal import SquallLoad

/// How connections come, go and come back.
extension Connections where Job: ~Copyable, Talk: ~Copyable, Line: ~Copyable {
  /// A pause after the first failed opening in a row; it doubles with each, up to `restNsMax`.
  private static var restNs: UInt64 { 10_000_000 }
  private static var restNsMax: UInt64 { 1_000_000_000 }
  private static var failureCountMax: UInt8 { 8 }

  /// Opens further rows until the share's number is started, as the ramp allows.
  mutating func openWanted(on ring: borrowing Ring, allowed: Int, nowNs: UInt64) {
    let target = min(wantedCount, allowed)
    while startedCount < target && openingCount < openingLimit {
      startedCount += 1
      if rows[startedCount - 1].state == .unused {
        open(startedCount - 1, on: ring, nowNs: nowNs)
      }
    }
  }

  private var openingLimit: Int {
    max(Self.openingCountMax, isSending ? startedCount / Self.startedPerOpening : 0)
  }

  /// Opens rows that wait for it, as many as may be under way.
  mutating func openWaiting(on ring: borrowing Ring, nowNs: UInt64) {
    while waiting.count > 0, openingCount < openingLimit, let row = waiting.popFirst() {
      rows[row].isInLine = false
      guard rows[row].state == .waiting else { continue }
      rows[row].state = .unused
      if reopens(row), isOfUse(row) { open(row, on: ring, nowNs: nowNs) } else { failOwed(row) }
    }
  }

  /// Opens a row, or lets it wait its turn. A target that ends all connections, as one does that is
  /// started again, is not stormed by all of them at once.
  private mutating func openInTurn(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    guard waiting.count > 0 || openingCount >= openingLimit else {
      return open(row, on: ring, nowNs: nowNs)
    }
    rows[row].state = .waiting
    wheel.set(row, deadlineNs: .max)
    guard !rows[row].isInLine else { return }
    rows[row].isInLine = true
    waiting.append(row)
  }

  /// Takes a share's number of connections. Those too many close when nothing is in flight on them.
  mutating func want(_ count: Int, on ring: borrowing Ring) {
    precondition(
      count <= rows.count, "a share of \(count) connections in a table of \(rows.count)")
    wantedCount = count
    guard count < startedCount else { return }
    for row in count..<startedCount {
      job.forget(row)
      if rows[row].flights.isEmpty { retire(row, on: ring) }
    }
    startedCount = count
  }

  func isSurplus(_ row: Int) -> Bool { row >= wantedCount }

  /// Whether one connection more would find a request that no other is free to take. False towards
  /// the end of a number of requests; rows that are not opened again for that stay unused.
  private var hasWork: Bool {
    // One that is free may be to another origin.
    guard plan.connections.originCount == 1 else {
      return duty.pacer.quotaLeft > 0 || job.waitingCount > 0
    }
    let (owed, overflow) = duty.pacer.quotaLeft.addingReportingOverflow(
      UInt64(unprocessed.count))
    return overflow || owed > UInt64(openingCount + max(0, readyCount - inFlightCount))
  }

  /// Whether a connection that ended may be wanted again.
  private func reopens(_ row: Int) -> Bool {
    if rows[row].owedCount > 0 { return !log.isStopped || duty.maySendAgain }
    guard !isSurplus(row) else { return false }
    return !log.isStopped || duty.maySendAgain && (unprocessed.count > 0 || job.isLeaving(row))
  }

  /// Whether it would have something to do.
  private func isOfUse(_ row: Int) -> Bool {
    rows[row].owedCount > 0 || (isLastOrders ? job.isLeaving(row) : hasWork)
  }

  /// Opens rows again that were out of work under the share before.
  mutating func openUnused(nowNs: UInt64) {
    for row in 0..<min(startedCount, admittedCount) where rows[row].state == .unused {
      rows[row].state = .resting
      wheel.set(row, deadlineNs: nowNs)
    }
  }

  /// Opens a row whose pause is over.
  mutating func openRested(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    rows[row].state = .unused
    guard reopens(row), isOfUse(row) else { return failOwed(row) }
    openInTurn(row, on: ring, nowNs: nowNs)
  }

  mutating func open(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    rows[row].state = .connecting
    rows[row].openedNs = nowNs
    // A failure until a response proves otherwise.
    rows[row].failures = min(rows[row].failures + 1, Self.failureCountMax)
    rows[row].failuresAtOpening = rows[row].failures
    openingCount += 1
    wheel.set(row, deadlineNs: nowNs &+ plan.times.connectTimeoutNs)
    do throws(SystemError) {
      if let connectNs = firstConnectNs, row % peerRanges.count == 0 {
        firstConnectNs = nil
        rows[row].openedNs = nowNs &- connectNs
        defer { Glibc.close(WorkerMain.firstConnection) }
        return try ring.adopt(
          slot: UInt32(row), descriptor: WorkerMain.firstConnection, token: token(.connect, row))
      }
      // Rows and generations take the addresses in turn, so each peer and source gets its part.
      let origin = row % peerRanges.count
      let turn = row / peerRanges.count &+ Int(rows[row].generation)
      let own = peerRanges[origin]
      try ring.connect(
        slot: UInt32(row), to: peers, own.lowerBound + turn % own.count, from: sources, turn,
        token: token(.connect, row))
    } catch {
      openingFailed(row, errno: error.errno, on: ring, nowNs: nowNs)
    }
  }

  mutating func connected(
    _ row: Int, _ completion: Completion, on ring: borrowing Ring, nowNs: UInt64
  ) {
    guard completion.result >= 0 else {
      return openingFailed(row, errno: -completion.result, on: ring, nowNs: nowNs)
    }
    log.opened(again: rows[row].wasOpened, durationNs: nowNs &- rows[row].openedNs)
    rows[row].wasOpened = true
    guard line.secures(row) else { return begin(row, on: ring, nowNs: nowNs) }
    secure(row, on: ring, nowNs: nowNs)
  }

  /// Bytes may travel.
  mutating func begin(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    becomeReady(row, on: ring, nowNs: nowNs)
    offer(row, on: ring, nowNs: nowNs)
    flush(row, on: ring, nowNs: nowNs)
  }

  mutating func becomeReady(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    openingCount -= 1
    readyCount += 1
    rows[row].state = .ready
    rows[row].talk.opened(depth: depth, common: common)
    rows[row].requestsLeft =
      plan.connections.requestsEach == 0 ? .max : plan.connections.requestsEach
    wheel.set(row, deadlineNs: nowNs &+ patienceNs)
    if !rows[row].isReceiving { receive(row, on: ring) }
  }

  /// The kernel or the peer refused, or the time for it ran out while it was under way.
  mutating func openingFailed(
    _ row: Int, errno: Int32, isUnderWay: Bool = false, on ring: borrowing Ring, nowNs: UInt64
  ) {
    log.openingFailed(errno: errno)
    close(row, on: ring, isUnderWay: isUnderWay)
    failOwed(row)
    rest(row, nowNs: nowNs)
  }

  mutating func receive(_ row: Int, on ring: borrowing Ring) {
    ring.receive(slot: UInt32(row), token: token(.receive, row))
    rows[row].isReceiving = true
  }

  /// Closes the row's socket; completions still under way are no one's from here on.
  mutating func close(_ row: Int, on ring: borrowing Ring, isUnderWay: Bool = true) {
    if rows[row].state == .connecting {
      if isUnderWay { ring.cancel(token(.connect, row), token: token(.close, row)) }
    } else {
      if rows[row].isReceiving {
        ring.cancel(token(.receive, row), token: token(.close, row))
      }
      if rows[row].isSending {
        ring.cancel(token(.send, row), token: token(.close, row))
      }
    }
    if rows[row].state == .ready { readyCount -= 1 } else { openingCount -= 1 }
    ring.close(slot: UInt32(row), token: token(.close, row))
    line.closed(row)
    outgoing.giveBack(row)
    claimRest(row)
    if rows[row].owedCount == 0 {
      inFlightCount -= Int(rows[row].flights.count)
      rows[row].flights = FlightList()
    }
    rows[row].generation &+= 1
    rows[row].isReceiving = false
    rows[row].isSending = false
    rows[row].isSayingOfLine = false
    rows[row].leavingCode = nil
    rows[row].sendFailed = false
    rows[row].state = .unused
  }

  mutating func retire(_ row: Int, on ring: borrowing Ring) {
    switch rows[row].state {
    case .unused: return
    case .resting, .waiting: rows[row].state = .unused
    case .connecting, .securing, .ready: close(row, on: ring)
    }
    failOwed(row)
    wheel.set(row, deadlineNs: .max)
  }

  /// Closes the row and opens it again: at once after a connection that did its work, after a pause
  /// otherwise, so that a target that is gone is not stormed. One that the peer ended with an error counts
  /// as if it had brought no response: whoever asks for calm is given more of it each time.
  /// `isDone`: it carried what it was to carry, and its place is part of the load.
  mutating func reopen(
    _ row: Int, isDone: Bool = false, on ring: borrowing Ring, nowNs: UInt64
  ) {
    if let code = rows[row].leavingCode, code != .noError {
      rows[row].failures = rows[row].failuresAtOpening
    }
    close(row, on: ring)
    if !reopens(row) || !isOfUse(row) {
      failOwed(row)
      wheel.set(row, deadlineNs: .max)
    } else if rows[row].failures > 0 {
      rest(row, nowNs: nowNs)
    } else if isDone {
      open(row, on: ring, nowNs: nowNs)
    } else {
      openInTurn(row, on: ring, nowNs: nowNs)
    }
  }

  mutating func rest(_ row: Int, nowNs: UInt64) {
    guard reopens(row) else {
      rows[row].state = .unused
      failOwed(row)
      wheel.set(row, deadlineNs: .max)
      return
    }
    rows[row].state = .resting
    let doublings = UInt64(rows[row].failures) - 1
    let pauseNs = min(Self.restNs << doublings, Self.restNsMax)
    let jitterNs = UInt64.random(in: 0...pauseNs / 4)
    wheel.set(row, deadlineNs: nowNs &+ pauseNs &+ jitterNs)
  }
}
