import Foundation
import Testing

extension EndToEnd {
  /// Scenarios over HTTP/2: users with connections of their own, and users that share some.
  @Suite(.serialized) struct ScenarioStreamTests {
    private typealias Frame = HTTP2Tests.Frame

    /// A request as this server reads it: its fields stand in its block as they are (RFC 7541 6.2.2).
    private struct Request {
      var stream: UInt32
      var block: String

      func has(_ text: String) -> Bool { block.contains(text) }
      /// The digits behind a text.
      func number(after text: String) -> String {
        block.range(of: text).map { String(block[$0.upperBound...].prefix { $0.isNumber }) } ?? ""
      }
    }

    /// A server's end of one connection: `answer` gives the frames for requests that came together.
    private static func serve(
      _ connection: Scripted.Connection, _ answer: ([Request]) -> [Frame]
    ) {
      guard connection.take(24) != nil else { return }
      connection.write(Frame.settings.bytes)
      var requests: [Request] = []
      while let head = connection.take(9) {
        let count = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
        guard let payload = connection.take(count) else { return }
        let stream = head[5...8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        if head[3] == 4 && head[4] & 1 == 0 {
          connection.write(Frame(kind: 4, flags: 1).bytes)
        }
        if head[3] == 1 {
          requests.append(
            Request(stream: stream, block: String(decoding: payload, as: UTF8.self)))
        }
        guard !requests.isEmpty, !connection.hasMore else { continue }
        guard connection.write(answer(requests).flatMap(\.bytes)) else { return }
        requests = []
      }
    }

    private static func head(_ stream: UInt32, _ status: UInt8, _ fields: [String: String] = [:])
      -> Frame
    {
      let block = fields.flatMap { name, value -> [UInt8] in
        [0, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)]
          + Array(value.utf8)
      }
      return Frame(kind: 1, flags: 4, stream: stream, payload: [status] + block)
    }

    private static func data(_ stream: UInt32, _ text: String, ends: Bool = true) -> Frame {
      Frame(kind: 0, flags: ends ? 1 : 0, stream: stream, payload: Array(text.utf8))
    }

    /// Takes a token and a cookie from one answer and needs both for the next.
    private static let shop = """
      squall: 1
      target: http://127.0.0.1:1
      users:
        shopper:
          do:
            - post: /login?u=${user}
              name: login
              json: {user: "${user}"}
              capture: {token: $.token}
              check: {status: 200}
            - get: /item?u=${user}
              name: item
              headers: {Authorization: "Bearer ${token}"}
              check: {status: 200, json: {$.stock: 3}}
      """

    /// Whoever brings another's token or cookie is refused. Answers to requests that come together are sent
    /// in pieces that take turns.
    private static func shopServer() throws -> Scripted {
      try Scripted { connection, server in
        serve(connection) { requests in
          var (heads, firsts, seconds): ([Frame], [Frame], [Frame]) = ([], [], [])
          for request in requests {
            server.note()
            let user = request.number(after: "?u=")
            let isLogin = request.has("/login")
            let isGood =
              isLogin || request.has("Bearer t-\(user)x") && request.has("sid=s\(user)x")
            heads.append(
              head(
                request.stream, isGood ? 0x88 : 0x8D,
                isLogin ? ["set-cookie": "sid=s\(user)x; Path=/"] : [:]))
            firsts.append(
              data(request.stream, isLogin ? "{\"token\":\"t-" : "{\"sto", ends: false))
            seconds.append(data(request.stream, isLogin ? "\(user)x\"}" : "ck\":3}"))
          }
          return heads + firsts + seconds
        }
      }
    }

    private static func run(
      _ server: Scripted, _ text: String, _ arguments: String...
    ) throws -> Measured {
      let folder = try Folder()
      let child = try Squall.ended(
        [
          "run", try folder.file("shop.yaml", text), "--host", server.url, "--quiet", "--format",
          "json", "-w", "1", "--http2-prior-knowledge", "--drain", "400ms",
        ] + arguments)
      let result = try Measured(child.output)
      result.expectConservation()
      return result
    }

    private static func shared(_ text: String, _ count: Int) -> String {
      "connections: shared \(count)\n" + text
    }

    @Test func eachUserHasAConnectionAndItsOwnAnswers() throws {
      let server = try Self.shopServer()
      defer { server.end() }
      let result = try Self.run(server, Self.shop, "-u", "5", "-n", "400")
      #expect(result.ok == 400 && result.sent == 400, "\(result.requests) \(result.errors)")
      #expect(server.requestCount == 400)
      #expect(result.number("connections.opened") == 5)
      #expect(result["http.version"] as? String == "2")
    }

    @Test func usersThatShareConnectionsGetTheirOwnAnswers() throws {
      let server = try Self.shopServer()
      defer { server.end() }
      let result = try Self.run(
        server, Self.shared(Self.shop, 2), "-u", "30", "-n", "2000", "--streams", "8")
      #expect(result.ok == 2_000 && result.sent == 2_000, "\(result.requests) \(result.errors)")
      #expect(server.requestCount == 2_000)
      #expect(result.number("connections.opened") == 2)
      // Bytes are counted under the name that they answer: those of a login are more.
      let names = try #require(result["requests_by_name"] as? [[String: Any]])
      let bytes = names.map { $0["bytes_received"] as? Int ?? 0 }
      #expect(bytes.count == 2 && bytes[0] > bytes[1], "\(bytes)")
      #expect(bytes.reduce(0, +) == result.number("bytes.received"))
    }

