internal import Glibc
internal import SquallEngine
internal import SquallHTTP
internal import SquallTLS

/// The built-in target's part on one CPU: one thread, one ring, one listener of the port they share.
///
/// HTTP/1.1 and 1.0 with any method, HTTP/2 for those who begin with its preface, and with a certificate
/// all of them over TLS, told by the first byte; what can be asked for is told at `TargetRequest`, what can be
/// set for all requests at `TargetOptions`. It counts requests once they are here to their last
/// byte, and answers in the order they came.
///
/// No client can do more than use up what it is given:
/// - What is not HTTP/1 gets 400 with a sentence, then the end of the connection.
/// - Answers are written when the socket takes them, so a client that does not read costs a row and
///   40 bytes for each run of equal answers. 16,384 runs on a connection, or 1,048,576 on all, are
///   the most: who asks for one more is disconnected and counted as an overrun.
/// - What is sealed or framed cannot be written again: 64 KiB of it are kept on a connection.
/// - A request target has at most 8,192 bytes, a head 64 KiB; bodies of any size are skipped.
/// - There is no time limit on an idle connection. One more than the table holds is accepted and
///   closed at once, and counted as refused.
/// - Of a connection that we end, the peer's FIN is awaited for 2 s, so that what it is still sending
///   does not make the kernel throw our last answer away (RFC 9112 section 9.6). A peer that said
///   itself that it would send no more is not waited for.
@safe package struct TargetServer: ~Copyable {
  /// The word that makes this program a process of a target.
  package static let argument = "target-process"

  /// Where `Target` puts what a process inherits.
  private static let memoryDescriptor: Int32 = 3
  private static let controlDescriptor: Int32 = 4
  private static let listenerDescriptor: Int32 = 5

  static let targetByteCountMax = 8_192
  static let replyCountMax: UInt32 = 16_384
  static let lingerNs: UInt64 = 2_000_000_000
  /// Until the next try when the kernel could not accept for want of memory or descriptors.
  private static let acceptPauseNs: UInt64 = 10_000_000
  private static let bufferCount: UInt32 = 2_048
  private static let bufferByteCount: UInt32 = 4_096
  /// Answers written in one turn. What does not fit goes out in the next.
  private static let arenaByteCount = 1 << 20
  /// A head that is compared with the last one before it is parsed.
  static let usualByteCountMax = 1_024

  /// Runs the server of this process until its parent wants it no more or ends. Returns the
  /// process's exit code.
  package static func main() -> Int32 {
    guard let word = CommandLine.arguments.last, let index = Int(word) else { return 2 }
    do throws(SystemError) {
      let memory = try TargetMemory(descriptor: memoryDescriptor)
      return serve(
        memory, index: index, listener: listenerDescriptor, control: controlDescriptor) ? 0 : 1
    } catch {
      return 1
    }
  }

  /// Serves until the peer of `control` shuts it down. False when that could not be; why stands in
  /// the process's page then. Takes the descriptors over.
  static func serve(
    _ memory: TargetMemory, index: Int, listener: Int32, control: Int32
  ) -> Bool {
    defer {
      Glibc.close(listener)
      Glibc.close(control)
    }
    do throws(SystemError) {
      try run(memory, index: index, listener: listener, control: control)
      return true
    } catch {
      memory.page(index).failure = error
      return false
    }
  }

  private static func run(
    _ memory: TargetMemory, index: Int, listener: Int32, control: Int32
  ) throws(SystemError) {
    let options = memory.options
    if let cpu = options.cpus[index] {
      try ThisProcess.pin(to: cpu)
    }
    ThisProcess.sharpenTimers()
    // Registered files count against the limit of open ones (io_uring_register(2)).
    let reservedCount: UInt64 = 64
    let limit = ThisProcess.raiseDescriptorLimit(
      to: UInt64(options.connectionCountMax) + reservedCount)
    guard limit > reservedCount else { throw SystemError(call: "setrlimit", errno: EMFILE) }
    let rowCount = Int(min(UInt64(options.connectionCountMax), limit - reservedCount))

    var sizes = Ring.Options(connections: rowCount, bufferByteCount: bufferByteCount)
    sizes.bufferCount = bufferCount
    // Every connection may have a send that was cut short and a receive in one turn.
    sizes.completionCount = max(sizes.completionCount, UInt32(clamping: 2 * rowCount))
    sizes.fileCount = UInt32(rowCount)
    sizes.backend = options.backend
    let ring = try Ring(sizes)
    var server = TargetServer(
      memory, index: index, rowCount: rowCount, listener: listener, control: control)
    server.tls = try context(of: memory)
    server.page.prepareArrivals()
    server.obey(on: ring)
    var word: UInt8 = 0
    guard uninterrupted({ unsafe write(control, &word, 1) }) == 1 else { return }
    var loop = RingLoop(spins: options.spins)
    try loop.run(&server, on: ring)
  }

  private static func context(of memory: TargetMemory) throws(SystemError) -> TLSContext? {
    guard let certificate = memory.options.certificate else { return nil }
    do throws(TLSContext.Refusal) {
      return try TLSContext(
        serving: certificate.chain, key: certificate.key, protocols: protocols(memory.options),
        ticketKeys: memory.ticketKeys)
    } catch {
      throw SystemError(call: "TLS with this certificate", errno: EINVAL)
    }
  }

  /// What ALPN is answered with, the best first.
  private static func protocols(_ options: TargetOptions) -> [UInt8] {
    (speaksHTTP2(options) ? [2] + Array("h2".utf8) : []) + [8] + Array("http/1.1".utf8)
  }

  /// The shop writes its pages for HTTP/1.1.
  static func speaksHTTP2(_ options: TargetOptions) -> Bool { options.shopKey == 0 }

  let options: TargetOptions
  let isTimed: Bool
  let notesArrivals: Bool
  let memory: TargetMemory
  let page: TargetPage
  let rowCount: Int
  let connections: UnsafeMutablePointer<TargetConnection>
  /// Rows that ever had a connection: the others were never touched.
  var initializedCount = 0
  var openCount = 0
  private(set) var tls: TLSContext?

  var paths: TargetPathIndex
  var replies = TargetReplies()
  var prepared = PreparedAnswers()
  /// 64 are the answers with counts that may wait.
  var countTexts = KeptTexts(limit: 64)
  var pages: KeptTexts
  /// Nil when the target is none.
  var shop: Shop?
  var requestHeads = RequestHeadReader()
  var due = DueQueue()
  /// Rows to look at before the turn ends.
  var dirty: FixedQueue<Int>
  let greetings = Greetings()
  /// Answers of this turn that were not prepared; the kernel has read them when the ring was entered
  /// and is not behind.
  let arena: UnsafeMutableRawBufferPointer
  var arenaByteCount = 0
  /// The arena is full: the rest waits for the next turn.
  var isStuck = false

  /// Lent to the parser of a request that may lie whole in one buffer.
  let scratch: UnsafeMutableRawBufferPointer
  /// Nearly always a request is the last one over again: its bytes, and what they were found to ask.
  let usualBytes: UnsafeMutableRawBufferPointer
  var usualByteCount = 0
  var usual: (request: TargetRequest, reply: TargetReply)?

  /// When each slot's last request is served.
  let departures: UnsafeMutablePointer<UInt64>
  var nextSlot = 0
  /// From when to when nothing is answered, once the first request tells.
  var freeze: Range<UInt64>?

  private let listener: Int32
  private var isAccepting = false
  private var acceptAgainNs: UInt64 = 0
  private let control: Int32
  private let command: UnsafeMutableRawBufferPointer
  private var isStopping = false

  private init(
    _ memory: TargetMemory, index: Int, rowCount: Int, listener: Int32, control: Int32
  ) {
    options = memory.options
    isTimed = options.isTimed
    notesArrivals = options.arrivalsPath != nil
    page = memory.page(index)
    paths = TargetPathIndex(page: page)
    pages = KeptTexts(limit: options.shopKey == 0 ? 0 : .max)
    shop =
      options.shopKey == 0
      ? nil : Shop(key: options.shopKey, process: index, rowCount: rowCount)
    self.memory = memory
    self.rowCount = rowCount
    unsafe connections = .allocate(capacity: rowCount)
    dirty = FixedQueue(capacity: rowCount)
    unsafe arena = .allocate(byteCount: Self.arenaByteCount, alignment: 64)
    unsafe scratch = .allocate(byteCount: Self.targetByteCountMax, alignment: 1)
    unsafe usualBytes = .allocate(byteCount: Self.usualByteCountMax, alignment: 1)
    unsafe departures = .allocate(capacity: max(1, Int(options.slotCount)))
    unsafe departures.initialize(repeating: 0, count: max(1, Int(options.slotCount)))
    self.listener = listener
    self.control = control
    unsafe command = .allocate(byteCount: 1, alignment: 1)
  }

  deinit {
    for row in 0..<initializedCount {
      unsafe connections[row].scratch?.deallocate()
      guard let session = unsafe connections[row].session else { continue }
      unsafe session.deinitialize(count: 1)
      unsafe session.deallocate()
    }
    unsafe connections.deallocate()
    unsafe arena.deallocate()
    unsafe scratch.deallocate()
    unsafe usualBytes.deallocate()
    unsafe departures.deallocate()
    unsafe command.deallocate()
  }

  @inline(__always)
  func token(_ operation: TargetOperation, _ row: Int) -> Token {
    Token(
      operation: operation.rawValue, generation: unsafe connections[row].generation,
      slot: UInt32(truncatingIfNeeded: row))
  }

  /// Lets the end of this turn look at the row.
  @inline(__always)
  mutating func touch(_ row: Int) {
    guard unsafe !connections[row].isDirty else { return }
    unsafe connections[row].isDirty = true
    dirty.append(row)
  }

  /// Lets a later turn look at the row. False when too many wait already.
  mutating func touch(_ row: Int, atNs dueNs: UInt64) -> Bool {
    unsafe due.insert(
      DueQueue.Entry(
        dueNs: dueNs, row: UInt32(row), generation: connections[row].generation))
  }

  /// Waits for the parent to say or not to be.
  private func obey(on ring: borrowing Ring) {
    unsafe ring.read(
      fd: control, into: command,
      token: Token(operation: TargetOperation.control.rawValue))
  }

  private mutating func accept(on ring: borrowing Ring, nowNs: UInt64) {
    guard !isAccepting, nowNs >= acceptAgainNs else { return }
    ring.accept(listener: listener, token: Token(operation: TargetOperation.accept.rawValue))
    isAccepting = true
  }

  private mutating func accepted(
    _ completion: Completion, on ring: borrowing Ring, nowNs: UInt64
  ) {
    isAccepting = completion.hasMore
    if completion.result >= 0 {
      open(Int(completion.result), on: ring)
    } else if completion.result == -ENFILE && openCount >= rowCount {
      page.add(.refused)
    } else if completion.result != -ECONNABORTED {
      acceptAgainNs = nowNs + Self.acceptPauseNs
    }
  }
}

