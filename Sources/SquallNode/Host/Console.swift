internal import Glibc
internal import SquallEngine

/// Lines for people, on standard error; results on standard output.
package enum Console {
  /// Where standard error takes nothing, there is nobody left to tell.
  package static func say(_ line: String) { _ = write(line + "\n", to: STDERR_FILENO) }

  /// A text that standard output does not take goes to standard error, so that it is not lost.
  package static func print(_ text: String) throws(Complaint) {
    if let failure = write(text, to: STDOUT_FILENO) {
      say(text)
      throw .world("standard output could not be written: \(failure).")
    }
  }

  private static func write(_ text: String, to descriptor: Int32) -> SystemError? {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = unsafe bytes.withUnsafeBytes { bytes in
        uninterrupted { unsafe Glibc.write(descriptor, bytes.baseAddress, bytes.count) }
      }
      guard count > 0 else { return .last("write") }
      bytes = bytes.dropFirst(count)
    }
    return nil
  }
}