    private static let plain = """
      squall: 1
      target: http://127.0.0.1:1
      users: {a: {do: [{get: /, check: {status: 200}}]}}
      """

    /// What a connection did not look at before it went away is its users', who send it again.
    @Test(arguments: [nil, 2] as [Int?])
    func aPeerThatGoesAwayCostsNoRequest(connections: Int?) throws {
      let server = try Scripted { connection, server in
        var answered = 0
        Self.serve(connection) { requests in
          requests.prefix(10 - answered).flatMap { request in
            answered += 1
            server.note()
            let ok = Frame.ok(request.stream)
            return answered < 10 ? [ok] : [ok, .goAway(last: request.stream)]
          }
        }
      }
      defer { server.end() }
      let text = connections.map { Self.shared(Self.plain, $0) } ?? Self.plain
      let result = try Self.run(server, text, "-u", "16", "-n", "800")
      #expect(result.ok == 800 && result.sent == 800, "\(result.requests) \(result.errors)")
      #expect(server.requestCount == 800)
      #expect(result.number("http.goaways") > 0)
      if connections != nil { #expect(result.number("http.sent_again") > 0) }
    }

    /// A target that goes away for good: what was to be sent again is counted, once.
    @Test func whatCannotBeSentAgainIsClosed() throws {
      let server = try Scripted { connection, server in
        Self.serve(connection) { requests in
          guard let first = requests.first, requests.count == 8 else { return [] }
          server.end()
          return [.ok(first.stream), .goAway(last: first.stream)]
        }
      }
      defer { server.end() }
      let result = try Self.run(server, Self.shared(Self.plain, 1), "-u", "8", "-d", "700ms")
      #expect(result.ok == 1, "\(result.requests) \(result.errors)")
      #expect(result.errors["closed"] == 7 && result.sent == 8, "\(result.errors)")
      #expect(result.number("http.sent_again") == 7)
    }

    @Test func aStreamThatIsNotAnsweredTimesOutAlone() throws {
      let server = try Scripted { connection, _ in
        Self.serve(connection) { requests in
          requests.filter { $0.stream != 3 }.map { .ok($0.stream) }
        }
      }
      defer { server.end() }
      let text = "defaults: {timeout: 1s}\n" + Self.shared(Self.plain, 1)
      let result = try Self.run(server, text, "-u", "4", "-d", "1500ms")
      #expect(result.errors == ["timeout": 1], "\(result.requests)")
      #expect(result.ok > 100)
      #expect(result.number("connections.reopened") == 0)
    }

    /// Shared connections of HTTP/1.1 over TLS too.
    @Test(arguments: [
      ([], ["--http2-prior-knowledge"]), (["--tls"], ["--http2", "-k"]), (["--tls"], ["-k"]),
    ])
    func countsAreThoseOfTheTarget(target options: [String], flags: [String]) throws {
      let target = try Served(options)
      let folder = try Folder()
      let path = try folder.file(
        "s.yaml",
        """
        squall: 1
        target: http://127.0.0.1:1
        connections: shared 3
        users:
          a:
            do:
              - get: /n/${int(1,100)}
                name: number
              - post: /b
                text: "${text(3000)}"
              - head: /h
        """)
      let result = try Squall.run(
        ["-f", path, "--host", target.url, "-u", "40", "-n", "6000"] + flags)
      #expect(result.ok == 6_000, "\(result.requests) \(result.errors)")
      #expect(try target.count() == 6_000)
    }

    @Test func aDryRunSpeaksIt() throws {
      let server = try Self.shopServer()
      defer { server.end() }
      let folder = try Folder()
      let child = try Squall.ended([
        "run", try folder.file("shop.yaml", Self.shop), "--host", server.url, "--dry-run",
        "--http2-prior-knowledge",
      ])
      #expect(child.ending == Child.Ending(code: 0), "\(child.output)\(child.errors)")
      for words in [
        "* keeps token: 't-0x'", "< HTTP/2 200", "> Authorization: Bearer t-0x",
        "2 requests, 0 of them failed",
      ] { #expect(child.output.contains(words), "\(child.output)") }
    }

    @Test(arguments: [
      (
        "users: {a: {do: [{get: /}]}}", ["--http2-prior-knowledge", "--streams", "4"],
        "--streams 4 is for connections that users share"
      ),
      (
        "users: {a: {do: [{get: /, headers: {Connection: close}}]}}",
        ["--http2-prior-knowledge"],
        "'GET /' has a header that belongs to a connection"
      ),
      (
        "users: {a: {do: [{get: /}, {get: http://127.0.0.1:2/}]}}", ["--http2-prior-knowledge"],
        "HTTP/2 is for scenarios of one host, and this one has 2"
      ),
      ("users: {a: {do: [{get: /}]}}", ["--http2"], "--http2 is agreed on in TLS"),
    ])
    func whatCannotBeIsRefused(text: String, arguments: [String], words: String) throws {
      let folder = try Folder()
      let path = try folder.file("a.yaml", "squall: 1\ntarget: http://127.0.0.1:1\n" + text + "\n")
      let child = try Squall.ended(["run", path, "-u", "2", "-n", "2"] + arguments)
      #expect(child.ending == Child.Ending(code: 2))
      #expect(child.errors.contains(words), "\(child.errors)")
    }
  }
}
