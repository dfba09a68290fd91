internal import NIOConcurrencyHelpers
internal import NIOCore
package import SquallCluster
package import SquallLoad
package import SquallReport
internal import SquallScenario

/// The runs that this process leads, one after the other: the workers come by a carrier, and what they
/// counted goes into each run's record.
package final class RunHost: Sendable {
  package struct Options: Sendable {
    /// Workers without which there is no start.
    package var expectWorkers = 1
    /// One run, and who has delivered it leaves.
    package var leadsOneRun = true
    /// Runs that have ended, of which workers may still have something.
    package var past: [PastRun] = []
    /// What makes this host's clock the runs'.
    package var clockLeadNs: UInt64 = 0
    package var expectWorkersMaxWaitNs = UInt64.max
    package var heartbeatIntervalNs: UInt64 = 1_000_000_000
    package var liveness: UInt8 = 3
    package var leaseNs: UInt64 = 10_000_000_000
    package var token: SharedToken?

    package init() {}
  }

  /// Everything a report is made of.
  package struct Finished: Sendable {
    package var ledger: RunLedger
    package var facts: RunFacts
    /// There was no load, for want of workers.
    package var hadTooFewWorkers: Bool
  }

  package let feed = Feed()
  private let options: Options
  private let carrier: any Carrier
  private let master: MasterHost
  private let ending = Closing()
  private let led = NIOLockedValueBox<Led?>(nil)

  /// The run that is led, or was led last.
  private struct Led {
    var record: RunRecord
    var outcome: EventLoopFuture<Outcome>
    var isStopped = false
    /// Made when somebody looks: a program may be large.
    var words: RunFacts?
  }

  /// Longer than an agent waits between two attempts to connect.
  private static let returnNs: UInt64 = 3_000_000_000

  package init(
    options: Options, carrier: any Carrier,
    noticed: @escaping @Sendable (MasterMachine.LogEvent) -> Void = { _ in }
  ) {
    self.options = options
    self.carrier = carrier
    var settings = MasterMachine.Settings(
      build: Build.description, seed: UInt64.random(in: 0...UInt64.max),
      digests: Digests.standard(token: options.token))
    settings.leadsOneRun = options.leadsOneRun
    settings.heartbeatIntervalNs = options.heartbeatIntervalNs
    settings.liveness = options.liveness
    settings.leaseNs = options.leaseNs
    // An agent comes back within some heartbeats or not at all.
    settings.goneAfterNs = min(settings.goneAfterNs, 60 * options.heartbeatIntervalNs)
    settings.goneAfterCloseNs = min(
      settings.goneAfterCloseNs, max(Self.returnNs, 15 * options.heartbeatIntervalNs))
    carrier.fit(&settings)
    master = MasterHost(
      settings: settings, past: options.past, clockLeadNs: options.clockLeadNs, feed: feed,
      noticed: noticed, on: NodeLoop.shared)
  }

  /// Lets workers come, to this run if there is one.
  package func open(leading record: RunRecord? = nil) async throws(Complaint) {
    // Before anybody can join: the agents of a run that goes on are dialling already.
    await master.start()
    if let record {
      await begin(
        record, expectWorkers: options.expectWorkers, maxWaitNs: options.expectWorkersMaxWaitNs)
    }
    try await carrier.open(to: master)
  }

  /// Begins a run. The one before has ended.
  package func begin(_ record: RunRecord, expectWorkers: Int, maxWaitNs: UInt64 = .max) async {
    var settings = RunSettings(run: record.run, plan: record.plan)
    settings.expectWorkers = expectWorkers
    settings.expectWorkersMaxWaitNs = maxWaitNs
    let outcome = await master.lead(settings, record)
    led.withLockedValue { $0 = Led(record: record, outcome: outcome) }
  }

  /// Leads the run there is to its end.
  package func finished() async throws -> Finished {
    guard let led = led.withLockedValue({ $0 }) else { preconditionFailure("no run is led") }
    let record = led.record
    let outcome = try await led.outcome.get()
    let account = await master.account
    let isStopped = self.led.withLockedValue { $0?.isStopped == true }
    var facts = RunFacts(
      plan: record.plan, startedAtNs: record.startedAtNs, isInterrupted: isStopped,
      status: account.status, outcome: outcome, ledgers: account.ledgers)
    facts.changes = await master.changes
    facts.recordFault = record.failure.map { .unwritten($0) }
    carrier.note(in: &facts, of: record)
    return Finished(
      ledger: account.ledger, facts: facts,
      hadTooFewWorkers: outcome.reason == .tooFewWorkers)
  }

  /// Leads no other run: workers go once they have delivered.
  package func leadNoMore() async { await master.close() }

  /// What goes on now.
  package func figures() async -> LiveFigures { await master.figures }

  /// What the run has come to by name.
  package func totals() async -> RunTotals { await master.totals }

  /// Of the run that is led, or was led last.
  package var record: RunRecord? { led.withLockedValue { $0?.record } }

  /// All that is known of the run, for a result by now; nil before the first.
  package func picture() async -> RunPicture? {
    guard let led = led.withLockedValue({ $0 }) else { return nil }
    let record = led.record
    let known = await master.known
    return RunPicture(
      run: record.run, figures: known.figures, ledger: known.ledger, ledgers: known.ledgers,
      plan: known.figures.plan ?? record.plan,
      words: words(of: record), head: record.head, startedAtNs: record.startedAtNs,
      isStopped: led.isStopped)
  }

  private func words(of record: RunRecord) -> RunFacts {
    led.withLockedValue { led in
      if let words = led?.words, led?.record.run == record.run { return words }
      var words = RunFacts()
      words.takeWords(of: record.plan)
      led?.words = words
      return words
    }
  }

  /// As a list of runs has it; nil before the first.
  package func summary() async -> RecordedRunSummary? {
    guard let record else { return nil }
    let figures = await master.figures
    var line = RecordedRunSummary(
      run: record.run, startedAtNs: record.startedAtNs, plan: record.plan,
      hosts: Set(figures.status.workers.map(\.incarnation.agent)).count,
      state: figures.status.stage == .ended ? .ended : .running)
    line.sent = figures.totals.sent
    line.ok = figures.totals.ok
    line.notOk = figures.totals.notOk
    return line
  }

  /// Begins the load with the workers that are ready.
  package func startLoad() async { await master.startLoad() }

  /// Changes the load of the run that goes on.
  package func change(_ change: LoadChange) async throws(Objection) {
    if let users = change.users, let plan = record?.plan, !plan.content.program.isEmpty,
      let sentence = SquallScenario.Program(bytes: plan.content.program)?
        .obstacle(to: UInt64(users), planned: UInt64(plan.connections.count))
    {
      throw Objection(.unusable, sentence, field: "users")
    }
    if let refusal = await master.changeLoad(change) { throw ChangeOrder.objection(refusal) }
  }

  /// Send nothing more, collect, report.
  package func stop() {
    led.withLockedValue { $0?.isStopped = true }
    Task { await master.stopLoad() }
  }

  /// The first time: stop. From then on: report now what is known now.
  package func interrupted(_ count: Int) {
    stop()
    guard count > 1 else { return }
    ending.hurry()
    Task { await master.abandon(afterNs: await carrier.cut()) }
  }

  /// Closes these parts, then everything of the run, then the last ones.
  package func close(
    _ first: [Closing.Part] = [], last: [Closing.Part] = [],
    late: @escaping @Sendable (String) -> Void,
    before: @escaping @Sendable (String) async -> Void = { _ in }
  ) async throws {
    let workers = Closing.Part("a worker", withinNs: 10_000_000_000) {
      try await self.master.dismissed.futureResult.get()
    }
    try await ending.close(first + [workers] + carrier.closing + last, late: late, before: before)
  }
}

