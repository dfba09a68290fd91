import ArgumentParser
import SquallNode

/// Where this host's workers run.
struct PlacementOptions: ParsableArguments {
  @Option(
    name: .workers, help: "Worker processes: a number, or auto for one per CPU.",
    transform: Read.workers)
  var workers: WorkerCount = .auto

  @Option(
    help: ArgumentHelp("CPUs for the workers, such as 0,2-3.", valueName: "list"),
    transform: Read.cpuList)
  var cpus: [UInt16]?

  @Flag(help: "Let the scheduler move workers between CPUs.")
  var noPin = false

  @OptionGroup var ring: RingOptions

  func placement(hasTarget: Bool) throws -> Placement {
    let quota = CPUQuota(HostFiles())?.cpus
    var placement = try Placement(
      workerCount: workers.number, cpus: cpus, allowed: Host.cpus, hasTarget: hasTarget,
      quota: quota)
    if let quota, !placement.isPinned { Console.say("note: \(placement.remark(on: quota))") }
    if noPin { placement.isPinned = false }
    return placement
  }
}

/// What sockets are driven by.
struct RingOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "What drives the sockets: io_uring, epoll, or auto for io_uring where the kernel allows it "
        + "(default: auto, or SQUALL_BACKEND). epoll takes two more system calls per request.",
      valueName: "name"))
  var backend: String?

  func choice() throws -> RingChoice {
    try RingChoice(word: backend) { Console.say($0) }
  }
}
