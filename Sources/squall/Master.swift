import ArgumentParser
import SquallLoad
import SquallNode
import SquallReport

struct Master: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Lead runs over the workers of many hosts.",
    discussion: """
      Start squall worker --master-host HOST on each host. The master sends the plan, deals it over \
      all workers, starts them together and counts what each request came to, once. It sends no load \
      itself. A scenario's users are dealt over the workers, one worker a CPU, and it travels with all \
      of its data. It lives until it is told to end, and workers stay with it from run to run; with \
      --headless it leads the one run of its command line.
      """)

  @OptionGroup(title: "Load") var load: LoadOptions

  @OptionGroup(title: "Scenario") var scenario: ScenarioOptions

  @Option(
    help: ArgumentHelp(
      "Start when this many workers (processes, not hosts) are ready.", valueName: "n"),
    transform: Read.count)
  var expectWorkers: UInt64 = 1

  @Option(
    help: ArgumentHelp("Give up when they have not come by then.", valueName: "time"),
    transform: Read.time)
  var expectWorkersMaxWait: UInt64?

  @Option(
    help: ArgumentHelp("Address to listen on for workers.", valueName: "address"),
    transform: Read.host)
  var masterBindHost = "127.0.0.1"

  @Option(help: ArgumentHelp("Port to listen on for workers.", valueName: "port"))
  var masterBindPort = MasterAddress.standardPort

  @Option(
    help: ArgumentHelp("Address of the web port.", valueName: "address"), transform: Read.host)
  var webHost = "127.0.0.1"

  @Option(
    help: ArgumentHelp("Port of the page and its API; 0 for any.", valueName: "port"))
  var webPort: UInt16 = 8_089

  @Flag(help: "No web port, and one run: start when the workers are there, end with the run.")
  var headless = false

  @Flag(help: "Start the run of the command line when the workers are there.")
  var autostart = false

  @Option(
    help: ArgumentHelp("End so long after a run: 0s, 30s.", valueName: "time"),
    transform: Read.pause)
  var autoquit: UInt64?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Workers on this host: a number, or -1 for one per CPU.", valueName: "n"),
    transform: Read.processes)
  var processes: WorkerCount?

  @Flag(help: "Listen on an address others can reach without a token.")
  var insecure = false

  @OptionGroup(title: "Cluster") var cluster: ClusterOptions
  @OptionGroup(title: "Times") var heartbeat: HeartbeatOptions
  @OptionGroup(title: "Metrics") var metrics: MetricsOptions
  @OptionGroup(title: "Record") var record: RecordOptions
  @OptionGroup(title: "Judgement") var judgement: JudgementOptions
  @OptionGroup(title: "Output") var output: OutputOptions

  mutating func run() async throws {
    try await Program.reportingComplaints {
      _ = try judgement.objectives()
      try output.check()
      let line = output.showsProgress ? LiveLine() : nil
      let spoken = SpokenLines()
      let voice = MasterVoice(standsBy: !headless) { sentence in
        line?.clear()
        Console.say(sentence)
        spoken.add(sentence)
      }
      if headless { try await leadOne(line, voice) } else { try await live(line, voice, spoken) }
    }
  }

  /// The run of the command line, and no other.
  private func leadOne(_ line: LiveLine?, _ voice: MasterVoice) async throws {
    var options = try options()
    let (plan, objectives) = try scenario.plan(load, keepsSecrets: keepsSecrets)
    let run = try record.run(
      of: plan, key: try load.wire.keyBytes(), head: head(options, objectives), voice: voice)
    options.take(run)
    let workers = try ownWorkers(options.token)
    let master = RunHost(
      options: options,
      carrier: TCPListener(options: try listening(options.token)) { heard in
        voice.heard(heard)
        if case .listening(let address) = heard { workers?.join(address) }
      },
      noticed: voice.noticed)
    try await master.open(leading: run)
    let exporters = try await metrics.open(showing: Shown(master), say: voice.told)
    let interrupts = Interrupts { master.interrupted($0) }
    let leading = Leading(
      run: run, host: master, voice: voice, line: line, judgement: judgement, output: output)
    let status = try await leading.toTheEnd(
      last: (workers.map { [$0.closing] } ?? []) + exporters)
    interrupts.end()
    guard status != nil || interrupts.signal != nil else { throw Complaint.world(tooFewWorkers) }
    try Program.leave(with: status ?? .couldNotRun, interruptedBy: interrupts.signal)
  }

  /// Runs as they are asked for, until it is told to end.
  private func live(
    _ line: LiveLine?, _ voice: MasterVoice, _ spoken: SpokenLines
  ) async throws {
    var options = try options()
    options.leadsOneRun = false
    let (plan, objectives) = try scenario.plan(load, keepsSecrets: keepsSecrets)
    guard plan != nil || !autostart else {
      throw Complaint.usage("--autostart has no run: name the server to load or a scenario.")
    }
    let head = head(options, objectives)
    let record = record
    let warn: @Sendable (String) -> Void = { voice.told("warning: " + $0) }
    var first = try record.cutOff(key: try load.wire.keyBytes(), voice)
    if let first {
      options.take(first)
      options.clockLeadNs = first.clockLeadNs
    }
    options.remember(record.path)
    if first == nil, autostart, let plan {
      first = try record.new(of: plan, head: head, warn: warn)
    }
    let workers = try ownWorkers(options.token)
    let master = RunHost(
      options: options,
      carrier: TCPListener(options: try listening(options.token)) { heard in
        voice.heard(heard)
        if case .listening(let address) = heard { workers?.join(address) }
      },
      noticed: voice.noticed)
    let isScenario = try scenario.file(orPositional: load.url) != nil
    let draft = try isScenario ? nil : load.url.map { try load.draft(url: $0) }
    let command = self
    let slo = judgement.slo
    var wishes = RunSeries.Wishes(
      usual: draft, own: plan.map { ($0, objectives) },
      record: { plan, objectives throws(Complaint) in
        var head = head
        head.objectives = slo + objectives
        return try record.new(of: plan, head: head, warn: warn)
      },
      ended: { run, finished, number in
        do {
          let result = try Leading.result(of: run, finished, voice)
          await run.finish(with: result)
          if finished.hadTooFewWorkers {
            voice.told(command.tooFewWorkers)
            return .couldNotRun
          }
          try (number == 1 ? command.output : command.output.numbered(number)).write(result)
          return Leading.status(of: result, finished, by: command.judgement)
        } catch {
          voice.told("warning: \(error)")
          return .couldNotRun
        }
      })
    wishes.form = try plan.flatMap { try scenario.form(load, for: $0) }
    wishes.expectWorkers = options.expectWorkers
    wishes.quitsAfterNs = autoquit
    let series = RunSeries(on: master, recordPath: record.path, wishes: wishes)
    try await series.open(leading: first)
    let exporters = try await metrics.open(showing: series, say: voice.told)
    let web = try await openWeb(series, options: options, voice: voice, spoken: spoken)
    let interrupts = Interrupts { series.interrupted($0) }
    let showing = Task { await line?.follow(master.feed, namesWorkers: true) }
    await series.ended()
    try await master.close(
      last: (workers.map { [$0.closing] } ?? []) + [web.closing] + exporters,
      late: { voice.told("warning: \($0)") })
    interrupts.end()
    showing.cancel()
    line?.clear()
    try Program.leave(with: series.status, interruptedBy: interrupts.signal)
  }

  /// Nobody takes part who was not meant to.
  private var keepsSecrets: Bool {
    get throws { try cluster.token() != nil || cluster.tlsCert != nil }
  }

  private var tooFewWorkers: String {
    "fewer than \(expectWorkers) workers came in time: start squall worker on more hosts, or "
      + "lower --expect-workers."
  }

  /// Workers on this host, as `squall worker` would give them.
  private func ownWorkers(_ token: SharedToken?) throws -> OwnWorkers? {
    guard let processes else { return nil }
    let placement = try Placement(
      workerCount: processes.number, cpus: nil, allowed: Host.cpus, hasTarget: false)
    return OwnWorkers(
      cpus: placement.workers, token: token, security: try TransportSecurity.worker(cluster.files),
      statistics: cluster.statsTransport.carrier)
  }

  private func openWeb(
    _ control: any RunControl, options: RunHost.Options, voice: MasterVoice, spoken: SpokenLines
  ) async throws -> ControlPort {
    var web = ControlPort.Options()
    web.host = webHost
    web.port = webPort
    web.token = options.token
    web.security = try TransportSecurity.web(cluster.files)
    web.spoken = spoken
    let port = ControlPort(options: web, showing: control)
    let number = try await port.open()
    let address = "\(port.scheme)://\(MasterAddress(host: webHost, port: number))"
    voice.told("the page is at \(address)/")
    voice.told("commands and figures at \(address)/api/status")
    voice.told(
      "start the load with: curl -H 'Content-Type: application/json' -X POST "
        + "\(address)/api/start")
    return port
  }

  private func head(_ options: RunHost.Options, _ objectives: [String]) -> RecordHead {
    var head = options.head
    head.objectives = judgement.slo + objectives
    return head
  }

  private func options() throws -> RunHost.Options {
    guard expectWorkers > 0 else {
      throw Complaint.usage("--expect-workers 0 waits for nobody: give at least 1.")
    }
    var options = RunHost.Options()
    options.expectWorkers = Int(clamping: expectWorkers)
    options.expectWorkersMaxWaitNs = expectWorkersMaxWait ?? .max
    try heartbeat.fill(&options)
    options.token = try cluster.token()
    try Exposure.check(
      host: masterBindHost, flag: "--master-bind-host", hasToken: options.token != nil,
      isInsecure: insecure)
    if !headless {
      try Exposure.check(
        host: webHost, flag: "--web-host", hasToken: options.token != nil, isInsecure: insecure)
    }
    return options
  }

  private func listening(_ token: SharedToken?) throws -> TCPListener.Options {
    var options = TCPListener.Options()
    options.host = masterBindHost
    options.port = masterBindPort
    options.security = try TransportSecurity.master(cluster.files)
    options.statistics = cluster.statsTransport.carrier
    options.token = token
    return options
  }
}
