internal import NIOConcurrencyHelpers
internal import NIOCore
internal import SquallCluster
internal import SquallEngine
internal import SquallLoad
internal import SquallReport

/// The events of `GET /api/live` (HTML Living Standard, 9.2): one whole figure a second, and the last one
/// of each run. Each is made once for all readers, off the master's loop. A reader who is slow skips some
/// and delays nobody. Without readers nothing is made.
final class LiveEvents: Sendable {
  /// What the terminal's line follows is one more.
  static let readerCountMax = 256
  /// A little less than the second, since figures come at an instant of their own.
  private static let pauseNs: UInt64 = 950_000_000
  private static let lookPause = Duration.milliseconds(250)
  /// Intervals in an event: whoever skips some events misses nothing.
  private static let recentCount = 5

  private struct State {
    var readers: [UInt64: AsyncStream<ByteBuffer>.Continuation] = [:]
    var readerCount: UInt64 = 0
    var newest: ByteBuffer?
    var isMaking = false
    var isClosed = false
  }

  private let control: any RunControl
  private let spoken: SpokenLines?
  private let state = NIOLockedValueBox(State())

  init(of control: any RunControl, spoken: SpokenLines?) {
    self.control = control
    self.spoken = spoken
  }

  /// Nil when there are as many readers as may be.
  func events() -> AsyncStream<ByteBuffer>? {
    let (stream, reader) = AsyncStream.makeStream(
      of: ByteBuffer.self, bufferingPolicy: .bufferingNewest(1))
    let begins = state.withLockedValue { state -> Bool? in
      guard state.readers.count < Self.readerCountMax else { return nil }
      state.readerCount += 1
      let number = state.readerCount
      reader.onTermination = { [weak self] _ in
        self?.state.withLockedValue { _ = $0.readers.removeValue(forKey: number) }
      }
      if state.isMaking, let newest = state.newest { reader.yield(newest) }
      if state.isClosed {
        reader.finish()
      } else {
        state.readers[number] = reader
      }
      defer { state.isMaking = !state.isClosed }
      return !state.isMaking && !state.isClosed
    }
    guard let begins else { return nil }
    if begins { Task { await self.make() } }
    return stream
  }

  /// Gives every reader its last event.
  func close() async {
    if !state.withLockedValue({ $0.readers.isEmpty }), let event = await event() { publish(event) }
    let readers = state.withLockedValue { state in
      state.isClosed = true
      defer { state.readers = [:] }
      return state.readers.values
    }
    for reader in readers { reader.finish() }
  }

  /// As long as anybody reads: of one run after the other.
  private func make() async {
    var shown: Feed?
    while !isIdle() {
      guard let feed = control.feed, feed !== shown else {
        try? await Task.sleep(for: Self.lookPause)
        continue
      }
      var lastNs: UInt64 = 0
      var hasEnded = false
      for await figures in feed.figures() {
        if isIdle() { return }
        let nowNs = monotonicNs()
        let isLast = figures.status.stage == .ended && !hasEnded
        guard isLast || nowNs - lastNs >= Self.pauseNs else { continue }
        hasEnded = figures.status.stage == .ended
        lastNs = nowNs
        if let event = await event() { publish(event) }
      }
      shown = feed
    }
  }

  private func isIdle() -> Bool {
    state.withLockedValue { state in
      if state.readers.isEmpty { state.isMaking = false }
      return state.readers.isEmpty
    }
  }

  private func publish(_ event: ByteBuffer) {
    let readers = state.withLockedValue { state in
      state.newest = event
      return state.readers.values
    }
    for reader in readers { reader.yield(event) }
  }

  private func event() async -> ByteBuffer? {
    let picture = await control.picture()
    var figures = picture?.figures
    // Before the first run there is nothing to view, and workers come.
    if figures == nil { figures = await control.figures() }
    guard case .object(var members) = figures?.smallJSON else { return nil }
    if let picture {
      members += [
        .init("view", picture.view(recentCount: Self.recentCount).json),
        .init("fleet", picture.fleet),
      ]
    }
    let lines = spoken?.after(0).suffix(Self.lineCount) ?? []
    members.append(.init("log", .array(lines.map(\.json))))
    return ByteBuffer(string: "data: \(JSONValue.object(members).text)\n\n")
  }

  /// More are in `GET /api/log`.
  private static let lineCount = 20
}

extension SpokenLines.Line {
  var json: JSONValue {
    .object([
      .init("number", .integer(Int128(number))), .init("at", .string(rfc3339(wallNs))),
      .init("text", .string(text)),
    ])
  }
}
