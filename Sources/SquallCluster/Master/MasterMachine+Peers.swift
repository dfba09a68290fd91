/// Connections: who they are, and what they may cost before that is known.
extension MasterMachine {
  mutating func connected(_ peer: UInt64, nowNs: UInt64) {
    fleet.peers[peer] = Fleet.Peer(sinceNs: nowNs)
    fleet.strangers.append(peer)
    if fleet.strangers.count > settings.strangersMax { drop(fleet.strangers[0]) }
  }

  mutating func closed(_ peer: UInt64, nowNs: UInt64) {
    guard let state = fleet.peers[peer]?.state else { return }
    fleet.forget(peer)
    if case .joined(let agent) = state { lost(agent, wasClosed: true) }
  }

  mutating func received(_ message: Message, from peer: UInt64, nowNs: UInt64) {
    guard let state = fleet.peers[peer]?.state else { return }
    switch (state, message) {
    case (_, .hello(let hello)): greeted(hello, by: peer, nowNs: nowNs)
    case (.challenged, .proof(let proof)): proved(proof, by: peer, nowNs: nowNs)
    case (.joined(let agent), .planRequest(let request)):
      answer(request, of: peer)
      fleet[agent].heardNs = nowNs
    case (.joined(let agent), .report(let report)): reported(report, by: agent, nowNs: nowNs)
    case (.joined(let agent), .batchPart(let part)): arrived(part, from: agent, nowNs: nowNs)
    case (.joined(let agent), .ledger(let ledger, let run)):
      arrived(ledger, of: run, from: agent, nowNs: nowNs)
    case (.joined(let agent), .goodbye): left(agent, peer: peer)
    default: break  // Not for us, or not now: a late or repeated frame.
    }
  }

  /// Closes a connection for the peer's fault or ours.
  mutating func drop(_ peer: UInt64) {
    let state = fleet.peers[peer]?.state
    fleet.forget(peer)
    effects.append(.close(peer: peer))
    if case .joined(let agent)? = state { lost(agent, wasClosed: true) }
  }

  private mutating func greeted(_ hello: Hello, by peer: UInt64, nowNs: UInt64) {
    guard let known = fleet.peers[peer] else { return }
    if let first = known.hello, first != hello { return }  // One connection, one name.
    fleet.peers[peer]?.hello = hello
    guard hello.protocolVersion == Hello.protocolVersion else {
      return refuse(peer, hello, .version)
    }
    if let welcome = known.welcome { return send(.welcome(welcome), to: peer) }
    guard let authenticate = settings.digests.authenticate else {
      return admit(hello, peer: peer, nowNs: nowNs)
    }
    if known.nonce.isEmpty {
      fleet.peers[peer]?.nonce = Array(
        authenticate(Array("squall nonce".utf8) + jitter.bytes(Hello.nonceByteCount))
          .prefix(Hello.nonceByteCount))
    }
    fleet.peers[peer]?.state = .challenged
    let nonce = fleet.peers[peer]?.nonce ?? []
    let text = Authentication.masterText(agentNonce: hello.nonce, masterNonce: nonce)
    send(.challenge(Challenge(nonce: nonce, proof: authenticate(text))), to: peer)
  }

  private mutating func proved(_ proof: Proof, by peer: UInt64, nowNs: UInt64) {
    guard let known = fleet.peers[peer], let hello = known.hello,
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
    let known = fleet.index(of: hello.agent)
    if hello.run == run.name, hello.run != 0 {
      guard hello.planHash.isEmpty || hello.planHash == run.planHash else {
        return refuse(peer, hello, .otherPlan)
      }
    } else if hello.run != 0, !past.contains(where: { $0.run == hello.run }) {
      return refuse(peer, hello, .otherRun)
    }
    if known == nil {
      if fleet.isClosing, run.stage == .collecting || run.hasEnded {
        return refuse(peer, hello, .runOver)
      }
      if fleet.count >= settings.agentsMax { return refuse(peer, hello, .full) }
    }
    let agent = known ?? fleet.add(AgentName(hello), heardNs: nowNs)
    if known == nil || fleet[agent].name != AgentName(hello) {
      fleet[agent].name = AgentName(hello)
      intake.admit(agent, placeCount: hello.cpus.count)
      note(agent)
    }
    if let old = fleet[agent].peer { supersede(old) }
    fleet.attach(agent, to: peer)
    fleet.trust(peer)
    let welcome = Welcome(
      session: jitter.next(), heartbeatIntervalNs: settings.heartbeatIntervalNs,
      liveness: settings.liveness)
    fleet.peers[peer]?.state = .joined(agent)
    fleet.peers[peer]?.welcome = welcome
    let keyText = Authentication.datagramText(
      agentNonce: hello.nonce, masterNonce: fleet.peers[peer]?.nonce ?? [])
    effects.append(.joined(peer: peer, session: welcome.session, keyText: keyText))
    send(.welcome(welcome), to: peer)
  }

  /// The agent has come back over another connection before we saw the first one end.
  private mutating func supersede(_ old: UInt64) {
    fleet.forget(old)
    effects.append(.close(peer: old))
  }

  /// For people, in the record of the run there is.
  mutating func note(_ agent: AgentIndex) {
    guard run.stage != .idle, run.outcome == nil else { return }
    record(.agent(fleet[agent].name), .note)
  }

  private mutating func answer(_ request: PlanRequest, of peer: UInt64) {
    guard request.run == run.name, let chunk = run.chunk(request.chunk) else { return }
    send(.planChunk(chunk), to: peer)
  }

  mutating func supervisePeers(nowNs: UInt64) {
    while let oldest = fleet.strangers.first, let sinceNs = fleet.peers[oldest]?.sinceNs {
      guard nowNs >= sinceNs + settings.handshakeNs else {
        return wake(atNs: sinceNs + settings.handshakeNs)
      }
      drop(oldest)
    }
  }
}

extension AgentName {
  init(_ hello: Hello) {
    self.init(
      agent: hello.agent, host: hello.host, process: hello.process, build: hello.build,
      cpus: hello.cpus)
  }
}
