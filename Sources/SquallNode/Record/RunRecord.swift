internal import Dispatch
internal import NIOConcurrencyHelpers
package import SquallCluster
internal import SquallEngine
package import SquallLoad
package import SquallReport

/// One run's part of a record, as its master writes it. Entries are committed in groups on a thread
/// of their own, so that a slow disk delays acknowledgements and nothing else.
///
/// When the file cannot be written any more the run goes on in memory: entries count as committed at
/// once, `failure` says why, and nothing more is written but, at the end, the result.
///
/// What waits is bounded by whoever writes: `MasterMachine.Settings.uncommittedMax` batches.
package final class RunRecord: Sendable {
  package let run: UInt64
  package let head: RecordHead
  package let plan: Plan
  /// Wall clock of the run's beginning.
  package let startedAtNs: UInt64
  /// What is to be added to this host's clock for the run's, which went on while no master led it.
  package let clockLeadNs: UInt64
  /// What was known when the run was last led; nil for a new run.
  package let past: (recovery: Recovery, account: RunAccount)?

  private struct State {
    var waiting: [Entry] = []
    var isCommitting = false
    var failure: String?
    /// The machine has said how the run ended.
    var hasEnd = false
  }

  private struct Entry {
    var entry: RecordEntry
    var token: UInt64
    var committed: @Sendable (UInt64) -> Void
  }

  /// Nil when there is none to write to.
  private let file: RecordFile?
  private let number: Int64
  private let warn: @Sendable (String) -> Void
  private let committer = DispatchQueue(label: "squall.record")
  private let state: NIOLockedValueBox<State>

  /// A run in memory only: nobody asked for more, or it could not be had, for the reason given.
  package init(
    inMemory plan: Plan, head: RecordHead = RecordHead(), failure: String? = nil,
    warn: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    self.plan = plan
    self.head = head
    self.warn = warn
    run = Self.name()
    startedAtNs = wallNs()
    clockLeadNs = 0
    past = nil
    file = nil
    number = 0
    state = NIOLockedValueBox(State(failure: failure))
    if let failure { warn(Self.warning(failure)) }
  }

  init(
    file: RecordFile, number: Int64, run: UInt64, plan: Plan, head: RecordHead,
    startedAtNs: UInt64, clockLeadNs: UInt64, past: (recovery: Recovery, account: RunAccount)?,
    warn: @escaping @Sendable (String) -> Void
  ) {
    self.file = file
    self.number = number
    self.run = run
    self.plan = plan
    self.head = head
    self.startedAtNs = startedAtNs
    self.clockLeadNs = clockLeadNs
    self.past = past
    self.warn = warn
    state = NIOLockedValueBox(State(hasEnd: past?.recovery.outcome != nil))
  }

  /// Positive as SQLite has numbers, and never 0, which is no run.
  static func name() -> UInt64 { UInt64.random(in: 1...UInt64(Int64.max)) }

  /// Why the record is not whole; nil while it is, or when there is to be none.
  package var failure: String? { state.withLockedValue { $0.failure } }

  /// Nil in memory.
  package var path: String? { file?.path }

  /// Calls `committed` on some thread, in order and at least for the last token of each group.
  package func write(
    _ entry: RecordEntry, token: UInt64, committed: @escaping @Sendable (UInt64) -> Void
  ) {
    // Nothing outlives the process, so there is nothing to wait for.
    guard file != nil else { return committed(token) }
    let isIdle = state.withLockedValue { state in
      state.waiting.append(Entry(entry: entry, token: token, committed: committed))
      defer { state.isCommitting = true }
      return !state.isCommitting
    }
    if isIdle { committer.async { self.commitAll() } }
  }

  private func commitAll() {
    while true {
      let group = state.withLockedValue { state in
        defer { state.waiting = [] }
        state.isCommitting = !state.waiting.isEmpty
        return state.waiting
      }
      guard let last = group.last else { return }
      commit(group.map(\.entry))
      last.committed(last.token)
    }
  }

  private func commit(_ entries: [RecordEntry]) {
    guard let file, failure == nil else { return }
    do throws(RecordFile.Trouble) {
      try RecordFile.attempt(file.path) {
        try file.database.write { db in
          for entry in entries { try file.insert(entry, run: number, db) }
        }
      }
      for case .end in entries { state.withLockedValue { $0.hasEnd = true } }
    } catch {
      state.withLockedValue { $0.failure = error.sentence }
      warn(Self.warning(error.sentence))
    }
  }

  private static func warning(_ cause: String) -> String {
    "\(cause): the run is not recorded, and goes on in memory; if this master ends before it does, "
      + "its counts are lost"
  }

  /// Stores the result, which ends the run for the record, and closes the file: nothing is written
  /// afterwards.
  package func closing(with result: RunResult) -> Closing.Part {
    Closing.Part("the record", withinNs: RecordFile.busyNs + 2_000_000_000) {
      await self.finish(with: result)
    }
  }

  package func finish(with result: RunResult) async {
    await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
      committer.async {
        self.store(result)
        // Puts what is in the log into the file, so that the record is one file again.
        self.file?.database.close()
        self.file?.letGo(run: self.number)
        done.resume()
      }
    }
  }

  private func store(_ result: RunResult) {
    guard let file else { return }
    let (failure, hasEnd) = state.withLockedValue { ($0.failure, $0.hasEnd) }
    do throws(RecordFile.Trouble) {
      try RecordFile.attempt(file.path) {
        try file.database.write { db in
          try db.execute(
            sql: """
              UPDATE run SET result = ?, interrupted = ?, is_whole = ?, ended_at_ns = ?
              WHERE number = ?
              """,
            arguments: [
              result.json.text, result.interrupted, failure == nil && hasEnd,
              wallNs().signed, number,
            ])
          try file.summarise(result, of: plan, run: number, db)
        }
      }
    } catch {
      // Said already when an entry failed for it.
      guard failure == nil else { return }
      warn("\(error.sentence): the result was not recorded")
    }
  }
}

