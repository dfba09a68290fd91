import SquallCluster
import SquallLoad

/// What must hold whatever happens, checked after every event; and what must hold at the end.
struct Audit {
  let plan: Plan
  let leaseNs: UInt64
  /// With what was changed of its load, as the record has it.
  private(set) var now: Plan
  private var startNs: UInt64?
  private var newestDeal: Deal?
  /// By number: what was asked for, of whom it is expected, and by when.
  private var edits: [Int: (change: LoadChange, lives: Set<UInt64>)] = [:]
  /// Somebody asked for another load when this one was nearly over.
  private var isEditedLate = false
  private(set) var editsInTime = 0
  /// Set by whatever may change who may send.
  var sharesChanged = false
  var damagedFrames = 0
  var hasClockJumped = false
  var healedNs: UInt64?
  /// The target's own count, by worker life.
  private(set) var received: [UInt64: UInt64] = [:]
  private(set) var receivedCount: UInt64 = 0
  /// Who sent or dropped each request of the schedule.
  private var passedBy: [UInt64: Incarnation] = [:]
  private var produced: [BatchName: Batch] = [:]
  private var mergedNames: Set<BatchName> = []
  private(set) var mergedByLife: [UInt64: UInt64] = [:]
  private(set) var mergedCount: UInt64 = 0
  private var mergedDropped: UInt64 = 0
  private var ledger: RunLedger
  /// Where in the run's time the load ended, for each worker that saw its end.
  private var loadEnds: [UInt64] = []
  /// In an open loop, what is each worker's, by its life.
  private var parts: [UInt64: Part] = [:]
  /// The newest share that each worker was told of, by its life.
  private var told: [UInt64: Share] = [:]
  private var durableNames: Set<BatchName> = []
  private var durableLedgers: Set<Incarnation> = []
  private var isEndDurable = false
  /// By worker's life, the sequence below which acknowledgements were found to be right.
  private var checkedBelow: [Incarnation: UInt32] = [:]
  private var sentMax: UInt64 = 0
  private var incarnations: [Incarnation] = []
  private var lives: Set<UInt64> = []
  private var persistedNames: Set<BatchName> = []
  private var fullSharesDueNs: UInt64 = 0
  private var violation: String?
  private var hasChanged = false

  init(plan: Plan, leaseNs: UInt64) {
    self.plan = plan
    now = plan
    self.leaseNs = leaseNs
    ledger = RunLedger(endpointCount: plan.content.endpoints.count)
  }

  /// What was before stays so.
  mutating func follow(_ earlier: Audit, nowNs: UInt64) {
    hasClockJumped = earlier.hasClockJumped
    healedNs = earlier.healedNs
    fullSharesDueNs = nowNs
    sharesChanged = true
  }

  // MARK: What happens

  mutating func born(_ incarnation: Incarnation) {
    incarnations.append(incarnation)
    lives.insert(incarnation.life)
  }
  /// The life is of this run.
  func knows(_ life: UInt64) -> Bool { lives.contains(life) }
  mutating func closed(_ batch: Batch) { produced[batch.name] = batch }

  mutating func did(
    _ deeds: [SimulatedWorker.Deed], _ incarnation: Incarnation, agent: Int,
    simulation: Simulation
  ) {
    var count: UInt64 = 0
    for deed in deeds {
      switch deed {
      case .sent(let index):
        count += 1
        guard let index, let schedule else { continue }
        passed(index, by: incarnation)
        parts[incarnation.life, default: Part()].sent(index, dueNs: schedule.offsetNs(index: index))
      case .news(.dropped(let count, _), _):
        guard let schedule else { continue }
        let given = parts[incarnation.life, default: Part()].drop(count, schedule)
        for index in given { passed(index, by: incarnation) }
        if given.count < count { fail("\(incarnation) drops \(count) where it has \(given.count)") }
      case .news, .exhausted: continue
      }
    }
    if count > 0 { sent(count, by: incarnation, agent: agent, simulation: simulation) }
  }

  private mutating func passed(_ index: UInt64, by incarnation: Incarnation) {
    let other = passedBy.updateValue(incarnation, forKey: index)
    // A host whose clock has jumped is ahead of the run's time, and so of the schedule.
    if let other, !hasClockJumped {
      fail("request \(index) of the schedule went by twice: \(other), then \(incarnation)")
    }
  }

