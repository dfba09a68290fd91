import Foundation
import Glibc
import Testing

/// Chromium with a script that does on a page what a person does. Where they are not installed these
/// tests say that they are skipped.
enum Browser {
  static let isInstalled =
    ["/usr/bin/chromium", "/usr/bin/chromedriver", "/usr/lib/python3/dist-packages/selenium"]
    .allSatisfy { FileManager.default.fileExists(atPath: $0) }

  /// axe-core (https://github.com/dequelabs/axe-core), as scripts/setup has it; nil where it is not.
  static let axe: String? = {
    let python = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../.build-python/lib").standardizedFileURL
    let versions = (try? FileManager.default.contentsOfDirectory(atPath: python.path)) ?? []
    return versions.map {
      python.path + "/\($0)/site-packages/axe_playwright_python/axe.min.js"
    }.first { FileManager.default.fileExists(atPath: $0) }
  }()

  private static let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Browser/page.py").path

  /// Begins a job; its words are those of the script.
  static func start(_ job: String, _ words: String...) throws -> Child {
    try Child("/usr/bin/python3", [script, job] + words)
  }

  /// What a job saw, once it is done.
  static func seen(
    by child: Child, sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> Measured {
    let ending = try child.awaitEnd(withinMs: 180_000)
    #expect(
      ending == Child.Ending(code: 0), "\(child.errors)\(child.output)",
      sourceLocation: sourceLocation)
    let seen = try Measured(child.output)
    #expect(seen["complaints"] as? [String] == [], sourceLocation: sourceLocation)
    if let markup = seen["markup"] as? [Any] {
      #expect(markup[0] as? Int == 0 && markup[1] is NSNull, sourceLocation: sourceLocation)
    }
    return seen
  }
}

extension EndToEnd {
  @Suite(.serialized, .enabled(if: Browser.isInstalled, "chromium and selenium are not installed"))
  struct BrowserTests {
    private static let hostile = "<img src=x onerror=window.hacked=1>"

    /// The master stays for so long after the run that the page sees its end.
    private static let seen = ["--autoquit", "5s"]

    private func webPort(_ master: Child) throws -> UInt16 {
      try master.run { master.errors.contains("/api/start\n") }
      return try master.port(after: "the page is at http://127.0.0.1:")
    }

    private func number(_ cell: String) -> Int {
      Int(cell.replacingOccurrences(of: ",", with: "")) ?? -1
    }

    /// A run that is started, watched and stopped on the page: the totals on it are those of the result
    /// and of the target, and names are words.
    @Test func aRunIsLedOnThePage() throws {
      let cluster = try Cluster(
        Cluster.gentle + ["-d", "600s", "--label", "note=" + Self.hostile] + Self.seen,
        expectWorkers: 1, isHeadless: false)
      try cluster.addAgent()
      try cluster.hear("is ready")
      let watching = try Browser.start("watch", "http://127.0.0.1:\(try webPort(cluster.master))/")
      let (result, count) = try cluster.finish(withinMs: 200_000)
      let seen = try Browser.seen(by: watching)
      let rows = try #require(seen["rows"] as? [[String]])
      #expect(rows.count == 1)
      #expect(number(rows[0][1]) == result.sent)
      #expect(number(rows[0][2]) == result.ok)
      #expect(result.sent == count)
      #expect(
        seen["lights"] as? [String]
          == ["Generator", "Schedule", "Target", "Counts", "Workers", "Intervals"])
    }

    /// The load is changed from the keyboard; what cannot be is said at its field.
    @Test func theLoadIsChangedOnThePage() throws {
      let cluster = try Cluster(
        Cluster.gentle + ["-d", "600s"] + Self.seen, expectWorkers: 1, isHeadless: false)
      try cluster.addAgent()
      try cluster.hear("is ready")
      let changing = try Browser.start("change", "http://127.0.0.1:\(try webPort(cluster.master))/")
      let (result, count) = try cluster.finish(withinMs: 200_000)
      let seen = try Browser.seen(by: changing)
      #expect(seen["labels"] as? [String] == ["Requests per second", "Connections"])
      #expect(seen["marked"] as? [String] == ["change-rate"])
      #expect(seen["focus"] as? String == "Change load")
      #expect(seen["overflowing"] as? [Int] == [])
      let changes = try #require(result["changes"] as? [[String: Any]])
      #expect(changes.count == 1 && changes[0]["per_s"] as? Double == 700)
      #expect(result.sent == count)
    }

