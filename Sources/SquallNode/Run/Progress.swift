internal import Glibc
internal import NIOConcurrencyHelpers
package import SquallLoad

/// The live line of a run: one interval's figures, written over the one before. Only shows what
/// batches bring anyway, so it changes nothing in the engine.
package final class Progress: Sendable {
  /// What one interval came to, over all workers that have reported.
  package struct Slice {
    package var lastInterval: UInt32 = 0
    var tally = Tally()
    var latency = Histogram()
    var lag = Histogram()
    var startNs: UInt64 = .max
    var endNs: UInt64 = 0
    var batchCount = 0

    package init(lastInterval: UInt32 = 0) { self.lastInterval = lastInterval }

    package mutating func merge(_ batch: Batch) {
      for endpoint in batch.endpoints {
        tally.merge(endpoint)
        latency.merge(endpoint.response.isEmpty ? endpoint.service : endpoint.response)
      }
      lag.merge(batch.scheduleLag)
      startNs = min(startNs, batch.startNs)
      endNs = max(endNs, batch.endNs)
      batchCount += 1
    }

    package var okPerS: Double {
      endNs > startNs ? Double(tally.ok) / (Double(endNs - startNs) * 1e-9) : 0
    }
  }

  private struct State {
    var slice = Slice()
    var errorCount: UInt64 = 0
    var rates: [Double] = []
    var isShown = false
  }

  private let plan: Plan
  private let workerCount: Int
  private let width: Int
  private let hasColour: Bool
  private let state = NIOLockedValueBox(State())

  /// Nil when standard error is no terminal.
  package init?(plan: Plan, workerCount: Int) {
    guard isatty(STDERR_FILENO) == 1 else { return nil }
    self.plan = plan
    self.workerCount = workerCount
    hasColour = Self.wantsColour(noColor: Self.variable("NO_COLOR"), term: Self.variable("TERM"))
    var size = winsize()
    let hasSize = unsafe ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0
    width = hasSize && size.ws_col > 0 ? Int(size.ws_col) : 80
  }

  private static func variable(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
  }

  /// https://no-color.org: present and not empty, whatever its value, means no colour.
  package static func wantsColour(noColor: String?, term: String?) -> Bool {
    (noColor ?? "").isEmpty && term != nil && term != "dumb"
  }

  package func merged(_ batch: Batch) {
    guard batch.phase != .warmup else { return }
    let line = state.withLockedValue { state -> String? in
      for endpoint in batch.endpoints {
        state.errorCount += endpoint.counters.notOk + endpoint.counters.errorCount(.connect)
      }
      guard batch.phase == .measured else { return nil }
      if batch.lastInterval != state.slice.lastInterval || state.slice.batchCount >= workerCount {
        state.slice = Slice(lastInterval: batch.lastInterval)
      }
      state.slice.merge(batch)
      guard state.slice.batchCount >= workerCount, state.slice.okPerS >= 0 else { return nil }
      state.rates = state.rates.suffix(Self.sparkCountMax - 1) + [state.slice.okPerS]
      state.isShown = true
      return Self.line(
        state.slice, plan: plan, errorCount: state.errorCount, rates: state.rates, width: width,
        hasColour: hasColour)
    }
    if let line { write("\r" + line + "\u{1b}[K") }
  }

  /// Takes the line away, so that the report begins on a clean one.
  package func end() {
    if state.withLockedValue({ $0.isShown }) { write("\r\u{1b}[K") }
  }

  package static let sparkCountMax = 24

  /// At most `width` - 1 characters wide: a cursor behind the last column may start a new line. The
  /// last rates take what room is left, down to none.
  package static func line(
    _ slice: Slice, plan: Plan, errorCount: UInt64, rates: [Double], width: Int, hasColour: Bool
  ) -> String {
    line(
      endNs: slice.endNs, plan: plan, rate: slice.okPerS, latency: slice.latency, lag: slice.lag,
      errorCount: errorCount, rates: rates, width: width, hasColour: hasColour)
  }

  static func line(
    endNs: UInt64, plan: Plan, rate okPerS: Double, latency: Histogram, lag: Histogram = .init(),
    errorCount: UInt64, rates: [Double], width: Int = 80, hasColour: Bool = false
  ) -> String {
    let elapsedNs = endNs - min(endNs, plan.warmupNs)
    var cells: [(text: String, colour: Colour?)] = []
    cells.append((Figures.fixed(Double(elapsedNs) * 1e-9, 0) + "s", nil))
    var rate = Figures.rate(okPerS)
    var colour: Colour?
    if case .open(let schedule) = plan.load {
      let wantedHz = schedule.rateHz(atNs: endNs - min(endNs, plan.intervalNs / 2))
      rate += "/" + Figures.rate(wantedHz)
      if okPerS < wantedHz * RunResult.Verdict.achievedRatioMin { colour = .yellow }
    }
    cells.append((rate + " ok/s", colour))
    cells.append(("p50 " + Figures.duration(latency.quantileNs(0.5)), nil))
    cells.append(("p99 " + Figures.duration(latency.quantileNs(0.99)), nil))
    if !lag.isEmpty {
      let lagNs = lag.quantileNs(0.99)
      cells.append(
        (
          "lag " + Figures.duration(lagNs),
          lagNs > RunResult.Verdict.scheduleLagP99NsMax ? .yellow : nil
        ))
    }
    let errors = errorCount < 1_000 ? "\(errorCount)" : Figures.short(Double(errorCount))
    cells.append(("err " + errors, errorCount > 0 ? .red : nil))

    var line = ""
    var room = max(0, width - 1)
    for (text, colour) in cells {
      let gap = line.isEmpty ? "" : "  "
      guard gap.count + text.count <= room else { return line }
      room -= gap.count + text.count
      line += gap + (hasColour ? colour?.around(text) ?? text : text)
    }
    let bars = spark(rates.suffix(max(0, room - 2)))
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

  private func write(_ text: some StringProtocol) {
    let bytes = Array(text.utf8)
    _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
  }
}
