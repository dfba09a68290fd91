internal import Glibc
internal import NIOCore
internal import NIOSSL
internal import SquallCluster

/// One TCP connection's frames: bytes to messages and back, on the connection's event loop.
final class FrameStream: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  enum Event {
    case opened
    case received(Message)
    case closed(Ending)
  }

  enum Ending {
    /// The other side closed the connection.
    case finished
    /// Its bytes are no frames. The first of them tell what they may be instead.
    case malformed(Malformed, firstBytes: [UInt8])
    case failed(any Error)

    /// Its bytes have nothing to do with it.
    var isPlain: Bool {
      switch self {
      case .finished: true
      case .malformed: false
      case .failed(let error as IOError): error.errnoCode == ECONNRESET
      case .failed(NIOSSLError.uncleanShutdown): true
      case .failed: false
      }
    }
  }

  static let pendingByteCountMax = 1 << 20
  /// A connection we close is kept for its last words this long.
  private static let farewellTime = TimeAmount.seconds(1)

  /// Called on the channel's loop and never from within a call of this type. Forgotten at the end.
  var report: ((Event) -> Void)?
  private var channel: (any Channel)?
  private var outlet: Outlet?
  private var reader = FrameReader()
  private var firstBytes: [UInt8] = []
  private var sequence: UInt32 = 0
  private var failure: (any Error)?
  /// Nothing of it is of interest any more.
  private var isDeaf = false

  var peerAddress: SocketAddress? { channel?.remoteAddress }
  /// It has sent at least one byte.
  var hasSpoken: Bool { !firstBytes.isEmpty }

  func send(_ message: Message) {
    guard let outlet, !isDeaf else { return }
    sequence &+= 1
    outlet.send(Frame(message, sequence: sequence).bytes)
  }

  /// The peer has shown who it is: its frames may be longer.
  func trust() { reader.bodyByteCountMax = Frame.bodyByteCountMax }

  /// Closes without a further event. What was sent before still goes out, if the peer takes it soon:
  /// closing with bytes unread would reset the connection and could take our last word with it.
  func close() {
    guard let channel, !isDeaf else { return }
    isDeaf = true
    report = nil
    guard sequence > 0 else { return channel.eventLoop.execute { channel.close(promise: nil) } }
    channel.eventLoop.execute {
      channel.flush()
      channel.close(mode: .output, promise: nil)
    }
    channel.eventLoop.scheduleTask(in: Self.farewellTime) { channel.close(promise: nil) }
  }

  // MARK: What the channel says

  func handlerAdded(context: ChannelHandlerContext) {
    channel = context.channel
    outlet = Outlet(of: context.channel, pendingByteCountMax: Self.pendingByteCountMax)
    if context.channel.isActive { report?(.opened) }
  }

  func channelActive(context: ChannelHandlerContext) {
    report?(.opened)
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isDeaf else { return }
    var buffer = unwrapInboundIn(data)
    let bytes = buffer.readBytes(length: buffer.readableBytes) ?? []
    if firstBytes.count < 8 { firstBytes += bytes.prefix(8 - firstBytes.count) }
    reader.append(bytes)
    do throws(Malformed) {
      // Each message may change what the next one may be, or end the connection.
      while !isDeaf, let frame = try reader.next() { report?(.received(try frame.message)) }
    } catch {
      end(.malformed(error, firstBytes: firstBytes), context: context)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    failure = failure ?? error
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    end(failure.map { .failed($0) } ?? plainEnding, context: context)
    channel = nil
    outlet = nil
    context.fireChannelInactive()
  }

  /// A few bytes in another language, such as a TLS alert, are too short for a frame's head.
  private var plainEnding: Ending {
    guard let first = firstBytes.first, first != UInt8(truncatingIfNeeded: Frame.magic) else {
      return .finished
    }
    return .malformed(.magic, firstBytes: firstBytes)
  }

  private func end(_ ending: Ending, context: ChannelHandlerContext) {
    guard !isDeaf else { return }
    isDeaf = true
    context.close(promise: nil)
    let report = report
    self.report = nil
    report?(.closed(ending))
  }
}
