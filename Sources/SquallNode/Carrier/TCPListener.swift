internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
package import SquallCluster
internal import SquallEngine
package import SquallReport

/// The workers of any host, over TCP: the master's port, which takes agents' connections in.
///
/// Before it is authenticated a connection costs a channel and a frame of at most 4 KiB; the master's
/// machine bounds how many there are and how long they may take.
package final class TCPListener: Carrier {
  package struct Options: Sendable {
    package var host = "127.0.0.1"
    /// 0 lets the kernel choose.
    package var port = MasterAddress.standardPort
    package var security: TransportSecurity?
    package var statistics = StatisticsCarrier.tcp
    package var token: SharedToken?

    package init() {}
  }

  package enum Announcement: Sendable {
    case listening(MasterAddress)
    /// This address sent bytes that are no frames, or failed in the TLS handshake.
    case garbage(from: String, String)
  }

  private static let backlog: Int32 = 1_024
  /// Descriptors for the agents' limit, the strangers' and what else is open.
  private static let fileCount: UInt64 = 8_192

  private let state: NIOLoopBoundBox<State>
  private let eventLoop = NodeLoop.shared
  private let options: Options
  private let announce: @Sendable (Announcement) -> Void

  private struct State {
    /// Whose run connections join.
    var master: MasterHost?
    var channel: (any Channel)?
    var datagrams: DatagramPort?
  }

  package init(options: Options, announce: @escaping @Sendable (Announcement) -> Void) {
    self.options = options
    state = .makeBoxSendingValue(State(), eventLoop: eventLoop)
    self.announce = announce
  }

  package func fit(_ settings: inout MasterMachine.Settings) {}

  package func open(to master: MasterHost) async throws(Complaint) {
    ThisProcess.raiseDescriptorLimit(to: Self.fileCount)
    let bootstrap = ServerBootstrap(group: eventLoop)
      .serverChannelOption(.backlog, value: Self.backlog)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(
        .recvAllocator,
        value: AdaptiveRecvByteBufferAllocator(minimum: 512, initial: 1_024, maximum: 16_384)
      )
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try self.prepare(channel) }
      }
    var address = MasterAddress(host: options.host, port: options.port)
    do {
      try await eventLoop.submit { self.state.value.master = master }.get()
      let channel = try await bootstrap.bind(host: address.host, port: Int(address.port)).get()
      address.port = UInt16(channel.localAddress?.port ?? Int(address.port))
      try await eventLoop.submit { self.state.value.channel = channel }.get()
      if options.statistics == .udp {
        let datagrams = try await DatagramPort.bind(
          host: address.host, port: address.port, digests: .standard(token: options.token),
          on: eventLoop)
        try await eventLoop.submit { self.state.value.datagrams = datagrams.value }.get()
      }
    } catch {
      throw complaint(error)
    }
    announce(.listening(address))
  }

  /// Where it listens, once it does.
  package var port: UInt16? {
    get async {
      let port = eventLoop.submit { self.state.value.channel?.localAddress?.port }
      return (try? await port.get()).flatMap { $0 }.flatMap { UInt16(exactly: $0) }
    }
  }

  /// Hosts elsewhere are told, and not waited for.
  package func cut() async -> UInt64 { 0 }

  /// Hosts elsewhere know the run by its name.
  package func note(in facts: inout RunFacts, of record: RunRecord) {
    facts.take(record.head, run: record.run, startedAtNs: record.startedAtNs)
  }

  package var closing: [Closing.Part] {
    [Closing.Part("the workers' port", withinNs: 1_000_000_000) { await self.close() }]
  }

  /// Takes no more connections.
  private func close() async {
    let closed = eventLoop.flatSubmit {
      self.state.value.datagrams?.close()
      return self.state.value.channel?.close() ?? self.eventLoop.makeSucceededVoidFuture()
    }
    // Closed before is closed too.
    try? await closed.get()
  }

  private func complaint(_ error: any Error) -> Complaint {
    let address = MasterAddress(host: options.host, port: options.port)
    switch (error as? IOError)?.errnoCode {
    case EADDRINUSE:
      return .world(
        "\(address) is in use, perhaps by another master: end it, or give --master-bind-port.")
    case EADDRNOTAVAIL:
      return .world("--master-bind-host \(options.host) is no address of this host.")
    case EACCES:
      return .world(
        "port \(options.port) is reserved for root: give --master-bind-port above 1023.")
    default: return .world("cannot listen on \(address): \(error).")
    }
  }

  private func prepare(_ channel: any Channel) throws {
    guard let master = state.value.master else { return }
    if let security = options.security {
      try channel.pipeline.syncOperations.addHandler(security.serverHandler())
    }
    let caller = Caller(
      master: master, datagrams: state.value.datagrams, announce: announce)
    try channel.pipeline.syncOperations.addHandler(caller.stream)
  }
}

