package import SquallCluster
package import SquallLoad
package import SquallReport

/// A run as its record has it.
package struct RecordedRun: Sendable {
  package var run: UInt64
  package var head: RecordHead
  package var plan: Plan
  package var startedAtNs: UInt64
  package var account: RunAccount
  package var recovery: Recovery
  package var isInterrupted: Bool
  /// All of the run's entries were recorded; nil while its end is not.
  package var isWhole: Bool?
  /// The result as it was printed.
  package var printed: RunResult?

  /// The result, made anew from what the workers counted. Of a run whose recording failed on the way,
  /// it is what was printed.
  package var result: RunResult {
    if isWhole == false, let printed { return printed }
    var facts = RunFacts()
    facts.takeWords(of: plan)
    facts.take(head, run: run, startedAtNs: startedAtNs)
    facts.interrupted = isInterrupted
    facts.changes = recovery.changes
    facts.workers = account.workers(gaps: gaps)
    facts.gaps = gaps.map { $0.described(among: facts.workers) }
    for ledger in account.ledgers { facts.ownLedgers[ledger.incarnation] = ledger.sums }
    if isWhole == nil { facts.recordFault = .endless }
    return RunResult(
      ledger: account.ledger, plan: plan, facts: facts,
      objectives: head.objectives.flatMap { (try? Objective.list($0)) ?? [] }, deflate: deflate)
  }

  /// What is missing, now that leftovers may have come in after the run's end.
  package var gaps: [Gap] {
    (account.outcome?.gaps ?? []).filter { gap in
      if case .notReplaced = gap { return true }
      let life = recovery.lives.first { $0.incarnation == gap.incarnation }
      guard let life, let ledger = life.ledger else { return true }
      return life.sums != ledger.sums || life.merged.next < ledger.sums.batchCount
    }
  }
}

extension RecordFile {
  /// A run by its name; the last one without.
  package func read(run: UInt64? = nil) throws(Trouble) -> RecordedRun {
    try Self.attempt(path) {
      try database.read { db in
        guard let run else {
          let last = "SELECT * FROM run ORDER BY number DESC LIMIT 1"
          guard let row = try db.row(sql: last) else {
            throw Trouble.refused("\(path) has no run yet")
          }
          return try read(row, db)
        }
        return try read(self.row(of: run, db), db)
      }
    }
  }

  func read(_ row: Row, _ db: Database) throws -> RecordedRun {
    let plan = try plan(of: row)
    let printed: String? = try row["result"]
    var run = try RecordedRun(
      run: name(of: row), head: head(of: row), plan: plan,
      startedAtNs: row.number("started_at_ns"),
      account: RunAccount(endpointCount: plan.content.endpoints.count), recovery: Recovery(),
      isInterrupted: row["interrupted"] ?? false, isWhole: row["is_whole"],
      printed: printed.flatMap { try? RunResult(text: Array($0.utf8)) })
    let number: Int64 = try row["number"]
    let agents = "SELECT * FROM agent WHERE run = ? ORDER BY position"
    for row in try db.rows(sql: agents, arguments: [number]) { run.apply(try agent(of: row)) }
    // Batches and ledgers need no order among the rest: nothing that was decided changes what they
    // add, and nothing they add changes what was decided.
    for table in ["decision", "batch", "incarnation"] {
      let entries = "SELECT entry FROM \(table) WHERE run = ? ORDER BY position"
      try db.forEach(sql: entries, arguments: [number]) { row in
        let bytes: [UInt8] = try row["entry"]
        do throws(Malformed) {
          run.apply(try RecordEntry(bytes: bytes))
        } catch {
          throw Trouble.refused("\(path) is damaged: an entry of table \(table) is \(error)")
        }
      }
    }
    return run
  }

  func row(of run: UInt64, _ db: Database) throws -> Row {
    let sql = "SELECT * FROM run WHERE id = ?"
    guard let row = try db.row(sql: sql, arguments: [run.hexadecimal]) else {
      throw Trouble.refused("\(path) has no run \(run.hexadecimal)")
    }
    return row
  }

  func name(of row: Row) throws -> UInt64 {
    let id: String = try row["id"]
    guard let run = UInt64(id, radix: 16) else { throw damaged("a run's id is \(id)") }
    return run
  }

  func plan(of row: Row) throws -> Plan {
    let bytes: [UInt8] = try row["plan"]
    guard let plan = Plan(bytes: bytes) else {
      let id: String = try row["id"]
      throw Trouble.refused(
        "run \(id) of \(path) has a plan of another version of squall")
    }
    return plan
  }

  func head(of row: Row) throws -> RecordHead {
    let text: String = try row["head"]
    do {
      return try RecordHead(json: try JSONValue(text: Array(text.utf8)))
    } catch {
      throw damaged("a run's head: \(error)")
    }
  }

  private func agent(of row: Row) throws -> RecordEntry {
    let text: String = try row["cpus"]
    do {
      return .agent(
        try AgentName(
          agent: row.number("agent"), host: row["host"], process: row["process"],
          build: row["build"],
          cpus: [UInt16](json: JSONValue(text: Array(text.utf8)))))
    } catch {
      throw damaged("an agent's CPUs: \(error)")
    }
  }

  private func damaged(_ what: String) -> Trouble { .refused("\(path) is damaged: \(what)") }
}

extension RecordedRun {
  fileprivate mutating func apply(_ entry: RecordEntry) {
    account.apply(entry)
    recovery.apply(entry)
  }
}
