internal import NIOConcurrencyHelpers

/// The parts of a command in the order in which they close. Each is given a time; one that has not
/// closed by then is left to the end of the process, and the next one has its turn.
package final class Closing: Sendable {
  package struct Part: Sendable {
    package var name: String
    /// Nil: it is for somebody else to take what it has.
    package var withinNs: UInt64?
    package var close: @Sendable () async throws -> Void

    package init(
      _ name: String, withinNs: UInt64?, close: @escaping @Sendable () async throws -> Void
    ) {
      self.name = name
      self.withinNs = withinNs
      self.close = close
    }
  }

  private enum Event {
    case closed((any Error)?)
    case late, hurried
  }

  private struct State {
    var isHurried = false
    /// Of the part that closes now.
    var events: AsyncStream<Event>.Continuation?
  }

  /// What a part is given once somebody is in a hurry.
  private static let hurryNs: UInt64 = 200_000_000

  private let state = NIOLockedValueBox(State())

  package init() {}

  /// Closes the parts one after the other, and says which of them were late. Throws the first error
  /// that closing made, once everything is closed.
  package func close(
    _ parts: [Part], late: @Sendable (String) -> Void,
    before: @Sendable (String) async -> Void = { _ in }
  ) async throws {
    var first: (any Error)?
    for part in parts {
      await before(part.name)
      switch await close(part) {
      case .closed(let error): first = first ?? error
      case .late, .hurried: late("\(part.name) did not close in time; the process ends without it")
      }
    }
    if let first { throw first }
  }

  /// From now on each part has only a moment, also the one that closes now.
  package func hurry() {
    let events = state.withLockedValue { state in
      state.isHurried = true
      return state.events
    }
    events?.yield(.hurried)
  }

  private func close(_ part: Part) async -> Event {
    let (stream, events) = AsyncStream.makeStream(of: Event.self)
    let isHurried = state.withLockedValue { state in
      state.events = events
      return state.isHurried
    }
    // Nobody waits for this task: it may be the one that never ends.
    Task {
      do {
        try await part.close()
        events.yield(.closed(nil))
      } catch {
        events.yield(.closed(error))
      }
    }
    let withinNs = isHurried ? min(part.withinNs ?? .max, Self.hurryNs) : part.withinNs
    var timers = withinNs.map { [timer($0, events)] } ?? []
    defer { for timer in timers { timer.cancel() } }
    for await event in stream {
      switch event {
      case .closed, .late: return event
      case .hurried: timers.append(timer(Self.hurryNs, events))
      }
    }
    return .late
  }

  private func timer(
    _ ns: UInt64, _ events: AsyncStream<Event>.Continuation
  ) -> Task<Void, Never> {
    Task {
      guard (try? await Task.sleep(nanoseconds: ns)) != nil else { return }
      events.yield(.late)
    }
  }
}
