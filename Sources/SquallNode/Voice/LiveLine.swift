internal import Glibc
internal import NIOConcurrencyHelpers
internal import SquallCluster
package import SquallLoad
internal import SquallReport

/// Lines at the end of the terminal that are written again and again, with others coming in above them.
package final class LiveLine: Sendable {
  /// What one interval came to, over all workers.
  package struct Moment: Sendable {
    /// Of the run's timeline.
    package var endNs: UInt64
    package var okPerS: Double
    package var latency: Histogram
    /// Empty in a closed loop.
    package var lag: Histogram
    /// Of the whole run so far.
    package var errorCount: UInt64
    /// Ok rates of the last intervals, oldest first.
    package var rates: [Double]
    /// Shown first, where there is something to say of them.
    package var workers: String?

    package init(
      endNs: UInt64, okPerS: Double, latency: Histogram = .init(), lag: Histogram = .init(),
      errorCount: UInt64, rates: [Double], workers: String? = nil
    ) {
      self.endNs = endNs
      self.okPerS = okPerS
      self.latency = latency
      self.lag = lag
      self.errorCount = errorCount
      self.rates = rates
      self.workers = workers
    }
  }

  private let width: Int
  private let height: Int
  private let hasColour: Bool
  private let isASCII: Bool
  private let shownCount = NIOLockedValueBox(0)

  /// Nil when standard error is no terminal, or one that cannot go back in a line.
  package init?() {
    guard isatty(STDERR_FILENO) == 1, Host.variable("TERM") != "dumb" else { return nil }
    hasColour = Self.wantsColour(noColor: Host.variable("NO_COLOR"), term: Host.variable("TERM"))
    isASCII = Self.isASCII(
      all: Host.variable("LC_ALL"), ctype: Host.variable("LC_CTYPE"), lang: Host.variable("LANG"))
    var size = winsize()
    let hasSize = unsafe ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0
    width = hasSize && size.ws_col > 0 ? Int(size.ws_col) : 80
    height = hasSize && size.ws_row > 0 ? Int(size.ws_row) : 24
  }

  /// Shows each whole interval of the load as it comes, until the feed ends.
  package func follow(_ feed: Feed, namesWorkers: Bool) async {
    for await figures in feed.figures() {
      guard figures.status.stage == .running, let plan = figures.plan else {
        clear()
        continue
      }
      guard var moment = figures.moment else {
        show { width, _ in Self.beginning(of: plan).map { [String($0.prefix(width))] } ?? [] }
        continue
      }
      if !namesWorkers { moment.workers = nil }
      show(moment, of: plan)
    }
    clear()
  }

  private func show(_ moment: Moment, of plan: Plan) {
    let text = Self.text(
      moment, plan: plan, width: width, hasColour: hasColour, isASCII: isASCII)
    show { _, _ in [text] }
  }

  /// What there is to say before the first interval is here. Connections of a ramp come with the load.
  package static func beginning(of plan: Plan) -> String? {
    guard plan.connections.rampNs == 0 else { return nil }
    let count = plan.connections.openCount
    return count == 1
      ? "1 connection is opened before the load begins"
      : "\(Figures.grouped(count)) connections are opened before the load begins"
  }

  /// Shows these in the place of what is shown, of which each fits into the width and all into the
  /// height that are given: a line that the terminal breaks would not be found again.
  package func show(_ lines: (_ width: Int, _ height: Int) -> [String]) {
    let lines = lines(max(1, width - 1), height)
    shownCount.withLockedValue { count in
      write(Self.back(over: count) + lines.joined(separator: "\u{1b}[K\r\n") + "\u{1b}[J")
      count = lines.count
    }
  }

  /// To the beginning of the first of so many lines (CUU, ECMA-48).
  private static func back(over count: Int) -> String {
    count > 1 ? "\r\u{1b}[\(count - 1)A" : "\r"
  }

  /// Takes the lines away, so that something else can be said.
  package func clear() {
    shownCount.withLockedValue { count in
      if count > 0 { write(Self.back(over: count) + "\u{1b}[J") }
      count = 0
    }
  }

  private func write(_ text: some StringProtocol) {
    let bytes = Array(text.utf8)
    _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
  }

  /// https://no-color.org: present and not empty, whatever its value, means no colour.
  package static func wantsColour(noColor: String?, term: String?) -> Bool {
    (noColor ?? "").isEmpty && term != nil && term != "dumb"
  }

  /// At most `width` - 1 characters wide: a cursor behind the last column may start a new line. The
  /// last rates take what room is left, down to none.
  package static func text(
    _ moment: Moment, plan: Plan, width: Int, hasColour: Bool, isASCII: Bool = false
  ) -> String {
    let elapsedNs = moment.endNs - min(moment.endNs, plan.times.warmupNs)
    var cells: [(text: String, colour: Colour?)] = []
    if let workers = moment.workers { cells.append((workers, nil)) }
    cells.append((Figures.fixed(Double(elapsedNs) * 1e-9, 0) + "s", nil))
    var rate = Figures.rate(moment.okPerS)
    var colour: Colour?
    if case .open(let schedule) = plan.load {
      let wantedHz = schedule.rateHz(
        atNs: moment.endNs - min(moment.endNs, plan.times.intervalNs / 2))
      rate += "/" + Figures.rate(wantedHz)
      if moment.okPerS < wantedHz * RunResult.Verdict.achievedRatioMin { colour = .yellow }
    }
    cells.append((rate + " ok/s", colour))
    for (name, fraction) in [("p50", 0.5), ("p99", 0.99)] {
      let value = moment.latency.isEmpty ? nil : moment.latency.quantileNs(fraction)
      cells.append(("\(name) \(Figures.duration(value))", nil))
    }
    if !moment.lag.isEmpty {
      let lagNs = moment.lag.quantileNs(0.99)
      cells.append(
        (
          "lag " + Figures.duration(lagNs),
          lagNs > RunResult.Verdict.scheduleLagP99NsMax ? .yellow : nil
        ))
    }
    let errors =
      moment.errorCount < 1_000
      ? "\(moment.errorCount)" : Figures.short(Double(moment.errorCount))
    cells.append(("err " + errors, moment.errorCount > 0 ? .red : nil))

    var line = ""
    var room = max(0, width - 1)
    for (text, colour) in cells {
      let gap = line.isEmpty ? "" : "  "
      guard gap.count + text.count <= room else { return line }
      room -= gap.count + text.count
      line += gap + (hasColour ? colour?.around(text) ?? text : text)
    }
    let bars = spark(moment.rates.suffix(max(0, room - 2)), inASCII: isASCII)
    return bars.isEmpty ? line : line + "  " + bars
  }

  enum Colour: Int {
    case red = 31
    case yellow = 33

    /// SGR of ECMA-48.
    func around(_ text: String) -> String { "\u{1b}[\(rawValue)m\(text)\u{1b}[0m" }
  }

  /// Whether a terminal of this locale shows only ASCII (locale(7): the first that is set counts).
  package static func isASCII(all: String?, ctype: String?, lang: String?) -> Bool {
    let locale = [all, ctype, lang].lazy.compactMap { $0 }.first { !$0.isEmpty } ?? "C"
    return !["utf-8", "utf8"].contains { locale.lowercased().contains($0) }
  }

  /// Rates as bars against the highest of them.
  package static func spark(
    _ rates: some Collection<Double>, inASCII isASCII: Bool = false
  ) -> String {
    let bars = Array(isASCII ? "_.-=+*#@" : "▁▂▃▄▅▆▇█")
    let highest = max(rates.max() ?? 0, 1)
    return String(rates.map { bars[min(bars.count - 1, Int($0 / highest * 7.99))] })
  }
}

extension LiveFigures {
  /// Nil before the first interval is here.
  package var moment: LiveLine.Moment? {
    guard let recent else { return nil }
    let working = status.workers.count { $0.state == .running || $0.state == .ramping }
    let known = status.workers.count { $0.state != .gone }
    return LiveLine.Moment(
      endNs: recent.endNs, okPerS: recent.okPerS, latency: recent.latency.dense,
      lag: recent.lag.dense, errorCount: totals.notOk + totals.counters.openingFailures,
      rates: rates, workers: "\(working)/\(known) workers")
  }
}
