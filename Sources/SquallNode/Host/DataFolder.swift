internal import Glibc
internal import SquallEngine

/// Where a user's records are: `$XDG_DATA_HOME/squall`, else `~/.local/share/squall` (XDG Base
/// Directory Specification). For its owner only, since plans hold what headers hold.
package enum DataFolder {
  package static var path: String {
    if let folder = Host.variable("XDG_DATA_HOME"), folder.hasPrefix("/") {
      return folder + "/squall"
    }
    return (Host.variable("HOME") ?? ".") + "/.local/share/squall"
  }

  /// Makes the folder, and those above it, where they are missing.
  static func create(_ folder: String) throws(Complaint) {
    var made = folder.hasPrefix("/") ? "" : "."
    for part in folder.split(separator: "/") {
      made += "/\(part)"
      guard unsafe mkdir(made, 0o700) != 0, errno != EEXIST else { continue }
      // A folder above may exist and not be ours to make.
      guard unsafe access(made, F_OK) != 0 else { continue }
      throw .world("the folder \(made) cannot be made: \(SystemError.explain(errno)).")
    }
  }
}
