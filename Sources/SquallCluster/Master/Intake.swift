import SquallLoad

/// Where a worker's life stands in an intake.
struct LifeIndex: Hashable, Sendable {
  let agent: AgentIndex
  fileprivate let place: Int
}

/// What came of one run's workers: parts, batches, ledgers. Each batch counts once.
struct Intake: Sendable {
  /// One agent's workers.
  struct Source: Sendable {
    fileprivate(set) var lives: [Life] = []
    /// The life that now fills each place.
    fileprivate(set) var current: [LifeIndex?]
    /// By how much the run's time of its clock was ahead of ours at most, as far as reports tell: each is
    /// older by its way. Negative behind; nil before the first.
    private(set) var aheadNs: Int64?
    fileprivate var assemblyByteCount = 0
    fileprivate var acknowledgeAtNs: UInt64 = 0
    /// Lives whose state is to be acknowledged.
    fileprivate var toAcknowledge: [LifeIndex] = []

    mutating func reported(runNs: UInt64, atRunNs ourNs: UInt64) {
      let aheadNs = Int64(clamping: runNs) - Int64(clamping: ourNs)
      self.aheadNs = max(self.aheadNs ?? aheadNs, aheadNs)
    }
  }

  /// One worker process's life.
  struct Life: Sendable {
    let worker: UInt16
    let life: UInt64
    /// Whole batches that were handed to the record, and those of them that are durable.
    var received = DeliveryWindow()
    var merged = DeliveryWindow()
    fileprivate var assemblies: [Assembly] = []
    fileprivate var whole: [Whole] = []
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

    var isReady: Bool { reported?.state == .ready && !isOver }

    /// Ledger and all its batches are durable.
    var isSettled: Bool {
      guard let ledger else { return false }
      return isLedgerDurable && merged.next >= ledger.sums.batchCount
    }

    mutating func restore(_ known: Recovery.KnownLife, forgetsMerged: Bool) {
      if !forgetsMerged {
        received = known.merged
        merged = known.merged
      }
      sums = known.sums
      lastEndNs = known.lastEndNs
      hasPart = known.hasPart
      guard let ledger = known.ledger else { return }
      self.ledger = ledger
      isLedgerDurable = true
      reserved = ledger.sums.sent
      isLost = ledger.ending != .finished
    }
  }

  /// A batch of which some parts are here.
  fileprivate struct Assembly: Sendable {
    let sequence: UInt32
    var parts: [[UInt8]?]
    var missing: Int
    var byteCount = 0
  }

  /// A batch that is complete and waits for the record.
  fileprivate struct Whole: Sendable {
    var sequence: UInt32
    var partCount: Int
  }

  /// Of all merged batches.
  var sums = IncarnationLedger()
  /// Batches that were handed to the record and are not durable.
  private(set) var uncommittedCount = 0
  private var sources: [Source] = []
  private var acknowledgeQueue: [AgentIndex] = []

  subscript(agent: AgentIndex) -> Source {
    _read { yield sources[agent.place] }
    _modify { yield &sources[agent.place] }
  }

  subscript(life: LifeIndex) -> Life {
    _read { yield sources[life.agent.place].lives[life.place] }
    _modify { yield &sources[life.agent.place].lives[life.place] }
  }

  /// Makes room for the agent's workers, or for more of them.
  mutating func admit(_ agent: AgentIndex, placeCount: Int) {
    while sources.count <= agent.place { sources.append(Source(current: [])) }
    while self[agent].current.count < placeCount { self[agent].current.append(nil) }
  }

  // MARK: Lives

  func lives(of agent: AgentIndex) -> [LifeIndex] {
    self[agent].lives.indices.map { LifeIndex(agent: agent, place: $0) }
  }

  func index(_ agent: AgentIndex, worker: UInt16, life: UInt64) -> LifeIndex? {
    if Int(worker) < self[agent].current.count, let index = self[agent].current[Int(worker)],
      self[index].life == life
    {
      return index
    }
    let place = self[agent].lives.firstIndex { $0.worker == worker && $0.life == life }
    return place.map { LifeIndex(agent: agent, place: $0) }
  }

  /// The life of this name, made when it is new; nil when there are too many.
  mutating func known(
    _ agent: AgentIndex, worker: UInt16, life: UInt64, livesMax: Int
  ) -> LifeIndex? {
    if let index = index(agent, worker: worker, life: life) { return index }
    guard Int(worker) < self[agent].current.count, self[agent].lives.count < livesMax else {
      return nil
    }
    self[agent].lives.append(Life(worker: worker, life: life))
    return LifeIndex(agent: agent, place: self[agent].lives.count - 1)
  }

  /// The life fills its place. Returns the one before it there, which is dead whatever it last said.
  mutating func fill(with life: LifeIndex) -> LifeIndex? {
    let worker = Int(self[life].worker)
    let older = self[life.agent].current[worker]
    self[life.agent].current[worker] = life
    guard let older, older != life else { return nil }
    self[older].reported?.state = .dead
    return older
  }

  func isCurrent(_ life: LifeIndex) -> Bool {
    self[life.agent].current[Int(self[life].worker)] == life
  }

  /// All that the agent's workers have to say is durable.
  func hasEverything(of agent: AgentIndex) -> Bool {
    self[agent].lives.allSatisfy { !$0.hasPart || $0.isSettled }
  }

  // MARK: Batches

