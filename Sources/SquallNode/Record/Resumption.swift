internal import FoundationEssentials
internal import GRDB
internal import SquallCluster
internal import SquallEngine
package import SquallLoad

/// Going on with a run whose master ended before it did.
extension RecordFile {
  /// Agents without a master keep what they counted for ten minutes after its loss; later there is
  /// nothing to go on with.
  private static let graceNs: UInt64 = 600_000_000_000

  /// The last run of this plan when it was cut off and its agents may still wait for a master.
  package func cutOffRun(of plan: Plan) throws(Trouble) -> UInt64? {
    try Self.attempt(path) {
      try database.read { db in
        guard let row = try cutOffRows(db).first, try self.plan(of: row) == plan else { return nil }
        let (runNs, overflow) = plan.warmupNs.addingReportingOverflow(plan.durationNs)
        let (limitNs, more) = runNs.addingReportingOverflow(Self.graceNs)
        let ageNs = Host.wallNs &- row.number("started_at_ns")
        return overflow || more || ageNs < limitNs ? try name(of: row) : nil
      }
    }
  }

  /// Takes up the run of that name, or the last one that was cut off, with all that is known of it.
  package func resume(
    run: UInt64? = nil, warn: @escaping @Sendable (String) -> Void
  ) throws(Trouble) -> RunRecord {
    try Self.attempt(path) {
      try database.write { db in
        let rows = try cutOffRows(db).filter { try run == nil || name(of: $0) == run }
        guard let row = rows.first, take(run: row["number"]) else {
          throw Trouble.refused("\(path) has no run that was cut off: there is nothing to resume")
        }
        let number: Int64 = row["number"]
        let past = try read(row, db)
        let leadNs = clockLeadNs(row)
        try db.execute(
          sql: "UPDATE run SET boot = ?, clock_lead_ns = ? WHERE number = ?",
          arguments: [Host.boot, leadNs.signed, number])
        return RunRecord(
          file: self, number: number, run: past.run, plan: past.plan, head: past.head,
          startedAtNs: past.startedAtNs, clockLeadNs: leadNs,
          past: (past.recovery, past.account), warn: warn)
      }
    }
  }

  /// Newest first.
  private func cutOffRows(_ db: Database) throws -> [Row] {
    try Row.fetchAll(db, sql: "SELECT * FROM run WHERE result IS NULL ORDER BY number DESC")
      .filter { !isLed(run: $0["number"]) }
  }

  /// After a reboot the host's clock began anew, and the wall clock is all that says how long ago.
  private func clockLeadNs(_ row: Row) -> UInt64 {
    if row["boot"] == Host.boot { return row.number("clock_lead_ns") }
    let sinceNs = Host.wallNs &- row.number("started_at_ns")
    return row.number("clock_ns") &+ sinceNs &- monotonicNs()
  }
}
