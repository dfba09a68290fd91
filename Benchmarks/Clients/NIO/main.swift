import ClientSupport
import NIOCore
import NIOHTTP1
import NIOPosix

/// What one event loop's connections count together; touched on that loop only.
final class Tally {
  var sent: UInt64 = 0
  var received: UInt64 = 0
  var failed: UInt64 = 0
  var bodyByteCount = 0
  let endNs: UInt64
  let countMax: UInt64

  init(endNs: UInt64, countMax: UInt64) {
    self.endNs = endNs
    self.countMax = countMax
  }

  /// Takes the right to send one more request, if there is one.
  func take() -> Bool {
    guard sent < countMax, client_now_ns() < endNs else { return false }
    sent += 1
    return true
  }
}

/// One keep-alive connection in a closed loop: the next request leaves when the answer has ended.
final class Exchange: ChannelInboundHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundOut = HTTPClientRequestPart

  private let tally: Tally
  private let head: HTTPRequestHead
  private var isWaiting = false

  init(tally: Tally, head: HTTPRequestHead) {
    self.tally = tally
    self.head = head
  }

  func channelActive(context: ChannelHandlerContext) {
    send(context)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head: break
    case .body(let bytes): tally.bodyByteCount += bytes.readableBytes
    case .end:
      isWaiting = false
      tally.received += 1
      send(context)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    if isWaiting { tally.failed += 1 }
    isWaiting = false
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }

  private func send(_ context: ChannelHandlerContext) {
    guard tally.take() else {
      context.close(promise: nil)
      return
    }
    isWaiting = true
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }
}

var options = client_options()
client_options_read(&options, CommandLine.argc, CommandLine.unsafeArgv)
let responseByteCount = client_learn(&options)
let host = String(cString: options.host)
let port = Int(UInt16(bigEndian: options.address.sin_port))
var headers = HTTPHeaders()
headers.add(name: "Host", value: "\(host):\(port)")
let head = HTTPRequestHead(
  version: .http1_1, method: .GET, uri: String(cString: options.path), headers: headers)

var result = client_result()
client_result_begin(&result, "nio-client")
let endNs = result.started_ns + options.duration_ns
let countMax = options.request_count_max == 0 ? UInt64.max : options.request_count_max
let connectionCount = Int(options.connection_count)

let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
let loop = group.next()
// Everything that counts is made, used and read on this one loop.
let tally = try await loop.submit {
  NIOLoopBound(Tally(endNs: endNs, countMax: countMax), eventLoop: loop)
}.get()
let bootstrap = ClientBootstrap(group: loop)
  .channelOption(.tcpOption(.tcp_nodelay), value: 1)
  .channelInitializer { channel in
    channel.eventLoop.makeCompletedFuture {
      try channel.pipeline.syncOperations.addHTTPClientHandlers()
      try channel.pipeline.syncOperations.addHandler(Exchange(tally: tally.value, head: head))
    }
  }
let channels = (0..<connectionCount).map { _ in bootstrap.connect(host: host, port: port) }
for channel in channels {
  try await channel.get().closeFuture.get()
}
let counts = try await loop.submit {
  (sent: tally.value.sent, received: tally.value.received, failed: tally.value.failed)
}.get()
result.sent = counts.sent
result.received = counts.received
result.failed = counts.failed
result.opened = UInt64(connectionCount)
client_result_end(&result)
client_result_print(&result, &options, responseByteCount)
try await group.shutdownGracefully()
