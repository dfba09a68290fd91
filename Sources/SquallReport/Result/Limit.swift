/// What on the generator's side can set the limit, each with a remedy that its reader can follow. The
/// look before a run, the report and `squall doctor` take their words from here.
package enum Limit: Equatable, Sendable {
  case localPorts
  case descriptors
  /// The CPU time of a container or control group.
  case quota(cpus: Double)
  /// The memory of a container or control group.
  case memory(byteCount: UInt64)
  /// More workers than CPUs; how many CPUs they have is known on one host.
  case ownWorkers(cpuCount: Int?)
  case target(hasOneCPU: Bool)
  case otherProcesses

  package var cause: String {
    switch self {
    case .localPorts: "no local port is free"
    case .descriptors: "no file descriptor is free"
    case .quota(let cpus):
      "the CPU quota of this container or control group is \(Figures.fixed(cpus, 2)) CPUs"
    case .memory(let byteCount):
      "the memory of this container or control group is \(Figures.bytes(Double(byteCount)))"
    case .ownWorkers: "other workers of ours run there"
    case .target: "the target runs there"
    case .otherProcesses: "other processes run there"
    }
  }

  package var remedy: String {
    switch self {
    case .localPorts:
      "spread over addresses with --source-ip, or widen net.ipv4.ip_local_port_range"
    case .descriptors:
      "raise the limit (ulimit -n, or LimitNOFILE= in a unit), or use more workers (-w)"
    case .quota: "raise the quota, or ask for less load"
    case .memory: "raise it, or use fewer connections (-c)"
    case .ownWorkers(let cpuCount?):
      "use at most \(Figures.count(cpuCount, "worker")) (-w \(cpuCount))"
    case .ownWorkers(nil): "use fewer workers (-w)"
    case .target(hasOneCPU: false): "keep them apart with --cpus or on two hosts"
    case .target(hasOneCPU: true):
      "this process may use one CPU: let it use another, or run the target on another host"
    case .otherProcesses: "stop them, or choose other CPUs (--cpus)"
    }
  }

  package var sentence: String { "\(cause); \(remedy)" }
}
