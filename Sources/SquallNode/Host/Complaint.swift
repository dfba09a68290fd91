/// Why the program does not go on: one sentence that names the input, the reason and the remedy,
/// and the exit code it ends with.
package struct Complaint: Error, CustomStringConvertible {
  package var sentence: String
  package var exitCode: ExitStatus

  package init(_ sentence: String, exitCode: ExitStatus) {
    self.sentence = sentence
    self.exitCode = exitCode
  }

  /// The user asked for something that makes no sense.
  package static func usage(_ sentence: String) -> Complaint {
    Complaint(sentence, exitCode: .usage)
  }

  /// The world does not allow it.
  package static func world(_ sentence: String) -> Complaint {
    Complaint(sentence, exitCode: .couldNotRun)
  }

  package var description: String { sentence }
}

/// How a command of squall ends.
package enum ExitStatus: Int32, Sendable {
  case good = 0
  /// Also a run without a single ok answer, or of fewer requests than `-n` asked for.
  case couldNotRun = 1
  /// Also a version that a master or a worker refuses.
  case usage = 2
  case objectiveFailed = 3
  case regression = 4
  /// `--strict`: the generator was saturated or the rate not reached.
  case invalid = 5
  /// Counts are known to be missing, or a worker was lost and not replaced.
  case incomplete = 6
  case interrupted = 130
  case terminated = 143
}
