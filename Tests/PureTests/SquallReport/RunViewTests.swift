import SquallLoad
import SquallReport
import Testing

/// What pages draw.
struct RunViewTests {
  private func view(open: Bool = true, _ bend: (inout SampleRun) -> Void = { _ in }) -> RunView {
    var run = SampleRun(lagNs: open ? [20_000, 30_000] : [])
    if open { run.open(2000) }
    bend(&run)
    return RunView(run.result())
  }

  private func columns(_ view: RunView) throws -> [JSONValue] {
    guard case .array(let columns) = view.json["columns"] else { throw JSONMismatch("no columns") }
    return columns
  }

  private func integer(_ value: JSONValue?) -> Int128 {
    if case .integer(let integer) = value { integer } else { -1 }
  }

  @Test func columnsAddUpToTheRun() throws {
    let columns = try columns(view())
    #expect(columns.count == 5)
    #expect(columns.reduce(0) { $0 + integer($1["ok"]) } == 10_000)
    for column in columns {
      guard case .array(let heat) = column["heat"] else { throw JSONMismatch("no heat") }
      let counts = stride(from: 1, to: heat.count, by: 2).map { integer(heat[$0]) }
      #expect(counts.reduce(0, +) == integer(column["ok"]))
      #expect(column["target_per_s"] == .number(2000))
      // 2,000 a second of 8 ms.
      guard case .number(let inFlight) = column["in_flight"] else { throw JSONMismatch("none") }
      #expect(abs(inFlight - 16) < 0.1)
    }
  }

  /// A row of the heat map is an eighth of an octave: its edges hold what is counted in it.
  @Test func heatIsWhereTheTimesAre() throws {
    let columns = try columns(view())
    guard case .array(let heat) = columns[0]["heat"] else { throw JSONMismatch("no heat") }
    let row = Int(integer(heat[0]))
    let low = 512.0 * Double(1 << (row / 8)) * (1 + Double(row % 8) / 8)
    #expect(low <= 8_000_000 && 8_000_000 < low * 1.125)
  }

  @Test func aValueThatDoesNotExistIsNull() throws {
    var result = SampleRun().result()
    result.intervals[0].responseHistogram = ""
    let columns = try columns(RunView(result))
    #expect(columns[0]["p99"] == .null)
    #expect(columns[0]["target_per_s"] == nil, "a closed loop has no target")
  }

  @Test(arguments: [Phase.measured, .drain]) func aSliverOfTimeDrawsNoPoint(phase: Phase) throws {
    var result = SampleRun().result()
    let count = try columns(RunView(result)).count
    var sliver = RunResult.Interval()
    sliver.phase = phase.name
    sliver.startNs = try #require(result.intervals.last).endNs
    sliver.endNs = sliver.startNs + result.plan.intervalNs / 20
    sliver.workerBusy = result.workers.map { _ in 0 }
    result.intervals.append(sliver)
    #expect(try columns(RunView(result)).count == count)
  }

  @Test func longRunsHaveFewerColumnsThatHoldAll() throws {
    let columns = try columns(RunView(SampleRun().result(), columnCountMax: 2))
    #expect(columns.count == 2)
    #expect(columns.reduce(0) { $0 + integer($1["ok"]) } == 10_000)
  }

  // MARK: Lights

  private func light(_ name: String, of view: RunView) -> RunView.Light? {
    view.lights.first { $0.name == name }
  }

  @Test func aGoodRunHasGoodLights() {
    let lights = view().lights
    #expect(
      lights.map(\.name) == ["Generator", "Schedule", "Target", "Counts", "Workers", "Intervals"])
    #expect(lights.allSatisfy { $0.state == .good }, "\(lights)")
    #expect(view(open: false).lights.map(\.name).contains("Schedule") == false)
  }

  @Test func whatIsNotAsItShouldBeIsSaidWithWhatToDo() {
    let busy = view(open: false) { run in
      for index in run.batches.indices { run.batches[index].worker.cpuUserNs = 990_000_000 }
    }
    #expect(light("Generator", of: busy)?.state == .bad)
    let failing = view { run in
      run.batches[0].endpoints[0].counters.errors[Int(ErrorCause.timeout.rawValue)] = 500
      run.batches[0].endpoints[0].counters.sent += 500
    }
    #expect(light("Target", of: failing)?.state == .bad)
    let late = view { $0.batches.remove(at: 2) }
    #expect(light("Intervals", of: late)?.state == .caution)
    var result = SampleRun().result()
    let missing = RunView(result, missingCount: 2)
    #expect(light("Workers", of: missing)?.sentence.hasPrefix("2 workers missing") == true)
    result.verdict.conservation.balanced = false
    result.verdict.conservation.ledgersAbsent = 1
    #expect(light("Counts", of: RunView(result))?.state == .bad)
  }

  @Test func theTargetOfARampIsThatOfTheInstant() throws {
    let ramp = view { run in
      run.plan.load = .open(
        Schedule(startHz: 0, stages: [.init(durationNs: 5_000_000_000, endHz: 1_000)]))
    }
    let targets = try columns(ramp).map { $0["target_per_s"] }
    #expect(targets == [100, 300, 500, 700, 900].map { .number($0) })
  }
}
