internal import SquallLoad

/// The difference between two sides of one or more results each, metric by metric, with a 95 %
/// confidence interval and a verdict.
///
/// - Runs in pairs (as many on each side, two or more; taken in turns): the interval is the bootstrap's
///   of the mean of ln(candidate / baseline); from six pairs on, a sign-flip test must agree before
///   anything is called different, which holds false alarms at 5 % whatever the distribution.
/// - Several runs, not in pairs: the bootstrap's of the difference of means of logarithms.
/// - One run on a side: what its own intervals say, resampled in blocks, and on top of that what runs
///   differ by from one to the next. One run cannot tell that; `runNoise` is assumed.
package struct Comparison: Equatable, Sendable {
  package enum Verdict: String, Equatable, Sendable {
    case better
    case worse
    case noDifference = "no difference"
    case notComparable = "not comparable"
  }

  package struct Row: Equatable, Sendable {
    package var metric: Objective.Metric
    /// Mean over the side's runs: nanoseconds, a share of 1, or per second.
    package var baseline: Double?
    package var candidate: Double?
    /// Candidate / baseline - 1 (of geometric means); of `errors`, candidate - baseline.
    package var change: Double?
    /// 95 % confidence interval of `change`.
    package var low: Double?
    package var high: Double?
    package var verdict: Verdict
  }

  package enum Method: String, Equatable, Sendable {
    case paired
    case unpaired
    case single
  }

  package var method: Method
  package var baselineCount: Int
  package var candidateCount: Int
  /// Differences of the plans that bear on the numbers, in words.
  package var planDifferences: [String]
  /// What else a reader must know.
  package var cautions: [String]
  package var rows: [Row]

  /// What is assumed of a metric's standard deviation from run to run, of its value, where a side has
  /// a single run.
  package static func runNoise(_ metric: Objective.Metric) -> Double {
    switch metric {
    case .rate, .cpu: 0.05
    case .mean: 0.07
    case .quantile(let fraction, _): fraction <= 0.5 ? 0.07 : fraction <= 0.95 ? 0.1 : 0.2
    case .max: 0.5
    case .errors: 0.3
    }
  }

  /// Runs that both sides have at least this many pairs of are tested by flipping signs.
  package static let signFlipPairCountMin = 6

  /// Compares two sides, each not empty. Where plans differ in what bears on the numbers, nothing is
  /// comparable, unless `acceptsPlanDifferences`: the difference is then what is measured.
  package init(
    baseline: [RunResult], candidate: [RunResult], acceptsPlanDifferences: Bool = false,
    seed: UInt64 = 1
  ) {
    precondition(!baseline.isEmpty && !candidate.isEmpty, "a comparison has two sides")
    method =
      baseline.count < 2 || candidate.count < 2
      ? .single : baseline.count == candidate.count ? .paired : .unpaired
    baselineCount = baseline.count
    candidateCount = candidate.count
    planDifferences = Self.planDifferences(baseline[0], candidate[0])
    cautions = Self.cautions(baseline, candidate)
    rows = []
    let isComparable = planDifferences.isEmpty || acceptsPlanDifferences
    for (number, metric) in Self.metrics(of: baseline[0]).enumerated() {
      var bootstrap = Bootstrap(seed: seed &+ UInt64(number))
      rows.append(row(metric, baseline, candidate, isComparable, &bootstrap))
    }
  }

  /// The metrics that are compared, those of response time only where it is not service time.
  package static func metrics(of result: RunResult) -> [Objective.Metric] {
    var metrics: [Objective.Metric] = [.rate, .cpu, .errors]
    for series in [Objective.Series.response, .service] {
      if series == .response && result.plan.schedule == nil { continue }
      metrics.append(.mean(series))
      for fraction in [0.5, 0.9, 0.95, 0.99, 0.999] { metrics.append(.quantile(fraction, series)) }
    }
    return metrics
  }

  private func row(
    _ metric: Objective.Metric, _ baseline: [RunResult], _ candidate: [RunResult],
    _ isComparable: Bool, _ bootstrap: inout Bootstrap
  ) -> Row {
    var row = Row(metric: metric, verdict: .notComparable)
    let left = baseline.compactMap { Objective.value(of: metric, in: $0) }
    let right = candidate.compactMap { Objective.value(of: metric, in: $0) }
    guard left.count == baseline.count, right.count == candidate.count else { return row }
    row.baseline = left.reduce(0, +) / Double(left.count)
    row.candidate = right.reduce(0, +) / Double(right.count)
    let isShare = metric == .errors
    // Ratios compare what cannot be zero or less; shares are compared by difference.
    guard isShare || (left + right).allSatisfy({ $0 > 0 }) else { return row }
    func scale(_ value: Double) -> Double { isShare ? value : naturalLogarithm(value) }
    let a = left.map(scale)
    let b = right.map(scale)
    let estimate = b.reduce(0, +) / Double(b.count) - a.reduce(0, +) / Double(a.count)

    var interval: ClosedRange<Double>
    var isSignificant = true
    switch method {
    case .paired:
      let differences = zip(a, b).map { $1 - $0 }
      interval = bootstrap.meanInterval(differences)
      if differences.count >= Self.signFlipPairCountMin {
        isSignificant = bootstrap.signFlipProbability(differences) <= 0.05
      }
    case .unpaired:
      interval = bootstrap.differenceInterval(a, b)
    case .single:
      let deviations = [
        deviation(metric, baseline, a, scale, &bootstrap),
        deviation(metric, candidate, b, scale, &bootstrap),
      ]
      guard let first = deviations[0], let second = deviations[1] else { return row }
      let half = 1.959_96 * (first * first + second * second).squareRoot()
      interval = estimate - half...estimate + half
    }
    func unscale(_ value: Double) -> Double { isShare ? value : exponential(value) - 1 }
    row.change = unscale(estimate)
    row.low = unscale(interval.lowerBound)
    row.high = unscale(interval.upperBound)
    guard isComparable else { return row }
    if !isSignificant || interval.contains(0) {
      row.verdict = .noDifference
    } else {
      let isMore = estimate > 0
      row.verdict = isMore == (metric == .rate) ? .better : .worse
    }
    return row
  }

  /// Standard deviation of one side's mean on the metric's scale; nil when a single run is too short to
  /// say.
  private func deviation(
    _ metric: Objective.Metric, _ runs: [RunResult], _ values: [Double],
    _ scale: (Double) -> Double, _ bootstrap: inout Bootstrap
  ) -> Double? {
    guard runs.count == 1 else {
      let mean = values.reduce(0, +) / Double(values.count)
      let square = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)
      let stretch = Bootstrap.studentQuantile(values.count - 1) / 1.959_96
      return (square / Double(values.count)).squareRoot() * stretch
    }
    var noise = Self.runNoise(metric)
    if metric == .errors { noise *= max(values[0], 0.001) }
    let series = IntervalSeries(runs[0], metric)
    // A single interval says nothing of itself: what runs usually differ by has to do for both.
    guard series.count >= 2 else { return noise * 1.4142 }
    guard
      let within = bootstrap.blockDeviation(
        count: series.count,
        statistic: { picks in
          series.value(picks).flatMap { metric == .errors || $0 > 0 ? scale($0) : nil }
        })
    else { return nil }
    return (within * within + noise * noise).squareRoot()
  }

  /// Differences of two plans that bear on the numbers. Where requests go and how long they are sent
  /// does not: two targets are what is compared most.
  package static func planDifferences(_ left: RunResult, _ right: RunResult) -> [String] {
    var differences: [String] = []
    func compare<Value: Equatable>(
      _ name: String, _ path: KeyPath<PlanSummary, Value>, _ text: (Value) -> String
    ) {
      let values = (left.plan[keyPath: path], right.plan[keyPath: path])
      guard values.0 != values.1 else { return }
      differences.append("\(name): \(text(values.0)) and \(text(values.1))")
    }
    compare("load", \.schedule) { $0.map(text) ?? "closed loop" }
    compare("connections", \.connections) { String($0) }
    compare("pipeline", \.pipeline) { String($0) }
    compare("streams", \.streams) { $0.map(String.init) ?? "none" }
    compare("requests per connection", \.requestsPerConnection) { $0 == 0 ? "any" : String($0) }
    compare("method", \.method) { $0 }
    compare("number of endpoints", \.endpoints.count) { String($0) }
    compare("timeout", \.timeoutNs, Figures.plainDuration)
    compare("deadline", \.deadlineNs) { $0.map(Figures.plainDuration) ?? "none" }
    compare("requests in flight at most", \.maxInFlight) { $0.map { String($0) } ?? "any" }
    compare("spin", \.spin) { $0 ? "on" : "off" }
    return differences
  }

  private static func text(_ schedule: PlanSummary.Schedule) -> String {
    var text = Figures.short(schedule.startPerS) + "/s"
    for stage in schedule.stages {
      text += ", \(Figures.plainDuration(stage.durationNs)) to \(Figures.short(stage.endPerS))/s"
    }
    return text + (schedule.arrival == "uniform" ? "" : " \(schedule.arrival)")
  }

  private static func cautions(_ baseline: [RunResult], _ candidate: [RunResult]) -> [String] {
    var cautions: [String] = []
    for (side, runs) in [("baseline", baseline), ("candidate", candidate)] {
      func count(_ sentence: String, _ isTrue: (RunResult) -> Bool) {
        let number = runs.count(where: isTrue)
        if number > 0 { cautions.append("\(number) of \(runs.count) \(side) runs \(sentence)") }
      }
      count("interrupted", \.interrupted)
      count("incomplete: counts are missing", \.verdict.incomplete)
      count("with a saturated generator: it was measured, not the target", \.verdict.saturated)
      count("that missed the rate asked for", { !$0.verdict.valid && !$0.verdict.saturated })
      if runs.contains(where: { $0.plan != runs[0].plan }) {
        cautions.append("the \(side) runs are not all of one plan")
      }
    }
    if baseline[0].host != candidate[0].host {
      cautions.append("the sides were measured on different hosts or kernels")
    }
    if baseline[0].workers.count != candidate[0].workers.count {
      cautions.append(
        "\(baseline[0].workers.count) and \(candidate[0].workers.count) workers sent the load")
    }
    if baseline.count < 2 || candidate.count < 2 {
      cautions.append(
        "one run a side cannot show what changes from run to run: a typical size of that is assumed; "
          + "repeat runs in turns (--repeat) to measure it")
    }
    return cautions
  }
}