    /// What was is found again, with the numbers it had, and compared.
    @Test func runsThatWereAreLookedAtAndCompared() throws {
      let folder = try Folder()
      let target = try Served()
      let record = folder.path + "/record.db"
      var results: [Measured] = []
      for label in ["first", Self.hostile] {
        let master = try Squall.start([
          "master", target.url, "-R", "500", "-c", "4", "-d", "1s", "--headless", "--format",
          "json",
          "--master-bind-port", "0", "--record", record, "--label", "note=" + label,
        ])
        try master.run { master.errors.contains("waiting for workers at 127.0.0.1:") }
        let text = master.errors.components(separatedBy: "workers at 127.0.0.1:")[1]
        let worker = try Squall.start(
          ["worker", "--master-port", "\(text.prefix { $0.isNumber })", "-w", "1", "--no-pin"],
          environment: ["XDG_DATA_HOME": folder.path])
        #expect(try master.awaitEnd() == Child.Ending(code: 0), "\(master.errors)")
        try worker.awaitEnd()
        results.append(try Measured(master.output))
      }
      let master = try Squall.start([
        "master", target.url, "--master-bind-port", "0", "--web-port", "0", "--record", record,
      ])
      let first = try #require(results[0]["run"] as? String)
      let looking = try Browser.start(
        "look-back", "http://127.0.0.1:\(try webPort(master))/", first)
      let seen = try Browser.seen(by: looking)
      let rows = try #require(seen["rows"] as? [[String]])
      #expect(rows.count >= 2)
      #expect((seen["verdicts"] as? [String])?.contains("no difference") == true)
      #expect((seen["bars"] as? Int ?? 0) > 5)
      #expect(seen["lines"] as? [String] == ["A", "B"])
      #expect(seen["labels"] as? [String] == ["any", "note=" + Self.hostile, "note=first"])
      let columns = try #require(seen["columns"] as? [[String]])
      #expect(columns[0].contains("p50") && !columns[0].contains("hosts"))
      #expect(columns[1] == columns[0].filter { $0 != "p50" } + ["hosts"])
      let totals = try #require(seen["totals"] as? [String])
      #expect(number(totals[1]) == results[0].sent && number(totals[2]) == results[0].ok)
      #expect(seen["overflowing"] as? [Int] == [])
      let list = try Measured(try fetch("/api/runs", port: try webPort(master)))
      let runs = try #require(list["runs"] as? [[String: Any]])
      #expect(runs.contains { $0["note"] as? String == "a <b>note</b>" })
    }

    /// A form says what is wrong while it is typed, and shows what would be sent.
    @Test func aRunIsDescribedOnThePage() throws {
      let target = try Served()
      let master = try Squall.start([
        "master", target.url, "--master-bind-port", "0", "--web-port", "0", "--no-record",
      ])
      let seen = try Browser.seen(
        by: try Browser.start(
          "fill", "http://127.0.0.1:\(try webPort(master))/", target.url,
          "squall: 1\ntarget: \(target.url)\nusers:\n  a:\n    \(Self.hostile): []\n",
          "squall: 1\ntarget: \(target.url)\nusers:\n  a:\n    do: [{get: /}]\n"
            + "load:\n  users: {stages: [{to: 8, over: 3s}, {for: 7s}, {to: 2, over: 1s}]}\n"))
      #expect(seen["marked"] as? [String] == ["duration"])
      #expect(seen["overflowing"] as? [Int] == [])
      #expect((seen["hint"] as? String)?.contains("<img") == true)
      #expect(try target.count() == 1)
    }

