import SquallLoad
import SquallReport
import Testing

struct ComparisonTests {
  /// A result with given values where a comparison looks.
  private func run(
    rate: Double = 10_000, p99: UInt64 = 1_000_000, cpu: Double = 0.4, errors: UInt64 = 0
  ) -> RunResult {
    var result = RunResult()
    result.measuredNs = 1_000_000_000
    result.rate.okPerS = rate
    result.rate.completedPerS = rate
    result.requests.ok = UInt64(rate)
    result.requests.notOk = errors
    var summary = LatencySummary()
    summary.count = 1
    summary.mean = p99 / 2
    summary.p50 = p99 / 3
    summary.p90 = p99 / 2
    summary.p95 = p99 / 2
    summary.p99 = p99
    summary.p999 = p99 * 2
    result.latency.response = summary
    result.latency.service = summary
    var worker = RunResult.Worker()
    worker.cpuUserNs = UInt64(cpu * 1e9)
    result.workers = [worker]
    return result
  }

  /// A factor around 1 with the given standard deviation of its logarithm, or so.
  private func noise(_ deviation: Double, _ random: inout SplitMix64) -> Double {
    var sum = 0.0
    for _ in 0..<12 { sum += Double.random(in: -0.5...0.5, using: &random) }
    return 1 + deviation * sum
  }

  private func row(_ comparison: Comparison, _ metric: Objective.Metric) -> Comparison.Row? {
    comparison.rows.first { $0.metric == metric }
  }

  @Test(arguments: [2, 3, 5, 6, 10, 20])
  func runsOfTheSameAreCalledDifferentAtMostOnceInTwenty(pairs: Int) {
    var random = SplitMix64(seed: UInt64(pairs))
    var alarms = 0
    var rows = 0
    for trial in 0..<150 {
      func side() -> [RunResult] {
        (0..<pairs).map { _ in
          // One run in ten meets a disturbance.
          let disturbance = Int.random(in: 0..<10, using: &random) == 0 ? 1.3 : 1
          return run(
            rate: 10_000 * noise(0.05, &random) / disturbance,
            p99: UInt64(1e6 * noise(0.2, &random) * disturbance),
            cpu: 0.4 * noise(0.03, &random) * disturbance)
        }
      }
      let comparison = Comparison(baseline: side(), candidate: side(), seed: UInt64(trial))
      for metric in [Objective.Metric.rate, .cpu, .quantile(0.99, .service)] {
        rows += 1
        let verdict = row(comparison, metric)?.verdict
        if verdict == .better || verdict == .worse { alarms += 1 }
      }
    }
    // 5 % and two standard errors of 450 trials.
    #expect(Double(alarms) / Double(rows) <= 0.05 + 2 * (0.05 * 0.95 / Double(rows)).squareRoot())
  }

  @Test func aDifferenceOfFivePercentIsFoundWithTenPairs() {
    var random = SplitMix64(seed: 77)
    var found = 0
    for trial in 0..<100 {
      let baseline = (0..<10).map { _ in run(cpu: 0.4 * noise(0.03, &random)) }
      let candidate = (0..<10).map { _ in run(cpu: 0.42 * noise(0.03, &random)) }
      let comparison = Comparison(baseline: baseline, candidate: candidate, seed: UInt64(trial))
      if row(comparison, .cpu)?.verdict == .worse { found += 1 }
    }
    #expect(found >= 80)
  }

  @Test func theDirectionOfEachMetricIsKnown() {
    let slow = (0..<6).map { run(rate: 9000 + Double($0), p99: 2_000_000, cpu: 0.5) }
    let fast = (0..<6).map { run(rate: 10_000 + Double($0), p99: 1_000_000, cpu: 0.4) }
    let comparison = Comparison(baseline: slow, candidate: fast)
    #expect(comparison.method == .paired)
    for metric in [Objective.Metric.rate, .cpu, .quantile(0.99, .service), .mean(.service)] {
      #expect(row(comparison, metric)?.verdict == .better, "\(metric.name)")
    }
    let rate = row(comparison, .rate)
    #expect(abs((rate?.change ?? 0) - 1.0 / 9) < 0.001)
    let back = Comparison(baseline: fast, candidate: slow)
    #expect(row(back, .cpu)?.verdict == .worse)
    #expect(row(back, .rate)?.verdict == .worse)
  }

