import SquallCluster
import SquallLoad

/// One host with its agent process and the workers of that.
struct SimulatedAgent {
  let id: UInt64
  var clock: Clock
  var machine: AgentMachine
  var workers: [SimulatedWorker?]
  var isAlive = true
  var isPaused = false
  /// Agent and workers stand still together.
  var isHostPaused = false
  var inbox: [AgentMachine.Event] = []
  var generation = 0
  var armedNs: UInt64?
  /// The connection it dials or has.
  var connection: Int?
  var attempt = 0
  var exit: AgentMachine.Exit?
  /// When it last got an order, for the lease's bound.
  var lastOrderNs: UInt64 = 0
  var hasLeft = false
}

extension Simulation {
  func addAgent(workers: Int) {
    let id = dice.next() | 1
    var settings = AgentMachine.Settings(
      agent: id, build: "sim", host: "host\(agents.count)",
      cpus: (0..<UInt16(workers)).map { $0 }, seed: dice.next(), digests: digests)
    settings.faults = faults
    settings.restartFirstNs = 50 * millisecond
    settings.restartLastNs = second
    if swarm.partsPerBatch > 1, dice.chance(0.2) { settings.keptByteCountMax = 30_000 }
    agents.append(
      SimulatedAgent(
        id: id, clock: Clock(dice: &dice), machine: AgentMachine(settings: settings),
        workers: Array(repeating: nil, count: workers)))
    network.addHost()
    let agent = agents.count - 1
    queue.add(.pulse(agent: agent), atNs: nowNs + second)
    tell(agent, .started)
  }

  func localNs(_ agent: Int) -> UInt64 { agents[agent].clock.localNs(nowNs) }

  func tell(_ agent: Int, _ event: AgentMachine.Event) {
    guard agents[agent].isAlive, agents[agent].exit == nil else { return }
    guard !agents[agent].isPaused else { return agents[agent].inbox.append(event) }
    if case .received(.order(let order)) = event, order.phase == .run || order.phase == .prepare {
      agents[agent].lastOrderNs = nowNs
    }
    if case .received(.acknowledgement(let acknowledgement)) = event {
      for index in audits.indices {
        let entries = acknowledgement.entries.filter { audits[index].knows($0.life) }
        audits[index].acknowledged(entries, to: agents[agent].id)
      }
    }
    let effects = agents[agent].machine.handle(event, nowNs: localNs(agent))
    for effect in effects { carryOut(effect, of: agent) }
    guard agents[agent].exit == nil else { return }
    let wakeNs = agents[agent].machine.wakeNs
    let atNs = wakeNs == .max ? .max : max(nowNs + 1, agents[agent].clock.trueNs(wakeNs))
    guard atNs != agents[agent].armedNs else { return }
    agents[agent].generation += 1
    agents[agent].armedNs = atNs
    guard atNs != .max else { return }
    queue.add(.agentTick(agent: agent, generation: agents[agent].generation), atNs: atNs)
  }

  private func carryOut(_ effect: AgentMachine.Effect, of agent: Int) {
    switch effect {
    case .connect(let afterNs):
      agents[agent].attempt += 1
      agents[agent].connection = nil
      queue.add(
        .dial(agent: agent, attempt: agents[agent].attempt), atNs: nowNs + 1 + afterNs)
    case .disconnect:
      if let connection = agents[agent].connection { closeAtAgent(connection) }
      agents[agent].connection = nil
    case .send(let message): send(message, fromAgent: agent)
    case .startWorkers:
      for slot in agents[agent].workers.indices { spawn(agent, slot, afterNs: 0) }
    case .startWorker(let slot, let afterNs): spawn(agent, slot, afterNs: afterNs)
    case .startAt(let localNs):
      for slot in agents[agent].workers.indices { command(agent, slot, .start(atNs: localNs)) }
    case .setShare(let slot, let share, let untilNs, let validUntilNs):
      command(agent, slot, .share(share, untilNs: untilNs, validUntilNs: validUntilNs))
    case .changeLoad(let slot, let change): command(agent, slot, .change(change))
    case .renewShare(let slot, let validUntilNs):
      command(agent, slot, .renew(validUntilNs: validUntilNs))
    case .stopWorker(let slot):
      command(agent, slot, .stop)
      if swarm.cutsDrains { command(agent, slot, .cut) }
    case .exit(let exit):
      trace("agent \(agent) exits: \(exit)")
      agents[agent].exit = exit
      for slot in agents[agent].workers.indices { endWorker(agent, slot) }
    case .persist(let run, _, let batches, let ledgers):
      audits[auditIndex(run)].persisted(batches, ledgers)
    case .leaveRun: for slot in agents[agent].workers.indices { endWorker(agent, slot) }
    case .log(let notice):
      trace("agent \(agent): \(notice)")
      if notice == .keptFull || notice == .keptDrained { audit.keptFullOrDrained(nowNs: nowNs) }
    case .joined: break
    }
  }

