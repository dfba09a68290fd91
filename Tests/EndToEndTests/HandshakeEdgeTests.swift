import Foundation
import Glibc
import SquallLoad
import SquallTLS
import Synchronization
import Testing

extension EndToEnd {
  /// TLS at its edges: backends that differ, handshakes that stall or are retried, peers that break rules.
  @Suite(.serialized) struct HandshakeEdgeTests {
    /// A server whose connections are served by `script` with a state of their own each.
    private static func server(
      _ context: @escaping @Sendable (Int) -> TLSContext,
      _ script: @escaping @Sendable (Scripted.Connection, TLSConnection, Scripted) -> Void
    ) throws -> Scripted {
      try Scripted { connection, server in
        guard let tls = try? TLSConnection(context(connection.number), name: "") else { return }
        script(connection, tls, server)
      }
    }

    /// Answers requests until a script of its own takes over: `instead` gives the bytes for the request of
    /// that number on this connection, sealed or not, or nil for the usual answer.
    private static func answer(
      _ connection: Scripted.Connection, _ tls: TLSConnection, _ server: Scripted,
      heard: (UInt8) -> Void = { _ in }, instead: (Int) throws -> [UInt8]? = { _ in nil }
    ) {
      var pending: [UInt8] = []
      var count = 0
      while let bytes = connection.read() {
        do throws(TLSConnection.Failure) {
          pending += try tls.receive(bytes)
        } catch {
          connection.write(tls.output())
          return heard(error.alert)
        }
        connection.write(tls.output())
        while let end = pending.firstRange(of: Array("\r\n\r\n".utf8)) {
          pending.removeSubrange(..<end.upperBound)
          count += 1
          server.note()
          guard let bytes = try? instead(count) ?? tls.seal(Array(Scripted.hello.utf8)) else {
            return
          }
          connection.write(bytes)
        }
        if tls.wasClosed { return }
      }
    }

    private static func count(_ server: Scripted, _ arguments: String...) throws -> Measured {
      let child = try Squall.ended(
        ["run", "--quiet", "--format", "json", "-w", "1", "-c", "1", "-k"] + arguments
          + [SecureTests.url(server)])
      let result = try Measured(child.output)
      result.expectConservation()
      return result
    }

    /// The backend that was looked at agrees to HTTP/1.1, the others to HTTP/2.
    @Test func aBackendOfAnotherVersionFailsInTheHandshake() throws {
      let certificate = try SecureTests.certificate()
      nonisolated(unsafe) let contexts = try ["http/1.1", "h2"].map { name in
        try TLSContext(
          serving: certificate.chain, key: certificate.key,
          protocols: [UInt8(name.utf8.count)] + Array(name.utf8))
      }
      let backend: @Sendable (Int) -> TLSContext = { contexts[min($0, 1)] }
      let server = try Self.server(backend) { connection, tls, server in
        Self.answer(connection, tls, server)
      }
      defer { server.end() }
      let result = try Self.count(server, "--alpn", "h2,http/1.1", "-d", "300ms")
      #expect(result.sent == 0 && server.requestCount == 0, "\(result.requests)")
      #expect((result.errors["tls"] ?? 0) > 0)
      #expect(result.number("tls.failures.no_protocol") == result.errors["tls"])
    }

    /// RFC 8446 4.1.4: this server takes no group that a key was sent of.
    @Test func retriedHellosAreCounted() throws {
      let certificate = try SecureTests.certificate()
      nonisolated(unsafe) let context = try TLSContext(
        serving: certificate.chain, key: certificate.key, protocols: [8] + Array("http/1.1".utf8),
        groups: "P-384")
      let backend: @Sendable (Int) -> TLSContext = { _ in context }
      let server = try Self.server(backend) { connection, tls, server in
        Self.answer(connection, tls, server)
      }
      defer { server.end() }
      let result = try Self.count(server, "-n", "5", "--no-keepalive")
      #expect(result.ok == 5, "\(result.requests)")
      #expect(result.number("tls.handshakes.full") == 5)
      #expect(result.number("tls.handshakes.retried") == 5)
    }

