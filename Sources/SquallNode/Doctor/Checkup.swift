internal import SquallEngine
package import SquallLoad
internal import SquallReport

/// What on a host would spoil a measurement, each with its remedy: `squall doctor`'s rules.
package struct Checkup: Equatable, Sendable {
  package enum Verdict: String, Equatable, Sendable {
    case good
    /// The numbers of some measurements suffer.
    case caution
    /// Nothing can be measured.
    case bad
    case unknown
  }

  package struct Finding: Equatable, Sendable {
    package var name: String
    package var value: String
    package var verdict: Verdict
    /// What to do, or what it means; empty when there is nothing to say.
    package var remedy = ""
  }

  package private(set) var findings: [Finding] = []

  /// Whether a measurement is possible at all.
  package var canMeasure: Bool { !findings.contains { $0.verdict == .bad } }

  package init(_ readings: HostReadings) {
    ring(readings)
    kernelTLS(readings)
    descriptors(readings)
    lockedMemory(readings)
    ports(readings)
    backlog(readings)
    congestion(readings)
    governor(readings)
    siblings(readings)
    load(readings)
    quota(readings)
    memory(readings)
    steal(readings)
    clock(readings)
  }

  private mutating func add(
    _ name: String, _ value: String?, _ verdict: Verdict, _ remedy: String = ""
  ) {
    findings.append(
      Finding(
        name: name, value: value ?? "not told", verdict: value == nil ? .unknown : verdict,
        remedy: value == nil ? "" : remedy))
  }

  private mutating func ring(_ readings: HostReadings) {
    if let obstacle = readings.ringObstacle {
      let verdict: Verdict = readings.epollObstacle == nil ? .caution : .bad
      if let none = readings.epollObstacle {
        add("backend", "none", .bad, none)
      } else {
        add("backend", "epoll", .caution, "instead of io_uring: \(RingChoice.cost)")
      }
      return add("io_uring", "unusable, kernel \(readings.kernel)", verdict, obstacle)
    }
    add("backend", "io_uring", .good)
    add("io_uring", "usable, kernel \(readings.kernel)", .good)
    guard let features = readings.ringFeatures else { return }
    add(
      " absolute wait", features.waitsAbsolutely ? "yes" : "no", .good,
      features.waitsAbsolutely
        ? "" : "Linux 6.12 has it; without it each wait costs one more reading of the clock")
    add(
      " connect in ring", features.connectsInRing ? "yes" : "no", .good,
      features.connectsInRing
        ? "" : "Linux 6.11 has it; without it each new connection costs a few system calls")
  }

  /// Squall seals its records itself, so that it is neither good nor bad.
  private mutating func kernelTLS(_ readings: HostReadings) {
    guard let obstacle = readings.kernelTLSObstacle else { return }
    add(
      "TLS in kernel", obstacle.isEmpty ? "yes" : "no", .good,
      obstacle.isEmpty
        ? "squall does not use it: it seals records itself"
        : "not needed, squall seals records itself (\(obstacle))")
  }

  /// Descriptors kept for everything but connections: a ring, a region, sockets to the agent.
  package static let descriptorReserve: UInt64 = 64

  private mutating func descriptors(_ readings: HostReadings) {
    let hard = readings.descriptorsHard
    let value = hard.map { hard in
      hard == .max ? "unlimited" : "\(Figures.grouped(hard)) a process"
    }
    // A worker raises its own limit to the hard one.
    let isLow = (hard ?? 0) < 65_536
    add(
      "open files", value, isLow ? .caution : .good,
      isLow
        ? "a worker holds at most \(Figures.grouped((hard ?? 0) - min(hard ?? 0, Self.descriptorReserve))) "
          + "connections: \(Limit.descriptors.remedy)" : "")
  }

  private mutating func quota(_ readings: HostReadings) {
    guard let quota = readings.quota else { return add("CPU quota", nil, .unknown) }
    guard let cpus = quota.cpus else { return add("CPU quota", "none", .good) }
    add(
      "CPU quota", "\(Figures.fixed(cpus, 2)) CPUs", .caution,
      "this container or control group is held back beyond it, in the middle of a measurement: "
        + "\(Limit.quota(cpus: cpus).remedy); workers it can run: \(quota.workerCountMax ?? 1) (-w)"
    )
  }

  /// Fewer than these are soon asked for.
  private static let connectionCountMin: UInt64 = 50_000

  private mutating func memory(_ readings: HostReadings) {
    guard let limit = readings.memory else { return add("memory limit", "none", .good) }
    let workerCount = min(readings.quota?.workerCountMax ?? .max, max(1, readings.cpus.count))
    let most = limit.connectionCountMax(workerCount: workerCount, isSecure: false)
    let isLow = most < Self.connectionCountMin
    add(
      "memory limit", Figures.bytes(Double(limit.byteCount)), isLow ? .caution : .good,
      isLow
        ? "it suffices for about \(Figures.grouped(most)) connections with "
          + "\(Figures.count(workerCount, "worker")): \(Limit.memory(byteCount: limit.byteCount).remedy)"
        : "")
  }

  private mutating func lockedMemory(_ readings: HostReadings) {
    let bytes = readings.lockedByteCount
    let value = bytes.map { $0 == .max ? "unlimited" : Figures.bytes(Double($0)) }
    let isLow = (bytes ?? .max) < 64 << 10
    add(
      "locked memory", value, isLow ? .caution : .good,
      isLow ? "the ring registers its buffers: raise it with ulimit -l 8192" : "")
  }

  private mutating func ports(_ readings: HostReadings) {
    guard let first = readings.portFirst, let last = readings.portLast, last >= first else {
      return add("local ports", nil, .unknown)
    }
    let count = last - first + 1
    add(
      "local ports", "\(first)-\(last), \(Figures.grouped(count)) to one address",
      count < 28_000 ? .caution : .good,
      count < 28_000
        ? "no more connections than that to one address: \(Limit.localPorts.remedy)" : "")
    guard let reuse = readings.timeWaitReuse else { return add("ports reused", nil, .unknown) }
    let words = ["no", "yes", "on loopback only"]
    add(
      "ports reused", reuse < 3 ? words[Int(reuse)] : "\(reuse)", reuse == 0 ? .caution : .good,
      reuse == 1
        ? ""
        : "a port rests 60 s after its connection: --no-keepalive above "
          + "\(Figures.grouped(count / 60)) connections a second to another host runs out of them: "
          + "sysctl -w net.ipv4.tcp_tw_reuse=1")
    if let resting = readings.timeWaitCount, resting * 2 > count {
      add(
        " resting now", Figures.grouped(resting), .caution,
        "an earlier measurement's ports are not free yet: wait a minute")
    }
  }

  private mutating func backlog(_ readings: HostReadings) {
    let isLow = (readings.listenBacklog ?? 0) < 1_024
    add(
      "listen backlog", readings.listenBacklog.map(Figures.grouped), isLow ? .caution : .good,
      isLow
        ? "a target on this host turns away connections that come at once: sysctl -w "
          + "net.core.somaxconn=4096, or --ramp" : "")
  }

  private mutating func congestion(_ readings: HostReadings) {
    let paces = readings.congestionControl == "bbr"
    add(
      "congestion control", readings.congestionControl, .good,
      paces
        ? "bbr paces what it sends, which shows in large bodies over a network; cubic is what most "
          + "hosts have: sysctl -w net.ipv4.tcp_congestion_control=cubic" : "")
  }

  private mutating func governor(_ readings: HostReadings) {
    let names = Set(readings.governors.values).sorted()
    guard !names.isEmpty else {
      return add(
        "CPU governor", "none here", .good,
        "as in a virtual machine: the CPU's speed is its host's business")
    }
    let isFast = names == ["performance"]
    add(
      "CPU governor", names.joined(separator: ", "), isFast ? .good : .caution,
      isFast
        ? ""
        : "the CPU's speed follows the load, so a low load looks slow: cpupower frequency-set -g "
          + "performance")
  }

  private mutating func siblings(_ readings: HostReadings) {
    guard !readings.siblings.isEmpty else {
      return add("SMT siblings", "none among \(readings.cpus.count) CPUs", .good)
    }
    let pairs = readings.siblings.prefix(4).map { $0.map(String.init).joined(separator: "+") }
    let more = readings.siblings.count > 4 ? ", ..." : ""
    add(
      "SMT siblings", pairs.joined(separator: ", ") + more, .caution,
      "two workers, or a worker and a target, on one core take time from each other: choose one "
        + "CPU of each with --cpus "
        + readings.cpus.filter { cpu in
          !readings.siblings.contains { $0.dropFirst().contains(cpu) }
        }.prefix(16).map(String.init).joined(separator: ","))
  }

  package static let loadPerCPUMax = 0.1
  package static let pressureMax = 0.05

  private mutating func load(_ readings: HostReadings) {
    guard let load = readings.load else { return add("host load", nil, .unknown) }
    let perCPU = load / Double(max(1, readings.cpus.count))
    let isLoaded = perCPU > Self.loadPerCPUMax || (readings.pressure ?? 0) > Self.pressureMax
    var value = "\(Figures.fixed(load, 2)) on \(readings.cpus.count) CPUs"
    if let pressure = readings.pressure { value += ", waiting \(Figures.percent(pressure))" }
    add(
      "host load", value, isLoaded ? .caution : .good,
      isLoaded
        ? "something else runs here and its time slices show in the slowest latencies: stop it, or "
          + "keep workers off its CPUs with --cpus" : "")
  }

  package static let stealRatioMax = 0.01

  private mutating func steal(_ readings: HostReadings) {
    let isStolen = (readings.stealRatio ?? 0) > Self.stealRatioMax
    add(
      "steal", readings.stealRatio.map { "\(Figures.percent($0)) since the start" },
      isStolen ? .caution : .good,
      isStolen
        ? "other guests of this machine take CPU time: measure on a dedicated one, or repeat and "
          + "compare (--repeat)" : "")
  }

  private mutating func clock(_ readings: HostReadings) {
    let fast = ["tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page"]
    let isFast = readings.clockSource.map(fast.contains) ?? false
    add(
      "clock source", readings.clockSource, isFast ? .good : .caution,
      isFast
        ? ""
        : "reading the time is a system call with this one, several for each turn of a worker: "
          + "boot with clocksource=tsc if the CPU's is stable")
  }
}

