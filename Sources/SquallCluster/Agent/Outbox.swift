import SquallLoad

/// What workers counted and the master does not have for good yet (I2), in encoded form.
///
/// Parts go out oldest first, at most `partsInFlightMax` unanswered; one that is not answered goes out
/// again after a delay that doubles. A part that has arrived rests, until its batch is durable or the
/// connection ends: a master that restarted has forgotten what it had not committed. The first part of
/// a resting batch goes out now and then, because the acknowledgement may be what was lost.
struct Outbox: Sendable {
  private struct LifeName: Hashable {
    var worker: UInt16
    var life: UInt64
  }

  private struct Part {
    var bytes: [UInt8]
    var sentNs: UInt64 = 0
    var attempts = 0
    var hasArrived = false
  }

  private struct Kept {
    var life: LifeName
    var sequence: UInt32
    var agent: UInt64
    var parts: [Part]
    var byteCount: Int
  }

  private struct KeptLedger {
    var ledger: Ledger
    var sentNs: UInt64 = 0
    var attempts = 0
  }

  /// How often the first part of a batch that has arrived asks after it.
  private static let probeNs: UInt64 = 1_000_000_000
  /// A part that has arrived is sent again if its batch is not durable by then, in case the master had
  /// to drop it.
  private static let commitPatienceNs: UInt64 = 10_000_000_000

  /// Whose counts these are.
  private let run: UInt64
  private let partsInFlightMax: Int
  private let resendFirstNs: UInt64
  private let resendLastNs: UInt64
  private var kept: [Kept] = []
  private var ledgers: [KeptLedger] = []
  /// Per life, the sequence below which everything is durable.
  private var durableBelow: [LifeName: UInt32] = [:]
  private(set) var byteCount = 0

  init(run: UInt64, settings: AgentMachine.Settings) {
    self.run = run
    partsInFlightMax = settings.partsInFlightMax
    resendFirstNs = settings.resendFirstNs
    resendLastNs = settings.resendLastNs
  }

  var isEmpty: Bool { kept.isEmpty && ledgers.isEmpty }
  var batchCount: Int { kept.count }

  mutating func keep(_ batch: Batch) {
    let parts = batch.encodedParts().map { Part(bytes: $0) }
    let keptByteCount = parts.reduce(0) { $0 + $1.bytes.count }
    byteCount += keptByteCount
    kept.append(
      Kept(
        life: LifeName(worker: batch.name.incarnation.worker, life: batch.name.incarnation.life),
        sequence: batch.name.sequence, agent: batch.name.incarnation.agent, parts: parts,
        byteCount: keptByteCount))
  }

  mutating func keep(_ ledger: Ledger) { ledgers.append(KeptLedger(ledger: ledger)) }

  /// The connection is gone, and with it what was on its way.
  mutating func forgetArrivals() {
    for index in kept.indices {
      for part in kept[index].parts.indices {
        kept[index].parts[part].sentNs = 0
        kept[index].parts[part].attempts = 0
        kept[index].parts[part].hasArrived = false
      }
    }
    for index in ledgers.indices { ledgers[index].attempts = 0 }
  }

