import SquallNode

/// Understands the command line of people who know Locust or curl: roles as flags, and other names.
struct LocustSpelling {
  /// The command line in our words.
  private(set) var arguments: [String] = []
  /// What to say of each word that has a newer one.
  private(set) var advice: [String] = []

  private static let roles = ["--master": "master", "--worker": "worker", "--slave": "worker"]
  private static let flags = ["--no-web": "--headless", "--expect-slaves": "--expect-workers"]

  init(_ given: [String]) {
    var rest = given[...]
    // Only a command line without a command of ours can be Locust's.
    if let first = rest.first, first.hasPrefix("-"),
      let index = rest.firstIndex(where: { Self.roles[$0] != nil }),
      let role = Self.roles[rest[index]]
    {
      advice.append("\(rest[index]) is now a command: squall \(role)")
      rest.remove(at: index)
      arguments.append(role)
    } else if let first = rest.first, first == "slave" {
      advice.append("slave is now worker: squall worker")
      arguments.append("worker")
      rest.removeFirst()
    }
    guard let command = arguments.first ?? rest.first, ["master", "worker"].contains(command) else {
      // curl's long name of -k. A master has a flag of this name for its own ports.
      arguments += rest.map { $0 == "--insecure" ? "-k" : $0 }
      return
    }
    while let word = rest.popFirst() {
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(parts[0])
      let value = parts.count > 1 ? String(parts[1]) : nil
      if word == "--" {
        arguments.append(word)
        arguments += rest
        return
      }
      if let newer = Self.flags[name] {
        advice.append("\(name) is now \(newer)")
        arguments.append(newer + (value.map { "=\($0)" } ?? ""))
      } else if name == "--processes", command == "worker" {
        let count = value ?? rest.popFirst() ?? ""
        arguments += ["--workers", count == "-1" ? "auto" : count]
      } else {
        arguments.append(word)
      }
    }
  }
}
