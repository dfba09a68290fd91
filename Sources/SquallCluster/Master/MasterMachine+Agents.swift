import SquallLoad

/// Hosts: their reports, their silences, the orders that answer them.
extension MasterMachine {
  /// A master that itself was stopped has heard nobody, and that is nobody's silence: it gives each
  /// agent one more heartbeat.
  mutating func notice(sleptUntilNs nowNs: UInt64) {
    defer { lastNs = nowNs }
    guard let lastNs, nowNs > lastNs, nowNs - lastNs > settings.heartbeatIntervalNs * 3 / 2 else {
      return
    }
    let graceNs = nowNs.subtractingSaturated(silenceNs - settings.heartbeatIntervalNs)
    for agent in fleet.all where fleet[agent].presence == .present {
      fleet[agent].heardNs = max(fleet[agent].heardNs, graceNs)
    }
  }

  mutating func reported(_ report: Report, by agent: AgentIndex, nowNs: UInt64) {
    guard fleet[agent].presence != .left, report.number > fleet[agent].report?.number ?? 0 else {
      return  // Overtaken by a later report, or by the goodbye.
    }
    let old = fleet[agent].report
    if old?.isFull != report.isFull || old?.isLeaving != report.isLeaving
      || old?.isPlanReady != report.isPlanReady || old?.run != report.run
    {
      isDirty = true
    }
    fleet[agent].report = report
    fleet[agent].reportReceivedNs = nowNs
    fleet[agent].heardNs = nowNs
    if fleet[agent].presence != .present { returned(agent) }
    if report.isFull, old?.isFull != true { log(.agentFull(fleet[agent].name)) }
    if fleet[agent].unconfirmedOrder != 0, report.orderNumber >= fleet[agent].unconfirmedOrder {
      fleet[agent].unconfirmedOrder = 0
      fleet[agent].resendAtNs = .max
    }
    if report.run == run.name, run.stage != .idle {
      if let runNs = report.runNs, let startNs = run.startNs {
        intake[agent].reported(runNs: runNs, atRunNs: nowNs.subtractingSaturated(startNs))
      }
      for worker in report.workers { reported(worker, by: agent) }
      if report.isStopped { stop(.stopped, nowNs: nowNs) }
    }
    fleet.dueOrder(agent)
  }

  private mutating func returned(_ agent: AgentIndex) {
    let isNew = !fleet[agent].wasPresent
    fleet[agent].presence = .present
    fleet[agent].wasPresent = true
    fleet[agent].wasClosed = false
    isDirty = true
    log(isNew ? .agentJoined(fleet[agent].name) : .agentReturned(fleet[agent].name))
    fleet.changeOrder(agent)
  }

  private mutating func reported(_ worker: Report.Worker, by agent: AgentIndex) {
    guard let life = known(agent, worker: worker.slot, life: worker.life) else { return }
    let before = intake[life].reported
    if before == worker, intake.isCurrent(life) { return }
    isDirty = true
    intake[life].reported = worker
    if let older = intake.fill(with: life) { release(older) }
    let name = incarnation(life)
    if before == nil, worker.state == .ready { log(.workerReady(name)) }
    if worker.state == .stalled, before?.state != .stalled { log(.workerStalled(name)) }
    if worker.state == .finished, fleet[agent].report?.isLeaving == false,
      fleet[agent].report?.isStopped == false
    {
      dealing.hasReachedEnd = true
    }
    switch worker.state {
    case .ready: adopted(life, worker)
    case .stalled, .dead, .finished: release(life)
    }
  }

  func incarnation(_ life: LifeIndex) -> Incarnation {
    Incarnation(
      agent: fleet[life.agent].name.agent, worker: intake[life].worker, life: intake[life].life)
  }

  /// The life of this name in the run there is, made when it is new.
  mutating func known(_ agent: AgentIndex, worker: UInt16, life: UInt64) -> LifeIndex? {
    intake.known(agent, worker: worker, life: life, livesMax: settings.livesMax)
  }

  func life(of incarnation: Incarnation) -> LifeIndex? {
    fleet.index(of: incarnation.agent).flatMap {
      intake.index($0, worker: incarnation.worker, life: incarnation.life)
    }
  }

  /// The connection is gone, or has been silent for too long.
  mutating func lost(_ agent: AgentIndex, wasClosed: Bool) {
    if wasClosed {
      fleet[agent].peer = nil
      fleet[agent].report = nil
      fleet[agent].wasClosed = true
    }
    guard fleet[agent].presence == .present else { return }
    fleet[agent].presence = .missing
    isDirty = true
    log(.agentMissing(fleet[agent].name))
  }

