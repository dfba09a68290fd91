internal import Glibc
internal import SquallEngine
internal import SquallHTTP

/// Answers out.
extension TargetServer {
  /// A piece smaller than this is copied together with what follows it rather than sent alone.
  private static let borrowedByteCountMin = 4_096
  /// Up to here answers are gathered into one send.
  private static let gatheredByteCountMax = 65_536
  /// Of answers sealed at once: what the socket does not take of them is kept.
  private static let sealedByteCountMax = 65_536

  /// The reply to a request, due at once.
  mutating func reply(to request: TargetRequest) -> TargetReply {
    guard request.fault != .garbage else {
      return reply(with: TargetAnswer(status: 200, note: .garbage, traits: []))
    }
    var reply = reply(with: request.answer)
    switch request.fault {
    case .none, .garbage, .early: break
    case .reset:
      reply.byteCount = 0
      reply.ending = .reset
    case .close:
      reply.byteCount = 0
      reply.ending = .finish
    case .half:
      reply.byteCount /= 2
      reply.ending = .finish
    case .hang:
      reply.byteCount = 0
      reply.ending = .hang
    case .drip: reply.isDripping = true
    case .extra: reply.count = 2
    }
    return reply
  }

  mutating func reply(with answer: TargetAnswer) -> TargetReply {
    let byteCount = answer.byteCount
    var reply = TargetReply(answer: answer, byteCount: UInt32(byteCount))
    if answer.traits.contains(.closes) { reply.ending = .finish }
    reply.prepared =
      prepared.index(of: answer, byteCount: byteCount, greetings: greetings) ?? -1
    return reply
  }

  /// Puts a reply behind those the connection has.
  @inline(__always)
  mutating func enqueue(_ row: Int, _ reply: TargetReply) {
    let connection = unsafe connections + row
    let last = unsafe connection.pointee.lastReply
    if last != TargetReplies.none, replies[last].repeats(reply) {
      replies[last].count += reply.count
    } else {
      guard append(row, reply) else {
        countTexts.remove(reply.countText)
        pages.remove(reply.page)
        page.add(.overruns)
        return close(row)
      }
    }
    if reply.ending == .finish || reply.ending == .reset {
      unsafe connection.pointee.ignoresInput = true
    }
    if reply.dueNs == 0 { touch(row) }
  }

  /// False at a limit.
  private mutating func append(_ row: Int, _ reply: TargetReply) -> Bool {
    let connection = unsafe connections + row
    guard unsafe connection.pointee.replyCount < Self.replyCountMax,
      reply.dueNs == 0 || touch(row, atNs: reply.dueNs), let index = replies.insert(reply)
    else { return false }
    let last = unsafe connection.pointee.lastReply
    if last == TargetReplies.none {
      unsafe connection.pointee.firstReply = index
    } else {
      replies.link(index, behind: last)
    }
    unsafe connection.pointee.lastReply = index
    unsafe connection.pointee.replyCount += 1
    return true
  }

  private mutating func removeFirst(_ row: Int) {
    let connection = unsafe connections + row
    let index = unsafe connection.pointee.firstReply
    let reply = replies[index]
    countTexts.remove(reply.countText)
    pages.remove(reply.page)
    replies.remove(index)
    unsafe connection.pointee.firstReply = reply.next
    if reply.next == TargetReplies.none {
      unsafe connection.pointee.lastReply = TargetReplies.none
    }
    unsafe connection.pointee.replyCount -= 1
    unsafe connection.pointee.sentByteCount = 0
  }

  /// Does what there is to do for a connection before the turn ends.
  @inline(__always)
  mutating func look(at row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    let connection = unsafe connections + row
    switch unsafe connection.pointee.state {
    case .unused: return
    case .closing: return release(row, on: ring)
    case .leaving: return leave(row, on: ring, nowNs: nowNs)
    case .lingering:
      if unsafe connection.pointee.peerHasFinished || nowNs >= connection.pointee.lingerUntilNs {
        return close(row)
      }
      listen(row, on: ring)
    case .open:
      listen(row, on: ring)
      guard unsafe connection.pointee.waits == .nothing else { return }
      // A silent send that fell short would have said so by now.
      let byteCount = unsafe connection.pointee.pieceByteCount
      unsafe connection.pointee.pieceByteCount = 0
      let ending = advance(row, byteCount: UInt64(byteCount))
      precondition(ending == .none, "a last answer was sent in silence")
      transmit(row, on: ring, nowNs: nowNs)
    }
  }