extension Checkup {
  /// A table of plain ASCII, at most 80 columns.
  package var text: String {
    var lines: [String] = []
    for finding in findings {
      let word = finding.verdict == .good ? "ok" : finding.verdict.rawValue
      lines.append(
        "  " + Columns.left(word, 9) + Columns.left(finding.name, 20)
          + Columns.cut(finding.value, 48))
      guard !finding.remedy.isEmpty else { continue }
      lines += Columns.wrapped(finding.remedy, after: String(repeating: " ", count: 31))
    }
    let cautions = findings.count { $0.verdict == .caution }
    lines.append("")
    lines.append(
      !canMeasure
        ? "  Nothing can be measured here."
        : cautions == 0
          ? "  Nothing here would spoil a measurement."
          : "  \(cautions) \(cautions == 1 ? "thing" : "things") may spoil a measurement.")
    return lines.joined(separator: "\n") + "\n"
  }

  package var json: JSONValue {
    .object([
      .init("schema", .string("squall.doctor/1")),
      .init("can_measure", .bool(canMeasure)),
      .init(
        "findings",
        .array(
          findings.map { finding in
            .object([
              .init("name", .string(String(finding.name.drop { $0 == " " }))),
              .init("value", .string(finding.value)),
              .init("verdict", .string(finding.verdict.rawValue)),
              .init("remedy", .string(finding.remedy)),
            ])
          })),
    ])
  }
}
