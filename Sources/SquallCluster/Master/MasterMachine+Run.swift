import SquallLoad

/// The run: when it starts, when its load ends, when everything is known.
extension MasterMachine {
  /// How long the end waits for an agent that is there and delivers nothing, beyond the plan's drain.
  private static let patienceNs: UInt64 = 60_000_000_000

  mutating func began(nowNs: UInt64) {
    startedNs = nowNs
    lastProgressNs = nowNs
    stoppedNs = nowNs
    isDirty = true
    // Whoever is released already was so at a time that the record does not tell.
    if dealing.holds.contains(.released) { dealing.unconfirmedUntilNs = nowNs }
    if let outcome { ended(outcome, nowNs: nowNs) }
    for agent in agents.indices {
      agents[agent].heardNs = nowNs
      // What the master before us granted last may have been granted just now.
      agents[agent].leaseEndNs = nowNs + settings.leaseNs + settings.leaseNs / 64
    }
  }

  mutating func recover(_ recovered: Recovery) {
    for name in recovered.agents {
      agentIndex[name.agent] = agents.count
      agents.append(Agent(name: name, heardNs: 0))
    }
    for known in recovered.lives {
      guard let agent = agentIndex[known.incarnation.agent],
        let life = knownLife(
          agent, worker: known.incarnation.worker, life: known.incarnation.life)
      else { continue }
      agents[agent].current[Int(known.incarnation.worker)] = life
      if !settings.faults.forgetsMerged {
        agents[agent].lives[life].received = known.merged
        agents[agent].lives[life].merged = known.merged
      }
      agents[agent].lives[life].sums = known.sums
      agents[agent].lives[life].lastEndNs = known.lastEndNs
      agents[agent].lives[life].hasPart = known.hasPart
      if let ledger = known.ledger {
        agents[agent].lives[life].ledger = ledger
        agents[agent].lives[life].isLedgerDurable = true
        agents[agent].lives[life].reserved = ledger.sums.sent
        agents[agent].lives[life].isLost = ledger.ending != .finished
      }
      sums.add(known.sums)
    }
    startNs = recovered.startNs
    stopReason = recovered.stop
    if let deal = recovered.deal {
      restore(deal)
      stage = startNs == nil ? .preparing : .running
    }
    if stopReason != nil { stage = .collecting }
    if let outcome = recovered.outcome {
      self.outcome = outcome
      stage = .ended
    }
  }

  mutating func superviseRun(nowNs: UInt64) {
    switch stage {
    case .waiting: superviseWaiting(nowNs: nowNs)
    case .preparing: superviseStart(nowNs: nowNs)
    case .running:
      guard let startNs else { return }
      let endNs = startNs.addingSaturated(runNs)
      if nowNs >= endNs {
        stop(.duration, nowNs: nowNs)
      } else if isEverythingSent {
        stop(.requestCount, nowNs: nowNs)
      } else {
        evaluate(atNs: endNs)
      }
    case .collecting: superviseCollecting(nowNs: nowNs)
    case .ended: superviseEnd(nowNs: nowNs)
    }
    if stage == .collecting { superviseCollecting(nowNs: nowNs) }
  }

  private mutating func superviseWaiting(nowNs: UInt64) {
    let ready = candidates().count
    if settings.expectWorkers > 0 && ready >= settings.expectWorkers || isStartWanted && ready > 0 {
      stage = .preparing
      return
    }
    let untilNs = startedNs.addingSaturated(settings.expectWorkersMaxWaitNs)
    if nowNs >= untilNs { return stop(.tooFewWorkers, nowNs: nowNs) }
    evaluate(atNs: untilNs)
  }

  /// Once everyone has taken up its share, the instant is chosen, far enough ahead for all to hear it.
  private mutating func superviseStart(nowNs: UInt64) {
    guard let deal = dealing.deal, deal.kind == .grant, !dealing.isPending, !isStartPending,
      !dealing.holds.contains(.held), dealing.holds.contains(.adopted)
    else { return }
    isStartPending = true
    let startNs = nowNs + settings.startLeadNs + openingNs(deal)
    log(.starting(workers: dealing.holds.count { $0 == .adopted }))
    record(.start(startNs: startNs), .start(startNs: startNs))
  }

  /// Connections are opened ahead of the start instant, so that the measured time does not begin with
  /// it: some 30 µs each on loopback.
  private func openingNs(_ deal: Deal) -> UInt64 {
    guard settings.plan.rampNs == 0 else { return 0 }
    let most = deal.holdings.map(\.share.connections).max() ?? 0
    return min(UInt64(most) * 50_000, settings.openingNsMax)
  }

  mutating func startRecorded(_ startNs: UInt64, nowNs: UInt64) {
    isStartPending = false
    isDirty = true
    guard stage == .preparing else { return }
    self.startNs = startNs
    stage = .running
    changeOrders()
  }

