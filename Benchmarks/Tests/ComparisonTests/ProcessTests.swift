import Comparison
import Foundation
import Testing

/// Programs of this package, built beside the tests.
private func built(_ name: String) -> String? {
  let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
  let path = package.appending(path: ".build/release/\(name)").path
  return FileManager.default.isExecutableFile(atPath: path) ? path : nil
}

private func withScratch(_ body: (String) throws -> Void) throws {
  let folder = NSTemporaryDirectory() + "process-test-\(getpid())-\(monotonicNs())"
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: folder) }
  try body(folder)
}

private let environment = ["PATH": "/usr/bin:/bin"]
private func soon(_ seconds: Double) -> UInt64 { monotonicNs() + UInt64(seconds * 1e9) }

struct ChildTests {
  @Test func outputAndExitCodeAreTheProgramsOwn() throws {
    try withScratch { folder in
      let child = try Child(
        ["sh", "-c", "echo out; echo err >&2; exit 7"], environment: environment, cpus: nil,
        outputPrefix: folder + "/child")
      let exit = try #require(child.wait(untilNs: soon(10)))
      #expect(exit.code == 7)
      #expect(exit.signal == nil)
      #expect(readText(child.standardOutput) == "out\n")
      #expect(readText(child.standardError) == "err\n")
    }
  }

  @Test func aProgramThatIsNotThereIsAnError() throws {
    try withScratch { folder in
      #expect(throws: Child.SpawnError.self) {
        try Child(
          ["/nowhere/program"], environment: environment, cpus: nil, outputPrefix: folder + "/c")
      }
    }
  }

  @Test func itRunsOnTheCPUsGivenAndWeDoNot() throws {
    try withScratch { folder in
      let mine = Affinity.current().cpus
      let cpu = try #require(mine.last)
      let child = try Child(
        ["sh", "-c", "grep Cpus_allowed_list /proc/self/status"], environment: environment,
        cpus: [cpu], outputPrefix: folder + "/child")
      #expect(child.wait(untilNs: soon(10))?.code == 0)
      #expect(readText(child.standardOutput)?.trimmed.hasSuffix("\t\(cpu)") == true)
      #expect(Affinity.current().cpus == mine)
    }
  }

  @Test func oneThatIgnoresTheRequestIsEndedWithItsChildren() throws {
    try withScratch { folder in
      let child = try Child(
        ["sh", "-c", "trap '' TERM; sleep 600 & echo $!; wait; sleep 600"],
        environment: environment, cpus: nil, outputPrefix: folder + "/child")
      while readText(child.standardOutput)?.hasSuffix("\n") != true { pause(ns: 1_000_000) }
      let sleeper = try #require(readText(child.standardOutput).flatMap { pid_t($0.trimmed) })
      #expect(ProcessTree.members(of: child.pid).contains(sleeper))
      #expect(child.end()?.signal == SIGKILL)
      // Its parent gone, the sleeper is the init process's to collect; it must not run on.
      let deadline = soon(10)
      while let state = readText("/proc/\(sleeper)/stat"), !state.contains(") Z"),
        monotonicNs() < deadline
      {
        pause(ns: 1_000_000)
      }
      let state = readText("/proc/\(sleeper)/stat")
      #expect(state == nil || state?.contains(") Z") == true)
    }
  }

  @Test func itsCPUTimeIsReadWhileItRunsAndAgreesWithItsEnd() throws {
    try withScratch { folder in
      let child = try Child(
        ["sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"],
        environment: environment, cpus: nil, outputPrefix: folder + "/child")
      var tree = ProcessTree(root: child.pid)
      var last: UInt64 = 0
      var exit: Child.Exit?
      while exit == nil {
        let now = tree.cpuNs()
        #expect(now >= last)
        last = now
        exit = child.poll()
        pause(ns: 1_000_000)
      }
      let end = try #require(exit)
      let whole = end.userNs + end.systemNs
      #expect(last > 0)
      // The last look was at most a millisecond or two before the end, plus the clock's own grain.
      #expect(last <= whole + 10_000_000)
    }
  }
}

/// A client whose program does what a test wants.
private struct Stub: Client {
  let name = "stub"
  let program = "sh"
  let origin = Origin.ours("nothing")
  let script: String

  func command(_ load: Load, program: String, folder: String) throws(Unable) -> Command {
    Command(["/bin/sh", "-c", script])
  }

  func claim(_ output: Output, load: Load) throws(Unable) -> Claim {
    guard let ok = UInt64(output.standardOutput.trimmed) else { throw Unable("said nothing") }
    return Claim(ok: ok)
  }
}