  private mutating func sent(
    _ count: UInt64, by incarnation: Incarnation, agent: Int, simulation: Simulation
  ) {
    received[incarnation.life, default: 0] += count
    receivedCount += count
    if told[incarnation.life]?.isIdle != false {
      fail("\(incarnation) sends under a share that it does not have")
    }
    if plan.requestCount != .max, receivedCount > plan.requestCount {
      fail("\(receivedCount) requests of \(plan.requestCount) were sent")
    }
    let boundNs =
      simulation.agents[agent].lastOrderNs + leaseNs + leaseNs / 1_000 + 300 * millisecond
    if simulation.nowNs > boundNs {
      fail("\(incarnation) sends \(simulation.nowNs - boundNs) ns after its lease")
    }
  }

  /// Nil where no request is due at an instant of its own.
  private var schedule: Schedule? {
    guard case .open(let schedule) = now.load, plan.requestCount == .max else { return nil }
    return schedule
  }

  mutating func told(_ share: Share, untilNs: UInt64, life: UInt64) {
    let newest = told[life]?.epoch ?? 0
    if share.epoch > newest || share.epoch == newest && share.isIdle { told[life] = share }
    if schedule != nil { parts[life, default: Part()].told(share, untilNs: untilNs) }
  }

  /// A worker's last word: all that was due of its shares, it sent or dropped.
  mutating func finished(_ worker: SimulatedWorker) {
    guard let schedule, let startNs = worker.startNs, let endNs = worker.endNs, startNs < endNs
    else { return }
    loadEnds.append(endNs - startNs)
    let partEndNs = max(startNs, min(endNs, worker.duty.validUntilNs))
    let part = parts[worker.incarnation.life] ?? Part()
    let due = part.due(schedule, beforeNs: partEndNs - startNs)
    if !due.isSuperset(of: part.sent) {
      fail("\(worker.incarnation) sent what was not its: \(part.sent.subtracting(due).sorted())")
    }
    if part.sent.count + Int(worker.droppedInLife) != due.count {
      fail(
        "\(worker.incarnation) sent \(part.sent.count) and dropped \(worker.droppedInLife)"
          + " where \(due.count) were due")
    }
  }

  mutating func merged(_ batch: Batch) {
    if !mergedNames.insert(batch.name).inserted { fail("\(batch.name) was merged twice") }
    guard let original = produced[batch.name] else {
      return fail("\(batch.name) was merged and never made")
    }
    if original != batch {
      fail("\(batch.name) was merged with other content than it was made with")
    }
    let sent = batch.endpoints.reduce(0) { $0 + $1.counters.sent }
    mergedByLife[batch.name.incarnation.life, default: 0] += sent
    mergedCount += sent
    mergedDropped += batch.endpoints.reduce(0) { $0 + $1.counters.dropped }
    if !ledger.merge(batch) { fail("\(batch.name) cannot be") }
  }

  mutating func recorded(_ entry: RecordEntry) {
    switch entry {
    case .batch(let batch, _):
      if !durableNames.insert(batch.name).inserted { fail("\(batch.name) was recorded twice") }
    case .ledger(let ledger): durableLedgers.insert(ledger.incarnation)
    case .end: isEndDurable = true
    case .deal(let deal):
      newestDeal = deal
      if deal.changes.count > now.changes.count { sharesChanged = true }
      guard deal.changes != now.changes else { return }
      if !deal.changes.starts(with: now.changes) {
        fail("changes \(now.changes) became \(deal.changes)")
      }
      now = plan.changed(by: deal.changes)
      hasChanged = true
    case .start(let startNs): self.startNs = startNs
    case .agent, .stop: break
    }
  }

  // MARK: Edits

  /// Somebody has asked for another load.
  mutating func edited(_ index: Int, _ change: LoadChange, _ simulation: Simulation) {
    if let startNs {
      let endNs = startNs + plan.times.warmupNs + plan.times.durationNs
      let leftNs = Int64(simulation.master.clock.trueNs(endNs)) - Int64(simulation.nowNs)
      if leftNs < Int64(3 * second) { isEditedLate = true }
    }
    // Only the newest is sure to come; the others may have been overtaken.
    edits = [:]
    let swarm = simulation.swarm
    let isCalm =
      swarm.faults.isEmpty && swarm.loss == 0 && swarm.corruption == 0
      && swarm.delayMeanNs <= 20 * millisecond && swarm.delayMinNs <= 10 * millisecond
      && swarm.commitNs <= 10 * millisecond && newestDeal?.kind == .grant
      && simulation.master.writing.isEmpty && simulation.agents.allSatisfy { $0.exit == nil }
    guard isCalm, let deal = newestDeal else { return }
    let lives = deal.holdings.filter { !$0.share.isIdle }.map(\.incarnation.life)
    edits[index] = (change, Set(lives))
  }

