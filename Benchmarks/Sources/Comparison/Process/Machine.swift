import Foundation

/// Where the measurement is made: what a reader needs to judge a figure, and how busy it is.
package struct Machine: Codable, Sendable {
  package let kernel: String
  package let cpuModel: String
  package let cpuCount: Int
  package let memoryByteCount: UInt64
  package let governor: String
  package let settings: [String: String]

  package static func read() -> Machine {
    let cpuinfo = readText("/proc/cpuinfo") ?? ""
    let model = cpuinfo.split(separator: "\n").first { $0.hasPrefix("model name") }
    let paths = [
      "net.ipv4.ip_local_port_range", "net.ipv4.tcp_tw_reuse", "net.core.somaxconn",
      "net.ipv4.tcp_congestion_control", "kernel.io_uring_disabled", "vm.overcommit_memory",
    ]
    var settings: [String: String] = [:]
    for name in paths {
      let path = "/proc/sys/" + name.replacing(".", with: "/")
      if let value = readText(path) { settings[name] = value.trimmed }
    }
    let vulnerabilities = "/sys/devices/system/cpu/vulnerabilities"
    for name in namesInFolder(vulnerabilities) {
      settings["vulnerability.\(name)"] = readText("\(vulnerabilities)/\(name)")?.trimmed
    }
    settings["clocksource"] =
      readText("/sys/devices/system/clocksource/clocksource0/current_clocksource")?.trimmed
    return Machine(
      kernel: readText("/proc/sys/kernel/osrelease")?.trimmed ?? "unknown",
      cpuModel: model?.split(separator: ":").last.map { String($0).trimmed } ?? "unknown",
      cpuCount: ProcessInfo.processInfo.activeProcessorCount,
      memoryByteCount: ProcessInfo.processInfo.physicalMemory,
      governor: readText("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")?.trimmed
        ?? "not shown",
      settings: settings)
  }
}

/// Time the CPUs have spent since boot, in seconds, from /proc/stat: sampled by the kernel's tick,
/// so good for shares over a second, not for single requests.
package struct CPUTimes: Sendable {
  package let busy: Double
  package let idle: Double
  package let steal: Double

  package static func read() -> CPUTimes {
    parse(readText("/proc/stat") ?? "", ticksPerSecond: Double(sysconf(Int32(_SC_CLK_TCK))))
  }

  package static func parse(_ text: String, ticksPerSecond: Double) -> CPUTimes {
    let line = text.split(separator: "\n").first { $0.hasPrefix("cpu ") } ?? ""
    let fields = line.split(separator: " ").dropFirst().compactMap { Double($0) }
    func field(_ index: Int) -> Double {
      index < fields.count ? fields[index] / ticksPerSecond : 0
    }
    // user nice system idle iowait irq softirq steal; guest time is in user already.
    return CPUTimes(
      busy: field(0) + field(1) + field(2) + field(5) + field(6), idle: field(3) + field(4),
      steal: field(7))
  }
}

/// Which CPUs the two sides run on.
package struct Placement: Codable, Sendable {
  package let target: [Int]
  package let client: [Int]
  /// What a reader must know, empty when the two sides share nothing.
  package let remarks: [String]

  package init(target: [Int], client: [Int], remarks: [String]) {
    self.target = target
    self.client = client
    self.remarks = remarks
  }

  /// One CPU for the client, the last; the others for the target, at most four and never a
  /// hardware thread of the client's core if there is a choice.
  package static func choose(cpus: [Int], siblings: (Int) -> [Int]) -> Placement {
    guard let client = cpus.last, cpus.count > 1 else {
      return Placement(
        target: cpus, client: cpus, remarks: ["one CPU: client and target share it"])
    }
    let others = cpus.dropLast()
    let core = Set(siblings(client))
    let free = others.filter { !core.contains($0) }
    var remarks: [String] = []
    if free.isEmpty { remarks.append("client and target share a core's hardware threads") }
    if cpus.count == 2 {
      remarks.append("two CPUs: the suite, the kernel's threads and both sides share them")
    }
    let target = Array((free.isEmpty ? Array(others) : free).prefix(4))
    return Placement(target: target, client: [client], remarks: remarks)
  }

  /// The hardware threads of a CPU's core, as the kernel lists them ("0-1" or "0,4").
  package static func siblings(_ cpu: Int) -> [Int] {
    let path = "/sys/devices/system/cpu/cpu\(cpu)/topology/thread_siblings_list"
    return cpuList((readText(path) ?? "\(cpu)").trimmed)
  }

  package static func cpuList(_ text: String) -> [Int] {
    text.split(separator: ",").flatMap { part -> [Int] in
      let ends = part.split(separator: "-").compactMap { Int($0) }
      guard let low = ends.first, let high = ends.last, low <= high else { return [] }
      return Array(low...high)
    }
  }
}

