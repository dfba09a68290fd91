import SquallLoad

/// The run: when it starts, when its load ends, when everything is known.
extension MasterMachine {
  /// How long the end waits for an agent that is there and delivers nothing, beyond the plan's drain.
  private static let patienceNs: UInt64 = 60_000_000_000

  /// Runs of which agents may still ask; an agent of an older one is refused.
  private static let pastCountMax = 64

  mutating func begin(_ settings: RunSettings, _ recovered: Recovery?, nowNs: UInt64) {
    precondition(run.stage == .idle || run.hasEnded, "a run begins while another goes on")
    if let outcome = run.outcome {
      past = past.suffix(Self.pastCountMax - 1) + [PastRun(run: run.name, outcome: outcome)]
    }
    run = Run(settings, digests: self.settings.digests, nowNs: nowNs)
    dealing = Dealing()
    intake = Intake()
    isDirty = true
    fleet.forgetWhoIsAway()
    for agent in fleet.all {
      intake.admit(agent, placeCount: fleet[agent].name.cpus.count)
      note(agent)
    }
    if let recovered { recover(recovered, nowNs: nowNs) }
    fleet.changeOrders()
  }

  private mutating func recover(_ recovered: Recovery, nowNs: UInt64) {
    for name in recovered.agents {
      let agent = fleet.index(of: name.agent) ?? fleet.add(name, heardNs: nowNs)
      intake.admit(agent, placeCount: name.cpus.count)
      // What the master before us granted last may have been granted just now.
      fleet[agent].leaseEndNs = nowNs + settings.leaseNs + settings.leaseNs / 64
      fleet[agent].wasPresent = true
    }
    for known in recovered.lives {
      guard let agent = fleet.index(of: known.incarnation.agent),
        let life = self.known(
          agent, worker: known.incarnation.worker, life: known.incarnation.life)
      else { continue }
      _ = intake.fill(with: life)
      intake[life].restore(known, forgetsMerged: settings.faults.forgetsMerged)
      intake.sums.add(known.sums)
    }
    run.startNs = recovered.startNs
    run.change(by: recovered.deal?.changes ?? [])
    run.stopReason = recovered.stop
    if let deal = recovered.deal {
      restore(deal)
      run.stage = run.startNs == nil ? .preparing : .running
      // Whoever is released already was so at a time that the record does not tell.
      if dealing.holds.contains(.released) { dealing.unconfirmedUntilNs = nowNs }
    }
    if run.stopReason != nil { run.stage = .collecting }
    if let outcome = recovered.outcome {
      run.outcome = outcome
      ended(outcome, nowNs: nowNs)
    }
  }

  /// No other run follows.
  mutating func close(nowNs: UInt64) {
    guard !fleet.isClosing else { return }
    fleet.isClosing = true
    closedNs = nowNs
    isDirty = true
    fleet.changeOrders()
  }

  mutating func superviseRun(nowNs: UInt64) {
    switch run.stage {
    case .idle, .ended: break
    case .waiting: superviseWaiting(nowNs: nowNs)
    case .preparing: superviseStart(nowNs: nowNs)
    case .running:
      guard let startNs = run.startNs else { return }
      let endNs = startNs.addingSaturated(run.loadNs)
      if nowNs >= endNs {
        stop(.duration, nowNs: nowNs)
      } else if isEverythingSent {
        stop(.requestCount, nowNs: nowNs)
      } else {
        evaluate(atNs: endNs)
      }
    case .collecting: superviseCollecting(nowNs: nowNs)
    }
    if run.stage == .collecting { superviseCollecting(nowNs: nowNs) }
  }

  private mutating func superviseWaiting(nowNs: UInt64) {
    let ready = candidates().count
    let expected = run.settings.expectWorkers
    if expected > 0 && ready >= expected || run.isStartWanted && ready > 0 {
      run.stage = .preparing
      return
    }
    let untilNs = run.beganNs.addingSaturated(run.settings.expectWorkersMaxWaitNs)
    if nowNs >= untilNs { return stop(.tooFewWorkers, nowNs: nowNs) }
    evaluate(atNs: untilNs)
  }

  /// Once everyone has taken up its share, the instant is chosen, far enough ahead for all to hear it.
  private mutating func superviseStart(nowNs: UInt64) {
    guard let deal = dealing.deal, deal.kind == .grant, !dealing.isPending, !run.isStartPending,
      !dealing.holds.contains(.held), dealing.holds.contains(.adopted)
    else { return }
    run.isStartPending = true
    let startNs = nowNs + settings.startLeadNs + openingNs(deal)
    log(.starting(workers: dealing.holds.count { $0 == .adopted }))
    record(.start(startNs: startNs), .start(startNs: startNs))
  }

  /// Connections are opened ahead of the start instant, so that the measured time does not begin with
  /// it: on loopback some 30 µs each, with a handshake of TLS 200 µs here and as much in the target.
  private func openingNs(_ deal: Deal) -> UInt64 {
    guard run.plan.connections.rampNs == 0 else { return 0 }
    let most =
      deal.holdings.map { min($0.share.connections, run.plan.connections.countEach) }
      .max() ?? 0
    let eachNs = run.plan.origins.reduce(0) { $0 + ($1.tls == nil ? 50_000 : 400_000) as UInt64 }
    return min(UInt64(most) * eachNs, settings.openingNsMax)
  }

  mutating func startRecorded(_ startNs: UInt64, nowNs: UInt64) {
    run.isStartPending = false
    isDirty = true
    guard run.stage == .preparing else { return }
    run.startNs = startNs
    run.stage = .running
    fleet.changeOrders()
  }

