internal import Glibc
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import NIOConcurrencyHelpers
internal import NIOCore
package import SquallLoad

/// The master's web port: a small JSON API that starts, stops and shows a run.
///
/// State changes only by POST with the content type `application/json`, which no page of another
/// site can send without asking first (and nobody answers that), and never for a foreign `Origin`. On
/// a loopback address the `Host` must name one too, so that no other site's name can be made to point
/// here. Elsewhere each request shows the token, if there is one.
package final class ControlPort: Sendable {
  package struct Options: Sendable {
    package var host = "127.0.0.1"
    package var port: UInt16 = 8_089
    package var token: SharedToken?

    package init() {}
  }

  /// Why a command is not followed, for whoever gave it.
  package struct Objection: Error {
    package var sentence: String

    package init(_ sentence: String) { self.sentence = sentence }
  }

  /// What the API does.
  package struct Commands: Sendable {
    package var start: @Sendable () async throws(Objection) -> Void
    package var stop: @Sendable () async -> Void
    package var status: @Sendable () async -> JSONValue

    package init(
      start: @escaping @Sendable () async throws(Objection) -> Void,
      stop: @escaping @Sendable () async -> Void, status: @escaping @Sendable () async -> JSONValue
    ) {
      self.start = start
      self.stop = stop
      self.status = status
    }
  }

  private let options: Options
  private let commands: Commands
  private let isLoopback: Bool
  private let task = NIOLockedValueBox<Task<Void, Never>?>(nil)

  package init(options: Options, commands: Commands) {
    self.options = options
    self.commands = commands
    isLoopback = Exposure.isLoopback(options.host)
  }

  /// Listens. Returns the port, which the kernel chooses when it is given as 0.
  package func open() async throws(Complaint) -> UInt16 {
    let router = Router()
    router.get("api/status") { request, _ in
      if let refusal = self.refusal(of: request, changes: false) { return refusal }
      return Self.response(.ok, await self.commands.status())
    }
    router.post("api/start") { request, _ in
      if let refusal = self.refusal(of: request, changes: true) { return refusal }
      do throws(Objection) {
        try await self.commands.start()
      } catch {
        return Self.error(.conflict, error.sentence)
      }
      return Self.response(.accepted, await self.commands.status())
    }
    router.post("api/stop") { request, _ in
      if let refusal = self.refusal(of: request, changes: true) { return refusal }
      await self.commands.stop()
      return Self.response(.accepted, await self.commands.status())
    }
    var quiet = Logger(label: "web")
    quiet.logLevel = .critical
    let (bound, opened) = AsyncStream.makeStream(of: Result<UInt16, Complaint>.self)
    let port = options.port
    let application = Application(
      router: router,
      configuration: .init(address: .hostname(options.host, port: Int(port))),
      onServerRunning: { channel in
        opened.yield(.success(UInt16(clamping: channel.localAddress?.port ?? Int(port))))
        opened.finish()
      },
      logger: quiet)
    let serving = Task {
      do {
        try await application.run()
      } catch {
        opened.yield(.failure(self.complaint(error)))
      }
      opened.finish()
    }
    task.withLockedValue { $0 = serving }
    for await result in bound { return try result.get() }
    throw .world("the web port could not be opened.")
  }

  /// Answers no more.
  package func close() async {
    let serving = task.withLockedValue { $0 }
    serving?.cancel()
    await serving?.value
  }

  private func complaint(_ error: any Error) -> Complaint {
    let address = MasterAddress(host: options.host, port: options.port)
    switch (error as? IOError)?.errnoCode {
    case EADDRINUSE:
      return .world(
        "the web port \(address) is in use: give --web-port (0 for any), or --headless.")
    case EADDRNOTAVAIL: return .world("--web-host \(options.host) is no address of this host.")
    default: return .world("cannot listen on the web port \(address): \(error).")
    }
  }

  // MARK: Who may ask

  private func refusal(of request: Request, changes: Bool) -> Response? {
    let host = request.head.authority ?? ""
    if isLoopback {
      guard Exposure.isLoopback(Self.name(host)) else {
        return Self.error(
          .forbidden, "the host of the address must be localhost, 127.0.0.1 or [::1]")
      }
    } else if let token = options.token {
      let words = (request.headers[.authorization] ?? "").split(separator: " ")
      guard words.count == 2, words[0] == "Bearer", token.isSame(as: String(words[1])) else {
        return Self.error(.unauthorized, "send the header Authorization: Bearer TOKEN")
      }
    }
    guard changes else { return nil }
    let type = (request.headers[.contentType] ?? "").split(separator: ";").first ?? ""
    guard type.lowercased() == "application/json" else {
      return Self.error(
        .unsupportedMediaType, "send the header Content-Type: application/json")
    }
    if let origin = request.headers[.origin], origin != "http://\(host)" {
      return Self.error(.forbidden, "this page is of another origin")
    }
    return nil
  }

  /// `[::1]:8089` and `localhost:8089` without port and brackets.
  private static func name(_ authority: String) -> String {
    if authority.hasPrefix("[") {
      return String(authority.dropFirst().prefix { $0 != "]" })
    }
    return String(authority.prefix { $0 != ":" })
  }

  private static func error(_ status: HTTPResponse.Status, _ sentence: String) -> Response {
    response(status, .object([.init("error", .string(sentence))]))
  }

  private static func response(_ status: HTTPResponse.Status, _ value: JSONValue) -> Response {
    var headers = HTTPFields()
    headers[.contentType] = "application/json"
    headers[.cacheControl] = "no-store"
    headers[.xContentTypeOptions] = "nosniff"
    return Response(
      status: status, headers: headers,
      body: .init(byteBuffer: ByteBuffer(string: value.text + "\n")))
  }
}
