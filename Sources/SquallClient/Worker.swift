internal import CSquall
internal import Glibc
internal import SquallEngine
internal import SquallLoad

/// A worker process: one thread, one ring, one share of the load. Obeys the agent's commands and
/// does nothing else but load and counting.
@safe package struct Worker: ~Copyable {
  /// Where the agent puts the two things a worker inherits.
  package static let regionDescriptor: Int32 = 3
  package static let commandDescriptor: Int32 = 4

  /// Runs the worker of this process to its end. Returns the process's exit code.
  package static func main() -> Int32 {
    do throws(SystemError) {
      let region = try SharedRegion(descriptor: regionDescriptor)
      do throws(SystemError) {
        try run(region)
        return 0
      } catch {
        region.message = Ring.explain(error)
        notify(.failed)
        return 1
      }
    } catch {
      return 1
    }
  }

  private static func run(_ region: borrowing SharedRegion) throws(SystemError) {
    guard var setup = WorkerSetup(bytes: region.setup) else {
      preconditionFailure("the inherited setup is not of this build")
    }
    guard squall_process_follow(setup.parent) else { return }
    if let cpu = setup.cpu { try SystemError.check("sched_setaffinity", squall_cpu_pin(cpu)) }
    // A table of registered files may be as long as a process may have open ones
    // (io_uring_register(2)). One that is dealt the whole load may have to do with fewer.
    let limit = squall_files_raise(UInt64(setup.connectionCountMax))
    setup.connectionCountMax = min(setup.connectionCountMax, UInt32(clamping: limit))
    let ring = try Ring(Ring.Options(connections: Int(setup.connectionCountMax)))
    var worker = Worker(setup: setup, region: region)
    worker.listen(on: ring)
    notify(.ready)
    var loop = RingLoop(spins: setup.plan.spins)
    try loop.run(&worker, on: ring)
  }

  /// Outside the loop, where a blocking write is fine.
  private static func notify(_ notice: Notice) {
    unsafe withUnsafeBytes(of: notice.words) { bytes in
      _ = unsafe write(commandDescriptor, bytes.baseAddress, bytes.count)
    }
  }

  private enum Stage { case waiting, running, draining, finished }

  private var table: ConnectionTable
  private let plan: Plan
  private var stage = Stage.waiting
  private var isAlone = false
  /// Until when the share is valid, on the monotonic clock, and until when it holds, in run time.
  private var validUntilNs: UInt64 = .max
  private var shareUntilNs: UInt64 = .max
  private var epoch: UInt32 = 0
  /// Shares whose time has not come: connections are theirs already, requests not yet.
  private var comingShares: [Share] = []
  private var cutNs: UInt64 = .max
  private var hasNews = false
  /// Since when all requests of the share are sent and have ended.
  private var exhaustedNs: UInt64?
  private let command: UnsafeMutableRawBufferPointer
  private var commandByteCount = 0
  /// Notices under way: a ring far larger than what can be told within a turn of the agent's.
  private let notices: UnsafeMutableBufferPointer<(UInt64, UInt64, UInt64)>
  private var noticeCount = 0
  private static let noticeCountMax = 256

  private init(setup: WorkerSetup, region: borrowing SharedRegion) {
    plan = setup.plan
    table = ConnectionTable(setup: setup, region: region, nowNs: monotonicNs())
    unsafe command = .allocate(byteCount: Command.byteCount, alignment: 8)
    unsafe notices = .allocate(capacity: Self.noticeCountMax)
    unsafe notices.initialize(repeating: (0, 0, 0))
  }

  deinit {
    unsafe command.deallocate()
    unsafe notices.deallocate()
  }

  private func listen(on ring: borrowing Ring) {
    let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: command[commandByteCount...])
    unsafe ring.read(
      fd: Self.commandDescriptor, into: rest, token: Token(operation: Operation.command.rawValue))
  }

  private mutating func tell(_ notice: Notice, on ring: borrowing Ring) {
    let index = noticeCount % Self.noticeCountMax
    noticeCount += 1
    unsafe notices[index] = notice.words
    let bytes = unsafe UnsafeRawBufferPointer(
      UnsafeMutableBufferPointer(rebasing: notices[index...index]))
    unsafe ring.write(
      fd: Self.commandDescriptor, bytes: bytes, token: Token(operation: Operation.notice.rawValue))
  }

  private mutating func heard(_ completion: Completion, on ring: borrowing Ring, nowNs: UInt64) {
    guard completion.result > 0 else {
      // The agent is gone or wants us gone.
      isAlone = true
      return
    }
    commandByteCount += Int(completion.result)
    if commandByteCount == Command.byteCount {
      commandByteCount = 0
      guard let command = unsafe Command(bytes: Array(command)) else {
        preconditionFailure("a command that is not of this build")
      }
      obey(command, on: ring, nowNs: nowNs)
    }
    listen(on: ring)
  }

  private mutating func obey(_ command: Command, on ring: borrowing Ring, nowNs: UInt64) {
    switch command {
    case .start(let atNs):
      guard stage == .waiting || (stage == .running && nowNs < table.log.startNs) else { return }
      table.log.start(atNs: atNs)
      stage = .running
    case .share(let share, let untilNs, let validUntilNs):
      self.validUntilNs = validUntilNs
      shareUntilNs = untilNs
      adopt(share, on: ring, nowNs: nowNs)
    case .renew(let validUntilNs): self.validUntilNs = validUntilNs
    case .stop:
      // Its own clock tells the load's natural end better than a word that crossed a network.
      let leftNs = table.log.stopNs - min(nowNs, table.log.stopNs)
      if stage == .running && (1...Self.stopMarginNs).contains(leftNs) { return }
      // The agent's word of the load's natural end comes about when it does.
      stop(atNs: min(nowNs, table.log.stopNs), isEarly: nowNs < table.log.stopNs, on: ring)
    case .cut:
      stop(atNs: nowNs, isEarly: true, on: ring)
      table.isSending = false
      cutNs = nowNs
    }
  }

  private mutating func adopt(_ share: Share, on ring: borrowing Ring, nowNs: UInt64) {
    guard share.epoch > epoch else { return }
    if epoch > 0 {
      table.pacer.adopt(share)
    } else {
      let (sum, overflow) = plan.warmupNs.addingReportingOverflow(plan.durationNs)
      table.pacer = Pacer(load: plan.load, share: share, endNs: overflow ? .max : sum)
    }
    epoch = share.epoch
    table.firstUser = UInt64(share.position)
    table.userStride = UInt64(share.workerCount)
    table.want(min(Int(share.connections), table.rowCount), on: ring)
    comingShares.append(share)
    exhaustedNs = nil
    hasNews = true
    table.inFlightLimit =
      plan.inFlightLimit == .max
      ? .max
      : Int(
        Share.part(
          of: UInt64(plan.inFlightLimit), position: share.position, count: share.workerCount))
  }

  /// Ends the measured time. What was due before it may still go out late, unless the load is cut
  /// short: then nothing more is sent.
  private mutating func stop(atNs: UInt64, isEarly: Bool, on ring: borrowing Ring) {
    guard stage == .waiting || stage == .running else { return }
    if isEarly { table.isSending = false }
    stage = .draining
    let (sum, overflow) = atNs.addingReportingOverflow(plan.drainNs)
    cutNs = overflow ? .max : sum
    let endNs = min(atNs, exhaustedNs ?? .max)
    if table.log.stop(atNs: endNs, connections: table.readyCount, systemCalls: ring.systemCalls) {
      tell(.page, on: ring)
    }
  }

  private mutating func finish(on ring: borrowing Ring, nowNs: UInt64) {
    stage = .finished
    table.abandon(dueBeforeNs: table.log.stopNs)
    table.finish(on: ring, nowNs: nowNs)
    tell(.finished, on: ring)
  }
}

