/// The connection to the master: dialing, greeting, heartbeats, giving up on silence.
extension AgentMachine {
  enum Link: Equatable {
    case down
    case dialing
    case greeting
    case joined
  }

  /// What is forgotten when the connection ends.
  struct Session {
    var nonce: [UInt8] = []
    var masterNonce: [UInt8] = []
    var hello: Hello?
    var proof: Proof?
    var sinceNs: UInt64 = 0
    var heartbeatIntervalNs: UInt64 = 1_000_000_000
    var liveness: UInt8 = 3
    var reportNumber: UInt32 = 0
    var orderNumber: UInt32 = 0
    var heardNs: UInt64 = 0
    var lastReportNs: UInt64 = 0
    /// Something changed that no report has said yet.
    var isReportDue = false
    /// The first report that says the newest change, or just that we live; 0 when it was answered.
    var unconfirmedReport: UInt32 = 0
    var resendAtNs: UInt64 = .max
    var resendAttempt = 0
    var goodbyeCount = 0
    var goodbyeAtNs: UInt64 = 0
  }

  mutating func dial(afterNs: UInt64) {
    link = .dialing
    effects.append(.connect(afterNs: afterNs))
  }

  mutating func connected(nowNs: UInt64) {
    guard link == .dialing else { return }
    link = .greeting
    session = Session()
    session.sinceNs = nowNs
    session.heardNs = nowNs
    session.nonce = nonce()
    let hello = Hello(
      build: settings.build, agent: settings.agent, host: settings.host,
      process: settings.process, cpus: settings.cpus, nonce: session.nonce, run: part.run,
      planHash: part.plan.isComplete ? part.plan.hash : [])
    session.hello = hello
    send(.hello(hello))
    armResend(nowNs: nowNs)
  }

  mutating func closed(_ why: String, nowNs: UInt64) {
    guard link != .down else { return }
    let wasJoined = link == .joined
    link = .down
    outbox.forgetArrivals()
    part.plan.forgetRequests()
    if lostSinceNs == nil { lostSinceNs = nowNs }
    log(wasJoined ? .masterLost(why) : .unreachable(why, attempt: connectAttempt + 1))
    dial(
      afterNs: jitter.backoffNs(
        attempt: connectAttempt, firstNs: settings.connectFirstNs, lastNs: settings.connectLastNs))
    connectAttempt += 1
  }

  mutating func received(_ message: Message, nowNs: UInt64) {
    guard link == .greeting || link == .joined else { return }
    switch message {
    case .challenge(let challenge): challenged(challenge, nowNs: nowNs)
    case .welcome(let welcome): welcomed(welcome, nowNs: nowNs)
    case .refusal(let refusal): refused(refusal, nowNs: nowNs)
    case .planChunk(let chunk) where link == .joined: planChunk(chunk, nowNs: nowNs)
    case .order(let order) where link == .joined: ordered(order, nowNs: nowNs)
    case .acknowledgement(let acknowledgement) where link == .joined:
      session.heardNs = nowNs
      outbox.acknowledged(acknowledgement, agent: settings.agent, nowNs: nowNs)
    case .farewell where link == .joined && session.goodbyeCount > 0: exit(.delivered)
    default: break  // Not for us, or not now: a late or repeated frame.
    }
  }

  /// Unpredictable without the token, when there is one.
  private mutating func nonce() -> [UInt8] {
    let bytes = jitter.bytes(Hello.nonceByteCount)
    guard let authenticate = settings.digests.authenticate else { return bytes }
    return Array(authenticate(Array("squall nonce".utf8) + bytes).prefix(Hello.nonceByteCount))
  }

  private mutating func challenged(_ challenge: Challenge, nowNs: UInt64) {
    guard link == .greeting else { return }
    guard let authenticate = settings.digests.authenticate,
      Authentication.areEqual(
        challenge.proof,
        authenticate(
          Authentication.masterText(agentNonce: session.nonce, masterNonce: challenge.nonce)))
    else {
      log(.masterUnauthentic)
      effects.append(.disconnect)
      return closed("the master's token is not ours", nowNs: nowNs)
    }
    session.masterNonce = challenge.nonce
    let proof = Proof(
      proof: authenticate(
        Authentication.agentText(agentNonce: session.nonce, masterNonce: challenge.nonce)))
    session.proof = proof
    send(.proof(proof))
    armResend(nowNs: nowNs)
  }

