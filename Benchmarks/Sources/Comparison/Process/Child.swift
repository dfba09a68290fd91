internal import CAffinity
package import Glibc

/// A process of ours: started with its output in files, waited for by its id, ended by its id.
///
/// It leads a process group of its own, so that Ctrl-C reaches the suite alone, which then ends
/// what it started; the group is signalled as a whole, for clients that start workers.
package struct Child: Sendable {
  package let pid: pid_t
  package let startedNs: UInt64
  package let standardOutput: String
  package let standardError: String

  /// How a process ended, and what it and the children it waited for have used.
  package struct Exit: Codable, Equatable, Sendable {
    package let code: Int32?
    package let signal: Int32?
    package let userNs: UInt64
    package let systemNs: UInt64
    package let residentByteCountMax: UInt64
    package let endedNs: UInt64
  }

  package struct SpawnError: Error, CustomStringConvertible {
    package let program: String
    package let number: Int32
    package var description: String {
      "cannot start \(program): \(String(cString: strerror(number)))"
    }
  }

  /// Starts a program on the given CPUs with exactly the given environment.
  package init(
    _ arguments: [String], environment: [String: String], cpus: [Int]?, outputPrefix: String
  ) throws(SpawnError) {
    standardOutput = outputPrefix + ".out"
    standardError = outputPrefix + ".err"
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    let openFlags = O_WRONLY | O_CREAT | O_TRUNC
    posix_spawn_file_actions_addopen(&actions, 1, standardOutput, openFlags, 0o644)
    posix_spawn_file_actions_addopen(&actions, 2, standardError, openFlags, 0o644)

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setpgroup(&attributes, 0)
    // Our thread's blocked signals and ignored ones are not the child's business.
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    var all = sigset_t()
    sigfillset(&all)
    posix_spawnattr_setsigdefault(&attributes, &all)
    let spawnFlags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
    posix_spawnattr_setflags(&attributes, Int16(spawnFlags))

    let argv = arguments.map { strdup($0) } + [nil]
    let envp = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for text in argv + envp { free(text) } }

    // A child takes over the affinity of the thread that starts it.
    let before = Affinity.current()
    if let cpus { Affinity(cpus: cpus).apply() }
    defer { if cpus != nil { before.apply() } }
    var pid: pid_t = 0
    let started = monotonicNs()
    let error = posix_spawnp(&pid, arguments[0], &actions, &attributes, argv, envp)
    guard error == 0 else { throw SpawnError(program: arguments[0], number: error) }
    self.pid = pid
    startedNs = started
  }

  /// The end of the process if it has come, without waiting. Nil also when it was collected before.
  package func poll() -> Exit? {
    var status: Int32 = 0
    var usage = rusage()
    guard wait4(pid, &status, WNOHANG, &usage) == pid else { return nil }
    let signal = status & 0x7f
    return Exit(
      code: signal == 0 ? (status >> 8) & 0xff : nil, signal: signal == 0 ? nil : signal,
      userNs: usage.ru_utime.ns, systemNs: usage.ru_stime.ns,
      residentByteCountMax: UInt64(usage.ru_maxrss) * 1024, endedNs: monotonicNs())
  }

  /// Waits for the end, at most until the instant given; nil when the process outlives it.
  package func wait(untilNs: UInt64) -> Exit? {
    while true {
      if let exit = poll() { return exit }
      guard monotonicNs() < untilNs else { return nil }
      pause(ns: 2_000_000)
    }
  }

  /// Asks the group to stop, and a second later makes it.
  @discardableResult
  package func end() -> Exit? {
    kill(-pid, SIGTERM)
    if let exit = wait(untilNs: monotonicNs() + 1_000_000_000) {
      kill(-pid, SIGKILL)  // What it may have left behind in its group.
      return exit
    }
    kill(-pid, SIGKILL)
    return wait(untilNs: monotonicNs() + 1_000_000_000)
  }
}

extension timeval {
  fileprivate var ns: UInt64 { UInt64(tv_sec) * 1_000_000_000 + UInt64(tv_usec) * 1_000 }
}

/// The CPUs a thread may run on.
package struct Affinity: Sendable {
  private var words = [UInt64](repeating: 0, count: Int(AFFINITY_WORD_COUNT))

  package init(cpus: [Int]) {
    for cpu in cpus where words.indices.contains(cpu / 64) {
      words[cpu / 64] |= 1 << UInt64(cpu % 64)
    }
  }

  package static func current() -> Affinity {
    var affinity = Affinity(cpus: [])
    affinity_get(&affinity.words)
    return affinity
  }

  package var cpus: [Int] {
    (0..<words.count * 64).filter { cpu in words[cpu / 64] >> UInt64(cpu % 64) & 1 == 1 }
  }

  /// Of the calling thread, and of what it starts from here on.
  package func apply() {
    affinity_set(words)
  }
}

/// CLOCK_MONOTONIC, which the C targets stamp arrivals with too.
package func monotonicNs() -> UInt64 {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

package func pause(ns: UInt64) {
  var time = timespec(tv_sec: Int(ns / 1_000_000_000), tv_nsec: Int(ns % 1_000_000_000))
  nanosleep(&time, nil)
}