extension Worker: CompletionHandler {
  @inline(__always)
  mutating func complete(
    _ completion: Completion, on ring: borrowing Ring, nowNs: UInt64
  ) {
    let token = Token(bits: completion.token)
    switch Operation(rawValue: token.operation) {
    case .command: heard(completion, on: ring, nowNs: nowNs)
    case .notice, .close: break
    case .connect, .receive, .send:
      table.complete(completion, token, on: ring, nowNs: nowNs)
    case nil: preconditionFailure("a completion of nothing we armed: \(completion.token)")
    }
  }

  mutating func turn(on ring: borrowing Ring, nowNs: UInt64) -> UInt64? {
    if isAlone { return nil }
    table.log.beat()
    return min(act(on: ring, nowNs: nowNs), nowNs + Self.pulseNs)
  }

  /// How far the master's end and this worker's may be apart by their clocks' difference.
  private static let stopMarginNs: UInt64 = 100_000_000

  /// The longest sleep, so that the agent sees the loop turn.
  private static let pulseNs: UInt64 = 250_000_000

  private mutating func act(on ring: borrowing Ring, nowNs: UInt64) -> UInt64 {
    switch stage {
    case .waiting: return build(on: ring, nowNs: nowNs)
    case .running: return run(on: ring, nowNs: nowNs)
    case .draining:
      if table.isSending { table.release(on: ring, nowNs: nowNs) }
      let isOwing = table.isOpenLoop && table.isSending && !table.pacer.isExhausted
      if (table.inFlightCount == 0 && !isOwing) || nowNs >= cutNs {
        finish(on: ring, nowNs: nowNs)
        return .max
      }
      table.expire(on: ring, nowNs: nowNs)
      return min(cutNs, table.wheel.nextNs)
    case .finished: return .max
    }
  }

