import Foundation
import Testing

extension EndToEnd {
  /// What cannot be done is said in one sentence that names the remedy, before any load.
  @Suite(.serialized) struct InputTests {
    /// Arguments, the exit code, and words that the sentence must have.
    static let inputs: [([String], Int32, [String])] = [
      (["ftp://127.0.0.1/"], 2, ["ftp", "http"]),
      (["http://"], 2, ["host"]),
      (["http://127.0.0.1:99999/"], 2, ["99999", "port"]),
      (["http://127.0.0.1:0/"], 2, ["port"]),
      (["http://a b/"], 2, ["\"a b\""]),
      (["http://[::1/"], 2, ["[::1"]),
      (["http://127.0.0.1/", "-c", "0"], 2, ["-c 0", "at least one"]),
      (["http://127.0.0.1/", "-c", "99999999999"], 2, ["1000000"]),
      (["http://127.0.0.1/", "-c", "99999999999999999999"], 2, ["99999999999999999999"]),
      (["http://127.0.0.1/", "-c", "ten"], 2, ["ten"]),
      (["http://127.0.0.1/", "-n", "0"], 2, ["-n 0"]),
      (["http://127.0.0.1/", "-d", "0"], 2, ["-d 0"]),
      (["http://127.0.0.1/", "-d", "1e30s"], 2, ["1e30s"]),
      (["http://127.0.0.1/", "-d", "5000000h"], 2, ["5000000h", "too long"]),
      (["http://127.0.0.1/", "-R", "0"], 2, ["-R 0"]),
      (["http://127.0.0.1/", "-R", "-5"], 2, ["-R"]),
      (["http://127.0.0.1/", "-R", "200m"], 2, ["100000000"]),
      (["http://127.0.0.1/", "-w", "0"], 2, ["workers"]),
      (["http://127.0.0.1/", "-w", "99999"], 2, ["1024"]),
      (["http://127.0.0.1/", "-t", "5s"], 2, ["--timeout 5s", "-d 5s"]),
      (["http://127.0.0.1/", "-d", "{\"a\":1}"], 2, ["--body"]),
      (["http://127.0.0.1/", "--pipeline", "0"], 2, ["--pipeline"]),
      (["http://127.0.0.1/", "--pipeline", "99999"], 2, ["1024"]),
      (["http://127.0.0.1/", "-H", "nocolon"], 2, ["Name: value"]),
      (["http://127.0.0.1/", "-H", "X: a\r\nY: b"], 2, ["X"]),
      (["http://127.0.0.1/", "-m", "G ET"], 2, ["G ET"]),
      (["http://127.0.0.1/", "-b", "@/nowhere/body"], 2, ["/nowhere/body", "readable"]),
      (["http://127.0.0.1/", "-b", "@/"], 2, ["@/", "readable"]),
      (["http://127.0.0.1/", "--source-ip", "here"], 2, ["here", "address"]),
      (["http://127.0.0.1/", "--connect-to", "a:b"], 2, ["HOST:PORT:HOST2:PORT2"]),
      (["http://127.0.0.1/", "--cpus", "4000"], 2, ["4000", "may use"]),
      (["http://127.0.0.1/", "--cpus", "x"], 2, ["0,2-3"]),
      (["http://127.0.0.1/", "--timeout", "0"], 2, ["timeout"]),
      (["http://127.0.0.1/", "--deadline", "1s"], 2, ["-R"]),
      (["http://127.0.0.1/", "--slo", "p99<"], 2, ["p99<"]),
      (["http://127.0.0.1/", "-o", "/nowhere/result"], 2, ["/nowhere/result", "folder"]),
      (
        ["http://127.0.0.1/", "--no-keepalive", "--requests-per-connection", "2"], 2, ["contradict"]
      ),
      (["http://127.0.0.1/", "-d", "-5s"], 2, ["-d -5s is negative", "-d 10s"]),
      (["http://127.0.0.1/", "-d=-5s"], 2, ["-d -5s is negative"]),
      (["http://127.0.0.1/", "-n", "-5"], 2, ["-n -5 is negative", "-n 1000"]),
      (["http://127.0.0.1/", "-c", "-1"], 2, ["-c -1 is negative"]),
      (["http://127.0.0.1/", "--timeout", "-1s"], 2, ["--timeout -1s is negative"]),
      (["http://127.0.0.1/", "-R", "1k:"], 2, ["'1k:'", "colon"]),
      (["http://127.0.0.1/", "--slo", "errors<1"], 2, ["percentage", "fraction"]),
      (["http://127.0.0.1/", "--slo", "errors<200%"], 2, ["100%"]),
      (["http://127.0.0.1/", "--no-keepalive", "--pipeline", "4"], 2, ["--pipeline"]),
      (["http://127.0.0.1/", "-q", "100"], 2, ["-R"]),
      (["http://127.0.0.1/", "-D", "body.json"], 2, ["--body"]),
      (["http://127.0.0.1/", "-s", "x.lua"], 2, ["scenario"]),
      (["http://127.0.0.1/", "-L"], 2, ["redirects"]),
      (["http://127.0.0.1/", "--latency"], 2, ["--hdr"]),
      (["--url", "http://127.0.0.1/"], 2, ["squall run http://HOST/PATH"]),
      (["http://127.0.0.1/", "--request", "POST"], 2, ["-m POST"]),
      (["http://127.0.0.1/", "-i"], 2, ["--debug"]),
      (["http://127.0.0.1/", "--headless"], 2, ["squall master"]),
      (["http://127.0.0.1/", "--max-workers", "2"], 2, ["-w 2"]),
      (["http://127.0.0.1/", "--unix-socket", "/nowhere/x"], 1, ["/nowhere/x", "path right"]),
      (["http://127.0.0.1/", "--unix-socket", ""], 2, ["--unix-socket ''", "107 bytes"]),
      (
        ["http://127.0.0.1/", "--unix-socket", "/" + String(repeating: "x", count: 107)], 2,
        ["107 bytes"]
      ),
      (
        ["http://127.0.0.1/", "--unix-socket", "/x", "--source-ip", "127.0.0.1"], 2,
        ["leave out --source-ip"]
      ),
      (["http://127.0.0.1/", "--abstract-unix-socket", "x"], 2, ["--unix-socket"]),
      (["http://127.0.0.1/", "-rate=50"], 2, ["two dashes"]),
      (["http://no-such-host.invalid/"], 1, ["no-such-host.invalid", "spelling"]),
    ]

