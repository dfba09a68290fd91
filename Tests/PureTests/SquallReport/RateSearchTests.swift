import SquallLoad
import SquallReport
import Testing

struct RateSearchTests {
  /// A target with one server: response time grows as 1 / (1 - load) and beyond the limit without end.
  private func measure(
    _ step: RateSearch.Step, limitHz: Double, generatorHz: Double = .infinity, noise: Double = 0,
    _ random: inout SplitMix64
  ) throws -> RateSearch.Measurement {
    var result = RunResult()
    let limit = limitHz * (1 + (noise == 0 ? 0 : Double.random(in: -noise...noise, using: &random)))
    let load = step.rateHz / limit
    let p99 = load < 1 ? min(1e9, 1e6 / (1 - load)) : 1e9 * load
    result.latency.response.count = 1
    result.latency.response.p99 = UInt64(p99)
    result.requests.ok = UInt64(min(step.rateHz, limit))
    result.rate.okPerS = min(step.rateHz, limit, generatorHz)
    result.rate.achievedRatio = min(1, generatorHz / step.rateHz)
    result.verdict.saturated = step.rateHz > generatorHz
    if step.rateHz > generatorHz { result.verdict.reasons = ["it was late"] }
    result.slo = try Objective.list("p99<100ms").map { $0.outcome(of: result) }
    return RateSearch.Measurement(result, step: step)
  }

  private func search(
    limitHz: Double, generatorHz: Double = .infinity, noise: Double = 0, seed: UInt64 = 1,
    options: RateSearch.Options = .init()
  ) throws -> RateSearch {
    var random = SplitMix64(seed: seed)
    var search = RateSearch(options: options)
    while let step = search.step {
      search.measured(
        try measure(step, limitHz: limitHz, generatorHz: generatorHz, noise: noise, &random))
    }
    return search
  }

  /// p99 is 100 ms at 99 % of the limit.
  @Test(arguments: [3.0, 47, 200, 999, 1000, 1001, 5000, 80_000, 1_234_567])
  func theLimitIsFoundWithinThreePercentAndAMinute(limitHz: Double) throws {
    let search = try search(limitHz: limitHz)
    let outcome = try #require(search.outcome)
    let rate = try #require(outcome.rateHz)
    #expect(rate < limitHz && rate > limitHz * 0.97)
    #expect(outcome.isConfirmed)
    #expect(outcome.limit == .objective("p99<100ms"))
    let seconds = search.measurements.reduce(0.0) { $0 + ($1.isConfirming ? 5.5 : 2.5) }
    #expect(seconds <= 60, "\(search.measurements.map(\.rateHz))")
  }

  @Test(arguments: UInt64(0)..<20)
  func aNoisyLimitIsFoundAllTheSame(seed: UInt64) throws {
    let search = try search(limitHz: 20_000, noise: 0.02, seed: seed)
    let rate = try #require(search.outcome?.rateHz)
    #expect(rate > 18_500 && rate < 20_500, "seed \(seed): \(rate)")
  }

  @Test func theGeneratorsOwnLimitIsSaid() throws {
    let search = try search(limitHz: 1e6, generatorHz: 30_000)
    let outcome = try #require(search.outcome)
    #expect(outcome.limit == .generator("it was late"))
    #expect(abs((outcome.rateHz ?? 0) / 30_000 - 1) < 0.03)
    #expect(search.text.contains("The generator reached its own limit"))
    #expect(search.text.contains("it was late"))
  }

  /// Lateness is in the response times already: a rate that meets its objectives all the same is met.
  @Test func aLateGeneratorThatMeetsTheObjectivesHasNotFoundALimit() throws {
    var random = SplitMix64(seed: 1)
    var search = RateSearch(options: .init())
    while let step = search.step {
      var measurement = try measure(step, limitHz: 20_000, &random)
      measurement.saturated = true
      search.measured(measurement)
    }
    #expect(abs((search.outcome?.rateHz ?? 0) / 20_000 - 1) < 0.03)
  }

  @Test func aTargetThatMeetsNothingIsSaid() throws {
    let search = try search(limitHz: 0.5)
    #expect(search.outcome?.rateHz == nil)
    #expect(search.outcome?.isConfirmed == false)
    #expect(search.outcome?.limit == .nothingPasses)
    #expect(search.text.hasPrefix("Not even the lowest rate"))
    #expect(search.measurements.count < 12)
  }

  @Test func theRangesEndIsAnOutcome() throws {
    var options = RateSearch.Options()
    options.endHz = 5000
    let search = try search(limitHz: 1e6, options: options)
    #expect(search.outcome?.rateHz == 5000)
    #expect(search.outcome?.isConfirmed == true)
    #expect(search.outcome?.limit == .end)
    #expect(search.measurements.map(\.rateHz) == [1000, 2000, 4000, 5000, 5000])
  }

  @Test func stepsAreLimited() throws {
    var options = RateSearch.Options()
    options.stepCountMax = 4
    let search = try search(limitHz: 1e6, options: options)
    #expect(search.outcome?.rateHz == 8000)
    #expect(search.outcome?.isConfirmed == false)
    #expect(search.outcome?.limit == .stepCount)
  }

  @Test func aConfirmingRunIsLongerAndARateThatFailsItIsLowered() throws {
    var random = SplitMix64(seed: 1)
    var search = RateSearch(options: .init())
    var confirmations: [Double] = []
    while let step = search.step {
      #expect(step.measureNs == (step.isConfirming ? 5_000_000_000 : 2_000_000_000))
      if step.isConfirming { confirmations.append(step.rateHz) }
      let limit = step.isConfirming ? 9000.0 : 10_000
      search.measured(try measure(step, limitHz: limit, &random))
    }
    #expect(confirmations.count > 1)
    #expect(confirmations == confirmations.sorted(by: >))
    #expect(search.outcome?.isConfirmed == true)
    #expect((search.outcome?.rateHz ?? 0) < 9000)
  }

  @Test func theOutputsHaveEveryStep() throws {
    let search = try search(limitHz: 20_000)
    let lines = search.text.split(separator: "\n")
    #expect(lines.allSatisfy { $0.count <= 90 })
    #expect(lines.contains { $0.contains("confirming run") })
    #expect(search.text.contains("x") && search.text.contains("o"))
    #expect(search.csv.split(separator: "\n").count == search.measurements.count + 1)
    #expect(search.json["confirmed"] == .bool(true))
  }
}
