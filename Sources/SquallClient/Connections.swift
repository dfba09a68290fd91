internal import SquallEngine
internal import SquallHTTP
internal import SquallLoad

/// One CPU's worth of load: the connections, and what ties engine, HTTP, pacing and counting
/// together.
///
/// It knows how connections live: opening, resting, reopening, deadlines, buffers, counting. What is
/// said on them is the traffic's, how it stands in bytes the dialect's, and how bytes travel the
/// wire's. All three are types known at compile time, so that a plain run carries none of the others.
///
/// A row is a slot of the ring's registered files. Rows 0 ..< `wantedCount` are kept open; each
/// sends when the pacer gives it a request, and is replaced when it breaks. All instants are of the
/// monotonic clock except the pacer's, which count from the run's start.
@safe
struct Connections<
  Job: Traffic & ~Copyable, Talk: Dialect & ~Copyable, Line: Wire & ~Copyable
>: ~Copyable {
  /// Connections being opened at once while the load builds up, so that a burst does not overflow
  /// the target's listen queue.
  static var openingCountMax: Int { 256 }
  /// Beside a load an opening waits for a turn of all connections. So more are opened at once: one
  /// for so many that are started.
  static var startedPerOpening: Int { 8 }
  /// Requests whose bytes in flight fit this need no word of a completed send: a socket's send
  /// buffer takes them whole (tcp_wmem's default is 16 KiB, tcp(7)).
  static var silentByteCountMax: Int { 16_384 }
  /// What a dialect that composes may write at once, at least.
  static var composedByteCountMin: Int { 16_384 }

  let plan: Plan
  /// Of all origins, one after the other, and where those of each stand.
  let peers: AddressList
  let peerRanges: [Range<Int>]
  let sources: AddressList
  let depth: UInt32
  let rows: Rows<Connection<Talk>>
  let flights: Flights
  /// The plan's request, `depth` times over, so that one send carries several.
  let requests: UnsafeMutableBufferPointer<UInt8>
  let requestByteCount: Int
  /// Where bytes stand before they are sealed.
  let scratch: UnsafeMutableRawBufferPointer
  let sendsSilently: Bool
  let isOpenLoop: Bool

  var job: Job
  var common: Talk.Common
  var line: Line
  var wheel: DeadlineWheel
  var idle: FixedQueue<Int>
  /// Rows whose handshake has a step to do.
  var handshakes: FixedQueue<Int>
  /// Rows that ended and may not be opened again yet, since so many others are being opened.
  var waiting: FixedQueue<Int>
  var duty: Duty
  var log: IntervalLog
  var outgoing: OutgoingBuffers
  /// Requests of users as they were rendered, one a lane, where what goes out is made of them.
  var renderings: OutgoingBuffers
  /// Requests that a peer has not looked at, to be sent again before any other.
  var unprocessed: FixedQueue<UInt64>

  /// Rows the share wants open.
  var wantedCount = 0
  /// Rows that were ever asked to open; the next to open while the load builds up.
  var startedCount = 0
  var openingCount = 0
  var readyCount = 0
  var inFlightCount = 0
  /// How long it took to connect the socket that is the first connection; nil once it is in use, and
  /// when there is none.
  var firstConnectNs: UInt64?
  /// A head of an answer was looked at for what it says of all.
  var hasFirstHead = false
  /// Requests sent in this process's life.
  var sentCount: UInt64 = 0
  var inFlightLimit = Int.max
  /// Since when, in run time, requests are due that no connection is free for; `UInt64.max` when none
  /// is. What falls due meanwhile is late by the target's doing, not by ours.
  var blockedSinceNs: UInt64 = .max
  /// What the duty said last of whether requests may go out.
  var isSending = false
  /// Users that may be there; those of higher rows are not there yet, or not any more.
  var admittedCount = Int.max
  /// The load is over, and users do what they have to do before they go.
  var isLastOrders = false

  init(
    setup: WorkerSetup, region: borrowing SharedRegion, nowNs: UInt64, job: consuming Job,
    common: Talk.Common, line: consuming Line, depth: UInt32, composedByteCount: Int = 0
  ) {
    plan = setup.plan
    firstConnectNs = setup.firstConnectNs
    peers = AddressList(setup.peers.flatMap { $0 })
    var end = 0
    peerRanges = setup.peers.map { addresses in
      defer { end += addresses.count }
      return end..<end + addresses.count
    }
    sources = AddressList(setup.sources)
    let rowCount = Int(setup.connectionCountMax)
    self.depth = depth
    rows = Rows(count: rowCount) { Connection() }
    flights = Flights(connectionCount: rowCount, depth: Int(depth))
    let request = plan.content.endpoints[0].request
    let copyCount = Talk.composes || Job.hasUsers ? 1 : Int(depth)
    requestByteCount = request.count
    unsafe requests = .allocate(capacity: max(1, request.count * copyCount))
    for index in 0..<copyCount {
      _ = unsafe UnsafeMutableBufferPointer(
        rebasing: requests[index * request.count..<(index + 1) * request.count]
      ).initialize(from: request)
    }
    let plainByteCount =
      Talk.composes
      ? max(Self.composedByteCountMin, composedByteCount)
      : max(request.count * copyCount, job.renderedByteCountMax)
    let hasBuffers = Line.seals || Talk.composes || Job.hasUsers
    outgoing = OutgoingBuffers(
      byteCount: hasBuffers ? line.sealedByteCountMax(plainByteCount) : 0,
      count: hasBuffers ? rowCount : 0)
    let hasRenderings = Talk.composes && Job.hasUsers
    renderings = OutgoingBuffers(
      byteCount: hasRenderings ? job.renderedByteCountMax : 0,
      count: hasRenderings ? min(rowCount * Int(depth), job.userRowCount) : 0,
      rowCount: hasRenderings ? rowCount * Int(depth) : 0)
    let rendersFirst = Line.seals && (Talk.composes || Job.hasUsers)
    unsafe scratch = .allocate(byteCount: rendersFirst ? plainByteCount : 1, alignment: 64)
    // A buffer that an answer gives back serves one request at a time.
    sendsSilently =
      line.sealedByteCountMax(plainByteCount) <= Self.silentByteCountMax && !Talk.composes
      && (!hasBuffers || depth == 1)
    if case .open = plan.load { isOpenLoop = true } else { isOpenLoop = false }
    wheel = DeadlineWheel(
      slotCount: rowCount, nowNs: nowNs,
      tickShift: Job.hasUsers ? DeadlineWheel.fineShift : DeadlineWheel.coarseShift)
    idle = FixedQueue(capacity: rowCount)
    handshakes = FixedQueue(capacity: Line.seals ? rowCount : 0)
    waiting = FixedQueue(capacity: rowCount)
    unprocessed = FixedQueue(capacity: rowCount * Int(depth))
    duty = Duty(plan)
    log = IntervalLog(region: region, plan: plan)
    self.job = job
    self.common = common
    self.line = line
  }

  deinit {
    unsafe requests.deallocate()
    unsafe scratch.deallocate()
  }

  func token(_ operation: Operation, _ row: Int) -> Token {
    Token(
      operation: operation.rawValue, generation: rows[row].generation,
      slot: UInt32(truncatingIfNeeded: row))
  }
}

