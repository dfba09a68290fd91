import ArgumentParser
import Comparison
import Foundation

@main
struct Compare: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Runs every HTTP client it finds against the same targets, side by side.",
    discussion: """
      Results go to Benchmarks/results: every run in runs.ndjson, tables in results.md, plots in
      SVG. How the figures are taken is in Benchmarks/README.md.
      """)

  @Flag(help: "What the goals over plain HTTP/1.1 need, in three minutes instead of thirty-five.")
  var quick = false

  @Flag(help: "Two clients, one second each; fails unless claimed and received counts agree.")
  var smoke = false

  @Option(help: "The squall binary (default: .build/release/squall of the package above).")
  var squall: String?

  @Option(help: "The built-in target of the main tables: squall or responder.")
  var target: TargetChoice?

  @Option(help: "Only these questions, with commas between; --list shows them.")
  var only: String?

  @Option(help: "Only these clients, with commas between; --list shows them.")
  var clients: String?

  @Option(help: "Rounds of every experiment, instead of the plan's own number.")
  var repetitions: Int?

  @Option(help: "Seed of the order of runs and of the bootstrap (default: from the clock).")
  var seed: UInt64?

  @Option(help: "CPUs of the target, such as 0 or 0-3.")
  var targetCpus: String?

  @Option(help: "CPUs of the client, such as 1.")
  var clientCpus: String?

  @Option(name: .shortAndLong, help: "Folder for the results (default: Benchmarks/results).")
  var output: String?

  @Option(help: "Make tables and plots again from the raw record in this folder.")
  var render: String?

  @Flag(help: "Write the figures of a request's cost into docs/PERFORMANCE.md too.")
  var writeDocs = false

  @Flag(inversion: .prefixedNo, help: "Make a Python environment with Locust if there is none.")
  var locust = true

  @Flag(help: "Show the clients, where they are, and the questions, then end.")
  var list = false

  func validate() throws {
    if let repetitions, repetitions < 1 {
      throw ValidationError("--repetitions must be at least 1")
    }
    if let only {
      for name in only.split(separator: ",") where Question(rawValue: String(name)) == nil {
        let known = Question.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValidationError("--only: there is no question '\(name)'; there are \(known)")
      }
    }
  }

  func run() throws {
    var session = Session(self)
    if let render {
      try session.render(folder: render)
    } else if list {
      session.list()
    } else if smoke {
      try session.smoke()
    } else {
      try session.compare()
    }
  }
}

enum TargetChoice: String, ExpressibleByArgument, CaseIterable {
  case squall, responder
}
