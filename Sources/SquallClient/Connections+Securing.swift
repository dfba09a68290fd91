internal import SquallEngine
internal import SquallLoad

/// Handshakes. A step takes 60 to 200 µs, so none is done where bytes are received: a turn does as
/// many as fit its time.
extension Connections where Job: ~Copyable, Talk: ~Copyable, Line: ~Copyable {
  /// Spent on handshakes in one turn: beside a load, and before it.
  private static var stepsNsBesideLoad: UInt64 { 300_000 }
  private static var stepsNsAlone: UInt64 { 5_000_000 }

  mutating func secure(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    rows[row].state = .securing
    rows[row].openedNs = nowNs
    line.opened(row)
    receive(row, on: ring)
    queueHandshake(row)
  }

  mutating func queueHandshake(_ row: Int) {
    guard !rows[row].isQueued else { return }
    rows[row].isQueued = true
    handshakes.append(row)
  }

  /// Does steps of handshakes that are due. True when some are left.
  mutating func stepHandshakes(on ring: borrowing Ring, nowNs: UInt64) -> Bool {
    line.turned()
    guard Line.seals, handshakes.count > 0 else { return false }
    let untilNs = nowNs &+ (isSending ? Self.stepsNsBesideLoad : Self.stepsNsAlone)
    var atNs = nowNs
    while atNs < untilNs, let row = handshakes.popFirst() {
      rows[row].isQueued = false
      guard rows[row].state == .securing else { continue }
      let arrival = line.step(row)
      atNs = monotonicNs()
      switch arrival {
      case .secured: secured(row, on: ring, nowNs: atNs)
      case .failed, .closed: lineFailed(row, otherwise: .other, on: ring, nowNs: atNs)
      case .needsMore, .stepIsDue, .bytes: sayOfLine(row, on: ring)
      }
    }
    guard handshakes.count == 0 else { return true }
    // What handshakes needed lies scattered between what stays, and is not needed again in such a number.
    if openingCount == 0 && !isSending { ThisProcess.giveBackFreeMemory() }
    return false
  }

  private mutating func secured(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    // One of several backends may speak another version of HTTP than the one that was looked at.
    guard line.speaks(row, asHTTP2: !Talk.isOrdered) else {
      return lineFailed(row, otherwise: .noProtocol, on: ring, nowNs: nowNs)
    }
    log.secured(durationNs: nowNs &- rows[row].openedNs)
    line.noteSecured(row, in: log)
    sayWhatIsLong(row, on: ring)
    becomeReady(row, on: ring, nowNs: nowNs)
    // The peer may have spoken right behind its part of the handshake, such as SETTINGS, which are heard
    // before the first request goes out.
    unsafe take(row, UnsafeMutableRawBufferPointer(start: nil, count: 0), on: ring, nowNs: nowNs)
  }

  /// Sends what the wire has to say and a request cannot take with it: requests wait for it.
  mutating func sayWhatIsLong(_ row: Int, on ring: borrowing Ring) {
    if unsafe line.output(row).count > Line.outputByteCountMax { sayOfLine(row, on: ring) }
  }

  /// Sends what the wire itself has to say, unless a send is under way: then afterwards.
  mutating func sayOfLine(_ row: Int, on ring: borrowing Ring) {
    guard !rows[row].isSending else { return }
    let output = unsafe line.output(row)
    guard output.count > 0 else { return }
    rows[row].isSending = true
    rows[row].isSayingOfLine = true
    unsafe ring.send(
      slot: UInt32(truncatingIfNeeded: row), bytes: output, isSilent: false,
      token: token(.send, row))
  }

  /// Sends the alert that tells the peer why its handshake failed, or what it broke later (RFC 8446
  /// section 6.2), if the socket takes it at once.
  private func sayWhy(_ row: Int, on ring: borrowing Ring) {
    guard !rows[row].isSending else { return }
    let output = unsafe line.output(row)
    guard output.count > 0 else { return }
    unsafe ring.sendNow(
      slot: UInt32(truncatingIfNeeded: row), bytes: output, isSilent: true,
      token: token(.send, row))
  }

  /// A send is done. True when the connection carries no requests yet.
  mutating func lineHasSaid(_ row: Int, on ring: borrowing Ring) -> Bool {
    if rows[row].isSayingOfLine {
      rows[row].isSayingOfLine = false
      line.outputTaken(row)
    }
    guard rows[row].state == .securing else { return false }
    sayOfLine(row, on: ring)
    return true
  }

  /// The handshake failed, or the wire broke under the requests.
  mutating func lineFailed(
    _ row: Int, otherwise: TLSFailure, on ring: borrowing Ring, nowNs: UInt64
  ) {
    if rows[row].state == .securing || rows[row].flights.isEmpty { log.securingFailed() }
    line.noteFailure(row, otherwise: otherwise, in: log)
    sayWhy(row, on: ring)
    guard rows[row].state == .securing else { return fail(row, .closed, on: ring, nowNs: nowNs) }
    close(row, on: ring)
    failOwed(row)
    rest(row, nowNs: nowNs)
  }
}
