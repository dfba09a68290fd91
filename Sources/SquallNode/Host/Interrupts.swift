internal import Dispatch
internal import Glibc
internal import NIOConcurrencyHelpers

/// Ctrl-C and SIGTERM while a command is under way: each one is passed on instead of ending the
/// process. From the second on the process has a moment to end well, and then ends.
package final class Interrupts {
  private struct State {
    var first: Int32?
    var count = 0
  }

  private static let moment = DispatchTimeInterval.milliseconds(1_700)

  private let sources: [any DispatchSourceSignal]
  private let state = NIOLockedValueBox(State())

  /// `interrupted` hears how many there were by now.
  package init(_ interrupted: @escaping @Sendable (_ count: Int) -> Void) {
    let state = state
    let queue = DispatchQueue(label: "squall.interrupts")
    // Of its own: what is called when a signal comes may wait, as for a terminal that takes nothing.
    let end = DispatchQueue(label: "squall.interrupts.end")
    sources = [SIGINT, SIGTERM].map { number in
      Glibc.signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
      source.setEventHandler {
        let (first, count) = state.withLockedValue { state in
          let first = state.first ?? number
          state.first = first
          state.count += 1
          return (first, state.count)
        }
        if count == 2 { end.asyncAfter(deadline: .now() + Self.moment) { _exit(128 + first) } }
        interrupted(count)
      }
      source.resume()
      return source
    }
  }

  /// The signal that came first; nil when none did.
  package var signal: Int32? { state.withLockedValue { $0.first } }

  package func end() {
    for source in sources { source.cancel() }
    for number in [SIGINT, SIGTERM] { Glibc.signal(number, SIG_DFL) }
  }
}
