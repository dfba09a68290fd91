import SquallCluster
import SquallLoad
import Testing

/// An agent alone: events by hand, effects kept to be looked at.
final class AgentScript {
  var machine: AgentMachine
  var nowNs: UInt64 = 50 * second
  var sent: [Message] = []
  var effects: [AgentMachine.Effect] = []
  private var orderNumber: UInt32 = 0

  init(
    workers: Int = 2, token: UInt64? = nil,
    _ adjust: (inout AgentMachine.Settings) -> Void = { _ in }
  ) {
    var settings = AgentMachine.Settings(
      agent: 1, build: "test agent", host: "here", cpus: (0..<UInt16(workers)).map { $0 }, seed: 2,
      digests: testDigests(token: token))
    adjust(&settings)
    machine = AgentMachine(settings: settings)
    tell(.started)
  }

  /// Of this event.
  @discardableResult
  func tell(_ event: AgentMachine.Event) -> [AgentMachine.Effect] {
    let new = machine.handle(event, nowNs: nowNs)
    effects += new
    for case .send(let message) in new { sent.append(message) }
    return new
  }

  func advance(byNs: UInt64) {
    let endNs = nowNs + byNs
    while machine.wakeNs <= endNs {
      nowNs = max(nowNs + 1, machine.wakeNs)
      tell(.tick)
    }
    nowNs = endNs
  }

  var exit: AgentMachine.Exit? {
    for case .exit(let exit) in effects { return exit }
    return nil
  }

  func count(_ kind: Message.Kind) -> Int { sent.count { $0.kind == kind } }

  var lastReport: Report? {
    for case .report(let report) in sent.reversed() { return report }
    return nil
  }

  static let welcome = Welcome(session: 3, heartbeatIntervalNs: second, liveness: 3)
  var run = testRun
  /// No other run follows.
  var isLast = true

  /// Connected, welcomed, with the plan and its workers up: lives 100, 101 …
  func join() {
    tell(.connected)
    tell(.received(.welcome(Self.welcome)))
    takePlan()
  }

  /// The run's plan, and its workers up.
  func takePlan(firstLife: UInt64 = 100) {
    obey(.prepare, epoch: 0)
    tell(.received(.planChunk(PlanChunk(run: run, chunk: 0, bytes: testPlan().bytes))))
    for slot in machine.settings.cpus.indices {
      tell(.workerReady(slot: slot, life: firstLife + UInt64(slot)))
    }
  }

  /// An order that answers the newest report; `connections` for each worker, nil for no share at all.
  func order(
    _ phase: Order.Phase = .run, epoch: UInt32, connections: [UInt32?] = [],
    leaseNs: UInt64 = 3 * second, number: UInt32
  ) -> Order {
    let assignments = connections.indices.compactMap { slot -> Order.Assignment? in
      guard let connections = connections[slot] else { return nil }
      let share = Share(
        epoch: epoch, position: UInt32(slot), workerCount: 9, connections: connections)
      return Order.Assignment(slot: UInt16(slot), life: UInt64(100 + slot), share: share)
    }
    var order = Order(
      number: number,
      echo: lastReport.map {
        Order.Echo(
          reportNumber: $0.number, reportSentNs: $0.sentNs, reportReceivedNs: nowNs + 7 * second)
      },
      sentNs: nowNs + 7 * second, isLast: isLast)
    order.run = run
    order.planHash = testHash(testPlan().bytes)
    order.planByteCount = UInt32(testPlan().bytes.count)
    order.leaseNs = leaseNs
    order.phase = phase
    order.startNs = phase == .prepare ? nil : 60 * second
    order.epoch = epoch
    order.assignments = assignments
    return order
  }

  @discardableResult
  func obey(
    _ phase: Order.Phase = .run, epoch: UInt32, connections: [UInt32?] = [],
    leaseNs: UInt64 = 3 * second
  ) -> [AgentMachine.Effect] {
    orderNumber += 1
    return tell(
      .received(
        .order(
          order(
            phase, epoch: epoch, connections: connections, leaseNs: leaseNs, number: orderNumber))))
  }

