import CSquall
import Foundation
import Glibc
import SquallEngine
import SquallLoad
import SquallNode
import SquallReport
import Testing

/// A folder that stands for the root of a host.
final class HostFixture {
  let root: String

  /// The folder is gone with this object, so reading happens here.
  func read<Reading>(_ body: (HostFiles) throws -> Reading) rethrows -> Reading {
    try withExtendedLifetime(self) { try body(HostFiles(root: root)) }
  }

  /// A quiet host of two CPUs, with what a test changes.
  init(_ changes: [String: String?] = [:]) throws {
    var name = Array("/tmp/squall-host-XXXXXX".utf8CString)
    try #require(mkdtemp(&name) != nil)
    root = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    for (path, text) in Self.quiet.merging(changes, uniquingKeysWith: { $1 }) {
      guard let text else { continue }
      let url = URL(fileURLWithPath: root + path)
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try text.write(to: url, atomically: false, encoding: .utf8)
    }
  }

  deinit { try? FileManager.default.removeItem(atPath: root) }

  static let quiet: [String: String?] = [
    "/proc/sys/kernel/osrelease": "6.12.1\n",
    "/proc/self/limits": """
    Limit                     Soft Limit           Hard Limit           Units
    Max locked memory         8388608              unlimited            bytes
    Max open files            1024                 1048576              files

    """,
    "/proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
    "/proc/sys/net/ipv4/tcp_tw_reuse": "1\n",
    "/proc/net/sockstat": "sockets: used 9\nTCP: inuse 5 orphan 0 tw 12 alloc 6 mem 0\n",
    "/proc/sys/net/core/somaxconn": "4096\n",
    "/proc/sys/net/ipv4/tcp_congestion_control": "cubic\n",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
    "/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance\n",
    "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0\n",
    "/sys/devices/system/cpu/cpu1/topology/thread_siblings_list": "1\n",
    "/proc/loadavg": "0.04 0.03 0.00 1/161 19677\n",
    "/proc/pressure/cpu": "some avg10=0.50 avg60=1.00 avg300=1.00 total=9\n",
    "/proc/stat": "cpu  100 0 50 850 0 0 0 1 7 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    "/proc/self/cgroup": "0::/box\n",
    "/sys/fs/cgroup/box/cpu.max": "max 100000\n",
    "/proc/net/snmp": "Ip: A B\nIp: 1 2\nTcp: InSegs OutSegs RetransSegs\nTcp: 5 1000 10\n",
    "/proc/net/netstat": "TcpExt: TW ListenOverflows ListenDrops\nTcpExt: 4 7 8\n",
  ]
}

struct CheckupTests {
  private func checkup(_ changes: [String: String?] = [:]) throws -> Checkup {
    try HostFixture(changes).read { Checkup(HostReadings($0, cpus: [0, 1])) }
  }

  @Test func aQuietHostIsGoodInEveryRespect() throws {
    let checkup = try checkup()
    let bad = checkup.findings.filter { $0.verdict != .good }
    #expect(bad.isEmpty, "\(bad)")
    #expect(checkup.canMeasure)
    #expect(checkup.findings.count >= 11)
    #expect(checkup.text.contains("Nothing here would spoil a measurement."))
    #expect(checkup.text.contains("32768-60999, 28,232 to one address"))
  }

  /// What the kernel has of TLS is told, and spoils nothing.
  @Test(arguments: [("", "yes"), ("No such file or directory", "no")])
  func tlsOfTheKernelIsTold(obstacle: String, value: String) throws {
    var readings = try HostFixture().read { HostReadings($0, cpus: [0, 1]) }
    #expect(!Checkup(readings).findings.contains { $0.name == "TLS in kernel" })
    readings.kernelTLSObstacle = obstacle
    let checkup = Checkup(readings)
    let finding = try #require(checkup.findings.first { $0.name == "TLS in kernel" })
    #expect(finding.value == value && finding.verdict == .good)
    #expect(obstacle.isEmpty || finding.remedy.contains(obstacle))
  }

