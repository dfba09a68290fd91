internal import Glibc

/// Where a user's records are: `$XDG_DATA_HOME/squall`, else `~/.local/share/squall` (XDG Base
/// Directory Specification). For its owner only, since plans hold what headers hold.
package enum DataFolder {
  package static var path: String {
    if let folder = variable("XDG_DATA_HOME"), folder.hasPrefix("/") { return folder + "/squall" }
    return (variable("HOME") ?? ".") + "/.local/share/squall"
  }

  private static func variable(_ name: String) -> String? {
    guard let text = unsafe getenv(name).map({ unsafe String(cString: $0) }), !text.isEmpty
    else { return nil }
    return text
  }

  /// Makes the folder, and those above it, where they are missing.
  static func create(_ folder: String) throws(Complaint) {
    var made = folder.hasPrefix("/") ? "" : "."
    for part in folder.split(separator: "/") {
      made += "/\(part)"
      guard unsafe mkdir(made, 0o700) != 0, errno != EEXIST else { continue }
      // A folder above may exist and not be ours to make.
      guard unsafe access(made, F_OK) != 0 else { continue }
      throw .world("the folder \(made) cannot be made: \(errnoText()).")
    }
  }

  /// Writes beside the file and renames, so that the name never stands for a part.
  static func write(_ bytes: [UInt8], to path: String) throws(Complaint) {
    let draft = path + ".new"
    let descriptor = unsafe open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw .world("\(path) cannot be written: \(errnoText()).") }
    defer { close(descriptor) }
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
      }
      guard count > 0 else { break }
      rest = rest.dropFirst(count)
    }
    guard rest.isEmpty, fsync(descriptor) == 0, unsafe rename(draft, path) == 0 else {
      let cause = errnoText()
      unsafe unlink(draft)
      throw .world("\(path) cannot be written: \(cause).")
    }
  }
}
