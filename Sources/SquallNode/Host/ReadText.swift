internal import Glibc
internal import SquallEngine

/// The whole of a small text file, as those under /proc are; nil when it cannot be read.
func readText(_ path: String) -> String? {
  readBytes(path).map { String(decoding: $0, as: UTF8.self) }
}

/// The whole of a file, or its first bytes; nil when it cannot be read.
func readBytes(_ path: String, countMax: Int = .max) -> [UInt8]? {
  let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { return nil }
  defer { close(descriptor) }
  return readAll(descriptor, countMax: countMax)
}

/// What is left to read of a descriptor, or so much of it; nil on an error.
func readAll(_ descriptor: Int32, countMax: Int = .max) -> [UInt8]? {
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 65_536)
  while bytes.count < countMax {
    let wanted = min(chunk.count, countMax - bytes.count)
    let count = uninterrupted { unsafe read(descriptor, &chunk, wanted) }
    guard count >= 0 else { return nil }
    guard count > 0 else { break }
    bytes += chunk.prefix(count)
  }
  return bytes
}
