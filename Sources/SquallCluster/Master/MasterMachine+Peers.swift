/// Connections: who they are, and what they may cost before that is known.
extension MasterMachine {
  mutating func connected(_ peer: UInt64, nowNs: UInt64) {
    peers[peer] = Peer(sinceNs: nowNs)
    strangers.append(peer)
    if strangers.count > settings.strangersMax { drop(strangers[0]) }
  }

  mutating func closed(_ peer: UInt64, nowNs: UInt64) {
    guard let state = peers[peer]?.state else { return }
    forget(peer)
    if case .joined(let agent) = state { lost(agent, wasClosed: true) }
  }

  mutating func received(_ message: Message, from peer: UInt64, nowNs: UInt64) {
    guard let state = peers[peer]?.state else { return }
    switch (state, message) {
    case (_, .hello(let hello)): greeted(hello, by: peer, nowNs: nowNs)
    case (.challenged, .proof(let proof)): proved(proof, by: peer, nowNs: nowNs)
    case (.joined(let agent), .planRequest(let request)):
      answer(request, of: peer)
      agents[agent].heardNs = nowNs
    case (.joined(let agent), .report(let report)): reported(report, by: agent, nowNs: nowNs)
    case (.joined(let agent), .batchPart(let part)): arrived(part, from: agent, nowNs: nowNs)
    case (.joined(let agent), .ledger(let ledger)): arrived(ledger, from: agent, nowNs: nowNs)
    case (.joined(let agent), .goodbye): left(agent, peer: peer)
    default: break  // Not for us, or not now: a late or repeated frame.
    }
  }

  /// Closes a connection for the peer's fault or ours.
  mutating func drop(_ peer: UInt64) {
    let state = peers[peer]?.state
    forget(peer)
    effects.append(.close(peer: peer))
    if case .joined(let agent)? = state { lost(agent, wasClosed: true) }
  }

  private mutating func forget(_ peer: UInt64) {
    peers[peer] = nil
    if let index = strangers.firstIndex(of: peer) { strangers.remove(at: index) }
  }

  private mutating func greeted(_ hello: Hello, by peer: UInt64, nowNs: UInt64) {
    guard let known = peers[peer] else { return }
    if let first = known.hello, first != hello { return }  // One connection, one name.
    peers[peer]?.hello = hello
    guard hello.protocolVersion == Hello.protocolVersion else {
      return refuse(peer, hello, .version)
    }
    if let welcome = known.welcome { return send(.welcome(welcome), to: peer) }
    guard let authenticate = settings.digests.authenticate else {
      return admit(hello, peer: peer, nowNs: nowNs)
    }
    if known.nonce.isEmpty {
      peers[peer]?.nonce = Array(
        authenticate(Array("squall nonce".utf8) + jitter.bytes(Hello.nonceByteCount))
          .prefix(Hello.nonceByteCount))
    }
    peers[peer]?.state = .challenged
    let nonce = peers[peer]?.nonce ?? []
    let text = Authentication.masterText(agentNonce: hello.nonce, masterNonce: nonce)
    send(.challenge(Challenge(nonce: nonce, proof: authenticate(text))), to: peer)
  }

  private mutating func proved(_ proof: Proof, by peer: UInt64, nowNs: UInt64) {
    guard let known = peers[peer], let hello = known.hello,
      let authenticate = settings.digests.authenticate
    else { return }
    let text = Authentication.agentText(agentNonce: hello.nonce, masterNonce: known.nonce)
    guard Authentication.areEqual(proof.proof, authenticate(text)) else {
      return refuse(peer, hello, .token)
    }
    admit(hello, peer: peer, nowNs: nowNs)
  }

  private mutating func refuse(_ peer: UInt64, _ hello: Hello, _ reason: Refusal.Reason) {
    log(.agentRefused(AgentName(hello), reason))
    send(.refusal(Refusal(build: settings.build, reason: reason)), to: peer)
    drop(peer)
  }

  /// The peer is who it says it is; whether it may take part is the rest of the question.
  private mutating func admit(_ hello: Hello, peer: UInt64, nowNs: UInt64) {
    let index = agentIndex[hello.agent]
    if hello.run != 0, hello.run != settings.run { return refuse(peer, hello, .otherRun) }
    if !hello.planHash.isEmpty, hello.planHash != planHash {
      return refuse(peer, hello, .otherPlan)
    }
    if index == nil {
      if stage == .collecting || stage == .ended { return refuse(peer, hello, .runOver) }
      if agents.count >= settings.agentsMax { return refuse(peer, hello, .full) }
    }
    let agent = index ?? add(AgentName(hello), nowNs: nowNs)
    if agents[agent].name != AgentName(hello) { rename(agent, AgentName(hello)) }
    if let old = agents[agent].peer { supersede(old) }
    agents[agent].peer = peer
    if agents[agent].presence == .left { agents[agent].presence = .missing }
    agents[agent].report = nil
    agents[agent].orderNumber = 0
    agents[agent].unconfirmedOrder = 0
    agents[agent].resendAtNs = .max
    if let stranger = strangers.firstIndex(of: peer) { strangers.remove(at: stranger) }
    let welcome = Welcome(
      run: settings.run, session: jitter.next(), planHash: planHash,
      planByteCount: UInt32(planBytes.count), heartbeatIntervalNs: settings.heartbeatIntervalNs,
      liveness: settings.liveness)
    peers[peer]?.state = .joined(agent: agent)
    peers[peer]?.welcome = welcome
    let keyText = Authentication.datagramText(
      agentNonce: hello.nonce, masterNonce: peers[peer]?.nonce ?? [])
    effects.append(.joined(peer: peer, session: welcome.session, keyText: keyText))
    send(.welcome(welcome), to: peer)
  }

  /// The agent has come back over another connection before we saw the first one end.
  private mutating func supersede(_ old: UInt64) {
    forget(old)
    effects.append(.close(peer: old))
  }

  private mutating func add(_ name: AgentName, nowNs: UInt64) -> Int {
    agentIndex[name.agent] = agents.count
    agents.append(Agent(name: name, heardNs: nowNs))
    record(.agent(name), .note)
    return agents.count - 1
  }

  private mutating func rename(_ agent: Int, _ name: AgentName) {
    agents[agent].name = name
    while agents[agent].current.count < name.cpus.count { agents[agent].current.append(nil) }
    record(.agent(name), .note)
  }

  private mutating func answer(_ request: PlanRequest, of peer: UInt64) {
    let start = Int(request.chunk) * PlanChunk.byteCount
    guard start < planBytes.count else { return }
    let end = min(planBytes.count, start + PlanChunk.byteCount)
    send(
      .planChunk(PlanChunk(chunk: request.chunk, bytes: Array(planBytes[start..<end]))), to: peer)
  }

  mutating func supervisePeers(nowNs: UInt64) {
    while let oldest = strangers.first, let sinceNs = peers[oldest]?.sinceNs {
      guard nowNs >= sinceNs + settings.handshakeNs else {
        return wake(atNs: sinceNs + settings.handshakeNs)
      }
      drop(oldest)
    }
  }
}

extension AgentName {
  init(_ hello: Hello) {
    self.init(agent: hello.agent, host: hello.host, build: hello.build, cpus: hello.cpus)
  }
}