extension TargetServer: CompletionHandler {
  @inline(__always)
  mutating func complete(_ completion: Completion, on ring: borrowing Ring, nowNs: UInt64) {
    // The kernel lent us this buffer, whatever has become of the connection since.
    defer { if let buffer = completion.buffer { ring.recycle(buffer) } }
    let token = Token(bits: completion.token)
    let operation = TargetOperation(rawValue: token.operation)
    switch operation {
    case .control:
      isStopping = true
      return
    case .accept: return accepted(completion, on: ring, nowNs: nowNs)
    case .close: return
    case .receive, .send, .room, .finish: break
    case nil: preconditionFailure("a completion of nothing we armed: \(completion.token)")
    }
    let row = Int(token.slot)
    guard unsafe connections[row].generation & Token.generationMask == token.generation else {
      return  // The row has a new tenant, and this is not for it.
    }
    switch operation {
    case .receive: received(row, completion, on: ring, nowNs: nowNs)
    case .send: sent(row, completion, on: ring)
    default: moveOn(row)
    }
  }

  mutating func turn(on ring: borrowing Ring, nowNs: UInt64) -> UInt64? {
    guard !isStopping else {
      sayGoodbye(on: ring, nowNs: nowNs)
      return nil
    }
    isStuck = false
    if !ring.isBehind { arenaByteCount = 0 }
    accept(on: ring, nowNs: nowNs)
    while let entry = due.popDue(nowNs: nowNs) {
      if unsafe connections[Int(entry.row)].generation == entry.generation {
        touch(Int(entry.row))
      }
    }
    while !isStuck, let row = dirty.popFirst() {
      unsafe connections[row].isDirty = false
      look(at: row, on: ring, nowNs: nowNs)
    }
    if isStuck { return 0 }
    return min(due.nextNs, isAccepting ? .max : acceptAgainNs)
  }
}
