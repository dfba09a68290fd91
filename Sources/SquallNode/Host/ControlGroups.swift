/// The control groups that this process is in (cgroups(7); Documentation/admin-guide/cgroup-v2.rst and
/// cgroup-v1 of the kernel).
struct ControlGroups {
  /// One hierarchy's.
  struct Chain {
    var isSecond: Bool
    /// By place where the hierarchy may be mounted: our group's folder and those above it, since the
    /// narrowest limit counts. Inside a container the path may be that of the host, and the container's
    /// own group the root of what is mounted.
    var mounts: [[String]]
  }

  /// Those that may limit what `controller` counts. Nil when the host tells of no control group.
  static func chains(_ controller: String, _ files: HostFiles) -> [Chain]? {
    guard let lines = files.text("/proc/self/cgroup")?.split(separator: "\n") else { return nil }
    return lines.compactMap { line in
      // hierarchy:controllers:path; the second version has no controllers there.
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { return nil }
      let controllers = parts[1].split(separator: ",").map(String.init)
      let isSecond = parts[0] == "0" && controllers.isEmpty
      guard isSecond || controllers.contains(controller) else { return nil }
      let mounts =
        isSecond
        ? ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        : ["/sys/fs/cgroup/\(parts[1])", "/sys/fs/cgroup/\(controller)"]
      let folders = folders(upFrom: String(parts[2]))
      return Chain(
        isSecond: isSecond, mounts: mounts.map { mount in folders.map { mount + $0 } })
    }
  }

  /// `/a/b`, `/a` and nothing.
  private static func folders(upFrom path: String) -> [String] {
    var folder = path == "/" ? "" : path
    var folders = [folder]
    while let slash = folder.lastIndex(of: "/") {
      folder = String(folder[..<slash])
      folders.append(folder)
    }
    return folders
  }
}
