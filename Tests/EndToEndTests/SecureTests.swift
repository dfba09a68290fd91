import Foundation
import SquallLoad
import SquallTLS
import Synchronization
import Testing

extension EndToEnd {
  /// Targets that speak TLS: whole runs against a server whose every answer is counted.
  @Suite(.serialized) struct SecureTests {
    static let now = Int64(Date().timeIntervalSince1970)

    static func certificate(
      _ edit: (inout Certificate.Options) -> Void = { _ in }
    ) throws -> Certificate {
      var options = Certificate.Options(validity: now - 3_600...now + 3_600)
      edit(&options)
      return try Certificate.make(options)
    }

    static func context(
      _ certificate: Certificate, versions: ClosedRange<UInt16> = 0x0303...0x0304,
      resumes: Bool = false
    ) throws -> TLSContext {
      try TLSContext(
        serving: certificate.chain, key: certificate.key, protocols: [8] + Array("http/1.1".utf8),
        versions: versions, resumes: resumes)
    }

    /// The server's end of one connection; `answer` gives an answer to each request, nil ends it.
    static func serve(
      _ connection: Scripted.Connection, _ context: TLSContext, announcesEnd: Bool = true,
      _ answer: (Int) -> String?
    ) {
      guard let tls = try? TLSConnection(context, name: "") else { return }
      var pending: [UInt8] = []
      var count = 0
      while let bytes = connection.read() {
        guard let plain = try? tls.receive(bytes) else {
          connection.write(tls.output())
          return
        }
        connection.write(tls.output())
        pending += plain
        while let end = pending.firstRange(of: Array("\r\n\r\n".utf8)) {
          pending.removeSubrange(..<end.upperBound)
          count += 1
          guard let text = answer(count), let sealed = try? tls.seal(Array(text.utf8)) else {
            if announcesEnd { connection.write(tls.sealClose()) }
            return
          }
          connection.write(sealed)
        }
        if tls.wasClosed { return }
      }
    }

    static func server(
      _ context: TLSContext, announcesEnd: Bool = true,
      _ answer: @escaping @Sendable (Int) -> String? = { _ in Scripted.hello }
    ) throws -> Scripted {
      nonisolated(unsafe) let context = context
      let lock = NSLock()
      return try Scripted { connection, server in
        // The library's context is not made for several threads here.
        lock.withLock {
          serve(connection, context, announcesEnd: announcesEnd) { count in
            server.note()
            return answer(count)
          }
        }
      }
    }

    /// A file for the length of a test.
    private static func file(_ bytes: [UInt8], _ body: (String) throws -> Void) throws {
      let path = FileManager.default.temporaryDirectory.appendingPathComponent(
        UUID().uuidString
      ).path
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      defer { try? FileManager.default.removeItem(atPath: path) }
      try body(path)
    }

    static func url(_ server: Scripted) -> String { "https://127.0.0.1:\(server.port)/" }

    @Test(arguments: [UInt16(0x0303), 0x0304])
    func everyRequestIsCountedExactly(version: UInt16) throws {
      let certificate = try Self.certificate()
      let server = try Self.server(try Self.context(certificate, versions: version...version))
      defer { server.end() }
      try Self.file(certificate.chain) { path in
        let result = try Squall.run([
          "-w", "1", "-c", "1", "-n", "500", "--cacert", path, Self.url(server),
        ])
        result.expectConservation()
        #expect(result.ok == 500, "\(result.requests)")
        #expect(server.requestCount == 500)
        #expect(result["tls.version"] as? String == (version == 0x0304 ? "1.3" : "1.2"))
        #expect(result.number("tls.handshakes.full") == 1)
        #expect(result.number("tls.handshakes.failed") == 0)
        #expect(result["tls.alpn"] as? String == "http/1.1")
        #expect(result["tls.verified"] as? Bool == true)
        #expect(result.number("latency_ns.tls.count") == 1)
      }
    }

