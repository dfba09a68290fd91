internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import SquallEngine

/// One ssh process: its input, and its lines. Lives on an event loop.
final class RemoteShell {
  enum Event: Sendable {
    case line(String)
    case said(String)
    /// It is gone, and everything it wrote was passed on.
    case ended(code: Int32)
  }

  private static let reapPause = TimeAmount.milliseconds(5)
  /// What a process that ssh itself started may hold its standard error open.
  private static let lastWordsTime = TimeAmount.milliseconds(200)

  private let process: ChildProcess
  private let eventLoop: any EventLoop
  private let report: @Sendable (Event) -> Void
  private let dialogue: EventLoopFuture<any Channel>
  private let remarks: EventLoopFuture<any Channel>

  /// Starts `words`, the first being looked for on PATH. `report` is called on `eventLoop`.
  init(
    _ words: [String], on eventLoop: any EventLoop, report: @escaping @Sendable (Event) -> Void
  ) throws(SystemError) {
    let input = try ChildProcess.pair()
    defer { close(input.theirs) }
    let errors: (ours: Int32, theirs: Int32)
    do throws(SystemError) {
      errors = try ChildProcess.pair()
    } catch {
      close(input.ours)
      throw error
    }
    defer { close(errors.theirs) }
    do throws(SystemError) {
      // A group of its own: Ctrl-C at our terminal is for us, who end it in order.
      process = try ChildProcess(
        "/usr/bin/env", ["env"] + words,
        descriptors: [input.theirs, input.theirs, errors.theirs], from: 0)
    } catch {
      close(input.ours)
      close(errors.ours)
      throw error
    }
    self.eventLoop = eventLoop
    self.report = report
    dialogue = Self.channel(input.ours, on: eventLoop) { report(.line($0)) }
    remarks = Self.channel(errors.ours, on: eventLoop) { report(.said($0)) }
  }

  /// Begins to wait for its end.
  func watch() {
    dialogue.flatMap(\.closeFuture).assumeIsolated().whenComplete { _ in self.reap() }
  }

  private func reap() {
    guard let code = process.reap()?.code else {
      eventLoop.assumeIsolated().scheduleTask(in: Self.reapPause) { self.reap() }
      return
    }
    let late = eventLoop.scheduleTask(in: Self.lastWordsTime) { [remarks] in
      remarks.whenSuccess { $0.close(promise: nil) }
    }
    remarks.flatMap(\.closeFuture).whenComplete { [report] _ in
      late.cancel()
      report(.ended(code: code))
    }
  }

  func write(_ bytes: ByteBuffer) {
    dialogue.whenSuccess { $0.writeAndFlush(bytes, promise: nil) }
  }

  /// The other side reads an end.
  func closeInput() { dialogue.whenSuccess { $0.close(mode: .output, promise: nil) } }

  func signal(_ number: Int32) { process.kill(by: number) }

  private static func channel(
    _ socket: Int32, on eventLoop: any EventLoop, line: @escaping @Sendable (String) -> Void
  ) -> EventLoopFuture<any Channel> {
    ClientBootstrap(group: eventLoop)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(LineReader(report: line))
        }
      }
      .withConnectedSocket(socket)
  }
}

/// Cuts a stream into lines.
private final class LineReader: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  /// Of a longer line the rest is a line of its own.
  private static let byteCountMax = 16_384

  private let report: (String) -> Void
  private var line: [UInt8] = []

  init(report: @escaping (String) -> Void) { self.report = report }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    for byte in unwrapInboundIn(data).readableBytesView {
      if byte == UInt8(ascii: "\n") {
        end()
      } else if byte != UInt8(ascii: "\r") {
        line.append(byte)
        if line.count >= Self.byteCountMax { end() }
      }
    }
  }

  func channelInactive(context: ChannelHandlerContext) { if !line.isEmpty { end() } }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }

  private func end() {
    report(String(decoding: line, as: UTF8.self))
    line = []
  }
}