  @Test func errorsAreComparedByTheirDifference() {
    let clean = (0..<6).map { _ in run() }
    let failing = (0..<6).map { run(errors: UInt64(100 + $0)) }
    let comparison = Comparison(baseline: clean, candidate: failing)
    let errors = row(comparison, .errors)
    #expect(errors?.verdict == .worse)
    #expect(abs((errors?.change ?? 0) - 0.0101) < 0.0005)
    #expect(row(Comparison(baseline: clean, candidate: clean), .errors)?.verdict == .noDifference)
  }

  @Test func plansThatDifferAreNamedAndNotCompared() {
    var other = (0..<6).map { run(rate: 20_000 + Double($0)) }
    for index in other.indices { other[index].plan.connections = 64 }
    let runs = (0..<6).map { run(rate: 10_000 + Double($0)) }
    let comparison = Comparison(baseline: runs, candidate: other)
    #expect(comparison.planDifferences == ["connections: 0 and 64"])
    #expect(comparison.rows.allSatisfy { $0.verdict == .notComparable })
    let asked = Comparison(baseline: runs, candidate: other, acceptsPlanDifferences: true)
    #expect(row(asked, .rate)?.verdict == .better)
  }

  @Test func twoTargetsAreTheSamePlan() {
    var other = run()
    other.plan.url = "http://other/"
    other.plan.destinations = ["other:80"]
    other.plan.seed = 5
    #expect(Comparison(baseline: [run()], candidate: [other]).planDifferences == [])
  }

  @Test func unequalNumbersOfRunsAreNotPaired() {
    let left = (0..<5).map { run(rate: 10_000 + Double($0) * 10) }
    let right = (0..<8).map { run(rate: 12_000 + Double($0) * 10) }
    let comparison = Comparison(baseline: left, candidate: right)
    #expect(comparison.method == .unpaired)
    #expect(row(comparison, .rate)?.verdict == .better)
  }

  @Test func oneRunASideClaimsOnlyWhatExceedsUsualNoise() {
    func single(_ serviceNs: UInt64, perSecond: Int) -> RunResult {
      var sample = SampleRun(serviceNs: serviceNs)
      sample.plan.times.durationNs = 10_000_000_000
      sample.batches = []
      for worker in 0..<2 as Range<UInt16> {
        for second in 0..<10 as Range<UInt32> {
          sample.batches.append(
            LoadSample.batch(
              LoadSample.incarnation(worker: worker), sequence: second, interval: second,
              service: (0..<perSecond).map { serviceNs + UInt64($0) * 10 }))
        }
      }
      return sample.result()
    }
    let base = single(1_000_000, perSecond: 1000)
    let near = Comparison(baseline: [base], candidate: [single(1_030_000, perSecond: 970)])
    #expect(near.method == .single)
    #expect(row(near, .rate)?.verdict == .noDifference)
    #expect(row(near, .quantile(0.5, .service))?.verdict == .noDifference)
    #expect(near.cautions.contains { $0.contains("--repeat") })
    let far = Comparison(baseline: [base], candidate: [single(2_000_000, perSecond: 500)])
    #expect(row(far, .rate)?.verdict == .worse)
    #expect(row(far, .quantile(0.99, .service))?.verdict == .worse)
    #expect(row(far, .cpu)?.verdict == .worse)
  }

