import ArgumentParser
import SquallNode

struct Check: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Read a scenario and print its plan, or what is wrong with it. Sends nothing.",
    discussion: """
      Prints users and tasks with their shares, steps, names, data and load. A fault is shown with \
      file, line, column and what would be right, and the exit code is 2.
      """)

  @Argument(help: "The scenario: YAML or JSON.")
  var scenario: String

  @OptionGroup(title: "Scenario") var options: ScenarioOptions

  mutating func run() async throws {
    try await Program.reportingComplaints {
      guard let file = try options.file(orPositional: scenario) else {
        throw Complaint.usage("'\(scenario)' is no scenario: name a .yaml, .yml or .json file.")
      }
      try Console.print(try options.program(of: file).explanation)
    }
  }
}