  /// The batch's bytes when this was the last of its parts, and it is new.
  mutating func take(
    _ part: BatchPart, of life: LifeIndex, settings: MasterMachine.Settings
  ) -> [UInt8]? {
    let isNew = self[life].received.arrival(of: part.sequence) == .fresh
    guard isNew || settings.faults.countsDuplicates,
      let bytes = assemble(part, life, byteCountMax: settings.assemblyByteCountMax),
      uncommittedCount < settings.uncommittedMax
    else { return nil }
    return bytes
  }

  /// The batch is complete and goes to the record.
  mutating func received(_ part: BatchPart, of life: LifeIndex) {
    self[life].received.receive(part.sequence)
    self[life].whole.append(Whole(sequence: part.sequence, partCount: Int(part.partCount)))
    self[life].hasPart = true
    uncommittedCount += 1
  }

  /// The batch is durable, so it counts.
  mutating func merge(_ batch: Batch, of life: LifeIndex) {
    uncommittedCount -= 1
    self[life].merged.receive(batch.name.sequence)
    self[life].whole.removeAll { $0.sequence == batch.name.sequence }
    // Summed up once: hashing its histograms is not cheap.
    var own = IncarnationLedger()
    own.merge(batch)
    self[life].sums.add(own)
    self[life].lastEndNs = max(self[life].lastEndNs, batch.endNs)
    sums.add(own)
  }

  private mutating func assemble(
    _ part: BatchPart, _ life: LifeIndex, byteCountMax: Int
  ) -> [UInt8]? {
    let count = Int(part.partCount)
    let index: Int
    if let known = self[life].assemblies.firstIndex(where: { $0.sequence == part.sequence }) {
      index = known
    } else {
      if count == 1 { return part.bytes }
      self[life].assemblies.append(
        Assembly(
          sequence: part.sequence, parts: Array(repeating: nil, count: count), missing: count))
      index = self[life].assemblies.count - 1
    }
    guard self[life].assemblies[index].parts.count == count,
      self[life].assemblies[index].parts[Int(part.part)] == nil
    else { return nil }
    self[life].assemblies[index].parts[Int(part.part)] = part.bytes
    self[life].assemblies[index].missing -= 1
    self[life].assemblies[index].byteCount += part.bytes.count
    self[life.agent].assemblyByteCount += part.bytes.count
    if self[life].assemblies[index].missing == 0 {
      let assembly = self[life].assemblies.remove(at: index)
      self[life.agent].assemblyByteCount -= assembly.byteCount
      return assembly.parts.flatMap { $0 ?? [] }
    }
    if self[life.agent].assemblyByteCount > byteCountMax { dropOldest(of: life.agent) }
    return nil
  }

  /// Room for one agent's unfinished batches is bounded; what is dropped is sent again.
  private mutating func dropOldest(of agent: AgentIndex) {
    for life in lives(of: agent) where !self[life].assemblies.isEmpty {
      self[agent].assemblyByteCount -= self[life].assemblies.removeFirst().byteCount
      return
    }
  }

  // MARK: Acknowledgements

  mutating func acknowledge(_ life: LifeIndex, atNs: UInt64) {
    if self[life.agent].toAcknowledge.isEmpty {
      self[life.agent].acknowledgeAtNs = atNs
      acknowledgeQueue.append(life.agent)
    }
    if !self[life.agent].toAcknowledge.contains(life) {
      self[life.agent].toAcknowledge.append(life)
    }
  }

  /// The next agent to whom acknowledgements are due, and when. The delay is one for all, so the queue
  /// is in order of time.
  var nextDue: (agent: AgentIndex, atNs: UInt64)? {
    acknowledgeQueue.first.map { ($0, self[$0].acknowledgeAtNs) }
  }

  /// What is due to the first in the queue, in messages that fit a datagram each.
  mutating func takeDue(faults: Faults) -> [Acknowledgement] {
    let agent = acknowledgeQueue.removeFirst()
    let due = self[agent].toAcknowledge
    self[agent].toAcknowledge.removeAll(keepingCapacity: true)
    var messages: [Acknowledgement] = []
    var entries: [Acknowledgement.Entry] = []
    var byteCount = 0
    for life in due {
      let entry = self[life].acknowledged(faults: faults)
      if byteCount + entry.byteCountMax > Acknowledgement.byteCountMax, !entries.isEmpty {
        messages.append(Acknowledgement(entries: entries))
        entries = []
        byteCount = 0
      }
      entries.append(entry)
      byteCount += entry.byteCountMax
    }
    return messages + [Acknowledgement(entries: entries)]
  }
}

extension Intake.Life {
  fileprivate func acknowledged(faults: Faults) -> Acknowledgement.Entry {
    let durable = faults.acknowledgesEarly ? received : merged
    var entry = Acknowledgement.Entry(
      worker: worker, life: life, below: durable.next, beyond: durable.beyond,
      hasLedger: faults.acknowledgesEarly ? ledger != nil : isLedgerDurable)
    // Beyond a few, the agent learns of the rest when these are done.
    let room = Acknowledgement.byteCountMax
    for whole in whole where entry.byteCountMax + 6 + whole.partCount / 8 + 8 <= room {
      entry.partials.append(
        .init(
          sequence: whole.sequence,
          bits: Array(repeating: .max, count: (whole.partCount + 63) / 64)))
    }
    for assembly in assemblies
    where entry.byteCountMax + 6 + assembly.parts.count / 8 + 8 <= room {
      entry.partials.append(.init(sequence: assembly.sequence, bits: assembly.bits))
    }
    return entry
  }
}

extension Intake.Assembly {
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
