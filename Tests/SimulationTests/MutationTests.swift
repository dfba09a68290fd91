import SquallCluster
import Testing

/// A simulator that has never caught a planted bug is no evidence: each safeguard is switched off in
/// turn, and must be missed.
@Suite struct MutationTests {
  struct Mutation: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var faults: Faults

    init(_ name: String, _ safeguard: WritableKeyPath<Faults, Bool>) {
      testDescription = name
      faults = Faults()
      faults[keyPath: safeguard] = true
    }
  }

  static let mutations = [
    Mutation("dedup", \.countsDuplicates),
    Mutation("acknowledgement after commit", \.acknowledgesEarly),
    Mutation("epoch check", \.obeysOldEpochs),
    Mutation("checksum", \.ignoresChecksums),
    Mutation("lease", \.ignoresLeases),
    Mutation("merge-once", \.forgetsMerged),
  ]

  @Test(arguments: mutations)
  func theSimulatorMissesEachSafeguard(_ mutation: Mutation) {
    for seed in UInt64(1)...1_000 {
      guard let failure = failure(seed: seed, faults: mutation.faults) else { continue }
      print("without \(mutation.testDescription): \(failure.split(separator: "\n")[0])")
      return
    }
    Issue.record("nothing went wrong in 1,000 seeds without \(mutation.testDescription)")
  }
}
