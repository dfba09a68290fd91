import Foundation
import Testing

extension EndToEnd {
  /// What the program says it sent is what the target received.
  @Suite(.serialized) struct CountTests {
    private func expectExact(
      _ arguments: [String], sent expected: Int? = nil,
      sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
      let target = try Served()
      let result = try Squall.run(arguments + [target.url], sourceLocation: sourceLocation)
      result.expectConservation(sourceLocation: sourceLocation)
      #expect(try target.count() == result.sent, sourceLocation: sourceLocation)
      #expect(result.ok == result.sent, "\(result.requests)", sourceLocation: sourceLocation)
      if let expected { #expect(result.sent == expected, sourceLocation: sourceLocation) }
      #expect(result.sent > 0, sourceLocation: sourceLocation)
      #expect(
        result["status"] as? [String: Int] == ["200": result.sent], sourceLocation: sourceLocation)
      #expect(result.number("bytes.body") == 13 * result.sent, sourceLocation: sourceLocation)
    }

    /// More connections than requests among them, and numbers that no worker count divides.
    @Test(arguments: [(1, 1), (1, 64), (7, 3), (10, 64), (1_001, 64), (20_003, 130)])
    func aNumberOfRequestsIsExact(requests: Int, connections: Int) throws {
      try expectExact(["-n", "\(requests)", "-c", "\(connections)"], sent: requests)
    }

    @Test(arguments: [1, 2, 3]) func everyNumberOfWorkersSendsTheSame(workers: Int) throws {
      try expectExact(["-n", "10007", "-c", "9", "-w", "\(workers)"], sent: 10_007)
    }

    @Test(arguments: [["-n", "10005", "-c", "8"], ["-n", "17", "-c", "4"], ["-d", "500ms"]])
    func pipelinedRequestsAreExact(arguments: [String]) throws {
      let sent = arguments[0] == "-n" ? Int(arguments[1]) : nil
      try expectExact(["--pipeline", "16"] + arguments, sent: sent)
    }

    @Test(arguments: [1, 64]) func aTimedRunIsExact(connections: Int) throws {
      try expectExact(["-d", "500ms", "-c", "\(connections)"])
    }

    @Test func anOpenLoopSendsItsSchedule() throws {
      try expectExact(["-R", "2000", "-d", "1s", "-c", "32"], sent: 2_000)
    }

    @Test func anOpenLoopWithANumberSendsThatNumber() throws {
      try expectExact(["-R", "5000", "-n", "1003", "-c", "16"], sent: 1_003)
    }

    @Test func warmUpIsSentButNotMeasured() throws {
      let target = try Served()
      let result = try Squall.run(["-d", "400ms", "--warmup", "300ms", "-c", "8", target.url])
      let warmUp = result.number("requests.warmup.sent")
      #expect(warmUp > 0)
      #expect(try target.count() == result.sent + warmUp)
      #expect(result.number("verdict.conservation.total") == result.sent + warmUp)
      #expect(
        result.sent + result.number("requests.carried_in")
          == result.ok + result.notOk + result.inFlight)
      #expect(result.number("measured_ns") == 400_000_000)
    }

    @Test func aBodyFromAFileArrivesWhole() throws {
      let folder = try Folder()
      let path = try folder.file("body", String(repeating: "x", count: 100_000))
      let target = try Served()
      let result = try Squall.run(["-n", "50", "-c", "4", "-b", "@\(path)", target.url])
      result.expectConservation()
      #expect(result.ok == 50)
      #expect(result["plan.method"] as? String == "POST")
      #expect(try target.count() == 50)
      #expect(result.number("bytes.sent") > 50 * 100_000)
    }

    @Test func withoutAUrlTheBuiltInTargetIsDriven() throws {
      let result = try Squall.run(["-n", "2000"])
      result.expectConservation()
      #expect(result.ok == 2_000)
    }

    /// The program looks whether somebody listens before it begins: one more that the target accepts.
    @Test(arguments: [["--no-keepalive"], ["-H", "Connection: close"], []], 1...2)
    func oneRequestPerConnectionIsExact(arguments: [String], workers: Int) throws {
      let target = try Served()
      let url = target.url + (arguments.isEmpty ? "?close=1" : "")
      let result = try Squall.run(
        ["-n", "5000", "-c", "50", "-w", "\(workers)", url] + arguments)
      result.expectConservation()
      #expect(result.ok == 5_000, "\(result.requests)")
      #expect(try target.count() == 5_000)
      #expect(result.number("connections.opened") == 5_000)
    }

    @Test func connectionsAreReplacedAfterTheirRequests() throws {
      let target = try Served()
      let result = try Squall.run(
        ["-n", "1000", "-c", "4", "--requests-per-connection", "10", target.url])
      result.expectConservation()
      #expect(result.ok == 1_000, "\(result.requests)")
      #expect(try target.count() == 1_000)
      #expect((100...104).contains(result.number("connections.opened")))
    }

    /// More than half of the ports that an address has, all open before the load begins.
    @Test(.enabled(if: openFilesMax >= 17_000, "a process may not have 17,000 open files here"))
    func manyConnectionsComeToBeAndEachIsUsed() throws {
      let target = try Served()
      let result = try Squall.run(["-d", "2s", "-c", "16000", "-w", "1", target.url])
      result.expectConservation()
      #expect(result.number("connections.opened") == 16_000)
      #expect(result.number("connections.starved") == 0)
      #expect(try target.count() == result.sent)
    }

