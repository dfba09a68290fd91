import Foundation
import Glibc
import Testing

extension EndToEnd {
  /// Runs that follow each other on one fleet, by the API of a master that lives.
  @Suite struct LivingMasterTests {
    /// A target, two hosts with a worker each, and a master that may be started again and again.
    private final class Fleet {
      let target: Served
      let folder: Folder
      let port: UInt16
      private(set) var master: Child
      private(set) var workers: [Child] = []

      init() throws {
        target = try Served()
        folder = try Folder()
        port = try closedPort()
        master = try Self.master(target, folder, port)
        for _ in 0..<2 {
          workers.append(
            try Squall.start(
              ["worker", "--master-port", "\(port)", "-w", "1", "--no-pin"],
              environment: ["XDG_DATA_HOME": folder.path]))
        }
        try awaitWorkers()
      }

      deinit { for child in workers + [master] { child.end() } }

      private static func master(_ target: Served, _ folder: Folder, _ port: UInt16) throws -> Child
      {
        let master = try Squall.start([
          "master", target.url, "-R", "1000", "-c", "8", "-d", "1s", "--interval", "250ms",
          "--expect-workers", "2", "--heartbeat-interval", "200ms", "--master-bind-port", "\(port)",
          "--web-port", "0", "--record", folder.path + "/record.db", "--format", "json",
        ])
        try master.run(withinMs: 30_000) { master.errors.contains("/api/start\n") }
        return master
      }

      /// As `kill -9` and a new start with the same words.
      func restartMaster() throws {
        master.signal(SIGKILL)
        try master.awaitEnd()
        master = try Self.master(target, folder, port)
      }

      private var web: UInt16 {
        get throws {
          let text =
            master.errors.components(separatedBy: "figures at http://127.0.0.1:").last ?? ""
          return try #require(UInt16(text.prefix { $0.isNumber }), "\(master.errors)")
        }
      }

      func ask(
        _ method: String, _ path: String, _ body: String = ""
      ) throws -> (status: Int, object: [String: Any]) {
        let socket = try connection(to: try web)
        defer { close(socket) }
        let request = Array(
          ("\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            + "Content-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
            + body).utf8)
        try #require(send(socket, request, request.count, Int32(MSG_NOSIGNAL)) == request.count)
        var bytes: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 65_536)
        while case let count = recv(socket, &room, room.count, 0), count > 0 {
          bytes += room.prefix(count)
        }
        let text = String(decoding: bytes, as: UTF8.self)
        let json = text.components(separatedBy: "\r\n\r\n").dropFirst().joined()
        let object = try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any]
        return (Int(text.split(separator: " ")[1]) ?? 0, try #require(object, "\(text)"))
      }

      func awaitWorkers() throws {
        try until { try ask("GET", "/api/status").object["workers_ready"] as? Int == 2 }
      }

      func until(_ isReached: () throws -> Bool) throws {
        try master.run(withinMs: 30_000, until: isReached)
      }

      func start(_ document: String = "{}") throws {
        let answer = try ask("POST", "/api/start", document)
        #expect(answer.status == 202, "\(answer.object)")
      }

      /// Newest first.
      func runs() throws -> [[String: Any]] {
        try #require(try ask("GET", "/api/runs").object["runs"] as? [[String: Any]])
      }

      func awaitEnd(ofRun number: Int) throws {
        try until {
          let runs = try runs()
          return runs.count == number && runs.allSatisfy { $0["state"] as? String == "ended" }
        }
      }

      func expectSumsAreTheTargets() throws {
        let sent = try runs().map { ($0["requests"] as? [String: Any])?["sent"] as? Int ?? 0 }
        #expect(sent.allSatisfy { $0 > 0 }, "\(sent)")
        #expect(try target.count() == sent.reduce(0, +), "\(sent)\n\(master.errors)")
      }

