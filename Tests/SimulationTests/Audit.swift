import SquallCluster
import SquallLoad

/// What must hold whatever happens, checked after every event; and what must hold at the end.
struct Audit {
  let plan: Plan
  let leaseNs: UInt64
  /// Set by whatever may change who may send.
  var sharesChanged = false
  var damagedFrames = 0
  var hasClockJumped = false
  var healedNs: UInt64?
  /// The target's own count, by worker life.
  private(set) var received: [UInt64: UInt64] = [:]
  private(set) var receivedCount: UInt64 = 0
  private var scheduleSeen: Set<UInt64> = []
  private var produced: [BatchName: Batch] = [:]
  private var mergedNames: Set<BatchName> = []
  private(set) var mergedByLife: [UInt64: UInt64] = [:]
  private(set) var mergedCount: UInt64 = 0
  private var durableNames: Set<BatchName> = []
  private var durableLedgers: Set<Incarnation> = []
  private var isEndDurable = false
  /// By worker's life, the sequence below which acknowledgements were found to be right.
  private var checkedBelow: [Incarnation: UInt32] = [:]
  private var sentMax: UInt64 = 0
  private var incarnations: [Incarnation] = []
  private var persistedNames: Set<BatchName> = []
  private var fullSharesDueNs: UInt64 = 0
  private var violation: String?

  init(plan: Plan, leaseNs: UInt64) {
    self.plan = plan
    self.leaseNs = leaseNs
  }

  // MARK: What happens

  mutating func born(_ incarnation: Incarnation) { incarnations.append(incarnation) }
  mutating func closed(_ batch: Batch) { produced[batch.name] = batch }

  mutating func sent(
    _ count: Int, _ indexes: [UInt64], by incarnation: Incarnation, agent: Int,
    simulation: Simulation
  ) {
    received[incarnation.life, default: 0] += UInt64(count)
    receivedCount += UInt64(count)
    // A host whose clock has jumped is ahead of the run's time, and so of the schedule.
    for index in indexes where !hasClockJumped && !scheduleSeen.insert(index).inserted {
      fail("request \(index) of the schedule was sent twice, the second time by \(incarnation)")
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
  }

  mutating func recorded(_ entry: RecordEntry) {
    switch entry {
    case .batch(let batch, _):
      if !durableNames.insert(batch.name).inserted { fail("\(batch.name) was recorded twice") }
    case .ledger(let ledger): durableLedgers.insert(ledger.incarnation)
    case .end: isEndDurable = true
    case .agent, .deal, .start, .stop: break
    }
  }

  /// I2: what an agent is told that it may forget is in the record.
  mutating func acknowledged(_ acknowledgement: Acknowledgement, to agent: UInt64) {
    for entry in acknowledgement.entries {
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
  mutating func masterStarted(_ simulation: Simulation, recovered: Recovery?) {
    mergedNames = durableNames
    mergedByLife = [:]
    mergedCount = 0
    for name in durableNames {
      let sent = produced[name]?.endpoints.reduce(0) { $0 + $1.counters.sent } ?? 0
      mergedByLife[name.incarnation.life, default: 0] += sent
      mergedCount += sent
    }
  }

  private mutating func fail(_ text: String) { if violation == nil { violation = text } }

  // MARK: At every step

  mutating func check(_ simulation: Simulation) throws(Simulation.Violation) {
    if sharesChanged {
      sharesChanged = false
      checkShares(simulation)
    }
    if let machine = simulation.master.machine {
      if machine.sums.sent != mergedCount {
        fail("the master counts \(machine.sums.sent) and merged \(mergedCount)")
      }
      if machine.sums.sent < sentMax {
        fail("the total fell from \(sentMax) to \(machine.sums.sent)")
      }
      sentMax = max(sentMax, machine.sums.sent)
    }
    checkFullShares(simulation)
    if let violation { throw Simulation.Violation(description: violation) }
  }

  private func activeConnections(_ simulation: Simulation) -> UInt32 {
    var sum: UInt32 = 0
    for agent in simulation.agents where agent.isAlive {
      let localNs = agent.clock.localNs(simulation.nowNs)
      for case let worker? in agent.workers { sum += worker.activeConnections(nowNs: localNs) }
    }
    return sum
  }

  /// I4: at no instant is more held than the plan has.
  private mutating func checkShares(_ simulation: Simulation) {
    let active = activeConnections(simulation)
    if active > plan.connections {
      fail("\(active) connections are used where the plan has \(plan.connections)")
    }
  }

  /// Once the faults are over, the whole plan is dealt again, soon.
  private mutating func checkFullShares(_ simulation: Simulation) {
    guard let healedNs, plan.requestCount == .max else { return }
    let dueNs = max(healedNs, fullSharesDueNs) + 25 * second
    guard simulation.nowNs > dueNs, let machine = simulation.master.machine,
      machine.stage == .running
    else { return }
    if activeConnections(simulation) == plan.connections {
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
    fail("\(activeConnections(simulation)) of \(plan.connections) connections are used, long after")
  }

  // MARK: At the end

  func checkEnd(_ simulation: Simulation, _ outcome: Outcome) throws(Simulation.Violation) {
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
    for (index, agent) in simulation.agents.enumerated() where agent.isAlive {
      switch agent.exit {
      case .delivered?: break
      case .refused(let refusal)? where refusal.reason == .runOver: break
      case let exit: throw fail("agent \(index) ended with \(exit.map { "\($0)" } ?? "nothing")")
      }
    }
    guard persistedNames.isEmpty else { throw fail("batches were written to a file") }
  }
}
