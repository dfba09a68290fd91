import Foundation
import SquallLoad
import SquallReport
import Testing

/// A run of two workers with plain numbers, to be bent by each test.
struct SampleRun {
  var plan = Plan(
    to: .init(
      url: "http://127.0.0.1:8080/", destinations: [.init(host: "127.0.0.1", port: 8080)]),
    sending: .init(
      method: "GET",
      endpoints: [
        .init(name: "GET /", request: Array("GET / HTTP/1.1\r\n\r\n".utf8), expectsNoBody: false)
      ]), over: .init(16))
  var facts = RunFacts()
  var batches: [Batch] = []
  var objectives: [Objective] = []

  /// Five measured seconds, 1,000 responses of 8 ms a second and worker: 16 in flight by Little's law.
  init(
    serviceNs: UInt64 = 8_000_000, lagNs: [UInt64] = [], late: UInt64 = 0,
    cpuNs: UInt64 = 400_000_000
  ) {
    plan.times.durationNs = 5_000_000_000
    facts.tool.version = "0.1"
    facts.host.cpuModel = "CPU of \"this\" <host>"
    facts.startedAt = "2026-01-02T03:04:05Z"
    facts.argv = ["squall", "run", "http://127.0.0.1:8080/"]
    for worker in 0..<2 as Range<UInt16> {
      facts.workers[WorkerPlace(agent: 7, worker: worker)] = WorkerFacts(
        host: "here", cpu: UInt32(worker))
      for second in 0..<5 as Range<UInt32> {
        var batch = LoadSample.batch(
          LoadSample.incarnation(worker: worker), sequence: second, interval: second,
          service: Array(repeating: serviceNs, count: 1000), lag: lagNs, cpuNs: cpuNs)
        batch.worker.late = late
        if second == 4 { batch.fairness = LoadSample.sparse([512 * 600, 512 * 625, 512 * 650]) }
        batches.append(batch)
      }
    }
  }

  var ledger: RunLedger {
    var ledger = RunLedger(endpointCount: plan.content.endpoints.count)
    for batch in batches { ledger.merge(batch) }
    return ledger
  }

  /// With the workers' own ledgers equal to the master's, unless the facts have some.
  func result() -> RunResult {
    var facts = facts
    let ledger = ledger
    if facts.ownLedgers.isEmpty { facts.ownLedgers = ledger.incarnations }
    return RunResult(
      ledger: ledger, plan: plan, facts: facts, objectives: objectives, deflate: { $0 })
  }

  /// Every answer has status 500.
  mutating func answerNothingOk() {
    for index in batches.indices {
      batches[index].endpoints[0].counters.statuses = [500: 1000]
      batches[index].endpoints[0].service = .init()
      batches[index].endpoints[0].response = .init()
      batches[index].endpoints[0].firstByte = .init()
      batches[index].fairness = .init()
    }
  }

  mutating func open(_ hz: Double) {
    plan.load = .open(Schedule(startHz: hz))
    for index in batches.indices {
      let service = batches[index].endpoints[0].service
      batches[index].endpoints[0].response = service
    }
  }
}

struct RunResultTests {
  /// What is due later is not missing from a run that goes on.
  @Test func aRunThatGoesOnMissesNothing() {
    var run = SampleRun()
    run.open(2000)
    run.plan.times.durationNs = 10_000_000_000
    #expect(run.result().requests.unassigned == 10_000)
    run.facts.goesOn = true
    #expect(run.result().requests.due == nil)
    #expect(run.result().requests.unassigned == 0)
    #expect(run.result().requests.dropped == 0)
  }

