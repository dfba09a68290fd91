import Foundation
import Glibc
import SquallLoad
import Testing

extension EndToEnd {
  /// A master's record under the worst that may happen to it.
  @Suite(.serialized) struct RecordTests {
    /// 50 in the long test.
    static let trialCount =
      ProcessInfo.processInfo.environment["SQUALL_RECORD_TRIALS"].flatMap { Int($0) } ?? 5

    /// Before its workers come, in the run, while it collects, and after its end.
    @Test func aMasterKilledAtAnyInstantLosesNothing() throws {
      let seed = UInt64.random(in: 0...UInt64.max)
      print("seed of the instants: \(seed)")
      var random = SplitMix64(seed: seed)
      let target = try Served()
      for trial in 0..<Self.trialCount {
        let instantNs = UInt64.random(in: 0..<3_500_000_000, using: &random)
        let cluster = try RecordedRun(target: target)
        let before = try target.count()
        let master = try cluster.master()
        let worker = try cluster.worker()
        let what = Comment("trial \(trial), killed after \(instantNs / 1_000_000) ms")
        let untilNs = monotonicNs() + instantNs
        try? master.run { monotonicNs() >= untilNs }
        master.signal(SIGKILL)
        try master.awaitEnd()

        // Half of them say --resume, the others the same command once more.
        let list = try cluster.report(["--list"]).output
        if !list.contains("  ended  ") {
          let again =
            list.contains("cut off") && trial.isMultiple(of: 2)
            ? try cluster.master(["--resume"]) : try cluster.master()
          #expect(try again.awaitEnd() == Child.Ending(code: 0), "\(what)\n\(again.errors)")
          #expect(again.errors.contains("going on with run") == list.contains("cut off"), what)
          #expect(try cluster.result().text == again.output, what)
        }
        #expect(try worker.awaitEnd() == Child.Ending(code: 0), "\(what)\n\(worker.errors)")
        let result = try cluster.result()
        result.expectConservation()
        #expect(result.sent == (try target.count()) - before, what)
        #expect(result.inFlight == 0, what)
        #expect(result["verdict.incomplete"] as? Bool == false, what)
        #expect(result.sent > 0, what)
      }
    }

    @Test func aReportFromTheRecordIsTheReportThatWasPrinted() throws {
      let cluster = try RecordedRun(target: try Served())
      let master = try cluster.master(["--slo", "p99<10s,rate>=1"])
      let worker = try cluster.worker()
      #expect(try master.awaitEnd() == Child.Ending(code: 0), "\(master.errors)")
      try worker.awaitEnd()
      let file = try cluster.folder.file("printed.json", master.output)
      #expect(try cluster.result().text == master.output)
      for format in ["json", "text", "csv", "html"] {
        let printed = try Squall.ended(["report", file, "--format", format])
        let rebuilt = try cluster.report(["--format", format])
        #expect(printed.ending == Child.Ending(code: 0), "\(printed.errors)")
        #expect(printed.output == rebuilt.output)
        #expect(!printed.output.isEmpty)
      }
      #expect(cluster.folder.names.filter { $0.hasPrefix("record") } == ["record.db"])
      let id = try #require(try cluster.result()["run"] as? String)
      #expect(try cluster.report(["--list"]).output.contains(id))
      #expect(try cluster.report(["--run", id, "--format", "json"]).output == master.output)
      let stranger = try cluster.report(["--run", "123"])
      #expect(stranger.ending == Child.Ending(code: 2))
      #expect(stranger.errors.contains("has no run 0000000000000123"))
    }

    @Test(arguments: ["size=144k", "size=8k", "ro"])
    func aDiskThatIsFullOrReadOnlyCostsTheRecordAndNotTheRun(disk: String) throws {
      guard let mounted = Mounted.prefix(disk) else {
        return print("skipped: no file system may be mounted here")
      }
      let target = try Served()
      let cluster = try RecordedRun(target: target)
      let folder = cluster.folder.path + "/disk"
      #expect(mkdir(folder, 0o700) == 0)
      let master = try cluster.master(
        ["--record", folder + "/small.db", "--interval", "100ms"],
        by: mounted + [folder])
      let worker = try cluster.worker()
      #expect(try master.awaitEnd() == Child.Ending(code: 0), "\(master.errors)")
      #expect(try worker.awaitEnd() == Child.Ending(code: 0), "\(worker.errors)")
      let result = try Measured(master.output)
      result.expectConservation()
      #expect(result.sent == (try target.count()))
      let warnings = master.errors.split(separator: "\n").filter { $0.contains("warning:") }
      #expect(warnings.count == 1, "\(master.errors)")
      #expect(warnings.first?.contains("not recorded") == true, "\(warnings)")
      let cautions = result["verdict.cautions"] as? [String] ?? []
      #expect(cautions.contains { $0.hasPrefix("the run was not recorded: ") }, "\(cautions)")
    }

