internal import Glibc
internal import NIOCore
package import SquallCluster

/// `squall worker`: this host's agent and its worker processes, in the service of a master elsewhere.
package final class ClusterWorker: Sendable {
  package struct Options: Sendable {
    package var master: MasterAddress
    package var cpus: [UInt16]
    package var isPinned = true
    package var ring = RingChoice.unsettled
    package var token: SharedToken?
    package var security: TransportSecurity?
    package var statistics = StatisticsCarrier.tcp
    /// Folder for what cannot be delivered.
    package var leftoversFolder: String?
    /// What this host is called in messages and in the report.
    package var name = Host.name

    package init(master: MasterAddress, cpus: [UInt16]) {
      self.master = master
      self.cpus = cpus
    }
  }

  private let agent: AgentHost

  package init(options: Options, voice: AgentVoice) {
    let eventLoop = NodeLoop.shared
    let digests = Digests.standard(token: options.token)
    let link = TCPLink(
      to: options.master, security: options.security, statistics: options.statistics,
      digests: digests, on: eventLoop, announce: { voice.told($0) })
    var agentOptions = AgentHost.Options()
    agentOptions.isPinned = options.isPinned
    agentOptions.ring = options.ring
    agentOptions.leftoversFolder = options.leftoversFolder
    agentOptions.announce = { voice.announced($0) }
    var settings = AgentMachine.Settings(
      agent: UInt64.random(in: 1...UInt64.max), build: Build.description, host: options.name,
      cpus: options.cpus, seed: UInt64.random(in: 0...UInt64.max), digests: digests)
    settings.process = UInt32(getpid())
    agent = AgentHost(
      settings: settings, options: agentOptions, link: link, on: eventLoop)
    link.join(agent)
  }

  /// Serves until the run is over or this host leaves it.
  package func run() async throws -> AgentMachine.Exit {
    await agent.start()
    return try await agent.ended.futureResult.get()
  }

  /// The first time: stop our share, deliver everything, leave. The second: leave now.
  package func leave() { Task { await agent.leave() } }
}

extension AgentMachine.Exit {
  package var status: ExitStatus {
    switch self {
    case .delivered: .good
    case .refused(let refusal): refusal.reason == .version ? .usage : .couldNotRun
    case .gaveUp: .incomplete
    }
  }
}
