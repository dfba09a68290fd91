import ArgumentParser
import SquallLoad
import SquallNode

struct Doctor: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Tell what on this host would spoil a measurement, each with its remedy.",
    discussion: "Changes nothing. Exits with 1 when nothing can be measured here, with 0 otherwise."
  )

  @Flag(help: "Print JSON instead of a table.")
  var json = false

  mutating func run() async throws {
    try await Program.reportingComplaints {
      let checkup = Checkup(HostReadings.here)
      try Console.print(json ? checkup.json.indentedText : checkup.text)
      try Program.leave(with: checkup.canMeasure ? .good : .couldNotRun, interruptedBy: nil)
    }
  }
}
