internal import Glibc
internal import SquallLoad
package import SquallReport

/// The kernel's counters that tell what else went on while a run ran: read before and after.
package struct Surroundings: Equatable, Sendable {
  private var ticks: UInt64?
  private var stolenTicks: UInt64?
  private var segmentsOut: UInt64?
  private var segmentsSentAgain: UInt64?
  private var listenOverflowCount: UInt64?
  private var quota: CPUQuota?

  package init(_ files: HostFiles = HostFiles()) {
    ticks = files.cpuTicks?.all
    stolenTicks = files.cpuTicks?.stolen
    segmentsOut = files.counter("/proc/net/snmp", group: "Tcp", name: "OutSegs")
    segmentsSentAgain = files.counter("/proc/net/snmp", group: "Tcp", name: "RetransSegs")
    listenOverflowCount = files.counter(
      "/proc/net/netstat", group: "TcpExt", name: "ListenOverflows")
    quota = CPUQuota(files)
  }

  /// Puts what changed since `before` into a run's facts. The listen queues are those of this host,
  /// so they say something only where the target is on it too.
  package func note(since before: Surroundings, targetIsHere: Bool, in facts: inout RunFacts) {
    facts.stealRatio = Self.ratio(
      Self.change(before.stolenTicks, stolenTicks), Self.change(before.ticks, ticks))
    facts.retransmitRatio = Self.ratio(
      Self.change(before.segmentsSentAgain, segmentsSentAgain),
      Self.change(before.segmentsOut, segmentsOut))
    if let quota, let cpus = quota.cpus {
      let earlier = before.quota ?? quota
      facts.quota = RunFacts.Quota(
        cpus: cpus,
        periodCount: quota.periodCount - min(earlier.periodCount, quota.periodCount),
        throttledCount: quota.throttledCount - min(earlier.throttledCount, quota.throttledCount))
    }
    if targetIsHere {
      facts.listenOverflowCount = Self.change(before.listenOverflowCount, listenOverflowCount)
    }
  }

  private static func change(_ before: UInt64?, _ after: UInt64?) -> UInt64? {
    guard let before, let after else { return nil }
    return after - min(before, after)
  }

  private static func ratio(_ part: UInt64?, _ whole: UInt64?) -> Double? {
    guard let part, let whole, whole > 0 else { return nil }
    return Double(part) / Double(whole)
  }
}