/// Waits for a machine that does nothing else.
package struct QuiesceGate: Sendable {
  /// Share of one CPU that others may use.
  package static let foreignShareMax = 0.15

  package struct Report: Codable, Sendable {
    package let waitedSeconds: Double
    /// CPUs' worth of other work when the gate let us through.
    package let foreignShare: Double
    package let busiest: [String]

    package init(waitedSeconds: Double, foreignShare: Double, busiest: [String]) {
      self.waitedSeconds = waitedSeconds
      self.foreignShare = foreignShare
      self.busiest = busiest
    }

    package var isQuiet: Bool { foreignShare <= QuiesceGate.foreignShareMax }
  }

  /// Looks at the machine for half a second at a time until it is quiet or the time is over.
  package static func wait(
    secondsMax: Double, isStopped: () -> Bool, say: (String) -> Void
  ) -> Report {
    let started = monotonicNs()
    var lastSaidNs: UInt64?
    while true {
      let before = (CPUTimes.read(), Self.ticksByProcess())
      pause(ns: 500_000_000)
      let after = (CPUTimes.read(), Self.ticksByProcess())
      let share = (after.0.busy - before.0.busy) / 0.5
      let busiest = Self.busiest(before.1, after.1)
      let waited = Double(monotonicNs() - started) / 1e9
      let report = Report(waitedSeconds: waited, foreignShare: share, busiest: busiest)
      if report.isQuiet || waited >= secondsMax || isStopped() { return report }
      if lastSaidNs.map({ monotonicNs() - $0 > 5_000_000_000 }) ?? true {
        lastSaidNs = monotonicNs()
        let left = Int((secondsMax - waited).rounded(.up))
        let names = busiest.joined(separator: ", ")
        say("the machine is busy (\(names)): waiting up to \(left) s for it to be quiet")
      }
    }
  }

  private static func ticksByProcess() -> [Int: (name: String, ticks: Int)] {
    var all: [Int: (String, Int)] = [:]
    for name in namesInFolder("/proc") {
      guard let pid = Int(name), pid != Int(getpid()), let stat = readText("/proc/\(pid)/stat"),
        let open = stat.firstIndex(of: "("), let close = stat.lastIndex(of: ")")
      else { continue }
      let fields = stat[stat.index(after: close)...].split(separator: " ")
      guard fields.count > 12, let user = Int(fields[11]), let system = Int(fields[12]) else {
        continue
      }
      all[pid] = (String(stat[stat.index(after: open)..<close]), user + system)
    }
    return all
  }

  private static func busiest(
    _ before: [Int: (name: String, ticks: Int)], _ after: [Int: (name: String, ticks: Int)]
  ) -> [String] {
    after.map { pid, now in (now.name, pid, now.ticks - (before[pid]?.ticks ?? 0)) }
      .filter { $0.2 >= 2 }
      .sorted { $0.2 > $1.2 }
      .prefix(3)
      .map { "\($0.0) \($0.1)" }
  }
}

extension StringProtocol {
  package var trimmed: String { trimmingCharacters(in: .whitespacesAndNewlines) }
}
