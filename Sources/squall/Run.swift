import ArgumentParser
import SquallLoad
import SquallNode
import SquallReport

struct Run: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure a server from this host (the default command).")

  @OptionGroup(title: "Load") var load: LoadOptions

  @OptionGroup(title: "Workers") var place: PlacementOptions

  @OptionGroup(title: "Judgement") var judgement: JudgementOptions
  @OptionGroup(title: "Output") var output: OutputOptions
  @OptionGroup(title: "Page") var page: PageOptions
  @OptionGroup(title: "Metrics") var metrics: MetricsOptions

  @Flag(help: "Send one request and print it and its response.")
  var debug = false

  @OptionGroup(title: "Scenario") var scenario: ScenarioOptions

  @Flag(
    help: "Of a scenario: send one iteration of each user and print both sides and what was kept.")
  var dryRun = false

  @Option(
    help: ArgumentHelp(
      "Measure this many times, each with its report (FILE.1, FILE.2, ... with -o); with --vs, in "
        + "turn with the other load (default: 5).", valueName: "count"), transform: Read.count)
  var `repeat`: UInt64?

  @Option(
    help: ArgumentHelp(
      "Compare with another load, described by these flags (and URL) instead of this one's: "
        + "runs are interleaved, --repeat of each.", valueName: "flags"))
  var vs: String?

  @Option(
    help: ArgumentHelp(
      "With --vs: exit 4 when this is shown, such as 'p99>+5%'. Repeatable.", valueName: "change"))
  var failOn: [String] = []

  mutating func run() async throws {
    try await Program.reportingComplaints {
      let objectives = try judgement.objectives()
      try output.check()
      if let file = try scenario.file(orPositional: load.url) {
        let program = try scenario.program(of: file)
        if dryRun { return try DryRun.run(program, by: load.draft(url: "")) }
        return try await run(program, objectives: objectives)
      }
      try scenario.refuseWithoutFile(dryRun: dryRun)
      let placement = try place.placement(hasTarget: load.url == nil)
      let ring = try place.ring.choice()
      let target = try load.target(cpus: placement.target, ring: ring, vs: vs)
      defer { target?.stop() }
      let plan = try load.plan(target)
      let workerCount = placement.workers.count
      let found = try Preflight.check(plan, workerCount: workerCount)
      if debug { return try DebugExchange.run(plan, at: found) }

      var measurement = Measurement(placement: placement)
      measurement.ring = ring
      measurement.hasOwnTarget = target != nil
      measurement.showsProgress = output.showsProgress
      let ports = try await ports()
      measurement.shown = ports.shown
      let regressions = try Compare.regressions(failOn)
      let count = `repeat` ?? (vs == nil ? 1 : 5)
      guard count >= (vs == nil ? 1 : 2), count <= Self.repeatCountMax else {
        throw Complaint.usage(
          "--repeat \(count) is outside of \(vs == nil ? 1 : 2) to \(Self.repeatCountMax).")
      }
      guard vs != nil || failOn.isEmpty else {
        throw Complaint.usage("--fail-on compares: say with what by --vs, or use squall compare.")
      }
      if let vs {
        let other = try load.other(vs, target)
        _ = try Preflight.check(other, workerCount: workerCount)
        let shown = try await compare(
          plan, at: found, with: other, times: Int(count), by: measurement, until: regressions)
        return try Program.leave(with: shown ? .regression : .good, interruptedBy: nil)
      }
      var status = ExitStatus.good
      for turn in 1...count {
        let (result, signal) = try await measurement.result(
          of: plan, at: turn == 1 ? found : nil, objectives: objectives)
        try (count == 1 ? output : output.numbered(Int(turn))).write(result)
        if status == .good { status = judgement.status(of: result) }
        if let signal { try Program.leave(with: status, interruptedBy: signal) }
      }
      try await ports.close()
      try Program.leave(with: status, interruptedBy: nil)
    }
  }

  private func run(_ file: ScenarioFile, objectives: [Objective]) async throws {
    guard !debug, vs == nil, `repeat` == nil, failOn.isEmpty else {
      throw Complaint.usage("--debug, --vs, --repeat and --fail-on are for one URL.")
    }
    let plan = try scenario.plan(of: file, by: load.draft(url: ""))
    let placement = try place.placement(hasTarget: false)
    let found = try Preflight.check(plan, workerCount: placement.workers.count)
    var measurement = Measurement(placement: placement)
    measurement.ring = try place.ring.choice()
    measurement.showsProgress = output.showsProgress
    let ports = try await ports()
    measurement.shown = ports.shown
    let (result, signal) = try await measurement.result(
      of: plan, at: found, objectives: try objectives + file.objectives())
    try output.write(result)
    try await ports.close()
    try Program.leave(with: judgement.status(of: result), interruptedBy: signal)
  }

  /// Who is shown the runs; the ports end with the process, after the last of them.
  private struct Ports {
    let shown = Shown()
    var open: [Closing.Part] = []

    /// Whoever looks has seen the end.
    func close() async throws {
      try await Closing().close(open, late: { Console.say($0) })
    }
  }

  private func ports() async throws -> Ports {
    var ports = Ports()
    let output = output
    let say: @Sendable (String) -> Void = { if !output.quiet { Console.say($0) } }
    if let page = try await page.open(showing: ports.shown, say: say) {
      ports.open.append(page.closing)
    }
    ports.open += try await metrics.open(showing: ports.shown, say: say)
    return ports
  }

  private static let repeatCountMax: UInt64 = 10_000

  /// A B A B …, so that what drifts on the host meets both alike. True when one of the regressions was
  /// shown.
  private func compare(
    _ plan: Plan, at found: [TargetAddresses], with other: Plan, times count: Int,
    by measurement: Measurement,
    until regressions: [Regression]
  ) async throws -> Bool {
    var results: (baseline: [RunResult], candidate: [RunResult]) = ([], [])
    for turn in 1...count {
      for (name, plan) in [("A", plan), ("B", other)] {
        let (result, signal) = try await measurement.result(
          of: plan, at: turn == 1 && name == "A" ? found : nil)
        if let signal { try Program.leave(with: .good, interruptedBy: signal) }
        if !output.quiet {
          Console.say(
            "\(name) \(turn)  \(Figures.rate(result.rate.okPerS)) ok/s  p99 "
              + Figures.duration(result.latency.response.p99))
        }
        if name == "A" { results.baseline.append(result) } else { results.candidate.append(result) }
      }
    }
    let comparison = Comparison(
      baseline: results.baseline, candidate: results.candidate, acceptsPlanDifferences: true,
      seed: load.seed)
    let text =
      output.format == .json
      ? comparison.json.indentedText : comparison.text(baseline: "A", candidate: "B")
    try output.write(text)
    return regressions.contains { $0.isShown(by: comparison) == true }
  }
}

