import SquallCluster
import SquallLoad
import Testing

/// Shares: dealt over those that can work, moved when one cannot, and never more than the plan.
@Suite struct MasterShareTests {
  private func running(_ agents: [ScriptedAgent], plan: Plan = longPlan()) -> MasterScript {
    let master = MasterScript(plan: plan)
    master.start(agents)
    return master
  }

  static func longPlan(connections: UInt32 = 12) -> Plan {
    var plan = testPlan(connections: connections)
    plan.times.durationNs = 3_600 * second
    return plan
  }

  private func held(_ master: MasterScript, _ agent: Int) -> UInt32 {
    master.agents[agent].connections(nowNs: master.nowNs)
  }

  @Test func sharesAreInProportionToCPUs() {
    let master = running([ScriptedAgent(1, workers: 1), ScriptedAgent(2, workers: 3)])
    #expect(held(master, 0) == 3)
    #expect(held(master, 1) == 9)
    #expect(master.connectionsMax == 12)
  }

  /// The largest share decides; a ramp opens its connections in a time of its own.
  @Test func theStartLeavesTimeToOpenTheConnections() throws {
    func startNs(
      _ connections: UInt32, rampNs: UInt64 = 0, over tls: TLSPlan? = nil
    ) throws -> UInt64 {
      var plan = Self.longPlan(connections: connections)
      plan.connections.rampNs = rampNs
      plan.origin.tls = tls
      let master = running([ScriptedAgent(1, workers: 2)], plan: plan)
      return try #require(master.lastOrder(to: 1)?.startNs)
    }
    let atOnceNs = try startNs(1_000, rampNs: second)
    #expect(try startNs(2) - atOnceNs == 50_000)
    #expect(try startNs(19_999) - atOnceNs == 10_000 * 50_000)
    #expect(try startNs(1_000_000) - atOnceNs == 10 * second)
    #expect(try startNs(2_000, over: TLSPlan(serverName: "host")) - atOnceNs == 1_000 * 400_000)
  }

  @Test func aSilentHostsLoadIsWithTheOthersWithinOneHeartbeatOfBeingMissed() {
    let master = running([ScriptedAgent(1, workers: 2), ScriptedAgent(2, workers: 2)])
    master.agents[1].isSilent = true
    let silentNs = master.nowNs
    master.advance(byNs: 10 * second) { $0.notices.contains { $0.isMissing } }
    #expect(master.nowNs - silentNs <= 3_500 * millisecond)
    master.advance(byNs: 10 * second) { $0.agents[0].held.values.map(\.connections) == [6, 6] }
    #expect(master.nowNs - silentNs <= 4_500 * millisecond)
    #expect(held(master, 0) == 12)
    #expect(master.connectionsMax == 12)
  }

  @Test func aClosedConnectionIsMissedAtOnceAndItsLoadMovesWhenItsLeaseHasEnded() {
    let master = running([ScriptedAgent(1, workers: 2), ScriptedAgent(2, workers: 2)])
    master.agents[1].isSilent = true
    master.tell(.closed(peer: 2))
    let closedNs = master.nowNs
    #expect(master.notices.contains { $0.isMissing })
    master.advance(byNs: 10 * second) { $0.agents[0].held.values.map(\.connections) == [6, 6] }
    #expect(master.nowNs - closedNs <= 4_100 * millisecond)
    #expect(master.connectionsMax == 12)
  }

  @Test func aDeadWorkersLoadMovesWithinOneHeartbeat() {
    let master = running([ScriptedAgent(1, workers: 2), ScriptedAgent(2, workers: 2)])
    master.agents[1].workers[0].state = .dead
    master.agents[1].held[0] = nil
    master.report(1)
    let diedNs = master.nowNs
    master.advance(byNs: 5 * second) { $0.heldConnections == 12 }
    #expect(master.nowNs - diedNs <= second)
    #expect(master.connectionsMax == 12)
  }