    @Test func whatIsNoRecordIsRefusedAndLeftAlone() throws {
      let cluster = try RecordedRun(target: try Served())
      let text = "SQLite format 3, or so it says\n"
      let file = try cluster.folder.file("text.db", text)
      let master = try cluster.master(["--record", file])
      #expect(try master.awaitEnd() == Child.Ending(code: 2))
      #expect(master.errors.contains("is no record of squall"), "\(master.errors)")
      #expect(try cluster.folder.text("text.db") == text)
      let resumed = try cluster.master(["--resume"])
      #expect(try resumed.awaitEnd() == Child.Ending(code: 2))
      #expect(resumed.errors.contains("nothing to resume"), "\(resumed.errors)")
    }

    /// The host that goes on without its master for good writes what it counted, and the record takes
    /// it in.
    @Test func whatAWorkerCouldNotDeliverIsPutIntoTheRecord() throws {
      let target = try Served()
      let cluster = try RecordedRun(target: target)
      let master = try cluster.master(["-d", "20s"])
      let worker = try cluster.worker()
      let start = try target.count()
      try worker.run { try target.count() > start + 5_000 }
      master.signal(SIGKILL)
      try master.awaitEnd()
      let killed = try target.count()
      try worker.run { try target.count() > killed + 5_000 }
      worker.signal(SIGTERM)
      // Its workers come to an end of their own; what is in flight is awaited.
      try worker.run {
        worker.children.allSatisfy { State.isIdle($0) }
      }
      worker.signal(SIGTERM)
      #expect(try worker.awaitEnd() == Child.Ending(code: 6), "\(worker.errors)")
      let name = try #require(
        FileManager.default.subpaths(atPath: cluster.folder.path)?
          .first { $0.hasSuffix(".squall") })
      #expect(worker.errors.contains(name), "\(worker.errors)")

      let before = try cluster.result()
      #expect(before.sent < (try target.count()))
      let file = cluster.folder.path + "/" + name
      for _ in 0..<2 {
        let report = try cluster.report(["--add", file, "--format", "json"])
        #expect(report.ending == Child.Ending(code: 0), "\(report.errors)")
        let result = try Measured(report.output)
        result.expectConservation()
        #expect(result.sent == (try target.count()))
      }
      let alone = try Squall.ended(["report", file])
      #expect(alone.ending == Child.Ending(code: 2))
      #expect(alone.errors.contains("--add"))
    }
  }
}

/// A master and a worker on one port and one record, in a folder of their own.
private final class RecordedRun {
  let folder: Folder
  let port: UInt16
  private let target: Served

  init(target: Served) throws {
    folder = try Folder()
    port = try closedPort()
    self.target = target
  }

  private var environment: [String: String] { ["XDG_DATA_HOME": folder.path] }

  /// Two seconds of load by two workers, unless the arguments say otherwise. Prefixed with the
  /// command that `by` names.
  func master(_ arguments: [String] = [], by prefix: [String] = []) throws -> Child {
    var words = ["master", "--headless", "--format", "json", "--quiet"]
    words += ["--master-bind-port", "\(port)"]
    if !arguments.contains("--record") { words += ["--record", folder.path + "/record.db"] }
    if !arguments.contains("--resume") {
      words += [target.url, "--expect-workers", "2", "-c", "8"]
      if !arguments.contains("-d") { words += ["-d", "2s"] }
    }
    let line = prefix + [Squall.path] + words + arguments
    return try Child(line[0], Array(line.dropFirst()), environment: environment)
  }

  func worker() throws -> Child {
    try Squall.start(
      ["worker", "--master-port", "\(port)", "-w", "2", "--no-pin"], environment: environment)
  }

  func report(_ arguments: [String]) throws -> Child {
    try Squall.ended(["report", folder.path + "/record.db"] + arguments, environment: environment)
  }

  /// The last run's, from the record.
  func result() throws -> Measured {
    let report = try report(["--format", "json"])
    #expect(report.ending == Child.Ending(code: 0), "\(report.errors)")
    return try Measured(report.output)
  }
}

private enum Mounted {
  /// A command that mounts a tmpfs with these options for its child alone and runs it: the folder,
  /// then the child's words, are to follow. Nil where that is not allowed.
  static func prefix(_ options: String) -> [String]? {
    let script = "mount -t tmpfs -o \(options) tmpfs \"$0\" && exec \"$@\""
    let unshare = ["unshare", getuid() == 0 ? "-m" : "-rm", "sh", "-c", script]
    guard let probe = try? Child(unshare[0], unshare.dropFirst() + ["/tmp", "true"]),
      (try? probe.awaitEnd()) == Child.Ending(code: 0)
    else { return nil }
    return unshare
  }
}

private enum State {
  /// It has used no CPU time in the last 50 ms.
  static func isIdle(_ process: pid_t) -> Bool {
    let first = ticks(process)
    usleep(50_000)
    return ticks(process) == first
  }

  private static func ticks(_ process: pid_t) -> [Substring]? {
    let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
    return text.map { Array($0.split(separator: " ")[13...14]) }
  }
}