/// What makes a result good or bad.
struct JudgementOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Objectives, such as 'p99<20ms,errors<0.1%,rate>=50k'; exit 3 when one fails. Repeatable.",
      valueName: "objectives"))
  var slo: [String] = []

  @Flag(help: "Exit 5 when the measurement is not trustworthy: saturated, or the rate not reached.")
  var strict = false

  func objectives() throws -> [Objective] { try Self.objectives(slo) }

  static func objectives(_ slo: [String]) throws -> [Objective] {
    do {
      return try slo.flatMap { try Objective.list($0) }
    } catch let error as Misspelt {
      throw Complaint.usage("--slo \(error).")
    }
  }

  func status(of result: RunResult) -> ExitStatus {
    if result.verdict.incomplete { return .incomplete }
    // Nothing was measured, or less than was asked for: no script should take that for success.
    if result.requests.ok == 0 { return .couldNotRun }
    if let asked = result.plan.requests, result.answered < asked { return .couldNotRun }
    if strict && !result.verdict.valid { return .invalid }
    if result.slo.contains(where: { $0.pass == false }) { return .objectiveFailed }
    return .good
  }
}

/// Where the result goes and how it looks.
struct OutputOptions: ParsableArguments {
  @Option(help: "How the result is printed: text, json, csv, html.")
  var format: OutputFormat = .text

  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp("Write the result here instead of standard output.", valueName: "file"))
  var output: String?

  @Option(
    help: ArgumentHelp(
      "Write the latency distribution here: FILE (percentiles) and FILE.hlog (HdrHistogram log).",
      valueName: "file"))
  var hdr: String?

  @Option(
    help: ArgumentHelp("Write one JSON line per interval here.", valueName: "file"))
  var timeseries: String?

  @Option(
    help: ArgumentHelp(
      "Write PREFIX_stats.csv, PREFIX_stats_history.csv and PREFIX_failures.csv, as Locust does.",
      valueName: "prefix"))
  var csv: String?

  @Flag(help: "Print nothing but the result.")
  var quiet = false

  @Flag(help: "No live line, even on a terminal.")
  var noProgress = false

  var showsProgress: Bool { !quiet && !noProgress }

  /// Fails before the load when a file could not be written after it.
  func check() throws {
    let paths =
      [output, hdr, timeseries].compactMap { $0 } + (csv.map { [$0 + "_stats.csv"] } ?? [])
    for path in paths { try ResultFile.checkWritable(path) }
  }

  /// The same with the number in the names of all files: `r.json` becomes `r.2.json`.
  func numbered(_ number: Int) -> OutputOptions {
    func numbered(_ path: String) -> String {
      let name = path.lastIndex(of: "/").map { path[path.index(after: $0)...] } ?? path[...]
      guard let dot = name.lastIndex(of: "."), dot > name.startIndex else {
        return "\(path).\(number)"
      }
      return path[..<dot] + ".\(number)" + path[dot...]
    }
    var output = self
    output.output = self.output.map(numbered)
    output.hdr = hdr.map(numbered)
    output.timeseries = timeseries.map(numbered)
    output.csv = csv.map { "\($0).\(number)" }
    return output
  }

  /// To the output file, or to standard output, also when the file takes nothing: a run is not lost
  /// for that.
  func write(_ text: String) throws {
    guard let output else { return try Console.print(text) }
    do {
      try ResultFile.write(text, to: output)
    } catch {
      try Console.print(text)
      throw error
    }
    if !quiet { Console.say("result in \(output)") }
  }

  func write(_ result: RunResult) throws {
    let text =
      switch format {
      case .text: TextReport(result).text
      case .json: result.json.indentedText
      case .csv: Csv.header + Csv.row(result)
      case .html: HtmlReport(result, with: .ours).text
      }
    try write(text)
    if let hdr {
      try ResultFile.write(HdrText.percentiles(result.histogram(.response)), to: hdr)
      try ResultFile.write(HdrText.log(result, deflate: deflate), to: hdr + ".hlog")
    }
    if let timeseries {
      try ResultFile.write(result.timeseries(withHistograms: true), to: timeseries)
    }
    if let csv {
      let tables = LocustCsv(result)
      try ResultFile.write(tables.stats, to: csv + "_stats.csv")
      try ResultFile.write(tables.history, to: csv + "_stats_history.csv")
      try ResultFile.write(tables.failures, to: csv + "_failures.csv")
    }
  }
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
  case text, json, csv, html
}

extension WorkerCount {
  var number: Int? {
    switch self {
    case .auto: nil
    case .count(let count): count
    }
  }
}
