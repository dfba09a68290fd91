import SquallCluster
import SquallLoad
import Testing

/// How a run starts, stops and ends, and what it then says of itself.
@Suite struct MasterEndTests {
  private func running(
    workers: Int = 1, _ adjust: (inout MasterMachine.Settings) -> Void = { _ in }
  ) -> MasterScript {
    let master = MasterScript(adjust)
    master.start([ScriptedAgent(1, workers: workers)])
    return master
  }

  private func finish(_ master: MasterScript, worker: Int, of batches: [Batch] = []) {
    let life = master.agents[0].workers[worker].life
    master.agents[0].workers[worker].state = .finished
    master.tell(
      .ledger(testLedger(agent: 1, slot: UInt16(worker), life: life, of: batches), run: testRun),
      from: 1)
  }

  @Test func theRunStartsByItselfWhenAllExpectedWorkersAreThere() {
    let master = MasterScript(expectWorkers: 3)
    master.join(ScriptedAgent(1, workers: 2))
    master.advance(byNs: 2 * second)
    #expect(master.machine.stage == .waiting)
    #expect(master.heldConnections == 0)
    master.join(ScriptedAgent(2, workers: 1))
    #expect(master.machine.stage == .running)
    #expect(master.lastOrder(to: 1)?.startNs == master.lastOrder(to: 2)?.startNs)
    #expect(master.lastOrder(to: 1)?.startNs ?? 0 > master.nowNs)
  }

  @Test func tooFewWorkersEndTheRunWithThatReason() {
    let master = MasterScript(expectWorkers: 3, maxWaitNs: 5 * second)
    master.join(ScriptedAgent(1, workers: 2))
    master.advance(byNs: 6 * second)
    #expect(master.outcome?.reason == .tooFewWorkers)
    #expect(master.outcome?.sums.sent == 0)
  }

  @Test func theRunStopsWhenItsTimeIsOver() {
    let master = running()
    master.advance(byNs: 8 * second)
    #expect(master.machine.stage == .running)
    master.advance(byNs: 3 * second)
    #expect(master.machine.stage == .collecting)
    #expect(master.lastOrder(to: 1)?.phase == .stop)
  }

  @Test func itEndsWhenEveryLedgerAgreesAndSaysGoodbye() {
    let master = running(workers: 2)
    let batch = testBatch(agent: 1, slot: 1, life: 101, sequence: 0)
    for part in parts(of: batch) { master.tell(.batchPart(part), from: 1) }
    master.tell(.stop)
    finish(master, worker: 0)
    #expect(master.outcome == nil)
    finish(master, worker: 1, of: [batch])
    #expect(master.outcome?.isComplete == true)
    #expect(master.outcome?.reason == .stopped)
    #expect(master.outcome?.sums.sent == 10)
    master.report(0)
    #expect(master.lastOrder(to: 1)?.phase == .end)
    #expect(!master.isDismissed)
    master.tell(.goodbye(Goodbye()), from: 1)
    #expect(master.messages(to: 1).last == .farewell(Farewell()))
    #expect(master.isDismissed)
  }

  @Test func itWaitsForABatchThatALedgerCountsAndThenSaysWhatIsMissing() {
    let master = running()
    let batches = (0..<3).map { testBatch(agent: 1, life: 100, sequence: $0) }
    for part in parts(of: batches[0]) { master.tell(.batchPart(part), from: 1) }
    for part in parts(of: batches[2]) { master.tell(.batchPart(part), from: 1) }
    master.tell(.stop)
    finish(master, worker: 0, of: batches)
    master.advance(byNs: 50 * second)
    #expect(master.outcome == nil)
    master.advance(byNs: 20 * second)
    let name = batches[0].name.incarnation
    #expect(master.outcome?.gaps == [.batches(name, of: 3, arrived: 2)])
    #expect(master.lastOrder(to: 1)?.phase == .abandon)
  }

