import SquallCluster
import SquallLoad

extension Simulation {
  func inflict(_ fault: Swarm.Fault) {
    guard !network.isHealed else { return }
    trace("fault \(fault)")
    switch fault {
    case .killWorker(let agent, let slot):
      let agent = pick(agent)
      killWorker(agent, slot % agents[agent].workers.count)
    case .pauseWorker(let agent, let slot, let forNs):
      let agent = pick(agent)
      let place = slot % agents[agent].workers.count
      guard let life = agents[agent].workers[place]?.incarnation.life else { return }
      pauseWorker(agent, place)
      queue.add(.workerResumes(agent: agent, slot: place, life: life), atNs: nowNs + forNs)
    case .killAgent(let agent): killAgent(pick(agent))
    case .pauseAgent(let agent, let forNs):
      pauseAgent(pick(agent), forNs: forNs, withHost: false)
    case .pauseHost(let agent, let forNs):
      pauseAgent(pick(agent), forNs: forNs, withHost: true)
    case .leave(let agent):
      let agent = pick(agent)
      guard !agents[agent].hasLeft,
        agents.count(where: { $0.isAlive && $0.exit == nil && !$0.hasLeft }) > 1
      else { return }
      agents[agent].hasLeft = true
      tell(agent, .leave)
    case .join: queue.add(.agentJoins, atNs: nowNs)
    case .killMaster(let forNs): killMaster(restartAfterNs: forNs)
    case .pauseMaster(let forNs, let clockStops):
      pauseMaster(forNs: forNs, clockStops: clockStops)
    case .cutConnection(let agent):
      let agent = pick(agent)
      guard let connection = agents[agent].connection else { return }
      closeAtAgent(connection)
      endedAtAgent(connection)
    case .partition(let agent, let toMaster, let toAgent, let forNs):
      let agent = pick(agent)
      if toMaster { network.cutToMasterNs[agent] = nowNs + forNs }
      if toAgent { network.cutToAgentNs[agent] = nowNs + forNs }
    case .partitionAll(let forNs):
      for agent in agents.indices {
        network.cutToMasterNs[agent] = nowNs + forNs
        network.cutToAgentNs[agent] = nowNs + forNs
      }
    case .clog(let agent, let forNs): network.clogNs[pick(agent)] = nowNs + min(forNs, 5 * second)
    case .slowDisk(let forNs):
      master.diskFactor = dice.between(10, 300)
      queue.add(.diskRecovers, atNs: nowNs + forNs)
    case .clockJump(let agent, let byNs): jump(pick(agent), byNs: byNs)
    case .stop: tellMaster(.stop)
    }
  }

  /// Somebody asks for another load. Without faults all workers have to have it within a heartbeat and
  /// half a second.
  func edit(_ index: Int) {
    let edit = swarm.edits[index]
    var change = LoadChange()
    if swarm.plans[master.runIndex].load == .closed {
      change.connections = edit.connections
    } else {
      change.rateHz = edit.rateHz
    }
    guard let machine = master.machine, !master.isPaused, machine.refusal(of: change) == nil else {
      return
    }
    trace("edit \(change)")
    audit.edited(index, change, self)
    tellMaster(.change(change))
    queue.add(
      .editDue(index), atNs: nowNs + swarm.heartbeatIntervalNs + 500 * millisecond)
  }

  private func pick(_ agent: Int) -> Int { agent % agents.count }

  /// A host's clock can only be stepped forward. Everything that waits for it comes sooner.
  private func jump(_ agent: Int, byNs: UInt64) {
    for slot in agents[agent].workers.indices { advance(agent, slot) }
    agents[agent].clock.jump(byNs: byNs)
    for slot in agents[agent].workers.indices { advance(agent, slot) }
    audit.sharesChanged = true
    for index in audits.indices { audits[index].hasClockJumped = true }
    tell(agent, .tick)
  }

  /// The faults are over. From here on everything must come to a good end.
  func heal() {
    network.isHealed = true
    for index in audits.indices { audits[index].healedNs = nowNs }
    recoverDisk()
    for agent in agents.indices {
      network.cutToMasterNs[agent] = 0
      network.cutToAgentNs[agent] = 0
      network.clogNs[agent] = 0
      resumeAgent(agent, withHost: agents[agent].isHostPaused)
      for slot in agents[agent].workers.indices {
        if let life = agents[agent].workers[slot]?.incarnation.life {
          resumeWorker(agent, slot, life: life)
        }
      }
    }
    resumeMaster()
    if master.machine == nil { startMaster() }
    if !agents.contains(where: { $0.isAlive && $0.exit == nil }) { addAgent(workers: 2) }
  }

  /// Fewer workers are left than were waited for: somebody starts the run by hand.
  func lastResort() { tellMaster(.start) }
}
