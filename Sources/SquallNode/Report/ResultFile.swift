internal import Glibc
internal import SquallEngine
internal import SquallLoad
package import SquallReport

/// Files a command leaves behind: whole or not at all.
package enum ResultFile {
  /// Complains now of what would fail after the run.
  package static func checkWritable(_ path: String) throws(Complaint) {
    let kind = WholeFile.kind(path)
    let isInPlace = kind != nil && kind != S_IFREG
    let place = isInPlace ? path : path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    guard kind != S_IFDIR, unsafe access(place, W_OK) == 0 else {
      let cause = SystemError.explain(kind == S_IFDIR ? EISDIR : errno)
      throw .usage(
        "cannot write \(path): \(cause); name a file in a folder that exists and is yours.")
    }
  }

  /// A result that `--format json` wrote.
  package static func read(_ path: String) throws(Complaint) -> RunResult {
    guard let bytes = readBytes(path) else {
      throw .usage("cannot read \(path): \(SystemError.explain(errno)).")
    }
    do {
      return try RunResult(text: bytes)
    } catch {
      throw .usage("\(path) is not a result of squall: \(error)")
    }
  }

  package static func write(_ text: String, to path: String) throws(Complaint) {
    do {
      try WholeFile.write(Array(text.utf8), to: path, mode: 0o644)
    } catch {
      throw .world("cannot write \(path): \(error).")
    }
  }
}