  /// Every request of the plan was handed out, and whoever has some has sent them.
  private var isEverythingSent: Bool {
    guard run.plan.requestCount != .max, let deal = dealing.deal, deal.kind == .grant,
      !dealing.isPending
    else { return false }
    var left = run.plan.requestCount
    for agent in fleet.all {
      for index in intake.lives(of: agent) where intake[index].hasPart {
        let life = intake[index]
        left = left.subtractingSaturated(life.reserved)
        if life.isOver || fleet[agent].isAway { continue }
        guard let index = dealing.index(of: incarnation(index)), dealing.holds[index] == .adopted,
          life.reported?.isExhausted == true || deal.holdings[index].share.requestQuota == 0
        else { return false }
      }
    }
    return left == 0
  }

  mutating func stop(_ reason: EndReason, nowNs: UInt64) {
    guard run.takesWorkers else { return }
    run.stage = .collecting
    run.stopReason = reason
    run.progressNs = nowNs
    isDirty = true
    log(.stopping(reason))
    if reason != .duration { record(.stop(reason), .note) }
    fleet.changeOrders()
  }

  // MARK: The end

  private mutating func superviseCollecting(nowNs: UInt64) {
    guard run.outcome == nil else { return }
    let patienceNs = run.plan.times.drainNs.addingSaturated(Self.patienceNs)
    let untilNs = run.progressNs.addingSaturated(patienceNs)
    guard intake.uncommittedCount == 0 else { return }
    if nowNs < untilNs, !isEverythingKnown, !run.isAbandoned { return evaluate(atNs: untilNs) }
    let outcome = Outcome(reason: run.stopReason ?? .duration, sums: sums, gaps: gaps())
    run.outcome = outcome
    record(.end(outcome), .end(outcome))
  }

  /// Every life is accounted for, or its agent is waited for no longer.
  private var isEverythingKnown: Bool {
    fleet.all.allSatisfy { fleet[$0].isAway || intake.hasEverything(of: $0) }
  }

  /// What is missing as things are now.
  package func gaps() -> [Gap] {
    var gaps: [Gap] = []
    for agent in fleet.all {
      for life in intake.lives(of: agent) where intake[life].hasPart {
        let known = intake[life]
        let name = incarnation(life)
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
        if known.isLost, intake.isCurrent(life) { gaps.append(.notReplaced(name)) }
      }
    }
    return gaps
  }

  mutating func ended(_ outcome: Outcome, nowNs: UInt64) {
    run.stage = .ended
    run.endedNs = nowNs
    isDirty = true
    effects.append(.ended(outcome))
    fleet.changeOrders()
  }

  /// Of the fleet, once no run follows.
  mutating func superviseEnd(nowNs: UInt64) {
    guard fleet.isClosing, run.hasEnded || run.stage == .idle && closedNs > 0, !isDismissed else {
      return
    }
    let lingerNs = run.isAbandoned ? settings.abandonedLingerNs : settings.lingerNs
    let untilNs = max(run.endedNs ?? 0, closedNs) + lingerNs
    guard nowNs >= untilNs || fleet.all.allSatisfy({ fleet[$0].isAway }) else {
      return evaluate(atNs: untilNs)
    }
    isDismissed = true
    effects.append(.dismissed)
  }

  // MARK: For people

  package func status(nowNs: UInt64) -> Status {
    var workers = run.stage == .idle ? standingBy : []
    for agent in fleet.all {
      for case let life? in intake[agent].current {
        let known = intake[life]
        let name = incarnation(life)
        let index = dealing.index(of: name)
        workers.append(
          Status.Worker(
            incarnation: name, host: fleet[agent].name.host, process: fleet[agent].name.process,
            cpu: fleet[agent].name.cpus[Int(known.worker)],
            state: state(of: known, on: fleet[agent], nowNs: nowNs),
            share: index.flatMap { dealing.deal?.holdings[$0].share }, sums: known.sums,
            ending: known.ledger?.ending,
            restarts: intake[agent].lives.count { $0.worker == known.worker } - 1))
      }
    }
    return Status(
      stage: run.stage, epoch: dealing.deal?.epoch ?? 0,
      elapsedNs: run.startNs.map { nowNs.subtractingSaturated($0) }, workers: workers,
      readyCount: run.takesWorkers ? candidates().count : standingBy.count, sums: sums)
  }

  /// Workers that a run would have; they have no life yet.
  private var standingBy: [Status.Worker] {
    fleet.all.flatMap { agent -> [Status.Worker] in
      let name = fleet[agent].name
      guard fleet[agent].presence == .present, fleet[agent].report?.isLeaving == false else {
        return []
      }
      return name.cpus.indices.map {
        Status.Worker(
          incarnation: Incarnation(agent: name.agent, worker: UInt16($0), life: 0),
          host: name.host, process: name.process, cpu: name.cpus[$0], state: .ready, share: nil,
          sums: IncarnationLedger(), ending: nil, restarts: 0)
      }
    }
  }

  private func state(of life: Intake.Life, on agent: Fleet.Agent, nowNs: UInt64) -> WorkerState {
    if life.isOver || agent.isAway { return .gone }
    if agent.presence == .missing || life.reported?.state == .stalled { return .missing }
    switch run.stage {
    case .idle, .waiting, .preparing: return .ready
    case .running:
      guard let startNs = run.startNs, nowNs >= startNs else { return .ready }
      return nowNs - startNs < run.plan.connections.rampNs ? .ramping : .running
    case .collecting, .ended: return .stopping
    }
  }
}
