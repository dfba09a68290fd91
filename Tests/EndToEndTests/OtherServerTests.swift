import Foundation
import Testing

extension EndToEnd {
  /// TLS and HTTP/2 against servers that are not ours: what was sent is what they counted.
  @Suite(.serialized) struct OtherServerTests {
    struct Case: Sendable, CustomTestStringConvertible {
      var kind: OtherServer.Kind
      var spoken: OtherServer.Spoken
      var testDescription: String { "\(kind) \(spoken)" }

      static let all = OtherServer.Kind.allCases.flatMap { kind in
        OtherServer.Spoken.allCases.filter { kind != .nghttpd || $0 != .tls }.map {
          Case(kind: kind, spoken: $0)
        }
      }
      static let nginx = all.filter { $0.kind == .nginx }

      /// Several at a time on a connection, where that can be.
      var streams: [String] { spoken == .tls ? [] : ["--streams", "10"] }
    }

    /// Nil, and said, when the server is not installed.
    private func server(_ each: Case, requestsPerConnection: Int = 1_000_000) throws -> OtherServer?
    {
      guard each.kind.isInstalled else {
        print("skipped: \(each.kind) is not installed (scripts/setup test)")
        return nil
      }
      return try OtherServer(
        each.kind, each.spoken, requestsPerConnection: requestsPerConnection)
    }

    @Test(arguments: Case.all) func aNumberOfRequestsIsExact(each: Case) throws {
      guard let server = try server(each) else { return }
      let before = try server.count()
      let result = try Squall.run(
        ["-n", "3001", "-c", "5"] + each.streams + each.spoken.flags + [server.url])
      result.expectConservation()
      #expect(result.ok == 3_001, "\(result.requests)")
      #expect(try server.count(awaiting: before + 3_001) - before == 3_001)
      #expect(result["http.version"] as? String == (each.spoken == .tls ? "1.1" : "2"))
      #expect(result["tls.version"] as? String == (each.spoken.isSecure ? "1.3" : nil))
    }

    @Test(arguments: Case.all) func aTimedRunIsExact(each: Case) throws {
      guard let server = try server(each) else { return }
      let before = try server.count()
      let result = try Squall.run(
        ["-d", "300ms", "-c", "8"] + each.streams + each.spoken.flags + [server.url])
      result.expectConservation()
      #expect(result.ok == result.sent, "\(result.requests)")
      #expect(try server.count(awaiting: before + result.sent) - before == result.sent)
    }

    @Test(arguments: Case.all) func anInterruptedRunIsExact(each: Case) throws {
      guard let server = try server(each) else { return }
      let before = try server.count()
      let child = try Squall.start(
        ["run", "--quiet", "--format", "json", "-d", "30s", "-c", "4"] + each.streams
          + each.spoken.flags + [server.url])
      try child.run { try server.count() - before > 200 }
      child.signalGroup(SIGINT)
      #expect(try child.awaitEnd() == Child.Ending(code: 130), "\(child.errors)")
      let result = try Measured(child.output)
      result.expectConservation()
      #expect(result.ok == result.sent - result.inFlight, "\(result.requests)")
      let count = try server.count(awaiting: before + result.sent) - before
      #expect((result.sent - result.inFlight...result.sent).contains(count), "\(count)")
    }

    /// It ends each connection after a hundred requests, by `Connection: close` or GOAWAY, which is no
    /// error: what it did not look at is sent again.
    @Test(arguments: Case.nginx) func aServerThatGoesAwayCostsNothing(each: Case) throws {
      guard let server = try server(each, requestsPerConnection: 100) else { return }
      let before = try server.count()
      let result = try Squall.run(
        ["-n", "5000", "-c", "4"] + each.streams + each.spoken.flags + [server.url])
      result.expectConservation()
      #expect(result.ok == 5_000, "\(result.requests)")
      #expect(try server.count(awaiting: before + 5_000) - before == 5_000)
      #expect(result.number("connections.reopened") >= 46)
      if each.spoken != .tls { #expect(result.number("http.goaways") >= 46) }
    }

    /// It reads its configuration anew, and lets the old connections end (nginx(8), HUP).
    @Test(arguments: Case.nginx) func aServerThatReloadsCostsNothing(each: Case) throws {
      guard let server = try server(each) else { return }
      let child = try Squall.start(
        ["run", "--quiet", "--format", "json", "-R", "2000", "-d", "2s", "-c", "4"] + each.streams
          + each.spoken.flags + [server.url])
      try child.run { try server.count() > 500 }
      server.signal(SIGHUP)
      #expect(try child.awaitEnd() == Child.Ending(code: 0), "\(child.errors)")
      let result = try Measured(child.output)
      result.expectConservation()
      // Over HTTP/1.1 a server may close an idle connection just as a request goes out to it.
      let excused = each.spoken == .tls ? result.notOk : 0
      #expect(result.ok + excused == result.sent && excused <= 4, "\(result.requests)")
      #expect(result.number("connections.reopened") >= 1)
    }

    /// Gone, and there again on the same port: what was answered was counted, all else is an error.
    @Test(arguments: Case.all.filter { $0.kind == .nginx || $0.kind == .haproxy })
    func aServerThatRestartsIsFoundAgain(each: Case) throws {
      guard let server = try server(each) else { return }
      let child = try Squall.start(
        ["run", "--quiet", "--format", "json", "-R", "1000", "-d", "3s", "-c", "4"] + each.streams
          + each.spoken.flags + [server.url])
      try child.run { try server.count() > 300 }
      try server.restart()
      #expect(try child.awaitEnd() == Child.Ending(code: 0), "\(child.errors)")
      let result = try Measured(child.output)
      result.expectConservation()
      #expect(result.number("connections.reopened") >= 1)
      #expect(result.ok > 600, "\(result.requests)")
    }

    /// What is never answered times out, each request alone where it has a stream of its own.
    @Test(arguments: Case.all.filter { $0.kind == .node })
    func requestsThatAreNotAnsweredTimeOutExactly(each: Case) throws {
      guard let server = try server(each) else { return }
      let before = try server.count()
      let child = try Squall.ended(
        ["run", "--quiet", "--format", "json", "-n", "40", "-c", "4", "--timeout", "200ms"]
          + each.streams + each.spoken.flags + [server.url + "never"])
      let result = try Measured(child.output)
      result.expectConservation()
      #expect(result.sent == 40 && result.errors == ["timeout": 40], "\(result.requests)")
      #expect(try server.count(awaiting: before + 40) - before == 40)
    }
  }
}
