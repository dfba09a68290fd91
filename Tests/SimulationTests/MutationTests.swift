import SquallCluster
import SquallLoad
import Testing

/// A simulator that has never caught a planted bug is no evidence: each safeguard is switched off in
/// turn, and must be missed.
///
/// Starts at a seed that is known to miss it, so that this is short. `SQUALL_MUTATION_SEEDS` searches
/// that many seeds from 1 instead; see `mutation-check`.
@Suite struct MutationTests {
  struct Mutation: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var faults: Faults
    var knownSeed: UInt64

    init(_ name: String, _ safeguard: WritableKeyPath<Faults, Bool>, knownSeed: UInt64) {
      testDescription = name
      faults = Faults()
      faults[keyPath: safeguard] = true
      self.knownSeed = knownSeed
    }
  }

  static let mutations = [
    Mutation("dedup", \.countsDuplicates, knownSeed: 1),
    Mutation("acknowledgement after commit", \.acknowledgesEarly, knownSeed: 2),
    Mutation("epoch check", \.obeysOldEpochs, knownSeed: 73),
    Mutation("checksum", \.ignoresChecksums, knownSeed: 2),
    Mutation("lease", \.ignoresLeases, knownSeed: 3),
    Mutation("a worker's lease", \.outlivesLeases, knownSeed: 4),
    Mutation("taking back", \.keepsTakenShares, knownSeed: 236),
    Mutation("counting what is dropped", \.forgetsDropped, knownSeed: 11),
    Mutation("leaving what may be another's", \.countsOthers, knownSeed: 4570),
    Mutation("a yield's end", \.outrunsYields, knownSeed: 18),
    Mutation("merge-once", \.forgetsMerged, knownSeed: 4),
    Mutation("a change's yield", \.changesAtOnce, knownSeed: 79),
    Mutation("a change's being in force", \.movesUnbegunShares, knownSeed: 890),
    Mutation("one run's counts", \.mixesRuns, knownSeed: 1),
  ]
  /// How far from the known seed a change of the machines may move what misses a safeguard, before
  /// somebody has to search again.
  private static let nearbySeeds: UInt64 = 60

  @Test(arguments: mutations)
  func theSimulatorMissesEachSafeguard(_ mutation: Mutation) {
    let count = environment("SQUALL_MUTATION_SEEDS")
    let first = count == nil ? mutation.knownSeed : 1
    for seed in first..<first + (count ?? Self.nearbySeeds) {
      guard let failure = failure(seed: seed, faults: mutation.faults) else { continue }
      print("without \(mutation.testDescription): \(failure.split(separator: "\n")[0])")
      return
    }
    Issue.record("nothing went wrong without \(mutation.testDescription): run mutation-check")
  }
}
