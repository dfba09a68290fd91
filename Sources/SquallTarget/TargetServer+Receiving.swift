internal import CSquall
internal import Glibc
internal import SquallEngine
internal import SquallHTTP

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
        unsafe read(bytes, row, nowNs: isTimed || notesArrivals ? monotonicNs() : nowNs)
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
      } else {
        unsafe rest = UnsafeRawBufferPointer(
          rebasing: rest[parse(rest, row, nowNs: nowNs)...])
      }
    }
    if rest.count > 0 { unsafe connection.pointee.peerIsDone = false }
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
      meetHead(row, nowNs: nowNs)
      return bytes.count
    case .complete(let byteCount):
      let target = unsafe RequestTarget(
        connection.pointee.parser.target(in: bytes, scratch: scratch))
      let request = unsafe TargetRequest(
        connection.pointee.parser, isComplete: true, target: target, paths: &paths)
      let reply = reply(to: request)
      unsafe connection.pointee.parser.reset()
      if isWhole, !request.isCount, byteCount <= Self.usualByteCountMax {
        unsafe usualBytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<byteCount]))
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
  private mutating func arrived(
    _ row: Int, _ request: TargetRequest, _ reply: TargetReply, nowNs: UInt64
  ) {
    if request.isCount { return tellCounts(row, request) }
    page.add(.requests)
    page.path(Int(request.path)).add()
    if request.isLast { unsafe connections[row].peerIsDone = true }
    if notesArrivals { page.noteArrival(ns: nowNs) }
    var reply = reply
    if isTimed || request.isTimed { reply.dueNs = dueNs(of: request, arrivedNs: nowNs) }
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

  private mutating func tellCounts(_ row: Int, _ request: TargetRequest) {
    let text = memory.counts.json
    if request.resetsCounts { memory.reset() }
    let traits = request.answer.traits
    guard let index = countTexts.insert(text) else {
      return enqueue(
        row, reply(with: TargetAnswer(status: 503, note: .tooManyCounts, traits: traits)))
    }
    var reply = reply(
      with: TargetAnswer(countByteCount: text.utf8.count, traits: traits))
    reply.countText = index
    enqueue(row, reply)
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