    @Test func connectionsAreReplacedWithFullOrResumedHandshakes() throws {
      let server = try Self.server(try Self.context(try Self.certificate(), resumes: true))
      defer { server.end() }
      for (session, full, resumed) in [("full", 50, 0), ("resume", 1, 49)] {
        let result = try Squall.run([
          "-w", "1", "-c", "1", "-n", "50", "--no-keepalive", full == 1 ? "-k" : "--insecure",
          "--tls-session", session,
          Self.url(server),
        ])
        result.expectConservation()
        #expect(result.ok == 50, "\(result.requests)")
        #expect(result.number("tls.handshakes.full") == full)
        #expect(result.number("tls.handshakes.resumed") == resumed)
        #expect(result["tls.session"] as? String == session)
        #expect(result["tls.verified"] as? Bool == false)
      }
    }

    /// Two keys and what belongs to them. What its handshake needed is given back before the load.
    @Test func aConnectionKeepsLessThanTwoKiB() throws {
      try onAQuietHost {
        let more = try [["--tls"], []].map { try privateKiB(3_500, $0) - privateKiB(500, $0) }
        let each = Double(more[0] - more[1]) / 3_000
        print("a connection over TLS takes \(each) KiB more than one without")
        return each <= 2 && each > 0.5 ? [] : ["\(each) KiB a connection: \(more)"]
      }
    }

    /// Memory of the worker alone, half a second before its end: its receive buffers have all been used.
    private func privateKiB(_ connectionCount: Int, _ arguments: [String]) throws -> Int {
      let target = try Served(arguments)
      let child = try Squall.start(
        ["run", "--quiet", "-w", "1", "-c", "\(connectionCount)", "-R", "4000", "-d", "3s"]
          + (arguments.isEmpty ? [] : ["-k"]) + [target.url])
      var readings: [(atNs: UInt64, kiB: Int)] = []
      try child.awaitEnd {
        guard let worker = child.children.first,
          let text = try? String(contentsOfFile: "/proc/\(worker)/smaps_rollup", encoding: .utf8)
        else { return }
        let kiB = text.split(separator: "\n").filter { $0.hasPrefix("Private_") }
          .compactMap { Int($0.split(separator: " ")[1]) }
        readings.append((monotonicNs(), kiB.reduce(0, +)))
      }
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      let lastNs = try #require(readings.last).atNs
      return try #require(readings.last { $0.atNs + 500_000_000 < lastNs }).kiB
    }

    @Test func aRefusedCertificateIsSaidBeforeTheLoad() throws {
      let good = try Self.certificate()
      let old = try Self.certificate { $0.validity = Self.now - 7_200...Self.now - 3_600 }
      for (certificate, arguments, words) in [
        (good, [], "no known authority signed"),
        (old, [], "no known authority signed"),
      ] as [(Certificate, [String], String)] {
        let server = try Self.server(try Self.context(certificate))
        defer { server.end() }
        let child = try Squall.ended(["run"] + arguments + [Self.url(server)])
        #expect(child.ending == Child.Ending(code: 1))
        #expect(child.errors.contains(words), "\(child.errors)")
        #expect(child.errors.contains("-k"), "\(child.errors)")
        #expect(server.requestCount == 0)
      }
      let server = try Self.server(try Self.context(good))
      defer { server.end() }
      try Self.file(good.chain) { path in
        let child = try Squall.ended([
          "run", "--cacert", path, "--sni", "example.com", Self.url(server),
        ])
        #expect(child.ending == Child.Ending(code: 1))
        #expect(child.errors.contains("a certificate of another name"), "\(child.errors)")
      }
    }

    @Test func aPortWithoutTLSIsNamed() throws {
      let server = try Scripted(answer: Scripted.hello)
      defer { server.end() }
      let other = try Scripted { connection, _ in
        connection.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        connection.readToEnd()
      }
      defer { other.end() }
      let child = try Squall.ended(["run", "-k", Self.url(other)])
      #expect(child.ending == Child.Ending(code: 1))
      #expect(child.errors.contains("does not speak TLS on this port"), "\(child.errors)")
    }