  private func spawn(_ agent: Int, _ slot: Int, afterNs: UInt64) {
    let delayNs = dice.between(5 * millisecond, 200 * millisecond)
    queue.add(
      .spawned(agent: agent, slot: slot, run: agents[agent].machine.run),
      atNs: nowNs + afterNs + delayNs)
  }

  private func command(_ agent: Int, _ slot: Int, _ command: Command) {
    guard let worker = agents[agent].workers[slot] else { return }
    // A pipe: commands keep their order.
    let atNs = max(worker.lastCommandNs + 1, nowNs + dice.between(20, 60) * microsecond)
    agents[agent].workers[slot]!.lastCommandNs = atNs
    queue.add(
      .commanded(agent: agent, slot: slot, life: worker.incarnation.life, command), atNs: atNs)
  }

  // MARK: Faults

  func killAgent(_ agent: Int) {
    guard agents[agent].isAlive, agents[agent].exit == nil else { return }
    agents[agent].isAlive = false
    for slot in agents[agent].workers.indices { endWorker(agent, slot) }
    if let connection = agents[agent].connection { closeAtAgent(connection) }
    agents[agent].connection = nil
    // Somebody starts it again, as a new agent.
    queue.add(.agentJoins, atNs: nowNs + dice.between(200 * millisecond, 4 * second))
  }

  func pauseAgent(_ agent: Int, forNs: UInt64, withHost: Bool) {
    guard agents[agent].isAlive, agents[agent].exit == nil, !agents[agent].isPaused else { return }
    agents[agent].isPaused = true
    if withHost {
      agents[agent].isHostPaused = true
      for slot in agents[agent].workers.indices { pauseWorker(agent, slot) }
    }
    queue.add(.agentResumes(agent: agent, withHost: withHost), atNs: nowNs + forNs)
  }

  func resumeAgent(_ agent: Int, withHost: Bool) {
    guard agents[agent].isAlive, agents[agent].isPaused else { return }
    agents[agent].isPaused = false
    if withHost {
      agents[agent].isHostPaused = false
      for slot in agents[agent].workers.indices {
        if let life = agents[agent].workers[slot]?.incarnation.life {
          resumeWorker(agent, slot, life: life)
        }
      }
    }
    let waiting = agents[agent].inbox
    agents[agent].inbox = []
    if dice.chance(0.5) { tell(agent, .tick) }
    for event in waiting { tell(agent, event) }
    tell(agent, .tick)
  }

  // MARK: Workers

  func spawned(_ agent: Int, _ slot: Int, run: UInt64) {
    guard agents[agent].isAlive, agents[agent].exit == nil, agents[agent].machine.run == run else {
      return
    }
    if !network.isHealed, dice.chance(0.02) { return tell(agent, .workerDied(slot: slot, nil)) }
    lifeCount += 1
    let incarnation = Incarnation(agent: agents[agent].id, worker: UInt16(slot), life: lifeCount)
    agents[agent].workers[slot] = SimulatedWorker(
      incarnation: incarnation, run: run, plan: swarm.plans[auditIndex(run)],
      rateHz: swarm.rateHz, faults: faults)
    audits[auditIndex(run)].born(incarnation)
    queue.add(
      .workerStep(agent: agent, slot: slot, life: lifeCount), atNs: nowNs + 250 * millisecond)
    tell(agent, .workerReady(slot: slot, life: lifeCount))
  }

