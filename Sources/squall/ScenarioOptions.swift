import ArgumentParser
import SquallNode

/// Which scenario, and what it is given from outside of its file.
struct ScenarioOptions: ParsableArguments {
  @Option(
    name: [.customShort("f"), .long],
    help: ArgumentHelp("Do what this scenario says, in the place of one URL.", valueName: "file"))
  var file: String?

  @Option(
    help: ArgumentHelp("Where the scenario goes, in the place of its target.", valueName: "url"))
  var host: String?

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp("Value of ${var.NAME} in the scenario; repeatable.", valueName: "name=value")
  )
  var variables: [String] = []

  @Option(
    name: .shortAndLong, help: "Users in all, in the place of what the scenario says.",
    transform: Read.count)
  var users: UInt64?

  @Option(
    name: [.customShort("r"), .long],
    help: ArgumentHelp("Users that begin in a second; with -u.", valueName: "rate"),
    transform: Read.rate)
  var spawnRate: Double?

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
        ? "--set" : dryRun ? "--dry-run" : users != nil ? "-u" : spawnRate != nil ? "-r" : nil
    if let given {
      throw Complaint.usage("\(given) is for a scenario: name its file, such as shop.yaml.")
    }
  }

  func program(of file: String) throws -> ScenarioFile {
    var values: [String: String] = [:]
    for variable in variables {
      guard let split = variable.firstIndex(of: "="), split != variable.startIndex else {
        throw Complaint.usage("--set '\(variable)' has no name: write it as name=value.")
      }
      values[String(variable[..<split])] = String(variable[variable.index(after: split)...])
    }
    return try ScenarioFile(file, target: host, variables: values)
  }
}