    /// The time to connect covers the handshake, and a pause follows.
    @Test func aHandshakeThatStallsIsGivenUpInTime() throws {
      nonisolated(unsafe) let context = try SecureTests.context(try SecureTests.certificate())
      let backend: @Sendable (Int) -> TLSContext = { _ in context }
      let server = try Self.server(backend) { connection, tls, server in
        guard connection.number > 0 else { return Self.answer(connection, tls, server) }
        connection.readToEnd()
      }
      defer { server.end() }
      let result = try Self.count(server, "-d", "500ms", "--connect-timeout", "100ms")
      let count = result.errors["tls"] ?? 0
      #expect(Set(result.errors.keys) == ["tls"], "\(result.requests)")
      #expect((2...5).contains(count))
      #expect(result.number("tls.failures.timed_out") == count)
    }

    /// RFC 8446 6.1: at an idle connection's end nothing is lost; with a request under way it is closed.
    @Test(arguments: [true, false]) func anAnnouncedEndIsAnEnd(whenIdle: Bool) throws {
      nonisolated(unsafe) let context = try SecureTests.context(try SecureTests.certificate())
      let backend: @Sendable (Int) -> TLSContext = { _ in context }
      let server = try Self.server(backend) { connection, tls, server in
        Self.answer(
          connection, tls, server,
          instead: { count in
            guard whenIdle || count > 1 else { return nil }
            let answer = whenIdle ? try tls.seal(Array(Scripted.hello.utf8)) : []
            return answer + tls.sealClose()
          })
      }
      defer { server.end() }
      let result = try Self.count(server, "-n", "20", "--timeout", "1s")
      #expect(result.ok == (whenIdle ? 20 : 10), "\(result.requests)")
      #expect(result.errors == (whenIdle ? [:] : ["closed": 10]))
      #expect(server.requestCount == 20)
    }

    /// What a peer breaks after the handshake: it is told why (RFC 8446 6.2), and the run as well.
    @Test(arguments: [(true, UInt8(10)), (false, 20)])
    func aPeerThatBreaksTheRulesIsToldSo(changesKeys: Bool, alert: UInt8) throws {
      nonisolated(unsafe) let context = try SecureTests.context(try SecureTests.certificate())
      let alerts = Mutex<[UInt8]>([])
      let server = try Scripted { connection, server in
        guard let tls = try? TLSConnection(context, name: "") else { return }
        Self.answer(
          connection, tls, server, heard: { alert in alerts.withLock { $0.append(alert) } },
          instead: { _ in
            // More than 32 changes of keys without data, or a record that its key does not open.
            guard !changesKeys else {
              return (0..<33).flatMap { _ in tls.sealKeyUpdate(asks: false) }
            }
            var sealed = try tls.seal(Array(Scripted.hello.utf8))
            sealed[20] ^= 1
            return sealed
          })
      }
      defer { server.end() }
      let result = try Self.count(server, "-n", "3", "--timeout", "1s")
      #expect(result.errors == ["closed": 3], "\(result.requests)")
      #expect(result.number("tls.failures.bad_record") == 3)
      #expect(alerts.withLock { $0 } == [alert, alert, alert])
    }
  }