  /// Every request of the plan was handed out, and whoever has some has sent them.
  private var isEverythingSent: Bool {
    guard settings.plan.requestCount != .max, let deal = dealing.deal, deal.kind == .grant,
      !dealing.isPending
    else { return false }
    var left = settings.plan.requestCount
    for agent in agents.indices {
      for life in agents[agent].lives where life.hasPart {
        left = left.subtractingSaturated(life.reserved)
        if life.isOver || agents[agent].presence == .gone || agents[agent].presence == .left {
          continue
        }
        let name = Incarnation(
          agent: agents[agent].name.agent, worker: life.worker, life: life.life)
        guard let index = dealing.index(of: name), dealing.holds[index] == .adopted,
          life.reported?.isExhausted == true || deal.holdings[index].share.requestQuota == 0
        else { return false }
      }
    }
    return left == 0
  }

  mutating func stop(_ reason: EndReason, nowNs: UInt64) {
    guard stage == .waiting || stage == .preparing || stage == .running else { return }
    stage = .collecting
    stopReason = reason
    stoppedNs = nowNs
    lastProgressNs = nowNs
    isDirty = true
    log(.stopping(reason))
    if reason != .duration { record(.stop(reason), .note) }
    changeOrders()
  }

  // MARK: The end

  private mutating func superviseCollecting(nowNs: UInt64) {
    guard outcome == nil else { return }
    let patienceNs = settings.plan.drainNs.addingSaturated(Self.patienceNs)
    let untilNs = lastProgressNs.addingSaturated(patienceNs)
    guard uncommittedBatchCount == 0 else { return }
    if nowNs < untilNs, !isEverythingKnown { return evaluate(atNs: untilNs) }
    let outcome = Outcome(reason: stopReason ?? .duration, sums: sums, gaps: gaps())
    self.outcome = outcome
    record(.end(outcome), .end(outcome))
  }

  /// Every life is accounted for, or its agent is waited for no longer.
  private var isEverythingKnown: Bool {
    agents.indices.allSatisfy {
      agents[$0].presence == .gone || agents[$0].presence == .left || hasEverything(of: $0)
    }
  }

  func hasEverything(of agent: Int) -> Bool {
    agents[agent].lives.allSatisfy { !$0.hasPart || $0.isSettled }
  }

  private func gaps() -> [Gap] {
    var gaps: [Gap] = []
    for agent in agents.indices {
      for life in agents[agent].lives.indices where agents[agent].lives[life].hasPart {
        let known = agents[agent].lives[life]
        let name = incarnation(agent, life)
        guard let ledger = known.ledger else {
          gaps.append(.silent(name, afterNs: known.lastEndNs))
          continue
        }
        if known.merged.next < ledger.sums.batchCount {
          let arrived = known.merged.next + UInt32(known.merged.bits.nonzeroBitCount)
          gaps.append(.batches(name, of: ledger.sums.batchCount, arrived: arrived))
        } else if known.sums != ledger.sums || known.merged.end != ledger.sums.batchCount {
          gaps.append(.mismatch(name, ledger: ledger.sums, merged: known.sums))
        }
        if known.isLost, agents[agent].current[Int(known.worker)] == life {
          gaps.append(.notReplaced(name))
        }
      }
    }
    return gaps
  }

  mutating func ended(_ outcome: Outcome, nowNs: UInt64) {
    stage = .ended
    endedNs = nowNs
    isDirty = true
    effects.append(.ended(outcome))
    changeOrders()
  }

  private mutating func superviseEnd(nowNs: UInt64) {
    guard !isDismissed else { return }
    let untilNs = (endedNs ?? startedNs) + settings.lingerNs
    let haveAllGone = agents.allSatisfy { $0.presence == .left || $0.presence == .gone }
    guard haveAllGone || nowNs >= untilNs else { return evaluate(atNs: untilNs) }
    isDismissed = true
    effects.append(.dismissed)
  }

  // MARK: For people

  package func status(nowNs: UInt64) -> Status {
    var workers: [Status.Worker] = []
    for agent in agents.indices {
      for case let life? in agents[agent].current {
        let known = agents[agent].lives[life]
        let name = incarnation(agent, life)
        let index = dealing.index(of: name)
        workers.append(
          Status.Worker(
            incarnation: name, host: agents[agent].name.host,
            cpu: agents[agent].name.cpus[Int(known.worker)],
            state: state(of: known, on: agents[agent], nowNs: nowNs),
            share: index.flatMap { dealing.deal?.holdings[$0].share }, sums: known.sums,
            ending: known.ledger?.ending,
            restarts: agents[agent].lives.count { $0.worker == known.worker } - 1))
      }
    }
    return Status(
      stage: stage, epoch: dealing.deal?.epoch ?? 0,
      elapsedNs: startNs.map { nowNs.subtractingSaturated($0) }, workers: workers,
      readyCount: candidates().count, sums: sums)
  }

  private func state(of life: Life, on agent: Agent, nowNs: UInt64) -> WorkerState {
    if life.isOver || agent.presence == .left || agent.presence == .gone { return .gone }
    if agent.presence == .missing || life.reported?.state == .stalled { return .missing }
    switch stage {
    case .waiting, .preparing: return .ready
    case .running:
      guard let startNs, nowNs >= startNs else { return .ready }
      return nowNs - startNs < settings.plan.rampNs ? .ramping : .running
    case .collecting, .ended: return .stopping
    }
  }
}