  /// A heartbeat and half a second later: everybody has it, and its instant has come.
  mutating func checkEdit(_ index: Int, _ simulation: Simulation) {
    guard let edit = edits.removeValue(forKey: index),
      simulation.master.machine?.stage == .running
    else { return }
    for agent in simulation.agents {
      let localNs = agent.clock.localNs(simulation.nowNs)
      for case let worker? in agent.workers
      where edit.lives.contains(worker.incarnation.life) && worker.isAlive && worker.plan == plan {
        guard worker.duty.stage == .loading else { continue }
        let change = worker.duty.changes.last
        guard let change, change.rateHz == edit.change.rateHz,
          change.connections == edit.change.connections,
          worker.duty.share.isIdle || worker.duty.share.fromNs >= change.atNs,
          localNs >= worker.duty.startNs + change.atNs
        else {
          return fail(
            "\(worker.incarnation) is not at \(edit.change) in time: it has "
              + "\(worker.duty.changes) and \(worker.duty.share)")
        }
      }
    }
    editsInTime += 1
  }

  /// I2: what an agent is told that it may forget is in the record.
  mutating func acknowledged(_ entries: [Acknowledgement.Entry], to agent: UInt64) {
    for entry in entries {
      let incarnation = Incarnation(agent: agent, worker: entry.worker, life: entry.life)
      let checked = checkedBelow[incarnation] ?? 0
      let below = checked..<max(checked, entry.below)
      let beyond = (0..<UInt32(64)).filter { entry.beyond >> UInt64($0) & 1 != 0 }
      for sequence in Array(below.prefix(100_000)) + beyond.map({ entry.below &+ 1 &+ $0 }) {
        let name = BatchName(incarnation: incarnation, sequence: sequence)
        guard durableNames.contains(name) else {
          return fail("\(name) was acknowledged and is not in the record")
        }
      }
      checkedBelow[incarnation] = below.upperBound
      // After the end a ledger that says nothing is let go unrecorded.
      if entry.hasLedger, !isEndDurable, !durableLedgers.contains(incarnation) {
        fail("the ledger of \(incarnation) was acknowledged and is not in the record")
      }
    }
  }

  /// An agent stops its load because too much is undelivered, or goes on: it may have to again and again.
  mutating func keptFullOrDrained(nowNs: UInt64) { fullSharesDueNs = nowNs }

  mutating func persisted(_ batches: [Batch], _ ledgers: [Ledger]) {
    for batch in batches {
      persistedNames.insert(batch.name)
      if produced[batch.name] != batch { fail("\(batch.name) was written down wrong") }
    }
  }

  mutating func masterKilled(_ simulation: Simulation) {
    sentMax = max(sentMax, simulation.master.machine?.sums.sent ?? 0)
  }

  /// A new master process: what counts is what the record holds.
  mutating func masterStarted(_ simulation: Simulation) {
    mergedNames = durableNames
    mergedByLife = [:]
    mergedCount = 0
    mergedDropped = 0
    ledger = RunLedger(endpointCount: plan.content.endpoints.count)
    for name in durableNames {
      if let batch = produced[name] { ledger.merge(batch) }
      let sent = produced[name]?.endpoints.reduce(0) { $0 + $1.counters.sent } ?? 0
      mergedByLife[name.incarnation.life, default: 0] += sent
      mergedCount += sent
      mergedDropped +=
        produced[name]?.endpoints.reduce(0) { $0 + $1.counters.dropped } ?? 0
    }
  }

  private mutating func fail(_ text: String) { if violation == nil { violation = text } }

  // MARK: At every step

  mutating func check(_ simulation: Simulation) throws(Simulation.Violation) {
    if sharesChanged {
      sharesChanged = false
      checkShares(simulation)
    }
    if let machine = simulation.master.machine, machine.stage != .idle {
      if machine.sums.sent != mergedCount {
        fail("the master counts \(machine.sums.sent) and merged \(mergedCount)")
      }
      if machine.sums.sent < sentMax {
        fail("the total fell from \(sentMax) to \(machine.sums.sent)")
      }
      sentMax = max(sentMax, machine.sums.sent)
    }
    checkFullShares(simulation)
    try checkEnded()
  }

