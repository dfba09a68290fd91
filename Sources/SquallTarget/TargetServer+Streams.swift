internal import Glibc
internal import SquallEngine
internal import SquallHTTP

/// HTTP/2: requests in and answers out, each on a stream of its own.
///
/// What `TargetRequest` offers is the same here. Of the faults, `reset` ends the stream and not the
/// connection, `half` and `close` end the connection, and `extra` answers on a stream that has ended.
/// `chunked` leaves the length out. `Expect: 100-continue` is not heeded.
extension TargetServer {
  /// Of frames written at once: what the socket does not take of them is kept.
  private static let framesByteCountMax = 65_536
  /// What a head takes at most, and the least that is worth a DATA frame beside it.
  private static let streamByteCountMin = 128

  /// Frames in.
  mutating func readFrames(
    _ bytes: UnsafeRawBufferPointer, _ row: Int,
    _ session: UnsafeMutablePointer<TargetSession>, nowNs: UInt64
  ) {
    var rest = unsafe bytes
    while unsafe !connections[row].ignoresInput {
      guard let event = unsafe session.pointee.h2?.next(&rest, reader: &requestHeads) else {
        return
      }
      switch event {
      case .needsMore: return touch(row)
      case .head(let place, let isUsual, let isEnd):
        let (request, reply) = unsafe request(isUsual: isUsual, session)
        if isEnd {
          unsafe arrived(row, request, reply, place, session, nowNs: nowNs)
        } else {
          unsafe session.pointee.keep(request, place)
          if request.fault == .early {
            unsafe answer(row, reply, place, session)
          }
        }
      case .ended(let place):
        guard let request = unsafe session.pointee.takeRequest(place) else {
          preconditionFailure("a request has ended that had not begun")
        }
        unsafe arrived(row, request, reply(to: request), place, session, nowNs: nowNs)
      case .reset(let id, let answer):
        if answer != TargetReplies.none { forget(answer) }
        unsafe session.pointee.forgetRequest(id)
      case .violation:
        page.add(.malformed)
        unsafe connections[row].ignoresInput = true
        touch(row)
      }
    }
  }

  /// Nearly always a request is the last one over again.
  private mutating func request(
    isUsual: Bool, _ session: UnsafeMutablePointer<TargetSession>
  ) -> (TargetRequest, TargetReply) {
    if isUsual, let usual = unsafe session.pointee.usual { return usual }
    let request = unsafe TargetRequest(
      isHead: requestHeads.isHead, target: RequestTarget(requestHeads.target), paths: &paths)
    let reply = reply(to: request)
    unsafe session.pointee.usual = (request, reply)
    return (request, reply)
  }

  /// A request is here to its last byte.
  private mutating func arrived(
    _ row: Int, _ request: TargetRequest, _ reply: TargetReply, _ place: Int,
    _ session: UnsafeMutablePointer<TargetSession>, nowNs: UInt64
  ) {
    if request.isCount {
      return unsafe answer(row, countReply(request), place, session)
    }
    let dueNs = note(request, nowNs: nowNs)
    if let stream = unsafe session.pointee.h2?.streams[place],
      stream.isAnswered || stream.answer != TargetReplies.none
    {
      return touch(row)  // Its answer was early.
    }
    var reply = reply
    reply.dueNs = dueNs
    unsafe answer(row, reply, place, session)
  }

  private mutating func answer(
    _ row: Int, _ reply: TargetReply, _ place: Int,
    _ session: UnsafeMutablePointer<TargetSession>
  ) {
    guard reply.dueNs == 0 || touch(row, atNs: reply.dueNs), let index = replies.insert(reply)
    else {
      countTexts.remove(reply.countText)
      page.add(.overruns)
      return close(row)
    }
    unsafe session.pointee.h2?.answer(place, with: index)
    if reply.dueNs == 0 { touch(row) }
  }

  private mutating func forget(_ answer: Int32) {
    countTexts.remove(replies[answer].countText)
    replies.remove(answer)
  }

