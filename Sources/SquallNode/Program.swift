internal import SquallClient

/// The other programs inside this one: what a process becomes when its first argument says so.
package enum Program {
  package static let workerArgument = WorkerProcess.argument

  /// Runs this process as a worker. Returns its exit code.
  package static func worker() -> Int32 { Worker.main() }
}
