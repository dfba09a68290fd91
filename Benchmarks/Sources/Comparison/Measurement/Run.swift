import Glibc

/// One run of one client, with everything that was seen of it: the raw record all tables are
/// made from.
package struct Run: Codable, Sendable {
  package let cell: Cell
  package let client: String
  package let repetition: Int
  package var arguments: [String] = []
  /// Why there is no figure, or why the figure is not to be trusted.
  package var failure: String?
  package var claim: Claim?
  package var exit: Child.Exit?
  /// From the command to the end of the process.
  package var wallSeconds: Double?
  /// Requests the target received from this client, over the whole run.
  package var counted: UInt64?
  package var window: Window?
  /// CPU of the target over the whole run.
  package var targetCPUNs: UInt64?
  /// Established connections seen by ss(8) in mid-run.
  package var connectionsSeen: Int?
  package var residentByteCount: UInt64?
  package var pacing: Pacing?
  /// Of the largest process but the first: a worker, where a client has such.
  package var residentWorkerByteCount: UInt64?
  package var syscalls: [String: Int]?
  package var threads: [ThreadSamples]?
  package var firstArrivalSeconds: Double?
  /// How long the target was stopped, by the clock: a busy machine stretches it.
  package var frozenSeconds: Double?

  package init(cell: Cell, client: String, repetition: Int) {
    self.cell = cell
    self.client = client
    self.repetition = repetition
  }
}

/// The steady part of a run: connecting, starting and stopping are outside it.
package struct Window: Codable, Equatable, Sendable {
  package let seconds: Double
  /// By the target's count.
  package let requests: UInt64
  package let clientCPUNs: UInt64
  package let targetCPUNs: UInt64
  /// CPUs' worth of work by neither side.
  package let foreignShare: Double
  package let stealShare: Double

  package var rateHz: Double { Double(requests) / seconds }
  package var cpuUsPerRequest: Double? {
    requests > 0 ? Double(clientCPUNs) / 1e3 / Double(requests) : nil
  }
  package var clientBusy: Double { Double(clientCPUNs) / 1e9 / seconds }
  package var targetBusy: Double { Double(targetCPUNs) / 1e9 / seconds }

  package struct Sample: Sendable {
    package let ns: UInt64
    package let requests: UInt64
    package let accepted: UInt64?
    package let clientCPUNs: UInt64
    package let targetCPUNs: UInt64
    package let times: CPUTimes

    package init(
      ns: UInt64, requests: UInt64, accepted: UInt64?, clientCPUNs: UInt64, targetCPUNs: UInt64,
      times: CPUTimes
    ) {
      self.ns = ns
      self.requests = requests
      self.accepted = accepted
      self.clientCPUNs = clientCPUNs
      self.targetCPUNs = targetCPUNs
      self.times = times
    }
  }

  /// Cuts the steady part out of the samples of a run: from a tenth of the active time after the
  /// first request (and not before all connections are accepted, where the target tells) until a
  /// twentieth before the last. Nil when that leaves fewer than three samples.
  package init?(_ samples: [Sample], connections: Int) {
    guard let first = samples.first,
      let beginIndex = samples.firstIndex(where: { $0.requests > first.requests }),
      let endIndex = samples.indices.dropFirst().last(where: {
        samples[$0].requests > samples[$0 - 1].requests
      }), endIndex > beginIndex
    else { return nil }
    let begin = samples[beginIndex]
    let end = samples[endIndex]
    let active = end.ns - begin.ns
    let all = first.accepted.map { $0 + UInt64(connections) }
    let steady = samples[beginIndex...endIndex].filter { sample in
      let isConnected = all.map { (sample.accepted ?? 0) >= $0 } ?? true
      return isConnected && sample.ns >= begin.ns + active / 10
        && sample.ns <= end.ns - active / 20
    }
    guard steady.count >= 3, let from = steady.first, let to = steady.last else { return nil }
    seconds = Double(to.ns - from.ns) / 1e9
    requests = to.requests - from.requests
    clientCPUNs = to.clientCPUNs - from.clientCPUNs
    targetCPUNs = to.targetCPUNs - from.targetCPUNs
    let ours = Double(clientCPUNs + targetCPUNs) / 1e9
    foreignShare = max(0, (to.times.busy - from.times.busy - ours) / seconds)
    stealShare = max(0, (to.times.steal - from.times.steal) / seconds)
  }
}

/// How often a client and its children entered the kernel for what a request may need: counted by
/// perf(1) at the tracepoints, which slows nothing down, so that batches stay what they are.
package enum SyscallCounts {
  package static let names = [
    "io_uring_enter", "epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl", "poll", "ppoll",
    "select", "pselect6", "read", "write", "readv", "writev", "recvfrom", "sendto", "recvmsg",
    "sendmsg", "recvmmsg", "sendmmsg", "futex", "nanosleep", "clock_nanosleep", "sched_yield",
    "timerfd_settime", "gettimeofday", "clock_gettime",
  ]
  private static let folder = "/sys/kernel/tracing/events/syscalls"

  /// Not every architecture has every call; without any, perf says what is missing.
  package static var arguments: [String] {
    let known = names.filter { access("\(folder)/sys_enter_\($0)", F_OK) == 0 }
    return ["stat", "-x,"]
      + (known.isEmpty ? ["io_uring_enter"] : known).flatMap { ["-e", "syscalls:sys_enter_\($0)"] }
  }

  /// What `perf stat -x,` writes: count, unit, event and more on a line.
  package static func parse(_ text: String) -> [String: Int] {
    text.split(separator: "\n").reduce(into: [:]) { counts, line in
      let fields = line.split(separator: ",", omittingEmptySubsequences: false)
      let prefix = "syscalls:sys_enter_"
      guard fields.count > 2, fields[2].hasPrefix(prefix), let count = Int(fields[0]) else {
        return
      }
      counts[String(fields[2].dropFirst(prefix.count))] = count
    }
  }
}

/// Where a thread was when perf(1) looked, on a timer of its own and not on the kernel's tick.
package struct ThreadSamples: Codable, Equatable, Sendable {
  package let thread: Int
  package var user: Int
  package var kernel: Int

  package init(thread: Int, user: Int, kernel: Int) {
    self.thread = thread
    self.user = user
    self.kernel = kernel
  }

  /// 4,999 a second of CPU: no multiple of anything's period.
  package static let frequencyHz = 4_999
  package static let arguments = [
    "record", "-q", "-F", "\(frequencyHz)", "-e", "cpu-clock:u", "-e", "cpu-clock:k",
  ]

  /// What `perf report --stdio -n --sort pid` prints: a block for each event, and in it a line for
  /// each thread (share, samples, id and name).
  package static func parse(_ text: String) -> [ThreadSamples] {
    var byThread: [Int: ThreadSamples] = [:]
    var isUser: Bool?
    for line in text.split(separator: "\n") {
      if line.hasPrefix("# Samples:") { isUser = line.contains("cpu-clock:u") }
      let fields = line.split(whereSeparator: { $0.isWhitespace })
      guard let isUser, fields.count >= 3, fields[0].hasSuffix("%"), let samples = Int(fields[1]),
        let thread = Int(fields[2].prefix { $0 != ":" })
      else { continue }
      var counts = byThread[thread] ?? ThreadSamples(thread: thread, user: 0, kernel: 0)
      if isUser { counts.user += samples } else { counts.kernel += samples }
      byThread[thread] = counts
    }
    return byThread.values.sorted { $0.user + $0.kernel > $1.user + $1.kernel }
  }
}
