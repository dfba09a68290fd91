internal import Glibc
internal import NIOConcurrencyHelpers
package import SquallLoad

/// The live line of a run: one interval's figures, written over the one before. Only shows what
/// batches bring anyway, so it changes nothing in the engine.
package final class Progress: Sendable {
  private struct Open {
    var index: UInt32 = 0
    var tally = Tally()
    var latency = Histogram()
    var spanNs: UInt64 = 0
    var batchCount = 0
  }

  private struct State {
    var open = Open()
    var errorCount: UInt64 = 0
    var rates: [Double] = []
    var isShown = false
  }

  private let plan: Plan
  private let workerCount: Int
  private let width: Int
  private let state = NIOLockedValueBox(State())

  /// Nil when standard error is no terminal.
  package init?(plan: Plan, workerCount: Int) {
    guard isatty(STDERR_FILENO) == 1 else { return nil }
    self.plan = plan
    self.workerCount = workerCount
    var size = winsize()
    let hasSize = unsafe ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0
    width = hasSize && size.ws_col > 0 ? Int(size.ws_col) : 80
  }

  package func merged(_ batch: Batch) {
    guard batch.phase == .measured else { return }
    let line = state.withLockedValue { state -> String? in
      if batch.lastInterval > state.open.index || state.open.batchCount == workerCount {
        state.open = Open(index: batch.lastInterval)
      }
      for endpoint in batch.endpoints {
        state.open.tally.merge(endpoint)
        state.open.latency.merge(endpoint.response.isEmpty ? endpoint.service : endpoint.response)
        state.errorCount += endpoint.counters.notOk + endpoint.counters.errorCount(.connect)
      }
      state.open.spanNs = max(state.open.spanNs, batch.endNs - batch.startNs)
      state.open.batchCount += 1
      guard state.open.batchCount >= workerCount, state.open.spanNs > 0 else { return nil }
      let rate = Double(state.open.tally.ok) / (Double(state.open.spanNs) * 1e-9)
      state.rates = state.rates.suffix(Self.sparkCount - 1) + [rate]
      state.isShown = true
      return Self.line(
        endNs: batch.endNs, plan: plan, rate: rate, latency: state.open.latency,
        errorCount: state.errorCount, rates: state.rates)
    }
    if let line { write("\r" + line.prefix(width - 1) + "\u{1b}[K") }
  }

  /// Takes the line away, so that the report begins on a clean one.
  package func end() {
    if state.withLockedValue({ $0.isShown }) { write("\r\u{1b}[K") }
  }

  private static let sparkCount = 16

  static func line(
    endNs: UInt64, plan: Plan, rate: Double, latency: Histogram, errorCount: UInt64,
    rates: [Double]
  ) -> String {
    let elapsed = Figures.fixed(Double(endNs - min(endNs, plan.warmupNs)) * 1e-9, 0)
    var parts = ["\(elapsed)s", "\(Figures.rate(rate)) ok/s"]
    if case .open(let schedule) = plan.load {
      parts[1] += " of \(Figures.rate(schedule.rateHz(atNs: endNs)))"
    }
    parts.append("p50 \(Figures.duration(latency.quantileNs(0.5)))")
    parts.append("p99 \(Figures.duration(latency.quantileNs(0.99)))")
    parts.append("errors \(Figures.grouped(errorCount))")
    return parts.joined(separator: "  ") + "  " + spark(rates)
  }

  /// The last rates as bars against the highest of them.
  private static func spark(_ rates: [Double]) -> String {
    let bars = Array("▁▂▃▄▅▆▇█")
    let highest = max(rates.max() ?? 0, 1)
    return String(rates.map { bars[min(bars.count - 1, Int($0 / highest * 7.99))] })
  }

  private func write(_ text: some StringProtocol) {
    let bytes = Array(text.utf8)
    _ = unsafe Glibc.write(STDERR_FILENO, bytes, bytes.count)
  }
}
