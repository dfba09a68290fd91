internal import CSquall
internal import Glibc
internal import SquallEngine

/// Answers out.
extension TargetServer {
  /// A piece smaller than this is copied together with what follows it rather than sent alone.
  private static let borrowedByteCountMin = 4_096
  /// Up to here answers are gathered into one send.
  private static let gatheredByteCountMax = 65_536

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
    guard first != TargetReplies.none else {
      if unsafe connection.pointee.peerHasFinished { close(row) }
      return
    }
    let reply = replies[first]
    guard reply.dueNs <= nowNs else { return }
    guard reply.byteCount > 0 else {
      return transmitNothing(row, reply.ending, on: ring, nowNs: nowNs)
    }
    let piece = piece(of: row, reply, nowNs: nowNs)
    guard unsafe piece.bytes.count > 0 else {
      isStuck = true
      return touch(row)
    }
    let isSilent = unsafe piece.isAllThatIsDue && !connection.pointee.peerHasFinished
    unsafe ring.sendNow(
      slot: UInt32(truncatingIfNeeded: row), bytes: piece.bytes, isSilent: isSilent,
      token: token(.send, row))
    unsafe connection.pointee.pieceByteCount = UInt32(piece.bytes.count)
    unsafe connection.pointee.waits = isSilent ? .nothing : .send
    page.add(.bytesSent, unsafe piece.bytes.count)
    if reply.isDripping {
      replies[first].dueNs = (reply.dueNs == 0 ? nowNs : reply.dueNs) + TargetReply.dripNs
      if !touch(row, atNs: replies[first].dueNs) { close(row) }
    }
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
    let bytes: UnsafeRawBufferPointer
    /// Nothing that is due, no ending either, comes after it.
    let isAllThatIsDue: Bool
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
        from: offset, into: room, greetings: greetings, count: countTexts[reply.countText])
    }
    let copies = unsafe prepared.copies(reply.prepared)
    unsafe room.copyMemory(
      from: UnsafeRawBufferPointer(rebasing: copies[offset..<offset + room.count]))
    return room.count
  }

  /// A send completed: silent ones only when the socket did not take all of it.
  mutating func sent(_ row: Int, _ completion: Completion, on ring: borrowing Ring) {
    let connection = unsafe connections + row
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
  private mutating func end(
    _ row: Int, _ ending: TargetReply.Ending, on ring: borrowing Ring, nowNs: UInt64
  ) {
    let connection = unsafe connections + row
    unsafe connection.pointee.ignoresInput = true
    let slot = UInt32(truncatingIfNeeded: row)
    switch ending {
    case .none, .hang: preconditionFailure("not the end of a connection: \(ending)")
    case .reset: ring.reset(slot: slot, token: token(.close, row))
    case .finish:
      // With nothing more to come, closing says the same and is all.
      if unsafe !connection.pointee.peerHasFinished && !connection.pointee.peerIsDone,
        touch(row, atNs: nowNs + Self.lingerNs)
      {
        ring.finish(slot: slot, token: token(.finish, row))
        unsafe connection.pointee.waits = .finish
        unsafe connection.pointee.state = .lingering
        unsafe connection.pointee.lingerUntilNs = nowNs + Self.lingerNs
        return
      }
    }
    close(row)
  }

  /// Gives the connection up, with what was still to be sent.
  mutating func close(_ row: Int) {
    guard unsafe connections[row].state != .unused else { return }
    unsafe connections[row].state = .closing
    unsafe connections[row].ignoresInput = true
    touch(row)
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
    let generation = unsafe connection.pointee.generation
    unsafe connection.pointee = TargetConnection()
    unsafe connection.pointee.generation = generation &+ 1
    openCount -= 1
    page.add(.closed)
  }
}
