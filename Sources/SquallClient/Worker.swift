internal import Glibc
internal import SquallEngine
internal import SquallLoad

/// What a worker process does: one thread, one ring, one share of the load. Obeys the agent's commands
/// and does nothing else but load and counting.
@safe
struct Worker<
  Job: Traffic & ~Copyable, Talk: Dialect & ~Copyable, Line: Wire & ~Copyable
>: ~Copyable {
  private var table: Connections<Job, Talk, Line>
  private let plan: Plan
  private var isAlone = false
  /// Work may have come for connections that no answer wakes.
  private var hasNews = false
  /// Until when the number of users is known, in run time.
  private var admittedUntilNs: UInt64 = 0
  /// When the connections of the newest share come into use; `UInt64.max` when they are.
  private var adoptsAtNs: UInt64 = .max
  private let command: UnsafeMutableRawBufferPointer
  private var commandByteCount = 0
  /// Notices under way: a ring far larger than what can be told within a turn of the agent's.
  private let notices: UnsafeMutableBufferPointer<(UInt64, UInt64, UInt64)>
  private var noticeCount = 0
  private static var noticeCountMax: Int { 256 }

  init(_ table: consuming Connections<Job, Talk, Line>, backend: Backend) {
    plan = table.plan
    if backend == .epoll { table.log.found(.overEpoll) }
    self.table = table
    unsafe command = .allocate(byteCount: Command.byteCount, alignment: 8)
    unsafe notices = .allocate(capacity: Self.noticeCountMax)
    unsafe notices.initialize(repeating: (0, 0, 0))
  }

  deinit {
    unsafe command.deallocate()
    unsafe notices.deallocate()
  }

  func listen(on ring: borrowing Ring) {
    let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: command[commandByteCount...])
    unsafe ring.read(
      fd: WorkerMain.commandDescriptor, into: rest,
      token: Token(operation: Operation.command.rawValue))
  }

  private mutating func tell(_ notice: Notice, on ring: borrowing Ring) {
    let index = noticeCount % Self.noticeCountMax
    noticeCount += 1
    unsafe notices[index] = notice.words
    let bytes = unsafe UnsafeRawBufferPointer(
      UnsafeMutableBufferPointer(rebasing: notices[index...index]))
    unsafe ring.write(
      fd: WorkerMain.commandDescriptor, bytes: bytes,
      token: Token(operation: Operation.notice.rawValue))
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
    guard table.duty.obey(command, nowNs: nowNs) else { return }
    switch command {
    case .start: table.log.start(atNs: table.duty.startNs, endNs: table.duty.endNs)
    case .share:
      // In a closed loop the connections are the load, which changes at one instant for all.
      adoptsAtNs = table.duty.shareBeginsNs(nowNs: nowNs) ?? .max
      if adoptsAtNs == .max { adopt(table.duty.share, on: ring) }
    case .change(let change):
      table.job.change(change)
      admittedUntilNs = 0
    case .renew, .stop, .cut: break
    }
    if !table.duty.maySend(nowNs: nowNs) { table.isSending = false }
  }

  private mutating func adopt(_ share: Share, on ring: borrowing Ring) {
    table.job.number(first: UInt64(share.position), stride: UInt64(share.workerCount))
    if Job.sharesConnections {
      table.job.deal(userCount: Int(share.connections))
      let count = Int(plan.connections.part(share)) * Int(plan.connections.originCount)
      table.want(min(count, table.rows.count), on: ring)
    } else {
      table.want(min(Int(share.connections), table.rows.count), on: ring)
    }
    hasNews = true
    admittedUntilNs = 0
    table.inFlightLimit =
      plan.connections.inFlightLimit == .max
      ? .max
      : Int(
        Share.part(
          of: UInt64(plan.connections.inFlightLimit), position: share.position,
          count: share.workerCount))
  }

  /// Carries out what has become true of its duty.
  private mutating func heed(on ring: borrowing Ring, nowNs: UInt64) {
    while let news = table.duty.next(nowNs: nowNs, isIdle: table.isIdle) {
      switch news {
      case .adopted(let epoch):
        table.openUnused(nowNs: nowNs)
        hasNews = true
        tell(.adopted(epoch: epoch, sentBefore: table.sentCount), on: ring)
      case .dropped(let count, let dueBeforeNs):
        if Job.hasUsers {
          table.log.iterationsDropped(scheduledNs: dueBeforeNs - 1, count: count)
        } else {
          table.log.dropped(scheduledNs: dueBeforeNs - 1, count: count)
        }
      case .stopped:
        if table.log.stop(
          atNs: table.duty.measuredEndNs, connections: table.readyCount,
          systemCalls: ring.systemCalls)
        {
          tell(.page, on: ring)
        }
        table.callLastOrders(on: ring, nowNs: nowNs)
      case .finished:
        table.isSending = false
        table.finish(on: ring, nowNs: nowNs)
        tell(.finished, on: ring)
      }
    }
  }
}

extension Worker where Job: ~Copyable, Talk: ~Copyable, Line: ~Copyable {
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

  /// The longest sleep, so that the agent sees the loop turn.
  private static var pulseNs: UInt64 { 250_000_000 }

  private mutating func act(on ring: borrowing Ring, nowNs: UInt64) -> UInt64 {
    heed(on: ring, nowNs: nowNs)
    switch table.duty.stage {
    case .loading:
      return nowNs < table.duty.startNs
        ? build(on: ring, nowNs: nowNs) : run(on: ring, nowNs: nowNs)
    case .draining: return drain(on: ring, nowNs: nowNs)
    case .finished: return .max
    }
  }

