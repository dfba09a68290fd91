import SquallLoad
import Testing

struct ScheduleTests {
  private static let second: UInt64 = 1_000_000_000

  struct Row: Sendable, CustomTestStringConvertible {
    var sentence: String
    var schedule: Schedule
    var index: UInt64
    var offsetNs: UInt64
    var testDescription: String { sentence }
  }

  private static func stages(_ startHz: Double, _ stages: (UInt64, Double)...) -> Schedule {
    Schedule(startHz: startHz, stages: stages.map { .init(durationNs: $0.0, endHz: $0.1) })
  }

  @Test(arguments: [
    Row(
      sentence: "The first request is due at the start", schedule: Schedule(startHz: 1000),
      index: 0, offsetNs: 0),
    Row(
      sentence: "At 1,000/s the second comes after a millisecond",
      schedule: Schedule(startHz: 1000), index: 1, offsetNs: 1_000_000),
    Row(
      sentence: "At 3/s the third of a second is rounded to the nearest nanosecond",
      schedule: Schedule(startHz: 3), index: 1, offsetNs: 333_333_333),
    Row(
      sentence: "and two thirds as well",
      schedule: Schedule(startHz: 3), index: 2, offsetNs: 666_666_667),
    Row(
      sentence: "At 10,000/s request 10^9 is due after 100,000 s to the nanosecond",
      schedule: Schedule(startHz: 10_000), index: 1_000_000_000, offsetNs: 100_000_000_000_000),
    Row(
      sentence: "and its neighbour 100 us later",
      schedule: Schedule(startHz: 10_000), index: 1_000_000_001, offsetNs: 100_000_000_100_000),
    Row(
      sentence: "At a rate that no power of two divides, request 10^9 is right to the nanosecond",
      schedule: Schedule(startHz: 70_000), index: 1_000_000_000, offsetNs: 14_285_714_285_714),
    Row(
      sentence: "At 0.5/s a request comes every two seconds",
      schedule: Schedule(startHz: 0.5), index: 3, offsetNs: 6 * second),
    Row(
      sentence: "At rate zero nothing is ever due", schedule: Schedule(startHz: 0), index: 0,
      offsetNs: .max),
    Row(
      sentence: "A negative rate counts as zero", schedule: Schedule(startHz: -5), index: 0,
      offsetNs: .max),
    Row(
      sentence: "A rate that is no number counts as zero", schedule: Schedule(startHz: .nan),
      index: 0, offsetNs: .max),
    Row(
      sentence: "A ramp from 0 to 100/s over 10 s gives 2 requests by 632 ms (t = sqrt(2 n / a))",
      schedule: stages(0, (10 * second, 100)), index: 2, offsetNs: 632_455_532),
    Row(
      sentence: "and 500 in its 10 s, so that index 500 opens the time after it",
      schedule: stages(0, (10 * second, 100)), index: 500, offsetNs: 10 * second),
    Row(
      sentence: "after which its last rate goes on",
      schedule: stages(0, (10 * second, 100)), index: 600, offsetNs: 11 * second),
    Row(
      sentence: "A ramp from 100/s to 200/s in 1 s is at n requests by sqrt(1 + n/50) - 1 s",
      schedule: stages(100, (second, 200)), index: 112, offsetNs: 800_000_000),
    Row(
      sentence: "A ramp down from 100/s to 0 in 2 s has 75 requests in its first second",
      schedule: stages(100, (2 * second, 0)), index: 75, offsetNs: second),
    Row(
      sentence: "its last request is due 141 ms before its end",
      schedule: stages(100, (2 * second, 0)), index: 99, offsetNs: 1_800_000_000),
    Row(
      sentence: "and the one at the edge is due never",
      schedule: stages(100, (2 * second, 0)), index: 100, offsetNs: .max),
    Row(
      sentence: "A stage of rate zero keeps the request at its edge for the next stage",
      schedule: stages(10, (second, 10), (0, 0), (5 * second, 0), (0, 10)), index: 10,
      offsetNs: 6 * second),
    Row(
      sentence: "A start at rate zero waits for the first stage with a rate",
      schedule: stages(0, (3 * second, 0), (0, 10)), index: 0, offsetNs: 3 * second),
    Row(
      sentence: "A stage without duration is a jump",
      schedule: stages(10, (second, 10), (0, 1000)), index: 11, offsetNs: 1_001_000_000),
    Row(
      sentence: "Stages add up: 10 s at 100/s, then 10 s up to 300/s, then 300/s",
      schedule: stages(100, (10 * second, 100), (10 * second, 300)), index: 3300,
      offsetNs: 21 * second),
    Row(
      sentence: "A schedule longer than time ends in never", schedule: Schedule(startHz: 1e-12),
      index: 1, offsetNs: .max),
  ])
  func offsets(row: Row) {
    #expect(row.schedule.offsetNs(index: row.index) == row.offsetNs)
  }

