internal import FoundationEssentials
internal import SquallCluster
package import SquallLoad
package import SquallReport
internal import SquallTLS

/// A line of a list of runs.
package struct RecordedRunSummary: Equatable, Sendable {
  package enum State: String, CaseIterable, Sendable {
    /// A master leads it.
    case running
    /// Its master ended before it did: `--resume` goes on with it.
    case cutOff = "cut off"
    case ended
    /// Ended, and its record is not whole.
    case partlyRecorded = "partly recorded"
  }

  /// What it came to; a value that does not exist is nil.
  package struct Measures: Equatable, Sendable {
    package var measuredNs: UInt64?
    package var okPerS: Double?
    package var targetPerS: Double?
    package var responseP50Ns: UInt64?
    package var responseP99Ns: UInt64?
    /// Of the attempts that ended.
    package var notOkShare: Double?
    package var isValid: Bool?
    /// Nil without objectives, and where one could not be evaluated.
    package var meetsObjectives: Bool?

    package init() {}

    package init(_ result: RunResult) {
      measuredNs = result.measuredNs
      if result.measuredNs > 0 { okPerS = result.rate.okPerS }
      targetPerS = result.rate.targetPerS
      responseP50Ns = result.latency.response.p50
      responseP99Ns = result.latency.response.p99
      let isAnythingOver = result.requests.completed > 0 || result.errors.ofOpening > 0
      if isAnythingOver { notOkShare = result.errorShare }
      isValid = result.verdict.valid
      let passes = result.slo.map(\.pass)
      if passes.contains(false) {
        meetsObjectives = false
      } else if !passes.isEmpty && !passes.contains(nil) {
        meetsObjectives = true
      }
    }
  }

  package var run: UInt64
  package var startedAtNs: UInt64
  package var endedAtNs: UInt64?
  package var planHash: String
  /// `500/s, 64 connections, 10s http://host/`.
  package var load: String
  package var labels: [String: String]
  package var note: String?
  package var hosts: Int
  /// Of the measured time and the drain, as in the result.
  package var sent: UInt64 = 0
  package var ok: UInt64 = 0
  package var notOk: UInt64 = 0
  package var state: State
  /// Empty until it has ended.
  package var measures = Measures()

  init(
    run: UInt64, startedAtNs: UInt64, planHash: String, load: String, labels: [String: String],
    hosts: Int, state: State
  ) {
    self.run = run
    self.startedAtNs = startedAtNs
    self.planHash = planHash
    self.load = load
    self.labels = labels
    self.hosts = hosts
    self.state = state
  }

  init(run: UInt64, startedAtNs: UInt64, plan: Plan, hosts: Int, state: State) {
    self.init(
      run: run, startedAtNs: startedAtNs, planHash: plan.unlabelledHash, load: plan.sentence,
      labels: plan.labels, hosts: hosts, state: state)
  }

  package mutating func take(_ requests: RunResult.Requests) {
    sent = requests.sent
    ok = requests.ok
    notOk = requests.notOk
  }

  /// One of those in the answer to `GET /api/runs`.
  package var json: JSONValue {
    func integer(_ number: UInt64?) -> JSONValue { number.map { .integer(Int128($0)) } ?? .null }
    func number(_ number: Double?) -> JSONValue { number.map { .number($0) } ?? .null }
    func bool(_ bool: Bool?) -> JSONValue { bool.map { .bool($0) } ?? .null }
    return .object([
      .init("id", .string(run.hexadecimal)),
      .init("started_at", .string(rfc3339(startedAtNs))),
      .init("ended_at", endedAtNs.map { .string(rfc3339($0)) } ?? .null),
      .init("state", .string(state.rawValue)),
      .init(
        "labels",
        .object(labels.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value)) })),
      .init("note", note.map { .string($0) } ?? .null),
      .init("load", .string(load)),
      .init("plan_hash", .string(planHash)),
      .init("hosts", .integer(Int128(hosts))),
      .init(
        "requests",
        .object([
          .init("sent", .integer(Int128(sent))),
          .init("ok", .integer(Int128(ok))),
          .init("not_ok", .integer(Int128(notOk))),
        ])),
      .init("duration_ns", integer(measures.measuredNs)),
      .init("ok_per_s", number(measures.okPerS)),
      .init("target_per_s", number(measures.targetPerS)),
      .init("response_p50_ns", integer(measures.responseP50Ns)),
      .init("response_p99_ns", integer(measures.responseP99Ns)),
      .init("not_ok_share", number(measures.notOkShare)),
      .init("valid", bool(measures.isValid)),
      .init("slo_pass", bool(measures.meetsObjectives)),
    ])
  }
}

