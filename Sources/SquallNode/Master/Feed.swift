internal import NIOConcurrencyHelpers

/// The figures of one run as they come, for any number of readers. Each figure is whole: counts,
/// workers and latencies of one instant. A slow reader misses some and delays nobody.
package final class Feed: Sendable {
  private struct State {
    var readers: [UInt64: AsyncStream<LiveFigures>.Continuation] = [:]
    var readerCount: UInt64 = 0
    var newest: LiveFigures?
    var hasEnded = false
  }

  private let state = NIOLockedValueBox(State())

  package init() {}

  /// What comes from now on, beginning with the newest there is. Ends with the run.
  package func figures() -> AsyncStream<LiveFigures> {
    let (stream, reader) = AsyncStream.makeStream(
      of: LiveFigures.self, bufferingPolicy: .bufferingNewest(1))
    let number = state.withLockedValue { state in
      state.readerCount += 1
      if let newest = state.newest { reader.yield(newest) }
      if state.hasEnded { reader.finish() } else { state.readers[state.readerCount] = reader }
      return state.readerCount
    }
    reader.onTermination = { [state] _ in
      state.withLockedValue { _ = $0.readers.removeValue(forKey: number) }
    }
    return stream
  }

  package var readerCount: Int { state.withLockedValue { $0.readers.count } }

  package func publish(_ figures: LiveFigures) {
    let readers = state.withLockedValue { state in
      state.newest = figures
      return state.readers.values
    }
    for reader in readers { reader.yield(figures) }
  }

  /// The last figures, and no more.
  package func end(with figures: LiveFigures) {
    publish(figures)
    let readers = state.withLockedValue { state in
      state.hasEnded = true
      defer { state.readers = [:] }
      return state.readers.values
    }
    for reader in readers { reader.finish() }
  }
}
