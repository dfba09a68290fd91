/// Switches off one safeguard at a time, so that the simulator can prove that it would notice.
/// For the mutation check only: every switch is off wherever load is made.
package struct Faults: Equatable, Sendable {
  /// A batch that was counted is counted again when it comes again.
  package var countsDuplicates = false
  /// Batches are acknowledged when they arrive, before they are durable.
  package var acknowledgesEarly = false
  /// Orders of an older epoch are obeyed.
  package var obeysOldEpochs = false
  /// Damaged frames are taken for good ones.
  package var ignoresChecksums = false
  /// A share goes to others while its last holder may still use it.
  package var ignoresLeases = false
  /// A worker goes on with its share when its lease has ended.
  package var outlivesLeases = false
  /// A worker goes on with a share that was taken back.
  package var keepsTakenShares = false
  /// Requests that a worker gives up are counted nowhere.
  package var forgetsDropped = false
  /// A worker counts as dropped what fell due after its lease had ended.
  package var countsOthers = false
  /// A worker goes on with its old schedule where a yield ends it.
  package var outrunsYields = false
  /// Users whose numbers go to other workers stay until those have them.
  package var keepsMovedNumbers = false
  /// A restarted master does not remember which batches its record holds.
  package var forgetsMerged = false
  /// The load changes without everybody's having ended its share there.
  package var changesAtOnce = false
  /// Shares move while a change that they are of is still to come.
  package var movesUnbegunShares = false
  /// Counts of a run that has ended are taken into the one after it.
  package var mixesRuns = false

  package init() {}
}
