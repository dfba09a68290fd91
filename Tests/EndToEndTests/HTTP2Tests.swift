import Foundation
import SquallTLS
import Synchronization
import Testing

extension EndToEnd {
  /// HTTP/2 against peers that do what a server can do right and wrong (RFC 9113).
  @Suite(.serialized) struct HTTP2Tests {
    /// One frame (RFC 9113 4.1).
    struct Frame {
      var kind: UInt8
      var flags: UInt8 = 0
      var stream: UInt32 = 0
      var payload: [UInt8] = []

      var bytes: [UInt8] {
        let count = payload.count
        return [UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255), kind, flags]
          + [24, 16, 8, 0].map { UInt8(stream >> $0 & 255) } + payload
      }

      static let settings = Frame(kind: 4)
      static let acknowledged = Frame(kind: 4, flags: 1)
      static let ping = Frame(kind: 6, payload: [UInt8](repeating: 7, count: 8))
      static func settings(_ name: UInt8, _ value: UInt32) -> Frame {
        Frame(kind: 4, payload: [0, name] + [24, 16, 8, 0].map { UInt8(value >> $0 & 255) })
      }
      /// `:status: 200` with the stream's end.
      static func ok(_ stream: UInt32) -> Frame {
        Frame(kind: 1, flags: 5, stream: stream, payload: [0x88])
      }
      static func reset(_ stream: UInt32, code: UInt8) -> Frame {
        Frame(kind: 3, stream: stream, payload: [0, 0, 0, code])
      }
      static func goAway(last: UInt32, code: UInt8 = 0) -> Frame {
        Frame(
          kind: 7, payload: [24, 16, 8, 0].map { UInt8(last >> $0 & 255) } + [0, 0, 0, code])
      }
    }

