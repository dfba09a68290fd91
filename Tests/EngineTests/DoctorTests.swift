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

  @Test func withoutARingNothingCanBeMeasured() throws {
    var readings = try HostFixture().read { HostReadings($0, cpus: [0, 1]) }
    readings.ringObstacle = "io_uring is forbidden: allow it"
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

  @Test(.enabled(if: Ring.obstacle() == nil, "io_uring is not to be had here"))
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
