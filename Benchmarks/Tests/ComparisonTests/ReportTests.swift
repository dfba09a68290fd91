import Comparison
import Foundation
import Testing

private let header = Header(
  startedAt: "2026-11-21T12:00:00Z", arguments: ["compare", "--quick"], seed: 5, commit: "abc",
  machine: .read(), placement: Placement(target: [0], client: [1], remarks: []),
  clients: ["squall", "floor", "wrk"].map {
    Header.ClientNote(name: $0, isHere: true, version: "1", remark: "")
  },
  gate: QuiesceGate.Report(waitedSeconds: 0.5, foreignShare: 0, busiest: []),
  builtInTarget: .responder)

/// A run with a window of one second and the CPU cost given, told through the raw record's own
/// words: the tests read what the suite writes.
private func run(
  _ client: String, repetition: Int, cpuUs: Double, connections: Int = 64, failure: String? = nil
) throws -> Run {
  let cpuNs = Int(cpuUs * 1e3 * 100_000)
  let failed = failure.map { "\"failure\":\"\($0)\"," } ?? ""
  let measured =
    failure == nil
    ? """
    "window":{"seconds":1,"requests":100000,"clientCPUNs":\(cpuNs),"targetCPUNs":700000000,
    "foreignShare":0,"stealShare":0},"counted":100000,"claim":{"ok":100000,"sent":100000,
    "failed":0,"probes":0,"inFlight":0,"meanNs":640000},"exit":{"code":0,"userNs":0,
    "systemNs":\(cpuNs),"residentByteCountMax":1000000,"endedNs":1},
    """ : ""
  let text = """
    {"arguments":[],"cell":{"bodyByteCount":13,"connections":\(connections),"pipeline":1,
    "question":"closed","seconds":1,"spins":false,"target":"responder","threads":1},
    \(failed)\(measured)"client":"\(client)","repetition":\(repetition)}
    """
  return try JSONDecoder().decode(Run.self, from: Data(text.utf8))
}

private func sample() throws -> [Run] {
  try (0..<5).flatMap { round -> [Run] in
    let speed = 1 + Double(round) / 10
    return [
      try run("squall", repetition: round, cpuUs: 5.2 * speed),
      try run("floor", repetition: round, cpuUs: 5 * speed),
      try run("wrk", repetition: round, cpuUs: 8 * speed),
    ]
  }
}

struct GoalTests {
  @Test func aRatioWithinItsLimitIsMet() throws {
    let goals = Results(runs: try sample(), seed: 1).goals()
    let floor = try #require(
      goals.first { $0.name == "CPU per request, 64 conns, steady part, to floor" })
    #expect(abs((floor.value ?? 0) - 1.04) < 1e-6)
    #expect(floor.verdict == .met)
    let wrk = try #require(
      goals.first { $0.name == "CPU per request, 64 conns, whole process, to wrk" })
    #expect(wrk.verdict == .met)
    let gcannon = try #require(
      goals.first { $0.name.hasSuffix("64 conns, steady part, to gcannon") })
    #expect(gcannon.verdict == .notMeasured)
    let little = try #require(goals.first { $0.name.hasPrefix("mean against Little's law, 64") })
    #expect(little.verdict == .met)
    let counts = try #require(goals.first { $0.name.contains("target's count") })
    #expect(counts.value == 0)
  }

  @Test func aRatioBeyondItsLimitIsMissed() throws {
    let runs = try sample().map { old in
      old.client == "squall" ? try run("squall", repetition: old.repetition, cpuUs: 9) : old
    }
    let goals = Results(runs: runs, seed: 1).goals()
    #expect(
      goals.first { $0.name.hasSuffix("64 conns, steady part, to floor") }?.verdict == .missed)
  }
}

/// A run over TLS or HTTP/2, of a target that may have no count.
private func wired(
  _ client: String, repetition: Int, cell: Cell, cpuUs: Double, hz: Int = 100_000,
  targetBusy: Double = 0.5, userSamples: Int? = nil
) throws -> Run {
  var run = Run(cell: cell, client: client, repetition: repetition)
  run.claim = Claim(ok: 100_000)
  run.claim?.seconds = 100_000 / Double(hz)
  run.wallSeconds = 2
  run.targetCPUNs = UInt64(targetBusy * 2e9)
  run.threads = userSamples.map { [ThreadSamples(thread: 1, user: $0, kernel: 0)] }
  let exit = """
    {"code":0,"userNs":0,"systemNs":\(Int(cpuUs * 1e3 * 100_000)),"residentByteCountMax":1,"endedNs":1}
    """
  run.exit = try JSONDecoder().decode(Child.Exit.self, from: Data(exit.utf8))
  return run
}

