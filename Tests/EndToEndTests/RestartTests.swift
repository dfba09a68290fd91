import Foundation
import Glibc
import SquallTLS
import Synchronization
import Testing

extension EndToEnd {
  /// A target that ends all its connections at once.
  @Suite(.serialized) struct RestartTests {
    /// Many handshakes beside a load that goes on: they are not what makes requests late.
    @Test(arguments: [[], ["--http2"]])
    func aRestartUnderManyConnectionsMakesNoRequestLate(flags: [String]) throws {
      try onAQuietHost {
        let first = try Served(["--tls"])
        let child = try Squall.start(
          [
            "run", "--quiet", "--format", "json", "-w", "1", "-k", "-c", "500", "-R", "1000", "-d",
            "3s", "--drain", "5s", first.url,
          ] + flags)
        try child.run { try first.count() >= 600 }
        first.child.signal(SIGKILL)
        try first.child.awaitEnd()
        let second = try Served(["--tls"], port: first.port)
        try child.awaitEnd()
        let result = try Measured(child.output)
        result.expectConservation()
        #expect(try second.count() > 500)
        #expect(result.number("tls.handshakes.full") >= 1_000, "\(result["tls"] ?? "")")
        #expect(result.number("connections.reopened") >= 500)
        #expect(result.workers.first?["connections"] as? Int == 500)
        // What found no connection waited for the target. What found one left in time.
        let late = result.workers.first?["sent_late"] as? Int ?? -1
        #expect(late >= 0)
        return late <= result.sent / 100
          ? [] : ["\(late) of \(result.sent) requests left late though a connection was free"]
      }
    }

    /// Kept until the test ends, so that no other connection gets its number meanwhile.
    private struct Held: @unchecked Sendable {
      var connection: Scripted.Connection
    }

    /// All connections end while the target still listens: as many are opened at once as when a load
    /// begins, and the others wait their turn.
    @Test(arguments: [true, false]) func connectionsThatEndTogetherAreOpenedInTurn(tls: Bool) throws
    {
      nonisolated(unsafe) let context = try SecureTests.context(try SecureTests.certificate())
      let lock = NSLock()
      let state = Mutex((open: [Held](), isOver: false, again: 0))
      let server = try Scripted { connection, server in
        let held = Held(connection: connection)
        let isAgain = state.withLock { state in
          if state.isOver { state.again += 1 } else { state.open.append(held) }
          return state.isOver
        }
        // Taken and never answered: under way until the run is over.
        if isAgain && tls { return connection.readToEnd() }
        let session = tls ? lock.withLock { try? TLSConnection(context, name: "") } : nil
        while let bytes = connection.read() {
          let plain = lock.withLock { () -> [UInt8]? in
            guard let session else { return bytes }
            defer { connection.write(session.output()) }
            return try? session.receive(bytes)
          }
          guard let plain else { return }
          if plain.isEmpty { continue }
          server.note()
          let text = Array(Scripted.hello.utf8)
          guard let answer = lock.withLock({ session.map { try? $0.seal(text) } ?? text }) else {
            return
          }
          connection.write(answer)
          // Every connection has carried a request when the load went round twice.
          if server.requestCount == 800 {
            let all = state.withLock { state in
              state.isOver = true
              return state.open
            }
            for one in all { shutdown(one.connection.socket, Int32(SHUT_RDWR)) }
          }
        }
      }
      defer { server.end() }
      let child = try Squall.ended(
        [
          "run", "--quiet", "--format", "json", "-w", "1", "-c", "400", "-R", "2000", "-d",
          "1500ms", "--drain", "100ms", "--timeout", "10s", "--connect-timeout", "20s",
        ] + (tls ? ["-k", SecureTests.url(server)] : [server.url]))
      let result = try Measured(child.output)
      result.expectConservation()
      let again = state.withLock { $0.again }
      // Where each opening succeeds at once, all come back.
      if tls {
        #expect((200...256).contains(again), "\(again) at once, \(result.requests)")
      } else {
        #expect(again >= 350, "\(again), \(result.requests)")
      }
    }
  }
}