/// One run's measured intervals, ready to be resampled: the metric's value of any choice of them.
private struct IntervalSeries {
  private let metric: Objective.Metric
  private let intervals: [RunResult.Interval]
  private let histograms: [CompactHistogram]

  init(_ result: RunResult, _ metric: Objective.Metric) {
    self.metric = metric
    let whole = result.intervals.filter {
      $0.isMeasured && ($0.endNs - $0.startNs) * 2 >= result.plan.intervalNs
    }
    intervals = whole
    switch metric {
    case .quantile(_, .response), .mean(.response):
      histograms = whole.map { $0.histogram(.response) }
    case .quantile(_, .service), .mean(.service): histograms = whole.map { $0.histogram(.service) }
    default: histograms = []
    }
  }

  var count: Int { intervals.count }

  func value(_ picks: [Int]) -> Double? {
    switch metric {
    case .rate:
      let seconds = picks.reduce(0) { $0 + intervals[$1].seconds }
      return seconds > 0 ? picks.reduce(0) { $0 + Double(intervals[$1].ok) } / seconds : nil
    case .cpu:
      let cpu = picks.reduce(0) { sum, pick in
        let busy = intervals[pick].workerBusy.reduce(0) { $0 + ($1 ?? 0) }
        return sum + busy * intervals[pick].seconds * 1e9
      }
      let completed = picks.reduce(0) { $0 + intervals[$1].ok + intervals[$1].notOk }
      return completed > 0 ? cpu / Double(completed) : nil
    case .errors:
      let failed = picks.reduce(0) {
        $0 + intervals[$1].notOk + intervals[$1].openingFailures
      }
      let attempts = picks.reduce(failed) { $0 + intervals[$1].ok }
      return attempts > 0 ? Double(failed) / Double(attempts) : nil
    case .mean:
      guard !histograms.isEmpty else { return nil }
      let sum = picks.reduce(0) { $0 + Double(histograms[$1].sumNs) }
      let count = picks.reduce(0) { $0 + intervals[$1].ok }
      return count > 0 ? sum / Double(count) : nil
    case .quantile(let fraction, _):
      guard !histograms.isEmpty else { return nil }
      return quantile(fraction, picks)
    case .max: return nil
    }
  }

