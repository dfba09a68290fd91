package import SquallLoad

/// What a run is to be.
package struct RunSettings: Sendable {
  /// Random name of the run, kept in its record; never 0, which is no run.
  package var run: UInt64
  package var plan: Plan
  /// Start by itself when this many workers are ready; 0 waits for `.start`.
  package var expectWorkers = 1
  package var expectWorkersMaxWaitNs: UInt64 = .max

  package init(run: UInt64, plan: Plan) {
    self.run = run
    self.plan = plan
  }

  /// Before the first run.
  static let none = RunSettings(
    run: 0,
    plan: Plan(
      to: .init(url: "", destinations: []), sending: .init(method: "", endpoints: []),
      over: .init(0)))
}

/// The course of one run: when it starts, when its load ends, when everything is known.
struct Run: Sendable {
  let settings: RunSettings
  /// With all changes of its load that are in force, or will be at their instants.
  private(set) var plan: Plan
  /// A change that waits for its turn.
  var asked: LoadChange?
  let planBytes: [UInt8]
  let planHash: [UInt8]
  var stage = MasterMachine.Stage.waiting
  let beganNs: UInt64
  var startNs: UInt64?
  var isStartWanted = false
  var isStartPending = false
  var stopReason: EndReason?
  /// When something of it became known last.
  var progressNs: UInt64
  var outcome: Outcome?
  var isAbandoned = false
  var endedNs: UInt64?

  init(_ settings: RunSettings, digests: Digests, nowNs: UInt64) {
    self.settings = settings
    plan = settings.plan
    planBytes = settings.plan.bytes
    planHash = digests.hash(planBytes)
    beganNs = nowNs
    progressNs = nowNs
  }

  var name: UInt64 { settings.run }
  var changes: [LoadChange] { plan.changes }
  var loadNs: UInt64 { plan.times.warmupNs.addingSaturated(plan.times.durationNs) }
  var isOpenLoop: Bool { plan.load != .closed }
  var isCounted: Bool { plan.requestCount != .max }
  /// Its load is on, or may yet begin.
  var takesWorkers: Bool { stage == .waiting || stage == .preparing || stage == .running }
  var hasEnded: Bool { stage == .ended }

  mutating func change(by changes: [LoadChange]) { plan = settings.plan.changed(by: changes) }

  func chunk(_ index: UInt32) -> PlanChunk? {
    let start = Int(index) * PlanChunk.byteCount
    guard start < planBytes.count else { return nil }
    let end = min(planBytes.count, start + PlanChunk.byteCount)
    return PlanChunk(run: name, chunk: index, bytes: Array(planBytes[start..<end]))
  }
}

/// A run that has ended, as far as its agents may still ask: one that was away learns whether the master
/// has all it counted.
package struct PastRun: Sendable {
  package var run: UInt64
  /// Agents without some of whose counts it ended.
  var incomplete: Set<UInt64>

  package init(run: UInt64, outcome: Outcome) {
    self.run = run
    incomplete = Set(
      outcome.gaps.compactMap { gap in
        switch gap {
        case .silent(let incarnation, _), .batches(let incarnation, _, _): incarnation.agent
        case .mismatch, .notReplaced: nil
        }
      })
  }
}
