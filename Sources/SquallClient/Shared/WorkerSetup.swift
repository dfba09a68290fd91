package import SquallEngine
package import SquallLoad

/// What a worker must know before it starts: the plan, and what its agent found out for it.
package struct WorkerSetup {
  package var plan: Plan
  /// The destinations of each of the plan's origins, looked up on this host. Connections use them in turn.
  package var peers: [[Address]]
  package var sources: [Address]
  /// The CPU to run on; nil leaves it to the scheduler.
  package var cpu: UInt16?
  /// Connections this worker may ever be dealt.
  package var connectionCountMax: UInt32
  /// The agent, whose end ends the worker.
  package var parent: Int32
  package var backend: Backend
  /// How long it took to connect the socket that the worker inherits, which is its first connection;
  /// nil when it inherits none.
  package var firstConnectNs: UInt64?

  package init(
    plan: Plan, peers: [[Address]], sources: [Address], cpu: UInt16?, connectionCountMax: UInt32,
    parent: Int32, backend: Backend
  ) {
    self.plan = plan
    self.peers = peers
    self.sources = sources
    self.cpu = cpu
    self.connectionCountMax = connectionCountMax
    self.parent = parent
    self.backend = backend
  }

  package var bytes: [UInt8] {
    var writer = PlainWriter()
    writer.write(plan.bytes)
    writer.write(UInt32(peers.count))
    for addresses in peers + [sources] {
      writer.write(UInt32(addresses.count))
      for address in addresses { writer.write(address.bytes) }
    }
    writer.write(Int32(cpu.map(Int32.init) ?? -1))
    writer.write(connectionCountMax)
    writer.write(parent)
    writer.write(Array(backend.rawValue.utf8))
    writer.write(firstConnectNs ?? .max)
    return writer.bytes
  }

  package init?(bytes: [UInt8]) {
    var reader = PlainReader(bytes)
    guard let planBytes = reader.byteList(), let plan = Plan(bytes: planBytes),
      let peers = reader.list({ $0.list({ $0.byteList().flatMap(Address.init(bytes:)) }) }),
      let sources = reader.list({ $0.byteList().flatMap(Address.init(bytes:)) }),
      let cpu = reader.uint32(), let connectionCountMax = reader.uint32(),
      let parent = reader.uint32(), let word = reader.byteList(),
      let backend = Backend(rawValue: String(decoding: word, as: UTF8.self)),
      let firstConnectNs = reader.uint64()
    else { return nil }
    self.init(
      plan: plan, peers: peers, sources: sources, cpu: UInt16(exactly: Int32(bitPattern: cpu)),
      connectionCountMax: connectionCountMax, parent: Int32(bitPattern: parent),
      backend: backend)
    self.firstConnectNs = firstConnectNs == .max ? nil : firstConnectNs
  }
}
