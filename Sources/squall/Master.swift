import ArgumentParser
import SquallLoad
import SquallNode
import SquallReport

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

  @Option(help: ArgumentHelp("Address of the web port.", valueName: "address"))
  var webHost = "127.0.0.1"

  @Option(
    help: ArgumentHelp("Port for commands and figures in JSON; 0 for any.", valueName: "port"))
  var webPort: UInt16 = 8_089

  @Flag(help: "No web port, and no start command: start when the workers are there.")
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
      let line = output.showsProgress ? LiveLine() : nil
      let voice = MasterVoice { sentence in
        line?.clear()
        Console.say(sentence)
      }
      let run = try record.run(load: load, head: head(options), voice: voice)
      options.take(run)
      let plan = run.plan
      let objectives = try JudgementOptions.objectives(run.head.objectives)
      let master = ClusterMaster(plan: plan, options: options, voice: voice)
      _ = try await master.listen()
      let web = headless ? nil : try await openWeb(master, options: options, voice: voice)
      let interrupts = Interrupts { master.stop() }
      let showing = Task { if let line { await master.show(on: line) } }
      let finished = try await master.run()
      showing.cancel()
      await showing.value
      line?.clear()
      let result = RunResult(
        ledger: finished.ledger, plan: plan, facts: finished.facts, objectives: objectives,
        deflate: deflate)
      for sentence in finished.missing { voice.told("missing: \(sentence)") }
      await run.finish(with: result)
      if !finished.hadTooFewWorkers { try output.write(result) }
      try await master.close()
      await web?.close()
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

  private func openWeb(
    _ master: ClusterMaster, options: ClusterMaster.Options, voice: MasterVoice
  ) async throws -> ControlPort {
    var web = ControlPort.Options()
    web.host = webHost
    web.port = webPort
    web.token = options.token
    let port = ControlPort(
      options: web,
      commands: ControlPort.Commands(
        start: { () async throws(ControlPort.Objection) in try await master.start() },
        stop: { master.stop() }, status: { await master.figures().json }))
    let number = try await port.open()
    let address = MasterAddress(host: webHost, port: number)
    voice.told("commands and figures at http://\(address)/api/status")
    voice.told(
      "start the load with: curl -H 'Content-Type: application/json' -X POST "
        + "http://\(address)/api/start")
    return port
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
    options.startsAlone = headless
    options.token = try cluster.token()
    try Exposure.check(
      host: masterBindHost, flag: "--master-bind-host", hasToken: options.token != nil,
      isInsecure: insecure)
    if !headless {
      try Exposure.check(
        host: webHost, flag: "--web-host", hasToken: options.token != nil, isInsecure: insecure)
    }
    options.security = try TransportSecurity.master(cluster.files)
    options.statistics = cluster.statsTransport.carrier
    return options
  }
}