  /// The socket took `byteCount` bytes. Returns what follows after the last of them.
  @inline(__always)
  private mutating func advance(_ row: Int, byteCount: UInt64) -> TargetReply.Ending {
    let connection = unsafe connections + row
    var left = byteCount
    while left > 0 {
      let index = unsafe connection.pointee.firstReply
      let reply = replies[index]
      let sent = unsafe connection.pointee.sentByteCount + left
      if sent < reply.totalByteCount {
        // More of the same have been asked for since. The answers done with are no longer theirs.
        let answerByteCount = UInt64(reply.byteCount)
        let done = sent == answerByteCount ? 1 : sent / answerByteCount
        replies[index].count -= UInt32(done)
        unsafe connection.pointee.sentByteCount = sent - done * answerByteCount
        return .none
      }
      left = sent - reply.totalByteCount
      removeFirst(row)
      if reply.ending != .none { return reply.ending }
    }
    return .none
  }

  /// Sends what is due, as far as it goes into one piece.
  @inline(__always)
  private mutating func transmit(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    let connection = unsafe connections + row
    let first = unsafe connection.pointee.firstReply
    var isBehind = false
    if let session = unsafe connection.pointee.session {
      if unsafe session.pointee.h2 != nil {
        return unsafe transmitFrames(row, session, on: ring, nowNs: nowNs)
      }
      isBehind = unsafe session.pointee.ending != .none
    }
    guard first != TargetReplies.none, replies[first].dueNs <= nowNs, !isBehind else {
      guard flush(row, on: ring), first == TargetReplies.none, !isBehind,
        unsafe connection.pointee.peerHasFinished
      else { return }
      return unsafe connection.pointee.session == nil
        ? close(row) : end(row, .finish, on: ring, nowNs: nowNs)
    }
    let reply = replies[first]
    guard reply.byteCount > 0 else {
      if flush(row, on: ring) { transmitNothing(row, reply.ending, on: ring, nowNs: nowNs) }
      return
    }
    let start = arenaByteCount
    var piece = piece(of: row, reply, nowNs: nowNs)
    if unsafe connection.pointee.session != nil { piece.cut(to: Self.sealedByteCountMax) }
    guard unsafe piece.bytes.count > 0, let bytes = unsafe wireBytes(row, piece.bytes) else {
      arenaByteCount = start
      isStuck = true
      return touch(row)
    }
    guard bytes.count > 0 else { return close(row) }
    let isSilent = unsafe piece.isAllThatIsDue && !connection.pointee.peerHasFinished
    unsafe ring.sendNow(
      slot: UInt32(truncatingIfNeeded: row), bytes: bytes, isSilent: isSilent,
      token: token(.send, row))
    unsafe connection.pointee.pieceByteCount = UInt32(piece.bytes.count)
    unsafe connection.pointee.waits = isSilent ? .nothing : .send
    page.add(.bytesSent, bytes.count)
    if reply.isDripping {
      replies[first].dueNs = (reply.dueNs == 0 ? nowNs : reply.dueNs) + TargetReply.dripNs
      if !touch(row, atNs: replies[first].dueNs) { close(row) }
    }
  }

  /// What an answer's bytes are on the wire: themselves, or sealed in the arena behind what goes before
  /// them. Nil when the arena has no room, none when TLS has failed.
  @inline(__always)
  private mutating func wireBytes(
    _ row: Int, _ bytes: UnsafeRawBufferPointer
  ) -> UnsafeRawBufferPointer? {
    guard let session = unsafe connections[row].session else { return unsafe bytes }
    return unsafe seal(bytes, session)
  }

  mutating func seal(
    _ bytes: UnsafeRawBufferPointer, _ session: UnsafeMutablePointer<TargetSession>
  ) -> UnsafeRawBufferPointer? {
    let start = arenaByteCount
    guard unsafe session.pointee.byteCountMax(bytes.count) <= arena.count - start else {
      return nil
    }
    unsafe arenaByteCount += session.pointee.writeOutput(
      into: UnsafeMutableRawBufferPointer(rebasing: arena[start...]))
    let sealedByteCount = unsafe session.pointee.seal(
      bytes, into: UnsafeMutableRawBufferPointer(rebasing: arena[arenaByteCount...]))
    arenaByteCount = sealedByteCount > 0 ? arenaByteCount + sealedByteCount : start
    return unsafe sending(from: start, session)
  }

  func sending(
    from start: Int, _ session: UnsafeMutablePointer<TargetSession>
  ) -> UnsafeRawBufferPointer {
    unsafe session.pointee.sentStart = start
    unsafe session.pointee.sentByteCount = arenaByteCount - start
    return unsafe UnsafeRawBufferPointer(rebasing: arena[start..<arenaByteCount])
  }