    @Test(arguments: inputs)
    func isRefusedWithTheRemedy(arguments: [String], code: Int32, words: [String]) throws {
      let child = try Squall.ended(["run"] + arguments, withinMs: 20_000)
      #expect(child.ending == Child.Ending(code: code), "\(child.output)\(child.errors)")
      #expect(child.output.isEmpty)
      let complaint = child.errors.split(separator: "\n").first { !$0.isEmpty } ?? ""
      #expect(complaint.lowercased().hasPrefix("error:"), "\(child.errors)")
      for word in words { #expect(complaint.contains(word), "\(child.errors)") }
    }

    @Test func moreConnectionsThanDescriptorsAreRefusedBeforeTheLoad() throws {
      let target = try Served()
      // The limit of the shell and so of the program: below what is asked for, and hard.
      let child = try Child(
        "bash",
        ["-c", "ulimit -n 500 && exec \"$0\" run -n 10 -c 2001 -w 2 \(target.url)", Squall.path])
      try child.awaitEnd()
      // Root may raise the limit again, and then it runs.
      if child.ending == Child.Ending(code: 0) { return }
      #expect(child.ending == Child.Ending(code: 1), "\(child.errors)")
      for word in ["1001 file descriptors", "may have 500", "ulimit -n"] {
        #expect(child.errors.contains(word), "\(child.errors)")
      }
      #expect(try target.count() == 0)
    }

    /// Root may raise its limit, and is then refused by the closed port.
    @Test(arguments: [4, 8, 16, 40]) func fewDescriptorsAreAWordAndNoCrash(limit: Int) throws {
      let port = try closedPort()
      let child = try Child(
        "bash",
        [
          "-c", "ulimit -n \(limit) && exec \"$0\" run -n 1 http://127.0.0.1:\(port)/",
          Squall.path,
        ])
      #expect(try child.awaitEnd() == Child.Ending(code: 1), "\(child.errors)")
      #expect(
        ["ulimit -n", "Connection refused"].contains { child.errors.contains($0) },
        "\(child.errors)")
    }

    @Test func aClosedPortIsNamed() throws {
      let port = try closedPort()
      let child = try Squall.ended(["run", "http://127.0.0.1:\(port)/"])
      #expect(child.ending == Child.Ending(code: 1))
      #expect(child.errors.contains("127.0.0.1:\(port): Connection refused"), "\(child.errors)")
      #expect(child.errors.split(separator: "\n").count == 1)
    }

    @Test func aNameOfManyAddressesIsDrivenAtTheOneThatAnswers() throws {
      // "localhost" may have ::1 as well, where nobody listens.
      let target = try Served()
      let child = try Squall.ended([
        "run", "--quiet", "--format", "json", "-n", "100", "-c", "4", "--connect-timeout", "1s",
        "http://localhost:\(target.port)/",
      ])
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      let result = try Measured(child.output)
      result.expectConservation()
      #expect(result.ok == 100)
      #expect(try target.count() == 100)
      // An address that refuses while another accepts is no error of the target's.
      #expect(result.errors.isEmpty, "\(result.requests)")
    }
  }
}
