internal import CTLS
internal import Glibc
internal import SquallEngine
internal import SquallHTTP
internal import SquallTLS

/// Requests in.
extension TargetServer {
  mutating func open(_ row: Int, on ring: borrowing Ring) {
    while initializedCount <= row {
      unsafe (connections + initializedCount).initialize(to: TargetConnection())
      initializedCount += 1
    }
    precondition(unsafe connections[row].state == .unused, "row \(row) is taken")
    unsafe connections[row].state = .open
    openCount += 1
    page.add(.accepted)
    listen(row, on: ring)
  }

  /// Arms the receive.
  func listen(_ row: Int, on ring: borrowing Ring) {
    guard unsafe !connections[row].isReceiving && !connections[row].peerHasFinished else { return }
    ring.receive(slot: UInt32(truncatingIfNeeded: row), token: token(.receive, row))
    unsafe connections[row].isReceiving = true
  }

  @inline(__always)
  mutating func received(
    _ row: Int, _ completion: Completion, on ring: borrowing Ring, nowNs: UInt64
  ) {
    let connection = unsafe connections + row
    unsafe connection.pointee.isReceiving = completion.hasMore
    if completion.result > 0, let buffer = completion.buffer {
      page.add(.bytesReceived, Int(completion.result))
      if unsafe connection.pointee.state == .open && !connection.pointee.ignoresInput {
        let bytes = unsafe ring.bytes(buffer, count: completion.result)
        let arrivedNs = isTimed || notesArrivals ? monotonicNs() : nowNs
        if let session = unsafe connection.pointee.session {
          unsafe read(bytes, row, session, nowNs: arrivedNs)
        } else {
          unsafe read(UnsafeRawBufferPointer(bytes), row, nowNs: arrivedNs)
        }
      } else {
        unsafe connection.pointee.peerIsDone = false
      }
      if !completion.hasMore { touch(row) }
      return
    }
    switch -completion.result {
    case 0:
      unsafe connection.pointee.peerHasFinished = true
      touch(row)
    // All buffers were full this turn; they are free by the next.
    case ENOBUFS: touch(row)
    default: close(row)
    }
  }

  @inline(__always)
  private mutating func read(_ bytes: UnsafeRawBufferPointer, _ row: Int, nowNs: UInt64) {
    let connection = unsafe connections + row
    var rest = unsafe bytes
    while rest.count > 0, unsafe !connection.pointee.ignoresInput {
      if unsafe !connection.pointee.parser.hasBegun, unsafe isUsual(rest), let usual {
        unsafe rest = UnsafeRawBufferPointer(rebasing: rest[usualByteCount...])
        arrived(row, usual.request, usual.reply, nowNs: nowNs)
      } else if unsafe !connection.pointee.hasSpoken {
        guard unsafe beginsHTTP1(rest, row, nowNs: nowNs) else { return }
      } else {
        unsafe rest = UnsafeRawBufferPointer(
          rebasing: rest[parse(rest, row, nowNs: nowNs)...])
      }
    }
    if rest.count > 0 { unsafe connection.pointee.peerIsDone = false }
  }

  /// Looks at a connection's first bytes. False when they were taken: they are TLS, HTTP/2, or the
  /// beginning of its preface.
  private mutating func beginsHTTP1(
    _ bytes: UnsafeRawBufferPointer, _ row: Int, nowNs: UInt64
  ) -> Bool {
    let connection = unsafe connections + row
    // The type of a handshake's record (RFC 8446 section 5.1), with which no request begins.
    if let tls, unsafe connection.pointee.session == nil, unsafe bytes[0] == 22 {
      guard let made = unsafe squall_tls_create(tls.raw, nil) else {
        close(row)
        return false
      }
      let session = unsafe begin(row, made)
      // The buffer is ours until it is recycled.
      unsafe read(UnsafeMutableRawBufferPointer(mutating: bytes), row, session, nowNs: nowNs)
      return false
    }
    let before = unsafe Int(connection.pointee.prefaceByteCount)
    let preface = H2Server.preface
    var at = 0
    while at < bytes.count, before + at < preface.utf8CodeUnitCount,
      unsafe bytes[at] == preface.utf8Start[before + at]
    {
      at += 1
    }
    if before + at == preface.utf8CodeUnitCount, Self.speaksHTTP2(options) {
      unsafe connection.pointee.hasSpoken = true
      let session = unsafe connection.pointee.session ?? begin(row, nil)
      unsafe session.pointee.h2 = H2Server()
      unsafe readFrames(
        UnsafeRawBufferPointer(rebasing: bytes[at...]), row, session, nowNs: nowNs)
      return false
    }
    guard at < bytes.count || before + at == preface.utf8CodeUnitCount else {
      unsafe connection.pointee.prefaceByteCount = UInt8(before + at)
      return false
    }
    unsafe connection.pointee.hasSpoken = true
    if before > 0 {
      _ = unsafe parse(
        UnsafeRawBufferPointer(start: preface.utf8Start, count: before), row, nowNs: nowNs)
    }
    return true
  }

