internal import Dispatch
internal import NIOConcurrencyHelpers
internal import SquallCluster
internal import SquallEngine
package import SquallLoad

/// Runs on one fleet, one after the other, as whoever may ask wants them, until this master is told to end.
package final class RunSeries: RunControl {
  /// What the command line decides.
  package struct Wishes: Sendable {
    /// Workers without which no run begins.
    package var expectWorkers = 1
    /// The process ends so long after a run; nil: it goes on.
    package var quitsAfterNs: UInt64?
    /// What an order leaves out; a run of its own URL or scenario has nothing of it. Nil when the command
    /// line has no URL.
    package var usual: PlanDraft?
    /// The run of the command line, with its objectives; nil when it names none.
    package var own: (plan: Plan, objectives: [String])?
    /// The same as a form is filled with it; nil where a form cannot say it.
    package var form: JSONValue?
    /// A new run, with objectives beside those of the command line.
    package var record: @Sendable (Plan, [String]) throws(Complaint) -> RunRecord
    /// A run has ended, the number given of this process: its result is to be recorded and shown. Returns
    /// how it came out.
    package var ended: @Sendable (RunRecord, RunHost.Finished, Int) async -> ExitStatus

    package init(
      usual: PlanDraft?, own: (plan: Plan, objectives: [String])?,
      record: @escaping @Sendable (Plan, [String]) throws(Complaint) -> RunRecord,
      ended: @escaping @Sendable (RunRecord, RunHost.Finished, Int) async -> ExitStatus
    ) {
      self.usual = usual
      self.own = own
      self.record = record
      self.ended = ended
    }
  }

  private struct State {
    /// A run goes on, or is about to.
    var isLeading = false
    var isEnding = false
    var endedCount = 0
    /// Of the last run.
    var status = ExitStatus.good
    /// Runs that are in memory only, oldest first.
    var past: [RecordedRunSummary] = []
    var recordPath: String?
    /// What the last runs were asked with, oldest first.
    var orders: [(run: UInt64, document: JSONValue)] = []
  }

  private static let orderCountMax = 16
  /// A longer document is not kept.
  private static let orderByteCountMax = 1 << 20
  /// A run begins with the workers that are ready by then, if not with all that were there.
  private static let readyWaitNs: UInt64 = 10_000_000_000
  private static let pastCountMax = 1_000
  /// How long an order to start waits while the run before it, which has ended, is recorded and shown.
  private static let aftermathCheckNs: UInt64 = 10_000_000
  private static let aftermathCheckCountMax = 1_000

  private let host: RunHost
  private let wishes: Wishes
  private let state: NIOLockedValueBox<State>
  private let ends: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)

  /// `recordPath` is where runs are recorded; nil for nowhere.
  package init(on host: RunHost, recordPath: String?, wishes: Wishes) {
    self.host = host
    self.wishes = wishes
    state = NIOLockedValueBox(State(recordPath: recordPath))
    ends = AsyncStream.makeStream(of: Void.self)
  }

  package var feed: Feed? { host.feed }
  package func figures() async -> LiveFigures? { await host.figures() }
  package func totals() async -> RunTotals? { await host.totals() }
  package func picture() async -> RunPicture? { await host.picture() }
  /// How the last run came out.
  package var status: ExitStatus { state.withLockedValue { $0.status } }
  package var recordPath: String? { state.withLockedValue { $0.recordPath } }

  /// Opens the workers' port, and leads a run that is given to its end, as one that was started.
  package func open(leading record: RunRecord?) async throws(Complaint) {
    if record != nil { state.withLockedValue { $0.isLeading = true } }
    try await host.open(leading: record)
    if let record { Task { await self.lead(record) } }
  }

  package func start(_ document: JSONValue) async throws(Objection) -> UInt64 {
    guard await takePlace() else {
      throw Objection(
        .untimely, "a run goes on: it has to end, or be stopped, before another begins")
    }
    do throws(Objection) {
      let readyCount = await host.figures().status.readyCount
      let expected = max(1, wishes.expectWorkers)
      guard readyCount >= expected else {
        throw Objection(
          .untimely,
          "\(readyCount) of \(expected) workers are ready: start squall worker on more hosts")
      }
      let record = try await record(document)
      keep(document, of: record.run)
      await host.begin(record, expectWorkers: readyCount)
      Task { await self.lead(record) }
      Task { await self.startLate(record.run) }
      return record.run
    } catch {
      state.withLockedValue { $0.isLeading = false }
      throw error
    }
  }

  private func keep(_ document: JSONValue, of run: UInt64) {
    guard let document = whole(document),
      document.text.utf8.count <= Self.orderByteCountMax
    else { return }
    state.withLockedValue { state in
      state.orders = state.orders.suffix(Self.orderCountMax - 1) + [(run, document)]
    }
  }

  /// What leaves out what to load has the rest from the command line; nil where a form cannot say that.
  private func whole(_ document: JSONValue) -> JSONValue? {
    guard case .object(let members) = document else { return nil }
    let names = Set(members.map(\.name))
    guard names.isDisjoint(with: ["url", "scenario"]) else { return document }
    guard case .object(let usual)? = wishes.form else { return nil }
    return .object(usual.filter { !names.contains($0.name) } + members)
  }

  package func order(of run: UInt64?) async -> JSONValue? {
    guard let run else { return wishes.form }
    return state.withLockedValue { $0.orders.last { $0.run == run }?.document }
  }

  /// Takes the place of the run that goes on; false while one does. One that has ended gives it up a
  /// moment later.
  private func takePlace() async -> Bool {
    for _ in 0..<Self.aftermathCheckCountMax {
      let isFree = state.withLockedValue { state in
        defer { if !state.isEnding { state.isLeading = true } }
        return !state.isLeading && !state.isEnding
      }
      if isFree { return true }
      guard await host.figures().status.stage == .ended,
        (try? await Task.sleep(nanoseconds: Self.aftermathCheckNs)) != nil
      else { return false }
    }
    return false
  }

  private func record(_ document: JSONValue) async throws(Objection) -> RunRecord {
    let (plan, objectives) = try await wanted(document)
    do throws(Complaint) {
      return try wishes.record(plan, objectives)
    } catch {
      throw Objection(error.exitCode == .usage ? .unusable : .unavailable, error.sentence)
    }
  }

  private func wanted(_ document: JSONValue) async throws(Objection) -> (Plan, [String]) {
    if document == .object([]) {
      guard let own = wishes.own else {
        throw Objection(
          .unusable, "the command line names no run: say what to load, with its url or scenario")
      }
      return own
    }
    let order: RunOrder
    do throws(RunOrder.Fault) {
      order = try RunOrder(document, over: wishes.usual)
    } catch {
      let place = error.line.map { " (line \($0), column \(error.column ?? 1))" } ?? ""
      let subject = error.field.isEmpty ? "" : "'\(error.field)'\(place): "
      throw Objection(.unusable, subject + error.sentence)
    }
    let plan = order.hasSetup ? try await Self.prepared(order) : order.plan
    return (plan, order.objectives)
  }

  /// The plan behind what the scenario does before the load. Others wait: one run is led at a time.
  private static func prepared(_ order: RunOrder) async throws(Objection) -> Plan {
    let outcome: Result<Plan, Complaint> = await withCheckedContinuation { done in
      DispatchQueue.global().async {
        var order = order
        do throws(Complaint) {
          try order.prepare()
          done.resume(returning: .success(order.plan))
        } catch {
          done.resume(returning: .failure(error))
        }
      }
    }
    do throws(Complaint) { return try outcome.get() } catch {
      throw Objection(error.exitCode == .usage ? .unusable : .unavailable, error.sentence)
    }
  }

  /// Not for ever does a run wait for a worker that does not come up.
  private func startLate(_ run: UInt64) async {
    guard (try? await Task.sleep(nanoseconds: Self.readyWaitNs)) != nil,
      host.record?.run == run
    else { return }
    await host.startLoad()
  }

  /// Leads the run that has begun to its end.
  private func lead(_ record: RunRecord) async {
    guard let finished = try? await host.finished() else { return tellToEnd() }
    let number = state.withLockedValue { state in
      state.endedCount += 1
      return state.endedCount
    }
    let status = await wishes.ended(record, finished, number)
    let summary = record.path == nil ? await summaryInMemory() : nil
    state.withLockedValue { state in
      state.isLeading = false
      state.status = status
      if let summary { state.past = state.past.suffix(Self.pastCountMax - 1) + [summary] }
    }
    if state.withLockedValue({ $0.isEnding }) { return tellToEnd() }
    guard let quitsAfterNs = wishes.quitsAfterNs else { return }
    guard (try? await Task.sleep(nanoseconds: quitsAfterNs)) != nil else { return }
    // Another run may have begun, and its end decides.
    if state.withLockedValue({ !$0.isLeading && $0.endedCount == number }) { end() }
  }

  /// Of the run that has ended.
  private func summaryInMemory() async -> RecordedRunSummary? {
    var line = await host.summary()
    line?.state = .ended
    line?.endedAtNs = wallNs()
    if let result = await host.picture()?.result() { line?.measures = .init(result) }
    return line
  }

  package func stop() async throws(Objection) {
    guard state.withLockedValue({ $0.isLeading }) else {
      throw Objection(.untimely, "no run goes on")
    }
    host.stop()
  }

  package func change(_ document: JSONValue) async throws(Objection) {
    let change = try ChangeOrder.change(document)
    guard state.withLockedValue({ $0.isLeading }) else {
      throw Objection(.untimely, "no run goes on: start one, and change its load then")
    }
    try await host.change(change)
  }

  package func summary(of run: UInt64) async throws(Objection) -> RecordedRunSummary {
    let (past, isLeading) = state.withLockedValue { ($0.past, $0.isLeading) }
    let now = isLeading ? await host.summary() : nil
    if let recordPath { return try RecordFile.summaryForControl(recordPath, of: run, led: now) }
    guard let line = ((now.map { [$0] } ?? []) + past).first(where: { $0.run == run }) else {
      throw .absent(run)
    }
    return line
  }

  package func runs() async throws(Objection) -> [RecordedRunSummary] {
    let (past, isLeading) = state.withLockedValue { ($0.past, $0.isLeading) }
    let now = isLeading ? await host.summary() : nil
    if let recordPath { return try RecordFile.runsForControl(recordPath, led: now) }
    return (now.map { [$0] } ?? []) + past.reversed()
  }

  // MARK: The end

  /// Ends the run that goes on, and with it the series.
  package func end() {
    let isLeading = state.withLockedValue { state in
      state.isEnding = true
      return state.isLeading
    }
    if isLeading { host.stop() } else { tellToEnd() }
  }

  private func tellToEnd() { ends.continuation.yield() }

  /// The first time as `end`; from then on: now, with what is known.
  package func interrupted(_ count: Int) {
    if count == 1 { end() } else { host.interrupted(count) }
  }

  /// Until the series has been told to end and no run goes on.
  package func ended() async {
    for await _ in ends.stream { break }
    await host.leadNoMore()
  }
}
