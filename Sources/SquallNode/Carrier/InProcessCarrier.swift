internal import Glibc
internal import NIOConcurrencyHelpers
internal import NIOCore
package import SquallCluster
package import SquallLoad
package import SquallReport

/// The workers of this host, whose agent is in this process: the same messages as over the network,
/// and no socket between.
package final class InProcessCarrier: Carrier {
  package struct Options: Sendable {
    package var cpus: [UInt16]
    package var isPinned = true
    package var ring = RingChoice.unsettled
    /// CPUs that a target on this host shares with the workers.
    package var sharedCPUs: [UInt16] = []
    /// What was found of the target; nil to look.
    package var addresses: [TargetAddresses]?
    package var announce: @Sendable (AgentHost.Announcement) -> Void = { _ in }

    package init(cpus: [UInt16]) { self.cpus = cpus }
  }

  /// After a cut: to the end of a worker that has to be killed for it, and of the count of it.
  private static let cutNs: UInt64 = 1_200_000_000

  private let options: Options
  private let agent: AgentHost
  private let link = InProcessLink()
  private let destinations: [Plan.Destination]
  /// Of targets some of whose addresses were left out.
  private let addresses = NIOLockedValueBox<[String]>([])
  private let before = NIOLockedValueBox<(surroundings: Surroundings, target: LocalListener?)?>(nil)

  package init(to plan: Plan, options: Options) {
    self.options = options
    destinations = plan.origin.destinations
    var agentOptions = AgentHost.Options()
    agentOptions.isPinned = options.isPinned
    agentOptions.ring = options.ring
    agentOptions.addresses = options.addresses
    agentOptions.announce = { [addresses] announcement in
      if case .addresses(let found) = announcement {
        addresses.withLockedValue { $0.append(found.sentence) }
      }
      options.announce(announcement)
    }
    agent = AgentHost(
      settings: AgentMachine.Settings(
        agent: UInt64.random(in: 1...UInt64.max), build: Build.description, host: Host.name,
        cpus: options.cpus, seed: UInt64.random(in: 0...UInt64.max), digests: .standard(token: nil)),
      options: agentOptions, link: link, on: NodeLoop.shared)
  }

  package func fit(_ settings: inout MasterMachine.Settings) { settings.useInProcess() }

  package func open(to master: MasterHost) async throws(Complaint) {
    let target = destinations.compactMap(Self.listener).first
    before.withLockedValue { $0 = (Surroundings(), target) }
    link.join(agent, to: master)
    await agent.start()
  }

  /// Nil when the destination is not on this host, as far as its name says.
  private static func listener(_ destination: Plan.Destination) -> LocalListener? {
    if destination.isPath { return LocalListener(path: destination.host) }
    guard Exposure.isLoopback(destination.host) else { return nil }
    return LocalListener(port: destination.port)
  }

  package func cut() async -> UInt64 {
    await agent.cutWorkers()
    return Self.cutNs
  }

  package func note(in facts: inout RunFacts, of record: RunRecord) {
    guard let before = before.withLockedValue({ $0 }) else { return }
    if !options.isPinned {
      for place in facts.workers.keys { facts.workers[place]?.cpu = nil }
    }
    let cpus = options.isPinned ? options.cpus : Host.cpus
    let shared =
      before.target.map { cpus.filter($0.cpus().contains) }
      ?? (options.isPinned ? options.sharedCPUs : [])
    facts.cpusSharedWithTarget = shared.map(UInt32.init)
    facts.addressesLeftOut = addresses.withLockedValue { $0 }
    Surroundings().note(
      since: before.surroundings, targetIsHere: before.target != nil, in: &facts)
  }

  package var closing: [Closing.Part] {
    [
      Closing.Part("a worker process", withinNs: 10_000_000_000) {
        _ = try await self.agent.ended.futureResult.get()
      }
    ]
  }
}
