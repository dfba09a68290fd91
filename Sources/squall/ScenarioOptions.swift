import ArgumentParser
import SquallLoad
import SquallNode

/// Which scenario, and what it is given from outside of its file.
struct ScenarioOptions: ParsableArguments {
  @Option(
    name: [.customShort("f"), .long],
    help: ArgumentHelp("Run this scenario instead of one URL.", valueName: "file"))
  var file: String?

  @Option(
    help: ArgumentHelp("Where the scenario goes, instead of its own target.", valueName: "url"))
  var host: String?

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp("Value of ${var.NAME} in the scenario; repeatable.", valueName: "name=value")
  )
  var variables: [String] = []

  @Option(
    name: .shortAndLong, help: "Users in all, instead of what the scenario says.",
    transform: Read.count)
  var users: UInt64?

  @Option(
    name: [.customShort("r"), .long],
    help: ArgumentHelp("Users that begin in a second; with -u.", valueName: "rate"),
    transform: Read.rate)
  var spawnRate: Double?

  @Option(
    help: ArgumentHelp(
      "Only tasks of the scenario with one of these tags; separated by commas, repeatable.",
      valueName: "tags"))
  var tags: [String] = []

  @Option(
    help: ArgumentHelp("No tasks of the scenario with one of these tags.", valueName: "tags"))
  var excludeTags: [String] = []

  /// A positional that ends like a scenario is one.
  func file(orPositional text: String?) throws -> String? {
    guard let text, !text.contains("://"), Self.endings.contains(where: { text.hasSuffix($0) })
    else {
      guard let text, file != nil else { return file }
      throw Complaint.usage("-f names a scenario and '\(text)' a URL: give one of them.")
    }
    guard file == nil else {
      throw Complaint.usage("-f and '\(text)' both name a scenario: give one of them.")
    }
    return text
  }

  private static let endings = [".yaml", ".yml", ".json"]

  func refuseWithoutFile(dryRun: Bool) throws {
    let given =
      host != nil
      ? "--host"
      : !variables.isEmpty
        ? "--set"
        : !tags.isEmpty
          ? "--tags"
          : !excludeTags.isEmpty
            ? "--exclude-tags"
            : dryRun ? "--dry-run" : users != nil ? "-u" : spawnRate != nil ? "-r" : nil
    if let given {
      throw Complaint.usage("\(given) is for a scenario: name its file, such as shop.yaml.")
    }
  }

  /// With what is done before the load done, once nothing else can be wrong.
  func plan(of file: ScenarioFile, by draft: PlanDraft) throws -> Plan {
    _ = try draft.plan(of: file, users: users, spawnRateHz: spawnRate)
    return try draft.plan(
      of: DryRun.prepared(file, by: draft), users: users, spawnRateHz: spawnRate)
  }

  private static func words(_ lists: [String]) -> [String] {
    lists.flatMap { $0.split(separator: ",").map(String.init) }
  }

  /// The run of the command line as a form is filled with it; nil where a form cannot say it.
  func form(_ load: LoadOptions, for plan: Plan) throws -> JSONValue? {
    guard let path = try file(orPositional: load.url) else {
      return try RunOrder.form(load.draft(url: load.url ?? ""), for: plan)
    }
    return try RunOrder.form(
      load.draft(url: host ?? ""), ofScenario: path, users: users, spawnRateHz: spawnRate,
      variables: values(), for: plan)
  }

  func program(of file: String) throws -> ScenarioFile {
    try ScenarioFile(
      file, target: host, variables: values(), tags: Self.words(tags),
      excludedTags: Self.words(excludeTags))
  }

  private func values() throws -> [String: String] {
    var values: [String: String] = [:]
    for variable in variables {
      guard let split = variable.firstIndex(of: "="), split != variable.startIndex else {
        throw Complaint.usage("--set '\(variable)' has no name: write it as name=value.")
      }
      values[String(variable[..<split])] = String(variable[variable.index(after: split)...])
    }
    return values
  }
}
