import Foundation
import Glibc
import Testing

extension EndToEnd {
  /// Many hosts as one generator, when nothing goes wrong.
  @Suite(.serialized) struct ClusterTests {
    @Test func twoAgentsSendOnePlanAndEveryRequestIsCounted() throws {
      let cluster = try Cluster(["-c", "9", "-d", "1500ms"])
      try cluster.addAgent()
      try cluster.addAgent()
      let (result, count) = try cluster.finish()
      result.expectConservation()
      #expect(count == result.sent)
      #expect(result.workers.count == 2)
      #expect(result.workers.compactMap { $0["connections"] as? Int }.sorted() == [4, 5])
      for worker in result.workers {
        #expect(worker["sent"] as? Int ?? 0 > 0)
        #expect((worker["host"] as? String)?.isEmpty == false)
        #expect(worker["cpu"] is Int)
      }
      #expect(result.number("measured_ns") == 1_500_000_000)
      try cluster.expectAgentsLeave()
      #expect(cluster.heard("joined with 1 worker") == 2)
      #expect(cluster.heard("the load starts on 2 workers") == 1)
      // --no-record is what was asked for, and nothing to be warned of.
      #expect(
        (result["verdict.cautions"] as? [String])?.contains { $0.contains("record") } == false)
    }

    @Test func aNumberOfRequestsIsExactOverTwoAgents() throws {
      let cluster = try Cluster(["-n", "10007", "-c", "7"], expectWorkers: 3)
      try cluster.addAgent(workers: 2)
      try cluster.addAgent()
      try cluster.expectExact()
      #expect(try Measured(cluster.master.output).sent == 10_007)
      try cluster.expectAgentsLeave()
    }

    @Test func anOpenLoopOverTwoAgentsSendsItsSchedule() throws {
      let cluster = try Cluster(["-R", "3000", "-d", "1s", "-c", "16"])
      try cluster.addAgent()
      try cluster.addAgent()
      try cluster.expectExact()
      #expect(try Measured(cluster.master.output).sent == 3_000)
    }

