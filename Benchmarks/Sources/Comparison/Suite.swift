import Foundation
import Glibc
import Synchronization

/// Set by SIGINT and SIGTERM: what runs is ended, and what was measured is reported.
private let stopRequested = Atomic<Bool>(false)

package func isStopRequested() -> Bool {
  stopRequested.load(ordering: .relaxed)
}

package func stopOnSignals() {
  for number in [SIGINT, SIGTERM] {
    signal(number) { _ in stopRequested.store(true, ordering: .relaxed) }
  }
}

/// Runs a plan: targets started as cells need them, clients in random order within each round.
package final class Suite {
  package struct Setting {
    package var placement: Placement
    package var programs: TargetPrograms
    package var catalog: Catalog
    package var scratch: String
    package var seed: UInt64
    package var builtIn: TargetKind
    /// How long each round waits at most for a quiet machine.
    package var gateSecondsMax: Double
    package var hasHeadroom: Bool

    package init(
      placement: Placement, programs: TargetPrograms, catalog: Catalog, scratch: String,
      seed: UInt64, builtIn: TargetKind, gateSecondsMax: Double, hasHeadroom: Bool
    ) {
      self.placement = placement
      self.programs = programs
      self.catalog = catalog
      self.scratch = scratch
      self.seed = seed
      self.builtIn = builtIn
      self.gateSecondsMax = gateSecondsMax
      self.hasHeadroom = hasHeadroom
    }
  }

  private let setting: Setting
  private let runner: Runner
  private let archive: Archive
  private let say: (String) -> Void
  private var random: SplitMix64
  private var target: RunningTarget?
  private var targetCPUs: [Int] = []
  package private(set) var runs: [Run] = []
  /// Targets that did not start, with the reason: not tried again.
  private var unstartable: [String: String] = [:]
  /// Client and cell that hung: not tried again.
  private var givenUp = Set<String>()
  private var done = 0
  private var fruitlessWaits = 0

  package init(
    _ setting: Setting, runner: Runner, archive: Archive, say: @escaping (String) -> Void
  ) {
    self.setting = setting
    self.runner = runner
    self.archive = archive
    self.say = say
    random = SplitMix64(seed: setting.seed)
  }

  deinit {
    target?.stop()
  }

  package func run(_ plan: Plan) {
    let total = plan.runCount { [setting] in setting.catalog[$0]?.path != nil }
    let started = monotonicNs()
    let estimate = plan.estimatedSeconds { [setting] in setting.catalog[$0]?.path != nil }
    for experiment in plan.experiments {
      run(experiment, total: total, estimate: estimate, startedNs: started)
      if runner.isStopped() { break }
      if setting.hasHeadroom, let extra = headroom(after: experiment) {
        run(extra, total: total, estimate: estimate, startedNs: started)
      }
    }
    target?.stop()
    target = nil
  }

  /// The rate of this one is known only when squall's maximum is.
  private func headroom(after experiment: Experiment) -> Experiment? {
    let column = experiment.columns.first {
      $0.cell.question == .closed && $0.cell.connections == 64 && $0.clients.contains("squall")
    }
    guard let column else { return nil }
    let results = Results(runs: runs, seed: setting.seed)
    return results.middle(column.cell, "squall", .rateHz).map {
      Plan.headroom(maximumHz: $0, target: setting.builtIn)
    }
  }

  private func run(
    _ experiment: Experiment, total: Int, estimate: Double, startedNs: UInt64
  ) {
    absent(experiment)
    for repetition in 0..<experiment.repetitions {
      for column in experiment.columns.shuffled(using: &random) {
        let clients = column.clients.filter { setting.catalog[$0]?.path != nil }
        if !clients.isEmpty { waitForQuiet() }
        for client in clients.shuffled(using: &random) {
          guard !runner.isStopped() else { return }
          done += 1
          let left = max(0, Int(estimate - Double(monotonicNs() - startedNs) / 1e9))
          say(
            "[\(done)/\(max(total, done))] about \(left / 60):\(left % 60 < 10 ? "0" : "")"
              + "\(left % 60) left  \(column.cell.question.rawValue), \(column.cell.label): "
              + client)
          record(measure(column.cell, client: client, repetition: repetition))
        }
      }
    }
  }

  /// A fifth of a second's look between cells; the long wait only when that was busy, and not
  /// again when three waits came to nothing: the runs that follow say that they were contended.
  private func waitForQuiet() {
    guard fruitlessWaits < 3, !runner.isStopped() else { return }
    let before = CPUTimes.read()
    pause(ns: 200_000_000)
    let share = (CPUTimes.read().busy - before.busy) / 0.2
    guard share > 2 * QuiesceGate.foreignShareMax else { return }
    let report = QuiesceGate.wait(
      secondsMax: setting.gateSecondsMax, isStopped: runner.isStopped, say: say)
    fruitlessWaits = report.isQuiet ? 0 : fruitlessWaits + 1
    if fruitlessWaits == 3 { say("the machine stays busy: going on without waiting") }
  }

  /// A client that is not here keeps its row, with what to install.
  private func absent(_ experiment: Experiment) {
    for column in experiment.columns {
      for client in column.clients where setting.catalog[client]?.path == nil {
        guard client != Catalog.again, let entry = setting.catalog[client] else { continue }
        var run = Run(cell: column.cell, client: client, repetition: 0)
        run.failure = "not here; \(entry.client.origin.howToGet)"
        record(run)
      }
    }
  }

  private func record(_ run: Run) {
    runs.append(run)
    archive.add(run)
  }

  private func measure(_ cell: Cell, client: String, repetition: Int) -> Run {
    let key = "\(client) \(cell.question.rawValue) \(cell.label)"
    var run = Run(cell: cell, client: client, repetition: repetition)
    if givenUp.contains(key) {
      run.failure = "not tried again after it hung"
      return run
    }
    let cpus = cell.threads == 1 ? setting.placement.client : Array(allCPUs.prefix(cell.threads))
    let targetCPUs = cell.question == .scaling ? allCPUs : targetCPUs(of: cell)
    do {
      let target = try running(cell, cpus: targetCPUs)
      run = runner.run(
        cell, client: client, repetition: repetition, target: target, cpus: cpus)
    } catch {
      run.failure = "\(error)"
    }
    if let failure = run.failure {
      if failure.hasPrefix("hung") { givenUp.insert(key) }
      // A target that does not answer is replaced before the next run.
      if target?.answers == false { stopTarget() }
    }
    return run
  }

  private var allCPUs: [Int] {
    Array(Set(setting.placement.target + setting.placement.client)).sorted()
  }

  private func targetCPUs(of cell: Cell) -> [Int] {
    cell.targetOptions.needsOneProcess
      ? Array(setting.placement.target.prefix(1)) : setting.placement.target
  }

  private func running(_ cell: Cell, cpus: [Int]) throws -> RunningTarget {
    if let target, target.kind == cell.target, target.options == cell.targetOptions,
      targetCPUs == cpus, !cell.needsFreshTarget, target.answers
    {
      return target
    }
    stopTarget()
    // Plain, a target may start that lacks what TLS needs.
    let key = "\(cell.target.rawValue)\(cell.targetOptions.speaksTLSAlone ? " with TLS" : "")"
    if let reason = unstartable[key] {
      throw RunningTarget.StartError(description: reason)
    }
    do {
      let started = try RunningTarget.start(
        cell.target, options: cell.targetOptions, cpus: cpus, programs: setting.programs,
        folder: setting.scratch)
      target = started
      targetCPUs = cpus
      return started
    } catch {
      unstartable[key] = "\(error)"
      throw error
    }
  }

  private func stopTarget() {
    if let path = target?.arrivalsPath { unlink(path) }
    target?.stop()
    target = nil
  }
}
