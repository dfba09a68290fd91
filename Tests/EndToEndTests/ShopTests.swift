import Foundation
import Glibc
import Testing

extension EndToEnd {
  /// Scenarios against a server that enforces what it is sent, and counts by name.
  @Suite(.serialized) struct ShopTests {
    private static let examples = URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("examples").path

    /// The result's names with what was sent under each, as the shop names them.
    private func sent(_ result: Measured) throws -> [String: Int] {
      let endpoints = try #require(result["requests_by_name"] as? [[String: Any]])
      var sent: [String: Int] = [:]
      for endpoint in endpoints {
        let name = try #require(endpoint["name"] as? String)
        guard let count = endpoint["sent"] as? Int, count > 0 else { continue }
        let named = name.replacing(/\$\{[^}]*\}/, with: "[id]")
        sent[named.hasPrefix("/") ? "GET " + named : named, default: 0] += count
      }
      return sent
    }

    private func counts(_ shop: Served) throws -> [String: Int] {
      let object = try JSONSerialization.jsonObject(
        with: Data(fetch("/count", port: shop.port).utf8))
      return (try #require((object as? [String: Any])?["paths"] as? [String: Int]))
        .filter { $0.value > 0 }
    }

    /// How fast answers come is the host's doing. Nothing else may have failed.
    private func expectOnlySlow(_ result: Measured) throws {
      let names = try #require(result["requests_by_name"] as? [[String: Any]])
      let checks = names.flatMap { $0["checks"] as? [[String: Any]] ?? [] }
      for check in checks {
        #expect((check["check"] as? String)?.hasPrefix("time ") == true, "\(check)")
      }
      let failed = checks.compactMap { $0["failed"] as? Int }.reduce(0, +)
      #expect(result.notOk == failed, "\(result.requests)")
    }

    @Test func theExampleIsCountedByTheShopAsByUs() throws {
      let shop = try Served(["--shop"])
      let child = try Squall.ended([
        "run", "--quiet", "--format", "json", Self.examples + "/shop.yaml", "--host", shop.url,
        "-u", "12", "-d", "3s",
      ])
      // How fast it is, which its objectives judge, is the host's doing.
      #expect([0, 3].contains(child.ending?.code), "\(child.errors)")
      let result = try Measured(child.output)
      try expectOnlySlow(result)
      #expect(result.inFlight == 0)
      let sent = try sent(result)
      #expect(sent == (try counts(shop)))
      #expect(sent["POST /login"] == 9)
      #expect(try #require(sent["GET /items/[id]"]) > 0)
    }

    /// Objectives of one name and of each name with a tag.
    @Test func objectivesOfNamesAreJudgedByTheirNames() throws {
      let shop = try Served(["--shop"])
      let folder = try Folder()
      let file = try folder.scenario(
        of: shop,
        """
        users:
          a:
            tasks:
              - task: wrong
                do: [{get: /items, name: wrong}]
              - task: right
                tags: [good]
                do: [{get: /health}, {get: /}]
        slo:
          - {name: wrong, is: "errors<1%"}
          - {tag: good, is: "errors<1%,p99<10s"}
        """)
      let result = try Squall.run([file, "-u", "2", "-n", "60"], code: 3)
      let slo = try #require(result["slo"] as? [[String: Any]])
      let passed = slo.map { "\($0["expression"] ?? ""): \(($0["pass"] as? Bool) == true)" }
      #expect(
        passed == [
          "errors<1% of wrong: false", "errors<1% of GET /health: true",
          "p99<10s of GET /health: true", "errors<1% of GET /: true", "p99<10s of GET /: true",
        ])
    }

    private static let behaviours = [
      "browse", "login", "form", "search", "basket", "polling", "pages", "accounts", "events",
      "errors", "classes", "stages", "arrivals", "hosts",
    ]

    /// The same server by another name.
    private func other(_ url: String) -> String {
      String(url.dropLast()).replacing("127.0.0.1", with: "localhost")
    }