  /// The end is written down as any other, with what is missing, and the agents still hear of it.
  @Test func abandonedItEndsAtOnceAndSaysWhatIsMissing() {
    let master = running(workers: 2)
    master.tell(.stop)
    finish(master, worker: 0)
    #expect(master.outcome == nil)
    master.tell(.abandon)
    let missing = Incarnation(agent: 1, worker: 1, life: 101)
    #expect(master.outcome?.gaps == [.silent(missing, afterNs: 0)])
    #expect(master.outcome?.reason == .stopped)
    #expect(!master.isDismissed)
    master.report(0)
    #expect(master.lastOrder(to: 1)?.phase == .abandon)
    master.advance(byNs: second / 2)
    #expect(master.isDismissed)
  }

  @Test func abandonedBeforeItsStartItEndsAtOnce() {
    let master = MasterScript(expectWorkers: 3)
    master.join(ScriptedAgent(1, workers: 2))
    master.tell(.abandon)
    #expect(master.outcome?.reason == .stopped)
    #expect(master.outcome?.gaps == [])
  }

  @Test func aLedgerThatDisagreesIsSaid() {
    let master = running()
    let batch = testBatch(agent: 1, life: 100, sequence: 0)
    for part in parts(of: batch) { master.tell(.batchPart(part), from: 1) }
    master.tell(.stop)
    var other = batch
    other.endpoints[0].counters.sent += 1
    finish(master, worker: 0, of: [other])
    guard case .mismatch(let name, let ledger, let merged)? = master.outcome?.gaps.first else {
      Issue.record("\(String(describing: master.outcome))")
      return
    }
    #expect(name == batch.name.incarnation)
    #expect(ledger.sent == 11)
    #expect(merged.sent == 10)
  }

  @Test func aHostThatIsNotHeardOfAgainIsSaidToBeMissing() {
    let master = running()
    master.join(ScriptedAgent(2, workers: 1))
    master.advance(byNs: 2 * second)
    master.agents[1].isSilent = true
    master.advance(byNs: 10 * second)
    finish(master, worker: 0)
    master.advance(byNs: 70 * second)
    let name = Incarnation(agent: 2, worker: 0, life: 200)
    #expect(master.outcome?.gaps == [.silent(name, afterNs: 0)])
  }

  @Test func aWorkerThatDiedAndWasNotReplacedMakesTheRunIncomplete() {
    let master = running(workers: 2)
    master.agents[0].workers[1].state = .dead
    master.report(0)
    master.tell(
      .ledger(testLedger(agent: 1, slot: 1, life: 101, of: [], ending: .killed(9)), run: testRun),
      from: 1)
    master.advance(byNs: 2 * second)
    #expect(master.heldConnections == 10, "the other has its load")
    master.tell(.stop)
    finish(master, worker: 0)
    let name = Incarnation(agent: 1, worker: 1, life: 101)
    #expect(master.outcome?.gaps == [.notReplaced(name)])
  }

  @Test func anAgentThatWasToldToStopByAMasterThatDiedIsBelieved() {
    let master = running()
    master.tell(
      .report(
        Report(
          number: 100, sentNs: master.nowNs, run: testRun, isPlanReady: true, isStopped: true,
          workers: master.agents[0].workers)), from: 1)
    #expect(master.machine.stage == .collecting)
  }

  @Test func theCountedRequestsAreAllHandedOutAndThenTheRunStops() {
    var plan = testPlan(connections: 4)
    plan.requestCount = 1_001
    plan.times.durationNs = 3_600 * second
    let master = MasterScript(plan: plan)
    master.start([ScriptedAgent(1, workers: 3)])
    let quotas = master.agents[0].held.values.map(\.requestQuota)
    #expect(quotas.reduce(0, +) == 1_001)
    for worker in master.agents[0].workers.indices.dropLast() {
      master.agents[0].workers[worker].isExhausted = true
    }
    master.report(0)
    #expect(master.machine.stage == .running)
    master.agents[0].workers[2].isExhausted = true
    master.report(0)
    #expect(master.machine.stage == .collecting)
  }

