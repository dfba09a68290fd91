internal import Glibc
internal import NIOConcurrencyHelpers
package import SquallLoad
internal import SquallReport

/// A line of the terminal that is written again and again, with other lines coming in above it.
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

  package static let rateCountMax = 24

  private let width: Int
  private let hasColour: Bool
  private let isShown = NIOLockedValueBox(false)

  /// Nil when standard error is no terminal.
  package init?() {
    guard isatty(STDERR_FILENO) == 1 else { return nil }
    hasColour = Self.wantsColour(noColor: Self.variable("NO_COLOR"), term: Self.variable("TERM"))
    var size = winsize()
    let hasSize = unsafe ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0
    width = hasSize && size.ws_col > 0 ? Int(size.ws_col) : 80
  }

  package func show(_ moment: Moment, of plan: Plan) {
    let text = Self.text(moment, plan: plan, width: width, hasColour: hasColour)
    isShown.withLockedValue { isShown in
      isShown = true
      write("\r" + text + "\u{1b}[K")
    }
  }

  /// Takes the line away, so that something else can be said.
  package func clear() {
    isShown.withLockedValue { isShown in
      if isShown { write("\r\u{1b}[K") }
      isShown = false
    }
  }

  private func write(_ text: some StringProtocol) {
    let bytes = Array(text.utf8)
    _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
  }

  private static func variable(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
  }

  /// https://no-color.org: present and not empty, whatever its value, means no colour.
  package static func wantsColour(noColor: String?, term: String?) -> Bool {
    (noColor ?? "").isEmpty && term != nil && term != "dumb"
  }

  /// At most `width` - 1 characters wide: a cursor behind the last column may start a new line. The
  /// last rates take what room is left, down to none.
  package static func text(_ moment: Moment, plan: Plan, width: Int, hasColour: Bool) -> String {
    let elapsedNs = moment.endNs - min(moment.endNs, plan.warmupNs)
    var cells: [(text: String, colour: Colour?)] = []
    if let workers = moment.workers { cells.append((workers, nil)) }
    cells.append((Figures.fixed(Double(elapsedNs) * 1e-9, 0) + "s", nil))
    var rate = Figures.rate(moment.okPerS)
    var colour: Colour?
    if case .open(let schedule) = plan.load {
      let wantedHz = schedule.rateHz(atNs: moment.endNs - min(moment.endNs, plan.intervalNs / 2))
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
    let bars = spark(moment.rates.suffix(max(0, room - 2)))
    return bars.isEmpty ? line : line + "  " + bars
  }

  enum Colour: Int {
    case red = 31
    case yellow = 33

    /// SGR of ECMA-48.
    func around(_ text: String) -> String { "\u{1b}[\(rawValue)m\(text)\u{1b}[0m" }
  }

  /// Rates as bars against the highest of them.
  package static func spark(_ rates: some Collection<Double>) -> String {
    let bars = Array("▁▂▃▄▅▆▇█")
    let highest = max(rates.max() ?? 0, 1)
    return String(rates.map { bars[min(bars.count - 1, Int($0 / highest * 7.99))] })
  }
}
