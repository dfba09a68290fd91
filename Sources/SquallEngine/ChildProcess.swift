internal import CSquall
internal import Glibc

/// This program, started once more as another process, or another program.
package struct ChildProcess: Sendable {
  package let id: Int32

  /// How it ended.
  package struct Exit {
    /// Its exit code, or the negative number of the signal that killed it.
    package var code: Int32
    package var userNs: UInt64
    package var systemNs: UInt64
  }

  /// - Parameters:
  ///   - role: its first argument, which says what it is to be.
  ///   - arguments: behind it; the first is for who reads a list of processes.
  ///   - descriptors: what it has as 3, 4, …, beside 0, 1 and 2.
  package init(
    role: String, cpu: UInt16?, arguments: [String] = [], descriptors: [Int32]
  ) throws(SystemError) {
    try self.init(
      "/proc/self/exe",
      ["squall", role, cpu.map { "cpu=\($0)" } ?? "unpinned"] + arguments,
      descriptors: descriptors, from: 3)
  }

  /// Another program, in a process group of its own and with no signal blocked or ignored. `descriptors`
  /// are what it has from `place` on; below it has ours, and no others.
  package init(
    _ path: String, _ words: [String], descriptors: [Int32], from place: Int32
  ) throws(SystemError) {
    let copies = unsafe words.map { unsafe strdup($0) }
    defer { for index in words.indices { unsafe free(copies[index]) } }
    var pointers = unsafe copies.map { unsafe UnsafePointer<CChar>($0) }
    unsafe pointers.append(nil)
    id = try SystemError.check(
      "posix_spawn",
      unsafe squall_process_spawn(
        path, pointers, descriptors, UInt32(descriptors.count), place))
  }

  /// A pair of connected stream sockets: ours, and one for a child to inherit.
  package static func pair() throws(SystemError) -> (ours: Int32, theirs: Int32) {
    var (ours, theirs): (Int32, Int32) = (0, 0)
    try SystemError.check("socketpair", unsafe squall_pair(&ours, &theirs))
    return (ours, theirs)
  }

  /// How it ended; nil while it runs.
  package func reap() -> Exit? {
    var exit = squall_exit()
    guard unsafe squall_process_reap(id, &exit) != 0 else { return nil }
    return Exit(code: exit.code, userNs: exit.user_ns, systemNs: exit.system_ns)
  }

  /// CPU time so far (clock_getcpuclockid(3)), or 0 when it is gone.
  package var cpuNs: UInt64 { squall_process_cpu_ns(id) }

  package func kill(by signal: Int32 = SIGKILL) { _ = Glibc.kill(id, signal) }
}