  func acknowledge(_ batches: [Batch], ledger: Bool = false, slot: UInt16 = 0) {
    let below = (batches.map(\.name.sequence).max() ?? 0) + 1
    let life = UInt64(100 + slot)
    tell(
      .received(
        .acknowledgement(
          Acknowledgement(entries: [
            .init(worker: slot, life: life, below: batches.isEmpty ? 0 : below, hasLedger: ledger)
          ]))))
  }
}

extension [AgentMachine.Effect] {
  var shares: [Int: UInt32] {
    reduce(into: [:]) {
      if case .setShare(let slot, let share, _, _) = $1 { $0[slot] = share.connections }
    }
  }
  var stopped: [Int] { compactMap { if case .stopWorker(let slot) = $0 { slot } else { nil } } }
  var notices: [AgentMachine.LogEvent] {
    compactMap { if case .log(let notice) = $0 { notice } else { nil } }
  }
}

@Suite struct AgentTests {
  // MARK: The way in

  @Test func itSaysHelloAgainUntilItIsAnswered() {
    let agent = AgentScript()
    agent.tell(.connected)
    agent.advance(byNs: 2 * second)
    #expect(agent.count(.hello) >= 3)
    #expect(Set(agent.sent.map(\.kind)) == [.hello])
    agent.tell(.received(.welcome(AgentScript.welcome)))
    let helloCount = agent.count(.hello)
    agent.advance(byNs: 2 * second)
    #expect(agent.count(.hello) == helloCount)
  }

  @Test func anotherVersionEndsItWithTheRefusalAtHand() {
    let agent = AgentScript()
    agent.tell(.connected)
    var refusal = Refusal(build: "new master", reason: .version)
    refusal.protocolVersion = 9
    agent.tell(.received(.refusal(refusal)))
    #expect(agent.exit == .refused(refusal))
    #expect(agent.machine.wakeNs == .max)
  }

  @Test func aMasterWithoutRoomIsAskedAgainLater() {
    let agent = AgentScript()
    agent.tell(.connected)
    let effects = agent.tell(.received(.refusal(Refusal(build: "m", reason: .full))))
    #expect(agent.exit == nil)
    #expect(effects.contains { if case .connect(let afterNs) = $0 { afterNs > 0 } else { false } })
  }

  @Test func aMasterThatDoesNotAskForTheTokenIsNotBelieved() {
    let agent = AgentScript(token: 5)
    agent.tell(.connected)
    let effects = agent.tell(.received(.welcome(AgentScript.welcome)))
    #expect(effects.notices.contains(.masterUnauthentic))
    #expect(effects.contains(.disconnect))
    #expect(agent.count(.report) == 0)
  }

  @Test func aMasterThatDoesNotKnowTheTokenGetsNoProof() {
    let agent = AgentScript(token: 5)
    agent.tell(.connected)
    let challenge = Challenge(
      nonce: Array(repeating: 1, count: 16), proof: Array(repeating: 2, count: 32))
    let effects = agent.tell(.received(.challenge(challenge)))
    #expect(effects.notices.contains(.masterUnauthentic))
    #expect(agent.count(.proof) == 0)
  }

  @Test func attemptsToConnectGrowApartAndAreNotInStep() {
    let agent = AgentScript()
    var delays: [UInt64] = []
    for _ in 0..<12 {
      for case .connect(let afterNs) in agent.tell(.closed("refused")) { delays.append(afterNs) }
    }
    #expect(delays.count == 12)
    #expect(delays[0] >= 100 * millisecond && delays[0] <= 200 * millisecond)
    #expect(delays.suffix(6).allSatisfy { $0 >= second && $0 <= 2 * second })
    #expect(Set(delays).count == 12)
  }