  /// Nothing keeps a host from being asked.
  @Test func thisHostIsAskedForTLSOfItsKernel() {
    #expect(HostReadings.here.kernelTLSObstacle != nil)
  }

  /// Each trouble alone: its finding, and a word of its remedy.
  @Test(arguments: [
    ("/proc/sys/net/ipv4/ip_local_port_range", "50000 50999", "local ports", "--source-ip"),
    ("/proc/sys/net/ipv4/tcp_tw_reuse", "0", "ports reused", "tcp_tw_reuse=1"),
    ("/proc/net/sockstat", "TCP: inuse 5 orphan 0 tw 20000 alloc 6", "resting", "wait a minute"),
    ("/proc/sys/net/core/somaxconn", "128", "listen backlog", "net.core.somaxconn=4096"),
    (
      "/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave", "CPU governor",
      "cpupower"
    ),
    (
      "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0-1", "SMT siblings",
      "--cpus 0"
    ),
    (
      "/sys/fs/cgroup/box/cpu.max", "150000 100000", "CPU quota",
      "less load; workers it can run: 1 (-w)"
    ),
    (
      "/sys/fs/cgroup/box/memory.max", "134217728", "memory limit",
      "about 15,473 connections with 2 workers"
    ),
    ("/proc/loadavg", "1.50 0 0 1/1 1", "host load", "--cpus"),
    ("/proc/pressure/cpu", "some avg10=12.00 avg60=0", "host load", "--cpus"),
    ("/proc/stat", "cpu 100 0 50 850 0 0 0 50 0 0", "steal", "dedicated"),
    (
      "/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet", "clock source",
      "clocksource=tsc"
    ),
    (
      "/proc/self/limits",
      "Max open files 1024 4096 files\nMax locked memory 8388608 8388608 bytes", "open files",
      "LimitNOFILE"
    ),
    (
      "/proc/self/limits",
      "Max open files 1024 1048576 files\nMax locked memory 1024 1024 bytes", "locked memory",
      "ulimit -l"
    ),
  ])
  func aTroubleHasItsRemedy(path: String, text: String, name: String, remedy: String) throws {
    let checkup = try checkup([path: text])
    let troubles = checkup.findings.filter { $0.verdict != .good }
    #expect(troubles.count == 1, "\(troubles)")
    #expect(troubles.first?.verdict == .caution)
    #expect(troubles.first?.name.contains(name) == true)
    #expect(troubles.first?.remedy.contains(remedy) == true)
    #expect(checkup.canMeasure)
  }

  @Test func whatAHostDoesNotTellIsUnknown() throws {
    let checkup = Checkup(HostReadings(HostFiles(root: "/nonexistent"), cpus: [0]))
    #expect(checkup.findings.contains { $0.verdict == .unknown && $0.value == "not told" })
    #expect(!checkup.findings.contains { $0.verdict == .bad })
  }

  @Test func withoutIoUringItIsEpoll() throws {
    var readings = try HostFixture().read { HostReadings($0, cpus: [0, 1]) }
    #expect(Checkup(readings).findings.contains { $0.name == "backend" && $0.value == "io_uring" })
    readings.ringObstacle = "io_uring is forbidden: allow it"
    let checkup = Checkup(readings)
    #expect(checkup.canMeasure)
    let backend = checkup.findings.first { $0.name == "backend" }
    #expect(backend?.value == "epoll" && backend?.verdict == .caution)
    #expect(checkup.findings.contains { $0.remedy == "io_uring is forbidden: allow it" })
  }

  @Test func withoutARingNothingCanBeMeasured() throws {
    var readings = try HostFixture().read { HostReadings($0, cpus: [0, 1]) }
    readings.ringObstacle = "io_uring is forbidden: allow it"
    readings.epollObstacle = "there are not enough file descriptors: allow more"
    let checkup = Checkup(readings)
    #expect(!checkup.canMeasure)
    #expect(checkup.text.contains("Nothing can be measured here."))
    #expect(checkup.json["can_measure"] == .bool(false))
  }