  /// Gives back what a connection's streams hold.
  mutating func forgetStreams(of session: UnsafeMutablePointer<TargetSession>) {
    for index in 0..<(unsafe session.pointee.h2?.streams.count ?? 0) {
      if let answer = unsafe session.pointee.h2?.streams[index].answer,
        answer != TargetReplies.none
      {
        forget(answer)
      }
    }
  }

  // MARK: Out

  /// Sends what is due of all streams, as far as it goes into one piece.
  mutating func transmitFrames(
    _ row: Int, _ session: UnsafeMutablePointer<TargetSession>, on ring: borrowing Ring,
    nowNs: UInt64
  ) {
    let connection = unsafe connections + row
    guard unsafe session.pointee.ending == .none else {
      _ = flush(row, on: ring)
      return
    }
    let room = unsafe session.pointee.byteCountMax(Self.framesByteCountMax)
    guard unsafe Self.framesByteCountMax + room <= arena.count - arenaByteCount else {
      isStuck = true
      return touch(row)
    }
    var output = unsafe frames(behind: session)
    let isAll = unsafe writeStreams(row, session, into: &output, nowNs: nowNs)
    let ending = unsafe session.pointee.ending
    guard unsafe output.byteCount > 0 || session.pointee.hasOutput else {
      unsafe session.pointee.ending = .none
      if unsafe ending != .none
        || connection.pointee.peerHasFinished && !awaitsTime(session, nowNs: nowNs)
      {
        end(row, .finish, on: ring, nowNs: nowNs)
      }
      return
    }
    guard output.byteCount > 0 else {
      _ = flush(row, on: ring)
      return
    }
    guard let bytes = unsafe wireBytes(session, output) else { return close(row) }
    let isSilent = unsafe isAll && ending == .none && !connection.pointee.peerHasFinished
    unsafe ring.sendNow(
      slot: UInt32(truncatingIfNeeded: row), bytes: bytes, isSilent: isSilent,
      token: token(.send, row))
    unsafe connection.pointee.waits = isSilent ? .nothing : .send
    page.add(.bytesSent, bytes.count)
  }

  /// Where frames are written: right behind what was kept, or where they are sealed from.
  func frames(behind session: UnsafeMutablePointer<TargetSession>) -> OutgoingBytes {
    let start = unsafe arenaByteCount + session.pointee.plainByteCount
    return unsafe OutgoingBytes(
      UnsafeMutableRawBufferPointer(
        rebasing: arena[start..<min(arena.count, start + Self.framesByteCountMax)]))
  }

  /// Frames on the wire, behind what goes before them. Nil when TLS has failed.
  mutating func wireBytes(
    _ session: UnsafeMutablePointer<TargetSession>, _ frames: OutgoingBytes
  ) -> UnsafeRawBufferPointer? {
    let start = arenaByteCount
    let framesStart = unsafe start + session.pointee.plainByteCount
    arenaByteCount = framesStart + frames.byteCount
    if unsafe session.pointee.tls == nil {
      _ = unsafe session.pointee.writeOutput(
        into: UnsafeMutableRawBufferPointer(rebasing: arena[start..<framesStart]))
      return unsafe sending(from: start, session)
    }
    let bytes = unsafe seal(
      UnsafeRawBufferPointer(rebasing: arena[framesStart..<arenaByteCount]), session)
    return unsafe (bytes?.count ?? 0) > 0 ? bytes : nil
  }

  /// Some answer will be due.
  private func awaitsTime(
    _ session: UnsafeMutablePointer<TargetSession>, nowNs: UInt64
  ) -> Bool {
    unsafe session.pointee.h2?.streams.contains {
      $0.answer != TargetReplies.none && replies[$0.answer].dueNs > nowNs
    } ?? false
  }

