import Glibc
import SquallCluster
import SquallLoad
import Testing

/// A number from the environment, for replaying and for long runs.
func environment(_ name: String) -> UInt64? {
  getenv(name).flatMap { UInt64(String(cString: $0)) }
}

/// Runs one seed; the text says what went wrong and how to see it again.
func failure(seed: UInt64, faults: Faults = Faults(), isVerbose: Bool = false) -> String? {
  let simulation = Simulation(seed: seed, faults: faults, isVerbose: isVerbose)
  do {
    _ = try simulation.run()
    return nil
  } catch {
    let at = simulation.nowNs / millisecond
    return "seed \(seed), \(at) ms: \(error)\n  SQUALL_SEED=\(seed) swift test -c release "
      + "--filter SimulationTests.everyInvariantHolds"
  }
}

@Suite struct SimulationTests {
  /// `SQUALL_SEEDS` sets how many seeds, `SQUALL_SEED` replays one and prints every event.
  @Test func everyInvariantHolds() async {
    if let seed = environment("SQUALL_SEED") {
      let failure = failure(seed: seed, isVerbose: true)
      #expect(failure == nil, "\(failure ?? "")")
      return
    }
    let count = environment("SQUALL_SEEDS") ?? 500
    let first = environment("SQUALL_FIRST_SEED") ?? 1
    let failures = await withTaskGroup(of: [String].self) { group in
      let lanes: UInt64 = 2
      for lane in 0..<lanes {
        group.addTask {
          stride(from: first + lane, to: first + count, by: Int(lanes)).compactMap {
            failure(seed: $0)
          }
        }
      }
      return await group.reduce([], +)
    }
    #expect(failures.isEmpty, "\(failures.prefix(5).joined(separator: "\n"))")
    #expect(failures.count == 0)
  }

  /// A heartbeat and half a second after somebody asked for another load, everybody has it.
  @Test func aChangeOfTheLoadIsInForceInTime() throws {
    var count = 0
    for seed in UInt64(1)...10_000 {
      let swarm = Swarm(seed: seed)
      guard !swarm.edits.isEmpty, swarm.faults.isEmpty else { continue }
      let simulation = Simulation(seed: seed)
      _ = try simulation.run()
      count += simulation.audits.reduce(0) { $0 + $1.editsInTime }
    }
    #expect(count >= 20, "\(count) were looked at")
  }

  /// What a test run of 500 seeds goes through: every kind of fault, and the worst of networks.
  @Test func theSeedsOfATestRunHaveEveryFault() {
    let swarms = (UInt64(1)...500).map { Swarm(seed: $0) }
    let kinds = swarms.flatMap { $0.faults.map(\.1.kind) }
    for kind in [
      "killWorker", "pauseWorker", "killAgent", "pauseAgent", "pauseHost", "leave", "join",
      "killMaster", "pauseMaster", "cutConnection", "partition", "partitionAll", "clog", "slowDisk",
      "clockJump", "stop",
    ] {
      #expect(kinds.count { $0 == kind } >= 5, "\(kind)")
    }
    #expect(swarms.contains { $0.loss == 0.3 && $0.duplication == 0.3 && !$0.isOrdered })
    #expect(swarms.count { $0.corruption > 0 } >= 50)
    #expect(swarms.count { $0.hasToken } >= 50)
    #expect(swarms.count { $0.plans[0].load != .closed } >= 50)
    #expect(swarms.count { $0.plans[0].requestCount != .max } >= 50)
    #expect(swarms.count { $0.plans.count > 1 && !$0.faults.isEmpty } >= 100)
    #expect(swarms.count { $0.plans.count > 2 } >= 50)
    #expect(swarms.count { $0.partsPerBatch > 1 } >= 50)
    #expect(swarms.count { !$0.edits.isEmpty && !$0.faults.isEmpty } >= 100)
  }

  /// Users that have a row of data to themselves are moved only when they are gone from where they were.
  @Test func aUsersNumberIsNowhereTwice() {
    func failure(_ seed: UInt64, _ faults: Faults = Faults()) -> String? {
      let simulation = Simulation(seed: seed, faults: faults, isNumbered: true)
      do {
        _ = try simulation.run()
        return nil
      } catch {
        return "seed \(seed): \(error)"
      }
    }
    let failures = (UInt64(1)...(environment("SQUALL_SEEDS") ?? 300)).compactMap { failure($0) }
    #expect(failures.isEmpty, "\(failures.prefix(5).joined(separator: "\n"))")
    // A simulator that never saw it is no evidence.
    var careless = Faults()
    careless.keepsMovedNumbers = true
    let seen = (UInt64(1)...40).compactMap { failure($0, careless) }
    #expect(seen.contains { $0.contains("is at two places") }, "\(seen.prefix(3))")
  }

  @Test(arguments: [3, 14, 159, 2653] as [UInt64])
  func oneSeedIsOneRun(seed: UInt64) {
    let runs = (0..<2).map { _ in
      let simulation = Simulation(seed: seed)
      _ = try? simulation.run()
      return (simulation.eventHash, simulation.eventCount)
    }
    #expect(runs[0] == runs[1])
    #expect(runs[0].1 > 100)
  }
}