  private func begin(_ row: Int, _ tls: OpaquePointer?) -> UnsafeMutablePointer<TargetSession> {
    let session = UnsafeMutablePointer<TargetSession>.allocate(capacity: 1)
    unsafe session.initialize(to: TargetSession(tls))
    unsafe connections[row].session = session
    return unsafe session
  }

  private mutating func read(
    _ bytes: UnsafeMutableRawBufferPointer, _ row: Int,
    _ session: UnsafeMutablePointer<TargetSession>, nowNs: UInt64
  ) {
    if let tls = unsafe session.pointee.tls {
      unsafe unseal(bytes, row, session, tls, nowNs: nowNs)
    } else {
      unsafe readFrames(UnsafeRawBufferPointer(bytes), row, session, nowNs: nowNs)
    }
  }

  /// Cipher bytes in. A step of a handshake is done at once: a target has nothing better to do.
  private mutating func unseal(
    _ bytes: UnsafeMutableRawBufferPointer, _ row: Int,
    _ session: UnsafeMutablePointer<TargetSession>, _ tls: OpaquePointer, nowNs: UInt64
  ) {
    var rest = unsafe bytes
    // What the bytes call for goes out with this turn.
    defer { if unsafe session.pointee.hasOutput { touch(row) } }
    while unsafe !connections[row].ignoresInput {
      var used = 0
      var plain = unsafe squall_tls_bytes()
      let result = unsafe squall_tls_receive(
        tls, rest.baseAddress?.assumingMemoryBound(to: UInt8.self), rest.count, &used, &plain)
      unsafe rest = UnsafeMutableRawBufferPointer(rebasing: rest[used...])
      switch result {
      case SQUALL_TLS_READY:
        let plain = unsafe UnsafeRawBufferPointer(start: plain.bytes, count: plain.count)
        if unsafe session.pointee.h2 == nil {
          unsafe read(plain, row, nowNs: nowNs)
        } else {
          unsafe readFrames(plain, row, session, nowNs: nowNs)
        }
      case SQUALL_TLS_STEP:
        guard unsafe step(row, tls) else { return }
      case SQUALL_TLS_CLOSED:
        unsafe connections[row].peerHasFinished = true
        return touch(row)
      case SQUALL_TLS_FAILED: return fail(row)
      default: return
      }
    }
  }

  /// False when nothing more can be read for now.
  private mutating func step(_ row: Int, _ tls: OpaquePointer) -> Bool {
    switch unsafe squall_tls_step(tls) {
    case SQUALL_TLS_READY:
      var facts = squall_tls_facts()
      unsafe squall_tls_facts(tls, &facts)
      page.add(facts.is_resumed ? .resumedHandshakes : .fullHandshakes)
      return true
    case SQUALL_TLS_FAILED:
      fail(row)
      return false
    default: return false
    }
  }

  /// TLS has failed: its alert is the last that is said.
  private mutating func fail(_ row: Int) {
    page.add(.tlsFailures)
    unsafe connections[row].ignoresInput = true
    unsafe connections[row].state = .leaving
    touch(row)
  }

  @inline(__always)
  private func isUsual(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard usualByteCount > 0, bytes.count >= usualByteCount,
      let here = bytes.baseAddress, let there = unsafe usualBytes.baseAddress
    else { return false }
    return unsafe memcmp(here, there, usualByteCount) == 0
  }

