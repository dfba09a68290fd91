internal import NIOCore

/// What goes out of one channel. Sending never waits: what the kernel does not take is kept up to a
/// bound, and beyond it refused, which the machines on both ends take for loss and make good.
final class Outlet {
  private let channel: any Channel
  private let pendingByteCountMax: Int
  private var pendingByteCount = 0
  private var isFlushDue = false

  /// Used on the channel's loop only.
  init(of channel: any Channel, pendingByteCountMax: Int) {
    self.channel = channel
    self.pendingByteCountMax = pendingByteCountMax
  }

  func send(_ bytes: [UInt8]) {
    guard takes(bytes) else { return }
    account(channel.write(ByteBuffer(bytes: bytes)), bytes.count)
  }

  func send(_ bytes: [UInt8], to address: SocketAddress) {
    guard takes(bytes) else { return }
    let envelope = AddressedEnvelope(remoteAddress: address, data: ByteBuffer(bytes: bytes))
    account(channel.write(envelope), bytes.count)
  }

  private func takes(_ bytes: [UInt8]) -> Bool {
    pendingByteCount + bytes.count <= pendingByteCountMax
  }

  private func account(_ written: EventLoopFuture<Void>, _ byteCount: Int) {
    pendingByteCount += byteCount
    written.assumeIsolated().whenComplete { [self] _ in pendingByteCount -= byteCount }
    guard !isFlushDue else { return }
    // All that one event of the machine sends goes out with one call.
    isFlushDue = true
    channel.eventLoop.assumeIsolated().execute { [self] in
      isFlushDue = false
      channel.flush()
    }
  }
}