  private func quantile(_ fraction: Double, _ picks: [Int]) -> Double? {
    // Dense sums: merging the sparse ones in turn would cost more than all the rest.
    var counts = [UInt64](repeating: 0, count: HistogramLayout.bucketCount)
    var under: UInt64 = 0
    var total: UInt64 = 0
    for pick in picks {
      let histogram = histograms[pick]
      for bucket in histogram.buckets {
        counts[Int(bucket.index)] += bucket.count
        total += bucket.count
      }
      under += histogram.underCount
      total += histogram.underCount + histogram.overCount
    }
    guard total > 0 else { return nil }
    let rank = max(1, UInt64((fraction * Double(total)).rounded(.up)))
    var seen = under
    if seen >= rank { return Double(HistogramLayout.lowestNs) }
    for (bucket, count) in counts.enumerated() where count > 0 {
      seen += count
      if seen >= rank { return Double(HistogramLayout.middleNs(bucket)) }
    }
    return Double(HistogramLayout.endNs)
  }
}

/// e to the power of `x`, within a few units in the last place; for |x| below 700.
func exponential(_ x: Double) -> Double {
  // e^x = (e^(x / 1024))^1024, the inner one by its series: |x / 1024| is small.
  let small = x / 1024
  var term = 1.0
  var sum = 0.0
  for k in 1...9 {
    term *= small / Double(k)
    sum += term
  }
  // Squaring 1 + s as 1 + (2 s + s^2) keeps the digits of a small s.
  for _ in 0..<10 { sum = sum * (2 + sum) }
  return 1 + sum
}