  @Test func theTableIsPlainAndFitsATerminal() throws {
    var readings = HostReadings(HostFiles(), cpus: [0, 1])
    readings.kernel = String(repeating: "9", count: 100)
    readings.siblings = (0..<40 as Range<UInt16>).map { [$0, $0 + 40] }
    for line in Checkup(readings).text.split(separator: "\n") {
      #expect(line.count <= 80 && line.utf8.allSatisfy { (0x20..<0x7f).contains($0) }, "\(line)")
    }
  }

  @Test(.enabled(if: Ring.refusal(of: .ioUring) == nil, "io_uring is not to be had here"))
  func thisHostsRingIsProbed() throws {
    let features = try RingFeatures.probe()
    // Making sockets in the ring is the older of the two.
    #expect(features.connectsInRing || !features.waitsAbsolutely)
    #expect(HostReadings.here.ringFeatures == features)
  }
}

struct SurroundingsTests {
  @Test func whatChangedDuringARunIsARatioOfIt() throws {
    let before = try HostFixture().read { Surroundings($0) }
    let after = try HostFixture([
      "/proc/stat": "cpu  150 0 50 890 0 0 0 11 0 0",
      "/proc/net/snmp": "Tcp: InSegs OutSegs RetransSegs\nTcp: 5 3000 30",
      "/proc/net/netstat": "TcpExt: TW ListenOverflows ListenDrops\nTcpExt: 4 9 8",
    ]).read { Surroundings($0) }
    var facts = RunFacts()
    after.note(since: before, targetIsHere: true, in: &facts)
    #expect(facts.stealRatio == 0.1)
    #expect(facts.retransmitRatio == 0.01)
    #expect(facts.listenOverflowCount == 2)
    facts = RunFacts()
    after.note(since: before, targetIsHere: false, in: &facts)
    #expect(facts.listenOverflowCount == nil)
  }

  @Test(
    arguments: [
      // The second version: the narrowest of the groups above counts.
      [
        "/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/cpu.max": "200000 100000",
        "/sys/fs/cgroup/a/cpu.max": "30000 100000",
        "/sys/fs/cgroup/a/cpu.stat": "usage_usec 5\nnr_periods 46\nnr_throttled 43\n",
      ],
      // The first, and a path that is the host's and not the container's.
      [
        "/proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/docker/1234\n",
        "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "30000",
        "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        "/sys/fs/cgroup/cpu,cpuacct/cpu.stat": "nr_periods 46\nnr_throttled 43\nthrottled_time 9\n",
      ],
    ] as [[String: String]])
  func aQuotaIsFoundWithWhatItHeldBack(files: [String: String]) throws {
    let before = try HostFixture(files).read { Surroundings($0) }
    let quota = try #require(try HostFixture(files).read { CPUQuota($0) })
    #expect(quota.cpus == 0.3)
    #expect(quota.periodCount == 46 && quota.throttledCount == 43)
    #expect(quota.workerCountMax == 1)
    let later = files.mapValues {
      $0.replacingOccurrences(
        of: "nr_periods 46\nnr_throttled 43", with: "nr_periods 96\nnr_throttled 83")
    }
    var facts = RunFacts()
    try HostFixture(later).read { Surroundings($0) }
      .note(since: before, targetIsHere: false, in: &facts)
    #expect(facts.quota == RunFacts.Quota(cpus: 0.3, periodCount: 50, throttledCount: 40))
  }

  @Test func aGroupWithoutALimitHasNoQuota() throws {
    for files in [
      ["/proc/self/cgroup": "0::/\n"],
      [
        "/proc/self/cgroup": "3:cpu:/\n", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
      ],
    ] {
      let quota = try #require(try HostFixture(files).read { CPUQuota($0) })
      #expect(quota.cpus == nil && quota.workerCountMax == nil)
    }
  }