  @Test func theWorkersStartOnceAndOnlyWithThePlanWhoseHashWasNamed() {
    let agent = AgentScript()
    agent.tell(.connected)
    agent.tell(.received(.welcome(AgentScript.welcome)))
    agent.obey(.prepare, epoch: 0)
    #expect(agent.count(.planRequest) == 1)
    var damaged = testPlan().bytes
    damaged[20] ^= 1
    let first = agent.tell(.received(.planChunk(PlanChunk(run: testRun, chunk: 0, bytes: damaged))))
    #expect(first.notices == [.planDamaged])
    agent.advance(byNs: second)
    #expect(agent.count(.planRequest) > 1)
    for _ in 0..<3 {
      agent.tell(.received(.planChunk(PlanChunk(run: testRun, chunk: 0, bytes: testPlan().bytes))))
    }
    let starts = agent.effects.filter { if case .startWorkers = $0 { true } else { false } }
    #expect(starts == [.startWorkers(testPlan())])
    #expect(agent.lastReport?.isPlanReady == true)
  }

  // MARK: Shares and leases

  @Test func aShareIsValidForTheLeaseFromTheReportThatAsked() {
    let agent = AgentScript()
    agent.join()
    let reportedNs = agent.lastReport?.sentNs ?? 0
    agent.nowNs += 400 * millisecond
    let effects = agent.obey(epoch: 1, connections: [5, 5])
    #expect(
      effects.contains {
        if case .setShare(0, _, _, let validUntilNs) = $0 {
          validUntilNs == reportedNs + 3 * second
        } else {
          false
        }
      })
    #expect(effects.shares == [0: 5, 1: 5])
  }

  @Test func anOrderThatWasOvertakenIsNotObeyed() {
    let agent = AgentScript()
    agent.join()
    let old = agent.order(epoch: 1, connections: [9, 9], number: 1)
    agent.tell(.received(.order(agent.order(epoch: 2, connections: [3, 3], number: 2))))
    #expect(agent.tell(.received(.order(old))).shares.isEmpty)
    let late = agent.order(epoch: 1, connections: [9, 9], number: 3)
    #expect(agent.tell(.received(.order(late))).shares.isEmpty)
  }

  @Test func aWorkerThatTheOrderDoesNotNameHasNoShare() {
    let agent = AgentScript()
    agent.join()
    agent.obey(epoch: 1, connections: [5, 5])
    #expect(agent.obey(epoch: 2, connections: [5, nil]).shares == [0: 5, 1: 0])
  }

  /// The master must not think that it has taken up what this epoch holds for it.
  @Test func anIdleWorkerSaysThatItHasNothingOfItsEpoch() {
    let agent = AgentScript()
    agent.join()
    agent.obey(epoch: 1, connections: [5, nil])
    agent.tell(.workerAdopted(slot: 0, epoch: 1, sentBefore: 0))
    agent.tell(.workerAdopted(slot: 1, epoch: 1, sentBefore: 0))
    #expect(agent.lastReport?.workers.map(\.epoch) == [1, 1])
    #expect(agent.lastReport?.workers.map(\.isTakenBack) == [false, true])
    #expect(agent.obey(epoch: 1, connections: [5, 5]).shares.isEmpty)
    #expect(agent.obey(epoch: 2, connections: [5, 5]).shares == [0: 5, 1: 5])
    agent.tell(.workerAdopted(slot: 1, epoch: 2, sentBefore: 0))
    #expect(agent.lastReport?.workers.map(\.isTakenBack) == [false, false])
  }

  @Test func withoutAMasterTheLeaseEndsAndThatIsSaidOnce() {
    let agent = AgentScript()
    agent.join()
    agent.obey(epoch: 1, connections: [5, 5], leaseNs: 10 * second)
    agent.tell(.closed("reset"))
    agent.advance(byNs: 9 * second)
    #expect(!agent.effects.notices.contains(.leaseEnded))
    agent.advance(byNs: 3 * second)
    #expect(agent.effects.notices.count { $0 == .leaseEnded } == 1)
    #expect(agent.exit == nil, "it keeps trying")
  }

  @Test func aWorkerThatDoesNotTakeUpItsShareIsStalledOnceTheOldOneIsOver() {
    let agent = AgentScript()
    agent.join()
    agent.obey(epoch: 1, connections: [5, 5])
    agent.tell(.workerAdopted(slot: 0, epoch: 1, sentBefore: 0))
    agent.advance(byNs: 2 * second)
    #expect(agent.lastReport?.workers.map(\.state) == [.ready, .ready])
    // The other's share is renewed, its own is not.
    agent.obey(epoch: 1, connections: [5, 5])
    agent.advance(byNs: 2 * second)
    #expect(agent.lastReport?.workers.map(\.state) == [.ready, .stalled])
    agent.tell(.workerAdopted(slot: 1, epoch: 1, sentBefore: 0))
    #expect(agent.lastReport?.workers.map(\.state) == [.ready, .ready])
  }

  @Test func silenceOfTheMasterEndsTheConnectionAndItsOwnSleepDoesNot() {
    let silent = AgentScript()
    silent.join()
    silent.advance(byNs: 2_900 * millisecond)
    #expect(!silent.effects.contains(.disconnect))
    silent.advance(byNs: 200 * millisecond)
    #expect(silent.effects.contains(.disconnect))

    let asleep = AgentScript()
    asleep.join()
    asleep.nowNs += 8 * second
    asleep.tell(.tick)
    #expect(!asleep.effects.contains(.disconnect))
  }

  // MARK: Counts

  private func batch(_ sequence: UInt32, buckets: Int = 0) -> Batch {
    testBatch(agent: 1, life: 100, sequence: sequence, buckets: buckets)
  }

  @Test func aBatchIsSentAgainUntilItIsDurable() {
    let agent = AgentScript()
    agent.join()
    agent.tell(.batchClosed(batch(0)))
    #expect(agent.count(.batchPart) == 1)
    agent.advance(byNs: 900 * millisecond)
    let sentCount = agent.count(.batchPart)
    #expect(sentCount > 1)
    agent.acknowledge([batch(0)])
    agent.obey(epoch: 0)
    agent.advance(byNs: 900 * millisecond)
    #expect(agent.count(.batchPart) == sentCount)
  }

  @Test func aPartThatHasArrivedRestsAndComesAgainOverANewConnection() {
    let agent = AgentScript()
    agent.join()
    let batch = batch(0, buckets: 600)
    let partCount = parts(of: batch).count
    agent.tell(.batchClosed(batch))
    #expect(agent.count(.batchPart) == partCount)
    agent.tell(
      .received(
        .acknowledgement(
          Acknowledgement(entries: [
            .init(
              worker: 0, life: 100, below: 0, partials: [.init(sequence: 0, bits: [.max])])
          ]))))
    agent.advance(byNs: 700 * millisecond)
    #expect(agent.count(.batchPart) == partCount, "nothing is asked for yet")
    agent.tell(.closed("reset"))
    agent.tell(.connected)
    agent.tell(.received(.welcome(AgentScript.welcome)))
    #expect(agent.count(.batchPart) == 2 * partCount)
  }

  @Test func atTheBoundTheLoadStopsAndTheCountsStay() {
    let agent = AgentScript { $0.keptByteCountMax = 10_000 }
    agent.join()
    agent.obey(epoch: 1, connections: [5, 5])
    var kept: [Batch] = []
    var idled: [Int: UInt32] = [:]
    while idled.isEmpty, kept.count < 100 {
      kept.append(batch(UInt32(kept.count), buckets: 600))
      idled = agent.tell(.batchClosed(kept.last!)).shares
    }
    #expect(kept.reduce(0) { $0 + $1.encoded().count } >= 10_000)
    #expect(idled == [0: 0, 1: 0])
    #expect(agent.effects.notices.contains(.keptFull))
    #expect(agent.lastReport?.isFull == true)
    // Shares dealt before the master has heard of it are not taken up.
    #expect(agent.obey(epoch: 2, connections: [5, 5]).shares.values.allSatisfy { $0 == 0 })
    // What comes from pages that were open is kept all the same.
    agent.tell(.batchClosed(batch(UInt32(kept.count))))
    agent.acknowledge(kept)
    #expect(agent.effects.notices.contains(.keptDrained))
    #expect(agent.lastReport?.isFull == false)
    #expect(agent.obey(epoch: 3, connections: [5, 5]).shares == [0: 5, 1: 5])
  }

  @Test func noMoreThanSoManyPartsAreUnderWay() {
    let agent = AgentScript { $0.partsInFlightMax = 4 }
    agent.join()
    for sequence in UInt32(0)..<10 { agent.tell(.batchClosed(batch(sequence))) }
    #expect(agent.count(.batchPart) == 4)
    agent.acknowledge([batch(0), batch(1)])
    #expect(agent.count(.batchPart) == 6)
  }

  // MARK: Deaths and ways out

  @Test func aDeadWorkersLedgerIsDeliveredAndItIsStartedAgainUpToALimit() {
    let agent = AgentScript { $0.restartsMax = 2 }
    agent.join()
    var life: UInt64 = 100
    for _ in 0..<2 {
      let effects = agent.tell(
        .workerDied(slot: 0, testLedger(agent: 1, life: life, of: [], ending: .killed(9))))
      #expect(
        effects.contains {
          if case .startWorker(slot: 0, let afterNs) = $0 { afterNs > 0 } else { false }
        })
      life += 1_000
      agent.tell(.workerReady(slot: 0, life: life))
    }
    let last = agent.tell(
      .workerDied(slot: 0, testLedger(agent: 1, life: life, of: [], ending: .killed(9))))
    #expect(last.notices.contains(.workerGivenUp(slot: 0)))
    #expect(agent.lastReport?.workers[0].state == .dead)
    #expect(
      Set(
        agent.sent.compactMap {
          if case .ledger(let ledger, _) = $0 { ledger.incarnation.life } else { nil }
        }
      ).count == 3)
  }

  @Test func anOrderToStopStopsTheWorkersOnceAndTheEndIsAGoodbye() {
    let agent = AgentScript(workers: 1)
    agent.join()
    agent.obey(epoch: 1, connections: [5])
    #expect(agent.obey(.stop, epoch: 1).stopped == [0])
    #expect(agent.obey(.stop, epoch: 1).stopped == [])
    #expect(agent.lastReport?.isStopped == true)
    let batch = batch(0)
    agent.tell(.batchClosed(batch))
    agent.tell(.workerFinished(slot: 0, testLedger(agent: 1, life: 100, of: [batch])))
    #expect(agent.count(.ledger) == 1)
    #expect(agent.count(.goodbye) == 0)
    agent.acknowledge([batch], ledger: true)
    agent.obey(.end, epoch: 1)
    #expect(agent.count(.goodbye) == 1)
    agent.tell(.received(.farewell(Farewell())))
    #expect(agent.exit == .delivered)
  }

  // MARK: Runs

  /// No second handshake, the same clock, and nothing of the first run in the second.
  @Test func oneRunFollowsAnotherOnTheSameConnection() {
    let agent = AgentScript(workers: 1)
    agent.isLast = false
    agent.join()
    agent.obey(epoch: 4, connections: [5])
    let batch = batch(0)
    agent.tell(.batchClosed(batch))
    agent.obey(.stop, epoch: 4)
    agent.tell(.workerFinished(slot: 0, testLedger(agent: 1, life: 100, of: [batch])))
    agent.acknowledge([batch], ledger: true)
    #expect(agent.obey(.end, epoch: 4).contains(.leaveRun))
    #expect(agent.lastReport?.run == 0)
    #expect(agent.lastReport?.workers == [])
    // What a worker of that run still says is of no use any more.
    agent.tell(.batchClosed(self.batch(1)))
    agent.tell(.workerDied(slot: 0, testLedger(agent: 1, life: 100, of: [batch])))
    agent.obey(.end, epoch: 4)
    #expect(agent.count(.goodbye) == 0)
    #expect(agent.exit == nil)

    agent.run = 8
    agent.takePlan(firstLife: 200)
    #expect(agent.count(.hello) == 1)
    #expect(agent.lastReport?.run == 8)
    #expect(agent.lastReport?.workers.map(\.life) == [200])
    let effects = agent.tell(
      .received(
        .order(
          {
            var order = agent.order(epoch: 1, number: 1_000)
            order.assignments = [
              Order.Assignment(
                slot: 0, life: 200,
                share: Share(epoch: 1, position: 0, workerCount: 1, connections: 3))
            ]
            return order
          }())))
    #expect(effects.shares == [0: 3])
    let next = testBatch(agent: 1, life: 200, sequence: 0)
    agent.tell(.batchClosed(next))
    let last = agent.sent.compactMap { if case .batchPart(let part) = $0 { part } else { nil } }
      .last
    #expect(last?.run == 8)
    #expect(last?.life == 200)
  }

  /// It writes down what the master did not take, and is there for the next run.
  @Test func aRunThatEndedWithoutItCostsItNoMoreThanThatRun() {
    let agent = AgentScript(workers: 1)
    agent.isLast = false
    agent.join()
    agent.tell(.batchClosed(batch(0)))
    let effects = agent.obey(.abandon, epoch: 1)
    #expect(
      effects.contains(
        .persist(
          run: testRun, planHash: testHash(testPlan().bytes), batches: [batch(0)], ledgers: [])))
    #expect(agent.exit == nil)
    agent.run = 8
    agent.takePlan(firstLife: 200)
    #expect(agent.lastReport?.run == 8)
    agent.obey(.end, epoch: 1)
    agent.run = 0
    agent.isLast = true
    agent.obey(epoch: 0)
    #expect(agent.count(.goodbye) == 1)
    agent.tell(.received(.farewell(Farewell())))
    #expect(agent.exit == .gaveUp)
  }

  /// A master that was killed between two runs may come back.
  @Test func standingByItLooksForItsMasterWithoutAnEnd() {
    let agent = AgentScript(workers: 1)
    agent.isLast = false
    agent.join()
    agent.obey(.end, epoch: 1)
    agent.tell(.closed("reset"))
    agent.advance(byNs: 3_600 * second)
    #expect(agent.exit == nil)
  }

  @Test func itLeavesByHandingOverAndSaysGoodbyeWhenEverythingIsDelivered() {
    let agent = AgentScript(workers: 1)
    agent.join()
    agent.obey(epoch: 1, connections: [5])
    #expect(agent.tell(.leave).stopped == [0])
    #expect(agent.lastReport?.isLeaving == true)
    agent.tell(.workerFinished(slot: 0, testLedger(agent: 1, life: 100, of: [])))
    agent.obey(epoch: 1)
    #expect(agent.count(.goodbye) == 0)
    agent.acknowledge([], ledger: true)
    #expect(agent.count(.goodbye) == 1)
    agent.tell(.received(.farewell(Farewell())))
    #expect(agent.exit == .delivered)
  }

  @Test func whatCannotBeDeliveredIsWrittenDown() {
    func persisted(_ agent: AgentScript) -> [Batch] {
      var all: [Batch] = []
      for case .persist(_, _, let batches, _) in agent.effects { all += batches }
      return all
    }
    // Told twice to leave.
    let hurried = AgentScript()
    hurried.join()
    hurried.tell(.batchClosed(batch(0)))
    hurried.tell(.leaveNow)
    #expect(hurried.exit == .gaveUp)
    #expect(persisted(hurried) == [batch(0)])

    // The run ended without it.
    let abandoned = AgentScript()
    abandoned.join()
    abandoned.tell(.batchClosed(batch(0)))
    abandoned.obey(.abandon, epoch: 1)
    abandoned.tell(.received(.farewell(Farewell())))
    #expect(abandoned.exit == .gaveUp)
    #expect(persisted(abandoned) == [batch(0)])

    // The master never came back.
    let lonely = AgentScript { $0.giveUpNs = 20 * second }
    lonely.join()
    lonely.tell(.batchClosed(batch(0)))
    lonely.tell(.closed("reset"))
    lonely.advance(byNs: 19 * second)
    #expect(lonely.exit == nil)
    lonely.advance(byNs: 2 * second)
    #expect(lonely.exit == .gaveUp)
    #expect(persisted(lonely) == [batch(0)])
  }

  @Test func withNothingUndeliveredGivingUpIsLeaving() {
    let agent = AgentScript()
    agent.join()
    agent.tell(.leaveNow)
    #expect(agent.exit == .delivered)
  }
}
