internal import Glibc
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import HummingbirdTLS
internal import Logging
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import SquallCluster
internal import SquallEngine
internal import SquallLoad

/// A web port: figures for exporters, and on a master the page with the JSON API it stands on, which
/// starts, stops and shows runs.
///
/// State changes only with the content type `application/json`, or by a DELETE with none, which no page of
/// another site can send without asking first (and nobody answers that), and never for a foreign `Origin`. On a loopback
/// address the `Host` must name one too, so that no other site's name can be made to point here.
/// Elsewhere each request shows the token or has the cookie of who has signed in, if there is a token.
package final class ControlPort: Sendable {
  /// Open at a time, a few more where they come together; whoever comes then waits for one to end. Twice as
  /// many as may follow a run.
  static let connectionCountMax = 2 * LiveEvents.readerCountMax
  /// A connection without a request is kept so long.
  static let idleTimeout = TimeAmount.seconds(60)

  package struct Options: Sendable {
    package var host = "127.0.0.1"
    package var port: UInt16 = 8_089
    package var token: SharedToken?
    /// Nil: plain HTTP.
    package var security: WebSecurity?
    /// The flag that chose the port.
    package var flag = "--web-port"
    /// Whoever may ask may also start and stop, and there is a page to do it on.
    package var takesCommands = true
    /// What the page shows as its log.
    package var spoken: SpokenLines?

    package init() {}
  }

  private let options: Options
  private let control: any RunControl
  let isLoopback: Bool
  private let turns = Turns()
  let signIn: SignIn?
  let trials = Trials()
  private let events: LiveEvents

  package init(options: Options, showing control: any RunControl) {
    self.options = options
    self.control = control
    isLoopback = Exposure.isLoopback(options.host)
    let isSecure = options.security != nil
    signIn = isLoopback ? nil : options.token.map { SignIn($0, isSecure: isSecure) }
    events = LiveEvents(of: control, spoken: options.spoken)
  }

  /// Listens. Returns the port, which the kernel chooses when it is given as 0.
  package func open() async throws(Complaint) -> UInt16 {
    let server = try server()
    let router = Router()
    let takesCommands = options.takesCommands
    router.add(
      middleware: Strays { path in
        takesCommands ? OpenAPI.methods(of: path) : path == "/metrics" ? ["GET"] : []
      })
    router.get("metrics") { request, _ in
      await self.answer(request) { control in
        guard let totals = await control.totals() else { return Self.nothing }
        return (.ok, Exposition.contentType, Exposition(totals).text)
      }
    }
    if options.takesCommands {
      addCommands(to: router)
      addRuns(to: router)
      addOrders(to: router)
      addForms(to: router)
      addPage(to: router)
    }
    var quiet = Logger(label: "web")
    quiet.logLevel = .critical
    let (bound, opened) = AsyncStream.makeStream(of: Result<UInt16, Complaint>.self)
    let port = options.port
    let application = Application(
      router: router,
      server: server,
      configuration: .init(
        address: .hostname(options.host, port: Int(port)),
        availableConnectionsDelegate: .maximum(Self.connectionCountMax, logger: quiet)),
      onServerRunning: { channel in
        opened.yield(.success(UInt16(clamping: channel.localAddress?.port ?? Int(port))))
        opened.finish()
      },
      logger: quiet)
    // Never cancelled: a connection that is taken in at that moment would be a trap in NIOAsyncChannel.
    // It ends with the process.
    Task {
      do {
        try await application.run()
      } catch {
        opened.yield(.failure(self.complaint(error)))
      }
      opened.finish()
    }
    for await result in bound { return try result.get() }
    throw .world("the web port could not be opened.")
  }

  private func server() throws(Complaint) -> HTTPServerBuilder {
    let plain = HTTPServerBuilder.http1(configuration: .init(idleTimeout: Self.idleTimeout))
    guard let security = options.security else { return plain }
    do {
      return try .tls(plain, tlsConfiguration: security.configuration)
    } catch {
      throw .usage("TLS on the web port cannot be prepared: \(error).")
    }
  }

  /// `http` or `https`.
  package var scheme: String { options.security == nil ? "http" : "https" }

  /// Whoever asked is answered.
  package var closing: Closing.Part {
    Closing.Part("the web port", withinNs: 500_000_000) {
      await self.events.close()
      await self.turns.allEnded()
    }
  }

  private func complaint(_ error: any Error) -> Complaint {
    let address = MasterAddress(host: options.host, port: options.port)
    switch (error as? IOError)?.errnoCode {
    case EADDRINUSE:
      return .world(
        "\(address) is in use: give another \(options.flag) (0 for any).")
    case EADDRNOTAVAIL: return .world("--web-host \(options.host) is no address of this host.")
    default: return .world("cannot listen on the web port \(address): \(error).")
    }
  }

  private func addCommands(to router: Router<BasicRequestContext>) {
    router.get("api/status") { request, _ in
      await self.answer(request) { await Self.status(.ok, of: $0) }
    }
    router.get("api/live") { request, _ in self.live(request) }
    router.get("api/runs") { request, _ in
      await self.answer(request) { control in
        do throws(Objection) {
          let runs = try await control.runs()
          return Self.json(.ok, .object([.init("runs", .array(runs.map(\.json)))]))
        } catch {
          return Self.answer(error)
        }
      }
    }
    router.post("api/start") { request, _ in
      await self.follow(request) { control, document throws(Objection) in
        _ = try await control.start(document)
        return await Self.status(.accepted, of: control)
      }
    }
    router.post("api/change") { request, _ in
      await self.follow(request) { control, document throws(Objection) in
        try await control.change(document)
        return await Self.status(.accepted, of: control)
      }
    }
    router.post("api/stop") { request, _ in
      await self.follow(request) { control, _ throws(Objection) in
        try await control.stop()
        return await Self.status(.accepted, of: control)
      }
    }
    router.get("api/openapi.json") { request, _ in
      await self.answer(request) { _ in Self.json(.ok, OpenAPI.document) }
    }
    router.get("api/log") { request, _ in
      await self.answer(request) { _ in
        let lines = self.options.spoken?.after(0) ?? []
        return Self.json(.ok, .object([.init("lines", .array(lines.map(\.json)))]))
      }
    }
  }

  /// Follows a command, whose document is an object; nothing at all is an empty one.
  func follow(
    _ request: Request,
    by following: (any RunControl, JSONValue) async throws(Objection) -> Answer
  ) async -> Response {
    let turn = Turn(turns)
    if let refusal = refusal(of: request, changes: true) { return Self.response(refusal, turn) }
    guard let body = try? await request.body.collect(upTo: Self.documentByteCountMax) else {
      let sentence = "a document has \(Self.documentByteCountMax >> 20) MiB at most"
      return Self.response(Self.error(.contentTooLarge, sentence), turn)
    }
    do throws(Objection) {
      let document = try Self.document(Array(body.readableBytesView))
      return Self.response(try await following(control, document), turn)
    } catch {
      return Self.response(Self.answer(error), turn)
    }
  }

  /// A scenario's bound, with room for what is around it.
  private static let documentByteCountMax = 5 << 20

  private static func document(_ text: [UInt8]) throws(Objection) -> JSONValue {
    if text.isEmpty { return .object([]) }
    guard let document = try? JSONValue(text: text), case .object = document else {
      throw Objection(.unusable, "send a JSON object, such as {}")
    }
    return document
  }

  private static func status(
    _ status: HTTPResponse.Status, of control: any RunControl
  ) async -> Answer {
    guard let figures = await control.figures() else { return nothing }
    return json(status, figures.json)
  }

  private static let nothing = error(.serviceUnavailable, "there is no run yet")

  static func answer(_ objection: Objection) -> Answer {
    if objection.kind == .unusable, let field = objection.field {
      return problem(RunOrder.Fault(field, objection.sentence))
    }
    return switch objection.kind {
    case .untimely: error(.conflict, objection.sentence)
    case .unusable: error(.unprocessableContent, objection.sentence)
    case .absent: error(.notFound, objection.sentence)
    case .unavailable: error(.serviceUnavailable, objection.sentence)
    }
  }

  private func live(_ request: Request) -> Response {
    let turn = Turn(turns)
    if let refusal = refusal(of: request, changes: false) { return Self.response(refusal, turn) }
    guard let events = events.events() else {
      let sentence = "\(LiveEvents.readerCountMax) readers follow already"
      return Self.response(Self.error(.serviceUnavailable, sentence), turn)
    }
    let body = ResponseBody { writer in
      for await event in events { try await writer.write(event) }
      try await writer.finish(nil)
      withExtendedLifetime(turn) {}
    }
    return Response(status: .ok, headers: Self.headers("text/event-stream"), body: body)
  }

  typealias Answer = (status: HTTPResponse.Status, type: String, text: String)

  /// Answers whoever may ask.
  func answer(
    _ request: Request, by asking: (any RunControl) async -> Answer
  ) async -> Response {
    let turn = Turn(turns)
    if let refusal = refusal(of: request, changes: false) { return Self.response(refusal, turn) }
    return Self.response(await asking(control), turn)
  }

  /// The same, where what was asked for may not be.
  func attempt(
    _ request: Request, by asking: (any RunControl) async throws(Objection) -> Answer
  ) async -> Response {
    await answer(request) { control in
      do throws(Objection) { return try await asking(control) } catch { return Self.answer(error) }
    }
  }

  /// Answers somebody, whoever that is.
  func answer(_ answer: Answer) -> Response { Self.response(answer, Turn(turns)) }

  // MARK: Who may ask

  private func refusal(of request: Request, changes: Bool) -> Answer? {
    if isLoopback {
      guard hasOwnHost(request) else { return Self.foreignHost }
    } else if let signIn, !signIn.knows(request.headers) {
      return Self.error(.unauthorized, "sign in, or send the header Authorization: Bearer TOKEN")
    }
    return changes ? foreignness(of: request) : nil
  }

  /// Why a request may be another site's.
  func foreignness(of request: Request) -> Answer? {
    let host = request.head.authority ?? ""
    let type = (request.headers[.contentType] ?? "").split(separator: ";").first ?? ""
    // No page of another site can send DELETE without asking first, whatever type it has, or none.
    let isBare = request.method == .delete && request.headers[.contentType] == nil
    guard isBare || type.lowercased() == "application/json" else {
      return Self.error(
        .unsupportedMediaType, "send the header Content-Type: application/json")
    }
    if let origin = request.headers[.origin], origin != "\(scheme)://\(host)" {
      return Self.error(.forbidden, "this page is of another origin")
    }
    return nil
  }

  func hasOwnHost(_ request: Request) -> Bool {
    Exposure.isLoopback(Self.name(request.head.authority ?? ""))
  }

  static let foreignHost = error(
    .forbidden, "the host of the address must be localhost, 127.0.0.1 or [::1]")

  /// `[::1]:8089` and `localhost:8089` without port and brackets.
  private static func name(_ authority: String) -> String {
    if authority.hasPrefix("[") {
      return String(authority.dropFirst().prefix { $0 != "]" })
    }
    return String(authority.prefix { $0 != ":" })
  }

  /// Problem details (RFC 9457); without a type they say no more than the status and this sentence.
  static func error(_ status: HTTPResponse.Status, _ sentence: String) -> Answer {
    let problem = JSONValue.object([
      .init("title", .string(status.reasonPhrase)), .init("status", .integer(Int128(status.code))),
      .init("detail", .string(sentence)),
    ])
    return (status, "application/problem+json", problem.text + "\n")
  }

  static func json(_ status: HTTPResponse.Status, _ value: JSONValue) -> Answer {
    (status, "application/json", value.text + "\n")
  }

  private static func response(_ answer: Answer, _ turn: Turn) -> Response {
    let bytes = ByteBuffer(string: answer.text)
    let body = ResponseBody(contentLength: bytes.readableBytes) { writer in
      try await writer.write(bytes)
      try await writer.finish(nil)
      withExtendedLifetime(turn) {}
    }
    return Response(status: answer.status, headers: headers(answer.type), body: body)
  }

  static func headers(_ type: String) -> HTTPFields {
    var headers = HTTPFields()
    if !type.isEmpty { headers[.contentType] = type }
    headers[.cacheControl] = "no-store"
    headers[.xContentTypeOptions] = "nosniff"
    return headers
  }
}

/// The requests that are not answered yet.
private final class Turns: Sendable {
  private struct State {
    var count = 0
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  private let state = NIOLockedValueBox(State())

  func began() { state.withLockedValue { $0.count += 1 } }

  func ended() {
    let waiting = state.withLockedValue { state in
      state.count -= 1
      guard state.count == 0 else { return [CheckedContinuation<Void, Never>]() }
      defer { state.waiting = [] }
      return state.waiting
    }
    for one in waiting { one.resume() }
  }

  func allEnded() async {
    await withCheckedContinuation { one in
      let isOver = state.withLockedValue { state in
        if state.count > 0 { state.waiting.append(one) }
        return state.count == 0
      }
      if isOver { one.resume() }
    }
  }
}

/// One request from its arrival to the last byte of its answer, or to the end of its connection.
private final class Turn: Sendable {
  private let turns: Turns

  init(_ turns: Turns) {
    self.turns = turns
    turns.began()
  }

  deinit { turns.ended() }
}
