internal import CSquall
internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
package import SquallCluster

/// The master's port: takes agents' connections in and gives them to the run's master.
///
/// Before it is authenticated a connection costs a channel and a frame of at most 4 KiB; the master's
/// machine bounds how many there are and how long they may take.
package final class TCPListener: Sendable {
  package enum Announcement: Sendable {
    /// This address sent bytes that are no frames, or failed in the TLS handshake.
    case garbage(from: String, String)
  }

  private static let backlog: Int32 = 1_024
  /// Descriptors for the agents' limit, the strangers' and what else is open.
  private static let fileCount: UInt64 = 8_192

  private let state: NIOLoopBoundBox<State>
  private let eventLoop: any EventLoop
  private let security: TransportSecurity?
  private let announce: @Sendable (Announcement) -> Void

  private struct State {
    /// Whose run new connections join.
    var master: MasterHost
    var channel: (any Channel)?
    var datagrams: DatagramPort?
  }

  package init(
    for master: MasterHost, security: TransportSecurity?,
    announce: @escaping @Sendable (Announcement) -> Void
  ) {
    eventLoop = master.eventLoop
    state = .makeBoxSendingValue(State(master: master), eventLoop: eventLoop)
    self.security = security
    self.announce = announce
  }

  /// Listens. Returns the port, which the kernel chooses when it is given as 0.
  package func bind(
    host: String, port: UInt16, statistics: StatisticsCarrier, digests: Digests
  ) async throws(Complaint) -> UInt16 {
    _ = squall_files_raise(Self.fileCount)
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
    let bound: UInt16
    do {
      let channel = try await bootstrap.bind(host: host, port: Int(port)).get()
      bound = UInt16(channel.localAddress?.port ?? Int(port))
      try await eventLoop.submit { self.state.value.channel = channel }.get()
      if statistics == .udp {
        let datagrams = try await DatagramPort.bind(
          host: host, port: bound, digests: digests, on: eventLoop)
        try await eventLoop.submit { self.state.value.datagrams = datagrams.value }.get()
      }
    } catch {
      throw Self.complaint(error, host: host, port: port)
    }
    return bound
  }

  /// From now on new connections join this master's run.
  package func serve(_ master: MasterHost) { state.value.master = master }

  /// Takes no more connections.
  package func close() {
    eventLoop.execute {
      self.state.value.channel?.close(promise: nil)
      self.state.value.datagrams?.close()
    }
  }

  private static func complaint(_ error: any Error, host: String, port: UInt16) -> Complaint {
    let address = MasterAddress(host: host, port: port)
    switch (error as? IOError)?.errnoCode {
    case EADDRINUSE:
      return .world(
        "\(address) is in use, perhaps by another master: end it, or give --master-bind-port.")
    case EADDRNOTAVAIL:
      return .world("--master-bind-host \(host) is no address of this host.")
    case EACCES:
      return .world("port \(port) is reserved for root: give --master-bind-port above 1023.")
    default: return .world("cannot listen on \(address): \(error).")
    }
  }

  private func prepare(_ channel: any Channel) throws {
    if let security { try channel.pipeline.syncOperations.addHandler(security.serverHandler()) }
    let caller = Caller(
      master: state.value.master, datagrams: state.value.datagrams, announce: announce)
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
