import SquallLoad

extension MasterMachine {
  /// A connection.
  struct Peer: Sendable {
    enum State: Equatable {
      case stranger
      /// A challenge is out.
      case challenged
      case joined(agent: Int)
    }

    var state = State.stranger
    var sinceNs: UInt64
    var hello: Hello?
    var nonce: [UInt8] = []
    var welcome: Welcome?
  }

  /// A host and its workers, known from its first hello to the run's end.
  struct Agent: Sendable {
    enum Presence: Equatable {
      case present
      case missing
      /// Missing so long that the run's end does not wait for it.
      case gone
      /// Said goodbye.
      case left
    }

    var name: AgentName
    var presence = Presence.missing
    var peer: UInt64?
    /// When it was last heard, and whether it then closed the connection.
    var heardNs: UInt64
    var wasClosed = false
    var report: Report?
    var reportReceivedNs: UInt64 = 0
    /// When the last lease it was given has ended for certain.
    var leaseEndNs: UInt64 = 0
    var orderNumber: UInt32 = 0
    var isOrderDue = false
    /// The order that first said the newest change; 0 when the agent has confirmed it.
    var unconfirmedOrder: UInt32 = 0
    var resendAtNs: UInt64 = .max
    var resendAttempt = 0
    var lastOrderNs: UInt64 = 0
    var lives: [Life] = []
    /// The life that now fills each place, as an index in `lives`.
    var current: [Int?]
    var assemblyByteCount = 0
    var acknowledgeAtNs: UInt64 = 0
    /// Indexes in `lives` whose state is to be acknowledged.
    var toAcknowledge: [Int] = []

    init(name: AgentName, heardNs: UInt64) {
      self.name = name
      self.heardNs = heardNs
      current = Array(repeating: nil, count: name.cpus.count)
    }
  }

  /// One worker process's life.
  struct Life: Sendable {
    let worker: UInt16
    let life: UInt64
    /// Whole batches that were handed to the record, and those of them that are durable.
    var received = DeliveryWindow()
    var merged = DeliveryWindow()
    var assemblies: [Assembly] = []
    var whole: [Whole] = []
    var sums = IncarnationLedger()
    var lastEndNs: UInt64 = 0
    var ledger: Ledger?
    var isLedgerDurable = false
    /// It has held a share or sent a batch, so there is something to account for.
    var hasPart = false
    /// It died while the load was on.
    var isLost = false
    var reported: Report.Worker?
    /// Requests it may have sent in its life, at most. Exact while it holds no quota.
    var reserved: UInt64 = 0

    init(worker: UInt16, life: UInt64) {
      self.worker = worker
      self.life = life
    }

    var isOver: Bool {
      ledger != nil || reported?.state == .dead || reported?.state == .finished
    }

    /// Ledger and all its batches are durable.
    var isSettled: Bool {
      guard let ledger else { return false }
      return isLedgerDurable && merged.next >= ledger.sums.batchCount
    }
  }

  /// A batch of which some parts are here.
  struct Assembly: Sendable {
    let sequence: UInt32
    var parts: [[UInt8]?]
    var missing: Int
    var byteCount = 0
  }

  func incarnation(_ agent: Int, _ life: Int) -> Incarnation {
    Incarnation(
      agent: agents[agent].name.agent, worker: agents[agent].lives[life].worker,
      life: agents[agent].lives[life].life)
  }

  func lifeIndex(_ agent: Int, worker: UInt16, life: UInt64) -> Int? {
    if Int(worker) < agents[agent].current.count, let index = agents[agent].current[Int(worker)],
      agents[agent].lives[index].life == life
    {
      return index
    }
    return agents[agent].lives.firstIndex { $0.worker == worker && $0.life == life }
  }

  /// The life of this name, made when it is new; nil when there are too many.
  mutating func knownLife(_ agent: Int, worker: UInt16, life: UInt64) -> Int? {
    if let index = lifeIndex(agent, worker: worker, life: life) { return index }
    guard Int(worker) < agents[agent].name.cpus.count,
      agents[agent].lives.count < settings.livesMax
    else { return nil }
    agents[agent].lives.append(Life(worker: worker, life: life))
    return agents[agent].lives.count - 1
  }

  func life(of incarnation: Incarnation) -> (agent: Int, life: Int)? {
    guard let agent = agentIndex[incarnation.agent],
      let life = lifeIndex(agent, worker: incarnation.worker, life: incarnation.life)
    else { return nil }
    return (agent, life)
  }
}
