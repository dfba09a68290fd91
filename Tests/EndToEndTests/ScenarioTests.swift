import Foundation
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
    }

    /// Tokens and cookies belong to their users: a server that gives each login its own sees no other.
    @Test func usersKeepWhatTheirOwnLoginGave() throws {
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
      let endpoints = try #require(result["endpoints"] as? [[String: Any]])
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
      ("", ["-u", "5", "-r", "0"], "-r 0"), ("", ["-u", "5", "--vs=-c 1"], "are for one URL"),
      ("load: {users: {stages: [{to: 5, over: 1s}, {to: 0, over: 1s}]}}", [], "ends slowly"),
      ("load: {users: {stages: [{to: 5, over: 1s}, {to: 9, over: 1s}]}}", [], "several steps"),
      ("slo: [{name: GET /, is: p99<1s}]", ["-u", "1"], "one name or tag is not judged yet"),
      ("defaults: {check: {status: [200, 404]}}", ["-u", "1"], "a status of 404"),
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
      let endpoints = try #require(result["endpoints"] as? [[String: Any]])
      let sent = endpoints.compactMap { $0["sent"] as? Int }
      #expect(sent[1] == 0)
      // Nearly all users have met their last check by then, each of them once.
      #expect((1...20).contains(sent[2]))
      #expect(result.number("requests.dropped") > 0)
      #expect(result.sent == sent[0] + sent[2])
      #expect(try target.count() == result.sent)
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
      let path = try folder.file(
        "a.yaml",
        """
        squall: 1
        target: \(target.url.dropLast())
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
      let endpoints = try #require(result["endpoints"] as? [[String: Any]])
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
      #expect(failed["GET /p/${int}"] == 0)
      #expect((sent["GET /p/${int}"] ?? 0) > (sent["POST /w"] ?? 0))
    }
  }
}
