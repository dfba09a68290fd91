import ArgumentParser
import SquallNode

struct WorkerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "worker",
    abstract: "Give this host's CPUs to a master elsewhere.",
    discussion: """
      Starts one pinned worker process per CPU, takes the plan from the master, and keeps what they \
      counted until the master has it for good. Ctrl-C or SIGTERM once hands everything over and \
      leaves; twice leaves now.
      """)

  @Option(
    help: ArgumentHelp("Host the master runs on.", valueName: "host"), transform: Read.host)
  var masterHost = "127.0.0.1"

  @Option(help: ArgumentHelp("Port of the master.", valueName: "port"))
  var masterPort = MasterAddress.standardPort

  @Option(help: "What this host is called in the report (default: its own name).")
  var name: String?

  @Flag(help: ArgumentHelp("Leave as soon as standard input ends.", visibility: .hidden))
  var untilInputEnds = false

  @OptionGroup(title: "Workers") var place: PlacementOptions

  @OptionGroup(title: "Cluster") var cluster: ClusterOptions
  @OptionGroup(title: "Set by the master") var heartbeat: HeartbeatOptions

  mutating func run() async throws {
    try await Program.reportingComplaints {
      let placement = try place.placement(hasTarget: false)
      let master = MasterAddress(host: masterHost, port: masterPort)
      var options = ClusterWorker.Options(master: master, cpus: placement.workers)
      options.isPinned = placement.isPinned
      options.ring = try place.ring.choice()
      options.token = try cluster.token()
      options.security = try TransportSecurity.worker(cluster.files)
      options.statistics = cluster.statsTransport.carrier
      // A host that is lent for a run keeps nothing of it.
      options.leftoversFolder = untilInputEnds ? nil : DataFolder.path
      options.name = name ?? options.name
      let voice = AgentVoice(master: master, hasToken: options.token != nil, say: Console.say)
      let worker = ClusterWorker(options: options, voice: voice)
      let interrupts = Interrupts { count in
        if count == 1 { voice.told("leaving once everything is delivered; once more to leave now") }
        worker.leave()
      }
      let inputEnd = untilInputEnds ? InputEnd { for _ in 1...2 { worker.leave() } } : nil
      let exit = try await worker.run()
      inputEnd?.end()
      interrupts.end()
      // Leaving when asked to, with everything delivered, is no failure.
      try Program.leave(with: exit.status, interruptedBy: nil)
    }
  }
}
