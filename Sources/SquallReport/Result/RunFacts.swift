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

  /// Name of the run in its record; nil for one that is not coordinated.
  package var run: UInt64?
  package var recordFault: RecordFault?
  package var tool = RunResult.Tool()
  package var host = RunResult.Host()
  package var argv: [String] = []
  /// RFC 3339, UTC.
  package var startedAt = ""
  package var interrupted = false
  package var workers: [WorkerPlace: WorkerFacts] = [:]
  /// What is known to be missing from the counts, a sentence each.
  package var gaps: [String] = []
  /// As the workers' side reported them at the end of each life (I3).
  package var ownLedgers: [Incarnation: IncarnationLedger] = [:]
  /// CPUs that workers are pinned to and that the target may use as well; empty when none is known.
  package var cpusSharedWithTarget: [UInt32] = []
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
  /// Nil when it is not pinned.
  package var cpu: UInt32?
  /// Lost, and not replaced by another life or another worker.
  package var isLost = false

  package init(host: String, cpu: UInt32? = nil) {
    self.host = host
    self.cpu = cpu
  }
}