extension Plan {
  /// The same for all runs of one plan, whatever they are called.
  fileprivate var unlabelledHash: String {
    var plan = self
    plan.labels = [:]
    return sha256(plan.bytes).map { byte in
      (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }.joined()
  }

  /// `500/s, 64 connections, 10s http://host/`.
  fileprivate var sentence: String {
    var parts: [String] = []
    if case .open(let schedule) = load {
      let rates = [schedule.startHz] + schedule.stages.map(\.endHz)
      let (low, high) = (rates.min() ?? 0, rates.max() ?? 0)
      parts.append(
        low == high ? "\(Figures.rate(high))/s" : "\(Figures.rate(low)) to \(Figures.rate(high))/s")
    }
    parts.append(
      content.program.isEmpty
        ? Figures.count(connections.openCount, "connection")
        : Figures.count(connections.count, "user"))
    let extent =
      times.durationNs < Plan.Times.endlessNs
      ? Figures.plainDuration(times.durationNs)
      : requestCount == .max ? "no time limit" : Figures.count(requestCount, "request")
    return (parts + [extent]).joined(separator: ", ") + " " + Columns.harmless(origin.url)
  }
}

extension RecordFile {
  /// What is kept of a run for lists of runs, when it has ended: they read this, and not its counts.
  static let summaryTable = """
    CREATE TABLE summary (               -- of a run that has ended
      run INTEGER PRIMARY KEY REFERENCES run,
      plan_hash TEXT NOT NULL,           -- SHA-256 of the plan without labels
      load TEXT NOT NULL,
      labels TEXT NOT NULL,              -- JSON, those of the plan
      hosts INTEGER NOT NULL,
      sent INTEGER NOT NULL,
      ok INTEGER NOT NULL,
      not_ok INTEGER NOT NULL,
      measured_ns INTEGER,
      ok_per_s REAL,
      target_per_s REAL,
      response_p50_ns INTEGER,
      response_p99_ns INTEGER,
      not_ok_share REAL,
      is_valid INTEGER,
      meets_objectives INTEGER
    ) STRICT;
    """