    /// Each behaviour in examples/ as it stands there; the shop has refused what was to be refused, and
    /// counted what we say was sent.
    @Test(arguments: behaviours)
    func everyBehaviourIsCountedByTheShopAsByUs(name: String) throws {
      let shop = try Served(["--shop"])
      let users = ["stages", "arrivals"].contains(name) ? [] : ["-u", "4", "-d", "800ms"]
      let result = try Squall.run(
        [Self.examples + "/\(name).yaml", "--host", shop.url, "--set", "ITEMS=\(other(shop.url))"]
          + users)
      result.expectConservation()
      #expect(result.notOk == 0, "\(result.requests)")
      #expect(result.number("requests.dropped") == 0)
      var counts: [String: Int] = [:]
      for (path, count) in try self.counts(shop) {
        counts[path.replacing(#/ \d+$/#, with: ""), default: 0] += count
        if path.hasSuffix("401") { #expect(name == "errors", "\(path)") }
      }
      var sent = try sent(result)
      if let found = sent.removeValue(forKey: "an item that was found") {
        sent["GET /items/[id]", default: 0] += found
      }
      #expect(sent == counts)
      if name == "polling" {
        #expect((sent["GET /orders/[id]"] ?? 0) > (sent["POST /orders"] ?? 0))
      }
      if name == "pages" {
        let pages = sent["GET /items"] ?? 0
        #expect((sent["GET /items/[id]"] ?? 0) >= 5 * (pages - 4))
      }
    }

    /// Two agents, and every name is exact; each user is somewhere once.
    @Test func aClusterCountsTheScenarioAsTheShopDoes() throws {
      let shop = try Served(["--shop"])
      let cluster = try Cluster(
        ["-f", Self.examples + "/shop.yaml", "--host", shop.url, "-u", "12", "-d", "3s"],
        expectWorkers: 3, namesTarget: false)
      try cluster.addAgent(workers: 2)
      try cluster.addAgent()
      let (result, _) = try cluster.finish(orCode: 3)
      result.expectConservation()
      try expectOnlySlow(result)
      let sent = try sent(result)
      #expect(sent == (try counts(shop)))
      #expect(sent["POST /login"] == 9)
      #expect(result.workers.compactMap { $0["connections"] as? Int } == [4, 4, 4])
      try cluster.expectAgentsLeave()
    }

    /// What happens on the way changes no count of a name: a worker is killed and replaced, an agent joins
    /// late, one is told to go, Ctrl-C ends it all.
    @Test(arguments: ["killed", "joins", "leaves", "interrupted"])
    func everyNameStaysExact(event: String) throws {
      let shop = try Served(["--shop"])
      let isInterrupted = event == "interrupted"
      let cluster = try Cluster(
        [
          "-f", Self.examples + "/shop.yaml", "--host", shop.url, "-u", "12", "-d",
          isInterrupted ? "60s" : "4s", "--drain", "10s",
        ], expectWorkers: 2, namesTarget: false)
      let first = try cluster.addAgent()
      try cluster.addAgent()
      try cluster.run { (try self.counts(shop)["GET /items"] ?? 0) > 8 }
      switch event {
      case "killed":
        kill(try #require(first.children.first), SIGKILL)
        try cluster.hear("is ready", times: 3)
      case "joins":
        try cluster.addAgent()
        try cluster.hear("shares dealt over 3 workers")
      case "leaves":
        first.signal(SIGTERM)
        #expect(try first.awaitEnd() == Child.Ending(code: 0))
      default: cluster.master.signal(SIGINT)
      }
      let (result, _) = try cluster.finish(code: isInterrupted ? 130 : 0, orCode: 3)
      result.expectConservation()
      try expectOnlySlow(result)
      let (sent, counts) = (try sent(result), try counts(shop))
      // What was in flight in a process that was killed may have left this host or not.
      if event == "killed" {
        #expect(Set(counts.keys).isSubset(of: Set(sent.keys)), "\(counts)")
        for (name, count) in sent {
          #expect((count - result.inFlight...count).contains(counts[name] ?? 0), "\(name)")
        }
        #expect(sent.values.reduce(0, +) - counts.values.reduce(0, +) <= result.inFlight)
      } else {
        #expect(result.inFlight == 0)
        #expect(sent == counts)
      }
    }

    /// The users of a lost worker begin again on the other, and the counts of both are there.
    @Test func usersOfALostWorkerBeginAgainElsewhere() throws {
      let shop = try Served(["--shop"])
      let folder = try Folder()
      let file = try folder.scenario(
        of: shop,
        """
        users:
          a:
            think: 5ms..15ms
            on_start:
              - post: /login
                json: {name: "user${user}", password: secret}
                capture: {token: $.access_token}
            do:
              - get: /items/${int(1,100)}
                headers: {Authorization: "Bearer ${token}"}
        """)
      let cluster = try Cluster(
        ["-f", file, "-u", "6", "-d", "5s"] + ["--drain", "1s"], expectWorkers: 2,
        namesTarget: false)
      let lost = try cluster.addAgent()
      try cluster.addAgent()
      try cluster.run { (try self.counts(shop)["GET /items/[id]"] ?? 0) > 50 }
      lost.signalGroup(SIGKILL)
      let (result, _) = try cluster.finish(code: 6)
      let counts = try self.counts(shop)
      // The lost worker's own counts of its last moments died with its host.
      #expect(try #require(counts["POST /login"]) > 6)
      #expect(counts["GET /items/[id] 401"] == nil)
      #expect(result.workers.count { $0["lost"] as? Bool == true } == 1)
    }

    /// A status that a check asks for is a good answer, whatever its number.
    @Test func anErrorStatusThatIsAskedForIsOk() throws {
      let shop = try Served(["--shop"])
      let folder = try Folder()
      let file = try folder.scenario(
        of: shop,
        """
        users:
          a:
            do:
              - {get: /report, check: {status: 401}}
              - {get: /nowhere, check: {status: [200, 404]}}
              - {get: /items, check: {status: 404}}
        """)
      let result = try Squall.run([file, "-u", "2", "-n", "30", "--csv", folder.path + "/r"])
      result.expectConservation()
      #expect(result.ok == 20, "\(result.requests)")
      #expect(result.errors == ["status": 10])
      #expect(result["status"] as? [String: Int] == ["401": 20, "404": 10])
      let endpoints = try #require(result["requests_by_name"] as? [[String: Any]])
      #expect(endpoints.compactMap { $0["ok"] as? Int } == [10, 10, 0])
      let failures = try folder.text("r_failures.csv").split(separator: "\n")
      #expect(failures.count == 2, "\(failures)")
    }

    @Test func aWrongPasswordIsRefusedAndStopsTheUser() throws {
      let shop = try Served(["--shop"])
      let result = try Squall.run(
        [Self.examples + "/shop.yaml", "--host", shop.url, "-u", "4", "-d", "500ms"],
        environment: ["SHOP_PASSWORD": "guess"], code: 3)
      let counts = try self.counts(shop)
      #expect(counts["POST /login 401"] == 3)
      #expect(counts["GET /items"] == nil)
      #expect(result.errors["status"] == 3, "\(result.requests)")
    }
  }
}
