import SquallCluster
import SquallLoad
import Testing

/// Counts at the master: once each, in any order, acknowledged when they are safe.
@Suite struct MasterBatchTests {
  /// One agent with one worker, life 100, under way.
  private func running(_ adjust: (inout MasterMachine.Settings) -> Void = { _ in }) -> MasterScript
  {
    let master = MasterScript(adjust)
    master.start([ScriptedAgent(1, workers: 1)])
    return master
  }

  private func batches(_ count: UInt32, buckets: Int = 0) -> [Batch] {
    (0..<count).map { testBatch(agent: 1, life: 100, sequence: $0, buckets: buckets) }
  }

  private func deliver(_ batch: Batch, to master: MasterScript) {
    for part in parts(of: batch) { master.tell(.batchPart(part), from: 1) }
  }

  private func below(_ master: MasterScript) -> UInt32? {
    master.lastEntry(to: 1, life: 100)?.below
  }

  @Test func aBatchThatComesTwiceCountsOnceAndIsAcknowledgedTwice() {
    let master = running()
    let batch = batches(1)[0]
    for _ in 0..<2 {
      deliver(batch, to: master)
      master.advance(byNs: 30 * millisecond)
    }
    #expect(master.merged == [batch])
    #expect(master.machine.sums.sent == 10)
    let acknowledgements = master.messages(to: 1).filter { $0.kind == .acknowledgement }
    #expect(acknowledgements.count == 2)
    #expect(below(master) == 1)
  }

  @Test(arguments: UInt64(0)..<50)
  func anyOrderWithAnyRepetitionGivesTheSameTotals(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let master = running()
    let batches = batches(40, buckets: 600)
    var arrivals = batches.flatMap { parts(of: $0) }
      .flatMap { Array(repeating: $0, count: Int.random(in: 1...3, using: &random)) }
    arrivals.shuffle(using: &random)
    for part in arrivals { master.tell(.batchPart(part), from: 1) }
    #expect(master.merged.count == 40, "seed \(seed)")
    #expect(master.machine.sums.sent == 400, "seed \(seed)")
    let sums = testLedger(agent: 1, life: 100, of: batches).sums
    #expect(master.machine.sums == sums, "seed \(seed)")
    master.advance(byNs: 30 * millisecond)
    #expect(below(master) == 40, "seed \(seed)")
  }

  @Test func nothingIsAcknowledgedBeforeItIsDurable() {
    let master = running()
    master.isDiskFast = false
    deliver(batches(1)[0], to: master)
    master.advance(byNs: 5 * second)
    #expect(master.merged.isEmpty)
    #expect(below(master) == 0)
    #expect(master.lastEntry(to: 1, life: 100)?.partials.map(\.sequence) == [0])
    master.commit()
    master.advance(byNs: 30 * millisecond)
    #expect(master.merged.count == 1)
    #expect(below(master) == 1)
  }

  @Test func theSameHoldsForALedger() {
    let master = running()
    let batch = batches(1)[0]
    deliver(batch, to: master)
    master.isDiskFast = false
    master.tell(.ledger(testLedger(agent: 1, life: 100, of: [batch]), run: testRun), from: 1)
    master.advance(byNs: 30 * millisecond)
    #expect(master.lastEntry(to: 1, life: 100)?.hasLedger == false)
    master.commit()
    master.advance(byNs: 30 * millisecond)
    #expect(master.lastEntry(to: 1, life: 100)?.hasLedger == true)
  }

  @Test func whatIsTooFarAheadIsNotTakenAndCountsWhenItComesAgain() {
    let master = running()
    let all = batches(DeliveryWindow.width + 1)
    deliver(all.last!, to: master)
    #expect(master.merged.isEmpty)
    for batch in all.dropLast() { deliver(batch, to: master) }
    deliver(all.last!, to: master)
    #expect(master.merged.count == all.count)
  }

  @Test func whatTheRecordCannotTakeYetCountsWhenItComesAgain() {
    let master = running { $0.uncommittedMax = 2 }
    master.isDiskFast = false
    let all = batches(3)
    for batch in all { deliver(batch, to: master) }
    let recorded = master.recorded.count { if case .batch = $0 { true } else { false } }
    #expect(recorded == 2)
    master.commit()
    #expect(master.merged == Array(all[..<2]))
    deliver(all[2], to: master)
    master.commit()
    #expect(master.merged == all)
  }

