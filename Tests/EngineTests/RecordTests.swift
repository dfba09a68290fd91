import Foundation
import SquallCluster
import SquallLoad
import SquallNode
import SquallReport
import Synchronization
import Testing

/// The record by itself, without a master.
struct RecordTests {
  private let folder = NSTemporaryDirectory() + "squall-record-\(UInt64.random(in: 0...UInt64.max))"
  private var path: String { folder + "/record.db" }

  init() throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  private let plan = Plan(
    to: .init(url: "http://a/", destinations: [.init(host: "a", port: 80)]),
    sending: .init(
      method: "GET",
      endpoints: [
        .init(name: "/", request: Array("GET / HTTP/1.1\r\n\r\n".utf8), expectsNoBody: false)
      ]), over: .init(4))

  private func incarnation(_ life: UInt64) -> Incarnation {
    Incarnation(agent: .max, worker: 1, life: life)
  }

  private func batch(life: UInt64 = .max, _ sequence: UInt32, sent: UInt64 = 10) -> Batch {
    var endpoint = Batch.Endpoint(index: 0)
    endpoint.counters.sent = sent
    endpoint.service.buckets = [.init(index: 9, count: UInt32(sent))]
    endpoint.service.sumNs = sent * 1_000
    endpoint.service.sumOfSquares = UInt128(sent) * 1_000_000
    endpoint.service.minNs = 1_000
    endpoint.service.maxNs = 1_000
    let startNs = UInt64(sequence) * 1_000_000_000
    return Batch(
      name: BatchName(incarnation: incarnation(life), sequence: sequence), firstInterval: sequence,
      lastInterval: sequence, phase: .measured, startNs: startNs, endNs: startNs + 1_000_000_000,
      endpoints: [endpoint])
  }