  /// False when more is due than there was room for.
  private mutating func writeStreams(
    _ row: Int, _ session: UnsafeMutablePointer<TargetSession>, into output: inout OutgoingBytes,
    nowNs: UInt64
  ) -> Bool {
    unsafe session.pointee.h2?.write(into: &output)
    var isAll = true
    for place in 0..<(unsafe session.pointee.h2?.streams.count ?? 0) {
      guard let answer = unsafe session.pointee.h2?.streams[place].answer,
        answer != TargetReplies.none, replies[answer].dueNs <= nowNs
      else { continue }
      guard output.room >= Self.streamByteCountMin, unsafe session.pointee.ending == .none else {
        isAll = false
        break
      }
      if unsafe !write(answer, place, row, session, into: &output, nowNs: nowNs) { isAll = false }
    }
    unsafe session.pointee.h2?.removeFinished()
    if unsafe session.pointee.h2?.isDone ?? false { unsafe session.pointee.ending = .finish }
    // What a last answer, or the end itself, has made the protocol say.
    if unsafe session.pointee.h2?.hasOutput ?? false, output.room >= H2Server.controlByteCountMax {
      unsafe session.pointee.h2?.write(into: &output)
    }
    return unsafe isAll && !(session.pointee.h2?.hasOutput ?? false)
  }

  /// Writes what there is room for of one answer. False when there was too little.
  private mutating func write(
    _ index: Int32, _ place: Int, _ row: Int, _ session: UnsafeMutablePointer<TargetSession>,
    into output: inout OutgoingBytes, nowNs: UInt64
  ) -> Bool {
    let reply = replies[index]
    let answer = reply.answer
    if reply.byteCount == 0 {
      switch reply.ending {
      case .hang: return true
      case .reset:
        unsafe finish(index, place, session)
        if unsafe session.pointee.h2?.reset(place, .internalError) != true { close(row) }
      case .none, .finish: unsafe session.pointee.ending = .finish
      }
      return true
    }
    guard answer.note != .garbage else {
      let text = answer.note.text
      unsafe output.append(
        UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
      unsafe finish(index, place, session)
      return true
    }
    let isHalf = reply.ending == .finish && !answer.traits.contains(.closes)
    let byteCount = isHalf ? answer.bodyByteCountSent / 2 : answer.bodyByteCountSent
    if unsafe session.pointee.h2?.streams[place].isHeadWritten == false {
      unsafe session.pointee.h2?.writeHead(
        place, status: answer.status, contentLength: answer.contentLength,
        isEnd: byteCount == 0 && !isHalf, into: &output)
    }
    while case let sent = unsafe Int(session.pointee.h2?.streams[place].sentByteCount ?? 0),
      sent < byteCount
    {
      let room = unsafe session.pointee.h2?.dataRoom(place, output) ?? 0
      // A window is closed, which its opening ends, or this piece is full.
      guard room > 0 else { return output.room >= Self.streamByteCountMin }
      let pieceByteCount = reply.isDripping ? 1 : min(room, byteCount - sent)
      let text = unsafe countTexts[reply.countText]
      unsafe session.pointee.h2?.writeData(
        place, byteCount: pieceByteCount, isEnd: !isHalf && sent + pieceByteCount == byteCount,
        into: &output
      ) { room in
        unsafe answer.writeBody(from: sent, into: room, greetings: greetings, text: text)
      }
      guard reply.isDripping, sent + pieceByteCount < byteCount else { continue }
      replies[index].dueNs = (reply.dueNs == 0 ? nowNs : reply.dueNs) + TargetReply.dripNs
      if !touch(row, atNs: replies[index].dueNs) { close(row) }
      return true
    }
    if isHalf { unsafe session.pointee.ending = .finish }
    if reply.count > 1 {
      replies[index].count = 1
      unsafe session.pointee.h2?.repeatAnswer(place)
      touch(row)
      return true
    }
    unsafe finish(index, place, session)
    if answer.traits.contains(.closes) { unsafe session.pointee.h2?.goAway() }
    return true
  }

  private mutating func finish(
    _ index: Int32, _ place: Int, _ session: UnsafeMutablePointer<TargetSession>
  ) {
    forget(index)
    unsafe session.pointee.h2?.finish(place)
  }

  /// Says to every client with a session that this is the end, as far as sockets take it.
  mutating func sayGoodbye(on ring: borrowing Ring, nowNs: UInt64) {
    for row in 0..<initializedCount {
      guard let session = unsafe connections[row].session, unsafe connections[row].state == .open
      else { continue }
      unsafe session.pointee.h2?.goAway()
      leave(row, on: ring, nowNs: nowNs)
    }
  }
}