    /// With a token nothing is told before it is shown, and it stays out of addresses.
    @Test func whoKnowsTheTokenSignsIn() throws {
      let token = "0123456789abcdefghijklmn"
      let master = try Squall.start(
        [
          "master", "http://127.0.0.1:9/", "--master-bind-port", "0", "--web-host", "0.0.0.0",
          "--web-port", "0", "--no-record",
        ], environment: ["SQUALL_TOKEN": token])
      try master.run { master.errors.contains("/api/start\n") }
      let port = try master.port(after: "the page is at http://0.0.0.0:")
      let seen = try Browser.seen(
        by: try Browser.start("sign-in", "http://127.0.0.1:\(port)/", token))
      let cookies = try #require(seen["cookies"] as? [[String: Any]])
      #expect(cookies.count == 1)
      #expect(cookies[0]["httpOnly"] as? Bool == true)
      #expect(cookies[0]["sameSite"] as? String == "Strict")
      #expect((cookies[0]["value"] as? String)?.contains(token) == false)
      #expect((seen["address"] as? String)?.contains(token) == false)
    }

    /// A living master with a record and one worker.
    private struct Living {
      let folder: Folder
      let target: Served
      let arguments: [String]
      let webPort: UInt16
      private(set) var master: Child
      let worker: Child

      init(_ load: [String]) throws {
        folder = try Folder()
        target = try Served()
        webPort = try closedPort()
        let port = try closedPort()
        arguments =
          ["master", target.url, "--master-bind-port", "\(port)", "--web-port", "\(webPort)"]
          + ["--record", folder.path + "/record.db"] + Cluster.haste + load
        master = try Squall.start(arguments)
        let master = master
        try master.run { master.errors.contains("/api/start\n") }
        worker = try Squall.start(
          ["worker", "--master-port", "\(port)", "-w", "1", "--no-pin"],
          environment: ["XDG_DATA_HOME": folder.path])
        try master.run { master.errors.contains("is ready") }
      }

      var address: String { "http://127.0.0.1:\(webPort)/" }

      mutating func startAgain() throws {
        master = try Squall.start(arguments)
        let master = master
        try master.run { master.errors.contains("/api/start\n") }
      }

      /// Runs what is asked for, and returns its id.
      func ran(_ document: String = "{}") throws -> String {
        let id = try started(document)
        try master.run {
          try Measured(try fetch("/api/runs/\(id)/summary", port: webPort))["state"] as? String
            == "ended"
        }
        return id
      }

      func started(_ document: String = "{}") throws -> String {
        let answer = try Answered("POST", "/api/start", port: webPort, body: document)
        #expect(answer.status == 202, "\(answer)")
        return try #require(try Measured(answer.body)["run"] as? String)
      }

      func end() {
        master.end()
        worker.end()
      }
    }

    /// Killed in the middle of a run and started again with its record, the master has its page back without a
    /// touch, and the run on it.
    @Test func aLostMasterComesBackOnThePage() throws {
      var living = try Living(["-R", "500", "-c", "4", "-d", "600s"])
      defer { living.end() }
      let watching = try Browser.start("lose", living.address)
      try watching.run(withinMs: 90_000) { watching.errors.contains("page: running\n") }
      living.master.signal(SIGKILL)
      try living.master.awaitEnd()
      try watching.run(withinMs: 60_000) { watching.errors.contains("page: lost\n") }
      try living.startAgain()
      let seen = try Browser.seen(by: watching)
      let rows = try #require(seen["rows"] as? [[String]])
      let list = try Measured(try fetch("/api/runs", port: living.webPort))
      let runs = try #require(list["runs"] as? [[String: Any]])
      #expect(runs.count == 1)
      let sent = try #require((runs.first?["requests"] as? [String: Any])?["sent"] as? Int)
      #expect(number(rows[0][1]) == sent)
      #expect(sent == (try living.target.count()))
    }

