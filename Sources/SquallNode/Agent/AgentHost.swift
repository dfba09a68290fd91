internal import Glibc
package import NIOCore
internal import SquallClient
package import SquallCluster
internal import SquallEngine
internal import SquallLoad

/// The agent of one host: its machine, its worker processes and its link to the master, all on one
/// event loop.
package actor AgentHost {
  /// The way to the master. What comes back goes to `AgentHost.linkEvent` on the agent's loop.
  package protocol Link: Sendable {
    func connect(afterNs: UInt64)
    func disconnect()
    func send(_ message: Message)
    /// The connection is authenticated: what datagrams need.
    func joined(session: UInt64, keyText: [UInt8])
  }

  package enum LinkEvent: Sendable {
    case connected
    case closed(String)
    case received(Message)
  }

  /// What a person at this agent is told.
  package enum Announcement: Sendable {
    case notice(AgentMachine.LogEvent)
    case workerFailed(cpu: UInt16, String)
    case unresolvable(String)
    case addresses(TargetAddresses)
    case persisted(path: String)
    /// What could not be delivered could not be written either.
    case notPersisted(String)
  }

  package struct Options: Sendable {
    package var isPinned = true
    package var ring = RingChoice.unsettled
    /// Folder for the file of undelivered batches when the master stays lost.
    package var leftoversFolder: String?
    /// What was found of the target; nil to look.
    package var addresses: [TargetAddresses]?
    package var announce: @Sendable (Announcement) -> Void = { _ in }

    package init() {}
  }

  /// How long a worker may take to end when it is told to, beyond the drain; and when its work is
  /// done.
  private static let stoppingNs: UInt64 = 3_000_000_000
  private static let dismissalNs: UInt64 = 1_000_000_000
  private static let drainNsMax: UInt64 = 86_400_000_000_000
  /// Twice this without a beat is a worker that does not move; a worker beats each 250 ms.
  private static let pulseNsMin: UInt64 = 300_000_000

  package nonisolated let eventLoop: any EventLoop
  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    unsafe eventLoop.executor.asUnownedSerialExecutor()
  }

  private var machine: AgentMachine
  private let link: any Link
  private let options: Options
  private var workers: [WorkerProcess?]
  private var pulses: [(count: UInt64, stillCount: Int)]
  private var setup: WorkerSetup?
  /// For the first worker's first connection.
  private var first: Socket?
  private var wake: Scheduled<Void>?
  /// They may be due long after everybody has gone.
  private var kills: [Scheduled<Void>] = []
  private var exit: AgentMachine.Exit?
  private var isLeaving = false
  /// The newest, for the heartbeat's time.
  private var welcome: Welcome?
  /// Of the run that we take part in, or left last.
  private var run: (name: UInt64, planHash: [UInt8]) = (0, [])
  /// The run was left, and its worker processes are ending.
  private var isLeavingRun = false
  /// What waits for their end.
  private var next: Plan?
  /// What the master will not get from us: what was given up, and what workers still had then.
  private var undelivered: [RecordEntry] = []
  /// How the agent's part ended, once every worker process is gone.
  package nonisolated let ended: EventLoopPromise<AgentMachine.Exit>

  package init(
    settings: AgentMachine.Settings, options: Options, link: any Link, on eventLoop: any EventLoop
  ) {
    machine = AgentMachine(settings: settings)
    self.options = options
    self.link = link
    self.eventLoop = eventLoop
    workers = Array(repeating: nil, count: settings.cpus.count)
    pulses = Array(repeating: (0, 0), count: settings.cpus.count)
    ended = eventLoop.makePromise()
  }

  package func start() {
    handle(.started)
    feelPulses()
  }

  /// SIGTERM or the like: hand over and go. The second time, go.
  package func leave() {
    handle(isLeaving ? .leaveNow : .leave)
    isLeaving = true
  }

  /// Awaits nothing that is in flight any more.
  package func cutWorkers() {
    for worker in workers { worker?.tell(.cut) }
    kill(Array(workers.indices), afterNs: Self.dismissalNs)
  }

  package func linkEvent(_ event: LinkEvent) {
    switch event {
    case .connected: handle(.connected)
    case .closed(let why): handle(.closed(why))
    case .received(let message):
      if case .welcome(let welcome) = message { self.welcome = welcome }
      handle(.received(message))
    }
  }

  private func handle(_ event: AgentMachine.Event) {
    for effect in machine.handle(event, nowNs: monotonicNs()) { perform(effect) }
    wake?.cancel()
    wake = nil
    guard machine.wakeNs != .max else { return }
    let delayNs = Int64(clamping: machine.wakeNs - min(machine.wakeNs, monotonicNs()))
    wake = eventLoop.scheduleTask(in: .nanoseconds(delayNs)) {
      self.assumeIsolated { $0.handle(.tick) }
    }
  }

  private func perform(_ effect: AgentMachine.Effect) {
    switch effect {
    case .connect(let afterNs): link.connect(afterNs: afterNs)
    case .disconnect: link.disconnect()
    case .send(let message): link.send(message)
    case .joined(let session, let keyText): link.joined(session: session, keyText: keyText)
    case .startWorkers(let plan):
      if isLeavingRun { next = plan } else { prepare(plan) }
    case .startWorker(let slot, let afterNs):
      eventLoop.scheduleTask(in: .nanoseconds(Int64(clamping: afterNs))) {
        self.assumeIsolated { $0.startWorker(slot) }
      }
    case .startAt(let localNs): for worker in workers { worker?.tell(.start(atNs: localNs)) }
    case .setShare(let slot, let share, let untilNs, let validUntilNs):
      workers[slot]?.tell(.share(share, untilNs: untilNs, validUntilNs: validUntilNs))
    case .changeLoad(let slot, let change): workers[slot]?.tell(.change(change))
    case .renewShare(let slot, let validUntilNs):
      workers[slot]?.tell(.renew(validUntilNs: validUntilNs))
    case .stopWorker(let slot): stopWorker(slot)
    case .leaveRun: leaveRun()
    case .persist(let run, let planHash, let batches, let ledgers):
      self.run = (run, planHash)
      undelivered += batches.map { .batch($0) } + ledgers.map { .ledger($0) }
    case .log(let notice): options.announce(.notice(notice))
    case .exit(let exit):
      self.exit = exit
      dismissWorkers()
      endIfAlone()
    }
  }

  private func leaveRun() {
    isLeavingRun = true
    next = nil
    setup = nil
    dismissWorkers()
    goOnIfAlone()
  }

  private func dismissWorkers() {
    for worker in workers { worker?.dismiss() }
    kill(workers.indices.filter { workers[$0] != nil }, afterNs: Self.dismissalNs)
  }

  /// Once nobody of the run that was left is there, its leftovers are written, and the next may begin.
  private func goOnIfAlone() {
    guard isLeavingRun, exit == nil, workers.allSatisfy({ $0 == nil }) else { return }
    isLeavingRun = false
    for kill in kills { kill.cancel() }
    kills = []
    if undelivered.contains(where: \.saysSomething) { persistUndelivered() }
    undelivered = []
    guard let next else { return }
    self.next = nil
    prepare(next)
  }

  // MARK: Worker processes

  private func prepare(_ plan: Plan) {
    run = (machine.run, machine.planHash)
    do throws(Address.ResolveError) {
      let found = try addresses(for: plan)
      for addresses in found where addresses.leavesOut { options.announce(.addresses(addresses)) }
      let sockets = found.map { $0.takeFirst() }
      // It goes to the first address, from where the kernel will, and at once: one that waited for a
      // master's start could be closed by then, which would be no fault of the target's.
      if options.addresses != nil && plan.origin.sourceAddresses.isEmpty {
        first = sockets.first ?? nil
      }
      setup = WorkerSetup(
        plan: plan, peers: plan.grouped(found).map { $0.flatMap(\.used) },
        sources: plan.origin.sourceAddresses.compactMap { Address($0, port: 0) }, cpu: nil,
        connectionCountMax: plan.connections.reach * plan.connections.originCount, parent: getpid(),
        backend: options.ring.backend)
    } catch {
      options.announce(.unresolvable("cannot look up \(error.host): \(error.cause)"))
    }
    for slot in workers.indices { startWorker(slot) }
  }

  private func addresses(for plan: Plan) throws(Address.ResolveError) -> [TargetAddresses] {
    if let addresses = options.addresses { return addresses }
    return try plan.origins.flatMap(\.destinations).map {
      destination throws(Address.ResolveError) in
      try TargetAddresses(of: destination, timeoutNs: plan.times.connectTimeoutNs)
    }
  }

  private func startWorker(_ slot: Int) {
    guard exit == nil, !isLeavingRun, workers[slot] == nil else { return }
    guard var setup else { return handle(.workerDied(slot: slot, nil)) }
    let cpu = machine.settings.cpus[slot]
    setup.cpu = options.isPinned ? cpu : nil
    defer { first = nil }
    setup.firstConnectNs = first?.connectNs
    do throws(SystemError) {
      workers[slot] = try WorkerProcess(
        slot: slot, agent: machine.settings.agent, setup: setup, first: first, on: eventLoop
      ) { event in
        self.assumeIsolated { $0.workerEvent(slot, event) }
      }
    } catch {
      options.announce(.workerFailed(cpu: cpu, "\(error)"))
      handle(.workerDied(slot: slot, nil))
    }
  }

  private func workerEvent(_ slot: Int, _ event: WorkerProcess.Event) {
    guard let worker = workers[slot] else { return }
    if isLeavingRun, case .notice = event { return }
    switch event {
    case .notice(.ready): handle(.workerReady(slot: slot, life: worker.life))
    case .notice(.page): deliver(worker.collect())
    case .notice(.adopted(let epoch, let sentBefore)):
      handle(.workerAdopted(slot: slot, epoch: epoch, sentBefore: sentBefore))
    case .notice(.exhausted(let epoch)): handle(.workerExhausted(slot: slot, epoch: epoch))
    case .notice(.finished):
      let (batches, ledger) = worker.finished()
      deliver(batches)
      handle(.workerFinished(slot: slot, ledger))
    case .notice(.failed):
      options.announce(.workerFailed(cpu: machine.settings.cpus[slot], worker.failure))
    case .ended: reap(slot)
    }
  }

  private func stopWorker(_ slot: Int) {
    guard let worker = workers[slot] else { return }
    worker.tell(.stop)
    kill([slot], afterNs: min(setup?.plan.times.drainNs ?? 0, Self.drainNsMax) + Self.stoppingNs)
  }

  /// One that cannot move any more would be waited for without end. Its pages outlive it, so nothing
  /// that it counted is lost.
  private func kill(_ slots: [Int], afterNs: UInt64) {
    let lives = slots.map { workers[$0]?.life }
    let kill = eventLoop.scheduleTask(in: .nanoseconds(Int64(clamping: afterNs))) {
      self.assumeIsolated { agent in
        for (slot, life) in zip(slots, lives) {
          guard let worker = agent.workers[slot], worker.life == life else { continue }
          if agent.isEnding || !worker.hasFinished { worker.kill() }
        }
      }
    }
    kills.append(kill)
  }

  /// What workers still say is nobody's but the leftovers'.
  private var isEnding: Bool { exit != nil || isLeavingRun }

  private func deliver(_ batches: [Batch]) {
    if isEnding { undelivered += batches.map { .batch($0) } }
    if !isLeavingRun { for batch in batches { handle(.batchClosed(batch)) } }
  }

  /// The socket closes a moment before the kernel lets the process be reaped.
  private func reap(_ slot: Int) {
    guard let worker = workers[slot] else { return }
    guard let (batches, ledger) = worker.ended() else {
      eventLoop.scheduleTask(in: .milliseconds(1)) { self.assumeIsolated { $0.reap(slot) } }
      return
    }
    workers[slot] = nil
    pulses[slot] = (0, 0)
    deliver(batches)
    if isEnding, !worker.hasFinished, ledger.sums.batchCount > 0 {
      undelivered.append(.ledger(ledger))
    }
    if !isLeavingRun { handle(.workerDied(slot: slot, ledger)) }
    goOnIfAlone()
    endIfAlone()
  }

  private func endIfAlone() {
    guard let exit, workers.allSatisfy({ $0 == nil }) else { return }
    wake?.cancel()
    for kill in kills { kill.cancel() }
    guard undelivered.contains(where: \.saysSomething) else { return ended.succeed(exit) }
    persistUndelivered()
    if case .delivered = exit { return ended.succeed(.gaveUp) }
    ended.succeed(exit)
  }

  /// Looks each heartbeat whether each worker's loop turns; twice still is a stopped worker.
  private func feelPulses() {
    for (slot, worker) in workers.enumerated() {
      guard let worker, !worker.hasFinished else { continue }
      let count = worker.pulse
      if count != pulses[slot].count {
        if pulses[slot].stillCount >= 2 { handle(.workerResumed(slot: slot)) }
        pulses[slot] = (count, 0)
      } else {
        pulses[slot].stillCount += 1
        if pulses[slot].stillCount == 2 { handle(.workerStalled(slot: slot)) }
      }
    }
    guard exit == nil else { return }
    let heartbeatNs = max(
      Self.pulseNsMin, min(welcome?.heartbeatIntervalNs ?? 1_000_000_000, 1_000_000_000))
    eventLoop.scheduleTask(in: .nanoseconds(Int64(heartbeatNs))) {
      self.assumeIsolated { $0.feelPulses() }
    }
  }

  private func persistUndelivered() {
    defer { undelivered = [] }
    guard let folder = options.leftoversFolder else {
      return options.announce(.notPersisted("no folder to write it to"))
    }
    let leftovers = Leftovers(
      run: run.name, planHash: run.planHash, entries: undelivered)
    do throws(Complaint) {
      let path = try leftovers.write(folder: folder, agent: machine.settings.agent)
      options.announce(.persisted(path: path))
    } catch {
      options.announce(.notPersisted(error.sentence))
    }
  }
}

extension RecordEntry {
  /// Without it, somebody's counts would be wrong.
  fileprivate var saysSomething: Bool {
    switch self {
    case .batch(let batch, _): Tally(batch) != Tally()
    case .ledger(let ledger): ledger.sums.sent > 0
    case .agent, .deal, .start, .stop, .end: false
    }
  }
}
