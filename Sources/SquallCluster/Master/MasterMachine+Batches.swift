import SquallLoad

/// Counts: parts become batches, batches are written down, and only then merged and acknowledged.
extension MasterMachine {
  /// Something that waits for the record.
  struct Uncommitted: Sendable {
    enum What {
      /// Nothing depends on it.
      case note
      case deal(Deal)
      case start(startNs: UInt64)
      case batch(agent: Int, life: Int, Batch)
      case ledger(agent: Int, life: Int)
      case end(Outcome)
    }

    var token: UInt64
    var what: What
  }

  mutating func record(_ entry: RecordEntry, _ what: Uncommitted.What) {
    token += 1
    uncommitted.append(Uncommitted(token: token, what: what))
    effects.append(.record(entry, token: token))
  }

  mutating func committed(upTo token: UInt64, nowNs: UInt64) {
    var count = 0
    while count < uncommitted.count, uncommitted[count].token <= token { count += 1 }
    let done = Array(uncommitted.prefix(count))
    uncommitted.removeFirst(count)
    for entry in done {
      switch entry.what {
      case .note: break
      case .deal(let deal): dealt(deal, nowNs: nowNs)
      case .start(let startNs): startRecorded(startNs, nowNs: nowNs)
      case .batch(let agent, let life, let batch): merge(batch, agent, life, nowNs: nowNs)
      case .ledger(let agent, let life):
        agents[agent].lives[life].isLedgerDurable = true
        lastProgressNs = nowNs
        isDirty = true
        acknowledge(agent, life, nowNs: nowNs)
      case .end(let outcome): ended(outcome, nowNs: nowNs)
      }
    }
  }

  private mutating func merge(_ batch: Batch, _ agent: Int, _ life: Int, nowNs: UInt64) {
    uncommittedBatchCount -= 1
    lastProgressNs = nowNs
    if stage == .collecting { isDirty = true }
    agents[agent].lives[life].merged.receive(batch.name.sequence)
    agents[agent].lives[life].whole.removeAll { $0.sequence == batch.name.sequence }
    // Summed up once: hashing its histograms is not cheap.
    var own = IncarnationLedger()
    own.merge(batch)
    agents[agent].lives[life].sums.add(own)
    agents[agent].lives[life].lastEndNs = max(agents[agent].lives[life].lastEndNs, batch.endNs)
    sums.add(own)
    effects.append(.merged(batch))
    acknowledge(agent, life, nowNs: nowNs)
  }

  mutating func arrived(_ part: BatchPart, from agent: Int, nowNs: UInt64) {
    agents[agent].heardNs = max(agents[agent].heardNs, nowNs)
    guard let life = knownLife(agent, worker: part.worker, life: part.life) else {
      return refuse(.value, from: agent)
    }
    let arrival = agents[agent].lives[life].received.arrival(of: part.sequence)
    if arrival == .beyond { return }
    acknowledge(agent, life, nowNs: nowNs)
    if arrival == .duplicate, !settings.faults.countsDuplicates { return }
    guard let bytes = assemble(part, agent, life) else { return }
    guard outcome == nil, uncommittedBatchCount < settings.uncommittedMax else { return }
    let name = BatchName(incarnation: incarnation(agent, life), sequence: part.sequence)
    do throws(Malformed) {
      let batch = try Batch(encoded: bytes, name: name)
      try check(batch)
      agents[agent].lives[life].received.receive(part.sequence)
      agents[agent].lives[life].whole.append(
        Whole(sequence: part.sequence, partCount: Int(part.partCount)))
      agents[agent].lives[life].hasPart = true
      uncommittedBatchCount += 1
      record(.batch(batch, encoded: bytes), .batch(agent: agent, life: life, batch))
    } catch {
      refuse(error, from: agent)
    }
  }

  /// What the codec cannot know: the plan's endpoints, and that sums stay sums.
  private func check(_ batch: Batch) throws(Malformed) {
    guard batch.isPlausible(endpointCount: settings.plan.endpoints.count),
      sums.largest < 1 << 62
    else { throw .value }
  }

  private mutating func refuse(_ malformed: Malformed, from agent: Int) {
    log(.malformed(agents[agent].name, malformed))
    if let peer = agents[agent].peer { drop(peer) }
  }

  /// The batch's bytes, when this was the last part.
  private mutating func assemble(_ part: BatchPart, _ agent: Int, _ life: Int) -> [UInt8]? {
    let count = Int(part.partCount)
    let index: Int
    if let known = agents[agent].lives[life].assemblies.firstIndex(where: {
      $0.sequence == part.sequence
    }) {
      index = known
    } else {
      if count == 1 { return part.bytes }
      agents[agent].lives[life].assemblies.append(
        Assembly(
          sequence: part.sequence, parts: Array(repeating: nil, count: count), missing: count))
      index = agents[agent].lives[life].assemblies.count - 1
    }
    guard agents[agent].lives[life].assemblies[index].parts.count == count,
      agents[agent].lives[life].assemblies[index].parts[Int(part.part)] == nil
    else { return nil }
    agents[agent].lives[life].assemblies[index].parts[Int(part.part)] = part.bytes
    agents[agent].lives[life].assemblies[index].missing -= 1
    agents[agent].lives[life].assemblies[index].byteCount += part.bytes.count
    agents[agent].assemblyByteCount += part.bytes.count
    if agents[agent].lives[life].assemblies[index].missing == 0 {
      let assembly = agents[agent].lives[life].assemblies.remove(at: index)
      agents[agent].assemblyByteCount -= assembly.byteCount
      return assembly.parts.flatMap { $0 ?? [] }
    }
    if agents[agent].assemblyByteCount > settings.assemblyByteCountMax { dropOldest(agent) }
    return nil
  }