  /// Against OpenSSL, which can do on a server what our own library cannot.
  @Suite(.serialized, .enabled(if: Python.hasOpenSSL, "python3 with OpenSSL 3 is not installed"))
  struct OpenSSLTests {
    /// `renegotiate` asks for a renegotiation in place of an answer and prints what it hears. `h2` sends its
    /// SETTINGS in one piece with its Finished, and prints the most streams that were open at a time.
    private static let script = """
      import ctypes, socket, sys, threading
      folder, mode, version = sys.argv[1:4]
      libssl, libcrypto = ctypes.CDLL("libssl.so.3"), ctypes.CDLL("libcrypto.so.3")
      P, Int, Size = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
      def of(library, name, result, *arguments):
          call = getattr(library, name)
          call.restype, call.argtypes = result, arguments
          return call
      context = of(libssl, "SSL_CTX_new", P, P)(of(libssl, "TLS_server_method", P)())
      assert of(libssl, "SSL_CTX_use_certificate_chain_file", Int, P, ctypes.c_char_p)(
          context, (folder + "/chain.pem").encode()) == 1
      assert of(libssl, "SSL_CTX_use_PrivateKey_file", Int, P, ctypes.c_char_p, Int)(
          context, (folder + "/key.pem").encode(), 1) == 1
      # SSL_CTRL_SET_MAX_PROTO_VERSION
      of(libssl, "SSL_CTX_ctrl", ctypes.c_long, P, Int, ctypes.c_long, P)(
          context, 124, 0x0304 if version == "1.3" else 0x0303, None)
      name = b"h2" if mode == "h2" else b"http/1.1"
      chosen = ctypes.create_string_buffer(name)
      @ctypes.CFUNCTYPE(Int, P, ctypes.POINTER(P), ctypes.POINTER(ctypes.c_ubyte), P, ctypes.c_uint, P)
      def choose(ssl, out, count, offered, offered_count, argument):
          out[0] = ctypes.addressof(chosen)
          count[0] = len(name)
          return 0
      of(libssl, "SSL_CTX_set_alpn_select_cb", None, P, type(choose), P)(context, choose, None)
      new = of(libssl, "SSL_new", P, P)
      free = of(libssl, "SSL_free", None, P)
      set_fd = of(libssl, "SSL_set_fd", Int, P, Int)
      accept_state = of(libssl, "SSL_set_accept_state", None, P)
      handshake = of(libssl, "SSL_do_handshake", Int, P)
      renegotiate = of(libssl, "SSL_renegotiate", Int, P)
      read = of(libssl, "SSL_read", Int, P, P, Int)
      write = of(libssl, "SSL_write", Int, P, ctypes.c_char_p, Int)
      read_early = of(libssl, "SSL_read_early_data", Int, P, P, Size, ctypes.POINTER(Size))
      write_early = of(libssl, "SSL_write_early_data", Int, P, ctypes.c_char_p, Size, ctypes.POINTER(Size))
      get_error = of(libcrypto, "ERR_get_error", ctypes.c_ulong)
      reason = of(libcrypto, "ERR_reason_error_string", ctypes.c_char_p, ctypes.c_ulong)
      def take(ssl):
          room = ctypes.create_string_buffer(65536)
          count = read(ssl, room, len(room))
          return room.raw[:count] if count > 0 else None
      def ask(ssl):
          if handshake(ssl) != 1 or take(ssl) is None:
              return
          assert renegotiate(ssl) == 1 and handshake(ssl) == 1
          while take(ssl) is not None:
              pass
          words = reason(get_error())
          print("heard", words.decode() if words else "nothing", flush=True)
      settings = bytes([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1])
      def speak(ssl, connection):
          connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
          count = Size()
          if version == "1.3":
              room = ctypes.create_string_buffer(16)
              # SSL_READ_EARLY_DATA_FINISH: the client sent none, and our Finished is written.
              if read_early(ssl, room, len(room), ctypes.byref(count)) != 2:
                  return
              assert write_early(ssl, settings, len(settings), ctypes.byref(count)) == 1
          else:
              if handshake(ssl) != 1:
                  return
              assert write(ssl, settings, len(settings)) == len(settings)
          connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
          connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
          pending, most = b"", 0
          preface = 24
          while True:
              some = take(ssl)
              if some is None:
                  break
              pending += some
              if len(pending) < preface:
                  continue
              pending, preface = pending[preface:], 0
              answers, streams = b"", 0
              while len(pending) >= 9:
                  size = 9 + int.from_bytes(pending[:3], "big")
                  if len(pending) < size:
                      break
                  if pending[3] == 1:
                      streams += 1
                      answers += bytes([0, 0, 1, 1, 5]) + pending[5:9] + bytes([0x88])
                  if pending[3] == 4 and not pending[4] & 1:
                      answers = bytes([0, 0, 0, 4, 1, 0, 0, 0, 0]) + answers
                  pending = pending[size:]
              most = max(most, streams)
              if answers:
                  write(ssl, answers, len(answers))
          if most > 0:
              print("most", most, flush=True)
      def answer(ssl):
          if handshake(ssl) != 1:
              return
          pending = b""
          while (some := take(ssl)) is not None:
              pending += some
              while b"\\r\\n\\r\\n" in pending:
                  pending = pending.split(b"\\r\\n\\r\\n", 1)[1]
                  reply = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"
                  write(ssl, reply, len(reply))
      if mode == "asks":
          # SSL_VERIFY_PEER: a certificate is asked for, and may be missing.
          of(libssl, "SSL_CTX_set_verify", None, P, Int, P)(context, 1, None)
      def serve(connection):
          ssl = new(context)
          set_fd(ssl, connection.fileno())
          accept_state(ssl)
          if mode == "renegotiate":
              ask(ssl)
          elif mode == "h2":
              speak(ssl, connection)
          else:
              answer(ssl)
          free(ssl)
          connection.close()
      listening = socket.create_server(("127.0.0.1", 0), backlog=64)
      print(listening.getsockname()[1], flush=True)
      while True:
          connection, _ = listening.accept()
          threading.Thread(target=serve, args=(connection,), daemon=True).start()
      """