  /// Of a run that is over.
  func checkEnded() throws(Simulation.Violation) {
    if let violation { throw Simulation.Violation(description: violation) }
  }

  private func activeConnections(_ simulation: Simulation) -> UInt32 {
    var sum: UInt32 = 0
    for agent in simulation.agents where agent.isAlive {
      let localNs = agent.clock.localNs(simulation.nowNs)
      for case let worker? in agent.workers where worker.plan == plan {
        sum += worker.activeConnections(nowNs: localNs)
      }
    }
    return sum
  }

  /// I4: at no instant is more held than the plan has.
  private mutating func checkShares(_ simulation: Simulation) {
    let active = activeConnections(simulation)
    let most = connectionsMax(simulation)
    if active > most { fail("\(active) connections are used where the plan has \(most)") }
    if plan.connections.isNumbered { checkNumbers(simulation) }
  }

  /// What the plan has now. About the instant of a change, what it had before or has then: hosts do not
  /// have the instant at the same time.
  private func connectionsMax(_ simulation: Simulation) -> UInt32 {
    var most = plan.connections.count
    let behindNs = mostBehindNs(simulation)
    for count in 1..<now.changes.count + 1 {
      let changed = plan.changed(by: Array(now.changes.prefix(count)))
      var isPast = false
      if let startNs, !hasClockJumped {
        let atNs = simulation.master.clock.trueNs(startNs + now.changes[count - 1].atNs)
        isPast = simulation.nowNs > atNs + behindNs
      }
      most = isPast ? changed.connectionCount : max(most, changed.connectionCount)
    }
    return most
  }

  /// By how much the run's time is behind the master's where it is most behind.
  private func mostBehindNs(_ simulation: Simulation) -> UInt64 {
    guard let startNs else { return 0 }
    let masterNs = Int64(simulation.master.clock.localNs(simulation.nowNs)) - Int64(startNs)
    let behindNs = simulation.agents.flatMap { agent in
      agent.workers.compactMap { worker -> Int64? in
        guard let worker, worker.plan == plan, let startNs = worker.startNs else { return nil }
        return masterNs - Int64(agent.clock.localNs(simulation.nowNs)) + Int64(startNs)
      }
    }
    // Instants are known to some microseconds.
    return UInt64(max(0, behindNs.max() ?? 0)) + millisecond
  }

  /// A user's number, and with it its row of data, is in use nowhere twice.
  private mutating func checkNumbers(_ simulation: Simulation) {
    var seen: Set<UInt32> = []
    for agent in simulation.agents where agent.isAlive {
      let localNs = agent.clock.localNs(simulation.nowNs)
      for case let worker? in agent.workers where worker.plan == plan {
        for number in worker.userNumbers(nowNs: localNs) where !seen.insert(number).inserted {
          fail("user \(number) is at two places")
        }
      }
    }
  }

  /// Once the faults are over, the whole plan is dealt again, soon.
  private mutating func checkFullShares(_ simulation: Simulation) {
    if hasChanged {
      hasChanged = false
      fullSharesDueNs = simulation.nowNs
    }
    guard let healedNs, plan.requestCount == .max else { return }
    let dueNs = max(healedNs, fullSharesDueNs) + 25 * second
    guard simulation.nowNs > dueNs, let machine = simulation.master.machine,
      machine.stage == .running
    else { return }
    if activeConnections(simulation) == now.connectionCount {
      fullSharesDueNs = simulation.nowNs
      return
    }
    // Some workers may have ended their part already, a little before the master.
    let localEnds = simulation.agents.flatMap { agent in
      agent.workers.compactMap { worker in
        worker?.endNs.map { agent.clock.localNs(simulation.nowNs) + second >= $0 }
      }
    }
    if localEnds.contains(true) { return }
    fail(
      "\(activeConnections(simulation)) of \(now.connectionCount) connections are used, long after"
    )
  }

  // MARK: At the end