  /// Forward and back: the area under the curve at an offset is the index, within what half a nanosecond
  /// of rounding makes.
  @Test(arguments: [
    stages(50_000), stages(0, (60 * second, 100_000)), stages(100_000, (60 * second, 1)),
    stages(10, (second, 500), (7 * second, 500), (30 * second, 20_000), (second, 3)),
  ])
  func theCurveAtAnOffsetIsTheIndex(schedule: Schedule) {
    var before: UInt64 = 0
    for index in stride(from: UInt64(0), through: 1_500_000, by: 977) {
      let offsetNs = schedule.offsetNs(index: index)
      guard offsetNs != .max else { continue }
      let rate = max(schedule.rateHz(atNs: offsetNs), 1)
      let error = abs(schedule.expectedCount(beforeNs: offsetNs) - Double(index))
      #expect(error <= rate * 1e-9 + Double(index) * 1e-12, "index \(index)")
      #expect(offsetNs >= before)
      before = offsetNs
    }
  }

  @Test(arguments: [
    Schedule(startHz: 12_345.678), stages(0, (20 * second, 1000)), stages(1000, (3 * second, 0)),
    stages(100, (second, 0), (second, 0), (second, 5000)),
    Schedule(startHz: 1000, arrival: .poisson, seed: 7),
    Schedule(
      startHz: 10, stages: [.init(durationNs: 9 * second, endHz: 900)], arrival: .poisson, seed: 8),
  ])
  func theFirstIndexAtAnInstantIsTheInverseOfItsOffset(schedule: Schedule) {
    for index in [0, 1, 2, 49, 99, 255, 256, 1000, 1499, 1500, 5000] as [UInt64] {
      let offsetNs = schedule.offsetNs(index: index)
      guard offsetNs != .max else { continue }
      #expect(schedule.firstIndex(atOrAfterNs: offsetNs) == index)
      #expect(schedule.firstIndex(atOrAfterNs: offsetNs + 1) == index + 1)
    }
    #expect(schedule.firstIndex(atOrAfterNs: 0) == 0)
  }

  @Test func theNumberOfRequestsOfAnEndedScheduleIsKnownAtTheEndOfTime() {
    #expect(Self.stages(100, (2 * Self.second, 0)).firstIndex(atOrAfterNs: .max) == 100)
    #expect(Schedule(startHz: 0).firstIndex(atOrAfterNs: .max) == 0)
  }

  @Test func aWarmUpHoldsTheStartingRateAndMovesTheStages() {
    let ramp = Self.stages(100, (10 * Self.second, 200))
    let held = ramp.holdingStart(forNs: 5 * Self.second)
    #expect(held.rateHz(atNs: 4 * Self.second) == 100)
    #expect(held.rateHz(atNs: 10 * Self.second) == 150)
    #expect(held.offsetNs(index: 500) == 5 * Self.second)
    #expect(held.offsetNs(index: 500 + 112) == ramp.offsetNs(index: 112) + 5 * Self.second)
  }
}

struct RandomArrivalTests {
  private static func points(_ range: Range<UInt64>, seed: UInt64) -> [Double] {
    var walk = Schedule.Walk(Schedule(startHz: 1e6, arrival: .poisson, seed: seed))
    return range.map { Double(walk.offsetNs(index: $0)) * 1e-3 }
  }