    private let folder: Folder

    init() throws {
      folder = try Folder()
      let certificate = try SecureTests.certificate()
      _ = try folder.file("chain.pem", String(decoding: certificate.chain, as: UTF8.self))
      _ = try folder.file("key.pem", String(decoding: certificate.key, as: UTF8.self))
    }

    private func server(_ mode: String, _ version: String) throws -> (Python, url: String) {
      let python = try Python(script: Self.script, arguments: [folder.path, mode, version])
      return (python, "https://127.0.0.1:\(try python.child.firstLine())/")
    }

    /// TLS 1.2 lets a server ask for one (RFC 5246 7.4.1.1). It is refused, which ends the connection.
    @Test func aRenegotiationIsRefused() throws {
      let (server, url) = try server("renegotiate", "1.2")
      let child = try Squall.ended([
        "run", "--quiet", "--format", "json", "-w", "1", "-c", "1", "-k", "-n", "3", "--timeout",
        "2s", url,
      ])
      let result = try Measured(child.output)
      result.expectConservation()
      #expect(result.errors == ["closed": 3], "\(result.requests) \(result["tls"] ?? "")")
      #expect(result.number("tls.failures.renegotiation") == 3)
      let said = "heard tlsv1 alert no renegotiation\n"
      try server.child.run { server.child.output.components(separatedBy: said).count == 4 }
    }

    /// Whoever is asked for a certificate and has none says so and goes on (RFC 8446 4.4.2, RFC 5246 7.4.6).
    @Test(arguments: ["1.3", "1.2"]) func aCertificateThatIsOnlyAskedForMayBeMissing(
      version: String
    ) throws {
      let (server, url) = try server("asks", version)
      let result = try Squall.run(["-w", "1", "-c", "2", "-k", "-n", "20", url])
      result.expectConservation()
      #expect(result.ok == 20, "\(result.requests) \(result.errors)")
      #expect(result["tls.version"] as? String == version)
      server.child.end()
    }

    /// A ticket of TLS 1.2 is of use more than once (RFC 5077 section 5.6), one of 1.3 once, and each
    /// handshake brings new ones.
    @Test(arguments: ["1.3", "1.2"]) func ticketsResume(version: String) throws {
      let (server, url) = try server("plain", version)
      let result = try Squall.run([
        "-w", "1", "-c", "1", "-k", "-n", "20", "--no-keepalive", "--tls-session", "resume", url,
      ])
      result.expectConservation()
      #expect(result.ok == 20, "\(result.requests) \(result.errors)")
      let (full, resumed) = (
        result.number("tls.handshakes.full"), result.number("tls.handshakes.resumed")
      )
      #expect(resumed >= 18 && full + resumed >= 20, "\(full) full, \(resumed) resumed")
      server.child.end()
    }

    /// In TLS 1.3 a server may speak right behind its Finished, before it has ours; in 1.2 its Finished comes
    /// last. What it says there is read: its SETTINGS allow one stream.
    @Test(arguments: ["1.3", "1.2"]) func whatComesWithTheFinishedIsRead(version: String) throws {
      let (server, url) = try server("h2", version)
      let result = try Squall.run([
        "-w", "1", "-c", "1", "-k", "--http2", "--streams", "20", "-n", "100", url,
      ])
      result.expectConservation()
      #expect(result.ok == 100, "\(result.requests)")
      #expect(result["tls.version"] as? String == version)
      #expect(result.number("connections.reopened") == 0)
      try server.child.run { server.child.output.hasSuffix("most 1\n") }
    }
  }
}
