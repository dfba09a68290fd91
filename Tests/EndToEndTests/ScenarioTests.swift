import Foundation
import Synchronization
import Testing

extension EndToEnd {
  /// Scenarios from their files: what is wrong with them, their plan, and one iteration of each user.
  @Suite(.serialized) struct ScenarioTests {
    private static let root = URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    @Test func theExampleIsSoundAndItsPlanIsPrinted() throws {
      let child = try Squall.ended(["check", Self.root.path + "/examples/shop.yaml"])
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      for words in [
        "shopper, 75 %, thinks 500ms to 1.5s", "80 %  browse  [read]", "POST /login, keeps token",
        "to 20 users over 5s, then 20 users for 20s",
      ] { #expect(child.output.contains(words), "\(child.output)") }
    }

    @Test(arguments: [
      (
        "users:\n  a:\n    wieght: 1\n",
        "3:5: 'wieght' is not a key of a user: did you mean 'weight'?\n      wieght: 1\n      ^"
      ),
      (
        "users: {a: {do: [{get: /}]}, a: {}}\n",
        "1:9: 'a' is given twice in one mapping: take one out"
      ),
      (
        "users: {a: {do: [{get: /p/${int(1,2)}}]}}\n",
        "1:28: not YAML: did not find expected ',' or '}'; a text with {"
      ),
      ("users:\n\t- a\n", "2:1: not YAML:"),
      ("users: {a: {do: [{get: /}]}}\nslo: [\"p99<\"]\n", "slo 1: 'p99<'"),
      ("users: &a [*a]\n", "1:"),
      (
        "data: [&a \"\(String(repeating: "x", count: 100_000))\""
          + String(repeating: ", *a", count: 100) + "]\n",
        "1:8: too large once its aliases are followed: write less of it"
      ),
      (
        "users: {a: {do: [{post: /, body: {file: none.bin}}]}}\n",
        "the file 'none.bin' cannot be read"
      ),
    ])
    func aFaultIsShownInItsLine(text: String, message: String) throws {
      let folder = try Folder()
      let path = try folder.file("a.yaml", "squall: 1\ntarget: http://127.0.0.1:1\n" + text)
      let child = try Squall.ended(["check", path])
      #expect(child.ending == Child.Ending(code: 2))
      #expect(child.output.isEmpty)
      // Two lines stand before those of the table.
      let line = message.prefix { $0 != ":" }
      let expected =
        Int(line).map { "\(path):\($0 + 2)" + message.dropFirst(line.count) } ?? message
      #expect(child.errors.contains(expected), "\(child.errors)")
    }

    @Test func aDryRunSendsOneIterationOfEachUser() throws {
      let shop = try Scripted { connection, _ in
        while let head = connection.head() {
          let path = head.split(separator: " ")[1]
          let (fields, body) =
            switch path {
            case "/login": ("Set-Cookie: sid=s1; Path=/\r\n", #"{"token":"t-1"}"#)
            case "/item"
            where head.contains("Authorization: Bearer t-1\r\n")
              && head.contains("Cookie: sid=s1\r\n"):
              ("", #"{"stock":3}"#)
            default: ("", #"{"stock":0}"#)
            }
          connection.write(
            "HTTP/1.1 200 OK\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
        }
      }
      let folder = try Folder()
      func scenario(item: String) throws -> String {
        try folder.file(
          "\(item.dropFirst()).yaml",
          """
          squall: 1
          target: ${var.shop}
          users:
            shopper:
              think: 1h
              on_start:
                - get: /login
                  capture: {token: $.token}
              do:
                - get: \(item)
                  headers: {Authorization: "Bearer ${token}"}
                  check: {json: {$.stock: 3}}
                - think: 2h
              on_stop: [{get: /bye}]
            other: {do: [{get: /other}]}
          """)
      }
      let shopURL = "shop=http://127.0.0.1:\(shop.port)"
      let good = try Squall.ended([
        "run", try scenario(item: "/item"), "--set", shopURL, "--dry-run",
      ])
      #expect(good.ending == Child.Ending(code: 0), "\(good.output)\(good.errors)")
      for words in [
        "== shopper, user 0", "* keeps token: 't-1'", "> Authorization: Bearer t-1",
        "< {\"stock\":3}", "* GET /bye", "== other, user 1", "4 requests, 0 of them failed",
      ] { #expect(good.output.contains(words), "\(good.output)") }

      let bad = try Squall.ended(
        ["run", "-f", try scenario(item: "/gone"), "--set", shopURL, "--dry-run"])
      #expect(bad.ending == Child.Ending(code: 1))
      #expect(bad.output.contains("* FAILED: does not hold: $.stock is 3"), "\(bad.output)")
      #expect(bad.errors.contains("1 of 4 requests failed"), "\(bad.errors)")
    }

    /// Bodies that a check or a capture reads are read as they were before they were compressed; one that
    /// cannot be is a failure with its reason, and one that nobody reads is not looked at.
    @Test func compressedBodiesAreInflatedWhereTheyAreRead() throws {
      let gzip = [UInt8](
        try #require(
          Data(
            base64Encoded:
              "H4sIAAAAAAACA6tWyixJzS1WsoquVspMUbJSytQ1VKrVgXOMlGpjdZRK8rNT84D8El1zcy"
              + "Udpbz8klQgLzEpWWEwY6VaAOCBPjXeAAAA"
          )))
      let server = try Scripted { connection, _ in
        while let head = connection.head() {
          let path = head.split(separator: " ")[1]
          var body = gzip
          if path == "/cut" { body.removeLast(9) }
          if path == "/damaged" { body[body.count - 6] ^= 1 }
          let coding = path == "/other" ? "br" : path == "/twice" ? "gzip, gzip" : "GZip"
          if path == "/none" { body = [] }
          connection.write(
            "HTTP/1.1 200 OK\r\nContent-Encoding: \(coding)\r\nContent-Length: \(body.count)\r\n\r\n"
          )
          // In two pieces, the first of which is less than gzip's head.
          connection.write(Array(body.prefix(5)))
          connection.write(Array(body.dropFirst(5)))
        }
      }
      let folder = try Folder()
      let file = try folder.scenario(
        at: server.url,
        """
        users:
          a:
            do:
              - get: /good
                capture: {token: $.token, id: {between: ['"id":"', '"']}}
                check: {contains: "abc abc", has: [token]}
              - get: /use/${token}/${id}
                name: unread
              - get: /cut
                check: {contains: i-1}
              - get: /damaged
                check: {contains: i-1}
              - get: /other
                check: {contains: i-1}
              - get: /twice
                capture: {token: $.token}
              - get: /none
                check: {status: 200}
                capture: {nothing: $.x}
              - if: ${nothing}
                do: [{get: /never}]
        """)
      let result = try Squall.run([file, "-u", "1", "-n", "700"])
      let names = try #require(result["requests_by_name"] as? [[String: Any]])
      func failures(_ name: String) -> [String] {
        let name = names.first { $0["name"] as? String == name }
        return (name?["checks"] as? [[String: Any]] ?? []).compactMap { $0["check"] as? String }
      }
      #expect(failures("GET /good") == [])
      #expect(failures("unread") == [])
      #expect(failures("GET /none") == [])
      #expect(failures("GET /cut") == ["the compressed body is cut short"])
      #expect(failures("GET /damaged") == ["the compressed body is damaged"])
      let other = "the body is coded otherwise than gzip or deflate: take it out of Accept-Encoding"
      #expect(failures("GET /other") == [other])
      #expect(failures("GET /twice") == [other])
      #expect(result.errors == ["check": 400])

      let dryRun = try Squall.ended(["run", file, "--dry-run"])
      #expect(dryRun.output.contains("* keeps token: 't-77'"), "\(dryRun.output)")
      #expect(dryRun.output.contains("* FAILED: the compressed body is damaged"))
    }

    /// Each hop is a request of its own, counted under a name of its own.
    @Test func redirectsAreFollowedAndCounted() throws {
      let server = try Scripted { connection, server in
        while let head = connection.head() {
          server.note()
          let next = ["GET /a ": "/b#x", "GET /b ": "/c"].first { head.hasPrefix($0.key) }?.value
          let field = next.map { "Location: \($0)\r\n" } ?? ""
          connection.write(
            "HTTP/1.1 \(next == nil ? 200 : 302) OK\r\n\(field)Content-Length: 3\r\n\r\nend")
        }
      }
      let folder = try Folder()
      let file = try folder.scenario(
        at: server.url,
        """
        defaults: {redirects: 5}
        users: {a: {do: [{get: /a, check: {status: 200}}]}}
        """)
      let result = try Squall.run([file, "-u", "2", "-n", "30"])
      #expect(result.ok == 30, "\(result.requests)")
      #expect(server.requestCount == 30)
      let names = try #require(result["requests_by_name"] as? [[String: Any]])
      #expect(names.compactMap { $0["name"] as? String } == ["GET /a", "GET /a, redirected"])
      let sent = names.compactMap { $0["sent"] as? Int }
      // Both users were in the middle of something at most.
      #expect((10...11).contains(sent[0]), "\(sent)")
    }

    /// Setup is done once, before the load, and in no count; when it fails there is no load.
    @Test func setupIsDoneOnceBeforeTheLoad() throws {
      let server = try Scripted { connection, server in
        while let head = connection.head() {
          server.note()
          let body = head.hasPrefix("POST /seed ") ? #"{"id":42}"# : "{}"
          let status = head.hasPrefix("GET /item/42 ") || head.hasPrefix("POST /seed ") ? 200 : 404
          connection.write(
            "HTTP/1.1 \(status) OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
        }
      }
      let folder = try Folder()
      func file(_ setup: String) throws -> String {
        try folder.scenario(
          at: server.url,
          """
          setup: [{\(setup), capture: {id: $.id}, check: {has: [id]}}]
          users: {a: {do: [{get: "/item/${id}"}]}}
          """)
      }
      let result = try Squall.run([try file("post: /seed"), "-u", "3", "-n", "30"])
      #expect(result.ok == 30, "\(result.requests)")
      #expect(server.requestCount == 31)
      let names = try #require(result["requests_by_name"] as? [[String: Any]])
      #expect(names.compactMap { $0["name"] as? String } == ["GET /item/${id}"])
      let dryRun = try Squall.ended(["run", try file("post: /seed"), "--dry-run"])
      #expect(dryRun.ending == Child.Ending(code: 0), "\(dryRun.output)\(dryRun.errors)")
      #expect(dryRun.output.contains("== setup\n\n* POST /seed"), "\(dryRun.output)")
      let before = server.requestCount
      let failed = try Squall.ended(["run", try file("get: /nowhere"), "-u", "3", "-n", "30"])
      #expect(failed.ending == Child.Ending(code: 1), "\(failed.output)")
      #expect(
        failed.errors.contains("setup failed, so there was no load: GET /nowhere: does not hold"),
        "\(failed.errors)")
      #expect(server.requestCount == before + 1)
    }

    /// Every iteration of the schedule is begun by a user that is free, or dropped; what waits in a busy
    /// pool shows in the response time of an iteration's first request alone.
    @Test(arguments: ["uniform", "poisson"])
    func iterationsBeginOnTheSchedule(arrival: String) throws {
      let target = try Served()
      let folder = try Folder()
      let file = try folder.scenario(
        of: target,
        """
        users:
          a:
            on_start: [{get: /start}]
            do: [{get: /a}, {think: 100ms}, {get: /b}]
            on_stop: [{get: /stop}]
        load: {iterations: {rate: 100/s, arrival: \(arrival), users: {max: 4}, stages: [{for: 2s}]}}
        """)
      let result = try Squall.run([file, "--drain", "30s"])
      result.expectConservation()
      let counts = try self.counts(target)
      #expect(counts["/start"] == 4)
      #expect(counts["/stop"] == 4)
      #expect(counts.values.reduce(0, +) == result.sent)
      let iterations = try #require(result["iterations"] as? [String: Any])
      let started = try #require(iterations["started"] as? Int)
      let dropped = try #require(iterations["dropped"] as? Int)
      if arrival == "uniform" { #expect(started + dropped == 200) }
      #expect(started + dropped > 100)
      #expect(started == counts["/a"])
      // Four users take a tenth of a second each.
      #expect((4...80).contains(started))
      #expect(dropped > 0)
      #expect(result["requests.dropped"] as? Int == 0)
      let ended = ["completed", "abandoned", "interrupted"].compactMap { iterations[$0] as? Int }
      #expect(ended.reduce(0, +) == started)
    }

    /// A trial waits between its tries as users do: what is awaited comes after a time, not after a
    /// number of tries.
    @Test func aDryRunWaitsBetweenTries() throws {
      let begun = Mutex<UInt64?>(nil)
      let server = try Scripted { connection, _ in
        while connection.head() != nil {
          let nowNs = monotonicNs()
          let sinceNs = begun.withLock { first -> UInt64 in
            defer { first = first ?? nowNs }
            return nowNs - (first ?? nowNs)
          }
          let body = sinceNs >= 400_000_000 ? #"{"done":true}"# : "{}"
          connection.write(
            "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
        }
      }
      let folder = try Folder()
      let file = try folder.scenario(
        at: server.url,
        """
        users:
          a: {do: [{get: /, until: {json: {$.done: true}, at_most: 500, every: 100ms}}]}
        """)
      let child = try Squall.ended(["run", file, "--dry-run"])
      #expect(child.ending == Child.Ending(code: 0), "\(child.output)\(child.errors)")
      #expect(child.output.contains("* waits 0.1 s"), "\(child.output)")
      // At least four pauses, and no more than there was time for.
      let tries = child.output.split(separator: "\n").count { $0 == "* GET /" }
      #expect((2...6).contains(tries), "\(child.output)")
    }

    /// Another file, with its data beside it, and tags of tasks.
    @Test func includedFilesAndTagsAreHeeded() throws {
      let target = try Served()
      let folder = try Folder()
      try FileManager.default.createDirectory(
        atPath: folder.path + "/shared", withIntermediateDirectories: false)
      _ = try folder.file("shared/words.csv", "word\nalpha\n")
      _ = try folder.file(
        "shared/steps.yaml",
        "data: {words: {file: words.csv}}\nsteps: {look: [{get: '/${words.word}'}]}\n")
      let file = try folder.scenario(
        of: target,
        """
        include: [shared/steps.yaml]
        users:
          a:
            tasks:
              - {task: look, tags: [read], do: [{use: look}]}
              - {task: write, tags: [write], do: [{post: /w}]}
        """)
      let result = try Squall.run([file, "-u", "1", "-n", "20", "--tags", "read,read"])
      #expect(result.ok == 20)
      #expect(try counts(target) == ["/alpha": 20])
      let other = try Squall.run([file, "-u", "1", "-n", "20", "--exclude-tags", "read"])
      #expect(other.ok == 20)
      #expect(try counts(target) == ["/alpha": 20, "/w": 20])
      _ = try folder.file("shared/steps.yaml", "steps: {look: [{gte: /}]}\n")
      let child = try Squall.ended(["check", file])
      #expect(
        child.errors.contains("shared/steps.yaml:1:17: 'gte' is not a step"), "\(child.errors)")
    }

    @Test func theReportHasALineForEachName() throws {
      let target = try Served()
      let folder = try Folder()
      let path = try folder.file(
        "a.yaml",
        """
        squall: 1
        target: http://127.0.0.1:1
        users:
          a:
            do:
              - get: /p/${int(1,5)}
              - get: /q
                name: the other
                check: {contains: nothing like it}
        """)
      let child = try Squall.ended(
        ["run", "--quiet", path, "--host", target.url, "-u", "2", "-n", "20"])
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      let lines = child.output.split(separator: "\n").map {
        $0.split(separator: " ").map(String.init)
      }
      let first = lines.first { $0.first == "GET" }
      #expect(first?.prefix(4) == ["GET", "/p/${int}", "10", "0"], "\(child.output)")
      let second = lines.first { $0.first == "the" && $0.dropFirst().first == "other" }
      #expect(second == ["the", "other", "10", "10", "-", "-", "-"], "\(child.output)")
      #expect(child.output.contains("10 check"), "\(child.output)")
      #expect(child.output.contains("10 failed: contains 'nothing like it'"), "\(child.output)")
      #expect(child.output.contains("Iterations      10 completed"), "\(child.output)")
    }

    /// Tokens and cookies belong to their users: a server that gives each login its own sees no other.
    @Test(arguments: ["own", "shared 2"])
    func usersKeepWhatTheirOwnLoginGave(connections: String) throws {
      let strangers = Strangers()
      let shop = try Scripted { connection, server in
        var answers = 0
        while let head = connection.head() {
          server.note()
          var (fields, body) = ("", #"{"ok":true}"#)
          if head.hasPrefix("GET /login?user=") {
            let user = head.dropFirst("GET /login?user=".count).prefix { $0 != " " }
            fields = "Set-Cookie: sid=s\(user); Path=/\r\n"
            body = #"{"list":[{"token":"t\#(user)"}]}"#
          } else {
            let token = head.firstMatch(of: /Authorization: Bearer t(\d+)/)?.output.1
            let session = head.firstMatch(of: /Cookie: sid=s(\d+)/)?.output.1
            if token == nil || token != session { strangers.note(head) }
          }
          answers += 1
          // A connection now and then ends: the user and what it keeps go on.
          let ending = answers % 7 == 0 ? "Connection: close\r\n" : ""
          connection.write(
            "HTTP/1.1 200 OK\r\n\(fields)\(ending)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
          )
          if !ending.isEmpty { return }
        }
      }
      let folder = try Folder()
      let path = try folder.file(
        "a.yaml",
        """
        squall: 1
        target: http://127.0.0.1:\(shop.port)
        connections: \(connections)
        users:
          a:
            think: 1ms..3ms
            on_start:
              - get: /login
                query: {user: "${user}"}
                capture: {token: "$.list[0].token"}
                check: {has: [token]}
                else: stop user
            do:
              - get: /item/${int(1,9)}
                headers: {Authorization: "Bearer ${token}"}
                check: {json: {$.ok: true}}
        """)
      let result = try Squall.run([path, "-u", "6", "-n", "300", "-d", "60s"])
      #expect(result.sent == 300)
      #expect(result.ok == 300)
      #expect(shop.requestCount == 300)
      #expect(strangers.heads.isEmpty, "\(strangers.heads.first ?? "")")
      let endpoints = try #require(result["requests_by_name"] as? [[String: Any]])
      #expect(endpoints.compactMap { $0["sent"] as? Int } == [6, 294])
    }

    private final class Strangers: @unchecked Sendable {
      private let lock = NSLock()
      private var all: [String] = []
      var heads: [String] { lock.withLock { all } }
      func note(_ head: String) { lock.withLock { all.append(head) } }
    }

    private static let file = """
      squall: 1
      target: http://127.0.0.1:1
      users: {a: {do: [{get: /}]}}

      """

    @Test(arguments: [
      ("", ["-f", "a.yaml"], "both name a scenario"), ("", [], "give -u, such as -u 50"),
      ("", ["-u", "0"], "give -u"), ("", ["-u", "2000000"], "1000000 allowed"),
      ("", ["-u", "5", "-R", "5"], "-R is for one URL"), ("", ["-u", "5", "-c", "5"], "-c is for"),
      ("", ["-u", "5", "-r", "0"], "-r 0"),
      ("", ["-u", "5", "-r", "0.00000000001"], "is outside of 0.001 to 1,000,000,000 users"),
      ("", ["-u", "5", "-r", "100000000000g"], "is outside of 0.001 to 1,000,000,000 users"),
      ("", ["-u", "5", "--vs=-c 1"], "are for one URL"),
      ("slo: [{name: GET /, is: cpu<1s}]", ["-u", "1"], "of one name only p50"),
      (
        "steps: {s: [{get: /, else: stop user}]}", ["-u", "1"], "the block 's' is never used"
      ),
    ])
    func whatIsNotCarriedOutIsRefused(
      more: String, arguments: [String], words: String
    ) throws {
      let path = try Folder()
      let file = try path.file("a.yaml", Self.file + more)
      let child = try Squall.ended(["run", file] + arguments)
      #expect(child.ending == Child.Ending(code: 2), "\(child.errors)")
      #expect(child.errors.contains(words), "\(child.errors)")
    }

    @Test func aNumberThatMayNeverBeReachedNeedsATime() throws {
      let folder = try Folder()
      let file = try folder.file(
        "a.yaml",
        "squall: 1\ntarget: http://127.0.0.1:1\nusers: {a: {do: [{get: /, else: stop user}]}}\n")
      let child = try Squall.ended(["run", file, "-u", "1", "-n", "5"])
      #expect(child.ending == Child.Ending(code: 2))
      #expect(child.errors.contains("give a time with -d"), "\(child.errors)")
    }

    /// What cannot be rendered is not sent and counts as dropped; users that stop send nothing more, and
    /// the sums hold.
    @Test func whatIsNotSentIsCountedAsDropped() throws {
      let target = try Served()
      let folder = try Folder()
      let file = try folder.file(
        "a.yaml",
        """
        squall: 1
        target: http://127.0.0.1:1
        users:
          a:
            think: 5ms
            do:
              - get: /a
                capture: {v: $.none}
              - get: /b/${v}
                name: never sent
              - chance: 50%
                do:
                  - get: /c
                    check: {contains: nothing like it}
                    else: stop user
        """)
      let result = try Squall.run([file, "--host", target.url, "-u", "20", "-d", "500ms"])
      let endpoints = try #require(result["requests_by_name"] as? [[String: Any]])
      let sent = endpoints.compactMap { $0["sent"] as? Int }
      #expect(sent[1] == 0)
      // Nearly all users have met their last check by then, each of them once.
      #expect((1...20).contains(sent[2]))
      #expect(result.number("requests.dropped") > 0)
      #expect(result.sent == sent[0] + sent[2])
      #expect(try target.count() == result.sent)
    }

    private func counts(_ target: Served) throws -> [String: Int] {
      let object = try JSONSerialization.jsonObject(
        with: Data(fetch("/count", port: target.port).utf8))
      return (try #require((object as? [String: Any])?["paths"] as? [String: Int]))
        .filter { $0.value > 0 }
    }

    /// `on_stop` comes once for each user that was there: at the end of a time, of a number of requests,
    /// and on Ctrl-C. It is counted by name and in no rate.
    @Test(arguments: ["-d 2s", "-n 60 -d 60s", "-d 61s"], ["own", "shared 2"])
    func everyUserSaysGoodbye(load: String, connections: String) throws {
      let target = try Served()
      let folder = try Folder()
      let file = try folder.scenario(
        of: target,
        """
        connections: \(connections)
        users:
          a:
            think: 5ms..10ms
            on_start: [{get: /start}]
            do: [{get: /a}]
            on_stop: [{get: /bye}, {think: 20ms}, {get: /gone}]
          b: {fixed: 3, think: 1h, do: [{get: /b}], on_stop: [{get: /bye}]}
        """)
      let child = try Squall.start(
        ["run", "--quiet", "--format", "json", file, "-u", "9", "--drain", "30s"]
          + load.split(separator: " ").map(String.init))
      let isInterrupted = load == "-d 61s"
      if isInterrupted {
        try child.run { (try self.counts(target)["/a"] ?? 0) > 20 }
        child.signalGroup(SIGINT)
      }
      #expect(
        try child.awaitEnd() == Child.Ending(code: isInterrupted ? 130 : 0), "\(child.errors)")
      let result = try Measured(child.output)
      result.expectConservation()
      let counts = try self.counts(target)
      #expect(counts["/start"] == 6)
      #expect(counts["/bye"] == 9)
      #expect(counts["/gone"] == 6)
      #expect(counts.values.reduce(0, +) == result.sent)
      #expect(result.inFlight == 0)
      let intervals = try #require(result["intervals"] as? [[String: Any]])
      let drained = intervals.filter { $0["phase"] as? String == "drain" }
        .compactMap { $0["sent"] as? Int }.reduce(0, +)
      #expect(drained == 15)
      if load.hasPrefix("-n") { #expect(result.sent == 60 + 15) }
    }

    /// A load of several stages: users come and go as it says, and begin anew when they come again.
    @Test(arguments: ["own", "shared 2"])
    func usersComeAndGoWithTheStages(connections: String) throws {
      let target = try Served()
      let folder = try Folder()
      let file = try folder.scenario(
        of: target,
        """
        connections: \(connections)
        users:
          a:
            think: 5ms..10ms
            on_start: [{get: /start}]
            do: [{get: /a}]
            on_stop: [{get: /bye}]
        load:
          users:
            stages:
              - {to: 8, over: 0s}
              - {for: 800ms}
              - {to: 2, over: 300ms}
              - {for: 800ms}
              - {to: 6, over: 0s}
              - {for: 800ms}
              - {to: 0, over: 200ms}
        """)
      let result = try Squall.run([file, "--drain", "30s"])
      result.expectConservation()
      let counts = try self.counts(target)
      #expect(counts["/start"] == 8 + 4)
      #expect(counts["/bye"] == 8 + 4)
      #expect(counts.values.reduce(0, +) == result.sent)
      #expect(result.number("measured_ns") >= 2_900_000_000)
    }

    /// Users wait for a connection in turn, which is part of their response time and of no service time.
    @Test func usersShareConnections() throws {
      let server = try Scripted { connection, server in
        while connection.head() != nil {
          server.note()
          usleep(10_000)
          guard connection.write(Scripted.hello) else { return }
        }
      }
      let folder = try Folder()
      let file = try folder.scenario(
        at: server.url,
        """
        connections: shared 2
        users: {a: {do: [{get: /a}]}}
        load: {users: 8, requests: 200}
        """)
      let result = try Squall.run([file, "-w", "1"])
      result.expectConservation()
      #expect(result.ok == 200)
      #expect(server.requestCount == 200)
      // One more looks whether somebody listens, and is the first of them.
      #expect(server.connectionsByPeer.values.reduce(0, +) <= 3)
      #expect(result.number("plan.connections") == 2)
      #expect(result.number("plan.users") == 8)
      // Four users for each connection: each waits for the three before it.
      let response = result.number("latency_ns.response.p50")
      let service = result.number("latency_ns.service.p50")
      #expect(service >= 10_000_000)
      #expect(response >= 3 * service, "\(response) \(service)")
      #expect(response <= 6 * service, "\(response) \(service)")
    }

    /// Whoever cannot send gives its turn to the next one.
    @Test func aRequestThatIsNotSentHoldsNoConnection() throws {
      let target = try Served()
      let folder = try Folder()
      let file = try folder.scenario(
        of: target,
        """
        connections: shared 1
        users:
          mute: {do: [{get: /a, capture: {v: $.none}}, {get: "/b/${v}", name: never}, {think: 5ms}]}
          loud: {do: [{get: /c}]}
        load: {users: 4}
        """)
      let result = try Squall.run([file, "-w", "1", "-d", "500ms"])
      #expect(result.ok > 500)
      #expect(try target.count() == result.ok)
      // Two users come to it about every 7 ms.
      #expect((20...400).contains(result.number("requests.dropped")), "\(result.requests)")
    }

    @Test func iterationsWaitForSharedConnections() throws {
      let target = try Served()
      let folder = try Folder()
      let file = try folder.scenario(
        of: target,
        """
        connections: shared 2
        users: {a: {do: [{get: /a}, {think: 5ms}, {get: /b}]}}
        load: {iterations: {rate: 400/s, users: {max: 50}}}
        """)
      let result = try Squall.run([file, "-d", "1s", "-w", "1", "--drain", "20s"])
      result.expectConservation()
      let started = result.number("iterations.started")
      #expect(started + result.number("iterations.dropped") == 400, "\(result.text)")
      let counts = try self.counts(target)
      #expect(counts["/a"] == started)
      #expect(counts.values.reduce(0, +) == result.sent)
    }

    /// The result says how late think times ended: by the wheel's tick, and what the loop was busy with.
    @Test(arguments: ["own", "shared 20"])
    func thinkTimesEndWhenTheySay(connections: String) throws {
      let target = try Served()
      let folder = try Folder()
      let file = try folder.scenario(
        of: target,
        """
        connections: \(connections)
        users: {a: {think: 100ms..300ms, do: [{get: /a}, {think: 50ms}, {get: /b}]}}
        """)
      let result = try Squall.run([file, "-u", "300", "-r", "1000", "-d", "2s", "-w", "1"])
      result.expectConservation()
      let count = result.number("latency_ns.schedule_lag.count")
      #expect(count > 600 && count < result.sent, "\(count) of \(result.sent)")
      // Half of them at least, whatever else this host does.
      #expect(result.number("latency_ns.schedule_lag.p50") < 2_000_000)
    }

    /// Each user has a connection to each host, or all share some to each, and every name is counted as its
    /// host counted it.
    @Test(arguments: [("own", 8), ("shared 2", 4)])
    func severalHostsAreOneScenario(connections: String, connectionCount: Int) throws {
      let (shop, api) = (try Served(), try Served())
      let folder = try Folder()
      let file = try folder.scenario(
        of: shop,
        """
        connections: \(connections)
        users:
          a:
            think: 0ms..3ms
            on_start: [{post: "${env.NOWHERE:-\(api.url.dropLast())}/login"}]
            do:
              - get: /p/${int(1,3)}
              - get: \(api.url)items
                query: {q: "${int(1,9)}"}
              - get: \(shop.url)own
            on_stop: [{get: \(api.url)bye}]
        """)
      let result = try Squall.run([file, "-u", "4", "-n", "400", "-d", "60s"])
      result.expectConservation()
      #expect(result.ok == 404)
      #expect(result.number("plan.connections") == connectionCount)
      #expect(result.number("plan.users") == 4)
      let names = try #require(result["requests_by_name"] as? [[String: Any]])
      let sent = Dictionary(
        uniqueKeysWithValues: names.map { ($0["name"] as? String ?? "", $0["sent"] as? Int ?? 0) })
      let atShop = try counts(shop)
      let atAPI = try counts(api)
      #expect(
        atShop.filter { $0.key.hasPrefix("/p/") }.values.reduce(0, +) == sent["GET /p/${int}"])
      #expect(atShop["/own"] == sent["GET /own"])
      #expect(atAPI["/items"] == sent["GET \(api.url)items"])
      #expect(atAPI["/login"] == 4)
      #expect(atAPI["/bye"] == 4)
      #expect(sent.count == 5)
      let plan = try Squall.ended(["check", file])
      #expect(
        plan.output.contains("target  \(shop.url.dropLast())\nand     \(api.url.dropLast())\n"))
      let dryRun = try Squall.ended(["run", file, "--dry-run"])
      #expect(dryRun.ending == Child.Ending(code: 0), "\(dryRun.errors)")
      #expect(dryRun.output.contains("> Host: 127.0.0.1:\(api.port)\n"), "\(dryRun.output)")
    }

    /// Users that come and go as the load says open and end their connections to every host.
    @Test func usersOfSeveralHostsComeAndGo() throws {
      let (shop, api) = (try Served(), try Served())
      let folder = try Folder()
      let file = try folder.scenario(
        of: shop,
        """
        users:
          a:
            think: 5ms..10ms
            on_start: [{get: /start}]
            do: [{get: /a}, {get: "\(api.url)a"}]
            on_stop: [{get: "\(api.url)bye"}]
        load:
          users:
            stages:
              - {to: 8, over: 0s}
              - {for: 600ms}
              - {to: 2, over: 200ms}
              - {for: 600ms}
              - {to: 6, over: 0s}
              - {for: 600ms}
        """)
      let result = try Squall.run([file, "--drain", "30s", "--interval", "100ms"])
      result.expectConservation()
      let (atShop, atAPI) = (try counts(shop), try counts(api))
      #expect(atShop["/start"] == 8 + 4)
      #expect(atAPI["/bye"] == 6 + 6)
      #expect((atShop.values.reduce(0, +)) + atAPI.values.reduce(0, +) == result.sent)
      // Both of each user's: eight came, six went, and four of these came again.
      #expect(result.number("connections.opened") == 24)
      #expect(result.number("connections.reopened") == 8)
    }

    /// TLS to one of them, and the other in the clear, on the same port of one server.
    @Test(arguments: ["own", "shared 2"])
    func someHostsHaveTLS(connections: String) throws {
      let target = try Served(["--tls"])
      let folder = try Folder()
      let port = target.port
      let file = try folder.scenario(
        at: "http://127.0.0.1:\(port)/",
        """
        connections: \(connections)
        users: {a: {do: [{get: /clear}, {get: "https://127.0.0.1:\(port)/safe"}]}}
        """)
      let result = try Squall.run([file, "-u", "4", "-n", "200", "-k"])
      result.expectConservation()
      #expect(result.ok == 200)
      let counts = try counts(target)
      #expect((counts["/clear"] ?? 0) + (counts["/safe"] ?? 0) == 200)
      #expect((98...102).contains(counts["/safe"] ?? 0), "\(counts)")
      // As many handshakes as connections to that host.
      #expect(
        result.number("tls.handshakes.full") == (connections == "own" ? 4 : 2), "\(result.text)")
      let unknown = try Squall.ended(["run", file, "-u", "1", "-n", "1"])
      #expect(unknown.ending == Child.Ending(code: 1))
      #expect(unknown.errors.contains("no known authority signed"), "\(unknown.errors)")
      let named = try Squall.ended(["run", file, "-u", "1", "-n", "1", "--sni", "x"])
      #expect(named.errors.contains("--sni is the name of one host"), "\(named.errors)")
    }

    /// A redirect to a host that the scenario names is followed, without what was for the first host alone.
    @Test func redirectsLeadToHostsOfTheScenario() throws {
      let strangers = Strangers()
      let other = try Scripted { connection, server in
        while let head = connection.head() {
          server.note()
          let isOdd =
            head.contains("Authorization") || !head.contains("Host: 127.0.0.1:")
            || head.hasPrefix("GET /b") && !head.contains("X-Kept: 1")
          if isOdd { strangers.note(head) }
          connection.write(Scripted.hello)
        }
      }
      let server = try Scripted { connection, server in
        while let head = connection.head() {
          server.note()
          if !head.contains("Authorization: Basic YTpi") { strangers.note(head) }
          let next = head.hasPrefix("GET /a ") ? "\(other.url)b?c=1" : "http://127.0.0.1:1/"
          connection.write("HTTP/1.1 302 Found\r\nLocation: \(next)\r\nContent-Length: 0\r\n\r\n")
        }
      }
      let folder = try Folder()
      let file = try folder.scenario(
        at: server.url,
        """
        defaults: {redirects: 3, headers: {X-Kept: 1}}
        users:
          a:
            do:
              - {get: /a, auth: {basic: [a, b]}, check: {status: 200}}
              - {get: /lost, auth: {basic: [a, b]}, check: {status: 200}}
              - {get: "\(other.url)c"}
        """)
      let result = try Squall.run([file, "-u", "1", "-n", "40"])
      let names = try #require(result["requests_by_name"] as? [[String: Any]])
      #expect(
        names.compactMap { $0["name"] as? String } == [
          "GET /a", "GET /a, redirected", "GET /lost", "GET /lost, redirected", "GET \(other.url)c",
          "GET \(other.url)c, redirected",
        ])
      #expect(names.compactMap { $0["sent"] as? Int } == [10, 10, 10, 0, 10, 0])
      #expect(result.ok == 30, "\(result.requests)")
      #expect(result.text.contains("a redirect leads to a host that the scenario does not name"))
      #expect(other.requestCount == 20)
      #expect(strangers.heads.isEmpty, "\(strangers.heads.first ?? "")")
    }

    @Test func flagsOfScenariosNeedOne() throws {
      for arguments in [["--dry-run"], ["--set", "a=b"], ["-u", "5"], ["--host", "http://x"]] {
        let child = try Squall.ended(["run", "http://127.0.0.1:1/"] + arguments)
        #expect(child.ending == Child.Ending(code: 2))
        #expect(child.errors.contains("\(arguments[0]) is for a scenario"), "\(child.errors)")
      }
      let gone = try Squall.ended(["run", "/nowhere/a.yaml"])
      #expect(gone.errors.contains("cannot be read"), "\(gone.errors)")
    }

    /// What the result says of each name is what the target counted by path.
    @Test func everyNameIsCountedExactly() throws {
      let target = try Served()
      let folder = try Folder()
      let path = try folder.scenario(
        of: target,
        """
        users:
          a:
            weight: 3
            think: 1ms..5ms
            on_start: [{get: /start}]
            tasks:
              - task: read
                weight: 3
                do: [{get: "/p/${int(1,5)}", check: {contains: Hello}}]
              - task: write
                do:
                  - post: /w
                    json: {id: "${uuid}"}
                    check: {contains: nothing like it}
                    else: next iteration
                  - get: /never
          b: {think: pace 20ms, do: [{get: /b}]}
        load: {users: {stages: [{to: 12, over: 200ms}, {for: 800ms}]}}
        slo: ["p99<10s"]
        """)
      let result = try Squall.run([path])
      let endpoints = try #require(result["requests_by_name"] as? [[String: Any]])
      var sent: [String: Int] = [:]
      var failed: [String: Int] = [:]
      for endpoint in endpoints {
        let name = try #require(endpoint["name"] as? String)
        sent[name] = try #require(endpoint["sent"] as? Int)
        failed[name] = (endpoint["errors"] as? [String: Any])?["check"] as? Int
      }
      let object = try JSONSerialization.jsonObject(
        with: Data(fetch("/count", port: target.port).utf8))
      let counts = try #require((object as? [String: Any])?["paths"] as? [String: Int])
      #expect(sent["GET /start"] == 9)
      #expect(counts["/start"] == 9)
      #expect(counts["/w"] == sent["POST /w"])
      #expect(counts["/b"] == sent["GET /b"])
      #expect((1...5).reduce(0) { $0 + (counts["/p/\($1)"] ?? 0) } == sent["GET /p/${int}"])
      #expect(sent["GET /never"] == 0)
      #expect(counts["/never"] == nil)
      #expect(failed["POST /w"] == sent["POST /w"])
      let checks = endpoints.compactMap { $0["checks"] as? [[String: Any]] }.flatMap { $0 }
      #expect(checks.compactMap { $0["check"] as? String } == ["contains 'nothing like it'"])
      #expect(checks.compactMap { $0["failed"] as? Int } == [sent["POST /w"]])
      // Each iteration of these users is one request.
      let iterations = try #require(result["iterations"] as? [String: Any])
      let ofIterations = ["completed", "abandoned", "interrupted"].compactMap {
        iterations[$0] as? Int
      }
      #expect(iterations["abandoned"] as? Int == sent["POST /w"])
      #expect(iterations["started"] as? Int == ofIterations.reduce(0, +))
      #expect(iterations["started"] as? Int == result.sent - 9)
      #expect(failed["GET /p/${int}"] == 0)
      #expect((sent["GET /p/${int}"] ?? 0) > (sent["POST /w"] ?? 0))
    }
  }
}
