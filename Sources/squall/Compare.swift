import ArgumentParser
import SquallLoad
import SquallNode
import SquallReport

struct Compare: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Tell whether two results differ, metric by metric.",
    discussion: """
      A is the baseline and B the candidate; further files alternate A B A B ..., as interleaved runs \
      were made. Each metric gets its change with a 95 % confidence interval and a verdict: better, \
      worse, no difference or not comparable.
      """)

  @Argument(help: ArgumentHelp("Results written by --format json.", valueName: "file"))
  var files: [String]

  @Option(
    help: ArgumentHelp(
      "Exit 4 when this is shown, such as 'p99>+5%,rate<-3%'. Repeatable.", valueName: "change"))
  var failOn: [String] = []

  @Flag(help: "Compare although the plans differ.")
  var acceptDifferentPlans = false

  @Option(help: "Seed of the resampling.", transform: Read.number)
  var seed: UInt64 = 1

  @OptionGroup(title: "Output") var output: OutputOptions

  mutating func run() async throws {
    try await Program.reportingComplaints {
      guard files.count >= 2, files.count.isMultiple(of: 2) else {
        throw Complaint.usage(
          "compare takes two results, or pairs of them: squall compare A.json B.json.")
      }
      let limits = try Self.regressions(failOn)
      try output.check()
      var results: (baseline: [RunResult], candidate: [RunResult]) = ([], [])
      for (index, file) in files.enumerated() {
        let result = try ResultFile.read(file)
        if index.isMultiple(of: 2) {
          results.baseline.append(result)
        } else {
          results.candidate.append(result)
        }
      }
      let comparison = Comparison(
        baseline: results.baseline, candidate: results.candidate,
        acceptsPlanDifferences: acceptDifferentPlans, seed: seed)
      try output.write(
        output.format == .json
          ? comparison.json.indentedText
          : comparison.text(baseline: files[0], candidate: files[1]))
      let isWorse = limits.contains { $0.isShown(by: comparison) == true }
      try Program.leave(with: isWorse ? .regression : .good, interruptedBy: nil)
    }
  }

  static func regressions(_ failOn: [String]) throws -> [Regression] {
    do {
      return try failOn.flatMap { try Regression.list($0) }
    } catch let error as Misspelt {
      throw Complaint.usage("--fail-on \(error).")
    }
  }
}
