import Foundation
import Glibc
import Testing

extension EndToEnd {
  /// How runs end: on time, when told to, and with every count when a part of them is killed.
  @Suite(.serialized) struct EndingTests {
    private func start(_ arguments: [String]) throws -> Child {
      try Squall.start(["run", "--quiet", "--format", "json"] + arguments)
    }

    /// The worker processes of a run, by CPU.
    private func workers(of child: Child) -> [pid_t] {
      child.children.filter { id in
        let bytes = FileManager.default.contents(atPath: "/proc/\(id)/cmdline") ?? Data()
        return String(decoding: bytes, as: UTF8.self).contains("worker-process")
      }
    }

    /// In-flight requests of a killed worker may or may not have reached the target.
    private func expectCounted(
      _ result: Measured, by target: Served, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
      result.expectConservation(sourceLocation: sourceLocation)
      let count = try target.count()
      #expect(count <= result.sent, "\(result.requests)", sourceLocation: sourceLocation)
      #expect(
        count >= result.sent - result.inFlight - result.notOk, "\(result.requests)",
        sourceLocation: sourceLocation)
      #expect(result.ok <= count, sourceLocation: sourceLocation)
    }

    @Test(arguments: [0, 1]) func aKilledWorkerLosesNoCountAndIsReplaced(victim: Int) throws {
      let target = try Served()
      let child = try start(["-d", "2s", "-c", "8", "-w", "2", target.url])
      try child.run { try target.count() > 1_000 }
      let before = workers(of: child)
      try #require(before.count == 2)
      kill(before[victim], SIGKILL)
      // Replaced by another process, while the other worker goes on.
      try child.run {
        let now = workers(of: child)
        return now.count == 2 && now.contains(before[1 - victim]) && !now.contains(before[victim])
      }
      #expect(try child.awaitEnd() == Child.Ending(code: 0), "\(child.errors)")
      #expect(child.errors.contains("its counts are kept"), "\(child.errors)")
      let result = try Measured(child.output)
      try expectCounted(result, by: target)
      #expect(result.number("measured_ns") == 2_000_000_000)
      #expect(result["verdict.incomplete"] as? Bool == false)
      let lives = result.workers.map { ($0["incarnations"] as? [String] ?? []).count }
      #expect(lives.sorted() == [1, 2])
      #expect(Set(result.workers.compactMap { $0["cpu"] as? Int }).count == 2)
      #expect(result.workers.allSatisfy { $0["lost"] as? Bool == false })
    }

    @Test func everyWorkerKilledOverAndOverLosesNoCount() throws {
      let target = try Served()
      let child = try start(["-d", "2500ms", "-c", "6", "-w", "2", "-R", "3000", target.url])
      for round in 1...3 {
        try child.run { try target.count() > 600 * round }
        for id in workers(of: child) { kill(id, SIGKILL) }
      }
      #expect(try child.awaitEnd() == Child.Ending(code: 0), "\(child.errors)")
      let result = try Measured(child.output)
      try expectCounted(result, by: target)
      let lives = result.workers.map { ($0["incarnations"] as? [String] ?? []).count }
      #expect(lives.reduce(0, +) >= 5, "\(lives)")
    }

    @Test func anInterruptedRunReportsWhatItHas() throws {
      try Squall.expectInterruptedRunReports(["-c", "8"], of: Served(["--delay", "100ms"]))
    }

    @Test(arguments: ["--warmup", "-d"]) func aRunInterruptedAtAnyTimeReports(phase: String) throws
    {
      let target = try Served()
      let child = try start(
        phase == "-d" ? ["-d", "60s", target.url] : ["--warmup", "60s", "-d", "60s", target.url])
      try child.run { try target.count() > 100 }
      child.signal(SIGTERM)
      #expect(try child.awaitEnd() == Child.Ending(code: 143), "\(child.errors.prefix(2_000))")
      let result = try Measured(child.output)
      let warmUp = max(0, result.number("requests.warmup.sent"))
      #expect(try target.count() == result.sent + warmUp)
      #expect(result["verdict.conservation.balanced"] as? Bool == true)
    }

    @Test func theSecondCtrlCWaitsForNothing() throws {
      let target = try Served(["--delay", "60s"])
      let child = try start([
        "-d", "60s", "-c", "8", "--timeout", "90s", "--drain", "90s", target.url,
      ])
      try child.run { try target.count() == 8 }
      let signalledNs = monotonicNs()
      // Signals that come together are one, and a third would end it in the middle of its report.
      var lastNs: UInt64 = 0
      try? child.run {
        guard monotonicNs() - lastNs > 500_000_000 else { return false }
        lastNs = monotonicNs()
        child.signalGroup(SIGINT)
        return false
      }
      #expect(try child.awaitEnd() == Child.Ending(code: 130))
      #expect((child.endedNs ?? .max) - signalledNs < 3_000_000_000)
      let result = try Measured(child.output)
      result.expectConservation()
      #expect(result.sent == 8)
      #expect(result.inFlight == 8)
    }

