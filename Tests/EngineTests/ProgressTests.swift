import SquallLoad
import SquallNode
import Testing

/// The live line of a run.
struct ProgressTests {
  private func plan(rateHz: Double?) -> Plan {
    var plan = Plan(
      url: "http://h/", method: "GET", destinations: [.init(host: "h", port: 80)],
      endpoints: [.init(name: "/", request: [], expectsNoBody: false)], connections: 1)
    if let rateHz { plan.load = .open(Schedule(startHz: rateHz)) }
    plan.durationNs = 10_000_000_000
    return plan
  }

  private func slice(ok: UInt32 = 1_000, lagNs: UInt64? = nil) -> Progress.Slice {
    var batch = Batch(
      name: BatchName(incarnation: Incarnation(agent: 1, worker: 0, life: 1), sequence: 0),
      firstInterval: 2, lastInterval: 2, phase: .measured, startNs: 2_000_000_000,
      endNs: 3_000_000_000, endpoints: [Batch.Endpoint(index: 0)])
    batch.endpoints[0].service = sparse(count: ok, ns: 276_000)
    batch.endpoints[0].counters.statuses = [200: UInt64(ok)]
    if let lagNs { batch.scheduleLag = sparse(count: ok, ns: lagNs) }
    var slice = Progress.Slice(lastInterval: 2)
    slice.merge(batch)
    return slice
  }

  private func sparse(count: UInt32, ns: UInt64) -> SparseHistogram {
    var histogram = SparseHistogram()
    histogram.buckets = [.init(index: UInt16(HistogramLayout.bucket(ns)), count: count)]
    histogram.sumNs = UInt64(count) * ns
    histogram.minNs = ns
    histogram.maxNs = ns
    return histogram
  }

  @Test func itShowsTheRateAgainstTheTargetAndTheLag() {
    let line = Progress.line(
      slice(lagNs: 20_000), plan: plan(rateHz: 1_000), errorCount: 0, rates: [500, 1_000],
      width: 80, hasColour: true)
    #expect(line == "3s  1,000/1,000 ok/s  p50 276us  p99 276us  lag 20.0us  err 0  ▄█")
  }

  @Test func aClosedLoopHasNeitherTargetNorLag() {
    let line = Progress.line(
      slice(), plan: plan(rateHz: nil), errorCount: 7, rates: [], width: 80, hasColour: false)
    #expect(line == "3s  1,000 ok/s  p50 276us  p99 276us  err 7")
  }

  @Test(arguments: [1, 10, 30, 40, 79, 80, 200]) func itIsNarrowerThanTheTerminal(width: Int) {
    let line = Progress.line(
      slice(lagNs: 60_000_000_000), plan: plan(rateHz: 99_999_999), errorCount: 123_456_789_012,
      rates: (0..<100).map(Double.init), width: width, hasColour: false)
    #expect(line.count < width)
  }

  @Test func colourMarksWhatIsWrongAndNothingElse() {
    let line = Progress.line(
      slice(ok: 900, lagNs: 2_000_000), plan: plan(rateHz: 1_000), errorCount: 1, rates: [],
      width: 80, hasColour: true)
    #expect(line.contains("\u{1b}[33m900/1,000 ok/s\u{1b}[0m"))
    #expect(line.contains("\u{1b}[33mlag 2.00ms\u{1b}[0m"))
    #expect(line.contains("\u{1b}[31merr 1\u{1b}[0m"))
    let plain = Progress.line(
      slice(ok: 900, lagNs: 2_000_000), plan: plan(rateHz: 1_000), errorCount: 1, rates: [],
      width: 80, hasColour: false)
    #expect(!plain.contains("\u{1b}"))
  }

  @Test func noColorAndADumbTerminalMeanNone() {
    #expect(Progress.wantsColour(noColor: nil, term: "xterm"))
    #expect(Progress.wantsColour(noColor: "", term: "xterm"))
    #expect(!Progress.wantsColour(noColor: "1", term: "xterm"))
    #expect(!Progress.wantsColour(noColor: nil, term: "dumb"))
    #expect(!Progress.wantsColour(noColor: nil, term: nil))
  }
}
