import SquallCluster

/// Connections between agents' hosts and the master's, and all that can happen to a message on them.
struct Network {
  struct Connection {
    let agent: Int
    /// The master's life it was made to.
    let masterLife: Int
    var isOpenAtAgent = false
    var isOpenAtMaster = false
    /// When the last message of each direction arrives, for carriers that keep the order.
    var lastToMasterNs: UInt64 = 0
    var lastToAgentNs: UInt64 = 0
  }

  let swarm: Swarm
  var connections: [Connection] = []
  /// Until when nothing gets through, by agent.
  var cutToMasterNs: [UInt64] = []
  var cutToAgentNs: [UInt64] = []
  /// Until when messages wait, by agent.
  var clogNs: [UInt64] = []
  var isHealed = false

  init(swarm: Swarm) { self.swarm = swarm }

  mutating func addHost() {
    cutToMasterNs.append(0)
    cutToAgentNs.append(0)
    clogNs.append(0)
  }

  /// When a message that is sent now arrives, once for each of its copies; none when it is lost.
  mutating func arrivals(
    agent: Int, toMaster: Bool, nowNs: UInt64, dice: inout Dice
  ) -> [UInt64] {
    let cutNs = toMaster ? cutToMasterNs[agent] : cutToAgentNs[agent]
    if nowNs < cutNs { return [] }
    if !isHealed, dice.chance(swarm.loss) { return [] }
    let copies = !isHealed && dice.chance(swarm.duplication) ? 2 : 1
    return (0..<copies).map { _ in
      let delayNs = swarm.delayMinNs + UInt64(dice.exponential(Double(swarm.delayMeanNs)))
      return max(nowNs, clogNs[agent]) + delayNs
    }
  }

  func isCut(agent: Int, nowNs: UInt64) -> Bool {
    nowNs < cutToMasterNs[agent] || nowNs < cutToAgentNs[agent]
  }
}

extension Simulation {
  // MARK: Connecting

  func dial(_ agent: Int, attempt: Int) {
    guard agents[agent].isAlive, agents[agent].attempt == attempt, agents[agent].exit == nil else {
      return
    }
    let delayNs = swarm.delayMinNs + UInt64(dice.exponential(Double(swarm.delayMeanNs)))
    if network.isCut(agent: agent, nowNs: nowNs) {
      let event = Event.dialFailed(agent: agent, attempt: attempt, "timed out")
      return queue.add(event, atNs: nowNs + 2 * second)
    }
    guard master.machine != nil else {
      let event = Event.dialFailed(agent: agent, attempt: attempt, "refused")
      return queue.add(event, atNs: nowNs + 2 * delayNs)
    }
    network.connections.append(Network.Connection(agent: agent, masterLife: master.life))
    let connection = network.connections.count - 1
    agents[agent].connection = connection
    queue.add(.accepted(connection: connection), atNs: nowNs + delayNs)
    queue.add(.established(connection: connection), atNs: nowNs + 2 * delayNs)
  }

  func accepted(_ connection: Int) {
    guard network.connections[connection].masterLife == master.life, master.machine != nil else {
      return
    }
    network.connections[connection].isOpenAtMaster = true
    tellMaster(.connected(peer: UInt64(connection)))
  }

  func established(_ connection: Int) {
    let agent = network.connections[connection].agent
    guard agents[agent].isAlive, agents[agent].connection == connection else { return }
    guard network.connections[connection].masterLife == master.life, master.machine != nil else {
      agents[agent].connection = nil
      return tell(agent, .closed("reset"))
    }
    network.connections[connection].isOpenAtAgent = true
    tell(agent, .connected)
  }

  /// The agent's end closes: the master hears of it unless the network is cut.
  func closeAtAgent(_ connection: Int) {
    network.connections[connection].isOpenAtAgent = false
    let agent = network.connections[connection].agent
    guard nowNs >= network.cutToMasterNs[agent] else { return }
    queue.add(.endedAtMaster(connection: connection), atNs: nowNs + 1 + swarm.delayMinNs)
  }

  func closeAtMaster(_ connection: Int) {
    network.connections[connection].isOpenAtMaster = false
    let agent = network.connections[connection].agent
    guard nowNs >= network.cutToAgentNs[agent] else { return }
    // Behind what was sent before it.
    let atNs = max(nowNs, network.connections[connection].lastToAgentNs) + 1 + swarm.delayMinNs
    queue.add(.endedAtAgent(connection: connection), atNs: atNs)
  }

