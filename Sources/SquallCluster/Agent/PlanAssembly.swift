import SquallLoad

/// The plan as it arrives: asked for piece by piece, complete when its hash is right.
struct PlanAssembly: Sendable {
  /// Pieces asked for at a time.
  static let requestsMax = 8

  private(set) var hash: [UInt8] = []
  private(set) var isComplete = false
  private var byteCount = 0
  private var chunks: [[UInt8]?] = []
  private var missingCount = 0
  private var askedAtNs: [UInt32: UInt64] = [:]

  /// What the master says the plan is. A plan we have already stays.
  mutating func expect(hash: [UInt8], byteCount: Int) {
    guard !isComplete, hash != self.hash || byteCount != self.byteCount || chunks.isEmpty else {
      return
    }
    self.hash = hash
    self.byteCount = byteCount
    let count = (byteCount + PlanChunk.byteCount - 1) / PlanChunk.byteCount
    chunks = Array(repeating: nil, count: count)
    missingCount = count
    askedAtNs = [:]
  }

  mutating func forgetRequests() { askedAtNs = [:] }

  /// The pieces to ask for now, and when to look again.
  mutating func requests(nowNs: UInt64, resendNs: UInt64) -> (chunks: [UInt32], wakeNs: UInt64) {
    guard !isComplete, missingCount > 0 else { return ([], .max) }
    var due: [UInt32] = []
    var wakeNs = UInt64.max
    var waiting = 0
    for index in chunks.indices where chunks[index] == nil {
      guard waiting < Self.requestsMax else { break }
      waiting += 1
      let chunk = UInt32(index)
      if let askedNs = askedAtNs[chunk], nowNs < askedNs + resendNs {
        wakeNs = min(wakeNs, askedNs + resendNs)
        continue
      }
      askedAtNs[chunk] = nowNs
      due.append(chunk)
      wakeNs = min(wakeNs, nowNs + resendNs)
    }
    return (due, wakeNs)
  }

  /// The whole plan's bytes, once, when this was the last piece.
  mutating func arrived(_ chunk: PlanChunk) -> [UInt8]? {
    let index = Int(chunk.chunk)
    guard !isComplete, index < chunks.count, chunks[index] == nil else { return nil }
    let expected = min(PlanChunk.byteCount, byteCount - index * PlanChunk.byteCount)
    guard chunk.bytes.count == expected else { return nil }
    chunks[index] = chunk.bytes
    missingCount -= 1
    askedAtNs[chunk.chunk] = nil
    guard missingCount == 0 else { return nil }
    return chunks.flatMap { $0 ?? [] }
  }

  mutating func completed() {
    isComplete = true
    chunks = []
  }

  /// The hash was wrong: begin again.
  mutating func damaged() {
    let (hash, byteCount) = (hash, byteCount)
    chunks = []
    expect(hash: hash, byteCount: byteCount)
  }
}

extension AgentMachine {
  mutating func requestPlan(nowNs: UInt64) {
    let due = part.plan.requests(nowNs: nowNs, resendNs: settings.resendFirstNs)
    for chunk in due.chunks { send(.planRequest(PlanRequest(run: part.run, chunk: chunk))) }
    wake(atNs: due.wakeNs)
  }

  mutating func planChunk(_ chunk: PlanChunk, nowNs: UInt64) {
    session.heardNs = nowNs
    guard chunk.run == part.run, let bytes = part.plan.arrived(chunk) else { return }
    guard Authentication.areEqual(settings.digests.hash(bytes), part.plan.hash),
      let decoded = Plan(bytes: bytes)
    else {
      log(.planDamaged)
      part.plan.damaged()
      return
    }
    part.plan.completed()
    session.isReportDue = true
    for slot in slots.indices { slots[slot].state = .starting }
    effects.append(.startWorkers(decoded))
  }
}