  /// Reads until the end of a request or of the bytes. Returns how many it read.
  private mutating func parse(
    _ bytes: UnsafeRawBufferPointer, _ row: Int, nowNs: UInt64
  ) -> Int {
    let connection = unsafe connections + row
    let isWhole = unsafe !connection.pointee.parser.hasBegun
    let scratch =
      unsafe connection.pointee.scratch.map {
        unsafe UnsafeMutableRawBufferPointer(start: $0, count: Self.targetByteCountMax)
      } ?? self.scratch
    switch unsafe connection.pointee.parser.consume(bytes, scratch: scratch) {
    case .needsMore:
      unsafe keepTarget(row, in: bytes)
      unsafe shop?.keep(bytes, row: row)
      meetHead(row, nowNs: nowNs)
      return bytes.count
    case .complete(let byteCount):
      let target = unsafe RequestTarget(
        connection.pointee.parser.target(in: bytes, scratch: scratch))
      let whole = unsafe UnsafeRawBufferPointer(rebasing: bytes[..<byteCount])
      if unsafe shopAnswered(row, whole, target: target, nowNs: nowNs) {
        unsafe connection.pointee.parser.reset()
        return byteCount
      }
      let request = unsafe TargetRequest(
        connection.pointee.parser, isComplete: true, target: target, paths: &paths)
      let reply = reply(to: request)
      unsafe connection.pointee.parser.reset()
      if isWhole, !request.isCount, byteCount <= Self.usualByteCountMax {
        unsafe usualBytes.copyMemory(from: whole)
        usualByteCount = byteCount
        usual = (request, reply)
      }
      arrived(row, request, reply, nowNs: nowNs)
      return byteCount
    case .malformed(let cause):
      page.add(.malformed)
      let answer = TargetAnswer(status: 400, note: .malformed(cause), traits: .closes)
      enqueue(row, reply(with: answer))
      return bytes.count
    }
  }

  /// The buffer goes back to the ring: gives the connection a scratch of its own.
  private func keepTarget(_ row: Int, in bytes: UnsafeRawBufferPointer) {
    guard unsafe connections[row].scratch == nil else { return }
    let own = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Self.targetByteCountMax, alignment: 1)
    unsafe own.copyMemory(from: connections[row].parser.target(in: bytes, scratch: scratch))
    unsafe connections[row].scratch = own.baseAddress
  }

  /// What is done once the head is here and the body is not.
  private mutating func meetHead(_ row: Int, nowNs: UInt64) {
    let connection = unsafe connections + row
    let awaitsContinue = unsafe connection.pointee.parser.awaitsContinue
    guard unsafe !connection.pointee.hasMetHead,
      unsafe awaitsContinue || connection.pointee.parser.bodyByteCount > 0,
      let start = unsafe connection.pointee.scratch
    else { return }
    unsafe connection.pointee.hasMetHead = true
    let scratch = unsafe UnsafeMutableRawBufferPointer(
      start: start, count: Self.targetByteCountMax)
    // By now the target stands in the scratch, whatever the bytes were.
    let target = unsafe RequestTarget(
      connection.pointee.parser.target(in: UnsafeRawBufferPointer(scratch), scratch: scratch))
    let request = unsafe TargetRequest(
      connection.pointee.parser, isComplete: false, target: target, paths: &paths)
    if request.fault == .early {
      unsafe connection.pointee.isAnswered = true
      enqueue(row, reply(to: request))
    } else if awaitsContinue {
      enqueue(row, reply(with: TargetAnswer(status: 100, note: .proceed, traits: [])))
    }
  }

  /// A request is here to its last byte.
  @inline(__always)
  mutating func arrived(
    _ row: Int, _ request: TargetRequest, _ reply: TargetReply, nowNs: UInt64
  ) {
    unsafe connections[row].hasSpoken = true
    if request.isCount { return enqueue(row, countReply(request)) }
    if request.isLast { unsafe connections[row].peerIsDone = true }
    var reply = reply
    reply.dueNs = note(request, nowNs: nowNs)
    if unsafe connections[row].hasMetHead {
      unsafe connections[row].hasMetHead = false
      if unsafe connections[row].isAnswered {
        unsafe connections[row].isAnswered = false
        return finishAnswered(row, request)
      }
    }
    enqueue(row, reply)
  }

  /// The answer went before the end of the request: what is left is whether the connection goes on.
  private mutating func finishAnswered(_ row: Int, _ request: TargetRequest) {
    guard request.answer.traits.contains(.closes) else { return }
    var reply = reply(to: request)
    reply.byteCount = 0
    enqueue(row, reply)
  }

  /// Counts a request. Returns when its answer is due: 0 for at once.
  @inline(__always)
  mutating func note(_ request: TargetRequest, nowNs: UInt64) -> UInt64 {
    page.add(.requests)
    page.path(Int(request.path)).add()
    if notesArrivals { page.noteArrival(ns: nowNs) }
    return isTimed || request.isTimed ? dueNs(of: request, arrivedNs: nowNs) : 0
  }

  /// What `/count` is answered with.
  mutating func countReply(_ request: TargetRequest) -> TargetReply {
    let text = memory.counts.json
    if request.resetsCounts { memory.reset() }
    let traits = request.answer.traits
    var copy = text
    let index = copy.withUTF8 { unsafe countTexts.insert(UnsafeRawBufferPointer($0)) }
    guard let index else {
      return reply(with: TargetAnswer(status: 503, note: .tooManyCounts, traits: traits))
    }
    var reply = reply(with: TargetAnswer(countByteCount: text.utf8.count, traits: traits))
    reply.countText = index
    return reply
  }
}

