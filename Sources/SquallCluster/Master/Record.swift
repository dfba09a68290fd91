package import SquallLoad

/// What the master writes down, in this order, before it acts on it. Rebuilt by `Recovery`.
package enum RecordEntry: Equatable, Sendable {
  /// An agent's first hello, or a later one with other words. For people.
  case agent(AgentName)
  /// What may be held from now on.
  case deal(Deal)
  /// The run's start instant on the master's clock.
  case start(startNs: UInt64)
  /// With its bytes as they came, which are what is kept.
  case batch(Batch, encoded: [UInt8])
  case ledger(Ledger)
  /// The load is to end before its time.
  case stop(EndReason)
  case end(Outcome)

  package static func batch(_ batch: Batch) -> RecordEntry {
    .batch(batch, encoded: batch.encoded())
  }
}

package struct AgentName: Equatable, Sendable {
  package var agent: UInt64
  package var host: String
  /// Its process id; 0 when it did not say.
  package var process: UInt32
  package var build: String
  package var cpus: [UInt16]

  package init(
    agent: UInt64, host: String, process: UInt32 = 0, build: String, cpus: [UInt16]
  ) {
    self.agent = agent
    self.host = host
    self.process = process
    self.build = build
    self.cpus = cpus
  }
}

package enum EndReason: UInt8, Equatable, Sendable {
  /// The plan's time is over.
  case duration = 0
  /// The plan's requests are sent.
  case requestCount
  /// Somebody asked for it.
  case stopped
  /// Fewer workers came than were asked for.
  case tooFewWorkers
}

/// How a run ended, and what of it is not known.
package struct Outcome: Equatable, Sendable {
  package var reason: EndReason
  /// Of all batches that count.
  package var sums: IncarnationLedger
  package var gaps: [Gap]

  package init(reason: EndReason, sums: IncarnationLedger = .init(), gaps: [Gap] = []) {
    self.reason = reason
    self.sums = sums
    self.gaps = gaps
  }

  /// Every count is known and every worker was there to the end, or replaced.
  package var isComplete: Bool { gaps.isEmpty }
}

/// Something known to be missing from a run's counts, or a share of it that nobody had.
package enum Gap: Equatable, Sendable {
  /// The worker was not heard of again: what it did after `afterNs` of run time is unknown.
  case silent(Incarnation, afterNs: UInt64)
  /// Of the batches its ledger counts, only this many came.
  case batches(Incarnation, of: UInt32, arrived: UInt32)
  /// Ledger and sum of batches differ.
  case mismatch(Incarnation, ledger: IncarnationLedger, merged: IncarnationLedger)
  /// It died and its place stayed empty.
  case notReplaced(Incarnation)
}

/// What a master knows after reading its record: apply every entry in the order it was written.
package struct Recovery: Sendable {
  package struct KnownLife: Sendable {
    package var incarnation: Incarnation
    package var merged = DeliveryWindow()
    package var sums = IncarnationLedger()
    package var ledger: Ledger?
    package var lastEndNs: UInt64 = 0
    /// It has held a share or sent a batch.
    package var hasPart = false
  }

  package private(set) var agents: [AgentName] = []
  package private(set) var deal: Deal?
  /// What was changed of the load, in the order of time.
  package var changes: [LoadChange] { deal?.changes ?? [] }
  package private(set) var startNs: UInt64?
  package private(set) var stop: EndReason?
  package private(set) var outcome: Outcome?
  package private(set) var lives: [KnownLife] = []
  private var lifeIndex: [Incarnation: Int] = [:]

  package init() {}

  package mutating func apply(_ entry: RecordEntry) {
    switch entry {
    case .agent(let name):
      if let index = agents.firstIndex(where: { $0.agent == name.agent }) {
        agents[index] = name
      } else {
        agents.append(name)
      }
    case .deal(let deal):
      self.deal = deal
      for holding in deal.holdings {
        let index = index(of: holding.incarnation)
        if !holding.share.isIdle { lives[index].hasPart = true }
      }
    case .start(let startNs): self.startNs = startNs
    case .batch(let batch, _):
      let index = index(of: batch.name.incarnation)
      guard lives[index].merged.receive(batch.name.sequence) == .fresh else { return }
      lives[index].hasPart = true
      lives[index].sums.merge(batch)
      lives[index].lastEndNs = max(lives[index].lastEndNs, batch.endNs)
    case .ledger(let ledger): lives[index(of: ledger.incarnation)].ledger = ledger
    case .stop(let reason): stop = reason
    case .end(let outcome): self.outcome = outcome
    }
  }

  private mutating func index(of incarnation: Incarnation) -> Int {
    if let index = lifeIndex[incarnation] { return index }
    lifeIndex[incarnation] = lives.count
    lives.append(KnownLife(incarnation: incarnation))
    return lives.count - 1
  }
}