private func cell(
  _ question: Question, _ wire: Wire, target: TargetKind = .nginx, connections: Int = 64,
  streams: Int = 1
) -> Cell {
  var cell = Cell(question, target: target, connections: connections)
  cell.wire = wire
  cell.streams = streams
  return cell
}

struct WireGoalTests {
  private func goal(_ runs: [Run], _ name: String) throws -> Goal {
    let goals = Results(runs: runs, seed: 1).goals()
    return try #require(goals.first { $0.name == name }, "\(goals.map(\.name))")
  }

  @Test func tlsIsJudgedByWrkAndByItsOwnPlainRun() throws {
    let secure = cell(.tls, .https)
    let runs = [
      try wired("squall", repetition: 0, cell: secure, cpuUs: 7),
      try wired("wrk", repetition: 0, cell: secure, cpuUs: 10),
      try wired("squall", repetition: 0, cell: cell(.tls, .http1), cpuUs: 5),
    ]
    let wrk = try goal(runs, "CPU per answer, tls, 64 conns, TLS, to wrk")
    #expect(abs((wrk.value ?? 0) - 0.7) < 1e-9)
    #expect(wrk.verdict == .met)
    let plain = try goal(runs, "CPU per answer, tls, 64 conns, TLS, to its own plain run")
    #expect(abs((plain.value ?? 0) - 1.4) < 1e-9)
    #expect(plain.verdict == .missed)
    // Without a peer there is no figure, and none is made up.
    let alone = try goal([runs[0]], "CPU per answer, tls, 64 conns, TLS, to wrk")
    #expect(alone.value == nil)
    #expect(alone.verdict == .notMeasured)
  }

  @Test func bodiesAndConnectionsHaveLimitsOfTheirOwn() throws {
    var body = cell(.tls, .https)
    body.bodyByteCount = 16_384
    var full = cell(.handshake, .https)
    full.connecting = .full
    var resumed = full
    resumed.connecting = .resumed
    let runs = try [body, full, resumed].flatMap { cell in
      [
        try wired("squall", repetition: 0, cell: cell, cpuUs: 65),
        try wired("wrk", repetition: 0, cell: cell, cpuUs: 100),
        try wired("h2load", repetition: 0, cell: cell, cpuUs: 100),
      ]
    }
    #expect(try goal(runs, "CPU per answer, tls, 64 conns, 16 KiB, TLS, to wrk").limit == 0.70)
    #expect(try goal(runs, "CPU per answer, handshake, full, to h2load").verdict == .missed)
    #expect(try goal(runs, "CPU per answer, handshake, resumed, to wrk").verdict == .met)
  }

  @Test func streamsAreJudgedByTheirNumberAndTheirServer() throws {
    for (target, streams, limit) in [
      (TargetKind.nghttpd, 1, 0.78), (.nghttpd, 10, 0.62), (.nghttpd, 100, 0.30),
      (.nginx, 10, 0.85),
    ] {
      let cell = cell(.http2, .h2, target: target, connections: 16, streams: streams)
      let runs = [
        try wired("squall", repetition: 0, cell: cell, cpuUs: 1),
        try wired("h2load", repetition: 0, cell: cell, cpuUs: 2),
      ]
      let name = "CPU per answer, http2, h2, \(target.rawValue), 16x\(streams), to h2load"
      #expect(try goal(runs, name).limit == limit)
      #expect(try goal(runs, name).value == 0.5)
    }
  }

  @Test func theRateIsJudgedWhereTheTargetIsAtItsLimit() throws {
    let cell = cell(.http2, .h2c, target: .nghttpd, connections: 16, streams: 10)
    func runs(busy: Double) throws -> [Run] {
      [
        try wired("squall", repetition: 0, cell: cell, cpuUs: 1, hz: 80_000, targetBusy: busy),
        try wired("h2load", repetition: 0, cell: cell, cpuUs: 2, targetBusy: busy),
      ]
    }
    let name = "rate, http2, h2c, nghttpd, 16x10, target at its limit, to h2load"
    let goal = try goal(runs(busy: 0.95), name)
    #expect(abs((goal.value ?? 0) - 0.8) < 1e-9)
    #expect(goal.verdict == .missed)
    let idle = Results(runs: try runs(busy: 0.6), seed: 1).goals()
    #expect(!idle.contains { $0.name.hasPrefix("rate, http2") })
  }

