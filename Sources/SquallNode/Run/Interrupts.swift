internal import Dispatch
internal import Glibc
internal import NIOConcurrencyHelpers

/// Ctrl-C and SIGTERM while a run is under way: each one is passed on instead of ending the process.
package final class Interrupts {
  private let sources: [any DispatchSourceSignal]
  private let first = NIOLockedValueBox<Int32?>(nil)

  package init(_ interrupted: @escaping @Sendable () -> Void) {
    let first = first
    sources = [SIGINT, SIGTERM].map { number in
      Glibc.signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        first.withLockedValue { $0 = $0 ?? number }
        interrupted()
      }
      source.resume()
      return source
    }
  }

  /// The signal that came first; nil when none did.
  package var signal: Int32? { first.withLockedValue { $0 } }

  package func end() {
    for source in sources { source.cancel() }
    for number in [SIGINT, SIGTERM] { Glibc.signal(number, SIG_DFL) }
  }
}
