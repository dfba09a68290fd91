internal import NIOConcurrencyHelpers
internal import NIOCore
internal import SquallCluster

/// A master and an agent in one process and on one loop: the same messages, no socket between them.
///
/// Each message is handed over in a turn of the loop of its own, so that no machine is called while
/// it handles an event.
final class InProcessLink: AgentHost.Link {
  /// The master's end.
  private struct Answer: MasterHost.Peer {
    let agent: AgentHost

    func send(_ message: Message) {
      agent.eventLoop.execute { agent.assumeIsolated { $0.linkEvent(.received(message)) } }
    }

    func joined(session: UInt64, keyText: [UInt8]) {}

    func close() {
      agent.eventLoop.execute {
        agent.assumeIsolated { $0.linkEvent(.closed("the master has closed the connection")) }
      }
    }
  }

  private let ends = NIOLockedValueBox<(agent: AgentHost, master: MasterHost)?>(nil)
  private let peer = NIOLockedValueBox<UInt64?>(nil)

  /// Says between whom it is, before the first `connect`.
  func join(_ agent: AgentHost, to master: MasterHost) {
    ends.withLockedValue { $0 = (agent, master) }
  }

  func connect(afterNs: UInt64) {
    guard let (agent, master) = ends.withLockedValue({ $0 }) else { return }
    master.eventLoop.execute { [self] in
      let number = master.assumeIsolated { $0.connected(Answer(agent: agent)) }
      peer.withLockedValue { $0 = number }
      agent.assumeIsolated { $0.linkEvent(.connected) }
    }
  }

  func disconnect() {
    withPeer { master, peer in master.closed(peer: peer) }
  }

  func send(_ message: Message) {
    withPeer { master, peer in master.received(message, from: peer) }
  }

  func joined(session: UInt64, keyText: [UInt8]) {}

  private func withPeer(_ body: @escaping @Sendable (isolated MasterHost, UInt64) -> Void) {
    guard let master = ends.withLockedValue({ $0?.master }) else { return }
    master.eventLoop.execute { [self] in
      guard let peer = peer.withLockedValue({ $0 }) else { return }
      master.assumeIsolated { body($0, peer) }
    }
  }
}
