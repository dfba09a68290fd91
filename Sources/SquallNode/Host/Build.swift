internal import SquallEngine

/// What this program calls itself.
package enum Build {
  package static let version = "0.1.0"
  package static let description = "squall \(version)"
  /// The commit it was built from; empty when unknown.
  package static let commit = ThisProcess.commit
}
