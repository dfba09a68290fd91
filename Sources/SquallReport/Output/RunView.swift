package import SquallLoad

/// A result as a page draws it: `squall.view/1`. The same JSON stands in an HTML report, is served by a
/// master, and comes in each live event for the run as it is by now.
///
/// `result` is the result without its intervals and histograms, `columns` are the intervals with what
/// charts need of them, `curves` the percentiles, and `lights` say in sentences how true the numbers are.
package struct RunView: Sendable {
  package static let schemaName = "squall.view/1"

  /// One thing that has to hold if the numbers are to be true.
  package struct Light: Equatable, Sendable {
    package enum State: String, Equatable, Sendable {
      case good, caution, bad, unknown
    }

    package var name: String
    package var state: State
    /// What is so, and what to do where it is not as it should be.
    package var sentence: String
  }

  /// Lines that busy ratios and lags are drawn as: one for each of a few workers, or lowest, median and
  /// highest.
  private static let workerLineCountMax = 8
  /// Of an octave of response times, the rows of the heat map.
  private static let heatRowBits = 3
  private static let curvePointCount = 160

  private let result: RunResult
  private let timeline: ReportTimeline
  private let curves: (response: CompactHistogram, service: CompactHistogram)
  private let missingCount: Int
  /// Members of lists that are shown; the rest is counted.
  private let listCountMax: Int

  /// With columns for the last `recentCount` intervals. `missingCount` is that of workers who are missing
  /// at this moment.
  package init(
    _ result: RunResult, recentCount: Int = .max, columnCountMax: Int = Timeline.intervalCountMax,
    listCountMax: Int = 1_000,
    curves: (response: CompactHistogram, service: CompactHistogram)? = nil, missingCount: Int = 0
  ) {
    self.result = result
    self.listCountMax = listCountMax
    self.missingCount = missingCount
    timeline = ReportTimeline(
      result, recentCount: recentCount, columnCountMax: columnCountMax)
    self.curves = curves ?? (result.histogram(.response), result.histogram(.service))
  }

  package var json: JSONValue {
    .object([
      .init("schema", .string(Self.schemaName)),
      .init("result", outline),
      .init("lights", .array(lights.map(\.json))),
      .init("worker_lines", .array(workerLines.map { .string($0) })),
      .init("columns", .array(timeline.columns.map(json))),
      .init(
        "curves",
        .object([
          .init("response", Self.curve(curves.response)),
          .init(
            "service", result.plan.schedule == nil ? .null : Self.curve(curves.service)),
        ])),
    ])
  }

  // MARK: The result without its bulk

  private var outline: JSONValue {
    var result = result
    let counts = (workers: result.workers.count, names: result.requestsByName.count)
    result.intervals = []
    result.histograms = RunResult.Histograms()
    result.workers.removeLast(max(0, counts.workers - listCountMax))
    result.requestsByName.removeLast(max(0, counts.names - listCountMax))
    result.verdict.reasons.removeLast(max(0, result.verdict.reasons.count - listCountMax))
    result.verdict.cautions.removeLast(max(0, result.verdict.cautions.count - listCountMax))
    guard case .object(let members) = result.json else { return .null }
    let kept = members.compactMap { member -> JSONValue.Member? in
      switch member.name {
      case "intervals", "histograms": nil
      case "requests_by_name": .init(member.name, Self.withoutHistograms(member.value))
      default: member
      }
    }
    return .object(
      kept + [
        .init("worker_count", .integer(Int128(counts.workers))),
        .init("name_count", .integer(Int128(counts.names))),
      ])
  }

  private static func withoutHistograms(_ names: JSONValue) -> JSONValue {
    guard case .array(let names) = names else { return names }
    return .array(
      names.map { name in
        guard case .object(let members) = name else { return name }
        return .object(members.filter { $0.name != "response_histogram" })
      })
  }

  // MARK: Columns

  private func json(_ column: ReportTimeline.Column) -> JSONValue {
    func quantile(_ fraction: Double, _ histogram: CompactHistogram) -> JSONValue {
      histogram.isEmpty ? .null : .integer(Int128(histogram.quantileNs(fraction)))
    }
    var members: [JSONValue.Member] = [
      .init("index", .integer(Int128(column.index))),
      .init("phase", .string(column.phase)),
      .init("start_ns", .integer(Int128(column.startNs))),
      .init("end_ns", .integer(Int128(column.endNs))),
      .init("ok", .integer(Int128(column.ok))),
      .init("not_ok", .integer(Int128(column.notOk))),
      .init("dropped", .integer(Int128(column.dropped))),
      .init("workers", .integer(Int128(column.workerCount))),
      .init("p50", quantile(0.5, column.response)),
      .init("p90", quantile(0.9, column.response)),
      .init("p99", quantile(0.99, column.response)),
      .init("max", quantile(1, column.response)),
      .init("in_flight", .number(Self.rounded(column.meanInFlight, 100))),
      .init("heat", heat(column.response)),
      .init("busy", .array(byLine(column.busy).map { Self.json($0, 10_000) })),
    ]
    if let count = column.targetCount {
      members.append(.init("target_count", .integer(Int128(count))))
    }
    if let perSecond = result.targetPerS(atNs: column.middleNs) {
      members += [
        .init("target_per_s", Self.json(perSecond, 1_000)),
        .init("service_p99", quantile(0.99, column.service)),
        .init(
          "lag_p99",
          .array(byLine(column.lagP99Ns.map { $0 > 0 ? Double($0) : nil }).map { Self.json($0, 1) })
        ),
      ]
    }
    if !column.errors.isEmpty {
      members.append(
        .init(
          "errors",
          .object(
            column.errors.sorted { $0.key < $1.key }
              .map { .init($0.key, .integer(Int128($0.value))) })))
    }
    return .object(members)
  }

  private static func rounded(_ value: Double, _ unit: Double) -> Double {
    (value * unit).rounded() / unit
  }

  private static func json(_ value: Double?, _ unit: Double) -> JSONValue {
    guard let value, value.isFinite else { return .null }
    return unit == 1 ? .integer(Int128(value)) : .number(rounded(value, unit))
  }

  /// Pairs of row and count, the row being eight to the octave from 512 ns on.
  private func heat(_ histogram: CompactHistogram) -> JSONValue {
    var pairs: [(row: Int, count: UInt64)] = []
    func add(_ row: Int, _ count: UInt64) {
      guard count > 0 else { return }
      if pairs.last?.row == row {
        pairs[pairs.count - 1].count += count
      } else {
        pairs.append((row, count))
      }
    }
    let shift = HistogramLayout.subBucketBits - Self.heatRowBits
    add(0, histogram.underCount)
    for bucket in histogram.buckets { add(Int(bucket.index) >> shift, bucket.count) }
    add(HistogramLayout.bucketCount >> shift - 1, histogram.overCount)
    return .array(
      pairs.flatMap { [.integer(Int128($0.row)), .integer(Int128($0.count))] })
  }

  // MARK: Workers

  private var workerLines: [String] {
    guard result.workers.count <= Self.workerLineCountMax else {
      return ["lowest", "median", "highest"]
    }
    return result.workers.enumerated().map { number, worker in
      worker.cpu.map { "\(number): cpu \($0)" } ?? "worker \(number)"
    }
  }

  private func byLine(_ values: [Double?]) -> [Double?] {
    guard values.count > Self.workerLineCountMax else { return values }
    let known = values.compactMap { $0 }.sorted()
    guard let lowest = known.first, let highest = known.last else { return [nil, nil, nil] }
    return [lowest, known[known.count / 2], highest]
  }

  // MARK: Percentiles

  /// Pairs of 1 / (1 - fraction) and nanoseconds, as far apart on a logarithmic axis.
  private static func curve(_ histogram: CompactHistogram) -> JSONValue {
    let count = histogram.count
    guard count > 0 else { return .null }
    let rarest = naturalLogarithm(max(100, Double(count)))
    return .array(
      (0...curvePointCount).map { step in
        let distance = exponential(rarest * Double(step) / Double(curvePointCount))
        return .array([
          .number(rounded(distance, 1_000)),
          .integer(Int128(histogram.quantileNs(1 - 1 / distance))),
        ])
      })
  }
}

