internal import Glibc
internal import SquallCluster

/// Lines for people, on standard error; results on standard output.
package enum Console {
  package static func say(_ line: String) { write(line + "\n", to: STDERR_FILENO) }

  package static func print(_ text: String) { write(text, to: STDOUT_FILENO) }

  private static func write(_ text: String, to descriptor: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
      }
      // Whoever read it has gone; there is nobody left to tell.
      guard count > 0 else { return }
      bytes = bytes.dropFirst(count)
    }
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
