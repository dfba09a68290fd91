package import SquallCluster
package import SquallReport

/// What brings workers to a run's master.
package protocol Carrier: Sendable {
  /// Sets the times that depend on the way between the two.
  func fit(_ settings: inout MasterMachine.Settings)
  /// Workers may come from now on.
  func open(to master: MasterHost) async throws(Complaint)
  /// Nothing that is in flight is awaited any more. Returns how long the workers take to say so.
  func cut() async -> UInt64
  /// Adds what is known here of the circumstances in which the workers ran.
  func note(in facts: inout RunFacts, of record: RunRecord)
  var closing: [Closing.Part] { get }
}
