package import SquallEngine

/// What was found on a host. Nil where this host does not tell.
package struct HostReadings: Equatable, Sendable {
  /// Why there is no ring over io_uring; nil when there is one.
  package var ringObstacle: String?
  /// The same over epoll.
  package var epollObstacle: String?
  /// What this kernel's io_uring can do that an older one cannot; nil without a ring.
  package var ringFeatures: RingFeatures?
  package var kernel = "unknown"
  package var descriptorsSoft: UInt64?
  package var descriptorsHard: UInt64?
  package var lockedByteCount: UInt64?
  package var portFirst: UInt64?
  package var portLast: UInt64?
  package var timeWaitReuse: UInt64?
  package var timeWaitCount: UInt64?
  package var listenBacklog: UInt64?
  package var congestionControl: String?
  /// By CPU that this process may use.
  package var governors: [UInt16: String] = [:]
  /// CPUs that share a core with another one this process may use, in groups of two or more.
  package var siblings: [[UInt16]] = []
  package var cpus: [UInt16] = []
  /// Processes that ran or wanted to, mean of the last minute.
  package var load: Double?
  /// Share of the last ten seconds in which something waited for a CPU.
  package var pressure: Double?
  /// Share of time that other guests of the machine got, since the start of this one.
  package var stealRatio: Double?
  package var clockSource: String?
  package var quota: CPUQuota?
  package var memory: MemoryLimit?
  /// Why the kernel seals no records of TLS itself; empty when it does, nil when that was not tried.
  package var kernelTLSObstacle: String?

  package init() {}

  package init(_ files: HostFiles, cpus: [UInt16]) {
    self.cpus = cpus
    kernel = files.text("/proc/sys/kernel/osrelease") ?? kernel
    if let limit = files.limit("Max open files") {
      (descriptorsSoft, descriptorsHard) = (limit.soft, limit.hard)
    }
    lockedByteCount = files.limit("Max locked memory")?.soft
    if let ports = files.numbers("/proc/sys/net/ipv4/ip_local_port_range"), ports.count == 2 {
      (portFirst, portLast) = (ports[0], ports[1])
    }
    timeWaitReuse = files.number("/proc/sys/net/ipv4/tcp_tw_reuse")
    timeWaitCount = Self.timeWaitCount(files.text("/proc/net/sockstat"))
    listenBacklog = files.number("/proc/sys/net/core/somaxconn")
    congestionControl = files.text("/proc/sys/net/ipv4/tcp_congestion_control")
    readCPUs(files)
    load = files.text("/proc/loadavg")?.split(separator: " ").first.flatMap { Double($0) }
    pressure = Self.pressure(files.text("/proc/pressure/cpu"))
    stealRatio = files.cpuTicks.flatMap { ticks in
      ticks.all == 0 ? nil : Double(ticks.stolen) / Double(ticks.all)
    }
    clockSource = files.text(
      "/sys/devices/system/clocksource/clocksource0/current_clocksource")
    quota = CPUQuota(files)
    memory = MemoryLimit(files)
  }

  private mutating func readCPUs(_ files: HostFiles) {
    let folder = "/sys/devices/system/cpu/cpu"
    var seen: Set<[UInt16]> = []
    for cpu in cpus {
      governors[cpu] = files.text("\(folder)\(cpu)/cpufreq/scaling_governor")
      let group = (files.list("\(folder)\(cpu)/topology/thread_siblings_list") ?? [])
        .filter(cpus.contains)
      if group.count > 1, seen.insert(group).inserted { siblings.append(group) }
    }
  }

  /// `TCP: inuse 5 orphan 0 tw 12 alloc 6 mem 0`.
  private static func timeWaitCount(_ text: String?) -> UInt64? {
    guard let line = text?.split(separator: "\n").first(where: { $0.hasPrefix("TCP:") }) else {
      return nil
    }
    let words = line.split(separator: " ")
    return words.firstIndex(of: "tw").flatMap { $0 + 1 < words.count ? UInt64(words[$0 + 1]) : nil }
  }

  /// `some avg10=1.23 …`: percent of the last ten seconds.
  private static func pressure(_ text: String?) -> Double? {
    let field = text?.split(whereSeparator: \.isWhitespace).first { $0.hasPrefix("avg10=") }
    return field.flatMap { Double($0.dropFirst(6)) }.map { $0 / 100 }
  }

  /// This host, as it is now.
  package static var here: HostReadings {
    var readings = HostReadings(HostFiles(), cpus: Host.cpus)
    readings.ringObstacle = Ring.refusal(of: .ioUring).map(Ring.explain)
    readings.epollObstacle = Ring.refusal(of: .epoll).map(Ring.explain)
    readings.ringFeatures = try? RingFeatures.probe()
    readings.kernelTLSObstacle = KernelTLS.obstacle()
    return readings
  }
}