  private mutating func welcomed(_ welcome: Welcome, nowNs: UInt64) {
    guard link == .greeting else { return }
    guard settings.digests.authenticate == nil || session.proof != nil else {
      // A master that asks for no proof has given none either.
      log(.masterUnauthentic)
      effects.append(.disconnect)
      return closed("the master has no token", nowNs: nowNs)
    }
    link = .joined
    connectAttempt = 0
    lostSinceNs = nil
    session.heardNs = nowNs
    session.heartbeatIntervalNs = max(1, welcome.heartbeatIntervalNs)
    session.liveness = max(1, welcome.liveness)
    session.resendAtNs = .max
    session.isReportDue = true
    effects.append(
      .joined(
        session: welcome.session,
        keyText: Authentication.datagramText(
          agentNonce: session.nonce, masterNonce: session.masterNonce)))
    log(.joined)
  }

  private mutating func refused(_ refusal: Refusal, nowNs: UInt64) {
    log(.refused(refusal))
    switch refusal.reason {
    case .full:
      effects.append(.disconnect)
      closed("the master has no room", nowNs: nowNs)
    case .version, .token, .otherRun, .otherPlan, .runOver:
      if outbox.isEmpty { exit(.refused(refusal)) } else { giveUp() }
    }
  }

  /// Timers of the connection.
  mutating func superviseLink(nowNs: UInt64) {
    switch link {
    case .down, .dialing: break
    case .greeting:
      guard nowNs < session.sinceNs + settings.handshakeNs else {
        effects.append(.disconnect)
        closed("no answer to our hello", nowNs: nowNs)
        return
      }
      if nowNs >= session.resendAtNs {
        if let proof = session.proof {
          send(.proof(proof))
        } else if let hello = session.hello {
          send(.hello(hello))
        }
        armResend(nowNs: nowNs)
      }
      wake(atNs: session.sinceNs + settings.handshakeNs)
      wake(atNs: session.resendAtNs)
    case .joined:
      let silenceNs = session.heartbeatIntervalNs * UInt64(session.liveness)
      guard nowNs < session.heardNs + silenceNs else {
        effects.append(.disconnect)
        closed("no word from the master", nowNs: nowNs)
        return
      }
      wake(atNs: session.heardNs + silenceNs)
      requestPlan(nowNs: nowNs)
    }
  }

  /// An agent that itself was stopped has heard nothing, and that is not the master's silence.
  mutating func notice(sleptUntilNs nowNs: UInt64) {
    defer { lastNs = nowNs }
    let intervalNs = session.heartbeatIntervalNs
    guard link == .joined, let lastNs, nowNs > lastNs, nowNs - lastNs > intervalNs * 3 / 2 else {
      return
    }
    let silenceNs = intervalNs * UInt64(session.liveness)
    session.heardNs = max(session.heardNs, nowNs.subtractingSaturated(silenceNs - intervalNs))
  }

  func resendDelayNs(attempt: Int) -> UInt64 {
    min(settings.resendLastNs, settings.resendFirstNs << UInt64(min(attempt, 10)))
  }

  private mutating func armResend(nowNs: UInt64) {
    session.resendAtNs = nowNs + resendDelayNs(attempt: session.resendAttempt)
    session.resendAttempt += 1
  }

  /// The heartbeat: due each interval, at once after a change, and again until it is answered.
  mutating func reportIfDue(nowNs: UInt64) {
    guard link == .joined else { return }
    let heartbeatNs = session.lastReportNs + session.heartbeatIntervalNs
    if session.isReportDue || session.reportNumber == 0 || nowNs >= heartbeatNs
      || nowNs >= session.resendAtNs
    {
      session.reportNumber += 1
      if session.isReportDue || session.unconfirmedReport == 0 {
        session.unconfirmedReport = session.reportNumber
        session.resendAttempt = 0
        session.isReportDue = false
      }
      session.lastReportNs = nowNs
      armResend(nowNs: nowNs)
      send(.report(report(nowNs: nowNs)))
    }
    wake(atNs: session.lastReportNs + session.heartbeatIntervalNs)
    wake(atNs: session.resendAtNs)
  }

  /// The master has seen report `number`.
  mutating func confirmed(_ number: UInt32) {
    guard session.unconfirmedReport != 0, number >= session.unconfirmedReport else { return }
    session.unconfirmedReport = 0
    session.resendAtNs = .max
  }

  private func report(nowNs: UInt64) -> Report {
    Report(
      number: session.reportNumber, sentNs: nowNs, orderNumber: session.orderNumber, run: part.run,
      runNs: part.startLocalNs.flatMap { nowNs >= $0 ? nowNs - $0 : nil },
      isPlanReady: part.plan.isComplete, isLeaving: isLeaving, isFull: isFull,
      isStopped: part.isStopping,
      workers: slots.indices.compactMap { slots[$0].report(slot: $0) })
  }
}