  @Test func aHostThatReturnsTakesItsPartAgainWithoutOvershoot() {
    let master = running([ScriptedAgent(1, workers: 2), ScriptedAgent(2, workers: 2)])
    master.agents[1].isSilent = true
    master.advance(byNs: 6 * second)
    #expect(held(master, 0) == 12)
    master.agents[1].isSilent = false
    let returnedNs = master.nowNs
    master.report(1)
    master.advance(byNs: 5 * second) { held($0, 1) == 6 && held($0, 0) == 6 }
    #expect(master.nowNs - returnedNs <= second)
    #expect(master.connectionsMax == 12)
  }

  @Test func aHostThatJoinsLateTakesPart() {
    let master = running([ScriptedAgent(1, workers: 2)])
    master.join(ScriptedAgent(2, workers: 3))
    let joinedNs = master.nowNs
    master.advance(byNs: 5 * second) { held($0, 1) == 6 }
    #expect(master.nowNs - joinedNs <= second)
    #expect(held(master, 0) == 6)
    #expect(master.connectionsMax == 12)
  }

  @Test func nothingGoesToOthersWhileAHolderHasNotYielded() {
    let master = running([ScriptedAgent(1, workers: 1)])
    master.agents[0].isDeaf = true
    master.join(ScriptedAgent(2, workers: 1))
    master.advance(byNs: 20 * second)
    #expect(held(master, 1) == 0)
    #expect(master.connectionsMax == 12)
    master.agents[0].isDeaf = false
    master.settle()
    master.advance(byNs: 2 * second)
    #expect(held(master, 0) == 6)
    #expect(held(master, 1) == 6)
    #expect(master.connectionsMax == 12)
  }

  @Test func aHostThatLeavesOrIsFullHasNoShare() {
    let master = running([ScriptedAgent(1, workers: 2), ScriptedAgent(2, workers: 2)])
    master.agents[1].isFull = true
    master.report(1)
    master.advance(byNs: 2 * second)
    #expect(held(master, 0) == 12)
    master.agents[1].isFull = false
    master.report(1)
    master.advance(byNs: 2 * second)
    #expect(held(master, 1) == 6)
    master.agents[0].isLeaving = true
    master.report(0)
    master.advance(byNs: 2 * second)
    #expect(held(master, 1) == 12)
    #expect(master.connectionsMax == 12)
  }

  @Test func theLeaseIsShortWhereOthersCouldTakeOverAndWholeWhereNobodyCould() {
    let master = running([ScriptedAgent(1, workers: 1)])
    #expect(master.lastOrder(to: 1)?.leaseNs == 10 * second)
    master.join(ScriptedAgent(2, workers: 1))
    master.advance(byNs: 2 * second)
    #expect(master.lastOrder(to: 1)?.leaseNs == 3 * second)
  }

  @Test func aMasterThatSleptDoesNotBlameTheOthers() {
    let master = running([ScriptedAgent(1, workers: 1), ScriptedAgent(2, workers: 1)])
    master.nowNs += 8 * second
    master.tell(.tick)
    #expect(!master.notices.contains { $0.isMissing })
    for agent in master.agents.indices { master.report(agent) }
    master.advance(byNs: 2 * second)
    #expect(!master.notices.contains { $0.isMissing })
    #expect(master.connectionsMax == 12)
  }

  /// It was gone, its share is being dealt to the others, and that deal is still on its way to the disk.
  @Test func aHolderThatReturnsWhileADealIsWrittenDoesNotGetItsOldShareBack() {
    let master = running([ScriptedAgent(1, workers: 2), ScriptedAgent(2, workers: 2)])
    master.isDiskFast = false
    master.agents[1].isSilent = true
    master.advance(byNs: 8 * second)
    #expect(master.recorded.last.map { if case .deal = $0 { true } else { false } } == true)
    let leaseEndNs = master.agents[1].leaseEndNs
    #expect(master.nowNs > leaseEndNs)
    master.agents[1].isSilent = false
    for _ in 0..<3 {
      master.report(1)
      #expect(master.lastOrder(to: 2)?.assignments.isEmpty == true)
    }
    master.isDiskFast = true
    master.commit()
    master.advance(byNs: 3 * second)
    #expect(held(master, 0) == 6)
    #expect(held(master, 1) == 6)
    #expect(master.connectionsMax == 12)
  }

