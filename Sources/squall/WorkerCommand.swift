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

  @Option(help: ArgumentHelp("Host the master runs on.", valueName: "host"))
  var masterHost = "127.0.0.1"

  @Option(help: ArgumentHelp("Port of the master.", valueName: "port"))
  var masterPort = MasterAddress.standardPort

  @Option(
    name: [.customShort("w"), .long, .customShort("t"), .customLong("threads")],
    help: "Worker processes: a number, or auto for one per CPU.", transform: Read.workers)
  var workers: WorkerCount = .auto

  @Option(
    help: ArgumentHelp("CPUs for the workers, such as 0,2-3.", valueName: "list"),
    transform: Read.cpuList)
  var cpus: [UInt16]?

  @Flag(help: "Let the scheduler move workers between CPUs.")
  var noPin = false

  @OptionGroup(title: "Cluster") var cluster: ClusterOptions
  @OptionGroup(title: "Set by the master") var heartbeat: HeartbeatOptions

  mutating func run() async throws {
    try await Program.reportingComplaints {
      let placement = try Placement(
        workerCount: workers.number, cpus: cpus, allowed: Host.cpus, hasTarget: false)
      let master = MasterAddress(host: masterHost, port: masterPort)
      var options = ClusterWorker.Options(master: master, cpus: placement.workers)
      options.isPinned = !noPin
      options.token = try cluster.token()
      options.security = try TransportSecurity.worker(cluster.files)
      options.statistics = cluster.statsTransport.carrier
      options.leftoversFolder = DataFolder.path
      let voice = AgentVoice(master: master, hasToken: options.token != nil, say: Console.say)
      let worker = ClusterWorker(options: options, voice: voice)
      let interrupts = Interrupts {
        voice.told("leaving once everything is delivered; once more to leave now")
        worker.leave()
      }
      let exit = try await worker.run()
      interrupts.end()
      // Leaving when asked to, with everything delivered, is no failure.
      try Program.leave(with: exit.status, interruptedBy: nil)
    }
  }
}