  @Test func aRunOfOneIntervalShowsOnlyWhatIsLarge() {
    func short(_ serviceNs: UInt64) -> RunResult {
      var sample = SampleRun(serviceNs: serviceNs)
      sample.batches.removeAll { $0.firstInterval > 0 }
      return sample.result()
    }
    let base = short(1_000_000)
    #expect(
      row(Comparison(baseline: [base], candidate: [short(1_150_000)]), .mean(.service))?.verdict
        == .noDifference)
    #expect(
      row(Comparison(baseline: [base], candidate: [short(2_000_000)]), .mean(.service))?.verdict
        == .worse)
  }

  @Test func runsThatAreNotValidAreNamed() {
    var bad = run()
    bad.interrupted = true
    bad.verdict.saturated = true
    bad.verdict.incomplete = true
    let cautions = Comparison(baseline: [run(), run()], candidate: [bad, run()]).cautions
    #expect(cautions.contains("1 of 2 candidate runs interrupted"))
    #expect(cautions.contains { $0.contains("saturated generator") })
    #expect(cautions.contains { $0.contains("counts are missing") })
  }

  @Test func aRunWithoutAnswersIsNotComparable() {
    let comparison = Comparison(
      baseline: [run(), run()], candidate: [RunResult(), RunResult()])
    #expect(row(comparison, .quantile(0.99, .service))?.verdict == .notComparable)
    #expect(row(comparison, .rate)?.verdict == .notComparable)
  }

  @Test func theTableFitsAndTheJSONHasEveryRow() throws {
    let slow = (0..<6).map { run(rate: 9_123_456 + Double($0), p99: 2_123_456_789, cpu: 0.5) }
    let fast = (0..<6).map { run(rate: 10_000_000 + Double($0), p99: 1_000_000, cpu: 0.4) }
    let comparison = Comparison(baseline: slow, candidate: fast)
    let text = comparison.text(baseline: "a.json\u{1b}[2J", candidate: "b.json")
    #expect(text.split(separator: "\n").allSatisfy { $0.count <= 84 })
    #expect(!text.contains("\u{1b}"))
    #expect(text.contains("better"))
    guard case .array(let rows) = comparison.json["metrics"] else { return }
    #expect(rows.count == comparison.rows.count)
    #expect(throws: Never.self) { try JSONValue(text: comparison.json.indentedText) }
  }
}

struct RegressionTests {
  private func comparison(_ change: Double, _ verdict: Comparison.Verdict) -> Comparison {
    var comparison = Comparison(baseline: [RunResult()], candidate: [RunResult()])
    comparison.rows.removeLast(comparison.rows.count - 1)
    comparison.rows[0].metric = .quantile(0.99, .response)
    comparison.rows[0].change = change
    comparison.rows[0].verdict = verdict
    return comparison
  }

  @Test func aShownChangeBeyondTheLimitFails() throws {
    let regression = try #require(try Regression.list("p99>+5%").first)
    #expect(regression.limit == 0.05)
    #expect(regression.isShown(by: comparison(0.06, .worse)) == true)
    #expect(regression.isShown(by: comparison(0.04, .worse)) == false)
    #expect(regression.isShown(by: comparison(0.06, .noDifference)) == false)
    #expect(regression.isShown(by: comparison(0.06, .notComparable)) == nil)
    #expect(try Regression.list("rate<-3%")[0].isShown(by: comparison(1, .worse)) == nil)
  }

  @Test func aListHasSeveral() throws {
    let list = try Regression.list("p99.9(service) > 10%, rate<-3%,errors>+0.1%,cpu>+2.5%")
    #expect(list.map(\.metric) == [.quantile(0.999, .service), .rate, .errors, .cpu])
    #expect(list.map(\.comparison) == [.above, .below, .above, .above])
    #expect(list.map { ($0.limit * 10_000).rounded() } == [1000, -300, 10, 250])
  }

  @Test(arguments: [
    ("", 1), ("p99", 4), ("p99>", 5), ("p99>5", 6), ("p99>+", 6), ("p99=5%", 4), ("p99>5%,", 8),
    ("p99>5ms", 6), ("speed>5%", 1),
  ])
  func aBadOneNamesTheColumn(text: String, column: Int) {
    let misspelt = #expect(throws: Misspelt.self) { try Regression.list(text) }
    #expect(misspelt?.column == column)
  }
}