  private func isCurrent(_ agent: Int, _ slot: Int, _ life: UInt64) -> Bool {
    agents[agent].isAlive && agents[agent].workers[slot]?.incarnation.life == life
      && agents[agent].workers[slot]?.isAlive == true
  }

  /// Lets the worker do what it would have done by now.
  func advance(_ agent: Int, _ slot: Int) {
    guard let worker = agents[agent].workers[slot], worker.isAlive else { return }
    var deeds: [SimulatedWorker.Deed] = []
    agents[agent].workers[slot]!.advance(nowNs: localNs(agent)) { deeds.append($0) }
    audits[auditIndex(worker.run)].did(deeds, worker.incarnation, agent: agent, simulation: self)
    for deed in deeds {
      if case .sent = deed { continue }
      audit.sharesChanged = true
      switch deed {
      case .sent: continue
      case .news(.adopted(let epoch), let sentBefore):
        report(agent, .workerAdopted(slot: slot, epoch: epoch, sentBefore: sentBefore))
      case .news(.dropped, _): continue
      case .news(.stopped, _):
        closePage(agent, slot)
        queue.add(
          .workerDrained(agent: agent, slot: slot, life: worker.incarnation.life),
          atNs: nowNs + dice.between(0, 120) * millisecond)
      case .news(.finished, _): finished(agent, slot)
      case .exhausted(let epoch): report(agent, .workerExhausted(slot: slot, epoch: epoch))
      }
    }
  }

  func commanded(_ agent: Int, _ slot: Int, life: UInt64, _ command: Command) {
    guard isCurrent(agent, slot, life) else { return }
    guard !agents[agent].workers[slot]!.isPaused else {
      agents[agent].workers[slot]!.waiting.append(command)
      return
    }
    advance(agent, slot)
    guard isCurrent(agent, slot, life) else { return }
    if case .share(let share, let untilNs, _) = command {
      audits[auditIndex(agents[agent].workers[slot]!.run)].told(
        share, untilNs: untilNs, life: life)
    }
    let localNs = localNs(agent)
    agents[agent].workers[slot]!.obey(command, nowNs: localNs)
    advance(agent, slot)
    audit.sharesChanged = true
    guard let wakeNs = agents[agent].workers[slot]?.duty.wakeNs(nowNs: localNs), wakeNs != .max
    else { return }
    let atNs = max(nowNs + 1, agents[agent].clock.trueNs(wakeNs))
    queue.add(.workerStep(agent: agent, slot: slot, life: 0), atNs: atNs)
  }

  /// A worker's word takes a moment to its agent.
  private func report(_ agent: Int, _ event: AgentMachine.Event) {
    let run = agents[agent].machine.run
    queue.add(.agentTold(agent: agent, run: run, event), atNs: nowNs + 70 * microsecond)
  }

  func drained(_ agent: Int, _ slot: Int, life: UInt64) {
    guard isCurrent(agent, slot, life) else { return }
    guard agents[agent].workers[slot]?.isPaused == false else {
      return queue.add(
        .workerDrained(agent: agent, slot: slot, life: life), atNs: nowNs + 100 * millisecond)
    }
    agents[agent].workers[slot]!.isDrained = true
    advance(agent, slot)
  }

  private func finished(_ agent: Int, _ slot: Int) {
    guard let worker = agents[agent].workers[slot] else { return }
    audits[auditIndex(worker.run)].finished(worker)
    closePage(agent, slot)
    report(
      agent, .workerFinished(slot: slot, agents[agent].workers[slot]!.ledger(.finished)))
  }

  private func closePage(_ agent: Int, _ slot: Int) {
    let localNs = localNs(agent)
    guard
      let batch = agents[agent].workers[slot]?.closePage(
        nowNs: localNs, parts: swarm.partsPerBatch)
    else { return }
    audits[auditIndex(agents[agent].workers[slot]!.run)].closed(batch)
    report(agent, .batchClosed(batch))
  }

