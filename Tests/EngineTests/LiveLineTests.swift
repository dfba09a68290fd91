import SquallLoad
import SquallNode
import Testing

/// The live line of a run.
struct LiveLineTests {
  private func plan(rateHz: Double?) -> Plan {
    var plan = Plan(
      to: .init(url: "http://h/", destinations: [.init(host: "h", port: 80)]),
      sending: .init(
        method: "GET", endpoints: [.init(name: "/", request: [], expectsNoBody: false)]),
      over: .init(1))
    if let rateHz { plan.load = .open(Schedule(startHz: rateHz)) }
    plan.times.durationNs = 10_000_000_000
    return plan
  }

  private func text(
    ok: UInt64 = 1_000, lagNs: UInt64? = nil, rateHz: Double?, errorCount: UInt64,
    rates: [Double] = [],
    workers: String? = nil, width: Int = 80, hasColour: Bool = false
  ) -> String {
    var moment = LiveLine.Moment(
      endNs: 3_000_000_000, okPerS: Double(ok), errorCount: errorCount, rates: rates,
      workers: workers)
    for _ in 0..<ok { moment.latency.record(276_000) }
    if let lagNs { moment.lag.record(lagNs) }
    return LiveLine.text(moment, plan: plan(rateHz: rateHz), width: width, hasColour: hasColour)
  }

  @Test func itShowsTheRateAgainstTheTargetAndTheLag() {
    #expect(
      text(lagNs: 20_000, rateHz: 1_000, errorCount: 0, rates: [500, 1_000], hasColour: true)
        == "3s  1,000/1,000 ok/s  p50 276us  p99 276us  lag 20.0us  err 0  ▄█")
  }

  @Test func aClosedLoopHasNeitherTargetNorLag() {
    #expect(
      text(rateHz: nil, errorCount: 7) == "3s  1,000 ok/s  p50 276us  p99 276us  err 7")
  }

  @Test func aMasterSaysFirstHowManyWorkersThereAre() {
    #expect(text(rateHz: nil, errorCount: 0, workers: "2/3 workers").hasPrefix("2/3 workers  3s  "))
  }

  @Test func beforeTheFirstIntervalItSaysWhatIsWaitedFor() {
    var plan = plan(rateHz: nil)
    #expect(LiveLine.beginning(of: plan) == "1 connection is opened before the load begins")
    plan.connections.count = 20_000
    #expect(
      LiveLine.beginning(of: plan) == "20,000 connections are opened before the load begins")
    plan.connections.rampNs = 1
    #expect(LiveLine.beginning(of: plan) == nil)
  }

  @Test(arguments: [1, 10, 30, 40, 79, 80, 200]) func itIsNarrowerThanTheTerminal(width: Int) {
    let line = text(
      lagNs: 60_000_000_000, rateHz: 99_999_999, errorCount: 123_456_789_012,
      rates: (0..<100).map(Double.init), width: width)
    #expect(line.count < width)
  }

  @Test func colourMarksWhatIsWrongAndNothingElse() {
    let line = text(ok: 900, lagNs: 2_000_000, rateHz: 1_000, errorCount: 1, hasColour: true)
    #expect(line.contains("\u{1b}[33m900/1,000 ok/s\u{1b}[0m"))
    #expect(line.contains("\u{1b}[33mlag 2.00ms\u{1b}[0m"))
    #expect(line.contains("\u{1b}[31merr 1\u{1b}[0m"))
    #expect(!text(ok: 900, lagNs: 2_000_000, rateHz: 1_000, errorCount: 1).contains("\u{1b}"))
  }

  @Test func noColorAndADumbTerminalMeanNone() {
    #expect(LiveLine.wantsColour(noColor: nil, term: "xterm"))
    #expect(LiveLine.isASCII(all: nil, ctype: nil, lang: nil))
    #expect(LiveLine.isASCII(all: "C", ctype: nil, lang: "en_US.UTF-8"))
    #expect(!LiveLine.isASCII(all: "", ctype: nil, lang: "en_US.UTF-8"))
    #expect(!LiveLine.isASCII(all: nil, ctype: "C.utf8", lang: "C"))
    #expect(LiveLine.spark([0, 50, 100], inASCII: true) == "_=@")
    #expect(LiveLine.wantsColour(noColor: "", term: "xterm"))
    #expect(!LiveLine.wantsColour(noColor: "1", term: "xterm"))
    #expect(!LiveLine.wantsColour(noColor: nil, term: "dumb"))
    #expect(!LiveLine.wantsColour(noColor: nil, term: nil))
  }
}
