import SquallCluster
import SquallLoad

/// The master's host: its process, which comes and goes, and its disk, which stays.
struct SimulatedMaster {
  var clock: Clock
  var machine: MasterMachine?
  /// Counts its processes.
  var life = 0
  var isPaused = false
  /// Since when its clock stands still.
  var clockStoppedNs: UInt64?
  var inbox: [MasterMachine.Event] = []
  /// Raised when the wake-up time changes.
  var generation = 0
  var armedNs: UInt64?
  /// By run.
  var durable: [[RecordEntry]] = [[]]
  var writing: [(entry: RecordEntry, token: UInt64)] = []
  var lastCommitNs: UInt64 = 0
  var diskFactor: UInt64 = 1
  /// Of the runs that have ended.
  var outcomes: [Outcome] = []
  /// Of the run it leads, or led last.
  var runIndex = 0
  var isDismissed = false

  init(clock: Clock) { self.clock = clock }
}

extension Simulation {
  func startMaster() {
    let entries = master.durable[master.runIndex]
    var recovery = Recovery()
    for entry in entries { recovery.apply(entry) }
    var settings = MasterMachine.Settings(build: "sim", seed: dice.next(), digests: digests)
    settings.leadsOneRun = swarm.plans.count == 1
    settings.heartbeatIntervalNs = swarm.heartbeatIntervalNs
    settings.leaseNs = swarm.leaseNs
    settings.goneAfterNs = 40 * second
    settings.goneAfterCloseNs = 40 * second
    settings.faults = faults
    // It may have died between the end's being durable and its hearing so.
    if let outcome = recovery.outcome, master.outcomes.count == master.runIndex {
      master.outcomes.append(outcome)
    }
    let past = master.outcomes.enumerated().map {
      PastRun(run: Self.firstRun + UInt64($0.offset), outcome: $0.element)
    }
    let isBetweenRuns = !settings.leadsOneRun && recovery.outcome != nil
    master.machine = MasterMachine(settings: settings, past: settings.leadsOneRun ? [] : past)
    master.isPaused = false
    master.inbox = []
    audit.masterStarted(self)
    tellMaster(.started)
    if isBetweenRuns { return runEnded() }
    beginRun(recovered: entries.isEmpty ? nil : recovery)
  }

  private func beginRun(recovered: Recovery?) {
    let index = master.runIndex
    var run = RunSettings(run: Self.firstRun + UInt64(index), plan: swarm.plans[index])
    run.expectWorkers = index == 0 ? swarm.workersPerAgent.reduce(0, +) : 1
    tellMaster(.begin(run, recovered: recovered))
  }

  /// The next run begins after a while; after the last, everybody may go.
  private func runEnded() {
    guard swarm.plans.count > 1 else { return }
    let next = master.runIndex + 1
    guard next < swarm.plans.count else { return tellMaster(.close) }
    let pauseNs = dice.chance(0.5) ? 1 : dice.between(1 * millisecond, 3 * second)
    queue.add(.runBegins(next, life: master.life), atNs: nowNs + pauseNs)
  }

  func runBegins(_ index: Int, life: Int) {
    guard master.machine != nil, master.life == life, index == master.runIndex + 1 else { return }
    guard !master.isPaused else {
      return queue.add(.runBegins(index, life: life), atNs: nowNs + 50 * millisecond)
    }
    var audit = Audit(plan: swarm.plans[index], leaseNs: swarm.leaseNs)
    audit.follow(audits[index - 1], nowNs: nowNs)
    audits.append(audit)
    master.durable.append([])
    master.runIndex = index
    beginRun(recovered: nil)
  }

  var digests: Digests {
    Digests(hash: Self.token, authenticate: swarm.hasToken ? Self.token : nil)
  }

  func tellMaster(_ event: MasterMachine.Event) {
    guard master.machine != nil else { return }
    guard !master.isPaused else { return master.inbox.append(event) }
    let localNs = master.clock.localNs(nowNs)
    let effects = master.machine?.handle(event, nowNs: localNs) ?? []
    for effect in effects { carryOut(effect) }
    armMaster()
  }