  /// Sends what goes before all answers. False when the arena has no room for it, and when what follows
  /// must wait for it.
  mutating func flush(_ row: Int, on ring: borrowing Ring) -> Bool {
    let connection = unsafe connections + row
    guard let session = unsafe connection.pointee.session, unsafe session.pointee.hasOutput else {
      return true
    }
    let start = arenaByteCount
    guard unsafe session.pointee.byteCountMax(0) <= arena.count - start else {
      isStuck = true
      touch(row)
      return false
    }
    unsafe arenaByteCount += session.pointee.writeOutput(
      into: UnsafeMutableRawBufferPointer(rebasing: arena[start...]))
    let bytes = unsafe sending(from: start, session)
    unsafe ring.sendNow(
      slot: UInt32(truncatingIfNeeded: row), bytes: bytes, isSilent: false,
      token: token(.send, row))
    unsafe connection.pointee.waits = .send
    page.add(.bytesSent, bytes.count)
    return false
  }

  /// Says the last of a session: the alert of a failure, or close_notify (RFC 8446 section 6.1). Where
  /// the socket takes no more, it has heard enough.
  mutating func leave(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    guard let session = unsafe connections[row].session else { return close(row) }
    guard unsafe connections[row].waits == .nothing else { return }
    let start = arenaByteCount
    let room = H2Server.controlByteCountMax
    guard unsafe room + session.pointee.byteCountMax(room) <= arena.count - start else {
      isStuck = true
      return touch(row)
    }
    if unsafe session.pointee.h2?.hasOutput ?? false {
      var output = unsafe frames(behind: session)
      unsafe session.pointee.h2?.write(into: &output)
      _ = unsafe wireBytes(session, output)
    } else {
      unsafe arenaByteCount += session.pointee.writeOutput(
        into: UnsafeMutableRawBufferPointer(rebasing: arena[start...]))
      unsafe session.pointee.sentStart = start
    }
    unsafe arenaByteCount += session.pointee.sealClose(
      into: UnsafeMutableRawBufferPointer(rebasing: arena[arenaByteCount...]))
    let bytes = unsafe sending(from: session.pointee.sentStart, session)
    if bytes.count > 0 {
      unsafe ring.sendNow(
        slot: UInt32(truncatingIfNeeded: row), bytes: bytes, isSilent: true,
        token: token(.send, row))
      page.add(.bytesSent, bytes.count)
    }
    finish(row, on: ring, nowNs: nowNs)
  }

  /// A send of a session's completed. What the socket did not take cannot be made again and is kept.
  private mutating func sentSealed(
    _ row: Int, _ session: UnsafeMutablePointer<TargetSession>, _ completion: Completion,
    on ring: borrowing Ring
  ) {
    let connection = unsafe connections + row
    let start = unsafe session.pointee.sentStart
    let end = unsafe start + session.pointee.sentByteCount
    let pieceByteCount = unsafe connection.pointee.pieceByteCount
    let taken = max(0, Int(completion.result))
    unsafe connection.pointee.waits = .nothing
    unsafe connection.pointee.pieceByteCount = 0
    page.add(.bytesSent, taken - (end - start))
    guard unsafe connection.pointee.state == .open else { return touch(row) }
    guard completion.result >= 0 || completion.result == -EAGAIN else { return close(row) }
    var ending = advance(row, byteCount: UInt64(pieceByteCount))
    if ending == .none { ending = unsafe session.pointee.ending }
    unsafe session.pointee.ending = .none
    guard start + taken == end else {
      unsafe session.pointee.ending = ending
      unsafe session.pointee.keep(UnsafeRawBufferPointer(rebasing: arena[start + taken..<end]))
      ring.awaitRoom(slot: UInt32(truncatingIfNeeded: row), token: token(.room, row))
      unsafe connection.pointee.waits = .room
      return
    }
    if ending != .none { return self.end(row, ending, on: ring, nowNs: monotonicNs()) }
    touch(row)
  }

  /// A reply without a byte is its ending alone.
  private mutating func transmitNothing(
    _ row: Int, _ ending: TargetReply.Ending, on ring: borrowing Ring, nowNs: UInt64
  ) {
    if ending == .hang {
      if unsafe connections[row].peerHasFinished { close(row) }
      return
    }
    removeFirst(row)
    end(row, ending, on: ring, nowNs: nowNs)
  }