  @Test func userTimeIsOfGoodAnswersAndTLSIsWhatItAdds() throws {
    // 5,000 samples at 4,999 a second are a second: 10 us for each of 100,000 answers.
    let plain = cell(.wires, .http1)
    let secure = cell(.wires, .https)
    let streams = cell(.wires, .h2c, target: .nghttpd, connections: 16, streams: 100)
    let runs = [
      try wired("squall", repetition: 0, cell: plain, cpuUs: 1, userSamples: 4_999),
      try wired("squall", repetition: 0, cell: secure, cpuUs: 1, userSamples: 5_199),
      try wired("squall", repetition: 0, cell: streams, cpuUs: 1, userSamples: 60),
    ]
    let beyond = try goal(runs, "user-space CPU of an exchange over TLS beyond plain")
    #expect(abs((beyond.value ?? 0) - 0.4) < 1e-3)
    #expect(beyond.verdict == .met)
    let http2 = try goal(runs, "user-space CPU per answer, h2c, 16x100")
    #expect(abs((http2.value ?? 0) - 0.12) < 1e-3)
    #expect(http2.verdict == .missed)
  }

  @Test func everyCellHasAColumnOfItsOwnInTheirTables() throws {
    let plan = Plan.full(builtIn: .squall, cpuCount: 2)
    for question in [Question.tls, .handshake, .http2, .wires] {
      let labels = plan.only(questions: [question], clients: nil).experiments
        .flatMap { $0.columns.map(\.cell.label) }
      #expect(!labels.isEmpty)
      #expect(Set(labels).count == labels.count, "\(labels)")
    }
  }

  @Test func aRecordOfBeforeHasPlainCells() throws {
    let old = try run("squall", repetition: 0, cpuUs: 5).cell
    #expect(old.wire == .http1)
    #expect(old.streams == 1)
    #expect(old.connecting == .kept)
    let new = cell(.http2, .h2, target: .nghttpd, connections: 16, streams: 100)
    let again = try JSONDecoder().decode(Cell.self, from: JSONEncoder().encode(new))
    #expect(again == new)
  }
}

struct ReportTests {
  @Test func whatSquallLostIsListedAndWhatItWonIsNot() throws {
    let tables = Tables(Results(runs: try sample(), seed: 1), clients: ["squall", "floor", "wrk"])
    let rows = tables.losses().rows
    #expect(rows.map { $0[1] } == ["floor"])
    #expect(rows.first?[2] == "1.04")
    #expect(rows.first?[0].hasPrefix("closed, 64 conns") == true)
  }

