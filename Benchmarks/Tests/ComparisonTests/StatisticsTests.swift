import Comparison
import Testing

struct StatisticsTests {
  @Test func medianIsTheMiddleOrTheMeanOfTheTwoThere() {
    #expect(median([]) == nil)
    #expect(median([3]) == 3)
    #expect(median([9, 1, 5]) == 5)
    #expect(median([4, 1, 3, 2]) == 2.5)
  }

  @Test func quantileIsAMeasuredValue() {
    let values = (1...1_000).map(Double.init)
    #expect(quantile(values, 0.5) == 500)
    #expect(quantile(values, 0.99) == 990)
    #expect(quantile(values, 0.999) == 999)
    #expect(quantile(values, 0) == 1)
    #expect(quantile(values, 1) == 1_000)
    #expect(quantile([], 0.5) == nil)
  }

  @Test func aRatioIsOfRoundsThatHaveBoth() throws {
    let ratio = try #require(
      pairedRatio(of: [0: 2, 1: 30, 3: 8], to: [0: 1, 1: 10, 2: 5], seed: 1))
    #expect(ratio.pairCount == 2)
    #expect(ratio.value == 2.5)
    #expect(pairedRatio(of: [0: 1], to: [1: 1], seed: 1) == nil)
    #expect(pairedRatio(of: [0: 1], to: [0: 0], seed: 1) == nil)
  }

  @Test func whatSlowsBothSidesLeavesTheRatioAlone() throws {
    // Rounds five times apart in speed, the same ratio in each.
    let reference: [Int: Double] = [0: 4, 1: 20, 2: 6, 3: 11, 4: 5]
    let subject = reference.mapValues { $0 * 1.25 }
    let ratio = try #require(pairedRatio(of: subject, to: reference, seed: 7))
    #expect(ratio.value == 1.25)
    #expect(ratio.low == 1.25)
    #expect(ratio.high == 1.25)
  }

  @Test func theSameSeedGivesTheSameInterval() {
    let subject: [Int: Double] = [0: 1.1, 1: 0.9, 2: 1.3, 3: 1.0, 4: 1.2]
    let reference: [Int: Double] = [0: 1, 1: 1, 2: 1, 3: 1, 4: 1]
    let first = pairedRatio(of: subject, to: reference, seed: 42)
    #expect(first == pairedRatio(of: subject, to: reference, seed: 42))
  }

  /// The interval must hold the truth about as often as it says: of 200 experiments of ten rounds
  /// each with a true ratio of 1.2, at least 85 % (the percentile bootstrap is a little short of
  /// its 95 % with so few rounds).
  @Test func theIntervalHoldsTheTrueRatio() throws {
    let seed: UInt64 = 20_261_121
    var random = SplitMix64(seed: seed)
    var held = 0
    for _ in 0..<200 {
      var subject: [Int: Double] = [:]
      var reference: [Int: Double] = [:]
      for round in 0..<10 {
        let speed = Double.random(in: 0.5...2, using: &random)
        reference[round] = 10 * speed * Double.random(in: 0.95...1.05, using: &random)
        subject[round] = 12 * speed * Double.random(in: 0.95...1.05, using: &random)
      }
      let ratio = try #require(
        pairedRatio(of: subject, to: reference, seed: random.next(), resampleCount: 400))
      if ratio.low <= 1.2 && 1.2 <= ratio.high { held += 1 }
    }
    #expect(held >= 170, "seed \(seed)")
    #expect(held < 200, "an interval that never misses says nothing; seed \(seed)")
  }
}

struct PacingTests {
  /// Arrivals at the rate given, shifted by a constant, with the error given to each.
  private func arrivals(_ errorsNs: [Int]) -> [UInt64] {
    errorsNs.enumerated().map { UInt64(1_000_000_000 + $0 * 100_000 + $1) }
  }

  @Test func aConstantDelayIsNoError() throws {
    let pacing = try #require(
      Pacing(arrivalsNs: arrivals(Array(repeating: 77_000, count: 1_000)), rateHz: 10_000))
    #expect(pacing.errorNsMax == 0)
    #expect(pacing.burstShare == 0)
    #expect(abs(pacing.achievedHz - 10_000) < 0.001)
  }

  @Test func lateArrivalsAreErrorsOfTheirLateness() throws {
    // Every hundredth arrival is 30 us late.
    let pacing = try #require(
      Pacing(arrivalsNs: arrivals((0..<1_000).map { $0 % 100 == 50 ? 30_000 : 0 }), rateHz: 10_000))
    #expect(pacing.errorNsP50 == 0)
    #expect(pacing.errorNsP99 == 0)
    #expect(pacing.errorNsP999 == 30_000)
    #expect(pacing.errorNsMax == 30_000)
  }

  @Test func burstsAreSeenAsBursts() throws {
    // Ten at once each millisecond: the mean rate is right and nothing else.
    let stamps = (0..<1_000).map { (index: Int) -> UInt64 in
      UInt64(1_000_000_000 + index / 10 * 1_000_000 + index % 10)
    }
    let pacing = try #require(Pacing(arrivalsNs: stamps, rateHz: 10_000))
    #expect(pacing.burstShare > 0.89)
    #expect(pacing.errorNsP50 > 200_000)
  }

  @Test func aWrongRateIsAnErrorThatGrows() throws {
    let stamps = (0..<1_000).map { (index: Int) -> UInt64 in
      UInt64(1_000_000_000 + index * 101_000)
    }
    let pacing = try #require(Pacing(arrivalsNs: stamps, rateHz: 10_000))
    #expect(pacing.errorNsMax > 450_000)
    #expect(pacing.achievedHz < 9_950)
  }

  @Test func tooFewArrivalsSayNothing() {
    #expect(Pacing(arrivalsNs: [], rateHz: 1_000) == nil)
    #expect(Pacing(arrivalsNs: [1, 2, 3], rateHz: 1_000) == nil)
    #expect(Pacing(arrivalsNs: Array(repeating: 5, count: 50), rateHz: 1_000) == nil)
  }
}
