internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL
internal import SquallEngine
internal import SquallHTTP

/// One POST of a JSON document on a connection of its own: what an OTLP receiver is sent.
struct OTLPPost: Sendable {
  /// What became of it, by the words of OTLP/HTTP's specification.
  enum Outcome: Equatable, Sendable {
    case taken
    /// Worth another attempt, not before so long.
    case deferred(String, afterNs: UInt64)
    /// The same would be refused again.
    case refused(String)
  }

  /// OTEL_EXPORTER_OTLP_TIMEOUT's default.
  private static let timeout = TimeAmount.seconds(10)

  let url: TargetURL
  let headers: [(String, String)]
  private let security: NIOSSLContext?

  init(to url: TargetURL, headers: [(String, String)]) throws {
    self.url = url
    self.headers = headers
    security = url.isSecure ? try NIOSSLContext(configuration: .makeClientConfiguration()) : nil
  }

  func send(_ document: String) async -> Outcome {
    let loop = NodeLoop.shared
    let answer = loop.makePromise(of: Outcome.self)
    let request = self
    let body = document
    ClientBootstrap(group: loop)
      .connectTimeout(Self.timeout)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          if let security = request.security {
            let isAddress = (try? SocketAddress(ipAddress: request.url.host, port: 0)) != nil
            try pipeline.addHandler(
              NIOSSLClientHandler(
                context: security, serverHostname: isAddress ? nil : request.url.host))
          }
          try pipeline.addHTTPClientHandlers()
          try pipeline.addHandler(Exchange(request, body, answer))
        }
      }
      .connect(host: url.host, port: Int(url.port))
      .whenFailure { answer.succeed(.deferred(Self.explain($0), afterNs: 0)) }
    let limit = loop.scheduleTask(in: Self.timeout) {
      answer.succeed(.deferred("no answer within 10 s", afterNs: 0))
    }
    defer { limit.cancel() }
    return (try? await answer.futureResult.get()) ?? .deferred("no answer", afterNs: 0)
  }

  fileprivate static func explain(_ error: any Error) -> String {
    switch error {
    case let error as NIOConnectionError:
      error.connectionErrors.first.map { explain($0.error) } ?? "no host of that name is known"
    case let error as IOError: SystemError.explain(error.errnoCode)
    case ChannelError.connectTimeout: "no connection within 10 s"
    default: "\(error)"
    }
  }

  fileprivate static func outcome(of head: HTTPResponseHead) -> Outcome {
    let status = "status \(head.status.code)"
    switch head.status.code {
    case 200..<300: return .taken
    case 429, 502, 503, 504:
      let seconds = head.headers.first(name: "retry-after").flatMap { UInt32($0) } ?? 0
      return .deferred(status, afterNs: UInt64(seconds) * 1_000_000_000)
    default: return .refused(status)
    }
  }
}

/// Sends the request once connected, and tells its outcome with the head of the answer.
private final class Exchange: ChannelInboundHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundOut = HTTPClientRequestPart

  private let post: OTLPPost
  private let body: String
  private let answer: EventLoopPromise<OTLPPost.Outcome>

  init(_ post: OTLPPost, _ body: String, _ answer: EventLoopPromise<OTLPPost.Outcome>) {
    self.post = post
    self.body = body
    self.answer = answer
  }

  func channelActive(context: ChannelHandlerContext) {
    let fields: [(String, String)] = [
      ("Host", post.url.hostField), ("User-Agent", Build.description), ("Connection", "close"),
      ("Content-Type", "application/json"), ("Content-Length", "\(body.utf8.count)"),
    ]
    let head = HTTPRequestHead(
      version: .http1_1, method: .POST, uri: post.url.target,
      headers: HTTPHeaders(fields + post.headers))
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.write(
      wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(string: body)))),
      promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .head(let head) = unwrapInboundIn(data) else { return }
    answer.succeed(OTLPPost.outcome(of: head))
    context.close(promise: nil)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    answer.succeed(.deferred(OTLPPost.explain(error), afterNs: 0))
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    answer.succeed(.deferred("the connection was closed without an answer", afterNs: 0))
    context.fireChannelInactive()
  }
}