  /// Room for one agent's unfinished batches is bounded; what is dropped is sent again.
  private mutating func dropOldest(_ agent: Int) {
    for life in agents[agent].lives.indices where !agents[agent].lives[life].assemblies.isEmpty {
      let assembly = agents[agent].lives[life].assemblies.removeFirst()
      agents[agent].assemblyByteCount -= assembly.byteCount
      return
    }
  }

  mutating func arrived(_ ledger: Ledger, from agent: Int, nowNs: UInt64) {
    agents[agent].heardNs = max(agents[agent].heardNs, nowNs)
    guard ledger.incarnation.agent == agents[agent].name.agent,
      let life = knownLife(
        agent, worker: ledger.incarnation.worker, life: ledger.incarnation.life)
    else { return refuse(.value, from: agent) }
    acknowledge(agent, life, nowNs: nowNs)
    guard agents[agent].lives[life].ledger == nil else { return }
    guard outcome == nil else {
      // The account is closed. One that says nothing may go, once the closing is durable; what it
      // would add is the agent's to keep.
      agents[agent].lives[life].isLedgerDurable =
        stage == .ended && ledger.sums == IncarnationLedger()
      return
    }
    if ledger.sums.sent > 0 { agents[agent].lives[life].hasPart = true }
    agents[agent].lives[life].ledger = ledger
    agents[agent].lives[life].reserved = ledger.sums.sent
    if ledger.ending != .finished {
      agents[agent].lives[life].isLost = stage != .collecting
      log(.workerDied(ledger.incarnation, ledger.ending))
    }
    releaseHolding(ledger.incarnation)
    isDirty = true
    record(.ledger(ledger), .ledger(agent: agent, life: life))
  }

  // MARK: Acknowledgements

  mutating func acknowledge(_ agent: Int, _ life: Int, nowNs: UInt64) {
    if agents[agent].toAcknowledge.isEmpty {
      agents[agent].acknowledgeAtNs = nowNs + settings.acknowledgeDelayNs
      acknowledgeQueue.append(agent)
    }
    if !agents[agent].toAcknowledge.contains(life) { agents[agent].toAcknowledge.append(life) }
  }

  mutating func sendAcknowledgements(nowNs: UInt64) {
    // The delay is one for all, so the queue is in order of time.
    while let agent = acknowledgeQueue.first {
      guard nowNs >= agents[agent].acknowledgeAtNs else {
        return wake(atNs: agents[agent].acknowledgeAtNs)
      }
      acknowledgeQueue.removeFirst()
      let due = agents[agent].toAcknowledge
      agents[agent].toAcknowledge.removeAll(keepingCapacity: true)
      guard let peer = agents[agent].peer else { continue }
      var entries: [Acknowledgement.Entry] = []
      var byteCount = 0
      for life in due {
        let entry = entry(agents[agent].lives[life])
        if byteCount + entry.byteCountMax > Acknowledgement.byteCountMax, !entries.isEmpty {
          send(.acknowledgement(Acknowledgement(entries: entries)), to: peer)
          entries = []
          byteCount = 0
        }
        entries.append(entry)
        byteCount += entry.byteCountMax
      }
      send(.acknowledgement(Acknowledgement(entries: entries)), to: peer)
    }
  }

  private func entry(_ life: Life) -> Acknowledgement.Entry {
    let durable = settings.faults.acknowledgesEarly ? life.received : life.merged
    var entry = Acknowledgement.Entry(
      worker: life.worker, life: life.life, below: durable.next, beyond: durable.beyond,
      hasLedger: settings.faults.acknowledgesEarly ? life.ledger != nil : life.isLedgerDurable)
    // Beyond a few, the agent learns of the rest when these are done.
    let room = Acknowledgement.byteCountMax
    for whole in life.whole where entry.byteCountMax + 6 + whole.partCount / 8 + 8 <= room {
      entry.partials.append(
        .init(
          sequence: whole.sequence,
          bits: Array(repeating: .max, count: (whole.partCount + 63) / 64)))
    }
    for assembly in life.assemblies
    where entry.byteCountMax + 6 + assembly.parts.count / 8 + 8 <= room {
      entry.partials.append(.init(sequence: assembly.sequence, bits: assembly.bits))
    }
    return entry
  }
}

extension MasterMachine {
  /// A batch that is complete and waits for the record.
  struct Whole: Sendable {
    var sequence: UInt32
    var partCount: Int
  }
}

extension MasterMachine.Assembly {
  /// Bit i of word w: part 64w + i is here.
  fileprivate var bits: [UInt64] {
    var bits = Array(repeating: UInt64(0), count: (parts.count + 63) / 64)
    for part in parts.indices where parts[part] != nil {
      bits[part / 64] |= 1 << UInt64(part % 64)
    }
    return bits
  }
}

extension Acknowledgement.Entry {
  /// An upper bound of its size on the wire.
  fileprivate var byteCountMax: Int {
    partials.reduce(3 + 8 + 5 + 10 + 1 + 1) { $0 + 5 + 1 + 8 * $1.bits.count }
  }
}
