import SquallCluster
import SquallLoad

/// Master, agents, workers, the network between them and the target they load, in one thread, on one
/// virtual clock. The machines are the real ones; everything around them comes from the seed.
final class Simulation {
  enum Event {
    case toMaster(connection: Int, Message, isDamaged: Bool)
    case toAgent(connection: Int, Message, isDamaged: Bool)
    case dial(agent: Int, attempt: Int)
    case dialFailed(agent: Int, attempt: Int, String)
    case accepted(connection: Int)
    case established(connection: Int)
    /// One end learns that the other has closed.
    case endedAtMaster(connection: Int)
    case endedAtAgent(connection: Int)
    case masterTick(generation: Int)
    case agentTick(agent: Int, generation: Int)
    case committed(life: Int, token: UInt64)
    case spawned(agent: Int, slot: Int, run: UInt64)
    case commanded(agent: Int, slot: Int, life: UInt64, Command)
    case workerStep(agent: Int, slot: Int, life: UInt64)
    case workerDrained(agent: Int, slot: Int, life: UInt64)
    case agentTold(agent: Int, run: UInt64, AgentMachine.Event)
    case pulse(agent: Int)
    case reaped(agent: Int, slot: Int, life: UInt64)
    case fault(Swarm.Fault)
    case edit(Int)
    case editDue(Int)
    case masterRestarts
    case masterResumes
    case agentResumes(agent: Int, withHost: Bool)
    case workerResumes(agent: Int, slot: Int, life: UInt64)
    case agentJoins
    case diskRecovers
    case heals
    case runBegins(Int, life: Int)
    case lastResort
  }

  /// The first thing that was not as it must be.
  struct Violation: Error, CustomStringConvertible {
    var description: String
  }

  /// A hundred times what a run takes; more is a storm of messages that feed on each other.
  static let eventCountMax = 500_000

  let seed: UInt64
  let swarm: Swarm
  let faults: Faults
  let isVerbose: Bool
  var dice: Dice
  var queue = EventQueue<Event>()
  var nowNs: UInt64 = 0
  var agents: [SimulatedAgent] = []
  var master: SimulatedMaster
  var network: Network
  /// One for each run that has begun.
  var audits: [Audit]
  var lifeCount: UInt64 = 0
  var eventCount = 0
  /// FNV-1a over every event's time and kind.
  var eventHash: UInt64 = 0xcbf2_9ce4_8422_2325
  var lastTrace: [String] = []

  static let token: @Sendable ([UInt8]) -> [UInt8] = { bytes in
    // Not a MAC, but as good as one where nobody forges.
    let sum = bytes.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    var dice = Dice(seed: sum)
    return (0..<32).map { _ in UInt8(truncatingIfNeeded: dice.next() >> 17) }
  }

  /// With `isNumbered`, no user's number may be in use twice.
  init(
    seed: UInt64, faults: Faults = Faults(), isNumbered: Bool = false, isVerbose: Bool = false
  ) {
    self.seed = seed
    self.faults = faults
    self.isVerbose = isVerbose
    var swarm = Swarm(seed: seed)
    for index in swarm.plans.indices { swarm.plans[index].connections.isNumbered = isNumbered }
    self.swarm = swarm
    dice = Dice(seed: seed)
    network = Network(swarm: swarm)
    audits = [Audit(plan: swarm.plans[0], leaseNs: swarm.leaseNs)]
    master = SimulatedMaster(clock: Clock(dice: &dice))
  }

  static let firstRun: UInt64 = 99

  /// Of the run that the master leads, or led last.
  var audit: Audit {
    _read { yield audits[master.runIndex] }
    _modify { yield &audits[master.runIndex] }
  }

  /// Of the run of this name.
  func auditIndex(_ run: UInt64) -> Int { Int(run - Self.firstRun) }

  /// Runs to the end, or to the first violation.
  func run() throws(Violation) -> Outcome {
    master.life = 1
    startMaster()
    for workers in swarm.workersPerAgent { addAgent(workers: workers) }
    for (atNs, fault) in swarm.faults { queue.add(.fault(fault), atNs: atNs) }
    for (index, edit) in swarm.edits.enumerated() { queue.add(.edit(index), atNs: edit.atNs) }
    queue.add(.heals, atNs: swarm.healNs)
    queue.add(.lastResort, atNs: swarm.healNs + 20 * second)
    // Time for the run, for whoever is waited for, and to spare.
    let limitNs =
      swarm.healNs
      + swarm.plans.reduce(0) { $0 + $1.times.warmupNs + $1.times.durationNs + 150 * second }
    while !queue.isEmpty {
      let (atNs, event) = queue.removeFirst()
      nowNs = atNs
      guard nowNs <= limitNs, eventCount < Self.eventCountMax else { throw stuck() }
      note(event)
      handle(event)
      for index in audits.indices.dropLast() { try audits[index].checkEnded() }
      try audit.check(self)
      if master.isDismissed, agents.allSatisfy({ $0.exit != nil || !$0.isAlive }) { break }
    }
    guard let outcome = master.outcomes.last, master.outcomes.count == swarm.plans.count else {
      throw stuck()
    }
    for (index, outcome) in master.outcomes.enumerated() where index < audits.count {
      try audits[index].checkEnd(self, outcome, isFirst: index == 0)
    }
    try audit.checkAgents(self)
    return outcome
  }