extension Connections where Job: ~Copyable, Talk: ~Copyable, Line: ~Copyable {
  /// Routes one completion to the connection that armed it.
  @inline(__always)
  mutating func complete(
    _ completion: Completion, _ token: Token, on ring: borrowing Ring, nowNs: UInt64
  ) {
    // The kernel lent us this buffer, whatever has become of the connection since.
    defer { if let buffer = completion.buffer { ring.recycle(buffer) } }
    let row = Int(token.slot)
    guard rows[row].generation & Token.generationMask == token.generation else {
      return  // The row has a new tenant, and this is not for it.
    }
    switch Operation(rawValue: token.operation) {
    case .receive: received(row, completion, on: ring, nowNs: nowNs)
    case .send: sent(row, completion, on: ring, nowNs: nowNs)
    case .connect: connected(row, completion, on: ring, nowNs: nowNs)
    case .close, .command, .notice, nil:
      preconditionFailure("not a connection's operation: \(token.operation)")
    }
  }

  /// Everything that was sent has ended, and at the load's end all users are gone.
  var isIdle: Bool {
    inFlightCount == 0 && unprocessed.count == 0 && (!isLastOrders || job.leavingCount == 0)
      && job.waitingArrivalCount == 0
  }

  /// Ends the counting. Connections that were part of the load are counted for fairness.
  mutating func finish(on ring: borrowing Ring, nowNs: UInt64) {
    while let scheduledNs = unprocessed.popFirst() {
      log.failed(scheduledNs: scheduledNs, .closed, endpoint: 0)
    }
    while let scheduledNs = job.giveUpArrival() {
      log.iterationsDropped(scheduledNs: scheduledNs, count: 1)
    }
    for row in 0..<rows.count { claimRest(row) }
    let fairness = log.fairness
    for row in 0..<startedCount { fairness.record(UInt64(rows[row].okCount) << 9) }
    log.finish(nowNs: nowNs, connections: readyCount, systemCalls: ring.systemCalls)
  }
}
