import ArgumentParser
import SquallLoad
import SquallNode

struct FleetCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fleet",
    abstract: "Measure from many hosts in one command, over ssh.",
    discussion: """
      Hosts are named in a file, one a line, or by --on, as ssh takes them: h1, user@h1, h1:2222, or a \
      name of ssh's own configuration. This program is brought to each once, its workers are reached \
      through the ssh connection alone, and end with it: no port is opened, nothing is installed, \
      nothing is left but the cached program.
      """,
    subcommands: [FleetRun.self, FleetDoctor.self, FleetClean.self])
}

/// Which hosts, and how they are reached.
struct FleetOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A host, in the place of a file of them: user@h1, h2:2222; repeatable, or with commas.",
      valueName: "host"))
  var on: [String] = []

  @Option(
    help: ArgumentHelp(
      "How ssh is started (default: ssh), such as 'ssh -F my_config -i my_key'.",
      valueName: "command"))
  var ssh: String?

  @Option(
    help: "Give a host up that is not ready by then (default: 2m).", transform: Read.measuredTime)
  var readyWithin: UInt64 = 120_000_000_000

  /// - Parameter file: the word where a file of hosts may stand.
  func hosts(_ file: String?) throws -> [FleetHost] {
    if !on.isEmpty {
      return try FleetHost.list(on.flatMap { $0.split(separator: ",").map(String.init) })
    }
    guard let file else {
      throw Complaint.usage("name a file of hosts, such as hosts.txt, or hosts by --on user@h1.")
    }
    return try FleetHost.read(file)
  }

  func options() throws -> HostFleet.Options {
    var options = HostFleet.Options()
    options.readyWithinNs = readyWithin
    if let ssh {
      options.ssh = Read.words(ssh)
      guard !options.ssh.isEmpty else { throw Complaint.usage("--ssh names no command.") }
    }
    return options
  }

  /// The outputs of a job that ends by itself, once it has everywhere.
  func outputs(
    of job: HostSession.Job, on file: String?
  ) async throws -> [(host: FleetHost, state: HostSession.State, output: String)] {
    if !on.isEmpty, let file {
      throw Complaint.usage("--on names hosts and '\(file)' a file of them: give one of the two.")
    }
    let voice = FleetVoice(tellsEndings: false)
    let fleet = HostFleet(
      try hosts(file), job: job, cargo: try Cargo.ours(), options: try options(), say: voice.told)
    let interrupts = Interrupts { _ in Task { try await fleet.end() } }
    await fleet.start()
    await voice.follow(fleet)
    interrupts.end()
    if let signal = interrupts.signal {
      try Program.leave(with: .couldNotRun, interruptedBy: signal)
    }
    return await fleet.outputs
  }
}

struct FleetDoctor: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Tell what on each host would spoil a measurement, in one table.",
    discussion: "Exits with 1 when a host cannot be reached, or nothing can be measured on it.")

  @Argument(help: ArgumentHelp("File of hosts, one a line.", valueName: "hosts"))
  var file: String?

  @OptionGroup(title: "Hosts") var fleet: FleetOptions

  mutating func run() async throws {
    try await Program.reportingComplaints {
      let checkup = FleetCheckup(try await fleet.outputs(of: .doctor, on: file))
      try Console.print(checkup.text)
      try Program.leave(with: checkup.canMeasure ? .good : .couldNotRun, interruptedBy: nil)
    }
  }
}

struct FleetClean: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "clean", abstract: "Remove the cached programs from each host.")

  @Argument(help: ArgumentHelp("File of hosts, one a line.", valueName: "hosts"))
  var file: String?

  @OptionGroup(title: "Hosts") var fleet: FleetOptions

  mutating func run() async throws {
    try await Program.reportingComplaints {
      let outputs = try await fleet.outputs(of: .clean, on: file)
      for (host, state, output) in outputs {
        switch state {
        case .failed(let why), .lost(let why): Console.say("error: \(host.name): \(why)")
        default:
          try Console.print(
            "\(host.name): \(output) \(output == "1" ? "file" : "files") removed\n")
        }
      }
      let isClean = outputs.allSatisfy { $0.state == .left }
      try Program.leave(with: isClean ? .good : .couldNotRun, interruptedBy: nil)
    }
  }
}
