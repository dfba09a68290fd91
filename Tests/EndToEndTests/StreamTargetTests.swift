import Foundation
import Testing

extension EndToEnd {
  /// The built-in target over HTTP/2: what was sent is what it counted.
  @Suite(.serialized) struct StreamTargetTests {
    private static let plain = "--http2-prior-knowledge"

    @Test(arguments: [
      ["-n", "1", "-c", "1"], ["-n", "20003", "-c", "16", "--streams", "10"],
      ["-n", "30011", "-c", "5", "--streams", "100", "-w", "3"], ["-d", "300ms", "--streams", "7"],
      ["-R", "2000", "-d", "500ms", "-c", "4"], ["-n", "3000", "-c", "3", "-b", "some body"],
      ["-n", "200", "-c", "4", "--no-keepalive"],
    ])
    func everyRequestIsCountedExactly(arguments: [String]) throws {
      let target = try Served(["--tls"])
      for (flags, url) in [
        ([Self.plain], "http" + target.url.dropFirst(5)), (["--http2", "-k"], target.url),
      ] {
        let before = try target.count()
        let result = try Squall.run(arguments + flags + [url])
        result.expectConservation()
        #expect(result.ok == result.sent, "\(result.requests)")
        #expect(try target.count() - before == result.sent)
        if arguments[0] == "-n" { #expect(result.sent == Int(arguments[1])) }
        #expect(result.number("bytes.body") == 13 * result.sent)
        #expect((result["http.version"] as? String) == "2", "\(result.text.prefix(3_000))")
      }
    }

    @Test func withoutAUrlTheBuiltInTargetSpeaksIt() throws {
      for flags in [[Self.plain], ["--tls", "--http2"]] {
        let result = try Squall.run(["-n", "5000", "-c", "8", "--streams", "10"] + flags)
        result.expectConservation()
        #expect(result.ok == 5_000)
      }
    }

    @Test func largeBodiesGoBothWays() throws {
      let target = try Served(["--tls"])
      for (flags, url) in [
        ([Self.plain], "http" + target.url.dropFirst(5)), (["--http2", "-k"], target.url),
      ] {
        let large = try Squall.run(
          ["-n", "100", "-c", "2", "--streams", "10"] + flags + [url + "?size=300k"])
        #expect(large.ok == 100, "\(large.requests)")
        #expect(large.number("bytes.body") == 100 * 300 << 10)
        let folder = try Folder()
        let path = try folder.file("body", String(repeating: "x", count: 200_000))
        let sent = try Squall.run(["-n", "50", "-c", "2", "-b", "@\(path)"] + flags + [url])
        #expect(sent.ok == 50, "\(sent.requests)")
      }
    }

    @Test func faultsAreToldApart() throws {
      let target = try Served()
      for (fault, n) in [
        ("reset", 20), ("close", 20), ("half", 20), ("garbage", 20), ("extra", 20),
      ] {
        let child = try Squall.ended([
          "run", "--quiet", "--format", "json", "-n", "\(n)", "-c", "2", Self.plain,
          target.url + "fault/\(fault)?size=100",
        ])
        let result = try Measured(child.output)
        result.expectConservation()
        if fault == "extra" {
          #expect(result.ok > 0, "\(result.requests)")
        } else {
          #expect(result.ok == 0, "\(fault): \(result.requests)")
          #expect(result.errors.count == 1, "\(fault): \(result.errors)")
        }
        if fault == "reset" { #expect(result.errors["reset"] == n, "\(result.errors)") }
      }
      let hung = try Squall.ended([
        "run", "--quiet", "--format", "json", "-n", "4", "-c", "1", "--streams", "4", "--timeout",
        "200ms", Self.plain, target.url + "fault/hang",
      ])
      #expect(try Measured(hung.output).errors["timeout"] == 4)
      let dripped = try Squall.run(["-n", "4", "-c", "1", Self.plain, target.url + "fault/drip"])
      #expect(dripped.ok == 4)
      #expect(dripped.number("latency_ns.response.min") >= 12_000_000)
    }

    @Test func delaysAreOfEachStream() throws {
      let target = try Served(["--delay", "50ms"])
      let result = try Squall.run([
        "-n", "60", "-c", "1", "-w", "1", "--streams", "30", Self.plain, target.url,
      ])
      #expect(result.ok == 60)
      #expect(result.number("latency_ns.response.min") >= 50_000_000)
      // Thirty at a time, not one after the other.
      #expect(result.number("latency_ns.response.max") < 1_000_000_000)
    }

    @Test func anInterruptedRunReportsWhatItHas() throws {
      try Squall.expectInterruptedRunReports(
        ["-c", "2", "--streams", "4", Self.plain], of: Served(["--delay", "100ms"]))
    }

    /// GOAWAY first: what it did not look at is no error of the load's.
    @Test func aTargetThatIsStoppedGoesAway() throws {
      let target = try Served()
      let child = try Squall.start([
        "run", "--quiet", "--format", "json", "-d", "1s", "-c", "2", "--streams", "4", Self.plain,
        target.url,
      ])
      try child.run { try target.count() >= 100 }
      target.child.signal(SIGINT)
      try child.awaitEnd()
      let result = try Measured(child.output)
      result.expectConservation()
      #expect(result.number("http.goaways") >= 1, "\(result.text.prefix(2_000))")
    }
  }
}