// MARK: Lights

extension RunView {
  package var lights: [Light] {
    [generator, schedule, target, counts, workers, intervals].compactMap { $0 }
  }

  private var generator: Light? {
    guard let busiest = result.workers.map(\.busyRatio).max() else { return nil }
    let share = "the busiest worker used \(Figures.percent(busiest)) of its CPU"
    if result.verdict.saturated {
      return Light(
        name: "Generator", state: .bad,
        sentence: "It set the limit or bent the times (\(share)). Why, and what helps, is in the "
          + "remarks.")
    }
    if busiest >= RunResult.Verdict.busyRatioCaution && !result.plan.spin {
      return Light(
        name: "Generator", state: .caution,
        sentence: "Close to its limit: \(share). Give it more workers or another host.")
    }
    return Light(name: "Generator", state: .good, sentence: "It had time left: \(share).")
  }

  private var schedule: Light? {
    guard result.plan.schedule != nil else { return nil }
    guard let lagNs = result.latency.scheduleLag.p99 else {
      return Light(name: "Schedule", state: .unknown, sentence: "Nothing was sent yet.")
    }
    let lag = "99% of requests left within \(Figures.duration(lagNs)) of their instant"
    if let ratio = result.rate.achievedRatio, ratio < RunResult.Verdict.achievedRatioMin {
      return Light(
        name: "Schedule", state: .bad,
        sentence: "\(Figures.percent(ratio)) of what was due was sent; \(lag). "
          + "More connections or more workers may be needed: the remarks say which.")
    }
    if lagNs > RunResult.Verdict.scheduleLagP99NsMax {
      return Light(
        name: "Schedule", state: .caution,
        sentence: "Only \(lag). Response times have the wait in them; more connections shorten it "
          + "if the target holds all of them.")
    }
    return Light(name: "Schedule", state: .good, sentence: "Kept: \(lag).")
  }

