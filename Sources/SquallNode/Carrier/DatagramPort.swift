internal import NIOCore
internal import NIOPosix
internal import SquallCluster

/// The master's UDP port: takes the datagrams of the sessions it was told of, and drops all others.
final class DatagramPort: ChannelInboundHandler {
  typealias InboundIn = AddressedEnvelope<ByteBuffer>

  private static let pendingByteCountMax = 4 << 20
  /// As far as net.core.rmem_max lets it. A burst of 256 parts from each of some agents fits.
  private static let receiveBufferByteCount: Int32 = 4 << 20

  private struct Session {
    var key: DatagramKey
    var receive: (Message) -> Void
    var window = ReplayWindow()
    /// Where its last authentic datagram came from; nil before the first.
    var address: SocketAddress?
    var sequence: UInt32 = 0
  }

  private let digests: Digests
  private var sessions: [UInt64: Session] = [:]
  private var channel: (any Channel)?
  private var outlet: Outlet?

  private init(digests: Digests) { self.digests = digests }

  static func bind(
    host: String, port: UInt16, digests: Digests, on eventLoop: any EventLoop
  ) async throws -> NIOLoopBound<DatagramPort> {
    let this = try await eventLoop.submit {
      NIOLoopBound(DatagramPort(digests: digests), eventLoop: eventLoop)
    }.get()
    _ = try await DatagramBootstrap(group: eventLoop)
      .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 2_048))
      .channelOption(
        .socketOption(.so_rcvbuf), value: SocketOptionValue(Self.receiveBufferByteCount)
      )
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          this.value.channel = channel
          this.value.outlet = Outlet(of: channel, pendingByteCountMax: pendingByteCountMax)
          try channel.pipeline.syncOperations.addHandler(this.value)
        }
      }
      .bind(host: host, port: Int(port)).get()
    return this
  }

  func open(_ session: UInt64, keyText: [UInt8], receive: @escaping (Message) -> Void) {
    sessions[session] = Session(key: DatagramKey(keyText, digests: digests), receive: receive)
  }

  func close(_ session: UInt64) { sessions[session] = nil }

  func close() {
    guard let channel else { return }
    channel.eventLoop.execute { channel.close(promise: nil) }
  }

  /// False when the message has to go another way: no datagram has come in this session.
  func send(_ message: Message, in session: UInt64) -> Bool {
    guard let outlet, let known = sessions[session], let address = known.address,
      known.sequence < .max
    else { return false }
    sessions[session]?.sequence += 1
    let datagram = Datagram(
      frame: Frame(message, sequence: known.sequence + 1), session: session,
      authenticate: known.key.sign)
    outlet.send(datagram.bytes, to: address)
    return true
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let envelope = unwrapInboundIn(data)
    let bytes = Array(envelope.data.readableBytesView)
    guard let datagram = try? Datagram(bytes), let known = sessions[datagram.session],
      known.key.isAuthentic(datagram), let frame = try? datagram.open(),
      let message = try? frame.message, message.fitsDatagram,
      sessions[datagram.session]?.window.accept(frame.sequence) == true
    else { return }
    sessions[datagram.session]?.address = envelope.remoteAddress
    known.receive(message)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