  @safe private struct Piece {
    private(set) var bytes: UnsafeRawBufferPointer
    /// Nothing that is due, no ending either, comes after it.
    private(set) var isAllThatIsDue: Bool

    init(bytes: UnsafeRawBufferPointer, isAllThatIsDue: Bool) {
      unsafe self.bytes = bytes
      self.isAllThatIsDue = isAllThatIsDue
    }

    mutating func cut(to byteCount: Int) {
      guard unsafe bytes.count > byteCount else { return }
      unsafe bytes = UnsafeRawBufferPointer(rebasing: bytes[..<byteCount])
      isAllThatIsDue = false
    }
  }

  /// What to send next; no bytes when the arena is full.
  @inline(__always)
  private mutating func piece(of row: Int, _ reply: TargetReply, nowNs: UInt64) -> Piece {
    let sent = unsafe connections[row].sentByteCount
    let nextIsDue = reply.next != TargetReplies.none && replies[reply.next].dueNs <= nowNs
    let isLast = reply.ending == .none && !nextIsDue
    if !reply.isDripping, let bytes = unsafe borrowed(reply, from: sent),
      bytes.count >= Self.borrowedByteCountMin || !nextIsDue
    {
      return unsafe Piece(
        bytes: bytes,
        isAllThatIsDue: isLast && sent + UInt64(bytes.count) == reply.totalByteCount)
    }
    return gather(row, nowNs: nowNs)
  }

  /// What follows after the first `sent` bytes of a reply, from where it lies already.
  @inline(__always)
  private func borrowed(_ reply: TargetReply, from sent: UInt64) -> UnsafeRawBufferPointer? {
    let offset = Int(sent % UInt64(reply.byteCount))
    guard reply.prepared >= 0 else {
      guard let bytes = unsafe reply.answer.borrowed(from: offset, greetings: greetings) else {
        return nil
      }
      return unsafe UnsafeRawBufferPointer(
        rebasing: bytes.prefix(Int(reply.byteCount) - offset))
    }
    let copies = unsafe prepared.copies(reply.prepared)
    let left = reply.totalByteCount - sent
    let end = min(copies.count, offset + Int(min(left, UInt64(copies.count))))
    return unsafe UnsafeRawBufferPointer(rebasing: copies[offset..<end])
  }

  /// Writes what is due into the arena.
  private mutating func gather(_ row: Int, nowNs: UInt64) -> Piece {
    let start = arenaByteCount
    let end = unsafe min(arena.count, start + Self.gatheredByteCountMax)
    var at = unsafe connections[row].firstReply
    var sent = unsafe connections[row].sentByteCount
    while at != TargetReplies.none, replies[at].dueNs <= nowNs, arenaByteCount < end {
      let reply = replies[at]
      // What is no row of bytes, or comes at its own pace, is for a piece of its own.
      guard reply.byteCount > 0, !reply.isDripping || arenaByteCount == start else {
        return gathered(from: start, isAllThatIsDue: false)
      }
      let room = reply.isDripping ? min(end, arenaByteCount + 1) : end
      while sent < reply.totalByteCount, arenaByteCount < room {
        let byteCount = write(reply, from: Int(sent % UInt64(reply.byteCount)), upTo: room)
        sent += UInt64(byteCount)
        arenaByteCount += byteCount
      }
      guard sent == reply.totalByteCount else {
        // The timer brings a dripping reply back.
        return gathered(from: start, isAllThatIsDue: reply.isDripping)
      }
      guard reply.ending == .none else { return gathered(from: start, isAllThatIsDue: false) }
      at = reply.next
      sent = 0
      if reply.isDripping { break }
    }
    let isAll = at == TargetReplies.none || replies[at].dueNs > nowNs
    return gathered(from: start, isAllThatIsDue: isAll)
  }

  private func gathered(from start: Int, isAllThatIsDue: Bool) -> Piece {
    unsafe Piece(
      bytes: UnsafeRawBufferPointer(rebasing: arena[start..<arenaByteCount]),
      isAllThatIsDue: isAllThatIsDue)
  }

  /// Writes the rest of one answer behind what the arena holds. Returns how many bytes that were.
  private func write(_ reply: TargetReply, from offset: Int, upTo end: Int) -> Int {
    let left = Int(reply.byteCount) - offset
    let room = unsafe UnsafeMutableRawBufferPointer(
      rebasing: arena[arenaByteCount..<min(end, arenaByteCount + left)])
    guard reply.prepared >= 0 else {
      return unsafe reply.answer.write(
        from: offset, into: room, greetings: greetings,
        text: countTexts[reply.countText] ?? pages[reply.page])
    }
    let copies = unsafe prepared.copies(reply.prepared)
    unsafe room.copyMemory(
      from: UnsafeRawBufferPointer(rebasing: copies[offset..<offset + room.count]))
    return room.count
  }