    /// axe has nothing serious against any of the places, light and dark, wide and narrow.
    @Test(.enabled(if: Browser.axe != nil, "axe-core is not installed: run scripts/setup test"))
    func thePageCanBeReadByEverybody() throws {
      let living = try Living(
        ["-R", "500", "-c", "4", "-d", "2s", "--slo", "p99<1us,errors<1%", "--label", "a=b"])
      defer { living.end() }
      let ids = [try living.ran(), try living.ran()]
      _ = try living.started(
        #"{"url": "\#(living.target.url)?status=503", "duration": "600s", "rate": "200"}"#)
      let seen = try Browser.seen(
        by: try Browser.start(
          "audit", living.address, try #require(Browser.axe), "#/live=Failures",
          "#/new=This can be",
          "#/history=Trend over runs", "#/run/\(ids[0])=Labels and note",
          "#/compare/\(ids[0]),\(ids[1])=95% interval"))
      #expect(seen["found"] as? [String] == [])
      #expect((seen["rules"] as? Int ?? 0) > 50)
    }

    /// What a run was asked with is what the next one is asked with.
    @Test func aRunIsRepeatedOnThePage() throws {
      let living = try Living(["-R", "500", "-c", "4", "-d", "1s"])
      defer { living.end() }
      let seen = try Browser.seen(by: try Browser.start("again", living.address))
      #expect((seen["shown"] as? String)?.contains("3 connections") == true)
      #expect(seen["filled"] as? String == "3")
      let list = try Measured(try fetch("/api/runs", port: living.webPort))
      let runs = try #require(list["runs"] as? [[String: Any]])
      #expect(runs.count == 3)
      #expect(Set(runs.map { $0["plan_hash"] as? String }).count == 1)
    }

    /// The first paint and the weight of all files, without a cache.
    @Test func thePageIsThereAtOnce() throws {
      let living = try Living(["-R", "500", "-c", "4", "-d", "1s"])
      defer { living.end() }
      let seen = try Browser.seen(by: try Browser.start("arrive", living.address))
      let paints = try #require(seen["paints"] as? [Double])
      print("first paints \(paints) ms, \(seen.number("bytes")) bytes")
      #expect(paints.count == 7)
      #expect(paints[paints.count / 2] <= 300, "\(paints)")
      #expect((1..<350 << 10).contains(seen.number("bytes")))
    }

    /// An hour of a run with 50 names on 64 workers: what an update costs the browser's main thread, and that an
    /// hour watched weighs no more than an hour fetched.
    @Test func anHourCanBeWatched() throws {
      let living = try Living(["-R", "500", "-c", "4", "-d", "2s"])
      defer { living.end() }
      let seen = try Browser.seen(by: try Browser.start("endure", living.address, try living.ran()))
      print(seen)
      // Four times the points of a usual window are drawn without a GPU here, by the main thread.
      for (width, mostMs) in [("1280", 16.0), ("2560", 24.0)] {
        let cpuMs = try #require(seen["\(width).TaskDuration"] as? Double)
        #expect((0.1...mostMs).contains(cpuMs), "\(width): \(cpuMs) ms")
      }
      let bytes = { (moment: String) in seen["\(moment).JSHeapUsedSize"] as? Double ?? -1 }
      #expect(bytes("late") > 0 && bytes("late") < bytes("fetched") * 1.1 + 1_000_000)
      for name in ["Nodes", "JSEventListeners"] {
        let counts = ["early", "late"].map { seen["\($0).\(name)"] as? Double ?? -1 }
        #expect(counts[1] > 0 && counts[1] <= counts[0] + 50, "\(name): \(counts)")
      }
    }

    /// The report is the same page in a file: it draws, has a cursor and zoom, and asks nobody.
    @Test func theReportDrawsByItself() throws {
      let folder = try Folder()
      let target = try Served()
      let child = try Squall.ended([
        "run", "--format", "html", "-o", folder.path + "/r.html", "-R", "500", "-c", "4", "-d",
        "3s",
        "--label", "note=" + Self.hostile, target.url,
      ])
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      let seen = try Browser.seen(
        by: try Browser.start("report", "file://" + folder.path + "/r.html"))
      #expect((seen["told"] as? String)?.contains("ok ") == true)
      let rows = try #require(seen["rows"] as? [[String]])
      #expect(number(rows[0][2]) == 1_500)
      #expect(seen["requests"] as? [String] == [])
    }
  }
}