  func endedAtMaster(_ connection: Int) {
    guard network.connections[connection].isOpenAtMaster,
      network.connections[connection].masterLife == master.life
    else { return }
    network.connections[connection].isOpenAtMaster = false
    tellMaster(.closed(peer: UInt64(connection)))
  }

  func endedAtAgent(_ connection: Int) {
    let agent = network.connections[connection].agent
    guard agents[agent].connection == connection else { return }
    network.connections[connection].isOpenAtAgent = false
    agents[agent].connection = nil
    tell(agent, .closed("closed by the master"))
  }

  // MARK: Messages

  func send(_ message: Message, fromAgent agent: Int) {
    guard let connection = agents[agent].connection,
      network.connections[connection].isOpenAtAgent
    else { return }
    let arrivals = network.arrivals(agent: agent, toMaster: true, nowNs: nowNs, dice: &dice)
    for var atNs in arrivals {
      if swarm.isOrdered {
        atNs = max(atNs, network.connections[connection].lastToMasterNs + 1)
      }
      network.connections[connection].lastToMasterNs = max(
        atNs, network.connections[connection].lastToMasterNs)
      queue.add(
        .toMaster(connection: connection, message, isDamaged: isDamaging), atNs: atNs)
    }
  }

  func send(_ message: Message, fromMasterOver connection: Int) {
    guard network.connections[connection].isOpenAtMaster else { return }
    let agent = network.connections[connection].agent
    let arrivals = network.arrivals(agent: agent, toMaster: false, nowNs: nowNs, dice: &dice)
    for var atNs in arrivals {
      if swarm.isOrdered {
        atNs = max(atNs, network.connections[connection].lastToAgentNs + 1)
      }
      network.connections[connection].lastToAgentNs = max(
        atNs, network.connections[connection].lastToAgentNs)
      queue.add(.toAgent(connection: connection, message, isDamaged: isDamaging), atNs: atNs)
    }
  }

  private var isDamaging: Bool {
    swarm.corruption > 0 && !network.isHealed && dice.chance(swarm.corruption)
  }

  func deliver(_ message: Message, toMasterOver connection: Int, isDamaged: Bool) {
    let agent = network.connections[connection].agent
    guard network.connections[connection].masterLife == master.life,
      network.connections[connection].isOpenAtMaster
    else {
      // Nobody there knows the connection: the host answers with a reset.
      guard nowNs >= network.cutToAgentNs[agent] else { return }
      return queue.add(
        .endedAtAgent(connection: connection), atNs: nowNs + 1 + swarm.delayMinNs)
    }
    switch isDamaged ? damaged(message) : .success(message) {
    case .success(let message): tellMaster(.received(peer: UInt64(connection), message))
    case .failure:
      audit.damagedFrames += 1
      guard !message.fitsDatagram else { return }  // A datagram is dropped.
      network.connections[connection].isOpenAtMaster = false
      tellMaster(.closed(peer: UInt64(connection)))
      closeAtMaster(connection)
    }
  }

  func deliver(_ message: Message, toAgentOver connection: Int, isDamaged: Bool) {
    let agent = network.connections[connection].agent
    guard agents[agent].connection == connection,
      network.connections[connection].isOpenAtAgent
    else { return }
    switch isDamaged ? damaged(message) : .success(message) {
    case .success(let message): tell(agent, .received(message))
    case .failure:
      audit.damagedFrames += 1
      guard !message.fitsDatagram else { return }
      agents[agent].connection = nil
      closeAtAgent(connection)
      tell(agent, .closed("damaged frame"))
    }
  }

  /// The message as it comes out of its frame's bytes with a few of them changed.
  private func damaged(_ message: Message) -> Result<Message, Malformed> {
    var bytes = Frame(message, sequence: 1).bytes
    for _ in 0..<Int(dice.between(1, 3)) {
      bytes[dice.below(bytes.count)] ^= UInt8(1 << dice.below(8))
    }
    var reader = FrameReader(bodyByteCountMax: Frame.bodyByteCountMax)
    reader.faults = faults
    reader.append(bytes)
    do throws(Malformed) {
      guard let frame = try reader.next() else { return .failure(.truncated) }
      return .success(try frame.message)
    } catch {
      return .failure(error)
    }
  }
}
