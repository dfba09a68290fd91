internal import NIOConcurrencyHelpers

/// Workers of a master's own host: an agent in its process, which joins over loopback as any other does.
package final class OwnWorkers: Sendable {
  private let make: @Sendable (MasterAddress) -> ClusterWorker
  private let worker = NIOLockedValueBox<Task<Void, any Error>?>(nil)

  package init(
    cpus: [UInt16], token: SharedToken?, security: TransportSecurity?, statistics: StatisticsCarrier
  ) {
    make = { master in
      var options = ClusterWorker.Options(master: master, cpus: cpus)
      options.token = token
      options.security = security
      options.statistics = statistics
      options.leftoversFolder = DataFolder.path
      let voice = AgentVoice(master: master, hasToken: token != nil, say: Console.say)
      return ClusterWorker(options: options, voice: voice)
    }
  }

  /// Joins the master that listens there.
  package func join(_ address: MasterAddress) {
    // An address that stands for all of this host's is reached over loopback.
    let host = ["0.0.0.0", "::"].contains(address.host) ? "127.0.0.1" : address.host
    let worker = make(MasterAddress(host: host, port: address.port))
    self.worker.withLockedValue { $0 = Task { _ = try await worker.run() } }
  }

  package var closing: Closing.Part {
    Closing.Part("a worker of this host", withinNs: 10_000_000_000) {
      try await self.worker.withLockedValue { $0 }?.value
    }
  }
}
