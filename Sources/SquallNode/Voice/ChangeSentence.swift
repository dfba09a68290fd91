internal import SquallLoad
internal import SquallReport

extension LoadChange {
  /// `the load changes at 12 s to 500/s`.
  var sentence: String {
    "the load changes at \(Figures.duration(atNs)) to \(RunResult.Change(self).words)"
  }
}
