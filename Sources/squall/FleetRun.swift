import ArgumentParser
import SquallLoad
import SquallNode

struct FleetRun: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Measure a server from many hosts.",
    discussion: """
      squall fleet run hosts.txt http://server/ -c 512 -d 30s, or squall fleet run --on h1,h2 URL. The \
      load is that of all hosts together; the workers' flags hold on each host.
      """)

  @Argument(
    help: ArgumentHelp("File of hosts, one a line; not with --on.", valueName: "hosts"))
  var file: String?

  @OptionGroup(title: "Load") var load: LoadOptions
  @OptionGroup(title: "Scenario") var scenario: ScenarioOptions
  @OptionGroup(title: "Hosts") var fleet: FleetOptions

  @Option(
    help: ArgumentHelp(
      "Begin when the others have failed and this many hosts are ready (default: all of them).",
      valueName: "n"), transform: Read.count)
  var minHosts: UInt64?

  @OptionGroup(title: "Workers") var place: PlacementOptions
  @OptionGroup(title: "Times") var heartbeat: HeartbeatOptions
  @OptionGroup(title: "Metrics") var metrics: MetricsOptions
  @OptionGroup(title: "Judgement") var judgement: JudgementOptions
  @OptionGroup(title: "Output") var output: OutputOptions

  mutating func run() async throws {
    try await Program.reportingComplaints {
      try settleNames()
      _ = try judgement.objectives()
      try output.check()
      try RingChoice.check(place.ring.backend)
      let hosts = try fleet.hosts(file)
      let fleetOptions = try options(of: hosts.count)
      // Workers are reached through ssh.
      let (plan, objectives) = try scenario.plan(load, keepsSecrets: true)
      guard let plan else {
        throw Complaint.usage(
          "name the server to load or a scenario: squall fleet run hosts.txt http://HOST/.")
      }
      let fleetVoice = FleetVoice(isQuiet: output.quiet, showsProgress: output.showsProgress)
      let voice = MasterVoice(saysArrivals: false, say: fleetVoice.say)
      let (token, tokenText) = SharedToken.made()
      let fleet = HostFleet(
        hosts, job: .work(token: tokenText, arguments: workerArguments), cargo: try Cargo.ours(),
        options: fleetOptions, say: fleetVoice.told)

      var options = RunHost.Options()
      // The load begins on our word.
      options.expectWorkers = 0
      options.token = token
      try heartbeat.fill(&options)
      var listening = TCPListener.Options()
      listening.port = 0
      listening.token = token
      let listener = TCPListener(options: listening, announce: voice.heard)
      var head = options.head
      head.objectives = judgement.slo + objectives
      let run = RunRecord(inMemory: plan, head: head)
      let master = RunHost(options: options, carrier: listener) { notice in
        fleet.noticed(notice)
        voice.noticed(notice)
      }
      try await master.open(leading: run)
      let exporters = try await metrics.open(showing: Shown(master), say: voice.told)
      let interrupts = Interrupts { count in
        Task { await fleet.abandon() }
        master.interrupted(count)
      }
      let last =
        [Closing.Part("the fleet", withinNs: 10_000_000_000) { try await fleet.end() }]
        + exporters
      async let following: Void = fleetVoice.follow(fleet)
      await fleet.start(tunnelTo: await listener.port)
      if let obstacle = await begin(master, when: try await fleet.prepared()) {
        master.stop()
        _ = try await master.finished()
        try await master.close(last: last, late: { voice.told("warning: \($0)") })
        await following
        interrupts.end()
        if interrupts.signal == nil { throw obstacle }
        return try Program.leave(with: .couldNotRun, interruptedBy: interrupts.signal)
      }
      let leading = Leading(
        run: run, host: master, voice: voice, line: fleetVoice.line, judgement: judgement,
        output: output)
      let status = try await leading.toTheEnd(last: last)
      interrupts.end()
      try Program.leave(with: status ?? .couldNotRun, interruptedBy: interrupts.signal)
    }
  }

  /// Begins the load; what is in the way of it, otherwise.
  private func begin(_ master: RunHost, when preparation: HostFleet.Preparation) async -> Complaint?
  {
    switch preparation {
    case .abandoned: return .world("interrupted before the load began.")
    case .tooFew(let possible, let all, let wanted):
      return .world(
        "\(possible) of \(all) hosts can take part, and \(wanted) must: mend the others, or give a lower "
          + "--min-hosts.")
    case .ready:
      await master.startLoad()
      return nil
    }
  }

  /// With hosts by --on the first word is what the second is otherwise.
  private mutating func settleNames() throws {
    if let host = scenario.host, !host.contains("://") {
      throw Complaint.usage(
        "--host says where a scenario goes, as a URL; hosts of the fleet are --on \(host).")
    }
    guard !fleet.on.isEmpty, let word = file else { return }
    guard load.url == nil else {
      throw Complaint.usage("--on names hosts and '\(word)' a file of them: give one of the two.")
    }
    load.url = word
    file = nil
  }

  private func options(of count: Int) throws -> HostFleet.Options {
    var options = try fleet.options()
    guard let minHosts else { return options }
    guard minHosts > 0, minHosts <= UInt64(count) else {
      throw Complaint.usage(
        "--min-hosts \(minHosts) is outside of 1 to \(count), the number of hosts.")
    }
    options.readyCountMin = Int(minHosts)
    return options
  }

  /// The workers' flags, for the command line on each host.
  private var workerArguments: [String] {
    var words: [String] = []
    if let count = place.workers.number { words += ["--workers", "\(count)"] }
    if let cpus = place.cpus { words += ["--cpus", cpus.map(String.init).joined(separator: ",")] }
    if place.noPin { words.append("--no-pin") }
    if let backend = place.ring.backend { words += ["--backend", backend] }
    return words
  }
}