  /// What to send now, and when to look again. `delayNs` is the round trip.
  mutating func due(nowNs: UInt64, delayNs: UInt64) -> (messages: [Message], wakeNs: UInt64) {
    var messages: [Message] = []
    var wakeNs = UInt64.max
    for index in ledgers.indices {
      let dueNs = dueNs(
        sentNs: ledgers[index].sentNs, attempts: ledgers[index].attempts, delayNs: delayNs)
      if nowNs >= dueNs {
        ledgers[index].sentNs = nowNs
        ledgers[index].attempts += 1
        messages.append(.ledger(ledgers[index].ledger, run: run))
        wakeNs = min(wakeNs, self.dueNs(sentNs: nowNs, attempts: 1, delayNs: delayNs))
      } else {
        wakeNs = min(wakeNs, dueNs)
      }
    }
    var inFlight = 0
    for index in kept.indices {
      guard inFlight < partsInFlightMax else { break }
      let below = durableBelow[kept[index].life] ?? 0
      guard kept[index].sequence - below < DeliveryWindow.width else { continue }
      for part in kept[index].parts.indices where inFlight < partsInFlightMax {
        let dueNs = dueNs(kept[index].parts[part], isFirst: part == 0, delayNs: delayNs)
        if kept[index].parts[part].hasArrived, nowNs < dueNs {
          wakeNs = min(wakeNs, dueNs)
          continue
        }
        inFlight += 1
        if nowNs >= dueNs {
          kept[index].parts[part].sentNs = nowNs
          kept[index].parts[part].attempts += 1
          if part > 0 { kept[index].parts[part].hasArrived = false }
          messages.append(.batchPart(message(index, part)))
        }
        wakeNs = min(
          wakeNs, self.dueNs(kept[index].parts[part], isFirst: part == 0, delayNs: delayNs))
      }
    }
    return (messages, wakeNs)
  }

  private func dueNs(_ part: Part, isFirst: Bool, delayNs: UInt64) -> UInt64 {
    part.hasArrived
      ? part.sentNs + (isFirst ? Self.probeNs : Self.commitPatienceNs)
      : dueNs(sentNs: part.sentNs, attempts: part.attempts, delayNs: delayNs)
  }

  private func dueNs(sentNs: UInt64, attempts: Int, delayNs: UInt64) -> UInt64 {
    guard attempts > 0 else { return 0 }
    let firstNs = min(resendLastNs, max(resendFirstNs, 3 * delayNs))
    return sentNs + min(resendLastNs, firstNs << UInt64(min(attempts - 1, 10)))
  }

  private func message(_ index: Int, _ part: Int) -> BatchPart {
    BatchPart(
      run: run, worker: kept[index].life.worker, life: kept[index].life.life,
      sequence: kept[index].sequence, part: UInt16(part),
      partCount: UInt16(kept[index].parts.count),
      bytes: kept[index].parts[part].bytes)
  }

  mutating func acknowledged(
    _ acknowledgement: Acknowledgement, agent: UInt64, nowNs: UInt64
  ) {
    for entry in acknowledgement.entries {
      let life = LifeName(worker: entry.worker, life: entry.life)
      if entry.below > durableBelow[life] ?? 0 { durableBelow[life] = entry.below }
      if entry.hasLedger {
        ledgers.removeAll {
          $0.ledger.incarnation.worker == life.worker && $0.ledger.incarnation.life == life.life
        }
      }
      kept.removeAll {
        guard $0.life == life else { return false }
        let isDurable =
          $0.sequence < entry.below
          || ($0.sequence > entry.below && $0.sequence - entry.below <= 64
            && entry.beyond & 1 << UInt64($0.sequence - entry.below - 1) != 0)
        if isDurable { byteCount -= $0.byteCount }
        return isDurable
      }
      for partial in entry.partials { arrived(partial, of: life) }
    }
  }

  private mutating func arrived(_ partial: Acknowledgement.Partial, of life: LifeName) {
    guard let index = kept.firstIndex(where: { $0.life == life && $0.sequence == partial.sequence })
    else { return }
    for part in kept[index].parts.indices where part / 64 < partial.bits.count {
      if partial.bits[part / 64] & 1 << UInt64(part % 64) != 0 {
        kept[index].parts[part].hasArrived = true
      }
    }
  }

  /// Everything undelivered that counts anything, decoded again.
  func leftovers() -> (batches: [Batch], ledgers: [Ledger]) {
    let batches = kept.compactMap { kept in
      try? Batch(
        encoded: kept.parts.flatMap(\.bytes),
        name: BatchName(
          incarnation: Incarnation(
            agent: kept.agent, worker: kept.life.worker, life: kept.life.life),
          sequence: kept.sequence))
    }
    return (batches, ledgers.map(\.ledger).filter { $0.sums != IncarnationLedger() })
  }
}