  @Test func withoutAnOkAnswerNoFormatShowsALatency() throws {
    var run = SampleRun()
    run.answerNothingOk()
    let result = run.result()
    #expect(result.requests.notOk == 10_000)
    #expect(result.latency.response.p99 == nil)
    #expect(result.connections.okMin == nil)
    let json = result.json
    #expect(json["latency_ns"]?["response"]?["p99"] == .null)
    #expect(try RunResult(text: Array(json.indentedText.utf8)) == result)
    let cells = Csv.row(result).split(separator: ",", omittingEmptySubsequences: false)
    let names = Csv.header.split(separator: ",", omittingEmptySubsequences: false)
    for (name, cell) in zip(names, cells) where name.hasPrefix("response_") {
      #expect(cell.isEmpty, "\(name) is \(cell)")
    }
    for text in [
      TextReport(result).text, HtmlReport(result, with: .none).text, LocustCsv(result).stats,
    ] {
      for word in ["0ns", "NaN", "nan", "inf,", " inf"] { #expect(!text.contains(word), "\(word)") }
    }
    #expect(TextReport(result).text.contains("NO OK ANSWER"))
  }

  @Test func theAverageContentSizeIsOfAllAnswers() {
    var run = SampleRun()
    for index in run.batches.indices {
      run.batches[index].endpoints[0].counters.statuses = [200: 1000, 503: 1000]
      run.batches[index].endpoints[0].counters.bytesBody = 1000 * 10 + 1000 * 1000
    }
    let lines = LocustCsv(run.result()).stats.split(separator: "\n")
    #expect(lines.last?.split(separator: ",", omittingEmptySubsequences: false)[8] == "505.00")
  }

  @Test func fewerThanTenLateRequestsSayNothingOfTheGenerator() {
    var run = SampleRun(lagNs: [2_000_000])
    run.open(2000)
    for index in run.batches.indices {
      run.batches[index].endpoints[0].counters.sent = 10
      run.batches[index].endpoints[0].service = LoadSample.sparse(
        Array(repeating: 1_000_000, count: 10))
      run.batches[index].endpoints[0].response = run.batches[index].endpoints[0].service
      run.batches[index].endpoints[0].counters.statuses = [200: 10]
    }
    run.batches[0].worker.late = 9
    #expect(!run.result().verdict.saturated)
    #expect(run.result().verdict.cautions.contains { $0.hasPrefix("9 requests left more") })
    run.batches[0].worker.late = 10
    #expect(run.result().verdict.saturated)
  }

  @Test func theNumbersAreTheLedgers() throws {
    let result = SampleRun().result()
    #expect(result.requests.sent == 10_000)
    #expect(result.requests.ok == 10_000)
    #expect(result.requests.inFlightAtStop == 0)
    #expect(result.rate.okPerS == 2000)
    #expect(result.rate.targetPerS == nil)
    #expect(result.measuredNs == 5_000_000_000)
    #expect(result.latency.service.p99 == 8_000_000)
    #expect(result.latency.response == result.latency.service)
    #expect(result.status == ["200": 10_000])
    #expect(result.workers.map(\.cpu) == [0, 1])
    #expect(result.workers.map(\.busyRatio) == [0.4, 0.4])
    #expect(result.workers.map(\.sent) == [5000, 5000])
    #expect(result.intervals.count == 5)
    #expect(result.intervals[0].workerBusy == [0.4, 0.4])
    #expect(result.connections.okMin == 600)
    #expect(result.connections.okMedian == 625)
    #expect(result.connections.okMax == 650)
    #expect(result.connections.starved == 0)
    #expect(result.verdict.littlesLawRatio == 1)
    #expect(result.verdict.valid)
    #expect(!result.verdict.incomplete)
    #expect(result.verdict.conservation.balanced)
    #expect(result.verdict.cautions.isEmpty)
  }

  @Test func aResultIsReadBackAsItWasWritten() throws {
    var run = SampleRun(lagNs: [1000, 2000])
    run.open(2000)
    run.plan.labels = ["b": "2", "a": "\"1\""]
    run.objectives = try Objective.list("p99<20ms,errors<0.1%")
    let result = run.result()
    let text = result.json.indentedText
    let back = try RunResult(text: Array(text.utf8))
    #expect(back == result)
    #expect(back.json.indentedText == text)
    #expect(back.histogram(.service).count == 10_000)
    let median = Double(back.histogram(.response).quantileNs(0.5))
    let exact = Double(try #require(result.latency.response.p50))
    #expect(abs(median / exact - 1) < 0.002)
  }

  @Test func theSchemaOnDiskIsTheSchemaOfTheCode() throws {
    let file = URL(filePath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: "docs/result.schema.json")
    if ProcessInfo.processInfo.environment["SQUALL_WRITE_SCHEMA"] != nil {
      try RunResult.schemaDocument.indentedText.write(to: file, atomically: true, encoding: .utf8)
    }
    #expect(try String(contentsOf: file, encoding: .utf8) == RunResult.schemaDocument.indentedText)
  }

  /// A reading of the few words of JSON Schema that ours uses, by other means than the writer's.
  private func faults(_ value: JSONValue, _ schema: JSONValue, _ path: String) -> [String] {
    if case .array(let types) = schema["type"] {
      guard types.count == 2, types[1] == .string("null") else { return ["\(path) has odd types"] }
      return value == .null ? [] : faults(value, .object([.init("type", types[0])]), path)
    }
    switch (schema["type"], value) {
    case (.string("object"), .object(let members)):
      var faults: [String] = []
      if case .array(let required) = schema["required"] {
        for case .string(let name) in required where value[name] == nil {
          faults.append("\(path).\(name) is missing")
        }
      }
      for member in members {
        if let property = schema["properties"]?[member.name] {
          faults += self.faults(member.value, property, "\(path).\(member.name)")
        } else if case .object = schema["additionalProperties"] {
          faults += self.faults(
            member.value, schema["additionalProperties"]!, "\(path).\(member.name)")
        } else {
          faults.append("\(path).\(member.name) is not in the schema")
        }
      }
      return faults
    case (.string("array"), .array(let elements)):
      return elements.flatMap { self.faults($0, schema["items"]!, path + "[]") }
    case (.string("string"), .string):
      guard case .array(let values) = schema["enum"] else { return [] }
      return values.contains(value) ? [] : ["\(path) is none of the values"]
    case (.string("boolean"), .bool), (.string("number"), .number): return []
    case (.string("number"), .integer): return []
    case (.string("integer"), .integer(let integer)):
      return schema["minimum"] == .integer(0) && integer < 0 ? ["\(path) is negative"] : []
    default: return ["\(path) has another type"]
    }
  }

  @Test func resultsFitTheSchema() throws {
    var open = SampleRun(lagNs: [1000])
    open.open(2000)
    open.objectives = try Objective.list("p99<20ms")
    open.plan.requestCount = 5
    open.plan.times.deadlineNs = 7
    var empty = SampleRun()
    empty.batches = []
    empty.facts.workers = [:]
    empty.facts.interrupted = true
    var failed = SampleRun()
    failed.answerNothingOk()
    for run in [SampleRun(), open, empty, failed] {
      #expect(faults(run.result().json, RunResult.schemaDocument, "") == [])
    }
    var broken = SampleRun().result()
    broken.schema = "squall.result/2"
    broken.intervals[0].phase = "later"
    #expect(faults(broken.json, RunResult.schemaDocument, "").count == 2)
  }

  @Test func theMembersOfTheDesignAreThere() {
    let json = SampleRun().result().json
    for path in [
      "schema", "tool.name", "tool.version", "tool.commit", "host.kernel", "host.cpu_model",
      "host.cpus", "argv", "plan", "started_at", "measured_ns", "interrupted", "workers",
      "requests.sent", "requests.completed", "requests.ok", "requests.not_ok",
      "requests.in_flight_at_stop", "requests.dropped", "errors.connect", "errors.reset",
      "errors.send", "errors.timeout", "errors.deadline", "errors.parse", "errors.status",
      "errors.closed", "errors.tls", "errors.other", "status.200", "bytes.sent", "bytes.received",
      "bytes.body", "rate.ok_per_s", "rate.completed_per_s", "latency_ns.response.p50",
      "latency_ns.service.stdev", "latency_ns.connect.p99", "latency_ns.first_byte.max",
      "latency_ns.schedule_lag.count", "histograms.response", "histograms.service", "intervals",
      "connections.opened", "connections.reopened", "connections.ok_min", "connections.ok_median",
      "connections.ok_max", "connections.starved", "verdict.saturated", "verdict.reasons",
      "verdict.littles_law_ratio", "verdict.conservation.worker_sum", "verdict.conservation.total",
      "verdict.conservation.missing", "verdict.incomplete", "slo",
    ] {
      var value: JSONValue? = json
      for name in path.split(separator: ".") { value = value?[String(name)] }
      #expect(value != nil, "\(path)")
    }
    #expect(json["latency_ns"]?["response"]?["p99.9"] == .integer(8_000_000))
    #expect(json["latency_ns"]?["response"]?["p99.99"] == .integer(8_000_000))
  }

  @Test func anotherToolsFileIsRefusedInOneSentence() {
    func sentence(_ text: String) -> String {
      do {
        _ = try RunResult(text: Array(text.utf8))
        return ""
      } catch { return error.description }
    }
    #expect(sentence("{}") == "the document: has no \"schema\": not a result of squall")
    #expect(
      sentence("{\"schema\":\"squall.result/9\"}")
        == "schema: is squall.result/9, this version reads squall.result/1")
    #expect(sentence("{\"schema\":\"squall.result/1\"}") == "tool: missing")
    #expect(
      sentence("hello") == "the document: not JSON at line 1, column 1: no value begins like this")
  }

