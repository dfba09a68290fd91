internal import Glibc

/// Who listens on a TCP port or a Unix socket of this host, and where they may run.
package struct LocalListener: Equatable, Sendable {
  /// `socket:[INODE]`, as a process's descriptors name them.
  private let sockets: Set<String>

  /// Nil when nobody listens on the port.
  package init?(port: UInt16) { self.init(sockets: Self.sockets(port: port)) }

  private init?(sockets: Set<String>) {
    self.sockets = sockets
    if sockets.isEmpty { return nil }
  }

  /// Nil when nobody listens there.
  init?(path: String) { self.init(sockets: Self.sockets(path: path)) }

  /// CPUs that any thread of a listening process may use, ascending; empty when it is not for us to
  /// see, as with another user's processes. Looks at every process of the host.
  package func cpus() -> [UInt16] {
    let files = HostFiles()
    var cpus: Set<UInt16> = []
    for process in Self.names("/proc") where UInt32(process) != nil {
      let holds = Self.names("/proc/\(process)/fd").contains { descriptor in
        Self.link("/proc/\(process)/fd/\(descriptor)").map(sockets.contains) ?? false
      }
      guard holds else { continue }
      for thread in Self.names("/proc/\(process)/task") {
        cpus.formUnion(Self.allowed(files.text("/proc/\(process)/task/\(thread)/status")))
      }
    }
    return cpus.sorted()
  }

  /// Of /proc/net/unix (proc(5)): flags with __SO_ACCEPTCON, inode, path.
  private static func sockets(path: String) -> Set<String> {
    var sockets: Set<String> = []
    for line in (readText("/proc/net/unix") ?? "").split(separator: "\n").dropFirst() {
      let fields = line.split(separator: " ", maxSplits: 7)
      guard fields.count == 8, fields[3] == "00010000", fields[7] == path else { continue }
      sockets.insert("socket:[\(fields[6])]")
    }
    return sockets
  }

  /// Of /proc/net/tcp only the beginning: it "will first list all listening TCP sockets, and next all
  /// established" (the kernel's Documentation/networking/proc_net_tcp.rst), which may be very many.
  private static func sockets(port: UInt16) -> Set<String> {
    let digits = String(port, radix: 16, uppercase: true)
    let suffix = ":" + String(repeating: "0", count: 4 - digits.count) + digits
    var sockets: Set<String> = []
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
      guard let file = unsafe fopen(path, "re") else { continue }
      defer { unsafe fclose(file) }
      var line = [CChar](repeating: 0, count: 512)
      _ = unsafe fgets(&line, Int32(line.count), file)
      while unsafe fgets(&line, Int32(line.count), file) != nil {
        let text = String(
          decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let fields = text.split(separator: " ")
        // Local address, state 0A (LISTEN) and inode.
        guard fields.count > 9, fields[3] == "0A" else { break }
        if fields[1].hasSuffix(suffix) { sockets.insert("socket:[\(fields[9])]") }
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
