import SquallCluster
import SquallLoad
import Testing

/// Both machines in one process, as `squall run` uses them: each effect is carried out at once.
struct InProcessRun {
  var master: MasterMachine
  var agent: AgentMachine
  var nowNs: UInt64 = 1_000_000_000
  var shares: [Int: Share] = [:]
  var startNs: UInt64?
  var stopped: Set<Int> = []
  var merged: [Batch] = []
  var outcome: Outcome?
  var exit: AgentMachine.Exit?
  var isDismissed = false
  private var masterEvents: [MasterMachine.Event] = []
  private var agentEvents: [AgentMachine.Event] = []

  static let digests = Digests(hash: { bytes in Array("hash of \(bytes.count)".utf8) })

  init(plan: Plan, workers: Int) {
    var settings = MasterMachine.Settings(build: "test", seed: 1, digests: Self.digests)
    settings.useInProcess()
    var run = RunSettings(run: testRun, plan: plan)
    run.expectWorkers = workers
    master = MasterMachine(settings: settings)
    agent = AgentMachine(
      settings: AgentMachine.Settings(
        agent: 42, build: "test", host: "here", cpus: (0..<UInt16(workers)).map { $0 }, seed: 2,
        digests: Self.digests))
    masterEvents = [.started, .begin(run, recovered: nil)]
    agentEvents = [.started]
    pump()
  }

  mutating func tell(_ event: AgentMachine.Event) {
    agentEvents.append(event)
    pump()
  }

  mutating func tell(_ event: MasterMachine.Event) {
    masterEvents.append(event)
    pump()
  }

  mutating func advance(toNs: UInt64) {
    while true {
      let next = min(agent.wakeNs, master.wakeNs)
      guard next <= toNs else { break }
      nowNs = max(nowNs, next)
      agentEvents.append(.tick)
      masterEvents.append(.tick)
      pump()
    }
    nowNs = toNs
  }

  private mutating func pump() {
    while !masterEvents.isEmpty || !agentEvents.isEmpty {
      if !masterEvents.isEmpty {
        let effects = master.handle(masterEvents.removeFirst(), nowNs: nowNs)
        for effect in effects { carryOut(effect) }
      }
      if !agentEvents.isEmpty {
        let effects = agent.handle(agentEvents.removeFirst(), nowNs: nowNs)
        for effect in effects { carryOut(effect) }
      }
    }
  }

  private mutating func carryOut(_ effect: MasterMachine.Effect) {
    switch effect {
    case .send(_, let message): agentEvents.append(.received(message))
    case .close: agentEvents.append(.closed("closed"))
    case .record(_, let token): masterEvents.append(.committed(token: token))
    case .merged(let batch): merged.append(batch)
    case .ended(let outcome): self.outcome = outcome
    case .dismissed: isDismissed = true
    case .joined, .log: break
    }
  }

  private mutating func carryOut(_ effect: AgentMachine.Effect) {
    switch effect {
    case .connect:
      agentEvents.append(.connected)
      masterEvents.append(.connected(peer: 1))
    case .disconnect: masterEvents.append(.closed(peer: 1))
    case .send(let message): masterEvents.append(.received(peer: 1, message))
    case .startWorkers:
      for slot in agent.settings.cpus.indices {
        agentEvents.append(.workerReady(slot: slot, life: UInt64(100 + slot)))
      }
    case .startWorker(let slot, _):
      agentEvents.append(.workerReady(slot: slot, life: UInt64(200 + slot)))
    case .startAt(let localNs): startNs = localNs
    case .setShare(let slot, let share, _, _):
      shares[slot] = share
      agentEvents.append(.workerAdopted(slot: slot, epoch: share.epoch, sentBefore: 0))
    case .stopWorker(let slot): stopped.insert(slot)
    case .exit(let exit): self.exit = exit
    case .joined, .changeLoad, .renewShare, .persist, .leaveRun, .log: break
    }
  }

