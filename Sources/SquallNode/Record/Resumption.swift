package import SquallCluster
internal import SquallEngine
package import SquallLoad
internal import SquallTLS

/// Going on with a run whose master ended before it did.
extension RecordFile {
  /// Agents without a master keep what they counted for ten minutes after its loss; later there is
  /// nothing to go on with.
  private static let graceNs: UInt64 = 600_000_000_000

  /// The last run that was cut off when it is of this plan, or of any without one, and its agents may
  /// still wait for a master.
  package func cutOffRun(of asked: Plan? = nil) throws(Trouble) -> UInt64? {
    try Self.attempt(path) {
      try database.read { db in
        guard let row = try cutOffRows(db).first else { return nil }
        let plan = try self.plan(of: row)
        guard asked == nil || plan == asked?.withoutKey else { return nil }
        let limitNs = plan.times.warmupNs.addingSaturated(plan.times.durationNs).addingSaturated(
          Self.graceNs)
        let ageNs = wallNs() &- (try row.number("started_at_ns"))
        return ageNs < limitNs ? try name(of: row) : nil
      }
    }
  }

  /// Takes up the run of that name, or the last one that was cut off, with all that is known of it.
  ///
  /// - Parameter key: of the certificate that it shows to its target, in PEM, which is in no record; empty
  ///   for none.
  package func resume(
    run: UInt64? = nil, key: [UInt8] = [], warn: @escaping @Sendable (String) -> Void
  ) throws(Trouble) -> RunRecord {
    try Self.attempt(path) {
      try database.write { db in
        let rows = try cutOffRows(db).filter { try run == nil || name(of: $0) == run }
        let nothing = Trouble.refused(
          "\(path) has no run that was cut off: there is nothing to resume")
        guard let row = rows.first else { throw nothing }
        let plan = try Self.with(key, in: try plan(of: row), of: try name(of: row))
        guard take(run: try row["number"]) else { throw nothing }
        let number: Int64 = try row["number"]
        let past = try read(row, db)
        let leadNs = try clockLeadNs(row)
        try db.execute(
          sql: "UPDATE run SET boot = ?, clock_lead_ns = ? WHERE number = ?",
          arguments: [Host.boot, leadNs.signed, number])
        return RunRecord(
          file: self, number: number, run: past.run, plan: plan, head: past.head,
          startedAtNs: past.startedAtNs, clockLeadNs: leadNs,
          past: (past.recovery, past.account), warn: warn)
      }
    }
  }

  /// The plan with the key that its certificate needs.
  private static func with(
    _ key: [UInt8], in plan: Plan, of run: UInt64
  ) throws(Trouble) -> Plan {
    guard plan.lacksKey else { return plan }
    guard !key.isEmpty else {
      throw .refused(
        "run \(run.hexadecimal) shows its target a certificate, whose key is in no record: give both "
          + "again with --cert and --key to go on with it")
    }
    let plan = plan.with(key: key)
    do throws(TLSContext.Refusal) {
      for tls in plan.origins.compactMap(\.tls) { _ = try TLSContext(tls) }
    } catch {
      throw .refused("run \(run.hexadecimal) cannot go on with that key: \(error)")
    }
    return plan
  }

  /// The last runs that have ended, newest last: agents that were away then may ask after them.
  package func pastRuns() throws(Trouble) -> [PastRun] {
    try Self.attempt(path) {
      try database.read { db in
        let rows = try db.rows(
          sql: """
            SELECT id, (SELECT entry FROM decision WHERE decision.run = run.number
              ORDER BY position DESC LIMIT 1) AS entry
            FROM run WHERE ended_at_ns IS NOT NULL ORDER BY number DESC LIMIT \(Self.pastCountMax)
            """)
        return try rows.reversed().compactMap { row in
          guard let bytes: [UInt8] = try row["entry"],
            case .end(let outcome)? = try? RecordEntry(bytes: bytes)
          else { return nil }
          return PastRun(run: try name(of: row), outcome: outcome)
        }
      }
    }
  }

  private static let pastCountMax = 64

  /// Newest first.
  private func cutOffRows(_ db: Database) throws -> [Row] {
    try db.rows(sql: "SELECT * FROM run WHERE ended_at_ns IS NULL ORDER BY number DESC")
      .filter { !isLed(run: try $0["number"]) }
  }

  /// After a reboot the host's clock began anew, and the wall clock is all that says how long ago.
  private func clockLeadNs(_ row: Row) throws -> UInt64 {
    if try row["boot"] == Host.boot { return try row.number("clock_lead_ns") }
    let sinceNs = wallNs() &- (try row.number("started_at_ns"))
    return try row.number("clock_ns") &+ sinceNs &- monotonicNs()
  }
}
