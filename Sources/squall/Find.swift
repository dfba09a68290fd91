import ArgumentParser
import SquallLoad
import SquallNode
import SquallReport

struct Find: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Find the highest rate that meets objectives.",
    discussion: """
      Doubles the rate until an objective fails, the rate is not reached or the generator is \
      saturated, then bisects, then confirms with a longer run. Says which of these set the limit.
      """)

  @OptionGroup(title: "Load") var load: LoadOptions

  @Option(
    help: ArgumentHelp(
      "What must hold, such as 'p99<20ms,errors<0.1%'. Repeatable.", valueName: "objectives"))
  var slo: [String]

  @OptionGroup(title: "Workers") var place: PlacementOptions

  @Option(help: "First rate tried, per second (default: 1000).", transform: Read.count)
  var startRate: UInt64 = 1_000

  @Option(help: "Highest rate tried, per second (default: 100m).", transform: Read.count)
  var maxRate: UInt64 = 100_000_000

  @Option(
    help: "Load before each step's measurement, not counted (default: 500ms).", transform: Read.time
  )
  var settle: UInt64 = 500_000_000

  @Option(help: "Measured time of each step (default: 2s).", transform: Read.time)
  var measure: UInt64 = 2_000_000_000

  @Option(help: "Measured time of the confirming run (default: 5s).", transform: Read.time)
  var confirm: UInt64 = 5_000_000_000

  @OptionGroup(title: "Output") var output: OutputOptions

  mutating func run() async throws {
    try await Program.reportingComplaints {
      let objectives = try JudgementOptions.objectives(slo)
      try output.check()
      guard startRate > 0, maxRate >= startRate else {
        throw Complaint.usage("--start-rate must be above 0 and not above --max-rate.")
      }
      let placement = try place.placement(hasTarget: load.url == nil)
      let ring = try place.ring.choice()
      let target = try load.target(cpus: placement.target, ring: ring)
      defer { target?.stop() }
      let plan = try load.plan(target)
      var found: [TargetAddresses]? = try Preflight.check(
        plan, workerCount: placement.workers.count)
      var measurement = Measurement(placement: placement)
      measurement.ring = ring
      measurement.hasOwnTarget = target != nil

      var options = RateSearch.Options()
      options.startHz = Double(startRate)
      options.endHz = Double(maxRate)
      options.settleNs = settle
      options.measureNs = measure
      options.confirmNs = confirm
      var search = RateSearch(options: options)
      while let step = search.step {
        var stepPlan = plan
        stepPlan.load = .open(
          Schedule(
            startHz: step.rateHz, arrival: load.arrival == .poisson ? .poisson : .uniform,
            seed: load.seed))
        stepPlan.requestCount = .max
        stepPlan.times.warmupNs = step.settleNs
        stepPlan.times.durationNs = step.measureNs
        let (result, signal) = try await measurement.result(
          of: stepPlan, at: found, objectives: objectives)
        found = nil
        if let signal { try Program.leave(with: .good, interruptedBy: signal) }
        search.measured(RateSearch.Measurement(result, step: step))
        if !output.quiet, let last = search.measurements.last {
          Console.say(
            "\(step.isConfirming ? "confirm" : "try") \(Figures.rate(step.rateHz))/s: "
              + "\(Figures.rate(last.okPerS)) ok/s, p99 \(Figures.duration(last.latency.p99)), "
              + (last.passes ? "passes" : "fails"))
        }
      }
      switch output.format {
      case .text, .html: try output.write(search.text)
      case .json: try output.write(search.json.indentedText)
      case .csv: try output.write(search.csv)
      }
      let isFound = search.outcome?.rateHz != nil
      try Program.leave(with: isFound ? .good : .objectiveFailed, interruptedBy: nil)
    }
  }
}
