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

  func placement(hasTarget: Bool) throws -> Placement {
    try Placement(
      workerCount: workers.number, cpus: cpus, allowed: Host.cpus, hasTarget: hasTarget)
  }
}
