import Foundation
import Glibc
import Testing

extension EndToEnd {
  /// Servers that break the rules, each in its way: every request ends with its cause, none twice and
  /// none silently, and the run ends on time.
  @Suite(.serialized) struct MisbehaviorTests {
    private static let runMs: UInt64 = 400
    private static let timeoutMs: UInt64 = 100

    struct Way: Sendable, CustomTestStringConvertible {
      var name: String
      /// Causes of which at least one occurs, and beside which none does; empty: all are ok.
      var causes: Set<String>
      /// Whether requests besides are ok; nil when that is left to chance.
      var hasOk: Bool? = false
      var arguments: [String] = []
      var script: @Sendable (Scripted.Connection, Scripted) -> Void

      var testDescription: String { name }
    }

    private static func answering(
      _ name: String, _ causes: Set<String>, hasOk: Bool? = false, arguments: [String] = [],
      _ act: @escaping @Sendable (Scripted.Connection) -> Bool
    ) -> Way {
      Way(name: name, causes: causes, hasOk: hasOk, arguments: arguments) { connection, server in
        while connection.head() != nil {
          server.note()
          guard act(connection) else { return }
        }
      }
    }

    /// Answers with these bytes and goes on reading.
    private static func saying(_ name: String, _ causes: Set<String>, _ bytes: String) -> Way {
      answering(name, causes) { connection in
        connection.write(bytes)
      }
    }

    private static let head = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n"

