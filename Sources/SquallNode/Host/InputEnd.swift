internal import Dispatch
internal import Glibc

/// The end of standard input, for a process that is wanted only as long as whoever started it.
package final class InputEnd {
  private let source: any DispatchSourceRead

  /// What comes before the end is read and forgotten.
  package init(_ reached: @escaping @Sendable () -> Void) {
    let source = DispatchSource.makeReadSource(
      fileDescriptor: STDIN_FILENO, queue: DispatchQueue(label: "squall.input"))
    source.setEventHandler {
      var room = [UInt8](repeating: 0, count: 4_096)
      let count = unsafe read(STDIN_FILENO, &room, room.count)
      guard count == 0 || count < 0 && errno != EINTR && errno != EAGAIN else { return }
      source.cancel()
      reached()
    }
    source.resume()
    self.source = source
  }

  package func end() { source.cancel() }
}