  @Test func theSameSeedGivesTheSameInstantsInAnyOrder() {
    let schedule = Schedule(startHz: 1000, arrival: .poisson, seed: 3)
    let forward = (0..<2000).map { schedule.offsetNs(index: $0) }
    var walk = Schedule.Walk(schedule)
    for index in (0..<2000).reversed() as [Int] {
      #expect(walk.offsetNs(index: UInt64(index)) == forward[index])
    }
    #expect(
      schedule.offsetNs(index: 0)
        != Schedule(startHz: 1000, arrival: .poisson, seed: 4).offsetNs(index: 0))
  }

  /// A million gaps of mean 1: their mean is within 5 standard errors of 1, their variance of 1 and
  /// the largest distance from the exponential distribution below Kolmogorov's 0.1 % limit.
  @Test(arguments: [UInt64(1), 2, 3])
  func gapsAreExponential(seed: UInt64) {
    let points = Self.points(0..<1_000_001, seed: seed)
    var gaps = zip(points.dropFirst(), points).map { $0 - $1 }
    let count = Double(gaps.count)
    let mean = gaps.reduce(0, +) / count
    let variance = gaps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
    #expect(abs(mean - 1) < 5 / count.squareRoot(), "seed \(seed)")
    #expect(abs(variance - 1) < 5 * (8 / count).squareRoot(), "seed \(seed)")

    gaps.sort()
    var distance = 0.0
    for (rank, gap) in gaps.enumerated() {
      let expected = 1 - Self.exponential(-gap)
      distance = max(distance, abs(expected - Double(rank) / count))
      distance = max(distance, abs(Double(rank + 1) / count - expected))
    }
    #expect(distance < 1.95 / count.squareRoot(), "seed \(seed)")
  }

  /// In a Poisson process the number of points in windows of any length has its mean as variance. A
  /// schedule that put a fixed number of requests in each block would show less than that.
  @Test(arguments: [10.0, 1000, 30_000])
  func countsInWindowsVaryAsTheirMean(width: Double) {
    var indices: [Double] = []
    let windows = width > 10_000 ? 400 : 2000
    for seed in UInt64(0)..<(width > 10_000 ? 4 : 2) {
      let schedule = Schedule(startHz: 1e6, arrival: .poisson, seed: 100 + seed)
      var before: UInt64 = 0
      for window in 1...windows {
        let end = schedule.firstIndex(atOrAfterNs: UInt64(Double(window) * width * 1000))
        indices.append(Double(end - before))
        before = end
      }
    }
    let count = Double(indices.count)
    let mean = indices.reduce(0, +) / count
    let variance = indices.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1)
    #expect(abs(mean - width) < 5 * (width / count).squareRoot())
    #expect(abs(variance / width - 1) < 5 * (2 / count).squareRoot())
  }

  @Test func neighbouringGapsAreNotRelated() {
    let points = Self.points(0..<500_001, seed: 9)
    let gaps = zip(points.dropFirst(), points).map { $0 - $1 - 1 }
    for lag in [1, 2, 255, 256, 257] {
      let product = zip(gaps, gaps.dropFirst(lag)).reduce(0) { $0 + $1.0 * $1.1 }
      #expect(abs(product / Double(gaps.count)) < 5 / Double(gaps.count).squareRoot(), "lag \(lag)")
    }
  }

  @Test func theThousandMillionthPointIsWhereChanceMayPutIt() {
    for seed in UInt64(0)..<20 {
      let schedule = Schedule(startHz: 1e4, arrival: .poisson, seed: seed)
      let seconds = Double(schedule.offsetNs(index: 1_000_000_000)) * 1e-9
      #expect(abs(seconds * 1e4 - 1e9) < 5 * 1e9.squareRoot(), "seed \(seed)")
    }
  }

  @Test func arrivalsFollowTheCurve() {
    let schedule = Schedule(
      startHz: 0, stages: [.init(durationNs: 10_000_000_000, endHz: 20_000)], arrival: .poisson)
    let first = Double(schedule.firstIndex(atOrAfterNs: 5_000_000_000))
    let all = Double(schedule.firstIndex(atOrAfterNs: 10_000_000_000))
    #expect(abs(first - 25_000) < 5 * 25_000.squareRoot())
    #expect(abs(all - 100_000) < 5 * 100_000.squareRoot())
  }

  /// By its series: the test has no logarithm or exponential of the code under test.
  private static func exponential(_ x: Double) -> Double {
    let halved = x / 1024
    var term = 1.0
    var sum = 1.0
    for k in 1...8 {
      term *= halved / Double(k)
      sum += term
    }
    for _ in 0..<10 { sum *= sum }
    return sum
  }
}