    @Test func handshakesThatFailInTheRunAreErrorsWithTheirReason() throws {
      // The look before the load gets through; all others are ended in the handshake.
      let context = try Self.context(try Self.certificate())
      nonisolated(unsafe) let lent = context
      let server = try Scripted { connection, server in
        guard connection.number > 0 else {
          return Self.serve(connection, lent) { _ in Scripted.hello }
        }
        _ = connection.read()
      }
      defer { server.end() }
      let child = try Squall.ended([
        "run", "--quiet", "--format", "json", "-w", "1", "-c", "1", "-d", "300ms", "-k",
        Self.url(server),
      ])
      #expect(child.ending == Child.Ending(code: 1), "\(child.errors)")
      let result = try Measured(child.output)
      #expect(result.ok == 0)
      #expect((result.errors["tls"] ?? 0) > 0, "\(result.requests)")
      #expect(result.number("tls.failures.closed") == result.errors["tls"])
      #expect(Set(result.errors.keys) == ["tls"])
    }

    /// The look before the load has a certificate that we trust; all other connections have another.
    @Test func aTargetThatIsNotTrustedIsToldSo() throws {
      let trusted = try Self.certificate()
      let contexts = [try Self.context(trusted), try Self.context(try Self.certificate())]
      nonisolated(unsafe) let lent = contexts
      let alerts = Mutex<[UInt8]>([])
      let server = try Scripted { connection, server in
        guard connection.number > 0 else {
          return Self.serve(connection, lent[0], announcesEnd: false) { _ in nil }
        }
        guard let tls = try? TLSConnection(lent[1], name: "") else { return }
        while let bytes = connection.read() {
          do throws(TLSConnection.Failure) {
            _ = try tls.receive(bytes)
            connection.write(tls.output())
          } catch {
            return alerts.withLock { $0.append(error.alert) }
          }
        }
      }
      defer { server.end() }
      try Self.file(trusted.chain) { authority in
        let result = try Squall.run(
          ["-w", "1", "-c", "1", "-d", "300ms", "--cacert", authority, Self.url(server)], code: 1)
        let failureCount = try #require(result.errors["tls"])
        #expect(result.number("tls.failures.unknown_ca") == failureCount)
        // Unknown authority, each time (RFC 8446 section 6.2).
        let heard = alerts.withLock { $0 }
        #expect(!heard.isEmpty && heard.allSatisfy { $0 == 48 }, "\(heard)")
      }
    }

    /// Each asks for an answer, and together the answers are longer than what goes before a request.
    @Test func manyChangesOfKeysAreAnswered() throws {
      let context = try Self.context(try Self.certificate())
      nonisolated(unsafe) let lent = context
      let server = try Scripted { connection, server in
        guard let tls = try? TLSConnection(lent, name: "") else { return }
        var pending: [UInt8] = []
        while let bytes = connection.read() {
          guard let plain = try? tls.receive(bytes) else { return }
          connection.write(tls.output())
          pending += plain
          while let end = pending.firstRange(of: Array("\r\n\r\n".utf8)) {
            pending.removeSubrange(..<end.upperBound)
            server.note()
            var sealed: [UInt8] = []
            for _ in 0..<30 { sealed += tls.sealKeyUpdate(asks: true) }
            guard let answer = try? tls.seal(Array(Scripted.hello.utf8)) else { return }
            connection.write(sealed + answer)
          }
        }
      }
      defer { server.end() }
      let result = try Squall.run(["-w", "1", "-c", "1", "-n", "20", "-k", Self.url(server)])
      result.expectConservation()
      #expect(result.ok == 20, "\(result.requests)")
      #expect(result.number("connections.reopened") == 0)
    }

    @Test func anEndWithoutAWordIsNoEndOfABody() throws {
      let body = "HTTP/1.1 200 OK\r\n\r\nuntil the end"
      for (announces, ok) in [(true, 3), (false, 0)] {
        let server = try Self.server(
          try Self.context(try Self.certificate()), announcesEnd: announces
        ) { count in count == 1 ? body : nil }
        defer { server.end() }
        // A second request makes the server end the connection; so does its answer's being read.
        let child = try Squall.ended([
          "run", "--quiet", "--format", "json", "-w", "1", "-c", "1", "-n", "3", "--pipeline", "2",
          "-k", "--timeout", "1s", Self.url(server),
        ])
        let result = try Measured(child.output)
        #expect((result.ok > 0) == (ok > 0), "\(announces): \(result.requests)")
      }
    }
  }
}