    private static let openFilesMax: rlim_t = {
      var limit = rlimit()
      guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
      return limit.rlim_max
    }()
  }

  /// The same, judged by a server that is not ours.
  @Suite(.serialized, .enabled(if: Nginx.isInstalled, "nginx is not installed"))
  struct NginxTests {
    @Test func oneRequestPerConnectionIsExact() throws {
      let nginx = try Nginx()
      let before = try nginx.counts()
      let result = try Squall.run(["-n", "2000", "-c", "8", "--no-keepalive", nginx.url])
      let after = try nginx.counts(since: before)
      result.expectConservation()
      #expect(result.ok == 2_000, "\(result.requests)")
      #expect(after.requests == 2_000)
      #expect(result.number("connections.opened") == 2_000)
      // The program looks whether somebody listens before it begins: that is one connection more.
      #expect((2_000...2_001).contains(after.accepted))
    }

    /// Every name is as often in its log as in our result.
    @Test(arguments: ["own", "shared 3"]) func everyNameIsInTheLog(connections: String) throws {
      let nginx = try Nginx(logs: true)
      let folder = try Folder()
      let file = try folder.scenario(
        at: nginx.url,
        """
        connections: \(connections)
        users:
          a:
            weight: 3
            on_start: [{get: /start}]
            tasks:
              - {task: read, weight: 3, do: [{get: "/page/${int(1,50)}", query: {q: "${hex(4)}"}}]}
              - {task: write, do: [{put: /cart, json: {n: "${int(1,9)}"}}, {get: /page}]}
            on_stop: [{get: /bye}]
          b: {do: [{head: /head}]}
        """)
      let result = try Squall.run([file, "-u", "8", "-n", "1500"])
      result.expectConservation()
      #expect(result.inFlight == 0)
      let names = try #require(result["requests_by_name"] as? [[String: Any]])
      let sent = names.reduce(into: [String: Int]()) { counts, name in
        let words = (name["name"] as? String ?? "").split(separator: "/").prefix(2)
        counts[words.joined(separator: "/"), default: 0] += name["sent"] as? Int ?? 0
      }
      // A line is written behind its answer.
      let deadlineNs = monotonicNs() + 5_000_000_000
      while try nginx.logged().values.reduce(0, +) < result.sent, monotonicNs() < deadlineNs {
        usleep(10_000)
      }
      #expect(try nginx.logged() == sent)
      #expect(sent["GET /bye"] == 6)
    }

    @Test(arguments: [1, 7, 100]) func requestsPerConnectionAreExact(limit: Int) throws {
      let nginx = try Nginx()
      let before = try nginx.counts()
      let result = try Squall.run(
        ["-n", "1400", "-c", "4", "--requests-per-connection", "\(limit)", nginx.url])
      let after = try nginx.counts(since: before)
      result.expectConservation()
      #expect(result.ok == 1_400, "\(result.requests)")
      #expect(after.requests == 1_400)
      // The last connection of each of the four may have served fewer.
      #expect((1_400 / limit...1_400 / limit + 4).contains(result.number("connections.opened")))
    }

    @Test(arguments: [["-n", "20000"], ["-d", "500ms"], ["-n", "20000", "--pipeline", "16"]])
    func keptConnectionsAreExact(arguments: [String]) throws {
      let nginx = try Nginx()
      let before = try nginx.counts()
      let result = try Squall.run(arguments + ["-c", "32", nginx.url])
      let after = try nginx.counts(since: before)
      result.expectConservation()
      #expect(result.ok == result.sent, "\(result.requests)")
      #expect(after.requests == result.sent)
    }

    /// It answers `Connection: close` to each hundredth request of a connection, which is no error.
    @Test func aServerThatClosesNowAndThenCostsNothing() throws {
      let nginx = try Nginx(requestsPerConnection: 100)
      let before = try nginx.counts()
      let result = try Squall.run(["-n", "5000", "-c", "4", nginx.url])
      let after = try nginx.counts(since: before)
      result.expectConservation()
      #expect(result.ok == 5_000, "\(result.requests)")
      #expect(after.requests == 5_000)
      #expect(result.number("connections.reopened") >= 46)
    }

    @Test func interruptedRunsAreExactToWhatWasInFlight() throws {
      let nginx = try Nginx()
      let before = try nginx.counts()
      let child = try Squall.start(
        ["run", "--quiet", "--format", "json", "-d", "30s", "-c", "16", nginx.url])
      try child.run { try nginx.counts(since: before).requests > 500 }
      child.signalGroup(SIGINT)
      #expect(try child.awaitEnd() == Child.Ending(code: 130))
      let result = try Measured(child.output)
      let requests = try nginx.counts(since: before).requests
      // Each look at the counts is itself a request, and they were many.
      #expect(requests >= result.sent - result.inFlight)
      result.expectConservation()
    }
  }

  /// The same, judged by Python's own server.
  @Suite(.serialized, .enabled(if: Python.isInstalled, "python3 is not installed"))
  struct PythonServerTests {
    @Test(arguments: [[], ["--no-keepalive"], ["--requests-per-connection", "5"]])
    func requestsAreExact(arguments: [String]) throws {
      let python = try Python(script: Python.server)
      let port = try #require(UInt16(try python.child.firstLine()))
      let result = try Squall.run(
        ["-n", "503", "-c", "6", "http://127.0.0.1:\(port)/"] + arguments)
      result.expectConservation()
      #expect(result.ok == 503, "\(result.requests)")
      #expect(try fetch("/count", port: port) == "503")
    }
  }
}