    /// The next frame; nil at the end of the connection.
    static func frame(of connection: Scripted.Connection) -> Frame? {
      guard let head = connection.take(9),
        let payload = connection.take(Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2]))
      else { return nil }
      let stream = head[5...8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      return Frame(kind: head[3], flags: head[4], stream: stream, payload: payload)
    }

    /// A server's end of one connection: calls `answer` with the stream of each request.
    static func serve(
      _ connection: Scripted.Connection, first: [Frame] = [.settings],
      _ answer: (UInt32) -> [Frame]?
    ) {
      guard connection.take(24) != nil else { return }
      for frame in first { connection.write(frame.bytes) }
      while let frame = frame(of: connection) {
        if frame.kind == 4 && frame.flags & 1 == 0 { connection.write(Frame.acknowledged.bytes) }
        guard frame.kind == 1 else { continue }
        guard let frames = answer(frame.stream) else { return }
        guard connection.write(frames.flatMap(\.bytes)) else { return }
      }
    }

    static func count(_ server: Scripted, _ arguments: String...) throws -> Measured {
      let child = try Squall.ended(
        [
          "run", "--quiet", "--format", "json", "-w", "1", "--http2-prior-knowledge", "--timeout",
          "300ms", "--drain", "400ms",
        ] + arguments + [server.url])
      let result = try Measured(child.output)
      result.expectConservation()
      return result
    }

    /// A body goes out in parts, as windows open, and is part of its request's bytes.
    @Test(arguments: [false, true]) func aLargeBodyIsCountedWhole(inScenario: Bool) throws {
      let target = try Served()
      let folder = try Folder()
      let body = String(repeating: "x", count: 200_000)
      let scenario = try folder.file(
        "post.yaml",
        """
        squall: 1
        target: \(target.url)
        users:
          one:
            do:
              - post: /
                text: \(body)
        """)
      let load =
        inScenario
        ? [scenario, "-u", "2"]
        : [target.url, "-c", "2", "-b", "@\(try folder.file("body", body))"]
      let result = try Squall.run(load + ["-n", "20", "--http2-prior-knowledge"])
      result.expectConservation()
      #expect(result.ok == 20)
      #expect((20 * 200_000..<20 * 200_300).contains(result.number("bytes.sent")))
    }

    @Test func everyRequestIsCountedExactly() throws {
      let server = try Scripted { connection, server in
        Self.serve(connection) { stream in
          server.note()
          return [.ok(stream)]
        }
      }
      defer { server.end() }
      for (connections, streams, requests) in [(1, 1, 100), (3, 10, 1_000), (2, 100, 5_000)] {
        let before = server.requestCount
        let result = try Self.count(
          server, "-c", "\(connections)", "--streams", "\(streams)", "-n", "\(requests)")
        #expect(result.ok == requests, "\(result.requests)")
        #expect(result.sent == requests)
        #expect(server.requestCount - before == requests)
        #expect(result["http.version"] as? String == "2")
        #expect(result.number("http.streams") == streams)
      }
      // An open loop, too.
      let before = server.requestCount
      let open = try Self.count(server, "-c", "2", "-R", "2000", "-d", "500ms")
      #expect(open.ok == 1_000, "\(open.requests)")
      #expect(server.requestCount - before == 1_000)
    }

    @Test func aPeerThatGoesAwayCostsNoRequest() throws {
      // After ten answers a connection goes away; what was sent behind them it has not looked at.
      let server = try Scripted { connection, server in
        var answered = 0
        Self.serve(connection) { stream in
          guard answered < 10 else { return [] }
          answered += 1
          server.note()
          return answered < 10 ? [.ok(stream)] : [.ok(stream), .goAway(last: stream)]
        }
      }
      defer { server.end() }
      let result = try Self.count(server, "-c", "2", "--streams", "8", "-n", "400")
      #expect(result.ok == 400, "\(result.requests)")
      #expect(result.sent == 400)
      #expect(server.requestCount == 400)
      #expect(result.number("http.goaways") > 0)
      #expect(result.number("http.sent_again") > 0)
    }

    @Test func aLimitOfStreamsIsObeyed() throws {
      // More than three at a time would be refused.
      let server = try Scripted { connection, server in
        var open: [UInt32] = []
        Self.serve(connection, first: [.settings(3, 3)]) { stream in
          server.note()
          open.append(stream)
          guard open.count == 3 else { return [] }
          defer { open = [] }
          return open.map { .ok($0) }
        }
      }
      defer { server.end() }
      let result = try Self.count(server, "-c", "1", "--streams", "3", "-n", "300")
      #expect(result.ok == 300, "\(result.requests)")
    }

    @Test func streamsThatAreResetAreErrorsAndTheConnectionLives() throws {
      // INTERNAL_ERROR, CANCEL and a code that RFC 9113 does not have.
      let codes: [UInt32: UInt8] = [1: 2, 3: 8, 5: 200]
      let server = try Scripted { connection, server in
        Self.serve(connection) { stream in
          server.note()
          return [codes[stream % 16].map { .reset(stream, code: $0) } ?? .ok(stream)]
        }
      }
      defer { server.end() }
      let result = try Self.count(server, "-c", "1", "--streams", "4", "-n", "400")
      #expect(result.ok == 250, "\(result.requests)")
      #expect(result.errors == ["reset": 150])
      #expect(result.number("http.resets") == 150)
      #expect(
        result["http.reset_codes"] as? [String: Int]
          == ["INTERNAL_ERROR": 50, "CANCEL": 50, "other": 50])
      #expect(result.number("http.sent_again") == 0)
      #expect(result.number("connections.reopened") == 0)
    }

    /// It has the whole answer, and only says that nobody need send more (RFC 9113 8.1).
    @Test func aResetBehindACompleteAnswerIsNoError() throws {
      let server = try Scripted { connection, server in
        Self.serve(connection) { stream in
          server.note()
          return [.ok(stream), .reset(stream, code: 0)]
        }
      }
      defer { server.end() }
      let result = try Self.count(server, "-c", "1", "--streams", "4", "-n", "100", "-b", "body")
      #expect(result.ok == 100, "\(result.requests)")
      #expect(result.number("http.resets") == 0)
      #expect(result.number("connections.reopened") == 0)
    }

    @Test func whatIsRefusedIsSentAgainAndIsNoError() throws {
      // Each second stream is refused, also one that is sent again.
      let server = try Scripted { connection, server in
        Self.serve(connection) { stream in
          guard stream % 4 == 1 else { return [.reset(stream, code: 7)] }
          server.note()
          return [.ok(stream)]
        }
      }
      defer { server.end() }
      let result = try Self.count(server, "-c", "2", "--streams", "8", "-n", "400")
      #expect(result.ok == 400, "\(result.requests)")
      #expect(result.sent == 400)
      #expect(server.requestCount == 400)
      let again = result.number("http.sent_again")
      #expect(again >= 350)
      #expect(result["http.reset_codes"] as? [String: Int] == ["REFUSED_STREAM": again])
    }

    @Test func aPeerThatRefusesAllIsNotAskedForEver() throws {
      let server = try Scripted { connection, server in
        Self.serve(connection) { stream in
          server.note()
          return [.reset(stream, code: 7)]
        }
      }
      defer { server.end() }
      let result = try Self.count(server, "-c", "1", "-n", "150")
      #expect(result.errors == ["reset": 150], "\(result.requests)")
      #expect(result.number("http.sent_again") == 100)
      #expect(result["http.reset_codes"] as? [String: Int] == ["REFUSED_STREAM": 250])
      #expect(server.requestCount == 250)
    }

    /// First the notice, then the last stream (RFC 9113 6.8): one connection that went away.
    @Test func goingAwayInTwoStepsIsCountedOnce() throws {
      let notices = Mutex(0)
      let server = try Scripted { connection, server in
        var answered = 0
        Self.serve(connection) { stream in
          guard answered < 10 else { return [] }
          answered += 1
          server.note()
          switch answered {
          case 8:
            notices.withLock { $0 += 1 }
            return [.goAway(last: .max >> 1), .ok(stream)]
          case 10: return [.ok(stream), .goAway(last: stream)]
          default: return [.ok(stream)]
          }
        }
      }
      defer { server.end() }
      let result = try Self.count(server, "-c", "1", "--streams", "8", "-n", "100")
      #expect(result.ok == 100, "\(result.requests)")
      #expect(result.sent == 100)
      #expect(server.requestCount == 100)
      let count = notices.withLock { $0 }
      #expect(count >= 10)
      #expect(result.number("http.goaways") == count)
      #expect(result["http.goaway_codes"] as? [String: Int] == ["NO_ERROR": count])
    }

    /// Each connection brings an answer, and is then ended with a code.
    @Test(arguments: [(UInt8(0), "NO_ERROR"), (11, "ENHANCE_YOUR_CALM"), (1, "PROTOCOL_ERROR")])
    func aPeerThatEndsConnectionsWithAnErrorIsGivenPauses(code: UInt8, name: String) throws {
      let times = Mutex<[Date]>([])
      let server = try Scripted { connection, server in
        Self.serve(connection) { stream in
          server.note()
          times.withLock { $0.append(Date()) }
          return [.ok(stream), .goAway(last: stream, code: code)]
        }
      }
      defer { server.end() }
      let result = try Self.count(server, "-c", "1", "-n", "6", "--timeout", "5s")
      #expect(result.ok == 6, "\(result.requests)")
      #expect(result["http.goaway_codes"] as? [String: Int] == [name: 6])
      let at = times.withLock { $0 }
      let pauses = zip(at, at.dropFirst()).map { $1.timeIntervalSince($0) }
      // 10 ms, doubling, after an error; none of the kind without one.
      for (pause, least) in zip(pauses, [0.01, 0.02, 0.04, 0.08, 0.16]) where code != 0 {
        #expect(pause >= least, "\(pauses)")
      }
      if code == 0 { #expect(pauses.min() ?? 1 < 0.01, "\(pauses)") }
      let folder = try Folder()
      let said = try Squall.ended(["report", try folder.file("a.json", result.text)])
      #expect(said.output.contains("6 \(name)"), "\(said.output) \(said.errors)")
    }

    @Test func aStreamThatIsNotAnsweredTimesOutAlone() throws {
      let server = try Scripted { connection, server in
        Self.serve(connection) { stream in
          server.note()
          return stream == 3 ? [] : [.ok(stream)]
        }
      }
      defer { server.end() }
      let result = try Self.count(server, "-c", "1", "--streams", "4", "-d", "800ms")
      #expect(result.errors == ["timeout": 1], "\(result.requests)")
      #expect(result.ok > 100)
      #expect(result.number("connections.reopened") == 0)
    }

    /// What a server sends for an answer, and the reason it is counted under.
    struct Violation: Sendable {
      var bytes: [UInt8]
      var reason: String
    }

    private static let violations: [Violation] = [
      Violation(
        bytes: Array("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".utf8),
        reason: "h2_not_http2"),
      Violation(bytes: Frame.ok(1).bytes, reason: "h2_first_frame_not_settings"),
      Violation(
        bytes: Frame.settings.bytes
          + Frame(kind: 5, flags: 4, stream: 1, payload: [0, 0, 0, 2]).bytes,
        reason: "h2_push_promise"),
      Violation(
        bytes: Frame.settings.bytes + Frame(kind: 1, flags: 5, stream: 1, payload: [0x80]).bytes,
        reason: "h2_invalid_index"),
      Violation(
        bytes: Frame.settings.bytes + Frame(kind: 0, flags: 1, stream: 1, payload: [1, 2]).bytes,
        reason: "h2_data_before_head"),
    ]

    @Test(arguments: violations)
    func aViolationIsOneErrorWithItsReason(violation: Violation) throws {
      let server = try Scripted { connection, server in
        guard connection.take(24) != nil else { return }
        while let head = connection.take(9) {
          let count = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
          guard connection.take(count) != nil else { return }
          guard head[3] == 1 else { continue }
          server.note()
          connection.write(violation.bytes)
        }
      }
      defer { server.end() }
      let result = try Self.count(server, "-c", "1", "-n", "5")
      #expect(result.errors == ["parse": 5], "\(result.requests)")
      let malformed = try #require(result["causes.malformed"] as? [[String: Any]])
      #expect(malformed.count == 1)
      #expect(malformed[0]["reason"] as? String == violation.reason)
    }

    @Test func onePeerClosesWithoutAWord() throws {
      let server = try Scripted { connection, server in
        Self.serve(connection) { stream in
          server.note()
          return stream < 9 ? [.ok(stream)] : nil
        }
      }
      defer { server.end() }
      let result = try Self.count(server, "-c", "1", "-n", "50")
      #expect(result.ok + result.notOk == 50)
      #expect(result.errors == ["closed": 10], "\(result.requests)")
    }

    /// What the program is told when a target agrees to another version of HTTP, before any load.
    @Test(arguments: [
      (["--http2"], ["http/1.1"], "it agreed to http/1.1: use --http1.1"),
      (["--http2"], [], "it agreed to no protocol: use --http1.1"),
      (["--alpn", "h2,http/1.1"], ["h2"], "agreed to h2, as --alpn offered: use --http2"),
    ])
    func anotherVersionIsRefusedBeforeTheLoad(
      flags: [String], offered: [String], words: String
    ) throws {
      let now = Int64(Date().timeIntervalSince1970)
      let certificate = try Certificate.make(
        Certificate.Options(validity: now - 3_600...now + 3_600))
      // A server that agrees to nothing is one that does not know of the extension.
      let context = try TLSContext(
        serving: certificate.chain, key: certificate.key,
        protocols: offered.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) })
      nonisolated(unsafe) let lent = context
      let server = try Scripted { connection, server in
        guard let tls = try? TLSConnection(lent, name: "") else { return }
        while let bytes = connection.read() {
          let plain = try? tls.receive(bytes)
          connection.write(tls.output())
          guard let plain else { return }
          if !plain.isEmpty { server.note() }
        }
      }
      defer { server.end() }
      // The client has to offer what this one server of a test knows, beside what is asked for.
      let alpn = flags == ["--http2"] && !offered.isEmpty ? ["--alpn", "h2,http/1.1"] : []
      let child = try Squall.ended(
        ["run", "-k", "-d", "1s"] + flags + alpn + ["https://127.0.0.1:\(server.port)/"])
      #expect(child.ending?.code != 0)
      #expect(child.errors.contains(words), "\(child.errors)")
      #expect(server.requestCount == 0)
    }

    @Test func whatDoesNotGoTogetherIsRefused() throws {
      for (arguments, word) in [
        (["--http2", "http://127.0.0.1:1/"], "--http2-prior-knowledge"),
        (["--http2-prior-knowledge", "https://127.0.0.1:1/"], "--http2"),
        (["--http2-prior-knowledge", "--pipeline", "4", "http://127.0.0.1:1/"], "--streams"),
        (["--streams", "4", "http://127.0.0.1:1/"], "--http2"),
        (["--http2", "--http1.1", "https://127.0.0.1:1/"], "contradict"),
        (["--http2-prior-knowledge", "--streams", "0", "http://127.0.0.1:1/"], "outside"),
        (["--http2-prior-knowledge", "-H", "Connection: x", "http://127.0.0.1:1/"], "HTTP/2"),
        (["--cacert", "/dev/null", "http://127.0.0.1:1/"], "https://"),
        (["--cacert", "/dev/null", "https://127.0.0.1:1/"], "empty"),
        (["--cert", "/dev/null", "https://127.0.0.1:1/"], "--key"),
        (["--tls-min", "1.1", "https://127.0.0.1:1/"], "1.2"),
        (["--tls-min", "1.3", "--tls-max", "1.2", "https://127.0.0.1:1/"], "no version"),
        (["--tls-session", "never", "https://127.0.0.1:1/"], "resume"),
        (["--alpn", "http/1.1", "--http2", "https://127.0.0.1:1/"], "h2"),
      ] {
        let child = try Squall.ended(["run"] + arguments)
        #expect(child.ending == Child.Ending(code: 2), "\(arguments): \(child.errors)")
        #expect(child.errors.contains(word), "\(arguments): \(child.errors)")
      }
      // A key does not go to whoever comes.
      let master = try Squall.ended([
        "master", "--headless", "--cert", "a", "--key", "b", "https://127.0.0.1:1/",
      ])
      #expect(master.ending == Child.Ending(code: 2), "\(master.errors)")
    }
  }
}
