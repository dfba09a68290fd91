internal import NIOConcurrencyHelpers
package import SquallLoad

/// The live line of a run on this host. Only shows what batches bring anyway, so it changes nothing in
/// the engine.
package final class Progress: Sendable {
  /// One interval, as far as workers have reported it.
  private struct Slice {
    var lastInterval: UInt32 = 0
    var tally = Tally()
    var latency = Histogram()
    var lag = Histogram()
    var startNs: UInt64 = .max
    var endNs: UInt64 = 0
    var batchCount = 0

    mutating func merge(_ batch: Batch) {
      for endpoint in batch.endpoints {
        tally.merge(endpoint)
        latency.merge(endpoint.response.isEmpty ? endpoint.service : endpoint.response)
      }
      lag.merge(batch.scheduleLag)
      startNs = min(startNs, batch.startNs)
      endNs = max(endNs, batch.endNs)
      batchCount += 1
    }

    var okPerS: Double {
      endNs > startNs ? Double(tally.ok) / (Double(endNs - startNs) * 1e-9) : 0
    }
  }

  private struct State {
    var slice = Slice()
    var errorCount: UInt64 = 0
    var rates: [Double] = []
  }

  private let plan: Plan
  private let workerCount: Int
  private let line: LiveLine
  private let state = NIOLockedValueBox(State())

  /// Nil when standard error is no terminal.
  package init?(plan: Plan, workerCount: Int) {
    guard let line = LiveLine() else { return nil }
    self.plan = plan
    self.workerCount = workerCount
    self.line = line
  }

  package func merged(_ batch: Batch) {
    guard batch.phase != .warmup else { return }
    let moment = state.withLockedValue { state -> LiveLine.Moment? in
      for endpoint in batch.endpoints {
        state.errorCount += endpoint.counters.notOk + endpoint.counters.errorCount(.connect)
      }
      guard batch.phase == .measured else { return nil }
      if batch.lastInterval != state.slice.lastInterval || state.slice.batchCount >= workerCount {
        state.slice = Slice(lastInterval: batch.lastInterval)
      }
      state.slice.merge(batch)
      let slice = state.slice
      guard slice.batchCount >= workerCount else { return nil }
      state.rates = state.rates.suffix(LiveLine.rateCountMax - 1) + [slice.okPerS]
      return LiveLine.Moment(
        endNs: slice.endNs, okPerS: slice.okPerS, latency: slice.latency, lag: slice.lag,
        errorCount: state.errorCount, rates: state.rates)
    }
    if let moment { line.show(moment, of: plan) }
  }

  /// Takes the line away, so that the report begins on a clean one.
  package func end() { line.clear() }
}