  @Test func theWarmUpAndWhatItLeftInFlightAreShown() {
    var run = SampleRun()
    run.batches.append(
      LoadSample.batch(
        LoadSample.incarnation(), sequence: 9, interval: 0, phase: .warmup, service: [1000],
        inFlight: 3))
    for index in run.batches.indices where run.batches[index].name.sequence == 4 {
      run.batches[index].endpoints[0].counters.sent -= 1
    }
    let result = run.result()
    #expect(result.requests.warmup.sent == 4)
    #expect(result.requests.warmup.ok == 1)
    #expect(result.requests.carriedIn == 3)
    #expect(result.requests.sent == 9998)
    #expect(result.requests.inFlightAtStop == 1)
    #expect(result.intervals.first?.phase == "warmup")
    #expect(result.histogram(.service).count == 10_000)
  }
}

struct VerdictTests {
  @Test func aBusyWorkerSaturatesTheGenerator() {
    let verdict = SampleRun(cpuNs: 960_000_000).result().verdict
    #expect(verdict.saturated)
    #expect(!verdict.valid)
    #expect(verdict.reasons.count == 2)
    #expect(verdict.reasons[0].hasPrefix("worker 0 (cpu 0) was 96% busy"))
    #expect(verdict.reasons[0].contains("use another host"))
  }

