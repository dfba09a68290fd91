internal import Glibc
internal import SquallEngine

/// Files a command leaves behind: whole or not at all.
package enum ResultFile {
  /// Complains now of what would fail after the run.
  package static func checkWritable(_ path: String) throws(Complaint) {
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    guard unsafe access(folder, W_OK) == 0 else {
      throw .usage(
        "cannot write \(path): \(SystemError.explain(errno)); name a file in a folder that exists "
          + "and is yours.")
    }
  }

  /// Writes beside the file and renames, so that the name never stands for half a result.
  package static func write(_ text: String, to path: String) throws(Complaint) {
    let draft = path + ".new"
    do throws(SystemError) {
      let descriptor = try SystemError.check(
        "open", posix { unsafe open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644) })
      defer { close(descriptor) }
      var bytes = Array(text.utf8)[...]
      while !bytes.isEmpty {
        let count = unsafe bytes.withUnsafeBytes {
          unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
        }
        guard count > 0 else { throw .last("write") }
        bytes = bytes.dropFirst(count)
      }
      try SystemError.check("fsync", posix { fsync(descriptor) })
      try SystemError.check("rename", posix { unsafe rename(draft, path) })
    } catch {
      unsafe unlink(draft)
      throw .world("cannot write \(path): \(error). The result above is whole.")
    }
  }

  /// A C call's result as Squall's C functions give it: -errno instead of -1.
  private static func posix(_ call: () -> Int32) -> Int32 {
    let result = call()
    return result < 0 ? -errno : result
  }
}