@Suite(.serialized, .enabled(if: built("responder") != nil && built("floor") != nil))
struct RunnerTests {
  private func withTarget(
    _ clients: [any Client], graceSeconds: Double = 10, isStopped: @escaping () -> Bool = { false },
    body: (Runner, RunningTarget) throws -> Void
  ) throws {
    try withScratch { folder in
      let programs = TargetPrograms(
        squall: nil, responder: built("responder"), nginx: nil, node: nil, ordinaryScript: "")
      let target = try RunningTarget.start(
        .responder, options: TargetOptions(), cpus: [0], programs: programs, folder: folder)
      defer { target.stop() }
      let build = URL(fileURLWithPath: built("floor") ?? "").deletingLastPathComponent().path
      let catalog = Catalog.find(
        clients, squall: nil, folders: [build, "/bin"], scratch: folder)
      let runner = Runner(
        catalog: catalog, scratch: folder, perf: nil, ss: nil,
        graceSeconds: graceSeconds,
        isStopped: isStopped)
      try body(runner, target)
    }
  }

  @Test func whatTheFloorClaimsIsWhatTheTargetReceived() throws {
    try withTarget([OwnClient.all[0]]) { runner, target in
      var cell = Cell(.count, connections: 7)
      cell.requestCount = 5_003
      let run = runner.run(cell, client: "floor", repetition: 0, target: target, cpus: [0])
      #expect(run.failure == nil)
      #expect(run.claim?.ok == 5_003)
      #expect(run.counted == 5_003 + 1)
      #expect(Results.Metric.uncounted.value(run) == 0)
    }
  }

  @Test func aClientThatHangsIsEndedAndSaidSo() throws {
    try withTarget([Stub(script: "echo $$ >&2; exec sleep 600")], graceSeconds: 0.2) {
      runner, target in
      var cell = Cell(.closed)
      cell.seconds = 0
      let run = runner.run(cell, client: "stub", repetition: 0, target: target, cpus: [0])
      let failure = try #require(run.failure)
      #expect(failure.hasPrefix("hung: process "))
      let pid = try #require(pid_t(failure.split(separator: " ")[2]))
      #expect(kill(pid, 0) == -1 && errno == ESRCH)
    }
  }

  @Test func aClientThatFailsSaysWhy() throws {
    try withTarget([Stub(script: "exit 3")]) { runner, target in
      let run = runner.run(
        Cell(.closed), client: "stub", repetition: 0, target: target, cpus: [0])
      #expect(run.failure == "exit code 3, said nothing")
    }
  }

  @Test func aClientThatIsNotHereIsNamedWithItsPackage() throws {
    try withTarget([Nighthawk()]) { runner, target in
      let run = runner.run(
        Cell(.closed), client: "nighthawk", repetition: 0, target: target, cpus: [0])
      #expect(run.failure?.contains("github.com/envoyproxy/nighthawk") == true)
    }
  }

  @Test func aStopEndsTheRunAtOnce() throws {
    let stopped = { true }
    try withTarget([Stub(script: "exec sleep 600")], isStopped: stopped) { runner, target in
      let run = runner.run(
        Cell(.closed), client: "stub", repetition: 0, target: target, cpus: [0])
      #expect(run.failure == "interrupted")
      #expect(run.exit?.signal == SIGTERM)
    }
  }

  @Test func aCountThatTheTargetDoesNotShareIsSeen() throws {
    try withTarget([Stub(script: "echo 1000")]) { runner, target in
      let run = runner.run(
        Cell(.closed), client: "stub", repetition: 0, target: target, cpus: [0])
      #expect(run.counted == 0)
      #expect(Results.Metric.uncounted.value(run) == -1_000)
    }
  }
}

struct StillnessTests {
  @Test func whatIsLostIsAtLeastTheLongestGapAndTheThreadComesBack() throws {
    let before = Affinity.current().cpus
    let stillness = try #require(Stillness(cpu: before[0], seconds: 0.05))
    #expect(Affinity.current().cpus == before)
    #expect(stillness.seconds >= 0.05)
    #expect(stillness.lostNs >= stillness.longestNs)
    #expect(stillness.lostNs >= UInt64(stillness.gapCount) * Stillness.gapNs)
    #expect(Double(stillness.lostNs) <= stillness.seconds * 1e9)
  }

  @Test func aCPUThatIsNotOursIsNotJudged() {
    #expect(Stillness(cpu: 1_023, seconds: 0.01) == nil)
  }
}