  @Test func unfinishedBatchesHaveALimitAndComeAgain() {
    let master = running { $0.assemblyByteCountMax = 3_000 }
    let all = batches(3, buckets: 600)
    #expect(parts(of: all[0]).count >= 3)
    // Three batches without their last parts: the oldest must go.
    for batch in all {
      for part in parts(of: batch).dropLast() { master.tell(.batchPart(part), from: 1) }
    }
    for batch in all.reversed() { master.tell(.batchPart(parts(of: batch).last!), from: 1) }
    #expect(master.merged.count < 3)
    for batch in all { deliver(batch, to: master) }
    #expect(master.machine.sums.sent == 30)
    #expect(Set(master.merged.map(\.name.sequence)) == [0, 1, 2])
  }

  @Test func bytesThatAreNoBatchCostTheConnectionAndNothingElse() {
    let master = running()
    master.join(ScriptedAgent(2, workers: 1))
    var part = parts(of: batches(1)[0])[0]
    part.bytes.append(7)
    master.tell(.batchPart(part), from: 1)
    #expect(master.closed == [1])
    #expect(master.machine.sums.sent == 0)
    let other = testBatch(agent: 2, life: 200, sequence: 0)
    for part in parts(of: other) { master.tell(.batchPart(part), from: 2) }
    #expect(master.merged == [other])
  }

  @Test func aBatchThatCannotBeTrueIsTheSame() {
    let master = running()
    var batch = batches(1)[0]
    batch.endpoints[0].index = 1  // The plan has one endpoint.
    deliver(batch, to: master)
    #expect(master.closed == [1])
    #expect(master.merged.isEmpty)
  }

  @Test func aWorkerThatItsAgentDoesNotHaveIsTheSame() {
    let master = running()
    deliver(testBatch(agent: 1, slot: 5, life: 100, sequence: 0), to: master)
    #expect(master.closed == [1])
    #expect(master.merged.isEmpty)
  }

  @Test func aLedgerInAnotherAgentsNameIsTheSame() {
    let master = running()
    master.join(ScriptedAgent(2, workers: 1))
    master.tell(.ledger(testLedger(agent: 2, life: 200, of: []), run: testRun), from: 1)
    #expect(master.closed == [1])
    #expect(!master.recorded.contains { if case .ledger = $0 { true } else { false } })
  }

  // MARK: The record

  @Test func aMasterThatRestartsKnowsWhatItsRecordHolds() {
    let first = running()
    let all = batches(5)
    for batch in all[..<4] { deliver(batch, to: first) }
    let epoch = first.lastOrder(to: 1)?.epoch ?? 0
    let startNs = first.lastOrder(to: 1)?.startNs

    // Through bytes, as the file has them; the fifth batch never got there.
    var recovery = Recovery()
    for entry in first.recorded {
      let copy = try? RecordEntry(bytes: entry.bytes)
      #expect(copy == entry)
      if let copy { recovery.apply(copy) }
    }
    let next = MasterScript(recovered: recovery)
    next.nowNs = first.nowNs + 3 * 1_000 * millisecond
    #expect(next.machine.sums == first.machine.sums)
    #expect(next.machine.stage == .running)

    next.join(first.agents[0])
    // The agent does not know what was lost, so it sends everything it was not sure of.
    for batch in all { deliver(batch, to: next) }
    next.advance(byNs: 2 * 1_000 * millisecond)
    #expect(next.merged == [all[4]])
    #expect(next.machine.sums == testLedger(agent: 1, life: 100, of: all).sums)
    #expect(next.lastOrder(to: 1)?.startNs == startNs)
    #expect(next.lastOrder(to: 1)?.epoch ?? 0 >= epoch)
    #expect(next.heldConnections == 10)
    #expect(next.connectionsMax <= 10)

    next.tell(.stop)
    next.tell(.ledger(testLedger(agent: 1, life: 100, of: all), run: testRun), from: 1)
    #expect(next.outcome?.isComplete == true)
    #expect(next.outcome?.sums.sent == 50)
  }

  @Test func aRecordWithTheEndInItOnlySaysGoodbye() {
    let first = running()
    first.tell(.stop)
    first.tell(.ledger(testLedger(agent: 1, life: 100, of: []), run: testRun), from: 1)
    #expect(first.outcome != nil)
    var recovery = Recovery()
    for entry in first.recorded { recovery.apply(entry) }
    let next = MasterScript(recovered: recovery)
    #expect(next.outcome == first.outcome)
    next.join(first.agents[0])
    #expect(next.lastOrder(to: 1)?.phase == .end)
  }
}