/// When an answer is due.
extension TargetServer {
  /// An instant on the monotonic clock; 0 for at once.
  private mutating func dueNs(of request: TargetRequest, arrivedNs: UInt64) -> UInt64 {
    // Without options the clock was read for a slice of completions, up to 3 µs ago.
    let arrivedNs = isTimed || notesArrivals ? arrivedNs : monotonicNs()
    var dueNs = serve(arrivedNs: arrivedNs)
    dueNs = dueNs.later(by: request.delayNs ?? options.delayNs)
    if request.stallNs > 0 {
      if page.path(Int(request.path)).count % request.stallEvery == 0 {
        dueNs = dueNs.later(by: request.stallNs)
      }
    } else if options.stallNs > 0, page[.requests] % max(1, options.stallEvery) == 0 {
      dueNs = dueNs.later(by: options.stallNs)
    }
    dueNs = thaw(dueNs, arrivedNs: arrivedNs)
    return dueNs == arrivedNs ? 0 : dueNs
  }

  /// When a request has been served. All take equally long, so they leave their slots in the order
  /// they came: the one that arrives as number i begins when number i − slots has left.
  private mutating func serve(arrivedNs: UInt64) -> UInt64 {
    guard options.slotCount > 0 else { return arrivedNs.later(by: options.serviceNs) }
    let dueNs = unsafe max(arrivedNs, departures[nextSlot]).later(by: options.serviceNs)
    unsafe departures[nextSlot] = dueNs
    nextSlot = nextSlot + 1 == Int(options.slotCount) ? 0 : nextSlot + 1
    return dueNs
  }

  private mutating func thaw(_ dueNs: UInt64, arrivedNs: UInt64) -> UInt64 {
    guard options.freezeForNs > 0 else { return dueNs }
    if freeze == nil {
      if memory.firstRequestNs == nil { memory.noteFirstRequest(ns: arrivedNs) }
      let fromNs = (memory.firstRequestNs ?? arrivedNs).later(by: options.freezeAfterNs)
      freeze = fromNs..<fromNs.later(by: options.freezeForNs)
    }
    // Another process's first request may have been noted later than this one arrived.
    guard let freeze, let firstNs = memory.firstRequestNs, freeze.contains(max(dueNs, firstNs))
    else { return dueNs }
    return freeze.upperBound
  }
}

extension UInt64 {
  /// The sum, or what is never reached.
  fileprivate func later(by durationNs: UInt64) -> UInt64 {
    let (sum, overflow) = addingReportingOverflow(durationNs)
    return overflow ? .max : sum
  }
}
