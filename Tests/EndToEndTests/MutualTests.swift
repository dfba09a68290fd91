import Foundation
import Glibc
import SquallTLS
import Testing

extension EndToEnd {
  /// Targets that want a certificate of ours, from this host and through a master.
  @Suite(.serialized, .enabled(if: Python.isInstalled, "python3 is not installed"))
  struct MutualTests {
    /// A server that admits nobody without a certificate of its authority. Over TLS 1.3 it learns of that only
    /// after our part of the handshake.
    private static let script = """
      import http.server, ssl, sys, threading
      folder = sys.argv[1]
      class Handler(http.server.BaseHTTPRequestHandler):
          protocol_version = "HTTP/1.1"
          wbufsize = -1
          def do_GET(self):
              self.send_response(200)
              self.send_header("Content-Length", "13")
              self.end_headers()
              self.wfile.write(b"Hello, world!")
          def log_message(self, *arguments):
              pass
      class Server(http.server.ThreadingHTTPServer):
          request_queue_size = 256
          daemon_threads = True
          def finish_request(self, request, address):
              try:
                  secure = context.wrap_socket(request, server_side=True)
                  super().finish_request(secure, address)
              except OSError:
                  pass
      context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
      context.load_cert_chain(folder + "/chain.pem", folder + "/key.pem")
      context.load_verify_locations(folder + "/authority.pem")
      context.verify_mode = ssl.CERT_REQUIRED
      if len(sys.argv) > 2:
          context.maximum_version = ssl.TLSVersion.TLSv1_2
      server = Server(("127.0.0.1", 0), Handler)
      print(server.server_port, flush=True)
      server.serve_forever()
      """

    private let folder: Folder
    private var own: [String] {
      ["--cert", folder.path + "/us.pem", "--key", folder.path + "/us.key"]
    }

    init() throws {
      folder = try Folder()
      let now = Int64(Date().timeIntervalSince1970)
      let validity = now - 3_600...now + 86_400
      func make(_ edit: (inout Certificate.Options) -> Void) throws -> Certificate {
        var options = Certificate.Options(validity: validity)
        edit(&options)
        return try Certificate.make(options)
      }
      func write(_ name: String, _ bytes: [UInt8]) throws {
        _ = try folder.file(name, String(decoding: bytes, as: UTF8.self))
      }
      let authority = try make {
        $0.isAuthority = true
        $0.commonName = "an authority"
      }
      let server = try make { _ in }
      let us = try make {
        $0.issuer = authority
        $0.commonName = "us"
      }
      let stranger = try make { $0.commonName = "a stranger" }
      try write("authority.pem", authority.chain)
      try write("chain.pem", server.chain)
      try write("key.pem", server.key)
      try write("us.pem", us.chain)
      try write("us.key", us.key)
      try write("stranger.pem", stranger.chain)
      try write("stranger.key", stranger.key)
      chmod(try folder.file("token", "a token that nobody would guess\n"), 0o600)
    }

    private func server(_ arguments: [String] = []) throws -> (Python, url: String) {
      let python = try Python(script: Self.script, arguments: [folder.path] + arguments)
      return (python, "https://127.0.0.1:\(try python.child.firstLine())/")
    }

    @Test(arguments: [[], ["1.2"]]) func ourCertificateIsShown(version: [String]) throws {
      let (server, url) = try server(version)
      defer { server.child.end() }
      let result = try Squall.run(["-n", "40", "-c", "4", "-k", url] + own)
      result.expectConservation()
      #expect(result.ok == 40, "\(result.requests)")
      #expect(result.number("tls.handshakes.failed") == 0)
    }

    /// Without a certificate the target's alert is what is told: in TLS 1.3 it comes after our Finished, with
    /// the first read, and is a failure of TLS all the same.
    @Test(arguments: [[], ["1.2"]]) func withoutItTheAlertIsNamed(version: [String]) throws {
      let (server, url) = try server(version)
      defer { server.child.end() }
      let child = try Squall.ended([
        "run", "--quiet", "--format", "json", "-d", "500ms", "-c", "2", "-w", "1", "-k", url,
      ])
      #expect(child.ending == Child.Ending(code: 1), "\(child.errors)")
      guard !child.output.isEmpty else {
        // Over TLS 1.2 the look before the load has it.
        #expect(child.errors.contains("--cert and --key"), "\(child.errors)")
        return
      }
      let result = try Measured(child.output)
      result.expectConservation()
      #expect(result.ok == 0)
      #expect((result.errors["tls"] ?? 0) > 0, "\(result.requests)")
      #expect(Set(result.errors.keys).isSubset(of: ["tls", "closed"]), "\(result.requests)")
      #expect(result.number("tls.failures.alert") > 0, "\(result["tls"] ?? "")")
      // One after the other with pauses, not a storm.
      #expect((result.errors["tls"] ?? 0) < 200, "\(result.requests)")
    }