  /// Of both versions, ours or one above it; the first writes its most where there is no limit.
  @Test(
    arguments: [
      (["/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/memory.max": "1048576\n"], 1_048_576),
      (["/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/memory.max": "max\n"], nil),
      (
        [
          "/proc/self/cgroup": "4:memory:/x\n0::/\n",
          "/sys/fs/cgroup/memory/memory.limit_in_bytes": "2097152\n",
          "/sys/fs/cgroup/memory/x/memory.limit_in_bytes": "9223372036854771712\n",
        ], 2_097_152
      ),
      (["/proc/self/cgroup": "4:cpu:/x\n", "/sys/fs/cgroup/cpu/x/memory.max": "5\n"], nil),
    ] as [([String: String?], UInt64?)])
  func aLimitOfMemoryIsFound(files: [String: String?], byteCount: UInt64?) throws {
    let none: [String: String?] = ["/sys/fs/cgroup/box/cpu.max": nil]
    let limit = try HostFixture(files.merging(none) { $1 }).read { MemoryLimit($0) }
    #expect(limit?.byteCount == byteCount)
  }

  @Test func connectionsThatMemoryDoesNotHoldAreRefused() throws {
    var plan = Plan(
      to: .init(url: "http://h/", destinations: [.init(host: "h", port: 80)]),
      sending: .init(
        method: "GET", endpoints: [.init(name: "/", request: [], expectsNoBody: false)]),
      over: .init(10_000))
    let limit = try #require(
      try HostFixture(["/sys/fs/cgroup/box/memory.max": "134217728"]).read { MemoryLimit($0) })
    try Preflight.check(plan, workerCount: 2, within: limit)
    plan.connections.count = 20_000
    #expect {
      try Preflight.check(plan, workerCount: 2, within: limit)
    } throws: {
      "\($0)".contains("suffices for about 15473 with 2 workers") && "\($0)".contains("128 MiB")
    }
  }

  /// A quota of a set of CPUs that is a container's own is no quota.
  @Test(
    arguments: [
      (nil, nil, 4, true), (4.0, nil, 4, true), (2.5, nil, 2, false), (0.3, nil, 1, false),
      (2.5, 3, 3, false), (9.0, nil, 4, true),
    ] as [(Double?, Int?, Int, Bool)])
  func workersAreAsManyAsAQuotaRuns(
    quota: Double?, asked: Int?, count: Int, isPinned: Bool
  ) throws {
    let placement = try Placement(
      workerCount: asked, cpus: nil, allowed: [0, 1, 4, 5], hasTarget: false, quota: quota)
    #expect(placement.workers.count == count)
    #expect(placement.isPinned == isPinned)
    let chosen = try Placement(
      workerCount: nil, cpus: [4, 5], allowed: [0, 1, 4, 5], hasTarget: false, quota: quota)
    #expect(chosen.workers == [4, 5] && chosen.isPinned)
  }

  @Test func whatIsNotToldStaysUnknown() {
    let nothing = Surroundings(HostFiles(root: "/nonexistent"))
    var facts = RunFacts()
    nothing.note(since: nothing, targetIsHere: true, in: &facts)
    #expect(facts.stealRatio == nil && facts.retransmitRatio == nil)
    #expect(facts.listenOverflowCount == nil)
  }

  /// This process listens, and may run where it may run.
  @Test func aListenerOnThisHostIsFoundWithItsCPUs() throws {
    let address = try #require(Address("127.0.0.1", port: 0))
    var raw = address.raw
    var port: UInt16 = 0
    let listener = squall_listen(&raw, &port)
    try #require(listener >= 0)
    let found = try #require(LocalListener(port: port))
    #expect(found.cpus() == Host.cpus)
    close(listener)
    #expect(LocalListener(port: port) == nil)
  }
}
