import SquallCluster
import SquallLoad
import Testing

/// Shares add up to the plan.
@Suite struct DealTests {
  @Test(arguments: UInt64(1)...200)
  func sharesAddUpToThePlanInProportionToWorkers(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var plan = testPlan(connections: UInt32.random(in: 1...5_000, using: &random))
    let workers = Int.random(in: 1...300, using: &random)
    let requests = UInt64.random(in: 0...1_000_000, using: &random)
    plan.requestCount = 1_000_000
    func deal() -> [Share] {
      Deal.shares(of: plan, over: workers, requestsLeft: requests, epoch: 3, fromNs: 9)
    }
    let shares = deal()
    #expect(shares.count == workers, "seed \(seed)")
    #expect(shares == deal(), "seed \(seed): the same again")
    let taking = shares.filter { !$0.isIdle }
    #expect(taking.count == min(workers, Int(plan.connections.count)), "seed \(seed)")
    #expect(taking.map(\.position) == (0..<UInt32(taking.count)).map { $0 }, "seed \(seed)")
    #expect(taking.allSatisfy { $0.workerCount == taking.count }, "seed \(seed)")
    #expect(taking.reduce(0) { $0 + $1.connections } == plan.connections.count, "seed \(seed)")
    #expect(taking.reduce(0) { $0 + $1.requestQuota } == requests, "seed \(seed)")
    // One worker is one CPU: each has the same, to the remainder.
    let connections = taking.map(\.connections)
    #expect(connections.max()! - connections.min()! <= 1, "seed \(seed)")
    let quotas = taking.map(\.requestQuota)
    #expect(quotas.max()! - quotas.min()! <= 1, "seed \(seed)")
  }

  /// Over any sequence of deals, each with any number of workers: every instant of the schedule is
  /// due at exactly one worker.
  @Test(arguments: UInt64(1)...40)
  func theUnionOfTheSharesSchedulesIsThePlansSchedule(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let schedule = Schedule(
      startHz: Double.random(in: 50...500, using: &random),
      stages: [
        .init(durationNs: 3 * second, endHz: Double.random(in: 50...2_000, using: &random))
      ],
      arrival: Bool.random(using: &random) ? .uniform : .poisson, seed: seed)
    var plan = testPlan(connections: 1_000)
    plan.load = .open(schedule)
    let endNs = 5 * second
    var fromNs: UInt64 = 0
    var due: [UInt64] = []
    var epoch: UInt32 = 0
    while fromNs < endNs {
      epoch += 1
      let untilNs = min(endNs, fromNs + UInt64.random(in: 1...2_000, using: &random) * millisecond)
      let workers = Int.random(in: 1...9, using: &random)
      for share in Deal.shares(
        of: plan, over: workers, requestsLeft: .max, epoch: epoch, fromNs: fromNs)
      {
        var pacer = Pacer(load: plan.load, share: share, endNs: untilNs)
        while let dueNs = pacer.take(nowNs: untilNs) { due.append(dueNs) }
      }
      fromNs = untilNs
    }
    let count = schedule.firstIndex(atOrAfterNs: endNs)
    #expect(due.sorted() == (0..<count).map { schedule.offsetNs(index: $0) }, "seed \(seed)")
  }

  @Test func workersHaveOneOrderThatDependsOnTheirNamesOnly() {
    var random = SplitMix64(seed: 4)
    let names = (0..<50).map { _ in
      Incarnation(
        agent: UInt64.random(in: 0...3, using: &random),
        worker: UInt16.random(in: 0...3, using: &random),
        life: UInt64.random(in: 0...3, using: &random))
    }
    let sorted = Array(Set(names)).sorted { $0.precedes($1) }
    #expect(sorted == Array(Set(names)).shuffled(using: &random).sorted { $0.precedes($1) })
    for (one, next) in zip(sorted, sorted.dropFirst()) {
      #expect(one.precedes(next) && !next.precedes(one))
    }
  }
}