  /// Puts the result's line in the place of what there was.
  func summarise(_ result: RunResult, of plan: Plan, run number: Int64, _ db: Database) throws {
    var line = RecordedRunSummary(
      run: 0, startedAtNs: 0, plan: plan, hosts: try hostCount(number, db), state: .ended)
    line.take(result.requests)
    let measures = RecordedRunSummary.Measures(result)
    try db.execute(
      sql: """
        INSERT OR REPLACE INTO summary (run, plan_hash, load, labels, hosts, sent, ok, not_ok,
          measured_ns, ok_per_s, target_per_s, response_p50_ns, response_p99_ns, not_ok_share,
          is_valid, meets_objectives)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
      arguments: [
        number, line.planHash, line.load, line.labels.json.text, line.hosts, line.sent.signed,
        line.ok.signed, line.notOk.signed, measures.measuredNs?.signed, measures.okPerS,
        measures.targetPerS, measures.responseP50Ns?.signed, measures.responseP99Ns?.signed,
        measures.notOkShare, measures.isValid, measures.meetsObjectives,
      ])
  }

  private func hostCount(_ number: Int64, _ db: Database) throws -> Int {
    let sql = "SELECT count(*) AS hosts FROM agent WHERE run = ?"
    return try db.row(sql: sql, arguments: [number])?["hosts"] ?? 0
  }

  /// Every run, oldest first. `led` is what is known of the one that goes on in this process.
  package func runs(led: RecordedRunSummary? = nil) throws(Trouble) -> [RecordedRunSummary] {
    try Self.attempt(path) {
      try database.read { db in
        try db.rows(sql: Self.lines + " ORDER BY run.number").map { try line($0, led, db) }
      }
    }
  }

  /// One of them.
  package func summary(
    of run: UInt64, led: RecordedRunSummary? = nil
  ) throws(Trouble) -> RecordedRunSummary {
    try Self.attempt(path) {
      try database.read { db in
        let row = try db.row(
          sql: Self.lines + " WHERE run.id = ?", arguments: [run.hexadecimal])
        guard let row else { throw Trouble.refused("\(path) has no run \(run.hexadecimal)") }
        return try line(row, led, db)
      }
    }
  }

  private static let lines = """
    SELECT run.number, run.id, run.started_at_ns, run.is_whole, run.ended_at_ns, summary.*,
      annotation.text AS annotation
    FROM run LEFT JOIN summary ON summary.run = run.number
      LEFT JOIN annotation ON annotation.run = run.number
    """

  private func line(
    _ row: Row, _ led: RecordedRunSummary?, _ db: Database
  ) throws -> RecordedRunSummary {
    let endedAtNs = try row.numberIfAny("ended_at_ns")
    var line =
      try endedAtNs.map { try ended(row, atNs: $0) } ?? unended(row, led, db)
    if let text: String = try row["annotation"],
      let said = try? RunAnnotation(json: JSONValue(text: Array(text.utf8)))
    {
      line.labels.merge(said.labels ?? [:]) { $1 }
      line.note = said.note
    }
    return line
  }

  private func ended(_ row: Row, atNs: UInt64) throws -> RecordedRunSummary {
    let isWhole: Bool? = try row["is_whole"]
    guard let planHash: String = try row["plan_hash"], let text: String = try row["labels"],
      let labels = try? [String: String](json: JSONValue(text: Array(text.utf8)))
    else { throw Trouble.refused("\(path) is damaged: a run has no summary") }
    var line = try RecordedRunSummary(
      run: name(of: row), startedAtNs: row.number("started_at_ns"), planHash: planHash,
      load: row["load"], labels: labels, hosts: row["hosts"],
      state: isWhole == false ? .partlyRecorded : .ended)
    line.endedAtNs = atNs
    line.sent = try row.number("sent")
    line.ok = try row.number("ok")
    line.notOk = try row.number("not_ok")
    line.measures.measuredNs = try row.numberIfAny("measured_ns")
    line.measures.okPerS = try row["ok_per_s"]
    line.measures.targetPerS = try row["target_per_s"]
    line.measures.responseP50Ns = try row.numberIfAny("response_p50_ns")
    line.measures.responseP99Ns = try row.numberIfAny("response_p99_ns")
    line.measures.notOkShare = try row["not_ok_share"]
    line.measures.isValid = try row["is_valid"]
    line.measures.meetsObjectives = try row["meets_objectives"]
    return line
  }

  /// One that goes on, or was cut off: there are few of them, and their counts are summed.
  private func unended(
    _ row: Row, _ led: RecordedRunSummary?, _ db: Database
  ) throws -> RecordedRunSummary {
    let (number, run): (Int64, UInt64) = try (row["number"], name(of: row))
    if var led, led.run == run {
      led.state = .running
      return led
    }
    let plan = try db.row(
      sql: "SELECT id, plan FROM run WHERE number = ?", arguments: [number]
    ).map { try self.plan(of: $0) }
    let sums = try db.row(
      sql: """
        SELECT coalesce(sum(sent), 0) AS sent, coalesce(sum(ok), 0) AS ok,
          coalesce(sum(not_ok), 0) AS not_ok
        FROM batch WHERE run = ? AND phase != ?
        """, arguments: [number, Phase.warmup.rawValue])
    guard let plan, let sums else { throw Trouble.refused("\(path) is damaged: a run has no plan") }
    var line = try RecordedRunSummary(
      run: run, startedAtNs: row.number("started_at_ns"), plan: plan,
      hosts: hostCount(number, db), state: isLed(run: number) ? .running : .cutOff)
    line.sent = try sums.number("sent")
    line.ok = try sums.number("ok")
    line.notOk = try sums.number("not_ok")
    return line
  }
}

extension Row {
  fileprivate func numberIfAny(_ column: String) throws -> UInt64? {
    (try self[column] as Int64?).map { UInt64(bitPattern: $0) }
  }
}
