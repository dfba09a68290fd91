package import SquallLoad

/// The master's view of a worker, for people.
package enum WorkerState: String, CaseIterable, Sendable {
  case ready, ramping, running, stopping, missing, gone
}

/// A picture of the run for the console, the page and the API.
package struct Status: Sendable {
  package struct Worker: Sendable {
    package var incarnation: Incarnation
    package var host: String
    /// Its agent's process id; 0 when it did not say.
    package var process: UInt32
    package var cpu: UInt16
    package var state: WorkerState
    package var share: Share?
    package var sums: IncarnationLedger
    package var ending: Ledger.Ending?
    /// Earlier lives in the same place.
    package var restarts: Int
  }

  package var stage: MasterMachine.Stage
  package var epoch: UInt32
  /// Nanoseconds since the start instant; nil before.
  package var elapsedNs: UInt64?
  package var workers: [Worker]
  package var readyCount: Int
  package var sums: IncarnationLedger
}
