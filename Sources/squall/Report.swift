import ArgumentParser
import SquallLoad
import SquallNode

struct Report: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show a result again, from its file or from a master's record.",
    discussion: """
      FILE is a result written with --format json, or a record (squall master --record), whose runs \
      are put together anew from what the workers counted. Without FILE, it is the record that \
      squall master keeps by itself.
      """)

  @Argument(help: ArgumentHelp("Result, or record.", valueName: "file"))
  var files: [String] = []

  @Option(
    help: ArgumentHelp("Which run of a record (default: the last one).", valueName: "id"))
  var run: String?

  @Flag(help: "List the runs of a record.")
  var list = false

  @Option(
    help: ArgumentHelp(
      "Put what a worker could not deliver (undelivered-*.squall) into its run's record first. "
        + "Repeatable; the same file twice changes nothing.", valueName: "file"))
  var add: [String] = []

  @OptionGroup(title: "Output") var output: OutputOptions

  mutating func run() async throws {
    try await Program.reportingComplaints {
      do {
        try output.check()
        try report()
      } catch let trouble as RecordFile.Trouble {
        throw Complaint(trouble)
      }
    }
  }

  private func report() throws {
    for file in files where ReportSource(file) == .leftovers {
      throw Complaint.usage(
        "\(file) is what a worker could not deliver: squall report --add \(file) puts it into the "
          + "record of its run.")
    }
    guard let file = files.first, ReportSource(file) == .result else { return try reportRecord() }
    if list || run != nil || !add.isEmpty {
      throw Complaint.usage(
        "\(file) is a result, and --list, --run and --add are for records: name a record.")
    }
    let results = try files.map { try ResultFile.read($0) }
    guard results.count == 1 else {
      throw Complaint.usage(
        "runs of their own have no common time, so their rates cannot be put together: name one "
          + "result, compare them with squall compare, or measure from many hosts at once with squall "
          + "master.")
    }
    try output.write(results[0])
  }

  private func reportRecord() throws {
    guard files.count <= 1 else { throw Complaint.usage("name one record.") }
    let record = try RecordFile(
      path: files.first ?? RecordFile.standardPath, for: add.isEmpty ? .reading : .writing)
    let added = try add.map { try put($0, into: record) }
    if list { return try output.write(RunList(try record.runs()).text) }
    let recorded = try record.read(run: try id() ?? added.last)
    try output.write(recorded.result)
  }

  /// The run that the file belongs to.
  private func put(_ file: String, into record: RecordFile) throws -> UInt64 {
    let leftovers = try Leftovers.read(file)
    let fresh = try record.add(leftovers)
    if !output.quiet {
      Console.say(
        "\(file): \(fresh) of \(leftovers.entries.count) accounts were new to run "
          + leftovers.run.hexadecimal)
    }
    return leftovers.run
  }

  private func id() throws -> UInt64? {
    guard let run else { return nil }
    guard let id = UInt64(run, radix: 16) else {
      throw Complaint.usage("--run '\(run)' is no run's id: squall report --list shows them.")
    }
    return id
  }
}
