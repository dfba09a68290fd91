package import SquallLoad

/// What a result needs to know that is not in batches: read off the hosts by whoever ran the run.
package struct RunFacts: Sendable {
  /// What keeps the record of the run from being whole.
  package enum RecordFault: Equatable, Sendable {
    /// It could not be written.
    case unwritten(String)
    /// Its end is not in it: the run goes on, or its master ended before it did.
    case endless
  }

  /// Why an answer cannot be read, in words.
  package struct Malformation: Equatable, Sendable {
    package var name: String
    package var explanation: String
    package var isOurLimit: Bool

    package init(name: String, explanation: String, isOurLimit: Bool) {
      self.name = name
      self.explanation = explanation
      self.isOurLimit = isOurLimit
    }
  }

  /// By the parser's number, as in `Counters.malformations`.
  package var malformations: [Malformation] = []
  /// Of each of the plan's endpoints: what its checks ask, by number, as in `Counters.checks`.
  package var checks: [[UInt8: String]] = []
  /// How the users of a scenario come and go; nil where they come once and stay.
  package var userStages: [PlanSummary.UserStage]?
  /// Name of the run in its record; nil for one that is not coordinated.
  package var run: UInt64?
  package var recordFault: RecordFault?
  /// What falls due later is not missing yet.
  package var goesOn = false
  package var tool = RunResult.Tool()
  package var host = RunResult.Host()
  package var argv: [String] = []
  /// RFC 3339, UTC.
  package var startedAt = ""
  package var interrupted = false
  /// What was changed of the load while it ran, in the order of time.
  package var changes: [LoadChange] = []
  package var workers: [WorkerPlace: WorkerFacts] = [:]
  /// What is known to be missing from the counts, a sentence each.
  package var gaps: [String] = []
  /// As the workers' side reported them at the end of each life (I3).
  package var ownLedgers: [Incarnation: IncarnationLedger] = [:]
  /// CPUs that workers are pinned to and that the target may use as well; empty when none is known.
  package var cpusSharedWithTarget: [UInt32] = []
  /// What a control group lets this host's workers use.
  package struct Quota: Equatable, Sendable {
    package var cpus: Double
    /// Periods of the run in which the group ran, and those in which it used up its time.
    package var periodCount: UInt64
    package var throttledCount: UInt64

    package init(cpus: Double, periodCount: UInt64, throttledCount: UInt64) {
      self.cpus = cpus
      self.periodCount = periodCount
      self.throttledCount = throttledCount
    }
  }

  /// Nil without a limit, and for workers of other hosts.
  package var quota: Quota?
  /// Of targets some of whose addresses take no connections, a sentence each.
  package var addressesLeftOut: [String] = []
  /// TCP segments the sending hosts sent again during the run, of all they sent; nil when unknown.
  package var retransmitRatio: Double?
  /// Connections the target's host turned away because a listen queue was full; nil when unknown, as
  /// on any other host than ours.
  package var listenOverflowCount: UInt64?
  /// CPU time another guest of the machine got, of all time, during the run; nil when unknown.
  package var stealRatio: Double?

  package init() {}
}

package struct WorkerFacts: Equatable, Sendable {
  package var host: String
  /// Its agent's process id; nil when it did not say.
  package var process: UInt32?
  /// Nil when it is not pinned.
  package var cpu: UInt32?
  /// Lost, and not replaced by another life or another worker.
  package var isLost = false

  package init(host: String, process: UInt32 = 0, cpu: UInt32? = nil) {
    self.host = host
    self.process = process == 0 ? nil : process
    self.cpu = cpu
  }

  /// `one`, or `one (pid 7)`.
  package static func called(_ host: String, process: UInt32?, hasNamesake: Bool) -> String {
    guard hasNamesake, let process else { return host }
    return "\(host) (pid \(process))"
  }
}

extension [WorkerPlace: WorkerFacts] {
  /// The host that a worker is on, and the process where the host has several; nil when unknown.
  package func host(of place: WorkerPlace) -> String? {
    guard let own = self[place] else { return nil }
    let hasNamesake = contains { $0.key.agent != place.agent && $0.value.host == own.host }
    return WorkerFacts.called(own.host, process: own.process, hasNamesake: hasNamesake)
  }
}