  private var target: Light {
    if let goneNs = result.verdict.targetGoneNs {
      return Light(
        name: "Target", state: .bad,
        sentence: "It gave no ok answer from \(Figures.duration(goneNs)) on. Look at the target.")
    }
    guard result.requests.completed > 0 || result.errors.ofOpening > 0 else {
      return Light(name: "Target", state: .unknown, sentence: "Nothing was answered yet.")
    }
    let share = result.errorShare
    guard share > 0 else {
      return Light(name: "Target", state: .good, sentence: "Every attempt got an ok answer.")
    }
    return Light(
      name: "Target", state: share >= 0.01 ? .bad : .caution,
      sentence: "\(Figures.percent(share)) of attempts failed. The causes are under Failures.")
  }

  private var counts: Light {
    let conservation = result.verdict.conservation
    if conservation.balanced && conservation.missing == 0 {
      return Light(
        name: "Counts", state: .good,
        sentence:
          "Every request is accounted for: sent is ok, not ok and in flight, and the workers' "
          + "own accounts agree.")
    }
    let missing =
      conservation.missing == 0
      ? "" : " \(Figures.count(conservation.missing.magnitude, "request")) differ."
    return Light(
      name: "Counts", state: .bad,
      sentence:
        "\(Figures.count(conservation.ledgersAbsent, "account")) of workers did not come and "
        + "\(conservation.ledgersDiffering) differ.\(missing) squall report --add puts in what a worker "
        + "left in a file.")
  }

  private var workers: Light? {
    guard !result.workers.isEmpty else { return nil }
    let lost = result.workers.count { $0.lost }
    if lost > 0 || missingCount > 0 {
      let words = [
        missingCount > 0 ? "\(Figures.count(missingCount, "worker")) missing" : nil,
        lost > 0 ? "\(Figures.count(lost, "worker")) lost and not replaced" : nil,
      ].compactMap { $0 }
      return Light(
        name: "Workers", state: .bad,
        sentence:
          "\(words.joined(separator: ", ")). The others take their share over; look at their "
          + "hosts.")
    }
    let again = result.workers.reduce(0) { $0 + max(0, $1.incarnations.count - 1) }
    guard again == 0 else {
      return Light(
        name: "Workers", state: .caution,
        sentence: "Started again \(again) times; nothing they counted is lost.")
    }
    return Light(
      name: "Workers", state: .good,
      sentence:
        "\(Figures.count(result.workers.count, "worker")), none lost and none started again.")
  }

  private var intervals: Light? {
    let whole = result.intervals.filter(\.isMeasured)
    guard let most = whole.map(\.workers).max() else { return nil }
    // Whoever starts and ends in the middle of one does not report it whole.
    let partial = whole.dropFirst().dropLast().count { $0.workers < most }
    guard partial > 0 else {
      return Light(
        name: "Intervals", state: .good, sentence: "Each has the report of every worker.")
    }
    return Light(
      name: "Intervals", state: .caution,
      sentence:
        "\(partial) of \(whole.count) lack a worker's report: rates are too low there. What is "
        + "late still comes in; a worker that joined or left in mid-run looks the same.")
  }
}

extension RunView.Light {
  fileprivate var json: JSONValue {
    .object([
      .init("name", .string(name)), .init("state", .string(state.rawValue)),
      .init("sentence", .string(sentence)),
    ])
  }
}

extension PlanSummary.Schedule {
  /// What is asked for at an instant of the run.
  func perSecond(atNs ns: UInt64) -> Double {
    var startNs: UInt64 = 0
    var before = startPerS
    for stage in stages {
      let elapsedNs = ns - min(startNs, ns)
      if elapsedNs < stage.durationNs {
        let share = Double(elapsedNs) / Double(stage.durationNs)
        return before + (stage.endPerS - before) * share
      }
      startNs += stage.durationNs
      before = stage.endPerS
    }
    return before
  }
}