  private func write(_ entries: [RecordEntry], to run: RunRecord) async -> [UInt64] {
    let tokens = Mutex<[UInt64]>([])
    await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
      for (index, entry) in entries.enumerated() {
        run.write(entry, token: UInt64(index + 1)) { token in
          tokens.withLock { $0.append(token) }
          if token == UInt64(entries.count) { done.resume() }
        }
      }
    }
    return tokens.withLock { $0 }
  }

  @Test func aBatchThatComesTwiceCountsOnce() async throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let file = try RecordFile(path: path, for: .writing)
    let run = try file.begin(plan: plan, head: RecordHead(), warn: { _ in })
    let entries: [RecordEntry] = (0..<100).map { .batch(batch($0 % 50)) }
    let tokens = await write(entries, to: run)
    #expect(tokens == tokens.sorted())
    #expect(tokens.last == 100)
    let read = try RecordFile(path: path, for: .reading).read()
    #expect(read.run == run.run)
    #expect(read.plan == plan)
    #expect(read.account.ledger.phases.measured.ok == 500)
    #expect(read.recovery.lives.count == 1)
    #expect(read.recovery.lives[0].merged.next == 50)
    #expect(read.result.verdict.incomplete, "it has no end")
  }

  @Test func whatIsReadIsWhatWasWritten() async throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let sums = IncarnationLedger(
      sent: 20, ok: 20, notOk: 0, dropped: 0, batchCount: 2, histogramHash: 7)
    let entries: [RecordEntry] = [
      .agent(AgentName(agent: .max, host: "one", process: 7, build: "b", cpus: [0, 3])),
      .agent(AgentName(agent: 1, host: "two", build: "b", cpus: [9])),
      .agent(AgentName(agent: .max, host: "other", build: "b", cpus: [0, 3])),
      .start(startNs: .max), .batch(batch(0)), .batch(batch(life: 1, 0)), .batch(batch(1)),
      .ledger(
        Ledger(incarnation: incarnation(.max), sums: sums, inFlight: 0, ending: .killed(9))),
      .stop(.stopped),
      .end(Outcome(reason: .stopped, sums: sums, gaps: [.notReplaced(incarnation(1))])),
    ]
    let file = try RecordFile(path: path, for: .writing)
    let run = try file.begin(plan: plan, head: RecordHead(), warn: { _ in })
    _ = await write(entries, to: run)
    let read = try RecordFile(path: path, for: .reading).read()
    var recovery = Recovery()
    for entry in entries { recovery.apply(entry) }
    #expect(read.recovery.agents == recovery.agents)
    #expect(read.recovery.startNs == .max)
    #expect(read.recovery.stop == .stopped)
    #expect(read.recovery.outcome == recovery.outcome)
    #expect(read.recovery.lives.map(\.sums) == recovery.lives.map(\.sums))
    #expect(read.recovery.lives.map(\.ledger) == recovery.lives.map(\.ledger))
    #expect(read.gaps == [.notReplaced(incarnation(1))])
  }

  @Test func aRunIsResumedOnceAndOnlyWhenNobodyLeadsIt() async throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var first: RecordFile? = try RecordFile(path: path, for: .writing)
    var run = try first?.begin(plan: plan, head: RecordHead(), warn: { _ in })
    let name = run?.run
    if let run { _ = await write([.start(startNs: 5), .batch(batch(0))], to: run) }
    let second = try RecordFile(path: path, for: .writing)
    #expect(throws: RecordFile.Trouble.self) { try second.resume(warn: { _ in }) }
    #expect(try second.cutOffRun(of: plan) == nil)
    #expect(try second.runs().map(\.state) == [.running])
    run = nil
    first = nil
    #expect(try second.runs().map(\.state) == [.cutOff])
    #expect(try second.cutOffRun(of: plan) == name)
    var other = plan
    other.connections.count = 5
    #expect(try second.cutOffRun(of: other) == nil)
    let resumed = try second.resume(warn: { _ in })
    #expect(resumed.run == name)
    #expect(resumed.clockLeadNs == 0)
    #expect(resumed.past?.recovery.startNs == 5)
    #expect(resumed.past?.account.ledger.phases.measured.ok == 10)
    let third = try RecordFile(path: path, for: .writing)
    #expect(throws: RecordFile.Trouble.self) { try third.resume(warn: { _ in }) }
    await resumed.finish(with: RunResult())
    #expect(try third.runs().map(\.state) == [.partlyRecorded], "its machine never ended")
    #expect(throws: RecordFile.Trouble.self) { try third.resume(warn: { _ in }) }
  }

  @Test func leftoversFillTheGapTheyWereMissedIn() async throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var sums = IncarnationLedger()
    for sequence in 0..<4 { sums.merge(batch(UInt32(sequence))) }
    let ledger = Ledger(
      incarnation: incarnation(.max), sums: sums, inFlight: 0, ending: .finished)
    let file = try RecordFile(path: path, for: .writing)
    let run = try file.begin(plan: plan, head: RecordHead(), warn: { _ in })
    let gap = Gap.silent(incarnation(.max), afterNs: 2_000_000_000)
    _ = await write(
      [
        .agent(AgentName(agent: .max, host: "one", build: "b", cpus: [0, 1])),
        .batch(batch(0)), .batch(batch(1)), .end(Outcome(reason: .duration, gaps: [gap])),
      ], to: run)
    let leftovers = Leftovers(
      run: run.run, planHash: Digests.standard(token: nil).hash(plan.bytes),
      entries: (1..<4).map { .batch(batch($0)) } + [.ledger(ledger)])
    let bytes = leftovers.bytes
    #expect(try Leftovers(bytes: bytes) == leftovers)
    for index in bytes.indices {
      var bent = bytes
      bent[index] ^= 1
      let read = try? Leftovers(bytes: bent)
      #expect(read == nil || read?.entries == leftovers.entries, "byte \(index)")
      #expect((try? Leftovers(bytes: Array(bytes[..<index])))?.entries.count ?? 0 < 4)
    }
    #expect(throws: RecordFile.Trouble.self, "it is led") {
      try RecordFile(path: path, for: .writing).add(leftovers)
    }
    await run.finish(with: RunResult())
    let second = try RecordFile(path: path, for: .writing)
    #expect(try second.read().gaps == [gap])
    #expect(try second.read().result.verdict.incomplete)
    #expect(try second.add(leftovers) == 3)
    #expect(try second.add(leftovers) == 0)
    let whole = try second.read()
    #expect(whole.gaps.isEmpty)
    #expect(!whole.result.verdict.incomplete)
    #expect(whole.result.requests.sent == 40)
    #expect(whole.result.verdict.conservation.balanced)

    var strange = leftovers
    strange.run += 1
    #expect(throws: RecordFile.Trouble.self) { try second.add(strange) }
    strange = leftovers
    strange.planHash[0] ^= 1
    #expect(throws: RecordFile.Trouble.self) { try second.add(strange) }
    strange = leftovers
    var bent = batch(9)
    bent.endNs = .max
    strange.entries.append(RecordEntry.batch(bent))
    #expect(throws: RecordFile.Trouble.self) { try second.add(strange) }
  }

  /// A run's line: of what its counts come to, and of what was said of it.
  @Test func aRunHasALineInTheList() async throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let file = try RecordFile(path: path, for: .writing)
    let run = try file.begin(plan: plan, head: RecordHead(), warn: { _ in })
    var warmup = batch(0)
    warmup.phase = .warmup
    let ledger = Ledger(
      incarnation: incarnation(.max), sums: IncarnationLedger(), inFlight: 0, ending: .finished)
    _ = await write(
      [
        .agent(AgentName(agent: 1, host: "one", build: "b", cpus: [0])), .start(startNs: 0),
        .batch(warmup), .batch(batch(1)), .batch(batch(2)), .ledger(ledger),
        .end(Outcome(reason: .duration)),
      ], to: run)
    let reader = try RecordFile(path: path, for: .writing)
    let before = try reader.summary(of: run.run)
    #expect(before.state == .running && before.endedAtNs == nil)
    #expect(before.sent == 20, "the warm-up is not counted")
    #expect(before.measures == .init(), "it has come to nothing yet")
    #expect(before.load == "4 connections, 10s http://a/")
    let result = try reader.read().result
    await run.finish(with: result)
    try reader.annotate(run: run.run, with: .init(json: .object([.init("note", .string("seen"))])))
    let line = try reader.summary(of: run.run)
    #expect(line.state == .ended && line.endedAtNs ?? 0 >= line.startedAtNs)
    #expect(line.sent == 20 && line.ok == 20 && line.notOk == 0 && line.hosts == 1)
    #expect(line.note == "seen")
    #expect(line.planHash == before.planHash && line.load == before.load)
    #expect(line.measures == .init(result))
    #expect(line.measures.responseP50Ns == result.latency.response.p50)
    #expect(line.measures.notOkShare == 0 && line.measures.targetPerS == nil)
    #expect(line.measures.meetsObjectives == nil, "it had no objectives")
    #expect(try reader.runs() == [line])
    // What comes in later is in the line too.
    let late = Leftovers(
      run: run.run, planHash: Digests.standard(token: nil).hash(plan.bytes),
      entries: [.batch(batch(3))])
    #expect(try reader.add(late) == 1)
    #expect(try reader.summary(of: run.run).ok == 30)
    // The same plan under another label is the same; another is not.
    var plans = [plan, plan]
    plans[0].labels = ["a": "b"]
    plans[1].connections.count = 5
    for plan in plans {
      let run = try RecordFile(path: path, for: .writing)
        .begin(plan: plan, head: RecordHead(), warn: { _ in })
      await run.finish(with: RunResult())
    }
    let lines = try reader.runs()
    #expect(lines[1].planHash == lines[0].planHash && lines[1].labels == ["a": "b"])
    #expect(lines[2].planHash != lines[0].planHash)
    #expect(lines[1].measures.okPerS == nil && lines[1].measures.notOkShare == nil)
    #expect(try reader.delete(run: run.run))
    #expect(try reader.runs().count == 2)
  }

  /// A list reads a line for each run, and not what its workers counted. The bounds are ten times what
  /// people wait for: a busy machine passes, and another order of work does not.
  @Test func aThousandRunsAreListedAtOnce() async throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var last: UInt64 = 0
    for number in 0..<1_000 {
      let run = try RecordFile(path: path, for: .writing)
        .begin(plan: plan, head: RecordHead(), warn: { _ in })
      last = run.run
      let batches = (0..<20).map { RecordEntry.batch(batch(UInt32($0))) }
      let isWhole = number.isMultiple(of: 100) || number == 999
      _ = await write(
        (isWhole ? batches : []) + [.end(Outcome(reason: .duration))], to: run)
      await run.finish(with: RunResult())
    }
    let began = ContinuousClock.now
    let lines = try RecordFile(path: path, for: .reading).runs()
    let text = JSONValue.array(lines.map(\.json)).text
    let listed = ContinuousClock.now
    let view = RunView(try RecordFile(path: path, for: .reading).read(run: last).result).json.text
    let viewed = ContinuousClock.now
    #expect(lines.count == 1_000 && text.utf8.count > 100_000 && view.utf8.count > 1_000)
    #expect(listed - began < .seconds(1))
    #expect(viewed - listed < .seconds(3))
    print("a list of 1,000 runs: \(listed - began), one run: \(viewed - listed)")
  }

  @Test func filesOfOthersAreRefused() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for (name, text) in [("text", "hello"), ("long", String(repeating: "SQLite", count: 100))] {
      let path = folder + "/" + name
      try text.write(toFile: path, atomically: false, encoding: .utf8)
      for access in [RecordFile.Access.reading, .writing] {
        #expect(throws: RecordFile.Trouble.refused("\(path) is no record of squall")) {
          try RecordFile(path: path, for: access)
        }
      }
      #expect(try String(contentsOfFile: path, encoding: .utf8) == text)
    }
    #expect(throws: RecordFile.Trouble.refused("there is no record \(path)")) {
      try RecordFile(path: path, for: .reading)
    }
    #expect(!FileManager.default.fileExists(atPath: path))
    #expect(throws: RecordFile.Trouble.refused("\(folder) is a folder")) {
      try RecordFile(path: folder, for: .writing)
    }
    #expect(throws: RecordFile.Trouble.unavailable("/dev/full is no file that can hold a record")) {
      try RecordFile(path: "/dev/full", for: .writing)
    }
  }
}