  /// Opens connections ahead of the start, so that the measured time does not begin with it.
  private mutating func build(on ring: borrowing Ring, nowNs: UInt64) -> UInt64 {
    admit(sinceStartNs: 0, on: ring, nowNs: nowNs)
    if plan.connections.rampNs == 0 || Job.sharesConnections {
      let allowed = table.job.connectionAllowance(
        hasBegun: false, isRamped: plan.connections.rampNs > 0)
      openAdmitted(on: ring, allowed: allowed, nowNs: nowNs)
    }
    table.expire(on: ring, nowNs: nowNs)
    return min(table.duty.wakeNs(nowNs: nowNs), wakeNs(on: ring, nowNs: nowNs))
  }

  private mutating func drain(on ring: borrowing Ring, nowNs: UInt64) -> UInt64 {
    table.isSending = table.duty.maySend(nowNs: nowNs)
    if table.isSending { table.release(on: ring, nowNs: nowNs) }
    table.expire(on: ring, nowNs: nowNs)
    table.serve(on: ring, nowNs: nowNs)
    heed(on: ring, nowNs: nowNs)
    return min(table.duty.wakeNs(nowNs: nowNs), wakeNs(on: ring, nowNs: nowNs))
  }

  /// Goes on with handshakes and with what is to be sent again, and says when there is more to do.
  private mutating func wakeNs(on ring: borrowing Ring, nowNs: UInt64) -> UInt64 {
    table.offerUnprocessed(on: ring, nowNs: nowNs)
    table.openWaiting(on: ring, nowNs: nowNs)
    return table.stepHandshakes(on: ring, nowNs: nowNs)
      ? 0 : min(table.wheel.nextNs, table.serveNs)
  }

  private mutating func run(on ring: borrowing Ring, nowNs: UInt64) -> UInt64 {
    let sinceStartNs = nowNs - table.log.startNs
    if nowNs >= adoptsAtNs {
      adoptsAtNs = .max
      adopt(table.duty.share, on: ring)
    }
    let maySend = table.duty.maySend(nowNs: nowNs)
    if maySend != table.isSending || hasNews {
      table.isSending = maySend
      hasNews = false
      table.offerAll(on: ring, nowNs: nowNs)
    }
    var wakeNs = min(table.log.nextNs, table.duty.wakeNs(nowNs: nowNs))
    admit(sinceStartNs: sinceStartNs, on: ring, nowNs: nowNs)
    if admittedUntilNs != .max { wakeNs = min(wakeNs, table.log.startNs &+ admittedUntilNs) }
    let ofUsers = table.job.connectionAllowance(hasBegun: true, isRamped: false)
    if table.startedCount < min(table.wantedCount, table.admittedCount, ofUsers) {
      let allowed = Job.sharesConnections ? ofUsers : rampAllowance(sinceStartNs: sinceStartNs)
      openAdmitted(on: ring, allowed: allowed, nowNs: nowNs)
      wakeNs = min(wakeNs, nowNs + 1_000_000)
    }
    if Job.sharesConnections,
      table.job.begin(upTo: rampAllowance(sinceStartNs: sinceStartNs))
    {
      wakeNs = min(wakeNs, nowNs + 1_000_000)
    }
    table.expire(on: ring, nowNs: nowNs)
    if maySend && table.isOpenLoop {
      table.release(on: ring, nowNs: nowNs)
      // What is overdue waits for a connection, not for time.
      let dueNs = table.duty.pacer.nextDueNs
      if dueNs != .max && dueNs > sinceStartNs { wakeNs = min(wakeNs, table.log.startNs + dueNs) }
    }
    table.serve(on: ring, nowNs: nowNs)
    if table.log.advance(
      nowNs: nowNs, connections: table.readyCount, systemCalls: ring.systemCalls)
    {
      tell(.page, on: ring)
      wakeNs = min(wakeNs, table.log.nextNs)
    }
    if table.duty.becameExhausted(nowNs: nowNs, isIdle: table.isIdle) {
      tell(.exhausted(epoch: table.duty.share.epoch), on: ring)
    }
    return min(wakeNs, self.wakeNs(on: ring, nowNs: nowNs))
  }

  /// Lets as many users be there as the load has by now.
  private mutating func admit(sinceStartNs: UInt64, on ring: borrowing Ring, nowNs: UInt64) {
    guard sinceStartNs >= admittedUntilNs else { return }
    guard let (count, untilNs) = table.job.userCount(atNs: sinceStartNs) else {
      admittedUntilNs = .max
      return
    }
    admittedUntilNs = untilNs
    table.admit(count, on: ring, nowNs: nowNs)
  }

  private mutating func openAdmitted(on ring: borrowing Ring, allowed: Int, nowNs: UInt64) {
    table.openWanted(on: ring, allowed: min(allowed, table.admittedCount), nowNs: nowNs)
  }

  /// Connections the ramp allows by now, or users where connections are shared.
  private func rampAllowance(sinceStartNs: UInt64) -> Int {
    guard sinceStartNs < plan.connections.rampNs,
      !table.duty.changes.contains(where: { $0.atNs <= sinceStartNs })
    else { return .max }
    return 1
      + Int(
        Double(Job.sharesConnections ? table.job.dealtCount : table.wantedCount)
          * Double(sinceStartNs) / Double(plan.connections.rampNs))
  }
}