  @Test func figuresGoBetweenTheMarksOfADocumentAndNowhereElse() throws {
    let document = "before\n\(Report.beginMark)\nold\n\(Report.endMark)\nafter \(Report.endMark)"
    let new = try #require(Report.replacing(in: document, with: "new"))
    #expect(
      new == "before\n\(Report.beginMark)\n\nnew\n\(Report.endMark)\nafter \(Report.endMark)")
    #expect(Report.replacing(in: new, with: "new") == new)
    #expect(Report.replacing(in: "no marks", with: "new") == nil)
    #expect(Report.replacing(in: "\(Report.endMark) \(Report.beginMark)", with: "new") == nil)
    let report = Report(header: header, runs: try sample(), isInterrupted: false)
    #expect(report.cost.contains("CPU per request, 64 conns, steady part, to floor"))
  }

  @Test func aClientThatFailedKeepsItsRowAndItsReason() throws {
    let runs =
      try sample() + [
        run("hey", repetition: 0, cpuUs: 0, failure: "hung: process 7 was ended after 12 s")
      ]
    let grids = Tables(Results(runs: runs, seed: 1), clients: ["squall", "floor", "wrk", "hey"])
      .all()
    let first = try #require(grids.first)
    #expect(first.rows.map { $0[0] } == ["squall", "floor", "wrk", "hey"])
    #expect(first.rows[3][1] == "– (1)")
    #expect(first.notes == ["hung: process 7 was ended after 12 s"])
  }

  @Test func ratiosAreToSquallAndSayTheirInterval() throws {
    let grids = Tables(Results(runs: try sample(), seed: 1), clients: ["squall", "floor", "wrk"])
      .all()
    let ratios = try #require(grids.first { $0.title.hasSuffix("whole process, to squall") })
    #expect(ratios.rows[0][1] == "1")
    #expect(ratios.rows[2][1] == "1.54 [1.54…1.54]")
  }

  @Test func withoutSquallTheFloorIsTheReference() throws {
    let runs = try sample().filter { $0.client != "squall" }
    let grids = Tables(Results(runs: runs, seed: 1), clients: ["squall", "floor", "wrk"]).all()
    #expect(grids.contains { $0.title.hasSuffix("to floor") })
  }

  @Test func theReportIsMadeFromTheRawRecordAlone() throws {
    let folder = NSTemporaryDirectory() + "archive-test-\(getpid())"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let runs = try sample()
    let archive = Archive(folder: folder)
    archive.begin(header)
    for run in runs { archive.add(run) }
    #expect(archive.failure == nil)

    let back = try Archive.read(folder: folder)
    let direct = Report(header: header, runs: runs, isInterrupted: false).markdown
    #expect(Report(header: back.header, runs: back.runs, isInterrupted: false).markdown == direct)
    #expect(direct.contains("### Goals"))
  }

  @Test func aRecordCutShortLosesItsLastLineOnly() throws {
    let folder = NSTemporaryDirectory() + "cut-test-\(getpid())"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let archive = Archive(folder: folder)
    archive.begin(header)
    for run in try sample() { archive.add(run) }
    let text = try String(contentsOfFile: archive.rawPath, encoding: .utf8)
    try String(text.dropLast(40)).write(
      toFile: archive.rawPath, atomically: true, encoding: .utf8)
    #expect(try Archive.read(folder: folder).runs.count == 14)
  }

  @Test func aFolderThatCannotBeWrittenIsSaidAndNotFatal() throws {
    let archive = Archive(folder: "/proc/nowhere")
    archive.begin(header)
    for run in try sample() { archive.add(run) }
    #expect(archive.failure != nil)
    #expect(!archive.save("x", as: "y"))
  }

  @Test func plotsAreWellFormedXMLWithoutScript() throws {
    let runs = try [1, 64, 1_024, 4_096].flatMap { connections in
      try ["squall", "floor", "wrk"].enumerated().map { index, name in
        try run(name, repetition: 0, cpuUs: 5 + Double(index), connections: connections)
      }
    }
    let plots = Report(header: header, runs: runs, isInterrupted: false).plots()
    #expect(plots.map(\.file).contains("cpu-per-request.svg"))
    #expect(plots.map(\.file).contains("cpu-64.svg"))
    for plot in plots {
      #expect(!plot.svg.contains("<script"))
      #expect(balanced(plot.svg), "\(plot.file)")
      #expect(plot.svg.contains("squall"))
    }
  }

  /// Every element that is opened is closed, in order.
  private func balanced(_ xml: String) -> Bool {
    var open: [Substring] = []
    for part in xml.split(separator: "<").dropFirst(xml.hasPrefix("<") ? 0 : 1) {
      guard let end = part.firstIndex(of: ">") else { return false }
      let tag = part[..<end]
      if tag.hasPrefix("/") {
        guard open.popLast() == tag.dropFirst() else { return false }
      } else if !tag.hasSuffix("/") {
        open.append(tag.prefix { $0 != " " })
      }
    }
    return open.isEmpty
  }

  @Test func numbersAreShownWithTheDigitsThatMeanSomething() {
    #expect(shown(12_345.6) == "12,346")
    #expect(shown(123.45) == "123")
    #expect(shown(12.345) == "12.3")
    #expect(shown(1.2345) == "1.23")
    #expect(shown(0.12345) == "0.123")
    #expect(shown(0) == "0")
    #expect(shown(-5.5) == "-5.50")
    #expect(fixed(0.9996, 3) == "1.000")
    #expect(fixed(2.05, 2) == "2.05")
    #expect(grouped(1_234_567) == "1,234,567")
    #expect(grouped(-1_000) == "-1,000")
  }

  @Test func aTableIsTheSameInMarkdownAndText() {
    var grid = Grid(title: "T", remark: "R", columns: ["client", "a|b"])
    grid.rows = [["x", "1"], ["longer", "22"]]
    grid.notes = ["why"]
    #expect(
      grid.markdown == """
        ### T

        R

        | client | a\\|b |
        | --- | ---: |
        | x | 1 |
        | longer | 22 |

        1. why

        """)
    #expect(
      grid.text == """
        T
          R
          client  a|b
          x         1
          longer   22
          1. why

        """)
  }
}