    @Test func anotherAuthoritysCertificateIsRefused() throws {
      let (server, url) = try server()
      defer { server.child.end() }
      let child = try Squall.ended([
        "run", "--quiet", "--format", "json", "-d", "300ms", "-c", "1", "-k", url, "--cert",
        folder.path + "/stranger.pem", "--key", folder.path + "/stranger.key",
      ])
      #expect(child.ending == Child.Ending(code: 1), "\(child.errors)")
      if let result = try? Measured(child.output) {
        #expect(result.number("tls.failures.alert") > 0, "\(result["tls"] ?? "")")
      }
    }

    @Test func aKeyOfAnotherCertificateIsRefusedAtOnce() throws {
      let child = try Squall.ended([
        "run", "https://127.0.0.1:1/", "--cert", folder.path + "/us.pem", "--key",
        folder.path + "/stranger.key",
      ])
      #expect(child.ending == Child.Ending(code: 2))
      #expect(child.errors.contains("TLS as asked for cannot be"), "\(child.errors)")
    }

    private func master(_ arguments: [String]) throws -> Child {
      try Squall.start(
        [
          "master", "--headless", "--master-bind-port", "0", "--format", "json", "--token-file",
          folder.path + "/token",
        ] + Cluster.haste + arguments)
    }

    private func worker(of master: Child) throws -> Child {
      let opening = "waiting for workers at 127.0.0.1:"
      try master.run { master.errors.contains(opening) && master.errors.hasSuffix("\n") }
      let rest = master.errors.components(separatedBy: opening).last ?? ""
      return try Squall.start(
        [
          "worker", "--master-port", String(rest.prefix { $0.isNumber }), "--workers", "1",
          "--token-file", folder.path + "/token",
        ], environment: ["XDG_DATA_HOME": folder.path])
    }

    private func holdsKey(_ path: String) throws -> Bool {
      let key = try folder.text("us.key").split(separator: "\n")[1]
      var bytes = Data()
      for file in [path, path + "-wal"] {
        bytes += FileManager.default.contents(atPath: file) ?? Data()
      }
      return bytes.range(of: Data(key.utf8)) != nil
    }

    @Test func theKeyGoesToWorkersAndIntoNoRecord() throws {
      let (server, url) = try server()
      defer { server.child.end() }
      let record = folder.path + "/record"
      let master = try master([url, "-k", "-n", "60", "-c", "4", "--record", record] + own)
      defer { master.end() }
      let worker = try worker(of: master)
      defer { worker.end() }
      #expect(try master.awaitEnd() == Child.Ending(code: 0), "\(master.errors)")
      let result = try Measured(master.output)
      result.expectConservation()
      #expect(result.ok == 60, "\(result.requests)")
      #expect(FileManager.default.fileExists(atPath: record))
      #expect(try !holdsKey(record))
      let report = try Squall.ended(["report", record, "--format", "json"])
      #expect(report.ending == Child.Ending(code: 0), "\(report.errors)")
      #expect(try Measured(report.output).ok == 60)
    }

    @Test func aMasterThatAnybodyMayJoinSendsNoKey() throws {
      let child = try Squall.ended(
        ["master", "https://127.0.0.1:1/", "--headless", "--no-record", "-d", "1s"] + own)
      #expect(child.ending == Child.Ending(code: 2))
      #expect(child.errors.contains("--token-file"), "\(child.errors)")
    }

    /// After a crash of the master the run needs the key once more, and goes on with it.
    @Test func aRunThatGoesOnNeedsTheKeyAgain() throws {
      let (server, url) = try server()
      defer { server.child.end() }
      let record = folder.path + "/record"
      let first = try master(
        [url, "-k", "-R", "100", "-d", "6s", "-c", "4", "--record", record] + own)
      let worker = try worker(of: first)
      defer { worker.end() }
      try first.run { first.errors.contains("the load starts") }
      first.signal(SIGKILL)
      _ = try first.awaitEnd()
      let without = try Squall.ended([
        "master", "--headless", "--master-bind-port", "0", "--resume", "--record", record,
        "--token-file", folder.path + "/token",
      ])
      #expect(without.ending == Child.Ending(code: 2), "\(without.errors)")
      #expect(without.errors.contains("give both again with --cert and --key"), "\(without.errors)")
      let port =
        first.errors.components(separatedBy: "waiting for workers at 127.0.0.1:").last ?? ""
      let second = try Squall.start(
        [
          "master", "--headless", "--master-bind-port", String(port.prefix { $0.isNumber }),
          "--format", "json", "--resume", "--record", record, "--token-file",
          folder.path + "/token",
        ] + own)
      defer { second.end() }
      #expect(try second.awaitEnd() == Child.Ending(code: 0), "\(second.errors)")
      let result = try Measured(second.output)
      result.expectConservation()
      #expect(result.ok == result.sent && result.sent > 200, "\(result.requests)")
      #expect(try !holdsKey(record))
    }
  }
}
