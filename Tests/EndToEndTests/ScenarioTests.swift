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
        "to 20 users over 5s, then 20 users for 20s", "p95<100ms  of those tagged read",
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
      ("users: {a: {do: [{get: /p/${int(1,2)}}]}}\n", "1:28: not YAML: did not find expected ',' or '}'; a text with {"),
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

    @Test func whatIsNotCarriedOutIsRefused() throws {
      let folder = try Folder()
      let path = try folder.file(
        "a.yaml", "squall: 1\ntarget: http://127.0.0.1:1\nusers: {a: {do: [{get: /}]}}\n")
      for (arguments, words) in [
        ([path], "--dry-run"), (["-f", path, path], "both name a scenario"),
        (["-f", path, "http://127.0.0.1:1/"], "give one of them"),
        (["http://127.0.0.1:1/", "--dry-run"], "--dry-run is for a scenario"),
        (["http://127.0.0.1:1/", "--set", "a=b"], "--set is for a scenario"),
        (["/nowhere/a.yaml"], "cannot be read"),
      ] {
        let child = try Squall.ended(["run"] + arguments)
        #expect(child.ending == Child.Ending(code: 2), "\(arguments)")
        #expect(child.errors.contains(words), "\(child.errors)")
      }
    }
  }
}
