package import NIOCore
internal import NIOPosix
internal import NIOSSL
package import SquallCluster

/// An agent's way to its master over TCP, and over UDP for what fits a datagram, if asked for.
package final class TCPLink: AgentHost.Link {
  private static let connectTime = TimeAmount.seconds(5)

  private struct State {
    var agent: AgentHost?
    /// Raised by each dialling and hanging up, so that what an earlier one still says is not heard.
    var attempt: UInt64 = 0
    var stream: FrameStream?
    var datagrams: DatagramLink?
  }

  package let master: MasterAddress
  private let security: TransportSecurity?
  private let statistics: StatisticsCarrier
  private let digests: Digests
  private let eventLoop: any EventLoop
  private let state: NIOLoopBoundBox<State>
  private let announce: @Sendable (String) -> Void

  /// `announce` gets sentences for people.
  package init(
    to master: MasterAddress, security: TransportSecurity?, statistics: StatisticsCarrier,
    digests: Digests, on eventLoop: any EventLoop, announce: @escaping @Sendable (String) -> Void
  ) {
    self.master = master
    self.security = security
    self.statistics = statistics
    self.digests = digests
    self.eventLoop = eventLoop
    self.announce = announce
    state = .makeBoxSendingValue(State(), eventLoop: eventLoop)
  }

  /// Says whose link this is, before the first `connect`.
  package func join(_ agent: AgentHost) {
    eventLoop.execute { self.state.value.agent = agent }
  }

  package func connect(afterNs: UInt64) {
    state.value.attempt += 1
    let attempt = state.value.attempt
    eventLoop.scheduleTask(in: .nanoseconds(Int64(clamping: afterNs))) { self.dial(attempt) }
  }

  private func dial(_ attempt: UInt64) {
    guard state.value.attempt == attempt else { return }
    ClientBootstrap(group: eventLoop)
      .connectTimeout(Self.connectTime)
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try self.prepare(channel, attempt: attempt) }
      }
      .connect(host: master.host, port: Int(master.port))
      .whenFailure { error in
        guard self.state.value.attempt == attempt, self.state.value.stream == nil else { return }
        self.tell(.closed(self.master.explain(error)))
      }
  }

  private func prepare(_ channel: any Channel, attempt: UInt64) throws {
    if let security {
      try channel.pipeline.syncOperations.addHandler(security.clientHandler(host: master.host))
    }
    let stream = FrameStream()
    stream.report = { [self, unowned stream] event in heard(event, on: stream, attempt: attempt) }
    // The master is trusted to size its frames: the plan comes in long ones.
    stream.trust()
    try channel.pipeline.syncOperations.addHandler(stream)
  }

  private func heard(_ event: FrameStream.Event, on stream: FrameStream, attempt: UInt64) {
    guard state.value.attempt == attempt else { return stream.close() }
    if case .opened = event, state.value.stream == nil {
      // Of several addresses of one name the first that answers is it.
      state.value.stream = stream
      return tell(.connected)
    }
    guard state.value.stream === stream else { return }
    switch event {
    case .opened: break
    case .received(let message): tell(.received(message))
    case .closed(.malformed(.version(let version), _)):
      // Frames of another version cannot be read, so neither can a refusal in one.
      var refusal = Refusal(build: "another squall", reason: .version)
      refusal.protocolVersion = UInt16(version)
      tell(.received(.refusal(refusal)))
    case .closed(let ending):
      hangUp()
      let isMute = !stream.hasSpoken && ending.isPlain
      tell(
        .closed(isMute ? master.explainMuteness(usesTLS: security != nil) : master.explain(ending)))
    }
  }

  private func tell(_ event: AgentHost.LinkEvent) {
    guard let agent = state.value.agent else { return }
    agent.assumeIsolated { $0.linkEvent(event) }
  }

  package func disconnect() {
    state.value.attempt += 1
    state.value.stream?.close()
    hangUp()
  }

  private func hangUp() {
    state.value.stream = nil
    state.value.datagrams?.close()
    state.value.datagrams = nil
  }

  package func send(_ message: Message) {
    if message.fitsDatagram, let datagrams = state.value.datagrams, datagrams.send(message) {
      return
    }
    state.value.stream?.send(message)
  }

  package func joined(session: UInt64, keyText: [UInt8]) {
    guard statistics == .udp, let address = state.value.stream?.peerAddress else { return }
    let attempt = state.value.attempt
    state.value.datagrams = DatagramLink(
      to: address, session: session, key: DatagramKey(keyText, digests: digests), on: eventLoop,
      receive: { [self] message in
        guard state.value.attempt == attempt else { return }
        tell(.received(message))
      },
      fallBack: { [announce, master] in
        announce(
          "no datagram comes back from \(master): statistics go over TCP; let UDP port "
            + "\(master.port) through, and start the master with --stats-transport udp")
      })
  }
}

/// What carries batches, ledgers and their acknowledgements. Everything else goes over TCP.
package enum StatisticsCarrier: String, Sendable {
  case tcp, udp
}