/// One connection at the master's end, on the master's loop.
private final class Caller {
  let stream = FrameStream()
  private let master: MasterHost
  private let datagrams: DatagramPort?
  private let announce: @Sendable (TCPListener.Announcement) -> Void
  private var number: UInt64?
  private var session: UInt64?

  init(
    master: MasterHost, datagrams: DatagramPort?,
    announce: @escaping @Sendable (TCPListener.Announcement) -> Void
  ) {
    self.master = master
    self.datagrams = datagrams
    self.announce = announce
    stream.report = { self.heard($0) }
  }

  private func heard(_ event: FrameStream.Event) {
    switch event {
    case .opened:
      guard number == nil else { return }
      let peer = TCPPeer(caller: NIOLoopBound(self, eventLoop: master.eventLoop))
      number = master.assumeIsolated { $0.connected(peer) }
    case .received(let message): received(message)
    case .closed(let ending):
      if let why = ending.suspicion {
        announce(.garbage(from: peerName, why))
      }
      forgetSession()
      if let number { master.assumeIsolated { $0.closed(peer: number) } }
    }
  }

  private var peerName: String {
    guard let address = stream.peerAddress, let host = address.ipAddress, let port = address.port
    else { return "an unknown address" }
    return MasterAddress(host: host, port: UInt16(clamping: port)).description
  }

  private func received(_ message: Message) {
    guard let number else { return }
    master.assumeIsolated { $0.received(message, from: number) }
  }

  func send(_ message: Message) {
    if message.fitsDatagram, let session, let datagrams, datagrams.send(message, in: session) {
      return
    }
    stream.send(message)
  }

  func joined(session: UInt64, keyText: [UInt8]) {
    stream.trust()
    self.session = session
    datagrams?.open(session, keyText: keyText) { [weak self] in self?.received($0) }
  }

  func close() {
    forgetSession()
    stream.close()
  }

  private func forgetSession() {
    if let session { datagrams?.close(session) }
    session = nil
  }
}

private struct TCPPeer: MasterHost.Peer {
  let caller: NIOLoopBound<Caller>

  func send(_ message: Message) { caller.value.send(message) }
  func joined(session: UInt64, keyText: [UInt8]) {
    caller.value.joined(session: session, keyText: keyText)
  }
  func close() { caller.value.close() }
}

extension FrameStream.Ending {
  fileprivate static func describe(handshake text: String) -> String {
    if text.contains("WRONG_VERSION_NUMBER") {
      return "it does not speak TLS: give the worker --tls-ca"
    }
    if text.contains("UNKNOWN_CA") {
      return "it does not trust our certificate: its --tls-ca is another authority"
    }
    return "the TLS handshake failed (\(text))"
  }

  /// What a person at the master should hear of; nil for what happens to every connection.
  fileprivate var suspicion: String? {
    switch self {
    case .finished: nil
    case .malformed(let malformed, let firstBytes):
      if firstBytes.count > 1, firstBytes[0] == 22, firstBytes[1] == 3 {
        "it speaks TLS and this master does not: start it with --tls-cert and --tls-key"
      } else {
        "its bytes are no frames (\(malformed))"
      }
    case .failed(let error):
      if case .handshakeFailed(let cause)? = error as? NIOSSLError {
        Self.describe(handshake: "\(cause)")
      } else {
        nil
      }
    }
  }
}