  /// A send completed: silent ones only when the socket did not take all of it.
  mutating func sent(_ row: Int, _ completion: Completion, on ring: borrowing Ring) {
    let connection = unsafe connections + row
    if let session = unsafe connection.pointee.session {
      return unsafe sentSealed(row, session, completion, on: ring)
    }
    let byteCount = unsafe Int(connection.pointee.pieceByteCount)
    unsafe connection.pointee.pieceByteCount = 0
    unsafe connection.pointee.waits = .nothing
    let taken = max(0, Int(completion.result))
    page.add(.bytesSent, taken - byteCount)
    guard unsafe connection.pointee.state == .open else { return }
    guard completion.result >= 0 || completion.result == -EAGAIN else { return close(row) }
    let ending = advance(row, byteCount: UInt64(taken))
    if ending != .none { return end(row, ending, on: ring, nowNs: monotonicNs()) }
    if taken < byteCount {
      ring.awaitRoom(slot: UInt32(truncatingIfNeeded: row), token: token(.room, row))
      unsafe connection.pointee.waits = .room
    } else {
      touch(row)
    }
  }

  /// There is room again, or our FIN is sent.
  mutating func moveOn(_ row: Int) {
    unsafe connections[row].waits = .nothing
    touch(row)
  }

  /// The last answer is with the socket, or there is none.
  mutating func end(
    _ row: Int, _ ending: TargetReply.Ending, on ring: borrowing Ring, nowNs: UInt64
  ) {
    let connection = unsafe connections + row
    unsafe connection.pointee.ignoresInput = true
    switch ending {
    case .none, .hang: preconditionFailure("not the end of a connection: \(ending)")
    case .reset:
      ring.reset(slot: UInt32(truncatingIfNeeded: row), token: token(.close, row))
      close(row)
    case .finish:
      if unsafe connection.pointee.session == nil { return finish(row, on: ring, nowNs: nowNs) }
      // The arena holds this turn's bytes until the next.
      unsafe connection.pointee.state = .leaving
      touch(row)
    }
  }

  /// FIN.
  private mutating func finish(_ row: Int, on ring: borrowing Ring, nowNs: UInt64) {
    let connection = unsafe connections + row
    // With nothing more to come, closing says the same and is all.
    guard unsafe !connection.pointee.peerHasFinished && !connection.pointee.peerIsDone,
      touch(row, atNs: nowNs + Self.lingerNs)
    else { return close(row) }
    ring.finish(slot: UInt32(truncatingIfNeeded: row), token: token(.finish, row))
    unsafe connection.pointee.waits = .finish
    unsafe connection.pointee.state = .lingering
    unsafe connection.pointee.lingerUntilNs = nowNs + Self.lingerNs
  }

  /// Gives the connection up, with what was still to be sent.
  mutating func close(_ row: Int) {
    guard unsafe connections[row].state != .unused else { return }
    unsafe connections[row].state = .closing
    unsafe connections[row].ignoresInput = true
    touch(row)
  }

  private mutating func endSession(of connection: UnsafeMutablePointer<TargetConnection>) {
    guard let session = unsafe connection.pointee.session else { return }
    unsafe forgetStreams(of: session)
    unsafe session.deinitialize(count: 1)
    unsafe session.deallocate()
  }

  /// Gives the row back to the ring; completions still under way are no one's from here on.
  private mutating func release(_ row: Int, on ring: borrowing Ring) {
    let connection = unsafe connections + row
    // It looks its socket up by the slot only when it runs: it would hit the next tenant's.
    if unsafe connection.pointee.waits == .finish { return }
    if unsafe connection.pointee.isReceiving {
      ring.cancel(token(.receive, row), token: token(.close, row))
    }
    if unsafe connection.pointee.waits == .room {
      ring.cancel(token(.room, row), token: token(.close, row))
    }
    ring.close(slot: UInt32(truncatingIfNeeded: row), token: token(.close, row))
    while unsafe connection.pointee.firstReply != TargetReplies.none { removeFirst(row) }
    unsafe connection.pointee.scratch?.deallocate()
    shop?.forget(row: row)
    unsafe endSession(of: connection)
    let generation = unsafe connection.pointee.generation
    unsafe connection.pointee = TargetConnection()
    unsafe connection.pointee.generation = generation &+ 1
    openCount -= 1
    page.add(.closed)
  }
}