  @Test func oneNearItsLimitIsCautioned() {
    let verdict = SampleRun(cpuNs: 900_000_000).result().verdict
    #expect(!verdict.saturated)
    #expect(verdict.valid)
    #expect(verdict.cautions.count == 2)
  }

  @Test func aSpinningWorkersBusyRatioSaysNothing() {
    var run = SampleRun(cpuNs: 999_000_000)
    run.plan.spins = true
    #expect(!run.result().verdict.saturated)
    #expect(
      run.result().verdict.cautions == ["workers spin: their busy ratio says nothing of their load"]
    )
  }

  @Test func aWorkerThatWaitsForItsCPUSaturatesAClosedLoop() {
    let sentence =
      "the worker on cpu 1 waited 6% of the time for its CPU: other processes run there; stop them, or choose other CPUs (--cpus)"
    var run = SampleRun()
    for index in 5..<10 { run.batches[index].worker.runQueueWaitNs = 60_000_000 }
    #expect(run.result().verdict.saturated)
    #expect(run.result().verdict.reasons == [sentence])

    run.open(2000)
    #expect(!run.result().verdict.saturated)
    #expect(run.result().verdict.cautions.contains(sentence))
  }

  @Test func whoTookTheCPUIsNamedOnlyWhereItIsKnown() {
    func reasons(_ change: (inout SampleRun) -> Void) -> [String] {
      var run = SampleRun()
      for index in 5..<10 { run.batches[index].worker.runQueueWaitNs = 600_000_000 }
      change(&run)
      return run.result().verdict.reasons
    }
    let waited = "the worker on cpu 1 waited 60% of the time for its CPU: "
    #expect(
      reasons { $0.facts.cpusSharedWithTarget = [1] } == [
        waited + "the target runs there; keep them apart with --cpus or on two hosts"
      ])
    #expect(
      reasons { $0.facts.workers[WorkerPlace(agent: 7, worker: 0)]?.cpu = 1 } == [
        waited + "other workers of ours run there; use at most 1 worker (-w 1)"
      ])
    #expect(
      reasons {
        $0.facts.quota = RunFacts.Quota(cpus: 0.3, periodCount: 46, throttledCount: 43)
      } == [
        "the workers were held back in 43 of 46 periods: the CPU quota of this container or control "
          + "group is 0.30 CPUs; raise the quota, or ask for less load"
      ])
    #expect(
      reasons {
        $0.facts.quota = RunFacts.Quota(cpus: 4, periodCount: 46, throttledCount: 0)
      } == [waited + "other processes run there; stop them, or choose other CPUs (--cpus)"])
  }

  @Test func lateSendsWithConnectionsFreeAreTheGenerators() {
    // Eleven of each second's thousand.
    var run = SampleRun(serviceNs: 100_000, lagNs: [2_000_000], late: 11)
    run.open(2000)
    #expect(run.result().workers[0].sentLate == 55)
    let verdict = run.result().verdict
    #expect(verdict.saturated)
    #expect(verdict.reasons[0].hasPrefix("110 requests left more than 1.00ms late"))
    #expect(verdict.reasons.count == 1)
    #expect(verdict.reasons[0].contains("schedule lag p99 2.00ms"))
  }

  @Test func lateSendsBehindASlowTargetAreTheTargets() {
    // Ten of each second's thousand are no more than what a host's hiccups explain.
    var run = SampleRun(serviceNs: 4_000_000, lagNs: [5_000_000], late: 10)
    run.open(2000)
    let verdict = run.result().verdict
    #expect(!verdict.saturated)
    #expect(verdict.valid)
    #expect(verdict.cautions.count == 1)
    #expect(verdict.cautions[0].hasPrefix("requests waited for a free connection"))
  }

  @Test func aRateThatWasNotReachedIsNotValid() {
    var run = SampleRun()
    run.open(2500)
    let result = run.result()
    #expect(result.rate.targetPerS == 2500)
    #expect(result.rate.achievedRatio == 0.8)
    #expect(!result.verdict.saturated)
    #expect(!result.verdict.valid)
    #expect(result.verdict.reasons[0].hasPrefix("80% of the 2,500/s asked for was sent"))
  }

  @Test func aRateIsJudgedByTheRequestsThereWere() {
    var run = SampleRun()
    run.open(2500)
    run.plan.requestCount = 10_000
    #expect(run.result().rate.achievedRatio == 1)
    run.plan.requestCount = .max
    run.open(1990)
    #expect(run.result().verdict.valid)
  }

  @Test func littlesLawIsCheckedInAClosedLoop() {
    let slow = SampleRun(serviceNs: 6_000_000).result().verdict
    #expect(abs((slow.littlesLawRatio ?? 0) - 0.75) < 1e-9)
    #expect(slow.cautions.count == 1)
    #expect(slow.cautions[0].contains("75%"))
    let impossible = SampleRun(serviceNs: 9_000_000).result().verdict
    #expect(impossible.cautions[0].contains("times or counts are wrong"))
    var ramped = SampleRun(serviceNs: 6_000_000)
    ramped.plan.connections.rampNs = 1
    #expect(ramped.result().verdict.cautions == [])
    var open = SampleRun()
    open.open(2000)
    #expect(open.result().verdict.littlesLawRatio == nil)
  }

  @Test func aSharedCPUIsSaid() {
    var run = SampleRun()
    run.facts.cpusSharedWithTarget = [0, 1]
    #expect(
      run.result().verdict.cautions[0].hasPrefix("the target runs on the workers' CPUs (0,1)"))
    #expect(run.result().verdict.valid)
  }

  @Test func connectionsThatNeverCameToBeAreSaid() {
    func cautions(opened: UInt64, reopened: UInt64, requests: UInt64 = .max) -> [String] {
      var run = SampleRun()
      run.plan.requestCount = requests
      run.batches[0].worker.opened = opened
      run.batches[0].worker.reopened = reopened
      return run.result().verdict.cautions.filter { $0.contains("came to be") }
    }
    #expect(cautions(opened: 16, reopened: 0).isEmpty)
    #expect(cautions(opened: 17, reopened: 2).first?.hasPrefix("only 15 of 16 connections") == true)
    #expect(cautions(opened: 15, reopened: 0, requests: 10).isEmpty)
  }

  @Test func troubleAroundTheRunIsNamedWithItsRemedy() {
    var run = SampleRun()
    run.batches[0].worker.portFailures = 1200
    run.batches[7].worker.descriptorFailures = 1
    run.facts.listenOverflowCount = 3
    run.facts.retransmitRatio = 0.01
    run.facts.stealRatio = 0.1
    let cautions = run.result().verdict.cautions
    #expect(cautions.count == 5)
    for word in ["--source-ip", "ulimit", "somaxconn", "network", "steal"] {
      #expect(cautions.contains { $0.contains(word) }, "\(word)")
    }
  }

  @Test func aLedgerThatDiffersMakesTheRunIncomplete() {
    var run = SampleRun()
    run.facts.ownLedgers = run.ledger.incarnations
    run.facts.ownLedgers[LoadSample.incarnation()]?.sent += 5
    let verdict = run.result().verdict
    #expect(verdict.incomplete)
    #expect(verdict.conservation.missing == 5)
    #expect(verdict.conservation.workerSum == 10_005)
    #expect(verdict.conservation.total == 10_000)
    #expect(verdict.conservation.ledgersDiffering == 1)
    #expect(!verdict.conservation.balanced)
  }

  @Test func aLedgerThatNeverCameMakesTheRunIncomplete() {
    var run = SampleRun()
    run.facts.ownLedgers = run.ledger.incarnations
    run.facts.ownLedgers[LoadSample.incarnation()] = nil
    let verdict = run.result().verdict
    #expect(verdict.incomplete)
    #expect(verdict.conservation.ledgersAbsent == 1)
    #expect(verdict.conservation.missing == 0)
  }

  @Test func aWorkerThatOnlyItsOwnSideKnowsIsMissed() {
    var run = SampleRun()
    run.facts.ownLedgers = run.ledger.incarnations
    run.facts.ownLedgers[LoadSample.incarnation(worker: 9)] = IncarnationLedger(
      sent: 7, ok: 7, notOk: 0, dropped: 0, batchCount: 1, histogramHash: 1)
    #expect(run.result().verdict.conservation.missing == 7)
    #expect(run.result().verdict.incomplete)
  }

  @Test func aLostWorkerMakesTheRunIncomplete() {
    var run = SampleRun()
    run.facts.workers[WorkerPlace(agent: 7, worker: 1)]?.isLost = true
    #expect(run.result().verdict.incomplete)
    #expect(run.result().workers[1].lost)
  }

  @Test func moreEndedThanSentIsAFault() {
    var run = SampleRun()
    run.batches[0].endpoints[0].counters.sent -= 1
    let verdict = run.result().verdict
    #expect(!verdict.conservation.balanced)
    #expect(verdict.cautions.contains { $0.contains("cannot be trusted") })
  }
}