extension RunHost.Options {
  /// Of a run that begins with these options, here and now.
  package var head: RecordHead {
    var head = RecordHead()
    head.argv = CommandLine.arguments
    head.tool = .ours
    head.host = .ours
    head.expectWorkers = expectWorkers
    head.expectWorkersMaxWaitNs = expectWorkersMaxWaitNs == .max ? nil : expectWorkersMaxWaitNs
    head.heartbeatIntervalNs = heartbeatIntervalNs
    head.liveness = UInt32(liveness)
    head.leaseNs = leaseNs
    return head
  }

  /// The runs of this record that have ended, of which agents may still have something. Without it, one
  /// that was away is refused, and keeps its counts in a file.
  package mutating func remember(_ record: String?) {
    past = record.flatMap { try? RecordFile(path: $0, for: .reading).pastRuns() } ?? []
  }

  /// Those of this run. Agents keep to the times they were told first, so a run that goes on has those
  /// it began with.
  package mutating func take(_ run: RunRecord) {
    expectWorkers = run.head.expectWorkers
    expectWorkersMaxWaitNs = run.head.expectWorkersMaxWaitNs ?? .max
    heartbeatIntervalNs = run.head.heartbeatIntervalNs
    liveness = UInt8(clamping: run.head.liveness)
    leaseNs = run.head.leaseNs
  }
}