  func batch(slot: Int, life: UInt64, sequence: UInt32, ok: UInt64) -> Batch {
    var batch = Batch(
      name: BatchName(
        incarnation: Incarnation(agent: 42, worker: UInt16(slot), life: life), sequence: sequence),
      firstInterval: sequence, lastInterval: sequence, phase: .measured, startNs: 0, endNs: 1)
    var counters = Counters()
    counters.sent = ok
    counters.statuses[200] = ok
    batch.endpoints = [Batch.Endpoint(index: 0, counters: counters)]
    return batch
  }

  func ledger(slot: Int, life: UInt64, batches: [Batch], ending: Ledger.Ending) -> Ledger {
    var sums = IncarnationLedger()
    for batch in batches { sums.merge(batch) }
    return Ledger(
      incarnation: Incarnation(agent: 42, worker: UInt16(slot), life: life), sums: sums,
      inFlight: 0, ending: ending)
  }
}

func testPlan(connections: UInt32 = 10) -> Plan {
  Plan(
    to: .init(url: "http://localhost/", destinations: [.init(host: "localhost", port: 80)]),
    sending: .init(
      method: "GET",
      endpoints: [
        .init(name: "/", request: Array("GET / HTTP/1.1\r\n\r\n".utf8), expectsNoBody: false)
      ]), over: .init(connections))
}

@Suite struct LocalRunTests {
  @Test func aLocalRunStartsCountsAndEndsWithEverythingKnown() throws {
    var run = InProcessRun(plan: testPlan(), workers: 3)
    #expect(run.shares.values.map(\.connections).reduce(0, +) == 10)
    let startNs = try #require(run.startNs)
    #expect(startNs <= run.nowNs + 20_000_000)
    run.advance(toNs: startNs + 1_000_000_000)

    let batches = (0..<3).map { run.batch(slot: $0, life: UInt64(100 + $0), sequence: 0, ok: 50) }
    run.tell(.batchClosed(batches[0]))
    #expect(run.merged == [batches[0]], "the first batch is there at once")
    run.tell(.batchClosed(batches[1]))
    run.tell(.batchClosed(batches[2]))

    run.advance(toNs: startNs + 10_000_000_000)
    #expect(run.stopped == [0, 1, 2])
    for slot in 0..<3 {
      run.tell(
        .workerFinished(
          slot: slot,
          run.ledger(
            slot: slot, life: UInt64(100 + slot), batches: [batches[slot]], ending: .finished)))
    }
    let outcome = try #require(run.outcome)
    #expect(outcome.isComplete)
    #expect(outcome.sums.sent == 150)
    #expect(run.exit == .delivered)
    #expect(run.isDismissed)
  }

  @Test func aWorkerThatDiesIsReplacedAndItsCountsStay() throws {
    var run = InProcessRun(plan: testPlan(), workers: 2)
    let startNs = try #require(run.startNs)
    run.advance(toNs: startNs + 1_000_000_000)
    let last = run.batch(slot: 1, life: 101, sequence: 0, ok: 9)
    run.tell(.batchClosed(last))
    run.tell(
      .workerDied(
        slot: 1, run.ledger(slot: 1, life: 101, batches: [last], ending: .killed(9))))
    run.advance(toNs: startNs + 2_000_000_000)
    #expect(run.shares.values.map(\.connections).reduce(0, +) == 10)
    #expect(run.shares[1]?.isIdle == false)

    run.advance(toNs: startNs + 10_000_000_000)
    run.tell(
      .workerFinished(slot: 0, run.ledger(slot: 0, life: 100, batches: [], ending: .finished)))
    run.tell(
      .workerFinished(slot: 1, run.ledger(slot: 1, life: 201, batches: [], ending: .finished)))
    let outcome = try #require(run.outcome)
    #expect(outcome.isComplete)
    #expect(outcome.sums.sent == 9)
    #expect(run.exit == .delivered)
  }
}
