package import Glibc

/// What a process and its descendants have used, read from outside while they run.
///
/// CPU time comes from each process's own CPU clock (clock_getcpuclockid(3)), which counts
/// nanoseconds of all its threads; a process that ends in between keeps what it was last seen with.
package struct ProcessTree {
  private let root: pid_t
  private var cpuNsByPid: [pid_t: UInt64] = [:]

  package init(root: pid_t) {
    self.root = root
  }

  package mutating func cpuNs() -> UInt64 {
    for pid in Self.members(of: root) {
      var clock = clockid_t()
      var time = timespec()
      guard clock_getcpuclockid(pid, &clock) == 0, clock_gettime(clock, &time) == 0 else {
        continue
      }
      cpuNsByPid[pid] = UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
    return cpuNsByPid.values.reduce(0, +)
  }

  /// Resident memory of each member, the root's first; pages they share count once a process.
  package func residentByteCounts() -> [UInt64] {
    Self.members(of: root).compactMap { pid in
      guard let status = readText("/proc/\(pid)/status"),
        let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmRSS:") })
      else { return nil }
      return line.split(whereSeparator: \.isWhitespace).dropFirst().first
        .flatMap { UInt64($0) }.map { $0 * 1024 }
    }
  }

  /// The root and everything started by it that still has it as an ancestor.
  package static func members(of root: pid_t) -> [pid_t] {
    var all = [root]
    var next = 0
    while next < all.count {
      let pid = all[next]
      next += 1
      for thread in namesInFolder("/proc/\(pid)/task") {
        guard let children = readText("/proc/\(pid)/task/\(thread)/children") else { continue }
        all += children.split(separator: " ").compactMap { pid_t($0) }
      }
    }
    return all
  }
}

/// The whole of a small file, nil when it cannot be read. Serves /proc, whose files have no size.
package func readText(_ path: String) -> String? {
  guard let file = fopen(path, "r") else { return nil }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 65_536)
  while true {
    let count = fread(&chunk, 1, chunk.count, file)
    if count == 0 { break }
    bytes += chunk[..<count]
  }
  return String(decoding: bytes, as: UTF8.self)
}

package func namesInFolder(_ path: String) -> [String] {
  guard let folder = opendir(path) else { return [] }
  defer { closedir(folder) }
  var names: [String] = []
  while let entry = readdir(folder) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    if name != "." && name != ".." { names.append(name) }
  }
  return names
}