    @Test func whatIsInFlightAtTheEndIsAwaitedNoLongerThanTheDrain() throws {
      let target = try Served(["--delay", "60s"])
      let child = try start(
        ["-d", "300ms", "-c", "8", "--timeout", "90s", "--drain", "200ms", target.url])
      #expect(try child.awaitEnd(withinMs: 10_000) == Child.Ending(code: 1))
      let result = try Measured(child.output)
      result.expectConservation()
      #expect(result.inFlight == 8)
      #expect(try target.count() == 8)
    }

    @Test func intervalsAddUpToTheRun() throws {
      let target = try Served()
      let result = try Squall.run(
        ["-d", "600ms", "--interval", "50ms", "--warmup", "100ms", "-c", "8", target.url])
      result.expectConservation()
      let intervals = try #require(result["intervals"] as? [[String: Any]])
      let measured = intervals.filter { $0["phase"] as? String == "measured" }
      #expect(measured.reduce(0) { $0 + ($1["sent"] as? Int ?? 0) } == result.sent)
      let parts = intervals.filter { $0["phase"] as? String != "warmup" }
      #expect(parts.reduce(0) { $0 + ($1["ok"] as? Int ?? 0) } == result.ok)
      // One after the other without a gap, from the end of the warm-up to the end of the run.
      var endNs = 100_000_000
      for interval in measured {
        #expect(interval["start_ns"] as? Int == endNs)
        endNs = interval["end_ns"] as? Int ?? -1
      }
      #expect(endNs == 700_000_000)
    }

    /// Every port of one source is taken by a listener's neighbours: too few are left.
    @Test func connectionsWithoutAPortAreCountedAndTheRemedyIsNamed() throws {
      guard getuid() == 0, Python.isInstalled else { return }
      let child = try Child(
        "unshare",
        [
          "-n", "bash", "-c",
          "echo 40000 40031 > /proc/sys/net/ipv4/ip_local_port_range && ip link set lo up && "
            + "exec \"$0\" run --quiet --format json -d 500ms -c 60 -w 1 "
            + "--source-ip 127.0.0.1", Squall.path,
        ])
      try child.awaitEnd()
      guard child.ending == Child.Ending(code: 0) else { return }
      let result = try Measured(child.output)
      result.expectConservation()
      #expect(result.ok > 0)
      #expect(result.errors["connect", default: 0] >= 28)
      #expect(
        child.output.contains("no local port is free; spread over addresses"))
      #expect(!child.output.contains("--warmup"))
    }

    @Test func aTargetThatGoesAwayAndComesBackIsFoundAgain() throws {
      var target: Served? = try Served()
      let port = try #require(target?.port)
      let url = try #require(target?.url)
      let child = try start(["-d", "3s", "-c", "8", url])
      try child.run { try target?.count() ?? 0 > 200 }
      target?.child.end()
      target = nil
      try child.run { !accepts(port) }
      let again = try Served(port: port)
      try child.run { try again.count() > 200 }
      #expect(try child.awaitEnd() == Child.Ending(code: 0), "\(child.errors)")
      let result = try Measured(child.output)
      result.expectConservation()
      #expect(result.number("measured_ns") == 3_000_000_000)
      #expect(Set(result.errors.keys).isSubset(of: ["connect", "closed", "reset", "send"]))
      #expect(result.ok > 400)
      // At most the first pause of 10 ms for each failure in a row: no storm.
      #expect(result.errors["connect", default: 0] < 8 * 3_000 / 10, "\(result.requests)")
    }

    @Test func aRunLastsAsLongAsItSaysAndBeginsAtOnce() throws {
      let folder = try Folder()
      var firstsNs: [UInt64] = []
      var spansNs: [UInt64] = []
      // What a busy host adds is no fault of the program: the best of some tries counts.
      for turn in 0..<4 {
        let path = folder.path + "/arrivals\(turn)"
        let target = try Served(["--arrivals", path])
        let child = try start(["-d", "1s", "-c", "4", target.url])
        #expect(try child.awaitEnd() == Child.Ending(code: 0), "\(child.errors)")
        #expect(try Measured(child.output).number("measured_ns") == 1_000_000_000)
        target.child.signal(SIGTERM)
        try target.child.awaitEnd()
        let bytes = [UInt8](try #require(FileManager.default.contents(atPath: path)))
        let instants = stride(from: 0, to: bytes.count, by: 8).map { at in
          bytes[at..<at + 8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        }
        let first = try #require(instants.min())
        firstsNs.append(first - child.startedNs)
        spansNs.append(try #require(instants.max()) - first)
      }
      // 150 ms on a host of its own, which the benchmarks hold it to.
      #expect(firstsNs.min()! < 1_000_000_000, "\(firstsNs)")
      #expect(spansNs.allSatisfy { $0 > 950_000_000 }, "\(spansNs)")
      #expect(spansNs.min()! < 1_020_000_000, "\(spansNs)")
    }
  }
}
