internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOPosix
internal import SquallCluster
package import SquallLoad
package import SquallReport

/// `squall master`: one run over the hosts that join.
package final class ClusterMaster: Sendable {
  package struct Options: Sendable {
    package var host = "127.0.0.1"
    package var port = MasterAddress.standardPort
    /// Workers without which there is no start.
    package var expectWorkers = 1
    /// Start by itself once they are there, and not on a command.
    package var startsAlone = true
    package var expectWorkersMaxWaitNs = UInt64.max
    package var heartbeatIntervalNs: UInt64 = 1_000_000_000
    package var liveness: UInt8 = 3
    package var leaseNs: UInt64 = 10_000_000_000
    package var token: SharedToken?
    package var security: TransportSecurity?
    package var statistics = StatisticsCarrier.tcp
    package var merged: @Sendable (Batch) -> Void = { _ in }
    /// Where the run is kept, and what it had come to when it was last led.
    package var record: RunRecord?

    package init() {}
  }

  /// Everything a report is made of, and what is to be said beside it.
  package struct Finished: Sendable {
    package var ledger: RunLedger
    package var facts: RunFacts
    /// What is known to be missing, in sentences.
    package var missing: [String]
    /// There was no load, for want of workers.
    package var hadTooFewWorkers: Bool
  }

  private let plan: Plan
  private let options: Options
  private let voice: MasterVoice
  private let run: UInt64
  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let digests: Digests
  private let master: MasterHost
  private let listener: TCPListener
  private let stopCount = NIOLockedValueBox(0)

  package init(plan: Plan, options: Options, voice: MasterVoice) {
    self.plan = plan
    self.options = options
    self.voice = voice
    let eventLoop = group.next()
    digests = Digests.standard(token: options.token)
    var settings = MasterMachine.Settings(
      run: options.record?.run ?? RunRecord.name(), build: Build.description, plan: plan,
      seed: UInt64.random(in: 0...UInt64.max), digests: digests)
    settings.expectWorkers = options.startsAlone ? options.expectWorkers : 0
    settings.expectWorkersMaxWaitNs = options.startsAlone ? options.expectWorkersMaxWaitNs : .max
    run = settings.run
    settings.heartbeatIntervalNs = options.heartbeatIntervalNs
    settings.liveness = options.liveness
    settings.leaseNs = options.leaseNs
    // An agent comes back within some heartbeats or not at all.
    settings.goneAfterNs = min(settings.goneAfterNs, 60 * options.heartbeatIntervalNs)
    settings.goneAfterCloseNs = min(
      settings.goneAfterCloseNs, max(Self.returnNs, 15 * options.heartbeatIntervalNs))
    var observer = MasterHost.Observer()
    observer.noticed = { voice.noticed($0) }
    observer.merged = options.merged
    master = MasterHost(
      machine: MasterMachine(settings: settings, recovered: options.record?.past?.recovery),
      account: options.record?.past?.account, clockLeadNs: options.record?.clockLeadNs ?? 0,
      record: options.record.map { FileRecord($0, on: eventLoop) } ?? MemoryRecord(on: eventLoop),
      observer: observer, on: eventLoop)
    listener = TCPListener(
      for: master, security: options.security, announce: { voice.heard($0) })
  }

  /// Longer than an agent waits between two attempts to connect.
  private static let returnNs: UInt64 = 3_000_000_000

  /// Opens the port. Returns its number.
  package func listen() async throws(Complaint) -> UInt16 {
    // Before anybody can join: the agents of a run that goes on are dialling already.
    await master.start()
    let port = try await listener.bind(
      host: options.host, port: options.port, statistics: options.statistics, digests: digests)
    let address = MasterAddress(host: options.host, port: port)
    voice.told("waiting for workers at \(address)")
    return port
  }

  /// Leads the run to its end.
  package func run() async throws -> Finished {
    let startedAtNs = Host.wallNs
    let outcome = try await master.ended.futureResult.get()
    var facts = RunFacts(
      startedAtNs: startedAtNs, isInterrupted: stopCount.withLockedValue { $0 } > 0,
      status: await master.status, outcome: outcome, ledgers: await master.ledgers)
    if let record = options.record {
      facts.take(record.head, run: record.run, startedAtNs: record.startedAtNs)
      facts.recordFault = record.failure.map { .unwritten($0) }
    }
    facts.gaps = outcome.gaps.map(voice.describe)
    return Finished(
      ledger: await master.ledger, facts: facts, missing: facts.gaps,
      hadTooFewWorkers: outcome.reason == .tooFewWorkers)
  }

  /// What the run does now.
  package func figures() async -> LiveFigures {
    LiveFigures(status: await master.status, run: run, ledger: await master.ledger)
  }

  /// Begins the load with the workers that are ready.
  package func start() async throws(ControlPort.Objection) {
    let status = await master.status
    guard status.stage == .waiting else {
      throw .init("the run is past its start: it is \(status.stage.rawValue)")
    }
    guard status.readyCount >= max(1, options.expectWorkers) else {
      throw .init(
        "\(status.readyCount) of \(max(1, options.expectWorkers)) workers are ready: start squall "
          + "worker on more hosts")
    }
    await master.startLoad()
  }

  /// Shows the run's figures on `line` each interval, until this task is cancelled.
  package func show(on line: LiveLine) async {
    while (try? await Task.sleep(nanoseconds: max(100_000_000, plan.intervalNs / 2))) != nil {
      let figures = await figures()
      guard figures.status.stage == .running, let moment = figures.moment else { continue }
      line.show(moment, of: plan)
    }
  }

  /// Lets the agents go, and everything else.
  package func close() async throws {
    try await master.dismissed.futureResult.get()
    listener.close()
    try await group.shutdownGracefully()
  }

  /// The first time: send nothing more, collect, report. The second: report now.
  package func stop() {
    let count = stopCount.withLockedValue { count in
      count += 1
      return count
    }
    Task {
      await master.stopLoad()
      if count > 1 { await master.abandon() }
    }
  }
}

/// Commits to a file, and says so on the master's loop.
struct FileRecord: MasterHost.Record {
  let record: RunRecord
  let eventLoop: any EventLoop

  init(_ record: RunRecord, on eventLoop: any EventLoop) {
    self.record = record
    self.eventLoop = eventLoop
  }

  func write(
    _ entry: RecordEntry, token: UInt64, committed: @escaping @Sendable (UInt64) -> Void
  ) {
    record.write(entry, token: token) { token in eventLoop.execute { committed(token) } }
  }
}

/// Commits at once: nothing outlives the process.
struct MemoryRecord: MasterHost.Record {
  let eventLoop: any EventLoop

  init(on eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  func write(
    _ entry: RecordEntry, token: UInt64, committed: @escaping @Sendable (UInt64) -> Void
  ) {
    eventLoop.execute { committed(token) }
  }
}