  private func stuck() -> Violation {
    let stage = master.machine.map { $0.stage.rawValue } ?? "dead"
    let exits = agents.map { $0.exit.map { "\($0)" } ?? ($0.isAlive ? "alive" : "killed") }
    let seconds = nowNs / second
    return Violation(
      description: "no end by \(seconds) s, \(eventCount) events: master \(stage), agents \(exits)")
  }

  private func note(_ event: Event) {
    eventCount += 1
    for value in [nowNs, event.kind] { eventHash = (eventHash ^ value) &* 0x100_0000_01b3 }
    if isVerbose { print("\(nowNs / microsecond) us  \(event)") }
  }

  func trace(_ text: @autoclosure () -> String) {
    if isVerbose { print("\(nowNs / microsecond) us    \(text())") }
  }

  func handle(_ event: Event) {
    switch event {
    case .toMaster(let connection, let message, let isDamaged):
      deliver(message, toMasterOver: connection, isDamaged: isDamaged)
    case .toAgent(let connection, let message, let isDamaged):
      deliver(message, toAgentOver: connection, isDamaged: isDamaged)
    case .dial(let agent, let attempt): dial(agent, attempt: attempt)
    case .dialFailed(let agent, let attempt, let why):
      if agents[agent].attempt == attempt { tell(agent, .closed(why)) }
    case .accepted(let connection): accepted(connection)
    case .established(let connection): established(connection)
    case .endedAtMaster(let connection): endedAtMaster(connection)
    case .endedAtAgent(let connection): endedAtAgent(connection)
    case .masterTick(let generation):
      guard generation == master.generation else { return }
      master.armedNs = nil
      tellMaster(.tick)
    case .agentTick(let agent, let generation):
      guard generation == agents[agent].generation else { return }
      agents[agent].armedNs = nil
      tell(agent, .tick)
    case .committed(let life, let token): committed(life: life, token: token)
    case .spawned(let agent, let slot, let run): spawned(agent, slot, run: run)
    case .commanded(let agent, let slot, let life, let command):
      commanded(agent, slot, life: life, command)
    case .workerStep(let agent, let slot, let life): step(agent, slot, life: life)
    case .workerDrained(let agent, let slot, let life): drained(agent, slot, life: life)
    case .agentTold(let agent, let run, let event):
      if agents[agent].machine.run == run { tell(agent, event) }
    case .runBegins(let index, let life): runBegins(index, life: life)
    case .pulse(let agent): feelPulses(agent)
    case .reaped(let agent, let slot, let life): reaped(agent, slot, life: life)
    case .fault(let fault): inflict(fault)
    case .edit(let index): edit(index)
    case .editDue(let index): audit.checkEdit(index, self)
    case .masterRestarts: if master.machine == nil { startMaster() }
    case .masterResumes: resumeMaster()
    case .agentResumes(let agent, let withHost): resumeAgent(agent, withHost: withHost)
    case .workerResumes(let agent, let slot, let life): resumeWorker(agent, slot, life: life)
    case .agentJoins: addAgent(workers: Int(dice.between(1, 3)))
    case .diskRecovers: recoverDisk()
    case .heals: heal()
    case .lastResort: lastResort()
    }
  }
}

extension Simulation.Event {
  /// For the event hash.
  var kind: UInt64 {
    switch self {
    case .toMaster(let connection, let message, _):
      1 << 32 | UInt64(connection) << 8 | UInt64(message.kind.rawValue)
    case .toAgent(let connection, let message, _):
      2 << 32 | UInt64(connection) << 8 | UInt64(message.kind.rawValue)
    case .dial(let agent, _): 3 << 32 | UInt64(agent)
    case .dialFailed(let agent, _, _): 4 << 32 | UInt64(agent)
    case .accepted(let connection): 5 << 32 | UInt64(connection)
    case .established(let connection): 6 << 32 | UInt64(connection)
    case .endedAtMaster(let connection): 7 << 32 | UInt64(connection)
    case .endedAtAgent(let connection): 8 << 32 | UInt64(connection)
    case .masterTick: 9 << 32
    case .agentTick(let agent, _): 10 << 32 | UInt64(agent)
    case .committed(_, let token): 11 << 32 | token
    case .spawned(let agent, let slot, _): 12 << 32 | UInt64(agent) << 8 | UInt64(slot)
    case .commanded(let agent, let slot, _, _): 13 << 32 | UInt64(agent) << 8 | UInt64(slot)
    case .workerStep(let agent, let slot, _): 14 << 32 | UInt64(agent) << 8 | UInt64(slot)
    case .workerDrained(let agent, let slot, _): 15 << 32 | UInt64(agent) << 8 | UInt64(slot)
    case .agentTold(let agent, _, _): 16 << 32 | UInt64(agent)
    case .pulse(let agent): 17 << 32 | UInt64(agent)
    case .reaped(let agent, let slot, _): 18 << 32 | UInt64(agent) << 8 | UInt64(slot)
    case .fault: 19 << 32
    case .masterRestarts: 20 << 32
    case .masterResumes: 21 << 32
    case .agentResumes(let agent, _): 22 << 32 | UInt64(agent)
    case .workerResumes(let agent, let slot, _): 23 << 32 | UInt64(agent) << 8 | UInt64(slot)
    case .agentJoins: 24 << 32
    case .diskRecovers: 25 << 32
    case .heals: 26 << 32
    case .lastResort: 27 << 32
    case .edit(let index): 29 << 32 | UInt64(index)
    case .editDue(let index): 30 << 32 | UInt64(index)
    case .runBegins(let index, _): 28 << 32 | UInt64(index)
    }
  }
}
