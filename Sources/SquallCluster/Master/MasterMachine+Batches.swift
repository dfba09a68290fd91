import SquallLoad

/// What waits for the record, in the order it was handed over.
struct Journal: Sendable {
  enum What {
    /// Nothing depends on it.
    case note
    case deal(Deal)
    case start(startNs: UInt64)
    case batch(LifeIndex, Batch)
    case ledger(LifeIndex)
    case end(Outcome)
  }

  private var token: UInt64 = 0
  private var waiting: [(token: UInt64, what: What)] = []

  mutating func add(_ what: What) -> UInt64 {
    token += 1
    waiting.append((token, what))
    return token
  }

  mutating func take(upTo token: UInt64) -> [What] {
    let done = waiting.prefix { $0.token <= token }
    waiting.removeFirst(done.count)
    return done.map(\.what)
  }
}

/// Counts: parts become batches, batches are written down, and only then merged and acknowledged.
extension MasterMachine {
  mutating func record(_ entry: RecordEntry, _ what: Journal.What) {
    effects.append(.record(entry, token: journal.add(what)))
  }

  mutating func committed(upTo token: UInt64, nowNs: UInt64) {
    for what in journal.take(upTo: token) {
      switch what {
      case .note: break
      case .deal(let deal): dealt(deal, nowNs: nowNs)
      case .start(let startNs): startRecorded(startNs, nowNs: nowNs)
      case .batch(let life, let batch):
        intake.merge(batch, of: life)
        run.progressNs = nowNs
        if run.stage == .collecting { isDirty = true }
        effects.append(.merged(batch))
        acknowledge(life, nowNs: nowNs)
      case .ledger(let life):
        intake[life].isLedgerDurable = true
        run.progressNs = nowNs
        isDirty = true
        acknowledge(life, nowNs: nowNs)
      case .end(let outcome): ended(outcome, nowNs: nowNs)
      }
    }
  }

  mutating func arrived(_ part: BatchPart, from agent: AgentIndex, nowNs: UInt64) {
    fleet[agent].heardNs = max(fleet[agent].heardNs, nowNs)
    // Of a run that has ended, which has no place in this one.
    guard part.run == run.name || settings.faults.mixesRuns, run.stage != .idle else { return }
    guard let life = known(agent, worker: part.worker, life: part.life) else {
      return refuse(.value, from: agent)
    }
    if intake[life].received.arrival(of: part.sequence) == .beyond { return }
    acknowledge(life, nowNs: nowNs)
    guard let bytes = intake.take(part, of: life, settings: settings), run.outcome == nil else {
      return
    }
    let name = BatchName(incarnation: incarnation(life), sequence: part.sequence)
    do throws(Malformed) {
      let batch = try Batch(encoded: bytes, name: name)
      try check(batch)
      intake.received(part, of: life)
      record(.batch(batch, encoded: bytes), .batch(life, batch))
    } catch {
      refuse(error, from: agent)
    }
  }

  /// What the codec cannot know: the plan's endpoints, and that sums stay sums.
  private func check(_ batch: Batch) throws(Malformed) {
    guard batch.isPlausible(endpointCount: run.plan.content.endpoints.count),
      intake.sums.largest < 1 << 62
    else { throw .value }
  }

  private mutating func refuse(_ malformed: Malformed, from agent: AgentIndex) {
    log(.malformed(fleet[agent].name, malformed))
    if let peer = fleet[agent].peer { drop(peer) }
  }

  mutating func arrived(_ ledger: Ledger, of run: UInt64, from agent: AgentIndex, nowNs: UInt64) {
    fleet[agent].heardNs = max(fleet[agent].heardNs, nowNs)
    guard run == self.run.name || settings.faults.mixesRuns, self.run.stage != .idle else { return }
    guard ledger.incarnation.agent == fleet[agent].name.agent,
      let life = known(agent, worker: ledger.incarnation.worker, life: ledger.incarnation.life)
    else { return refuse(.value, from: agent) }
    acknowledge(life, nowNs: nowNs)
    guard intake[life].ledger == nil else { return }
    guard self.run.outcome == nil else {
      // The account is closed. A ledger that says nothing is let go once the closing is durable; what
      // another would add is the agent's to keep.
      intake[life].isLedgerDurable = self.run.hasEnded && ledger.sums == IncarnationLedger()
      return
    }
    if ledger.sums.sent > 0 { intake[life].hasPart = true }
    intake[life].ledger = ledger
    intake[life].reserved = ledger.sums.sent
    if ledger.ending != .finished {
      intake[life].isLost = stage != .collecting
      log(.workerDied(ledger.incarnation, ledger.ending))
    }
    release(life)
    isDirty = true
    record(.ledger(ledger), .ledger(life))
  }

  private mutating func acknowledge(_ life: LifeIndex, nowNs: UInt64) {
    intake.acknowledge(life, atNs: nowNs + settings.acknowledgeDelayNs)
  }

  mutating func sendAcknowledgements(nowNs: UInt64) {
    while let (agent, atNs) = intake.nextDue {
      guard nowNs >= atNs else { return wake(atNs: atNs) }
      let due = intake.takeDue(faults: settings.faults)
      guard let peer = fleet[agent].peer else { continue }
      for acknowledgement in due { send(.acknowledgement(acknowledgement), to: peer) }
    }
  }
}