      /// Told to end, the master sends everybody home.
      func end() throws {
        master.signal(SIGTERM)
        #expect(
          try master.awaitEnd(withinMs: 30_000) == Child.Ending(code: 143), "\(master.errors)")
        for worker in workers {
          #expect(
            try worker.awaitEnd(withinMs: 30_000) == Child.Ending(code: 0), "\(worker.errors)")
        }
      }
    }

    @Test func runsFollowEachOtherOnOneFleet() throws {
      let fleet = try Fleet()
      #expect(try fleet.runs().isEmpty)
      try fleet.start()
      #expect(try fleet.ask("POST", "/api/start", "{}").status == 409)
      try fleet.awaitEnd(ofRun: 1)
      for wrong in [#"{"rate": "fast"}"#, #"{"speed": 3}"#, "[]", #"{"body": 1}"#] {
        let answer = try fleet.ask("POST", "/api/start", wrong)
        #expect(answer.status == 422)
        #expect(answer.object["detail"] is String)
      }
      #expect(try fleet.ask("POST", "/api/stop").status == 409)
      try fleet.start(#"{"rate": 400, "duration": "2s", "labels": {"turn": "second"}}"#)
      // What it leaves out is the command line's.
      let second = try #require(try fleet.runs().first?["id"] as? String)
      let answer = try fleet.ask("GET", "/api/runs/\(second)/order").object
      let order = answer["order"] as? [String: Any]
      #expect(order?["url"] as? String == fleet.target.url, "\(order ?? [:])")
      #expect(order?["rate"] as? Int == 400)
      try fleet.awaitEnd(ofRun: 2)
      // Ended by a command, long before its time.
      try fleet.start(#"{"rate": null, "duration": 60}"#)
      let before = try fleet.target.count()
      try fleet.until { try fleet.target.count() > before }
      #expect(try fleet.ask("POST", "/api/stop").status == 202)
      try fleet.awaitEnd(ofRun: 3)
      let runs = try fleet.runs()
      #expect((runs[1]["labels"] as? [String: Any])?["turn"] as? String == "second")
      #expect((runs[1]["requests"] as? [String: Any])?["sent"] as? Int == 800)
      // What a list says of a run is what its result says.
      let id = try #require(runs[1]["id"] as? String)
      let result = try fleet.ask("GET", "/api/runs/\(id)").object
      func part(_ path: String) -> Any? {
        path.split(separator: "/").reduce(result as Any?) { ($0 as? [String: Any])?[String($1)] }
      }
      #expect(runs[1]["duration_ns"] as? Int == part("measured_ns") as? Int)
      #expect(runs[1]["ok_per_s"] as? Double == part("rate/ok_per_s") as? Double)
      #expect(runs[1]["target_per_s"] as? Double == 400)
      let p99 = try #require(runs[1]["response_p99_ns"] as? Int)
      #expect(p99 == part("latency_ns/response/p99") as? Int)
      #expect(runs[1]["not_ok_share"] as? Double == 0)
      #expect(runs[0]["target_per_s"] is NSNull, "a closed loop has none")
      #expect(runs[0]["plan_hash"] as? String != runs[1]["plan_hash"] as? String)
      #expect((runs[1]["load"] as? String)?.hasPrefix("400/s, 8 connections, 2s ") == true)
      try fleet.expectSumsAreTheTargets()
      try fleet.end()
    }

    /// The load is changed while it is on: at one instant, for all workers, and every sum holds.
    @Test func theLoadIsChangedWhileItIsOn() throws {
      let fleet = try Fleet()
      #expect(try fleet.ask("POST", "/api/change", #"{"rate": 10}"#).status == 409)
      try fleet.start(#"{"duration": "5s", "rate": 200}"#)
      try fleet.until { try fleet.target.count() > 100 }
      for wrong in [
        #"{"rate": "fast"}"#, #"{"rate": -1}"#, #"{"speed": 1}"#, "{}", "[]", #"{"users": 5}"#,
        #"{"spawn_rate": 5}"#, #"{"connections": 0}"#, #"{"connections": 1.5}"#,
        #"{"connections": 100000}"#,
      ] {
        let answer = try fleet.ask("POST", "/api/change", wrong)
        #expect(answer.status == 422, "\(wrong)")
        #expect(answer.object["detail"] is String)
      }
      let answer = try fleet.ask("POST", "/api/change", #"{"rate": "2k"}"#)
      #expect(answer.status == 202)
      #expect((answer.object["asked"] as? [String: Any])?["rate"] as? Double == 2_000)
      try fleet.until {
        let changes = try fleet.ask("GET", "/api/status").object["changes"] as? [[String: Any]]
        return changes?.count == 1
      }
      try fleet.awaitEnd(ofRun: 1)
      let id = try #require(try fleet.runs()[0]["id"] as? String)
      let result = try fleet.ask("GET", "/api/runs/\(id)").object
      let changes = try #require(result["changes"] as? [[String: Any]])
      #expect(changes.count == 1 && changes[0]["per_s"] as? Double == 2_000)
      let atNs = try #require(changes[0]["at_ns"] as? Int)
      #expect(atNs < 5_000_000_000)
      let requests = try #require(result["requests"] as? [String: Any])
      let due = Int((200 * Double(atNs) + 2_000 * Double(5_000_000_000 - atNs)) * 1e-9)
      let counted = try #require(requests["due"] as? Int)
      #expect(abs(counted - due) <= 1)
      #expect(requests["sent"] as? Int == counted && requests["dropped"] as? Int == 0)
      let intervals = try #require(result["intervals"] as? [[String: Any]])
      let targets = intervals.compactMap { $0["target_per_s"] as? Double }
      #expect(targets.first == 200 && targets.last == 2_000)
      // As many as a closed loop is to have, up and down; one that had a rate says what to do instead.
      try fleet.start(#"{"rate": null, "duration": "60s", "connections": 2}"#)
      let before = try fleet.target.count()
      try fleet.until { try fleet.target.count() > before }
      let refused = try fleet.ask("POST", "/api/change", #"{"rate": 5}"#)
      #expect(refused.status == 422)
      #expect((refused.object["detail"] as? String)?.contains("connections") == true)
      for count in [12, 1, 5] {
        #expect(try fleet.ask("POST", "/api/change", "{\"connections\": \(count)}").status == 202)
        try fleet.until {
          let status = try fleet.ask("GET", "/api/status").object
          let target = status["target"] as? [String: Any]
          let workers = status["workers"] as? [[String: Any]] ?? []
          let held = workers.reduce(0) { $0 + ($1["connections"] as? Int ?? 0) }
          return target?["connections"] as? Int == count && held == count
        }
      }
      #expect(try fleet.ask("POST", "/api/stop").status == 202)
      try fleet.awaitEnd(ofRun: 2)
      try fleet.expectSumsAreTheTargets()
      try fleet.end()
    }

    /// A master that is killed after a change has it in its record, and goes on with the load it made.
    @Test func aChangeOutlivesItsMaster() throws {
      let fleet = try Fleet()
      try fleet.start(#"{"duration": "8s", "rate": 100}"#)
      try fleet.until { try fleet.target.count() > 50 }
      #expect(try fleet.ask("POST", "/api/change", #"{"rate": 1000}"#).status == 202)
      try fleet.until { try fleet.target.count() > 1_000 }
      try fleet.restartMaster()
      let status = try fleet.ask("GET", "/api/status").object
      #expect((status["changes"] as? [Any])?.count == 1, "\(status)")
      try fleet.awaitEnd(ofRun: 1)
      let id = try #require(try fleet.runs()[0]["id"] as? String)
      let result = try fleet.ask("GET", "/api/runs/\(id)").object
      let requests = try #require(result["requests"] as? [String: Any])
      let (due, sent) = (requests["due"] as? Int ?? -1, requests["sent"] as? Int ?? -2)
      #expect(due == sent + (requests["dropped"] as? Int ?? -1))
      try fleet.expectSumsAreTheTargets()
      try fleet.end()
    }

    /// What a scenario does before its load is done on the master, once for each start.
    @Test func aScenarioThatIsOrderedIsSetUpFirst() throws {
      let fleet = try Fleet()
      let shop = try Served(["--shop"])
      func order(_ password: String) -> String {
        #"""
        {"users": 2, "requests": 20, "scenario": "squall: 1
        target: http://127.0.0.1:\#(shop.port)
        setup: [{post: /login, json: {name: root, password: \#(password)}, capture: {token: $.access_token}, check: {has: [token]}}]
        users: {a: {do: [{get: /items/1, headers: {Authorization: \"Bearer ${token}\"}}]}}"}
        """#.replacing("\n", with: "\\n")
      }
      try fleet.start(order("secret"))
      try fleet.awaitEnd(ofRun: 1)
      let run = try #require(fleet.runs().first?["requests"] as? [String: Any])
      #expect(run["sent"] as? Int == 20, "\(run)")
      #expect(run["ok"] as? Int == 20, "\(run)")
      let failed = try fleet.ask("POST", "/api/start", order("wrong"))
      #expect(failed.status == 503, "\(failed)")
      #expect(
        (failed.object["detail"] as? String)?.contains("setup failed, so there was no load") == true
      )
      // Nothing of it is left behind.
      try fleet.start(order("secret"))
      try fleet.awaitEnd(ofRun: 2)
      try fleet.end()
    }

    /// Killed between two runs and in one, it comes back with its runs and goes on with the one that ran;
    /// the workers wait for it.
    @Test func killedAndStartedAgainItGoesOn() throws {
      let fleet = try Fleet()
      try fleet.start()
      try fleet.awaitEnd(ofRun: 1)
      let before = try fleet.runs()
      try fleet.restartMaster()
      try fleet.awaitWorkers()
      #expect(try fleet.runs() as NSArray == before as NSArray)
      try fleet.start(#"{"duration": "4s"}"#)
      let count = try fleet.target.count()
      try fleet.until { try fleet.target.count() > count + 200 }
      try fleet.restartMaster()
      #expect(fleet.master.errors.contains("going on with run"))
      try fleet.awaitEnd(ofRun: 2)
      try fleet.awaitWorkers()
      try fleet.start()
      try fleet.awaitEnd(ofRun: 3)
      try fleet.expectSumsAreTheTargets()
      try fleet.end()
    }

    /// One command: the page's port, the master and its workers. -1 stands for as many as there are CPUs.
    @Test(arguments: ["2", "-1"])
    func workersOfItsOwnHostMakeOneCommandOfIt(processes: String) throws {
      let target = try Served()
      let folder = try Folder()
      let master = try Squall.start(
        [
          "master", target.url, "-n", "500", "-c", "4", "--processes", processes,
          "--expect-workers", processes == "-1" ? "1" : processes,
          "--autostart", "--autoquit", "0s", "--master-bind-port", "0", "--web-port", "0",
          "--no-record", "--format", "json",
        ], environment: ["XDG_DATA_HOME": folder.path])
      #expect(try master.awaitEnd(withinMs: 30_000) == Child.Ending(code: 0), "\(master.errors)")
      #expect(try Measured(master.output).sent == 500)
      #expect(try target.count() == 500)
    }
  }
}
