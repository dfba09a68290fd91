internal import CSquall
internal import Glibc
internal import SquallEngine
internal import SquallHTTP
internal import SquallLoad

/// How connections come, go and come back.
extension ConnectionTable {
  /// A pause after the first failed opening in a row; it doubles with each, up to `restNsMax`.
  private static let restNs: UInt64 = 10_000_000
  private static let restNsMax: UInt64 = 1_000_000_000
  private static let failureCountMax: UInt8 = 8

  /// Opens further rows until the share's number is started, as the ramp allows.
  mutating func openWanted(on ring: borrowing Ring, allowed: Int, nowNs: UInt64) {
    let target = min(wantedCount, allowed)
    let besideLoad = isSending ? startedCount / Self.startedPerOpening : 0
    let openingLimit = max(Self.openingCountMax, besideLoad)
    while startedCount < target && openingCount < openingLimit {
      startedCount += 1
      if unsafe connections[startedCount - 1].state == .unused {
        open(startedCount - 1, on: ring, nowNs: nowNs)
      }
    }
  }

  /// Takes a share's number of connections. Those too many close when nothing is in flight on them.
  mutating func want(_ count: Int, on ring: borrowing Ring) {
    precondition(count <= rowCount, "a share of \(count) connections in a table of \(rowCount)")
    wantedCount = count
    guard count < startedCount else { return }
    for row in count..<startedCount where unsafe connections[row].inFlight == 0 {
      retire(row, on: ring)
    }
    startedCount = count
  }

  func isSurplus(_ row: Int) -> Bool { row >= wantedCount }

  /// Whether one connection more would find a request that no other is free to take. False towards
  /// the end of a number of requests; rows that are not opened again for that stay unused.
  private var hasWork: Bool {
    pacer.quota > UInt64(openingCount + max(0, readyCount - inFlightCount))
  }

  /// Opens rows again that were out of work under the share before.
  mutating func openUnused(nowNs: UInt64) {
    for row in 0..<startedCount where unsafe connections[row].state == .unused {
      unsafe connections[row].state = .resting
      wheel.set(row, deadlineNs: nowNs)
    }
  }

  /// Opens a row whose pause is over.
  mutating func openRested(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    unsafe connections[row].state = .unused
    if !isSurplus(row) && !log.isStopped && hasWork { open(row, on: ring, nowNs: nowNs) }
  }

  mutating func open(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    unsafe connections[row].state = .connecting
    unsafe connections[row].openedNs = nowNs
    // A failure until a response proves otherwise.
    unsafe connections[row].failures = min(connections[row].failures + 1, Self.failureCountMax)
    openingCount += 1
    wheel.set(row, deadlineNs: nowNs &+ plan.connectTimeoutNs)
    do throws(SystemError) {
      // Rows and generations take the addresses in turn, so each peer and source gets its part.
      let turn = unsafe row &+ Int(connections[row].generation)
      try ring.connect(
        slot: UInt32(row), to: peers, turn, from: sources, turn, token: token(.connect, row))
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
    openingCount -= 1
    readyCount += 1
    unsafe connections[row].state = .ready
    unsafe connections[row].parser.reset(expectsNoBody: expectsNoBody)
    unsafe connections[row].requestsLeft =
      plan.requestsPerConnection == 0 ? .max : plan.requestsPerConnection
    log.opened(
      again: unsafe connections[row].wasOpened,
      durationNs: unsafe nowNs &- connections[row].openedNs)
    unsafe connections[row].wasOpened = true
    wheel.set(row, deadlineNs: nowNs &+ patienceNs)
    receive(row, on: ring)
    offer(row, on: ring, nowNs: nowNs)
  }

  /// The kernel or the peer refused, or the time for it ran out while it was under way.
  mutating func openingFailed(
    _ row: Int, errno: Int32, isUnderWay: Bool = false, on ring: borrowing Ring, nowNs: UInt64
  ) {
    log.openingFailed(errno: errno)
    close(row, on: ring, isUnderWay: isUnderWay)
    rest(row, nowNs: nowNs)
  }

  mutating func receive(_ row: Int, on ring: borrowing Ring) {
    ring.receive(slot: UInt32(row), token: token(.receive, row))
    unsafe connections[row].isReceiving = true
  }

  /// Closes the row's socket; completions still under way are no one's from here on.
  mutating func close(_ row: Int, on ring: borrowing Ring, isUnderWay: Bool = true) {
    if unsafe connections[row].state == .connecting {
      if isUnderWay { ring.cancel(token(.connect, row), token: token(.close, row)) }
      openingCount -= 1
    } else {
      if unsafe connections[row].isReceiving {
        ring.cancel(token(.receive, row), token: token(.close, row))
      }
      if unsafe connections[row].isSending {
        ring.cancel(token(.send, row), token: token(.close, row))
      }
      readyCount -= 1
    }
    ring.close(slot: UInt32(row), token: token(.close, row))
    inFlightCount -= unsafe Int(connections[row].inFlight)
    unsafe connections[row].inFlight = 0
    unsafe connections[row].oldest = 0
    unsafe connections[row].generation &+= 1
    unsafe connections[row].isReceiving = false
    unsafe connections[row].isSending = false
    unsafe connections[row].sendFailed = false
    unsafe connections[row].state = .unused
  }

  mutating func retire(_ row: Int, on ring: borrowing Ring) {
    switch unsafe connections[row].state {
    case .unused: return
    case .resting: unsafe connections[row].state = .unused
    case .connecting, .ready: close(row, on: ring)
    }
    wheel.set(row, deadlineNs: .max)
  }

  /// Closes the row and opens it again: at once after a connection that did its work, after a pause
  /// otherwise, so that a target that is gone is not stormed.
  mutating func reopen(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    close(row, on: ring)
    if isSurplus(row) || log.isStopped || !hasWork {
      wheel.set(row, deadlineNs: .max)
    } else if unsafe connections[row].failures == 0 {
      open(row, on: ring, nowNs: nowNs)
    } else {
      rest(row, nowNs: nowNs)
    }
  }

  private mutating func rest(_ row: Int, nowNs: UInt64) {
    guard !isSurplus(row), !log.isStopped else {
      unsafe connections[row].state = .unused
      wheel.set(row, deadlineNs: .max)
      return
    }
    unsafe connections[row].state = .resting
    let doublings = unsafe UInt64(connections[row].failures) - 1
    let pauseNs = min(Self.restNs << doublings, Self.restNsMax)
    let jitterNs = UInt64.random(in: 0...pauseNs / 4)
    wheel.set(row, deadlineNs: nowNs &+ pauseNs &+ jitterNs)
  }
}