struct ObjectiveOutcomeTests {
  private func outcome(_ text: String, _ run: SampleRun) throws -> RunResult.SloOutcome {
    var run = run
    run.objectives = try Objective.list(text)
    return try #require(run.result().slo.first)
  }

  @Test func eachIsPrintedWithItsValue() throws {
    let run = SampleRun()
    #expect(try outcome("p99<20ms", run).value == 8_000_000)
    #expect(try outcome("p99<20ms", run).pass == true)
    #expect(try outcome("p99<8ms", run).pass == false)
    #expect(try outcome("p99<=8ms", run).pass == true)
    #expect(try outcome("p97(service)<8.1ms", run).pass == true)
    #expect(try outcome("rate>=2k", run).pass == true)
    #expect(try outcome("rate>2k", run).pass == false)
    #expect(try outcome("errors<=0", run).pass == true)
    #expect(try outcome("mean<9ms", run).value == 8_000_000)
    #expect(try outcome("max(service)<8ms", run).pass == false)
  }

  @Test func failedConnectionsAreErrors() throws {
    var run = SampleRun()
    run.batches[0].endpoints[0].counters.errors[Int(ErrorCause.connect.rawValue)] = 10_000
    #expect(try outcome("errors<1%", run).value == 0.5)
  }

  @Test func aRunWithoutAnyAnswerFails() throws {
    var run = SampleRun()
    run.batches = []
    #expect(try outcome("errors<1%", run).pass == false)
    #expect(try outcome("p99<1s", run).pass == false)
    #expect(try outcome("p99<1s", run).value == nil)
  }

  @Test func anInterruptedRunIsNotJudged() throws {
    var run = SampleRun()
    run.facts.interrupted = true
    #expect(try outcome("p99<1ms", run).pass == nil)
    #expect(try outcome("p99<1ms", run).value == nil)
  }
}