  // MARK: One run after the other

  private func living() -> MasterScript {
    let master = running { $0.leadsOneRun = false }
    let batch = testBatch(agent: 1, life: 100, sequence: 0)
    for part in parts(of: batch) { master.tell(.batchPart(part), from: 1) }
    master.tell(.stop)
    finish(master, worker: 0, of: [batch])
    master.report(0)
    return master
  }

  private func nextRun(_ master: MasterScript) {
    master.begin(8, testPlan(connections: 6), expectWorkers: 1)
    master.agents[0].workers = [.init(slot: 0, life: 300, state: .ready)]
    master.agents[0].held = [:]
  }

  @Test func theFleetOutlivesARunAndTheNextNeedsNoHandshake() {
    let master = living()
    #expect(master.outcome?.sums.sent == 10)
    #expect(master.lastOrder(to: 1)?.phase == .end)
    #expect(master.lastOrder(to: 1)?.isLast == false)
    #expect(!master.isDismissed)
    nextRun(master)
    #expect(master.machine.sums.sent == 0)
    // Before it has said that it left the first, the agent hears of no other.
    #expect(master.lastOrder(to: 1)?.run == testRun)
    master.agents[0].number += 1
    master.tell(.report(Report(number: master.agents[0].number, sentNs: master.nowNs)), from: 1)
    #expect(master.lastOrder(to: 1)?.run == 8)
    #expect(master.lastOrder(to: 1)?.phase == .prepare)
    master.report(0)
    master.settle()
    #expect(master.heldConnections == 6)
    #expect(master.machine.stage == .running)
    #expect(master.joined == [1])
  }

  @Test func aCountThatComesLateIsInNoOtherRun() {
    let master = living()
    nextRun(master)
    let late = testBatch(agent: 1, life: 100, sequence: 1)
    for part in parts(of: late) { master.tell(.batchPart(part), from: 1) }
    master.tell(.ledger(testLedger(agent: 1, life: 100, of: [late]), run: testRun), from: 1)
    #expect(master.machine.sums.sent == 0)
    #expect(master.merged.count == 1)
  }

  /// An agent that was away when its run ended learns whether all of its counts are there.
  @Test(arguments: [true, false])
  func whoWasAwayAtTheEndHearsOfItLater(delivered: Bool) {
    let master = living()
    if !delivered {
      master.begin(8, testPlan(), expectWorkers: 1)
      master.agents[0].number += 1
      master.tell(.report(Report(number: master.agents[0].number, sentNs: master.nowNs)), from: 1)
      master.agents[0].workers = [.init(slot: 0, life: 300, state: .ready)]
      master.report(0)
      master.settle()
      master.agents[0].isSilent = true
      master.tell(.closed(peer: 1))
      master.tell(.stop)
      master.advance(byNs: 70 * second)
      #expect(master.outcome?.gaps.count == 1)
    }
    let old = master.run
    master.begin(9, testPlan())
    var hello = master.agents[0].hello
    hello.run = old
    master.tell(.connected(peer: 50))
    master.tell(.hello(hello), from: 50)
    master.tell(.report(Report(number: 1, sentNs: master.nowNs, run: old)), from: 50)
    #expect(master.lastOrder(to: 50)?.run == old)
    #expect(master.lastOrder(to: 50)?.phase == (delivered ? .end : .abandon))
  }

  @Test func closedBetweenRunsItSendsEverybodyHome() {
    let master = living()
    master.tell(.close)
    master.agents[0].number += 1
    master.tell(.report(Report(number: master.agents[0].number, sentNs: master.nowNs)), from: 1)
    #expect(master.lastOrder(to: 1)?.run == 0)
    #expect(master.lastOrder(to: 1)?.isLast == true)
    #expect(!master.isDismissed)
    master.tell(.goodbye(Goodbye()), from: 1)
    #expect(master.isDismissed)
  }
}
