package import SquallCluster
package import SquallLoad
package import SquallReport

/// What the entries of a run's record come to.
package struct RunAccount: Sendable {
  package private(set) var ledger: RunLedger
  package private(set) var agents: [UInt64: AgentName] = [:]
  /// The workers' own accounts of lives that have ended (I3).
  package private(set) var ledgers: [Ledger] = []
  package private(set) var stop: EndReason?
  /// Nil while the run is not over.
  package private(set) var outcome: Outcome?

  package init(endpointCount: Int) { ledger = RunLedger(endpointCount: endpointCount) }

  /// Takes in an entry. Each batch and each ledger must come once.
  package mutating func apply(_ entry: RecordEntry) {
    switch entry {
    case .agent(let name): agents[name.agent] = name
    case .batch(let batch, _): ledger.merge(batch)
    case .ledger(let own): ledgers.append(own)
    case .stop(let reason): stop = reason
    case .end(let outcome): self.outcome = outcome
    case .deal, .start: break
    }
  }

  /// Where the workers were, and which of them these gaps say were lost.
  package func workers(gaps: [Gap]) -> [WorkerPlace: WorkerFacts] {
    var workers: [WorkerPlace: WorkerFacts] = [:]
    for agent in agents.values {
      for (worker, cpu) in agent.cpus.enumerated() {
        workers[WorkerPlace(agent: agent.agent, worker: UInt16(worker))] = WorkerFacts(
          host: agent.host, process: agent.process, cpu: UInt32(cpu))
      }
    }
    for gap in gaps {
      switch gap {
      case .silent(let incarnation, _), .notReplaced(let incarnation):
        workers[WorkerPlace(incarnation)]?.isLost = true
      case .batches, .mismatch: break
      }
    }
    return workers
  }
}

extension Incarnation {
  /// `the worker on CPU 3 of one`.
  func described(on host: String?, cpu: (some BinaryInteger)?) -> String {
    guard let host else { return "worker \(worker) of an unknown host" }
    return "the worker \(cpu.map { "on CPU \($0)" } ?? "\(worker)") of \(host)"
  }
}

extension Gap {
  func described(among workers: [WorkerPlace: WorkerFacts]) -> String {
    let place = WorkerPlace(incarnation)
    let worker = incarnation.described(on: workers.host(of: place), cpu: workers[place]?.cpu)
    return switch self {
    case .silent(_, let afterNs):
      "\(worker) was not heard of again: what it did after \(Figures.duration(afterNs)) is unknown"
    case .batches(_, let of, let arrived): "of \(of) batches of \(worker) \(arrived) arrived"
    case .mismatch(_, let ledger, let merged):
      "\(worker) counted \(ledger.sent) requests, and its batches \(merged.sent)"
    case .notReplaced: "\(worker) was lost and nothing took its place"
    }
  }

  package var incarnation: Incarnation {
    switch self {
    case .silent(let incarnation, _), .batches(let incarnation, _, _),
      .mismatch(let incarnation, _, _), .notReplaced(let incarnation):
      incarnation
    }
  }
}
