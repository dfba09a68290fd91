import SquallLoad

/// Where an agent stands in its fleet, and its counts in each run's intake.
struct AgentIndex: Hashable, Sendable {
  let place: Int
}

/// Who is there: connections, and the hosts behind them. It outlives every run.
struct Fleet: Sendable {
  /// A connection.
  struct Peer: Sendable {
    enum State: Equatable {
      case stranger
      /// A challenge is out.
      case challenged
      case joined(AgentIndex)
    }

    var state = State.stranger
    var sinceNs: UInt64
    var hello: Hello?
    var nonce: [UInt8] = []
    var welcome: Welcome?
  }

  /// A host, known from its first hello on.
  struct Agent: Sendable {
    enum Presence: Equatable {
      case present
      case missing
      /// Missing so long that no run's end waits for it.
      case gone
      /// Said goodbye.
      case left
    }

    var name: AgentName
    var presence = Presence.missing
    var wasPresent = false
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

    /// Nobody waits for it any more.
    var isAway: Bool { presence == .gone || presence == .left }
  }

  var peers: [UInt64: Peer] = [:]
  /// Unauthenticated peers, oldest first.
  var strangers: [UInt64] = []
  /// Agents to whom an order is due.
  var orderQueue: [AgentIndex] = []
  /// No run follows: whoever has nothing more to do leaves.
  var isClosing = false
  private var agents: [Agent] = []
  private var indexByName: [UInt64: AgentIndex] = [:]

  var all: [AgentIndex] { agents.indices.map(AgentIndex.init) }
  var count: Int { agents.count }

  subscript(agent: AgentIndex) -> Agent {
    _read { yield agents[agent.place] }
    _modify { yield &agents[agent.place] }
  }

  func index(of name: UInt64) -> AgentIndex? { indexByName[name] }

  mutating func add(_ name: AgentName, heardNs: UInt64) -> AgentIndex {
    let index = AgentIndex(place: agents.count)
    indexByName[name.agent] = index
    agents.append(Agent(name: name, heardNs: heardNs))
    return index
  }

  /// Between runs: agents that nobody waits for any more make room. Those that stay get new places.
  mutating func forgetWhoIsAway() {
    agents.removeAll { $0.isAway && $0.peer == nil }
    orderQueue = []
    indexByName = [:]
    for place in agents.indices {
      let agent = AgentIndex(place: place)
      agents[place].isOrderDue = false
      indexByName[agents[place].name.agent] = agent
      if let peer = agents[place].peer { peers[peer]?.state = .joined(agent) }
    }
  }

  mutating func forget(_ peer: UInt64) {
    peers[peer] = nil
    trust(peer)
  }

  /// It is no stranger any more.
  mutating func trust(_ peer: UInt64) {
    if let index = strangers.firstIndex(of: peer) { strangers.remove(at: index) }
  }

  /// The orders of an earlier connection are nothing to this one.
  mutating func attach(_ agent: AgentIndex, to peer: UInt64) {
    self[agent].peer = peer
    if self[agent].presence == .left { self[agent].presence = .missing }
    self[agent].report = nil
    self[agent].orderNumber = 0
    self[agent].unconfirmedOrder = 0
    self[agent].resendAtNs = .max
  }

  mutating func dueOrder(_ agent: AgentIndex) {
    guard !self[agent].isOrderDue else { return }
    self[agent].isOrderDue = true
    orderQueue.append(agent)
  }

  /// The agent is to hear something new, again and again until it says it has.
  mutating func changeOrder(_ agent: AgentIndex) {
    dueOrder(agent)
    self[agent].unconfirmedOrder = self[agent].orderNumber + 1
    self[agent].resendAttempt = 0
  }

  mutating func changeOrders() {
    for agent in all { changeOrder(agent) }
  }
}
