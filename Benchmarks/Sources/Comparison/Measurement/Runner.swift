import Foundation
import Glibc

/// Runs one client once, and watches.
package struct Runner {
  package let catalog: Catalog
  package let scratch: String
  package let perf: String?
  package let ss: String?
  package let isStopped: () -> Bool
  /// Beyond the asked duration, before a client counts as hung.
  package let graceSeconds: Double

  package init(
    catalog: Catalog, scratch: String, perf: String?, ss: String?,
    graceSeconds: Double = 10, isStopped: @escaping () -> Bool
  ) {
    self.catalog = catalog
    self.scratch = scratch
    self.perf = perf
    self.ss = ss
    self.graceSeconds = graceSeconds
    self.isStopped = isStopped
  }

  /// How often the target's count and both sides' CPU clocks are read.
  private static let samplePeriodNs: UInt64 = 50_000_000

  package func run(
    _ cell: Cell, client name: String, repetition: Int, target: RunningTarget, cpus: [Int]
  ) -> Run {
    var run = Run(cell: cell, client: name, repetition: repetition)
    guard let entry = catalog[name] else {
      run.failure = "unknown client"
      return run
    }
    guard let program = entry.path else {
      run.failure = "not here; \(entry.client.origin.howToGet)"
      return run
    }
    guard let port = target.port(of: cell.wire) else {
      run.failure = "the target does not speak \(cell.wire.title) here"
      return run
    }
    let load = cell.load(
      port: port, path: target.path(bodyByteCount: cell.bodyByteCount), cpus: cpus,
      authority: target.authority)
    var command: Command
    do {
      command = try entry.client.asked(load, program: program, folder: scratch)
    } catch {
      run.failure = error.description
      return run
    }
    let summary = "\(scratch)/seen-\(monotonicNs())"
    defer { unlink(summary) }
    let watching: [String]? =
      switch cell.question {
      case .syscalls: SyscallCounts.arguments
      case .userspace, .wires: ThreadSamples.arguments
      default: nil
      }
    if let watching {
      guard let perf else {
        run.failure = "perf is not installed: apt-get install linux-perf"
        return run
      }
      command.arguments = [perf] + watching + ["-o", summary, "--"] + command.arguments
    }
    run.arguments = command.arguments.map { portable($0) }
    watch(&run, command: command, load: load, client: entry.client, target: target)
    if cell.question == .syscalls { run.syscalls = readText(summary).map(SyscallCounts.parse) }
    if [.userspace, .wires].contains(cell.question) { run.threads = perfReport(summary) }
    return run
  }

  private func perfReport(_ data: String) -> [ThreadSamples]? {
    let prefix = "\(scratch)/perf-\(monotonicNs())"
    defer { clean(prefix: prefix, result: nil) }
    guard let perf,
      let child = try? Child(
        [perf, "report", "-i", data, "--stdio", "-n", "--sort", "pid"],
        environment: ["PATH": "/usr/bin:/bin", "HOME": scratch, "LC_ALL": "C"], cpus: nil,
        outputPrefix: prefix)
    else { return nil }
    guard child.wait(untilNs: monotonicNs() + 20_000_000_000) != nil else {
      child.end()
      return nil
    }
    let threads = ThreadSamples.parse(readText(child.standardOutput) ?? "")
    return threads.isEmpty ? nil : threads
  }

  /// A command line another can read: programs by their names, our folder by one of its own.
  private func portable(_ argument: String) -> String {
    let isProgram = argument.hasPrefix("/") && access(argument, X_OK) == 0
    return isProgram
      ? String(argument.split(separator: "/").last ?? "")
      : argument.replacing(scratch, with: "$SCRATCH")
  }

  private func watch(
    _ run: inout Run, command: Command, load: Load, client: any Client, target: RunningTarget
  ) {
    let before = target.count()
    guard before != nil || target.answers else {
      run.failure = "the target does not answer"
      return
    }
    var environment = ["PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": scratch, "LC_ALL": "C"]
    environment.merge(command.environment) { $1 }
    let prefix = "\(scratch)/\(run.client.replacing(" ", with: "-"))-\(monotonicNs())"
    let child: Child
    do {
      child = try Child(
        command.arguments, environment: environment, cpus: load.cpus, outputPrefix: prefix)
    } catch {
      run.failure = error.description
      return
    }
    defer { clean(prefix: prefix, result: command.resultPath) }

    let asked = load.requestCount == nil ? Double(load.seconds) : 10
    let deadline = child.startedNs + UInt64((asked + graceSeconds) * 1e9)
    let exit = observe(
      &run, child: child, load: load, target: target, before: before, deadlineNs: deadline)
    run.exit = exit
    run.wallSeconds = exit.map { Double($0.endedNs - child.startedNs) / 1e9 }

    let output = Output(
      standardOutput: readText(child.standardOutput) ?? "",
      standardError: readText(child.standardError) ?? "",
      result: command.resultPath.flatMap { readText($0) })
    do {
      run.claim = try client.claim(output, load: load)
    } catch {
      let code = exit?.code.map { "exit code \($0), " } ?? ""
      run.failure = run.failure ?? "\(code)\(error.description)"
    }
    settle(target, open: before?.open)
    if let before, let after = target.count(), after.requests >= before.requests {
      run.counted = after.requests - before.requests
    }
    if target.options.stampsArrivals { readArrivals(&run, target: target, child: child) }
  }

  /// Follows the client to its end, whatever that is.
  private func observe(
    _ run: inout Run, child: Child, load: Load, target: RunningTarget, before: RunningTarget.Count?,
    deadlineNs: UInt64
  ) -> Child.Exit? {
    var clientTree = ProcessTree(root: child.pid)
    var targetTree = ProcessTree(root: target.child.pid)
    let targetCPUNsBefore = targetTree.cpuNs()
    var samples: [Window.Sample] = []
    if let before {
      samples.append(
        Window.Sample(
          ns: child.startedNs, requests: before.requests, accepted: before.accepted,
          clientCPUNs: 0, targetCPUNs: targetCPUNsBefore, times: CPUTimes.read()))
    }
    // A target that spins or is traced must not be disturbed, and a frozen one does not answer.
    let isSampled = before != nil && !target.options.stampsArrivals && run.cell.question != .freeze
    let middleNs = child.startedNs + UInt64(run.cell.seconds) * 500_000_000
    var nextSampleNs = child.startedNs + Self.samplePeriodNs
    var hasLooked = false
    var freeze = Freeze(cell: run.cell, target: target)

    while true {
      if let exit = child.poll() {
        freeze.thaw()
        run.frozenSeconds = freeze.seconds
        run.window = Window(samples, connections: run.cell.connections)
        run.targetCPUNs = targetTree.cpuNs() - targetCPUNsBefore
        return exit
      }
      let now = monotonicNs()
      guard !isStopped(), now < deadlineNs else {
        freeze.thaw()
        let seconds = Int(Double(now - child.startedNs) / 1e9)
        run.failure =
          isStopped()
          ? "interrupted" : "hung: process \(child.pid) was ended after \(seconds) s"
        return child.end()
      }
      if isSampled && now >= nextSampleNs {
        nextSampleNs += Self.samplePeriodNs
        if let count = target.count() {
          samples.append(
            Window.Sample(
              ns: monotonicNs(), requests: count.requests, accepted: count.accepted,
              clientCPUNs: clientTree.cpuNs(), targetCPUNs: targetTree.cpuNs(),
              times: CPUTimes.read()))
        }
      }
      if !hasLooked && now >= middleNs {
        hasLooked = true
        let resident = clientTree.residentByteCounts()
        run.residentByteCount = resident.reduce(0, +)
        run.residentWorkerByteCount = resident.dropFirst().max()
        if run.repetition == 0, run.cell.connecting == .kept {
          // The suite's own, where it asks for the count, is left out.
          let own = load.port == target.port && target.kind.counts ? 1 : 0
          run.connectionsSeen = connections(port: load.port).map { max(0, $0 - own) }
        }
      }
      freeze.advance(nowNs: now)
      pause(ns: 5_000_000)
    }
  }

  /// Stops the target for the middle half of the run, counted from the first request.
  private struct Freeze {
    private let target: RunningTarget
    private let quarterNs: UInt64
    private let isWanted: Bool
    private var firstRequestNs: UInt64?
    private var countBefore: UInt64?
    private var frozenNs: UInt64?
    private var isFrozen: Bool { frozenNs != nil }
    private var isDone = false
    private(set) var seconds: Double?

    init(cell: Cell, target: RunningTarget) {
      self.target = target
      isWanted = cell.question == .freeze
      quarterNs = UInt64(cell.seconds) * 250_000_000
      countBefore = isWanted ? target.count()?.requests : nil
    }

    mutating func advance(nowNs: UInt64) {
      guard isWanted, !isDone else { return }
      guard let first = firstRequestNs else {
        if let count = target.count()?.requests, count > countBefore ?? 0 {
          firstRequestNs = nowNs
        }
        return
      }
      if !isFrozen && nowNs >= first + quarterNs {
        signal(SIGSTOP)
        frozenNs = monotonicNs()
      } else if isFrozen && nowNs >= first + 3 * quarterNs {
        thaw()
      }
    }

    mutating func thaw() {
      guard let since = frozenNs else { return }
      frozenNs = nil
      isDone = true
      signal(SIGCONT)
      seconds = Double(monotonicNs() - since) / 1e9
    }

    private func signal(_ number: Int32) {
      for pid in ProcessTree.members(of: target.child.pid) { kill(pid, number) }
    }
  }

  /// Established connections to the port.
  private func connections(port: UInt16) -> Int? {
    guard let ss else { return nil }
    let prefix = "\(scratch)/ss-\(monotonicNs())"
    defer { clean(prefix: prefix, result: nil) }
    guard
      let child = try? Child(
        [ss, "-Htn", "state", "established", "( dport = :\(port) )"], environment: [:],
        cpus: nil, outputPrefix: prefix),
      child.wait(untilNs: monotonicNs() + 2_000_000_000) != nil
    else { return nil }
    return (readText(child.standardOutput) ?? "").split(separator: "\n").count
  }

  /// Waits, half a second at most, until the target has noticed that the client is gone.
  private func settle(_ target: RunningTarget, open: UInt64?) {
    let deadline = monotonicNs() + 500_000_000
    var last: UInt64?
    while monotonicNs() < deadline {
      guard let count = target.count() else { return }
      let isClosed = count.open.map { $0 <= open ?? 1 } ?? (count.requests == last)
      if isClosed { return }
      last = count.requests
      pause(ns: 20_000_000)
    }
  }

  private func readArrivals(_ run: inout Run, target: RunningTarget, child: Child) {
    let stamps = target.arrivalsNs()
    if let first = stamps.first, first > child.startedNs {
      run.firstArrivalSeconds = Double(first - child.startedNs) / 1e9
    }
    guard let rate = run.cell.rateHz else { return }
    // The probe of our own clients comes before the load, and the first tenth of a second is the
    // caches' and the scheduler's.
    let probes = Int(run.claim?.probes ?? 0)
    let load = stamps.dropFirst(probes)
    guard let first = load.first else { return }
    run.pacing = Pacing(
      arrivalsNs: load.filter { $0 >= first + 100_000_000 }, rateHz: Double(rate))
  }

  private func clean(prefix: String, result: String?) {
    unlink(prefix + ".out")
    unlink(prefix + ".err")
    if let result { unlink(result) }
  }
}
