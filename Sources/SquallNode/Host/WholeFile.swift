internal import Glibc
internal import SquallEngine

/// Files that are written whole or not at all.
enum WholeFile {
  /// Writes beside the file and renames, so that the name never stands for a part. A symbolic link
  /// stays one. What is no regular file, such as a device or a pipe, is written to as it is.
  static func write(_ bytes: [UInt8], to path: String, mode: mode_t) throws(SystemError) {
    guard kind(path) ?? S_IFREG == S_IFREG else {
      return try write(bytes, opening: path, O_WRONLY, mode: 0)
    }
    let place = resolved(path) ?? path
    let draft = place + ".new"
    do throws(SystemError) {
      try write(bytes, opening: draft, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
      if unsafe rename(draft, place) != 0 { throw .last("rename") }
    } catch {
      unsafe unlink(draft)
      throw error
    }
  }

  /// `S_IFREG` and its like, of what the name leads to; nil when there is nothing.
  static func kind(_ path: String) -> mode_t? {
    (try? fileMode(path)).map { $0 & S_IFMT }
  }

  private static func resolved(_ path: String) -> String? {
    guard let place = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(place) }
    return unsafe String(cString: place)
  }

  private static func write(
    _ bytes: [UInt8], opening path: String, _ flags: Int32, mode: mode_t
  ) throws(SystemError) {
    let descriptor = unsafe open(path, flags | O_CLOEXEC, mode)
    guard descriptor >= 0 else { throw .last("open") }
    defer { close(descriptor) }
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes { rest in
        uninterrupted { unsafe Glibc.write(descriptor, rest.baseAddress, rest.count) }
      }
      guard count > 0 else { throw .last("write") }
      rest = rest.dropFirst(count)
    }
    // EINVAL: a pipe or a device has nothing to keep.
    guard fsync(descriptor) == 0 || errno == EINVAL || errno == EROFS else { throw .last("fsync") }
  }
}
