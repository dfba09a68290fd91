import ArgumentParser
import SquallLoad
import SquallNode

struct Master: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Lead a run over the workers of many hosts.",
    discussion: """
      Start squall worker --master-host HOST on each host. The master sends the plan, deals it over \
      all workers, starts them together and counts what each request came to, once. It sends no load \
      itself.
      """)

  @OptionGroup(title: "Load") var load: LoadOptions

  @Option(
    help: ArgumentHelp(
      "Start when this many workers (processes, not hosts) are ready.", valueName: "n"),
    transform: Read.count)
  var expectWorkers: UInt64 = 1

  @Option(
    help: ArgumentHelp("Give up when they have not come by then.", valueName: "time"),
    transform: Read.time)
  var expectWorkersMaxWait: UInt64?

  @Option(help: ArgumentHelp("Address to listen on for workers.", valueName: "address"))
  var masterBindHost = "127.0.0.1"

  @Option(help: ArgumentHelp("Port to listen on for workers.", valueName: "port"))
  var masterBindPort = MasterAddress.standardPort

  @Flag(
    name: [.long, .customLong("no-web")],
    help: "No web port: start when the workers are there, and exit after the report.")
  var headless = false

  @Flag(help: "Listen on an address others can reach without a token.")
  var insecure = false

  @OptionGroup(title: "Cluster") var cluster: ClusterOptions
  @OptionGroup(title: "Times") var heartbeat: HeartbeatOptions
  @OptionGroup(title: "Record") var record: RecordOptions
  @OptionGroup(title: "Judgement") var judgement: JudgementOptions
  @OptionGroup(title: "Output") var output: OutputOptions

  mutating func run() async throws {
    try await Program.reportingComplaints {
      _ = try judgement.objectives()
      try output.check()
      try heartbeat.check()
      var options = try options()
      let voice = MasterVoice(say: Console.say)
      let run = try record.run(load: load, head: head(options), voice: voice)
      options.take(run)
      let plan = run.plan
      let objectives = try JudgementOptions.objectives(run.head.objectives)
      let master = ClusterMaster(plan: plan, options: options, voice: voice)
      _ = try await master.listen()
      let interrupts = Interrupts { master.stop() }
      let finished = try await master.run()
      let result = RunResult(
        ledger: finished.ledger, plan: plan, facts: finished.facts, objectives: objectives,
        deflate: deflate)
      for sentence in finished.missing { voice.told("missing: \(sentence)") }
      await run.finish(with: result)
      if !finished.hadTooFewWorkers { try output.write(result) }
      try await master.close()
      interrupts.end()
      if finished.hadTooFewWorkers && interrupts.signal == nil {
        throw Complaint.world(
          "fewer than \(expectWorkers) workers came in time: start squall worker on more hosts, or "
            + "lower --expect-workers.")
      }
      let status = finished.missing.isEmpty ? judgement.status(of: result) : .incomplete
      try Program.leave(with: status, interruptedBy: interrupts.signal)
    }
  }

  private func head(_ options: ClusterMaster.Options) -> RecordHead {
    var head = options.head
    head.objectives = judgement.slo
    return head
  }

  private func options() throws -> ClusterMaster.Options {
    var options = ClusterMaster.Options()
    options.host = masterBindHost
    options.port = masterBindPort
    options.expectWorkers = Int(clamping: expectWorkers)
    options.expectWorkersMaxWaitNs = expectWorkersMaxWait ?? .max
    options.heartbeatIntervalNs = heartbeat.heartbeatInterval
    options.liveness = UInt8(heartbeat.heartbeatLiveness)
    options.leaseNs = heartbeat.lease
    options.token = try cluster.token()
    options.security = try TransportSecurity.master(cluster.files)
    options.statistics = cluster.statsTransport.carrier
    return options
  }
}