  func step(_ agent: Int, _ slot: Int, life: UInt64) {
    // Life 0: some share lapses about now, whoever is there.
    guard life == 0 || isCurrent(agent, slot, life) else { return }
    audit.sharesChanged = true
    guard agents[agent].isAlive else { return }
    advance(agent, slot)
    guard life != 0, isCurrent(agent, slot, life) else { return }
    queue.add(.workerStep(agent: agent, slot: slot, life: life), atNs: nowNs + 250 * millisecond)
    guard let worker = agents[agent].workers[slot], !worker.isPaused else { return }
    if swarm.blockedShare > 0 {
      agents[agent].workers[slot]!.isBlocked = dice.chance(swarm.blockedShare)
    }
    let localNs = localNs(agent)
    // A closed page waits for the agent; while one waits, the worker goes on in the open one.
    if !agents[agent].isPaused, let startNs = worker.startNs, localNs > startNs,
      (localNs - startNs) % worker.plan.times.intervalNs < 250 * millisecond
    {
      closePage(agent, slot)
    }
  }

  func killWorker(_ agent: Int, _ slot: Int) {
    guard agents[agent].isAlive, agents[agent].exit == nil,
      let worker = agents[agent].workers[slot], worker.isAlive
    else { return }
    advance(agent, slot)
    agents[agent].workers[slot]!.isDead = true
    audit.sharesChanged = true
    queue.add(
      .reaped(agent: agent, slot: slot, life: worker.incarnation.life),
      atNs: nowNs + dice.between(1, 30) * millisecond)
  }

  /// The agent finds the process gone and its pages where they were. Behind everything the worker said.
  func reaped(_ agent: Int, _ slot: Int, life: UInt64) {
    guard agents[agent].isAlive, let worker = agents[agent].workers[slot],
      worker.incarnation.life == life, worker.run == agents[agent].machine.run
    else { return }
    closePage(agent, slot)
    report(agent, .workerDied(slot: slot, agents[agent].workers[slot]!.ledger(.killed(9))))
  }

  /// The process ends with its agent, and nobody reads its pages.
  private func endWorker(_ agent: Int, _ slot: Int) {
    guard agents[agent].workers[slot]?.isAlive == true else { return }
    advance(agent, slot)
    agents[agent].workers[slot]!.isDead = true
    audit.sharesChanged = true
  }

  func pauseWorker(_ agent: Int, _ slot: Int) {
    guard agents[agent].workers[slot]?.isAlive == true else { return }
    advance(agent, slot)
    agents[agent].workers[slot]!.isPaused = true
    audit.sharesChanged = true
  }

  func resumeWorker(_ agent: Int, _ slot: Int, life: UInt64) {
    guard isCurrent(agent, slot, life), agents[agent].workers[slot]!.isPaused,
      !agents[agent].isHostPaused
    else { return }
    advance(agent, slot)
    agents[agent].workers[slot]!.isPaused = false
    audit.sharesChanged = true
    let waiting = agents[agent].workers[slot]!.waiting
    agents[agent].workers[slot]!.waiting = []
    // It may go on with what it has before it looks at its commands, which takes a moment.
    for command in waiting { self.command(agent, slot, command) }
  }

  func feelPulses(_ agent: Int) {
    guard agents[agent].isAlive, agents[agent].exit == nil else { return }
    queue.add(.pulse(agent: agent), atNs: nowNs + second)
    guard !agents[agent].isPaused else { return }
    for slot in agents[agent].workers.indices {
      guard let worker = agents[agent].workers[slot], worker.isAlive else { continue }
      if worker.isPaused {
        agents[agent].workers[slot]!.stillCount += 1
        if worker.stillCount == 1 { tell(agent, .workerStalled(slot: slot)) }
      } else if worker.stillCount > 0 {
        agents[agent].workers[slot]!.stillCount = 0
        if worker.stillCount >= 2 { tell(agent, .workerResumed(slot: slot)) }
      }
    }
  }
}
