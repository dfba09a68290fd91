internal import CSquall
internal import SquallEngine
internal import SquallHTTP
internal import SquallLoad
internal import SquallScenario

/// One CPU's worth of load: the connections, and what ties engine, HTTP, pacing and counting
/// together.
///
/// A row is a slot of the ring's registered files. Rows 0 ..< `wantedCount` are kept open; each
/// sends when the pacer gives it a request, and is replaced when it breaks. All instants are of the
/// monotonic clock except the pacer's, which count from the run's start.
@safe struct ConnectionTable: ~Copyable {
  /// Connections being opened at once while the load builds up, so that a burst does not overflow
  /// the target's listen queue.
  static let openingCountMax = 256
  /// Beside a load each opening waits for a turn of all connections, so that they must be more:
  /// one for so many that are started.
  static let startedPerOpening = 8
  /// Requests whose bytes in flight fit this need no word of a completed send: a socket's send
  /// buffer takes them whole (tcp_wmem's default is 16 KiB, tcp(7)).
  static let silentByteCountMax = 16_384

  let plan: Plan
  let peers: AddressList
  let sources: AddressList
  let rowCount: Int
  let pipeline: UInt32
  let connections: UnsafeMutablePointer<Connection>
  let flights: UnsafeMutablePointer<Flight>
  /// The request's bytes, `pipeline` times over, so that one send carries several.
  let requests: UnsafeMutableBufferPointer<UInt8>
  let requestByteCount: Int
  let expectsNoBody: Bool
  let sendsSilently: Bool
  let isOpenLoop: Bool
  let isScripted: Bool

  var wheel: DeadlineWheel
  var idle: SlotQueue
  var pacer: Pacer
  var log: IntervalLog
  var machine: Machine
  var outgoing: OutgoingBuffers
  /// Users of all workers are numbered: this worker's first, and how far the next is.
  var firstUser: UInt64 = 0
  var userStride: UInt64 = 1

  /// Rows the share wants open.
  var wantedCount = 0
  /// Rows that were ever asked to open; the next to open while the load builds up.
  var startedCount = 0
  var openingCount = 0
  var readyCount = 0
  var inFlightCount = 0
  /// Requests sent in this process's life.
  var sentCount: UInt64 = 0
  var inFlightLimit = Int.max
  /// Since when, in run time, requests are due that no connection is free for; `UInt64.max` when none
  /// is. What falls due meanwhile is late by the target's doing, not by ours.
  var blockedSinceNs: UInt64 = .max
  /// Requests may go out: started, within the lease, not stopped.
  var isSending = false

  init(
    setup: WorkerSetup, region: borrowing SharedRegion, nowNs: UInt64
  ) {
    plan = setup.plan
    peers = AddressList(setup.peers)
    sources = AddressList(setup.sources)
    rowCount = Int(setup.connectionCountMax)
    pipeline = plan.pipeline
    unsafe connections = .allocate(capacity: rowCount)
    unsafe connections.initialize(repeating: Connection(), count: rowCount)
    unsafe flights = .allocate(capacity: rowCount * Int(pipeline))
    let request = plan.endpoints[0].request
    requestByteCount = request.count
    expectsNoBody = plan.endpoints[0].expectsNoBody
    unsafe requests = .allocate(capacity: request.count * Int(pipeline))
    for index in 0..<Int(pipeline) {
      _ = unsafe UnsafeMutableBufferPointer(
        rebasing: requests[index * request.count..<(index + 1) * request.count]
      ).initialize(from: request)
    }
    isScripted = !plan.program.isEmpty
    var program = Program()
    if isScripted {
      guard let sent = Program(bytes: plan.program) else {
        preconditionFailure("a plan with a program that is none")
      }
      program = sent
    }
    outgoing = OutgoingBuffers(
      byteCount: program.renderedByteCountMax, count: isScripted ? rowCount : 0)
    sendsSilently =
      max(request.count * Int(pipeline), outgoing.byteCount) <= Self.silentByteCountMax
    machine = Machine(
      program: program, seed: plan.seed, userCount: UInt64(plan.connections),
      rowCount: isScripted ? rowCount : 0)
    let (wallNs, monotonicNs) = (squall_wall_ns(), squall_now_ns())
    machine.wallOffsetNs = wallNs - min(wallNs, monotonicNs)
    if case .open = plan.load { isOpenLoop = true } else { isOpenLoop = false }
    wheel = DeadlineWheel(
      slotCount: rowCount, nowNs: nowNs,
      tickShift: isScripted ? DeadlineWheel.fineShift : DeadlineWheel.coarseShift)
    idle = SlotQueue(capacity: rowCount)
    pacer = Pacer(load: plan.load, share: .none, endNs: 0)
    log = IntervalLog(region: region, plan: plan)
  }

  deinit {
    unsafe connections.deallocate()
    unsafe flights.deallocate()
    unsafe requests.deallocate()
  }

  func token(_ operation: Operation, _ row: Int) -> Token {
    Token(
      operation: operation.rawValue, generation: unsafe connections[row].generation,
      slot: UInt32(truncatingIfNeeded: row))
  }
}

extension Share {
  /// Nothing: what a worker holds before it is dealt its first share.
  static let none = Share(
    epoch: 0, position: 0, workerCount: 1, connections: 0, requestQuota: 0)
}

/// Rows waiting for a request, first come first served.
@safe struct SlotQueue: ~Copyable {
  private let slots: UnsafeMutablePointer<UInt32>
  private let capacity: Int
  private var head = 0
  private(set) var count = 0

  init(capacity: Int) {
    unsafe slots = .allocate(capacity: max(1, capacity))
    self.capacity = max(1, capacity)
  }

  deinit { unsafe slots.deallocate() }

  /// Traps when more rows are queued than there are, which would be one row queued twice.
  mutating func append(_ slot: UInt32) {
    precondition(count < capacity, "a row is queued twice")
    var tail = head + count
    if tail >= capacity { tail -= capacity }
    unsafe slots[tail] = slot
    count += 1
  }

  mutating func popFirst() -> UInt32? {
    guard count > 0 else { return nil }
    defer {
      head = head + 1 == capacity ? 0 : head + 1
      count -= 1
    }
    return unsafe slots[head]
  }
}

extension ConnectionTable {
  /// Routes one completion to the connection that armed it.
  @inline(__always)
  mutating func complete(
    _ completion: Completion, _ token: Token, on ring: borrowing Ring, nowNs: UInt64
  ) {
    // The kernel lent us this buffer, whatever has become of the connection since.
    defer { if let buffer = completion.buffer { ring.recycle(buffer) } }
    let row = Int(token.slot)
    guard unsafe connections[row].generation & Token.generationMask == token.generation else {
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

  /// Ends the counting. Connections that were part of the load are counted for fairness.
  mutating func finish(on ring: borrowing Ring, nowNs: UInt64) {
    let (rows, count) = unsafe (connections, startedCount)
    log.finish(nowNs: nowNs, connections: readyCount, systemCalls: ring.systemCalls) { fairness in
      for row in 0..<count { fairness.record(unsafe UInt64(rows[row].okCount) << 9) }
    }
  }
}