  private func armMaster() {
    let wakeNs = master.machine?.wakeNs ?? .max
    let atNs = wakeNs == .max ? .max : max(nowNs + 1, master.clock.trueNs(wakeNs))
    guard atNs != master.armedNs else { return }
    master.generation += 1
    master.armedNs = atNs
    guard atNs != .max else { return }
    queue.add(.masterTick(generation: master.generation), atNs: atNs)
  }

  private func carryOut(_ effect: MasterMachine.Effect) {
    switch effect {
    case .send(let peer, let message): send(message, fromMasterOver: Int(peer))
    case .close(let peer): closeAtMaster(Int(peer))
    case .record(let entry, let token):
      master.writing.append((entry, token))
      let delayNs = swarm.commitNs / 2 + UInt64(dice.exponential(Double(swarm.commitNs)))
      // One writer: commits keep their order.
      master.lastCommitNs = max(master.lastCommitNs + 1, nowNs + delayNs * master.diskFactor)
      queue.add(.committed(life: master.life, token: token), atNs: master.lastCommitNs)
    case .merged(let batch): audit.merged(batch)
    case .ended(let outcome):
      trace("ended \(outcome)")
      guard master.outcomes.count == master.runIndex else { return }
      master.outcomes.append(outcome)
      runEnded()
    case .dismissed: master.isDismissed = true
    case .log(let notice): trace("master: \(notice)")
    case .joined: break
    }
  }

  func committed(life: Int, token: UInt64) {
    guard life == master.life, master.machine != nil,
      let first = master.writing.first, first.token <= token
    else { return }
    while let first = master.writing.first, first.token <= token {
      makeDurable(first.entry)
      master.writing.removeFirst()
    }
    tellMaster(.committed(token: token))
  }

  /// What waited for the disk goes through.
  func recoverDisk() {
    master.diskFactor = 1
    master.lastCommitNs = nowNs
    for written in master.writing {
      master.lastCommitNs += swarm.commitNs
      queue.add(.committed(life: master.life, token: written.token), atNs: master.lastCommitNs)
    }
  }

  private func makeDurable(_ entry: RecordEntry) {
    master.durable[master.runIndex].append(entry)
    audit.recorded(entry)
  }

  func killMaster(restartAfterNs: UInt64) {
    guard master.machine != nil else { return }
    audit.masterKilled(self)
    master.machine = nil
    master.armedNs = nil
    master.life += 1
    master.generation += 1
    master.isPaused = false
    master.clockStoppedNs = nil
    master.inbox = []
    // The kernel may have got some of the writes down without anybody having heard so.
    let count = master.writing.isEmpty ? 0 : dice.below(master.writing.count + 1)
    for written in master.writing.prefix(count) { makeDurable(written.entry) }
    master.writing = []
    for connection in network.connections.indices
    where network.connections[connection].isOpenAtMaster {
      closeAtMaster(connection)
    }
    queue.add(.masterRestarts, atNs: nowNs + restartAfterNs)
  }

  func pauseMaster(forNs: UInt64, clockStops: Bool) {
    guard master.machine != nil, !master.isPaused else { return }
    master.isPaused = true
    if clockStops { master.clockStoppedNs = nowNs }
    queue.add(.masterResumes, atNs: nowNs + forNs)
  }

  func resumeMaster() {
    guard master.machine != nil, master.isPaused else { return }
    master.isPaused = false
    if let stoppedNs = master.clockStoppedNs {
      master.clock.fallBehind(byNs: nowNs - stoppedNs)
      master.clockStoppedNs = nil
      for index in audits.indices { audits[index].hasClockJumped = true }
    }
    let waiting = master.inbox
    master.inbox = []
    // Its loop may look at its timers first or at its sockets.
    if dice.chance(0.5) { tellMaster(.tick) }
    for event in waiting { tellMaster(event) }
    tellMaster(.tick)
  }
}
