internal import Glibc
internal import SquallCluster
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
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return .last("write") }
      bytes = bytes.dropFirst(count)
    }
    return nil
  }

  /// What an agent has to say.
  @Sendable package static func announce(_ announcement: AgentHost.Announcement) {
    switch announcement {
    case .workerFailed(let cpu, let cause): say("the worker on CPU \(cpu) cannot work: \(cause)")
    case .unresolvable(let cause): say(cause)
    case .persisted(let path): say("what could not be delivered is in \(path)")
    case .notPersisted(let cause): say("what could not be delivered is lost: \(cause)")
    case .notice(.workerDied(let slot, let ending)):
      if ending != .finished { say("worker \(slot) died (\(ending)); its counts are kept") }
    case .notice(.workerGivenUp(let slot)):
      say("worker \(slot) died too often and is not started again")
    case .notice: break
    }
  }
}