  func checkEnd(
    _ simulation: Simulation, _ outcome: Outcome, isFirst: Bool
  ) throws(Simulation.Violation) {
    func fail(_ text: String) -> Simulation.Violation { Simulation.Violation(description: text) }
    let agents = Dictionary(uniqueKeysWithValues: simulation.agents.map { ($0.id, $0) })
    var missing: Set<Incarnation> = []
    for gap in outcome.gaps {
      switch gap {
      case .silent(let incarnation, _):
        missing.insert(incarnation)
        if agents[incarnation.agent]?.isAlive == true {
          throw fail("\(incarnation) is given up, and its agent lived")
        }
      case .batches(let incarnation, let of, let arrived):
        missing.insert(incarnation)
        if agents[incarnation.agent]?.isAlive == true {
          throw fail("\(incarnation): \(arrived) of \(of) batches arrived")
        }
      case .mismatch(let incarnation, let ledger, let merged):
        throw fail("\(incarnation): ledger \(ledger) and merged \(merged)")
      case .notReplaced: break
      }
    }
    for incarnation in incarnations {
      let sent = received[incarnation.life] ?? 0
      let merged = mergedByLife[incarnation.life] ?? 0
      if merged > sent { throw fail("\(incarnation) sent \(sent) and the master has \(merged)") }
      let wasKilled = agents[incarnation.agent]?.isAlive == false
      if merged < sent, !missing.contains(incarnation) {
        throw fail("\(incarnation) sent \(sent), the master has \(merged) and calls it complete")
      }
      if merged < sent, !wasKilled {
        throw fail("\(incarnation) sent \(sent) and the master has \(merged)")
      }
    }
    guard outcome.sums.sent == mergedCount else {
      throw fail("the outcome says \(outcome.sums.sent), merged were \(mergedCount)")
    }
    guard outcome.sums.dropped == mergedDropped else {
      throw fail("the outcome says \(outcome.sums.dropped) dropped, merged were \(mergedDropped)")
    }
    guard persistedNames.isEmpty else { throw fail("batches were written to a file") }
    let swarm = simulation.swarm
    // A later run begins with some of its workers: shares move when the others come.
    let isCalm =
      swarm.faults.isEmpty && swarm.loss == 0 && swarm.corruption == 0
      && isFirst
      // One that the load's end overtakes leaves what falls due between.
      && !isEditedLate
    try checkBalance(outcome, isCalm: isCalm)
  }

  func checkAgents(_ simulation: Simulation) throws(Simulation.Violation) {
    for (index, agent) in simulation.agents.enumerated() where agent.isAlive {
      switch agent.exit {
      case .delivered?: break
      case .refused(let refusal)? where refusal.reason == .runOver: break
      case let exit:
        let text = "agent \(index) ended with \(exit.map { "\($0)" } ?? "nothing")"
        throw Simulation.Violation(description: text)
      }
    }
  }

  /// Of all that the schedule called for up to the load's end, each request was sent by one worker, or
  /// dropped by one, or was nobody's; and the result says so.
  private func checkBalance(
    _ outcome: Outcome, isCalm: Bool
  ) throws(Simulation.Violation) {
    guard let schedule, !hasClockJumped else { return }
    func fail(_ text: String) -> Simulation.Violation { Simulation.Violation(description: text) }
    func due(_ beforeNs: UInt64) -> UInt64 { schedule.firstIndex(atOrAfterNs: beforeNs) }
    let endedEarly = outcome.reason != .duration
    // Pages are not told apart by the warm-up here.
    var whole = now
    whole.times.durationNs += whole.times.warmupNs
    whole.times.warmupNs = 0
    guard let balance = ledger.balance(whole, endedEarly: endedEarly) else { return }
    let counted = ledger.phases.whole
    let total = counted.sent + counted.counters.dropped + balance.unassigned
    guard endedEarly else {
      let runNs = whole.times.durationNs
      if balance.due != due(runNs) || balance.dropped + counted.sent != balance.due {
        throw fail("\(balance) where \(due(runNs)) were due and \(counted.sent) sent")
      }
      if let late = passedBy.keys.max(), late >= due(runNs) {
        throw fail("request \(late) went by, and \(due(runNs)) were due")
      }
      if total != due(runNs) { throw fail("\(total) sent or dropped where \(due(runNs)) were due") }
      let nobodys = due(runNs) - UInt64(passedBy.count)
      if outcome.gaps.isEmpty, balance.unassigned != nobodys {
        throw fail("\(balance.unassigned) are called nobody's, and \(nobodys) are")
      }
      if isCalm, nobodys > 0 { throw fail("\(nobodys) went by nobody, and nothing failed") }
      return
    }
    guard outcome.gaps.isEmpty, let first = loadEnds.min(), let last = loadEnds.max() else {
      return
    }
    let least = due(first - min(first, plan.times.intervalNs))
    if total < least || total > due(last) {
      throw fail("\(total) sent or dropped where \(least) to \(due(last)) were due")
    }
  }
}
