internal import Glibc
internal import SquallClient
internal import SquallEngine
internal import SquallTarget

/// What a process of this program is and how it ends.
package enum Program {
  /// The first argument of a process that is not a command of the user's.
  package static let workerArgument = WorkerProcess.argument
  package static let targetArgument = TargetServer.argument

  /// Runs this process as a worker. Returns its exit code.
  package static func worker() -> Int32 { WorkerMain.run() }

  /// Runs this process as one of the built-in target's. Returns its exit code.
  package static func target() -> Int32 { TargetServer.main() }

  /// Runs a command; what it complains of is printed as one line, and the process ends with its
  /// exit code.
  package static func reportingComplaints(
    _ body: () async throws -> Void
  ) async throws {
    do {
      try await body()
    } catch let complaint as Complaint {
      Console.say("error: \(complaint.sentence)")
      exit(complaint.exitCode.rawValue)
    }
  }

  /// With fewer no command comes as far as saying what it lacks; with a handful the runtime of
  /// asynchronous code ends the process, so that this is to be called before any.
  private static let descriptorCountMin: UInt64 = 64

  package static func demandDescriptors() {
    let count = ThisProcess.raiseDescriptorLimit(to: 4 * descriptorCountMin)
    guard count < descriptorCountMin else { return }
    Console.say(
      "error: this process may open only \(count) files: raise the limit (ulimit -n) to at least "
        + "\(descriptorCountMin).")
    exit(ExitStatus.couldNotRun.rawValue)
  }

  /// Ends the process unless all is good.
  package static func leave(with status: ExitStatus, interruptedBy signal: Int32?) throws {
    if let signal { exit(128 + signal) }
    if status != .good { exit(status.rawValue) }
  }
}