  mutating func left(_ agent: AgentIndex, peer: UInt64) {
    send(.farewell(Farewell()), to: peer)
    guard fleet[agent].presence != .left else { return }
    fleet[agent].presence = .left
    isDirty = true
    log(.agentLeft(fleet[agent].name))
  }

  mutating func superviseAgents(nowNs: UInt64) {
    for agent in fleet.all {
      let heardNs = fleet[agent].heardNs
      switch fleet[agent].presence {
      case .present:
        if nowNs >= heardNs + silenceNs {
          lost(agent, wasClosed: false)
        } else {
          evaluate(atNs: heardNs + silenceNs)
        }
      case .missing:
        let goneNs =
          heardNs
          + (fleet[agent].wasClosed ? settings.goneAfterCloseNs : settings.goneAfterNs)
        if nowNs >= goneNs {
          fleet[agent].presence = .gone
          isDirty = true
          if !intake.hasEverything(of: agent) { log(.agentGone(fleet[agent].name)) }
        } else {
          evaluate(atNs: goneNs)
        }
      case .gone, .left: break
      }
      if fleet[agent].resendAtNs != .max {
        if nowNs >= fleet[agent].resendAtNs { fleet.dueOrder(agent) }
        evaluate(atNs: max(fleet[agent].resendAtNs, nowNs + 1))
      }
    }
  }

  // MARK: Orders

  mutating func sendOrders(nowNs: UInt64) {
    for agent in fleet.orderQueue {
      fleet[agent].isOrderDue = false
      guard let peer = fleet[agent].peer, let report = fleet[agent].report else {
        fleet[agent].resendAtNs = .max  // Its next report asks anew.
        continue
      }
      fleet[agent].orderNumber += 1
      send(.order(order(for: agent, answering: report, nowNs: nowNs)), to: peer)
      guard fleet[agent].unconfirmedOrder != 0 else { continue }
      let attempt = min(fleet[agent].resendAttempt, 3)
      fleet[agent].resendAttempt += 1
      fleet[agent].resendAtNs = nowNs + settings.resendFirstNs << UInt64(attempt)
      evaluate(atNs: fleet[agent].resendAtNs)
    }
    fleet.orderQueue.removeAll(keepingCapacity: true)
  }

  private mutating func order(
    for agent: AgentIndex, answering report: Report, nowNs: UInt64
  ) -> Order {
    var order = Order(
      number: fleet[agent].orderNumber,
      echo: Order.Echo(
        reportNumber: report.number, reportSentNs: report.sentNs,
        reportReceivedNs: fleet[agent].reportReceivedNs),
      sentNs: nowNs, isLast: fleet.isClosing)
    guard report.run == run.name || report.run == 0 else {
      // It was away when that run ended.
      let old = past.last { $0.run == report.run }
      order.run = report.run
      order.phase = old?.incomplete.contains(fleet[agent].name.agent) == false ? .end : .abandon
      return order
    }
    // Whoever has left a run has no more to do in it.
    guard run.takesWorkers || report.run == run.name, run.stage != .idle else { return order }
    order.run = run.name
    order.planHash = run.planHash
    order.planByteCount = UInt32(run.planBytes.count)
    order.phase =
      switch run.stage {
      case .idle, .waiting, .preparing: .prepare
      case .running: .run
      case .collecting: .stop
      case .ended: intake.hasEverything(of: agent) ? .end : .abandon
      }
    // To one that is missing nothing is granted any more: its next report asks anew.
    order.leaseNs = fleet[agent].presence == .present ? leaseNs : 0
    // The agent's lease runs from when it made the report, so it has ended by then on any clock that
    // is not slower than ours by more than the margin.
    let endNs = fleet[agent].reportReceivedNs + order.leaseNs + order.leaseNs / 64
    fleet[agent].leaseEndNs = max(fleet[agent].leaseEndNs, endNs)
    order.startNs = run.startNs
    order.epoch = dealing.deal?.epoch ?? 0
    order.changes = dealing.deal?.changes ?? []
    order.assignments = assignments(of: agent)
    return order
  }

  /// Short when somebody else could take over, whole when nobody could. Before the load there is none
  /// to keep up, and a whole lease given then would bind the share for as long.
  private var leaseNs: UInt64 {
    guard run.stage == .running else { return min(settings.leaseNs, silenceNs) }
    let taking = fleet.all.lazy
      .filter { fleet[$0].presence == .present && !intake[$0].lives.isEmpty }.prefix(2)
    return taking.count > 1 ? min(settings.leaseNs, silenceNs) : settings.leaseNs
  }
}

extension UInt64 {
  func subtractingSaturated(_ other: UInt64) -> UInt64 { self > other ? self - other : 0 }
}
