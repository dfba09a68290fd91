internal import SquallEngine
internal import SquallHTTP
internal import SquallLoad
internal import SquallScenario

/// A scenario's users: each has a connection of its own, its row.
extension ConnectionTable {
  /// After a request that could not be rendered a user rests this long.
  private static let unsendablePauseNs: UInt64 = 1_000_000

  /// Lets the row's user do what comes next: send, think, or end.
  mutating func follow(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    let connection = unsafe connections + row
    guard unsafe connection.pointee.inFlight == 0, canTake(row) else { return }
    if unsafe !connection.pointee.hasUser {
      unsafe connection.pointee.hasUser = true
      guard machine.begin(row, index: firstUser &+ UInt64(row) &* userStride) else {
        return retire(row, on: ring)
      }
    }
    if unsafe nowNs < connection.pointee.thinksUntilNs {
      return wheel.set(row, deadlineNs: unsafe connection.pointee.thinksUntilNs)
    }
    while true {
      switch machine.next(row, nowNs: nowNs) {
      case .send(let request): return send(request, row, on: ring, nowNs: nowNs)
      case .think(let untilNs):
        if untilNs <= nowNs { continue }
        return think(row, untilNs: untilNs)
      case .iterationEnded: continue
      case .ended: return retire(row, on: ring)
      }
    }
  }

  private mutating func think(_ row: Int, untilNs: UInt64) {
    unsafe connections[row].thinksUntilNs = untilNs
    wheel.set(row, deadlineNs: untilNs)
  }

  private mutating func send(_ index: Int, _ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    let connection = unsafe connections + row
    let request = machine.program.requests[index]
    // Without one the load is over for this connection.
    guard let scheduledNs = pacer.take(nowNs: nowNs &- log.startNs) else { return }
    let buffer = unsafe outgoing.take(row)
    guard case .bytes(let byteCount) = machine.render(row, into: buffer, nowNs: nowNs) else {
      outgoing.giveBack(row)
      log.dropped(scheduledNs: nowNs, count: 1, endpoint: request.endpoint)
      machine.failed(row)
      return think(row, untilNs: nowNs &+ Self.unsendablePauseNs)
    }
    unsafe flights[row] = Flight(scheduledNs: log.startNs &+ scheduledNs, sentNs: nowNs)
    unsafe connection.pointee.endpoint = request.endpoint
    unsafe connection.pointee.patienceNs = request.timeoutNs
    unsafe connection.pointee.parser.reset(expectsNoBody: request.expectsNoBody)
    log.sent(
      scheduledNs: log.startNs &+ scheduledNs, byteCount: byteCount, ownLagNs: 0, nowNs: nowNs,
      endpoint: request.endpoint)
    machine.beginReply(row, nowNs: nowNs)
    unsafe connection.pointee.inFlight = 1
    unsafe connection.pointee.oldest = 0
    unsafe connection.pointee.requestsLeft &-= 1
    inFlightCount &+= 1
    sentCount &+= 1
    wheel.set(row, deadlineNs: nowNs &+ request.timeoutNs)
    let bytes = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<byteCount])
    unsafe connection.pointee.isSending = !sendsSilently
    unsafe ring.send(
      slot: UInt32(truncatingIfNeeded: row), bytes: bytes, isSilent: sendsSilently,
      token: token(.send, row))
  }

  /// Reads on, and shows the user's machine what it waits for.
  mutating func readScripted(
    _ row: Int, _ bytes: UnsafeRawBufferPointer, nowNs: UInt64
  ) -> ResponseParser.Step {
    guard machine.readsReply(row) else {
      return unsafe connections[row].parser.consume(bytes)
    }
    machine.resumeReply(row, nowNs: nowNs)
    return unsafe connections[row].parser.consume(bytes, into: &machine)
  }

  /// What the answer came to; the user goes on from there.
  mutating func judge(_ row: Int, _ flight: Flight, nowNs: UInt64) -> Bool {
    outgoing.giveBack(row)
    let judgement = machine.endReply(
      row, status: unsafe connections[row].parser.status, serviceNs: nowNs &- flight.sentNs)
    return judgement == .good
  }
}

/// Buffers for requests that differ each time. One belongs to its row from the rendering until the
/// answer or the connection's end, since a silent send does not say when it is done. There are as many as
/// rows, and the ones used last are taken first, so that only as many as are in flight cost memory.
@safe struct OutgoingBuffers: ~Copyable {
  private static let none: Int32 = -1

  let byteCount: Int
  private let base: UnsafeMutableRawPointer
  private let free: UnsafeMutablePointer<Int32>
  private let owned: UnsafeMutablePointer<Int32>
  private var freeCount: Int

  init(byteCount: Int, count: Int) {
    self.byteCount = byteCount
    unsafe base = .allocate(byteCount: max(1, byteCount * count), alignment: 64)
    unsafe free = .allocate(capacity: max(1, count))
    unsafe owned = .allocate(capacity: max(1, count))
    for index in 0..<count {
      unsafe (free + index).initialize(to: Int32(count - 1 - index))
      unsafe (owned + index).initialize(to: Self.none)
    }
    freeCount = count
  }

  deinit {
    unsafe base.deallocate()
    unsafe free.deallocate()
    unsafe owned.deallocate()
  }

  mutating func take(_ row: Int) -> UnsafeMutableRawBufferPointer {
    precondition(freeCount > 0, "a row took a second buffer")
    freeCount -= 1
    let index = unsafe free[freeCount]
    unsafe owned[row] = index
    return unsafe UnsafeMutableRawBufferPointer(
      start: base + Int(index) * byteCount, count: byteCount)
  }

  mutating func giveBack(_ row: Int) {
    let index = unsafe owned[row]
    guard index != Self.none else { return }
    unsafe owned[row] = Self.none
    unsafe free[freeCount] = index
    freeCount += 1
  }
}
