internal import NIOCore
internal import NIOPosix
internal import SquallCluster

/// An agent's datagrams to its master, for the length of one session.
///
/// Until the first answer nobody knows whether datagrams pass, so after `patience` without one the
/// link takes no more, and all goes over TCP again.
final class DatagramLink: ChannelInboundHandler {
  typealias InboundIn = AddressedEnvelope<ByteBuffer>

  private static let patience = TimeAmount.seconds(3)
  private static let pendingByteCountMax = 1 << 20

  private let session: UInt64
  private let key: DatagramKey
  private let receive: (Message) -> Void
  private let fallBack: () -> Void
  private let address: SocketAddress
  private var channel: (any Channel)?
  private var outlet: Outlet?
  private var sequence: UInt32 = 0
  private var window = ReplayWindow()
  private var isClosed = false
  private var hasFailed = false
  /// When the oldest datagram went out that no answer has followed.
  private var unansweredSince: NIODeadline?

  /// On `eventLoop`, which also calls `receive` and, at most once, `fallBack`.
  init(
    to address: SocketAddress, session: UInt64, key: DatagramKey, on eventLoop: any EventLoop,
    receive: @escaping (Message) -> Void, fallBack: @escaping () -> Void
  ) {
    self.address = address
    self.session = session
    self.key = key
    self.receive = receive
    self.fallBack = fallBack
    let host = address.protocol == .inet6 ? "::" : "0.0.0.0"
    let this = NIOLoopBound(self, eventLoop: eventLoop)
    DatagramBootstrap(group: eventLoop)
      .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 2_048))
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(this.value)
        }
      }
      .bind(host: host, port: 0)
      .assumeIsolated()
      .whenComplete { [self] result in
        switch result {
        case .success(let channel):
          self.channel = channel
          outlet = Outlet(of: channel, pendingByteCountMax: Self.pendingByteCountMax)
          if isClosed { close() }
        case .failure: hasFailed = true
        }
      }
  }

  /// False when the message has to go another way.
  func send(_ message: Message) -> Bool {
    guard let outlet, !hasFailed, sequence < .max else { return false }
    if let unansweredSince, .now() - unansweredSince > Self.patience {
      hasFailed = true
      fallBack()
      return false
    }
    unansweredSince = unansweredSince ?? .now()
    sequence += 1
    let datagram = Datagram(
      frame: Frame(message, sequence: sequence), session: session, authenticate: key.sign)
    outlet.send(datagram.bytes, to: address)
    return true
  }

  func close() {
    isClosed = true
    guard let channel else { return }
    channel.eventLoop.execute { channel.close(promise: nil) }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let bytes = Array(unwrapInboundIn(data).data.readableBytesView)
    // Anybody can send to any port: what is not the master's is not even worth a word.
    guard !isClosed, let datagram = try? Datagram(bytes), datagram.session == session,
      key.isAuthentic(datagram), let frame = try? datagram.open(), window.accept(frame.sequence),
      let message = try? frame.message, message.fitsDatagram
    else { return }
    unansweredSince = nil
    receive(message)
  }

  /// An ICMP answer such as "port unreachable" is not the end: it may come from a master that is
  /// being restarted, and silence is what decides.
  func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