  /// A holder that never heard of the yield followed its schedule until its lease ended.
  @Test func aScheduleIsHandedOnFromWhereItsLastFollowerStopped() throws {
    var plan = Self.longPlan()
    plan.load = .open(Schedule(startHz: 100))
    let master = running([ScriptedAgent(1, workers: 1), ScriptedAgent(2, workers: 1)], plan: plan)
    master.isDiskFast = false
    master.join(ScriptedAgent(3, workers: 1))
    master.advance(byNs: second)
    master.agents[1].isSilent = true
    master.advance(byNs: 6 * second)
    let leaseEndNs = master.agents[1].leaseEndNs
    #expect(master.nowNs > leaseEndNs)
    master.isDiskFast = true
    master.commit()
    master.advance(byNs: 2 * second)
    let startNs = try #require(master.lastOrder(to: 1)?.startNs)
    let share = try #require(master.agents[0].held[0])
    #expect(share.workerCount == 2)
    #expect(share.fromNs >= leaseEndNs - startNs)
  }

  @Test func aShareThatAnAgentTookBackIsDealtAnew() {
    let master = running([ScriptedAgent(1, workers: 2)])
    let epoch = master.lastOrder(to: 1)?.epoch ?? 0
    master.agents[0].held[1] = nil
    master.agents[0].workers[1].isTakenBack = true
    master.report(0)
    master.advance(byNs: 2 * second)
    #expect(master.lastOrder(to: 1)?.epoch ?? 0 > epoch)
    #expect(master.heldConnections == 12)
    #expect(master.connectionsMax == 12)
  }

  /// Whatever comes and goes, in whatever order: what is held at one time never exceeds the plan.
  @Test(arguments: UInt64(1)...60)
  func theSumOfSharesNeverExceedsThePlan(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let connections = UInt32.random(in: 1...40, using: &random)
    var plan = Self.longPlan(connections: connections)
    if Bool.random(using: &random) { plan.load = .open(Schedule(startHz: 10)) }
    let master = MasterScript(plan: plan)
    master.start([ScriptedAgent(1, workers: Int.random(in: 1...4, using: &random))])
    for step in 0..<30 {
      let agent = Int.random(in: 0..<master.agents.count, using: &random)
      switch Int.random(in: 0..<7, using: &random) {
      case 0 where master.agents.count < 6:
        master.join(
          ScriptedAgent(UInt64(step + 10), workers: Int.random(in: 1...4, using: &random)))
      case 1, 2: master.agents[agent].isSilent.toggle()
      case 3: master.agents[agent].isDeaf.toggle()
      case 4: master.agents[agent].isFull.toggle()
      case 5:
        master.isDiskFast.toggle()
        if master.isDiskFast { master.commit() }
      default: break
      }
      master.advance(byNs: UInt64.random(in: 1...4_000, using: &random) * millisecond)
    }
    #expect(master.connectionsMax <= connections, "seed \(seed)")
    // And when all is well again, all of it is held.
    master.isDiskFast = true
    master.commit()
    for agent in master.agents.indices {
      master.agents[agent].isSilent = false
      master.agents[agent].isDeaf = false
      master.agents[agent].isFull = false
    }
    master.advance(byNs: 30 * second)
    #expect(master.heldConnections == connections, "seed \(seed)")
    #expect(master.connectionsMax <= connections, "seed \(seed)")
  }
}

extension MasterMachine.LogEvent {
  var isMissing: Bool { if case .agentMissing = self { true } else { false } }
}