    @Test func theReportListsTheWorkers() throws {
      let cluster = try Cluster(["-n", "2000", "--format", "text"])
      try cluster.addAgent(workers: 2)
      try cluster.master.awaitEnd()
      #expect(cluster.master.output.contains("2 workers pinned cpu"))
      let lines = cluster.master.output.split(separator: "\n")
      let heading = try #require(
        lines.firstIndex { $0.hasPrefix("  Workers") && $0.contains("conns") },
        "\(cluster.master.output)")
      #expect(lines[heading + 1].contains("32") && lines[heading + 2].contains("32"))
      #expect(lines.allSatisfy { $0.count <= 80 })
    }

    /// The target holds each answer back, so its first two arrivals are each worker's first request.
    @Test func workersStartTogether() throws {
      let folder = try Folder()
      var skewsNs: [UInt64] = []
      for turn in 0..<3 {
        let file = folder.path + "/arrivals\(turn)"
        let target = try Served(["--delay", "100ms", "--arrivals", file])
        let master = try Squall.start([
          "master", target.url, "--master-bind-port", "0", "--no-record", "--headless", "-c", "2",
          "-d", "300ms", "--expect-workers", "2",
        ])
        try master.run { master.errors.contains("waiting for workers") }
        let port = master.errors.components(separatedBy: "127.0.0.1:").last?.prefix { $0.isNumber }
        let agents = try (0..<2).map { _ in
          try Squall.start(["worker", "--master-port", String(port ?? ""), "--workers", "1"])
        }
        try master.awaitEnd()
        for agent in agents { try agent.awaitEnd() }
        target.child.signal(SIGTERM)
        try target.child.awaitEnd()
        let words = try Data(contentsOf: URL(fileURLWithPath: file)).withUnsafeBytes {
          Array($0.bindMemory(to: UInt64.self))
        }
        try #require(words.count >= 2)
        skewsNs.append(words[1] - words[0])
      }
      print("start skew of two agents, us: \(skewsNs.map { $0 / 1_000 })")
      #expect(skewsNs.sorted()[1] <= 5_000_000, "\(skewsNs)")
    }

    @Test func oneThatJoinsLateTakesPart() throws {
      let cluster = try Cluster(Cluster.gentle + ["-d", "3s"], expectWorkers: 1)
      try cluster.addAgent()
      try cluster.awaitLoad()
      try cluster.addAgent()
      try cluster.hear("shares dealt over 2 workers")
      try cluster.expectExact()
      let result = try Measured(cluster.master.output)
      #expect(result.sent == 6_000)
      #expect(result.workers.allSatisfy { $0["sent"] as? Int ?? 0 > 100 }, "\(result.workers)")
      try cluster.expectAgentsLeave()
    }

    @Test func tooFewWorkersInTimeIsAFailureWithARemedy() throws {
      let cluster = try Cluster(
        ["-n", "10", "--expect-workers-max-wait", "500ms"], expectWorkers: 2)
      let agent = try cluster.addAgent()
      #expect(try cluster.master.awaitEnd() == Child.Ending(code: 1))
      #expect(cluster.master.errors.contains("fewer than 2 workers came in time"))
      #expect(try cluster.target.count() == 0)
      try agent.awaitEnd()
    }

    @Test func interruptedItReportsWhatItHas() throws {
      let cluster = try Cluster(Cluster.gentle + ["-d", "60s"])
      try cluster.addAgent(workers: 2)
      try cluster.awaitLoad()
      cluster.master.signal(SIGINT)
      let (result, count) = try cluster.finish(code: 130)
      result.expectConservation()
      #expect(result["interrupted"] as? Bool == true)
      #expect(count == result.sent)
      try cluster.expectAgentsLeave()
    }

    // MARK: The web port

    private struct Answer {
      var status: Int
      var object: [String: Any]
    }

    private func ask(
      _ method: String, _ path: String, port: UInt16, headers: [String] = []
    ) throws -> Answer {
      let socket = try connection(to: port)
      defer { close(socket) }
      let lines =
        ["\(method) \(path) HTTP/1.1", "Connection: close", "Content-Length: 0"]
        + (headers.contains { $0.hasPrefix("Host:") } ? headers : headers + ["Host: localhost"])
      let request = Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
      try #require(send(socket, request, request.count, Int32(MSG_NOSIGNAL)) == request.count)
      var bytes: [UInt8] = []
      while true {
        var room = [UInt8](repeating: 0, count: 65_536)
        let count = recv(socket, &room, room.count, 0)
        guard count > 0 else { break }
        bytes += room.prefix(count)
      }
      let text = String(decoding: bytes, as: UTF8.self)
      let body = text.components(separatedBy: "\r\n\r\n").dropFirst().joined(separator: "\r\n\r\n")
      let object = try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any]
      return Answer(
        status: Int(text.split(separator: " ")[1]) ?? 0, object: try #require(object, "\(text)"))
    }

    private static let json = "Content-Type: application/json"

    @Test func withoutHeadlessItWaitsForACommand() throws {
      let cluster = try Cluster(
        Cluster.gentle + ["-d", "60s", "--interval", "1s"], isHeadless: false)
      try cluster.hear("/api/start\n")
      let text = cluster.master.errors.components(separatedBy: "http://127.0.0.1:")[1]
      let port = try #require(UInt16(text.prefix { $0.isNumber }))

      let early = try ask("POST", "/api/start", port: port, headers: [Self.json])
      #expect(early.status == 409)
      #expect((early.object["detail"] as? String)?.contains("0 of 2 workers") == true)
      try cluster.addAgent(workers: 2)
      try cluster.run {
        try ask("GET", "/api/status", port: port).object["workers_ready"] as? Int == 2
      }
      #expect(try ask("GET", "/api/status", port: port).object["state"] as? String == "waiting")
      #expect(try cluster.target.count() == 0)

      // What a page of another site could make a browser send.
      #expect(try ask("POST", "/api/start", port: port).status == 415)
      let form = ["Content-Type: text/plain"]
      #expect(try ask("POST", "/api/start", port: port, headers: form).status == 415)
      let foreign = [Self.json, "Origin: http://example.com"]
      #expect(try ask("POST", "/api/start", port: port, headers: foreign).status == 403)
      let rebound = [Self.json, "Host: example.com"]
      #expect(try ask("POST", "/api/start", port: port, headers: rebound).status == 403)
      #expect(try ask("GET", "/api/status", port: port).object["state"] as? String == "waiting")

      #expect(try ask("POST", "/api/start", port: port, headers: [Self.json]).status == 202)
      var first: [String: Any] = [:]
      try cluster.run {
        first = try ask("GET", "/api/status", port: port).object
        return first["recent"] is [String: Any]
      }
      let elapsedNs = try #require(first["elapsed_ns"] as? Int)
      print("first numbers at the master after \(elapsedNs / 1_000_000) ms")
      #expect(elapsedNs <= 1_500_000_000)
      let recent = try #require(first["recent"] as? [String: Any])
      #expect(recent["ok_per_s"] as? Double ?? 0 > 1_500)
      #expect(recent["response_p99_ns"] as? Int ?? 0 >= recent["response_p50_ns"] as? Int ?? .max)
      #expect(try ask("POST", "/api/start", port: port, headers: [Self.json]).status == 409)

      let runs = try #require(
        try ask("GET", "/api/runs", port: port).object["runs"] as? [[String: Any]])
      #expect(runs.count == 1)
      #expect(runs[0]["state"] as? String == "running")
      #expect((runs[0]["requests"] as? [String: Any])?["sent"] as? Int ?? 0 > 0)

      #expect(try ask("POST", "/api/stop", port: port, headers: [Self.json]).status == 202)
      let (result, count) = try cluster.finish()
      result.expectConservation()
      #expect(count == result.sent)
    }

    @Test(arguments: ["--master-bind-host", "--web-host"])
    func aBindThatOthersReachNeedsAToken(flag: String) throws {
      let arguments = ["master", "http://127.0.0.1:9/", "--no-record", flag, "0.0.0.0"]
      let refused = try Squall.ended(arguments)
      #expect(refused.ending == Child.Ending(code: 2))
      #expect(refused.errors.contains("--token-file") && refused.errors.contains("--insecure"))
    }

    // MARK: Locust's words

    @Test func whoKnowsLocustStartsItWithTheirWords() throws {
      let target = try Served()
      let master = try Squall.start([
        "--master", target.url, "--no-web", "--expect-slaves", "2", "--master-bind-host",
        "127.0.0.1", "--master-bind-port=0", "--heartbeat-liveness", "3", "--heartbeat-interval",
        "1", "-n", "500", "--no-record",
      ])
      try master.run { master.errors.contains("waiting for workers") }
      let port = master.errors.components(separatedBy: "127.0.0.1:").last?.prefix { $0.isNumber }
      let worker = try Squall.start([
        "--slave", "--master-host", "127.0.0.1", "--master-port", String(port ?? ""),
        "--processes", "2",
      ])
      #expect(try master.awaitEnd() == Child.Ending(code: 0))
      #expect(try worker.awaitEnd() == Child.Ending(code: 0))
      #expect(try target.count() == 500)
      for newer in ["squall master", "--headless", "--expect-workers"] {
        #expect(master.errors.contains("now ") && master.errors.contains(newer))
      }
      #expect(worker.errors.contains("--slave is now a command: squall worker"))
    }
  }
}