extension RecordFile {
  /// Puts a new run into the record and takes it for this process.
  package func begin(
    plan: Plan, head: RecordHead, warn: @escaping @Sendable (String) -> Void
  ) throws(Trouble) -> RunRecord {
    let run = RunRecord.name()
    let startedAtNs = wallNs()
    let number = try Self.attempt(path) {
      try database.write { db in
        try db.execute(
          sql: """
            INSERT INTO run (id, started_at_ns, clock_ns, boot, clock_lead_ns, head, plan)
            VALUES (?, ?, ?, ?, 0, ?, ?)
            """,
          arguments: [
            run.hexadecimal, startedAtNs.signed, monotonicNs().signed, Host.boot, head.json.text,
            plan.withoutKey.bytes,
          ])
        return db.lastInsertedRowID
      }
    }
    _ = take(run: number)
    return RunRecord(
      file: self, number: number, run: run, plan: plan, head: head, startedAtNs: startedAtNs,
      clockLeadNs: 0, past: nil, warn: warn)
  }

  /// An entry that is there already changes nothing.
  @discardableResult
  func insert(_ entry: RecordEntry, run: Int64, _ db: Database) throws -> Bool {
    switch entry {
    case .agent(let name):
      try db.execute(
        sql: """
          INSERT INTO agent (run, agent, host, process, build, cpus) VALUES (?, ?, ?, ?, ?, ?)
          ON CONFLICT (run, agent)
          DO UPDATE SET host = excluded.host, process = excluded.process,
            build = excluded.build, cpus = excluded.cpus
          """,
        arguments: [
          run, name.agent.signed, name.host, name.process, name.build, name.cpus.json.text,
        ])
    case .batch(let batch, _):
      let incarnation = batch.name.incarnation
      let tally = Tally(batch)
      try db.execute(
        sql: """
          INSERT OR IGNORE INTO batch
          (run, agent, worker, life, sequence, last_interval, phase, sent, ok, not_ok, entry)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
          """,
        arguments: [
          run, incarnation.agent.signed, incarnation.worker, incarnation.life.signed,
          batch.name.sequence, batch.lastInterval, batch.phase.rawValue, tally.sent.signed,
          tally.ok.signed, tally.notOk.signed, entry.bytes,
        ])
    case .ledger(let ledger):
      let incarnation = ledger.incarnation
      try db.execute(
        sql: """
          INSERT OR IGNORE INTO incarnation
          (run, agent, worker, life, sent, ok, not_ok, entry) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
          """,
        arguments: [
          run, incarnation.agent.signed, incarnation.worker, incarnation.life.signed,
          ledger.sums.sent.signed, ledger.sums.ok.signed, ledger.sums.notOk.signed,
          entry.bytes,
        ])
    case .deal, .start, .stop, .end:
      try db.execute(
        sql: "INSERT INTO decision (run, entry) VALUES (?, ?)", arguments: [run, entry.bytes])
    }
    return db.changesCount > 0
  }
}
