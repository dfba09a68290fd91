internal import Crypto
internal import Glibc
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOPosix
package import SquallCluster
internal import SquallEngine
package import SquallLoad
package import SquallReport

/// A run on this host: the master's core and the agent's in one process, on one loop, exchanging
/// the messages that otherwise cross the network.
package final class LocalRun: Sendable {
  package struct Options: Sendable {
    package var cpus: [UInt16]
    package var isPinned = true
    /// CPUs that a target on this host shares with the workers.
    package var sharedCPUs: [UInt16] = []
    package var observer = MasterHost.Observer()
    package var announce: @Sendable (AgentHost.Announcement) -> Void = { _ in }

    package init(cpus: [UInt16]) { self.cpus = cpus }
  }

  /// Everything a report is made of.
  package struct Finished: Sendable {
    package var ledger: RunLedger
    package var facts: RunFacts
    package var outcome: Outcome
  }

  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let master: MasterHost
  private let agent: AgentHost
  private let cpus: [UInt16]
  private let sharedCPUs: [UInt16]
  private let isPinned: Bool
  /// Port of a target on this host; nil when it is elsewhere.
  private let localPort: UInt16?
  private let stopCount = NIOLockedValueBox(0)

  package init(plan: Plan, options: Options) {
    let eventLoop = group.next()
    cpus = options.isPinned ? options.cpus : Host.cpus
    sharedCPUs = options.isPinned ? options.sharedCPUs : []
    isPinned = options.isPinned
    localPort = plan.destinations.first { Self.isLoopback($0.host) }?.port
    var settings = MasterMachine.Settings(
      run: UInt64.random(in: 1...UInt64.max), build: Build.description, plan: plan,
      seed: UInt64.random(in: 0...UInt64.max), digests: Digests.standard)
    settings.expectWorkers = options.cpus.count
    settings.useInProcess()
    master = MasterHost(
      machine: MasterMachine(settings: settings), record: NoRecord(on: eventLoop),
      observer: options.observer, on: eventLoop)
    let link = InProcessLink(to: master)
    var agentOptions = AgentHost.Options()
    agentOptions.isPinned = options.isPinned
    agentOptions.announce = options.announce
    agent = AgentHost(
      settings: AgentMachine.Settings(
        agent: UInt64.random(in: 1...UInt64.max), build: Build.description, host: Host.name,
        cpus: options.cpus, seed: UInt64.random(in: 0...UInt64.max), digests: Digests.standard),
      options: agentOptions, link: link, on: eventLoop)
    link.join(agent)
  }

  private static func isLoopback(_ host: String) -> Bool {
    host == "localhost" || host == "::1" || host.hasPrefix("127.")
  }

  /// Runs the plan to its end.
  package func run() async throws -> Finished {
    let startedAtNs = Host.wallNs
    let before = Surroundings()
    let listener = localPort.flatMap { LocalListener(port: $0) }
    await master.start()
    await agent.start()
    let outcome = try await master.ended.futureResult.get()
    var facts = RunFacts(
      startedAtNs: startedAtNs, isInterrupted: stopCount.withLockedValue { $0 } > 0,
      status: await master.status, outcome: outcome, ledgers: await master.ledgers,
      sharedCPUs: listener.map { cpus.filter($0.cpus().contains) } ?? sharedCPUs,
      isPinned: isPinned)
    Surroundings().note(since: before, targetIsHere: listener != nil, in: &facts)
    let finished = Finished(ledger: await master.ledger, facts: facts, outcome: outcome)
    _ = try await agent.ended.futureResult.get()
    try await group.shutdownGracefully()
    return finished
  }

  /// The first time: send nothing more, await what is in flight, report. The second: report now.
  package func stop() {
    let count = stopCount.withLockedValue { count in
      count += 1
      return count
    }
    Task {
      await master.stopLoad()
      if count > 1 { await agent.cutWorkers() }
    }
  }
}

/// Commits at once: nothing outlives the process anyway.
private struct NoRecord: MasterHost.Record {
  let eventLoop: any EventLoop

  init(on eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  func write(
    _ entry: RecordEntry, token: UInt64, committed: @escaping @Sendable (UInt64) -> Void
  ) {
    eventLoop.execute { committed(token) }
  }
}

extension Digests {
  static let standard = Digests(hash: { Array(SHA256.hash(data: $0)) })
}
