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
    for agent in agents.indices where agents[agent].presence == .present {
      agents[agent].heardNs = max(agents[agent].heardNs, graceNs)
    }
  }

  mutating func reported(_ report: Report, by agent: Int, nowNs: UInt64) {
    guard agents[agent].presence != .left, report.number > agents[agent].report?.number ?? 0 else {
      return  // Overtaken by a later report, or by the goodbye.
    }
    let old = agents[agent].report
    if old?.isFull != report.isFull || old?.isLeaving != report.isLeaving
      || old?.isPlanReady != report.isPlanReady
    {
      isDirty = true
    }
    agents[agent].report = report
    agents[agent].reportReceivedNs = nowNs
    agents[agent].heardNs = nowNs
    if agents[agent].presence != .present { returned(agent) }
    if report.isFull, old?.isFull != true { log(.agentFull(agents[agent].name)) }
    if agents[agent].unconfirmedOrder != 0, report.orderNumber >= agents[agent].unconfirmedOrder {
      agents[agent].unconfirmedOrder = 0
      agents[agent].resendAtNs = .max
    }
    for worker in report.workers { reported(worker, by: agent) }
    if report.isStopped { stop(.stopped, nowNs: nowNs) }
    dueOrder(agent)
  }

  private mutating func returned(_ agent: Int) {
    let isNew = agents[agent].lives.isEmpty && agents[agent].presence == .missing
    agents[agent].presence = .present
    agents[agent].wasClosed = false
    isDirty = true
    log(isNew ? .agentJoined(agents[agent].name) : .agentReturned(agents[agent].name))
    changeOrder(agent)
  }

  private mutating func reported(_ worker: Report.Worker, by agent: Int) {
    guard let life = knownLife(agent, worker: worker.slot, life: worker.life) else { return }
    let before = agents[agent].lives[life].reported
    if before == worker, agents[agent].current[Int(worker.slot)] == life { return }
    isDirty = true
    agents[agent].lives[life].reported = worker
    if let older = agents[agent].current[Int(worker.slot)], older != life {
      // The place has a new tenant, so the one before is dead, whatever it last said.
      agents[agent].lives[older].reported?.state = .dead
      releaseHolding(incarnation(agent, older))
    }
    agents[agent].current[Int(worker.slot)] = life
    let name = incarnation(agent, life)
    if before == nil, worker.state == .ready { log(.workerReady(name)) }
    if worker.state == .stalled, before?.state != .stalled { log(.workerStalled(name)) }
    switch worker.state {
    case .ready: adopted(name, agent, life, worker)
    case .stalled, .dead, .finished: releaseHolding(name)
    }
  }

  /// The connection is gone, or has been silent for too long.
  mutating func lost(_ agent: Int, wasClosed: Bool) {
    if wasClosed {
      agents[agent].peer = nil
      agents[agent].report = nil
      agents[agent].wasClosed = true
    }
    guard agents[agent].presence == .present else { return }
    agents[agent].presence = .missing
    isDirty = true
    log(.agentMissing(agents[agent].name))
  }

  mutating func left(_ agent: Int, peer: UInt64) {
    send(.farewell(Farewell()), to: peer)
    guard agents[agent].presence != .left else { return }
    agents[agent].presence = .left
    isDirty = true
    log(.agentLeft(agents[agent].name))
  }

  mutating func superviseAgents(nowNs: UInt64) {
    for agent in agents.indices {
      let heardNs = agents[agent].heardNs
      switch agents[agent].presence {
      case .present:
        if nowNs >= heardNs + silenceNs {
          lost(agent, wasClosed: false)
        } else {
          evaluate(atNs: heardNs + silenceNs)
        }
      case .missing:
        let goneNs =
          heardNs
          + (agents[agent].wasClosed ? settings.goneAfterCloseNs : settings.goneAfterNs)
        if nowNs >= goneNs {
          agents[agent].presence = .gone
          isDirty = true
          log(.agentGone(agents[agent].name))
        } else {
          evaluate(atNs: goneNs)
        }
      case .gone, .left: break
      }
      if agents[agent].resendAtNs != .max {
        if nowNs >= agents[agent].resendAtNs { dueOrder(agent) }
        evaluate(atNs: max(agents[agent].resendAtNs, nowNs + 1))
      }
    }
  }

  // MARK: Orders

  mutating func dueOrder(_ agent: Int) {
    guard !agents[agent].isOrderDue else { return }
    agents[agent].isOrderDue = true
    orderQueue.append(agent)
  }

  /// Marks that the agent is to hear something new, again and again until it says it has.
  mutating func changeOrder(_ agent: Int) {
    dueOrder(agent)
    agents[agent].unconfirmedOrder = agents[agent].orderNumber + 1
    agents[agent].resendAttempt = 0
  }

  mutating func changeOrders() {
    for agent in agents.indices { changeOrder(agent) }
  }

  mutating func sendOrders(nowNs: UInt64) {
    for agent in orderQueue {
      agents[agent].isOrderDue = false
      guard let peer = agents[agent].peer, let report = agents[agent].report else {
        agents[agent].resendAtNs = .max  // Its next report asks anew.
        continue
      }
      agents[agent].orderNumber += 1
      send(.order(order(for: agent, answering: report, nowNs: nowNs)), to: peer)
      guard agents[agent].unconfirmedOrder != 0 else { continue }
      let attempt = min(agents[agent].resendAttempt, 3)
      agents[agent].resendAttempt += 1
      agents[agent].resendAtNs = nowNs + settings.resendFirstNs << UInt64(attempt)
      evaluate(atNs: agents[agent].resendAtNs)
    }
    orderQueue.removeAll(keepingCapacity: true)
  }

  private mutating func order(for agent: Int, answering report: Report, nowNs: UInt64) -> Order {
    // To one that is missing nothing is granted any more: its next report asks anew.
    let leaseNs = agents[agent].presence == .present ? leaseNs : 0
    let phase: Order.Phase =
      switch stage {
      case .waiting, .preparing: .prepare
      case .running: .run
      case .collecting: .stop
      case .ended: hasEverything(of: agent) ? .end : .abandon
      }
    // The agent's lease runs from when it made the report, so it has ended by then on any clock that
    // is not slower than ours by more than the margin.
    let endNs = agents[agent].reportReceivedNs + leaseNs + leaseNs / 64
    agents[agent].leaseEndNs = max(agents[agent].leaseEndNs, endNs)
    return Order(
      number: agents[agent].orderNumber,
      echo: Order.Echo(
        reportNumber: report.number, reportSentNs: report.sentNs,
        reportReceivedNs: agents[agent].reportReceivedNs),
      sentNs: nowNs, leaseNs: leaseNs, phase: phase, startNs: startNs,
      epoch: dealing.deal?.epoch ?? 0, assignments: assignments(of: agent))
  }

  /// Short when somebody else could take over, whole when nobody could. Before the load there is none
  /// to keep up, and a whole lease given then would bind the share for as long.
  private var leaseNs: UInt64 {
    guard stage == .running else { return min(settings.leaseNs, silenceNs) }
    let taking = agents.lazy.filter { $0.presence == .present && !$0.lives.isEmpty }.prefix(2)
    return taking.count > 1 ? min(settings.leaseNs, silenceNs) : settings.leaseNs
  }
}

extension UInt64 {
  func subtractingSaturated(_ other: UInt64) -> UInt64 { self > other ? self - other : 0 }
}