    static let ways: [Way] = [
      answering("never answers", ["timeout"]) { _ in true },
      saying("stops in the head", ["timeout"], "HTTP/1.1 200 OK\r\nContent-Le"),
      saying("stops in the body", ["timeout"], head + "\r\nHello"),
      saying(
        "stops in a chunk", ["timeout"],
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
      answering("drips a byte each 5 ms, for longer than the timeout", ["timeout"]) { connection in
        for byte in head + "\r\nHello, world!" {
          guard connection.write(String(byte)) else { return false }
          usleep(5_000)
        }
        return true
      },
      answering("ends before the head", ["closed"]) { _ in false },
      answering("ends in the head", ["closed"]) { connection in
        connection.write("HTTP/1.1 200")
        return false
      },
      answering("ends in the body", ["closed"]) { connection in
        connection.write(head + "\r\nHello")
        return false
      },
      answering("ends before the last chunk", ["closed"]) { connection in
        connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n")
        return false
      },
      answering("resets before the head", ["reset"]) { connection in
        connection.reset()
        return false
      },
      answering("resets in the body", ["reset"]) { connection in
        connection.write(head + "\r\nHello")
        connection.reset()
        return false
      },
      saying("speaks another protocol", ["parse"], "SSH-2.0-OpenSSH_9.2\r\n"),
      saying("speaks TLS", ["parse"], "\u{15}\u{3}\u{1}\u{0}\u{2}\u{2}\u{46}"),
      saying(
        "gives two lengths", ["parse"],
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nHello!"),
      saying(
        "gives a length below zero", ["parse"], "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"),
      saying(
        "gives a length of 2^64 + 5", ["parse"],
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551621\r\n\r\nHello"),
      saying(
        "gives a chunk no size", ["parse"],
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n"),
      answering("sends a head without end", ["parse"]) { connection in
        connection.write("HTTP/1.1 200 OK\r\n")
        let line = String(repeating: "X: \(String(repeating: "y", count: 200))\r\n", count: 50)
        while connection.write(line) {}
        return false
      },
      answering("sends interim responses without end", ["parse"]) { connection in
        while connection.write("HTTP/1.1 103 Early Hints\r\n\r\n") {}
        return false
      },
      answering("sends interim responses first", [], hasOk: true) { connection in
        connection.write(
          "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + head
            + "\r\nHello, world!")
      },
      answering("ends the body with the connection", [], hasOk: true) { connection in
        connection.write("HTTP/1.1 200 OK\r\n\r\nHello, world!")
        return false
      },
      answering("says that it ends the connection, and leaves that to us", [], hasOk: true) {
        connection in
        connection.write(head + "Connection: close\r\n\r\nHello, world!")
        connection.readToEnd()
        return false
      },
      // Behind its answer stands one that nobody asked for: only the first counts.
      answering("answers twice", [], hasOk: true) { connection in
        connection.write(head + "\r\nHello, world!" + head + "\r\nHello, world!")
      },
      // The next request may be under way already.
      answering(
        "ends each connection after one answer without saying so", ["closed", "reset", "send"],
        hasOk: true
      ) {
        connection in
        connection.write(head + "\r\nHello, world!")
        return false
      },
      answering(
        "answers before the body has come and ends", ["status", "send", "reset"], hasOk: false,
        arguments: ["-b", String(repeating: "x", count: 100_000)]
      ) { connection in
        connection.write(
          "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        shutdown(connection.socket, Int32(SHUT_WR))
        connection.readToEnd()
        return false
      },
    ]

    @Test(arguments: ways) func isCountedForWhatItIs(way: Way) throws {
      let server = try Scripted(way.script)
      defer { server.end() }
      let child = try Squall.ended(
        [
          "run", "--quiet", "--format", "json", "-w", "1", "-c", "3", "-d", "\(Self.runMs)ms",
          "--timeout", "\(Self.timeoutMs)ms", "--drain", "300ms",
        ] + way.arguments + [server.url])
      let result = try Measured(child.output)
      // Not one ok answer is no success.
      #expect(child.ending == Child.Ending(code: result.ok == 0 ? 1 : 0), "\(child.errors)")
      result.expectConservation()
      #expect(result.number("measured_ns") == Int(Self.runMs) * 1_000_000)
      #expect(result.sent > 0)
      // The time itself, the drain, and starting and reporting on a busy host.
      #expect((child.endedNs ?? .max) - child.startedNs < (Self.runMs + 300 + 3_000) * 1_000_000)
      let causes = Set(result.errors.keys)
      if way.causes.isEmpty {
        #expect(causes.isEmpty, "\(result.requests)")
      } else {
        #expect(causes.isSubset(of: way.causes), "\(result.requests)")
        #expect(way.hasOk == true || !causes.isEmpty, "\(result.requests)")
      }
      if let hasOk = way.hasOk { #expect((result.ok > 0) == hasOk, "\(result.requests)") }
      // A server cannot have read less than was answered, nor more than was sent.
      #expect(result.ok <= server.requestCount)
      #expect(server.requestCount <= result.sent)
      if way.causes == ["timeout"] {
        // Three connections, one after the other for as long as the timeout.
        let most = 3 * Int(Self.runMs / Self.timeoutMs + 1)
        #expect((3...most).contains(result.notOk), "\(result.requests)")
      }
    }

    private static func counted(_ server: Scripted) throws -> Measured {
      try Measured(
        try Squall.ended([
          "run", "--quiet", "--format", "json", "-w", "1", "-c", "2", "-n", "10", "--timeout",
          "200ms", server.url,
        ]).output)
    }

    @Test(arguments: [
      ("HTTP/1.1 200 OK\r\n\"Connection: close\"\r\n\r\n", "invalid_field_name", false),
      (
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "conflicting_content_lengths", false
      ),
      ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "switching_protocols", false),
      ("SSH-2.0-OpenSSH_9.6\r\n", "not_http", false),
      (
        "HTTP/1.1 200 OK\r\nX: \(String(repeating: "x", count: 70_000))\r\n\r\n", "head_too_long",
        true
      ),
      (
        "HTTP/1.1 200 OK\r\n\(String(repeating: "X: y\r\n", count: 300))\r\n", "too_many_fields",
        true
      ),
    ])
    func whyAnAnswerCannotBeReadIsCounted(answer: String, reason: String, isOurs: Bool) throws {
      let server = try Scripted(answer: answer)
      defer { server.end() }
      let result = try Self.counted(server)
      result.expectConservation()
      #expect(result.errors == ["parse": 10])
      let malformed = try #require(result["causes.malformed"] as? [[String: Any]])
      #expect(malformed.map { $0["reason"] as? String } == [reason])
      #expect(malformed.map { $0["count"] as? Int } == [10])
      #expect(malformed.map { $0["our_limit"] as? Bool } == [isOurs])
      let start = result["causes.samples.strange_start"] as? String
      #expect(start == (reason == "not_http" ? "SSH-2.0-OpenSSH_9.6\\x0d\\x0a" : nil))
    }

    @Test func anAnswerCutShortIsToldFromNoneAndFromALateOne() throws {
      let cut = try Scripted { connection, server in
        while connection.head() != nil {
          server.note()
          connection.write(Self.head + "\r\nHello")
          return
        }
      }
      defer { cut.end() }
      let first = try Self.counted(cut)
      #expect(first.errors == ["closed": 10])
      #expect(first["causes.findings.cut_short"] as? Int == 10)
      #expect(first["causes.findings.cut_short_body_bytes"] as? Int == 50)

      let silent = try Scripted { connection, server in
        if connection.head() != nil { server.note() }
      }
      defer { silent.end() }
      let second = try Self.counted(silent)
      #expect(second.errors == ["closed": 10])
      #expect(second["causes"] == nil)

      let late = try Scripted(answer: Self.head + "\r\nHello")
      defer { late.end() }
      let third = try Self.counted(late)
      #expect(third.errors == ["timeout": 10])
      #expect(third["causes.findings.late_in_answer"] as? Int == 10)
    }

    /// What stands behind an announced end goes out again, also when all other connections have nothing to
    /// do and no answer wakes them.
    @Test func whatWasNotLookedAtIsTakenByAConnectionThatIsIdle() throws {
      let lock = NSLock()
      nonisolated(unsafe) var hasFirst = false
      let server = try Scripted { connection, server in
        guard connection.head() != nil else { return }
        let isFirst = lock.withLock {
          defer { hasFirst = true }
          return !hasFirst
        }
        server.note()
        guard isFirst else {
          connection.write(Scripted.hello)
          while connection.head() != nil {
            server.note()
            connection.write(Scripted.hello)
          }
          return
        }
        // A slow answer: the other connection is idle by then.
        usleep(100_000)
        connection.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
      }
      defer { server.end() }
      let child = try Squall.ended(
        [
          "run", "--quiet", "--format", "json", "-w", "1", "-c", "2", "--pipeline", "2", "-n", "4",
          server.url,
        ], withinMs: 20_000)
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      let result = try Measured(child.output)
      result.expectConservation()
      #expect(result.ok == 4 && result.sent == 4, "\(result.requests)")
      #expect(result.number("http.sent_again") == 1)
      #expect(server.requestCount == 4)
    }

    @Test func aKeepAliveLimitThatIsNotAnnouncedIsFound() throws {
      let server = try Scripted { connection, server in
        for _ in 0..<7 {
          guard connection.head() != nil else { return }
          server.note()
          connection.write(Scripted.hello)
        }
      }
      defer { server.end() }
      let child = try Squall.ended(["run", "-w", "1", "-c", "3", "-n", "300", server.url])
      let words = child.output.split { $0 == " " || $0 == "\n" }.joined(separator: " ")
      #expect(words.contains("--requests-per-connection 7 avoids it"), "\(child.output)")
      let remedied = try Squall.ended([
        "run", "-w", "1", "-c", "3", "-n", "300", "--requests-per-connection", "7", server.url,
      ])
      #expect(remedied.output.contains("Not ok          0"), "\(remedied.output)")
    }

    /// Connections are opened ahead of the load: one that ends before it is opened again for it.
    @Test(arguments: [[], ["-R", "200", "-d", "10s"]])
    func connectionsThatEndBeforeTheLoadAreOpenedAgain(load: [String]) throws {
      let server = try Scripted { connection, server in
        guard connection.number >= 2 else { return }
        while connection.head() != nil {
          server.note()
          connection.write(Scripted.hello)
        }
      }
      defer { server.end() }
      let child = try Squall.ended(
        ["run", "--quiet", "--format", "json", "-w", "1", "-c", "2", "-n", "10"] + load
          + [server.url], withinMs: 30_000)
      // A request that met the end went out before it.
      let result = try Measured(child.output)
      #expect(result.sent == 10, "\(result.requests)\(child.errors)")
      #expect(result.ok >= 8, "\(result.requests)")
    }

    @Test func aTargetThatSpeaksFirstIsNamed() throws {
      let server = try Scripted { connection, _ in
        connection.write("SSH-2.0-OpenSSH_9.6\r\n")
        connection.readToEnd()
      }
      defer { server.end() }
      let child = try Squall.ended(
        ["run", "-w", "1", "-c", "2", "-d", "400ms", server.url], withinMs: 30_000)
      #expect(child.ending == Child.Ending(code: 1), "\(child.errors)")
      #expect(child.output.contains("speaks SSH"), "\(child.output)")
    }

    @Test func bytesBehindAnAnswerAreCounted() throws {
      let server = try Scripted(answer: Scripted.hello + "XX")
      defer { server.end() }
      let result = try Self.counted(server)
      #expect(result.errors.isEmpty)
      let count = try #require(result["causes.findings.stray_connections"] as? Int)
      // The bytes behind the very last answers may come after the run.
      #expect((5...10).contains(count))
      #expect(result["causes.findings.stray_bytes"] as? Int == 2 * count)
    }

    @Test func whatARunWouldCountAsAnErrorIsNoSuccessOfDebugEither() throws {
      for (answer, code, words) in [
        (Scripted.hello, 0 as Int32, "connection stays open"),
        (Scripted.hello + "XX", 0, "2 bytes behind it that nobody asked for"),
        ("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", 1, "status 500"),
        ("HTTP/1.1 200 OK\r\n\"Connection: close\"\r\n\r\n", 1, "malformed: a field name"),
      ] {
        let server = try Scripted(answer: answer)
        defer { server.end() }
        let child = try Squall.ended(["run", "--debug", server.url])
        #expect(child.ending == Child.Ending(code: code), "\(child.output)\(child.errors)")
        #expect(child.output.contains(words), "\(child.output)")
      }
    }

    @Test func withoutAnOkAnswerNothingIsShownForALatency() throws {
      let server = try Scripted(answer: "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
      defer { server.end() }
      let text = try Squall.ended(["run", "-w", "1", "-c", "2", "-n", "20", server.url])
      #expect(text.ending == Child.Ending(code: 1), "\(text.errors)")
      #expect(
        text.output.contains("NO OK ANSWER") && !text.output.contains("0ns"), "\(text.output)")
      let json = try Measured(
        try Squall.ended([
          "run", "--quiet", "--format", "json", "-w", "1", "-c", "2", "-n", "20", server.url,
        ]).output)
      #expect(json["latency_ns.response.p99"] is NSNull)
      #expect(json["plan.duration_ns"] == nil)
      let search = try Squall.ended([
        "find", "-w", "1", "-c", "2", "--slo", "p99<50ms", "--start-rate", "50", "--settle", "50ms",
        "--measure", "100ms", server.url,
      ])
      #expect(search.errors.contains("p99 -") && !search.errors.contains("0ns"), "\(search.errors)")
      #expect(!search.output.contains("0ns"), "\(search.output)")
    }

    @Test func aTargetThatDoesNotTakeConnectionsIsCountedInTime() throws {
      // The queue of this listener holds one connection, the look that is the load's first, and nobody
      // takes it out.
      let socket = Glibc.socket(
        AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      defer { close(socket) }
      var address = loopback(port: 0)
      var byteCount = socklen_t(MemoryLayout<sockaddr_in>.size)
      let isListening = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
          bind(socket, raw, byteCount) == 0 && listen(socket, 0) == 0
            && getsockname(socket, raw, &byteCount) == 0
        }
      }
      try #require(isListening)
      let port = UInt16(bigEndian: address.sin_port)
      let child = try Squall.ended([
        "run", "--quiet", "--format", "json", "-w", "1", "-c", "2", "-d", "500ms",
        "--connect-timeout", "100ms", "--drain", "100ms", "http://127.0.0.1:\(port)/",
      ])
      #expect(child.ending == Child.Ending(code: 1), "\(child.errors)")
      let result = try Measured(child.output)
      result.expectConservation()
      #expect(result.sent == 1 && result.ok == 0)
      #expect(Set(result.errors.keys) == ["connect"])
      // The other one, again after 100 ms and a pause that grows from 10 ms.
      #expect((1...5).contains(result.errors["connect", default: 0]), "\(result.requests)")
      #expect((child.endedNs ?? .max) - child.startedNs < 4_000_000_000)
    }
  }
}