  /// Opens connections ahead of the start, so that the measured time does not begin with it.
  private mutating func build(on ring: borrowing Ring, nowNs: UInt64) -> UInt64 {
    announceShares(sinceStartNs: 0, on: ring, nowNs: nowNs)
    if plan.rampNs == 0 { table.openWanted(on: ring, allowed: .max, nowNs: nowNs) }
    table.expire(on: ring, nowNs: nowNs)
    return table.wheel.nextNs
  }

  private mutating func run(on ring: borrowing Ring, nowNs: UInt64) -> UInt64 {
    guard nowNs >= table.log.startNs else {
      return min(table.log.startNs, build(on: ring, nowNs: nowNs))
    }
    if nowNs >= table.log.stopNs {
      stop(atNs: table.log.stopNs, isEarly: false, on: ring)
      return 0
    }
    let sinceStartNs = nowNs - table.log.startNs
    announceShares(sinceStartNs: sinceStartNs, on: ring, nowNs: nowNs)
    let maySend = nowNs < validUntilNs && sinceStartNs < shareUntilNs
    if maySend != table.isSending || hasNews {
      table.isSending = maySend
      hasNews = false
      table.offerAll(on: ring, nowNs: nowNs)
    }
    var wakeNs = table.log.nextNs
    if maySend {
      let (untilNs, overflow) = table.log.startNs.addingReportingOverflow(shareUntilNs)
      wakeNs = min(wakeNs, validUntilNs, overflow ? .max : untilNs)
    }
    if table.startedCount < table.wantedCount {
      table.openWanted(
        on: ring, allowed: rampAllowance(sinceStartNs: sinceStartNs), nowNs: nowNs)
      wakeNs = min(wakeNs, nowNs + 1_000_000)
    }
    table.expire(on: ring, nowNs: nowNs)
    if maySend && table.isOpenLoop {
      table.release(on: ring, nowNs: nowNs)
      // What is overdue waits for a connection, not for time.
      let dueNs = table.pacer.nextDueNs
      if dueNs != .max && dueNs > sinceStartNs { wakeNs = min(wakeNs, table.log.startNs + dueNs) }
    }
    if table.log.advance(
      nowNs: nowNs, connections: table.readyCount, systemCalls: ring.systemCalls)
    {
      tell(.page, on: ring)
      wakeNs = min(wakeNs, table.log.nextNs)
    }
    if exhaustedNs == nil && table.pacer.isExhausted && table.inFlightCount == 0
      && plan.requestCount != .max
    {
      exhaustedNs = nowNs
      tell(.exhausted(epoch: epoch), on: ring)
    }
    return min(wakeNs, table.wheel.nextNs)
  }

  private mutating func announceShares(
    sinceStartNs: UInt64, on ring: borrowing Ring, nowNs: UInt64
  ) {
    while let share = comingShares.first, share.fromNs <= sinceStartNs {
      comingShares.removeFirst()
      table.openUnused(nowNs: nowNs)
      tell(.adopted(epoch: share.epoch, sentBefore: table.sentCount), on: ring)
    }
  }

  /// Connections the ramp allows by now.
  private func rampAllowance(sinceStartNs: UInt64) -> Int {
    guard sinceStartNs < plan.rampNs else { return .max }
    return 1 + Int(Double(table.wantedCount) * Double(sinceStartNs) / Double(plan.rampNs))
  }
}
