/// What a file for `squall report` is, by its first bytes.
package enum ReportSource: Equatable, Sendable {
  case result
  case record
  case leftovers

  /// What cannot be read or is nothing of ours is taken for a result, and refused as one.
  package init(_ path: String) {
    // A record may have gigabytes.
    let bytes = readBytes(path, countMax: 64) ?? []
    if bytes.starts(with: "SQLite format 3\0".utf8) {
      self = .record
    } else if Leftovers.begins(bytes) {
      self = .leftovers
    } else {
      self = .result
    }
  }
}
