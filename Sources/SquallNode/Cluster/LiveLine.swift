internal import Glibc
internal import NIOConcurrencyHelpers

/// A line of the terminal that is written again and again, with other lines coming in above it.
package final class LiveLine: Sendable {
  private let width: Int
  private let isShown = NIOLockedValueBox(false)

  /// Nil when standard error is no terminal.
  package init?() {
    guard isatty(STDERR_FILENO) == 1 else { return nil }
    var size = winsize()
    let hasSize = unsafe ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0
    width = hasSize && size.ws_col > 0 ? Int(size.ws_col) : 80
  }

  package func show(_ text: String) {
    isShown.withLockedValue { isShown in
      isShown = true
      write("\r" + text.prefix(width - 1) + "\u{1b}[K")
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
}
