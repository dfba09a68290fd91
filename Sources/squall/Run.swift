import ArgumentParser
import Glibc
import SquallLoad
import SquallNode

struct Run: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure a server from this host (the default command).")

  @OptionGroup(title: "Load") var load: LoadOptions

  @Option(
    name: [.customShort("w"), .long, .customShort("t"), .customLong("threads")],
    help: "Worker processes: a number, or auto for one per CPU.", transform: Read.workers)
  var workers: WorkerCount = .auto

  @Option(
    help: ArgumentHelp("CPUs for the workers, such as 0,2-3.", valueName: "list"),
    transform: Read.cpuList)
  var cpus: [UInt16]?

  @Flag(help: "Let the scheduler move workers between CPUs.")
  var noPin = false

  mutating func run() async throws {
    guard let url = load.url else { throw CleanExit.helpRequest(self) }
    let plan = try load.draft(url: url).plan()
    let run = LocalRun(plan: plan, options: LocalRun.Options(cpus: Host.cpus))
    let finished = try await run.run()
    print(finished.ledger.phases.counted, finished.outcome)
  }
}

extension LoadOptions {
  func draft(url: String) -> PlanDraft {
    var draft = PlanDraft(url: url)
    draft.connections = connections
    draft.durationNs = duration
    draft.requestCount = requests
    draft.rate = rate
    draft.stages = stage
    draft.arrival = arrival == .poisson ? .poisson : .uniform
    draft.inFlightLimit = maxInFlight
    draft.method = method
    draft.headers = header
    draft.body = body
    draft.timeoutNs = timeout
    draft.connectTimeoutNs = connectTimeout
    draft.deadlineNs = deadline
    draft.warmupNs = warmup
    draft.rampNs = ramp
    draft.drainNs = drain
    draft.pipeline = pipeline
    draft.keepsAlive = !noKeepalive
    draft.requestsPerConnection = requestsPerConnection
    draft.sourceAddresses = sourceIP?.split(separator: ",").map(String.init) ?? []
    draft.connectTo = connectTo
    draft.intervalNs = interval
    draft.spins = spin
    draft.seed = seed
    draft.labels = label
    return draft
  }
}
