internal import Glibc

/// Who listens on a TCP port of this host, and where they may run.
package struct LocalListener: Equatable, Sendable {
  /// CPUs that any thread of a listening process may use, ascending; empty when it is not for us to
  /// see, as with another user's processes.
  package private(set) var cpus: [UInt16] = []

  /// Nil when nobody listens on the port.
  package init?(port: UInt16, _ files: HostFiles = HostFiles()) {
    let root = files.root
    let sockets = Self.sockets(port: port, files)
    guard !sockets.isEmpty else { return nil }
    var cpus: Set<UInt16> = []
    for process in Self.names(root + "/proc") where UInt32(process) != nil {
      let holds = Self.names(root + "/proc/\(process)/fd").contains { descriptor in
        Self.link(root + "/proc/\(process)/fd/\(descriptor)").map(sockets.contains) ?? false
      }
      guard holds else { continue }
      for thread in Self.names(root + "/proc/\(process)/task") {
        cpus.formUnion(Self.allowed(files.text("/proc/\(process)/task/\(thread)/status")))
      }
    }
    self.cpus = cpus.sorted()
  }

  /// `socket:[INODE]` of each listening socket of the port (proc(5), /proc/net/tcp).
  private static func sockets(port: UInt16, _ files: HostFiles) -> Set<String> {
    let digits = String(port, radix: 16, uppercase: true)
    let suffix = ":" + String(repeating: "0", count: 4 - digits.count) + digits
    var sockets: Set<String> = []
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
      for line in (files.text(path) ?? "").split(separator: "\n").dropFirst() {
        let fields = line.split(separator: " ")
        // Local address, state 0A (LISTEN) and inode.
        guard fields.count > 9, fields[1].hasSuffix(suffix), fields[3] == "0A" else { continue }
        sockets.insert("socket:[\(fields[9])]")
      }
    }
    return sockets
  }

  /// `Cpus_allowed_list:\t0-1`.
  private static func allowed(_ status: String?) -> [UInt16] {
    let name = "Cpus_allowed_list:"
    guard let line = status?.split(separator: "\n").first(where: { $0.hasPrefix(name) }) else {
      return []
    }
    return HostFiles.list(String(line.dropFirst(name.count).drop { $0 == "\t" }))
  }

  private static func names(_ folder: String) -> [String] {
    guard let stream = unsafe opendir(folder) else { return [] }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) {
          unsafe String(cString: $0)
        }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names
  }

  private static func link(_ path: String) -> String? {
    var bytes = [UInt8](repeating: 0, count: 64)
    let count = unsafe bytes.withUnsafeMutableBytes { room in
      unsafe readlink(path, room.baseAddress!.assumingMemoryBound(to: CChar.self), room.count)
    }
    return count > 0 ? String(decoding: bytes.prefix(count), as: UTF8.self) : nil
  }
}
