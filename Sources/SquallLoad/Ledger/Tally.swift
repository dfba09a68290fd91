/// Counters with the number of ok responses, which is derived: it is the count of their service times.
package struct Tally: Equatable, Sendable {
  package var counters = Counters()
  package var ok: UInt64 = 0

  package init() {}

  package init(_ batch: Batch) {
    for endpoint in batch.endpoints { merge(endpoint) }
  }

  package var sent: UInt64 { counters.sent }
  package var notOk: UInt64 { counters.notOk }
  package var completed: UInt64 { ok + notOk }

  package mutating func merge(_ other: Tally) {
    counters.merge(other.counters)
    ok += other.ok
  }

  package mutating func merge(_ endpoint: Batch.Endpoint) {
    counters.merge(endpoint.counters)
    ok += endpoint.service.count
  }
}

/// A tally for each phase of a run.
package struct PhaseTallies: Equatable, Sendable {
  package var warmup = Tally()
  package var measured = Tally()
  package var drain = Tally()

  package init() {}

  package subscript(phase: Phase) -> Tally {
    get {
      switch phase {
      case .warmup: warmup
      case .measured: measured
      case .drain: drain
      }
    }
    // In place: a getter and a setter would copy the tables inside.
    _modify {
      switch phase {
      case .warmup: yield &warmup
      case .measured: yield &measured
      case .drain: yield &drain
      }
    }
  }

  /// What the result counts: all but the warm-up.
  package var counted: Tally {
    var sum = measured
    sum.merge(drain)
    return sum
  }

  /// Every request there was. Only here does conservation hold, as one sent in the warm-up may be
  /// answered in the measured time.
  package var whole: Tally {
    var sum = counted
    sum.merge(warmup)
    return sum
  }

  /// Requests sent and neither answered nor failed; negative when more came back than was sent, which
  /// is a fault in somebody's counting.
  package var inFlight: Int64 {
    let whole = whole
    return Int64(clamping: whole.sent) - Int64(clamping: whole.completed)
  }
}

/// The sums of one incarnation, over all phases. A worker's side and the master make theirs from the
/// same batches by different roads, so equality says that nothing was lost, repeated or bent (I3).
package struct IncarnationLedger: Equatable, Sendable {
  package var sent: UInt64 = 0
  package var ok: UInt64 = 0
  package var notOk: UInt64 = 0
  package var dropped: UInt64 = 0
  package var batchCount: UInt32 = 0
  /// Of every histogram's content; see `SparseHistogram.contentHash`.
  package var histogramHash: UInt64 = 0

  package init() {}

  package init(
    sent: UInt64, ok: UInt64, notOk: UInt64, dropped: UInt64, batchCount: UInt32,
    histogramHash: UInt64
  ) {
    self.sent = sent
    self.ok = ok
    self.notOk = notOk
    self.dropped = dropped
    self.batchCount = batchCount
    self.histogramHash = histogramHash
  }

  /// Adds one batch. Any order of the same batches gives the same ledger.
  package mutating func merge(_ batch: Batch) {
    let tally = Tally(batch)
    sent += tally.sent
    ok += tally.ok
    notOk += tally.notOk
    dropped += tally.counters.dropped
    batchCount += 1
    for endpoint in batch.endpoints {
      let salt = UInt64(endpoint.index) << 8
      histogramHash &+= endpoint.response.contentHash(salt: salt | 1)
      histogramHash &+= endpoint.service.contentHash(salt: salt | 2)
      histogramHash &+= endpoint.firstByte.contentHash(salt: salt | 3)
    }
    histogramHash &+= batch.connect.contentHash(salt: 4)
    histogramHash &+= batch.scheduleLag.contentHash(salt: 5)
    histogramHash &+= batch.fairness.contentHash(salt: 6)
    histogramHash &+= batch.tls.contentHash(salt: 7)
    histogramHash &+= batch.iterations.durations.contentHash(salt: 8)
  }
}

extension SparseHistogram {
  /// A hash that adds up: the hash of a merge is the wrapping sum of the parts' hashes. Each bucket
  /// has its own odd multiplier, which its count is multiplied with; so has the sum of the values, and
  /// `salt` makes one more of all of them. Against accident, not against an enemy.
  func contentHash(salt: UInt64) -> UInt64 {
    let weights = contentWeights.span
    var hash: UInt64 = 0
    for bucket in buckets { hash &+= weights[Int(bucket.index)] &* UInt64(bucket.count) }
    let rest = HistogramLayout.bucketCount
    hash &+= weights[rest] &* UInt64(underCount)
    hash &+= weights[rest + 1] &* UInt64(overCount)
    hash &+= weights[rest + 2] &* sumNs
    hash &+= weights[rest + 3] &* UInt64(truncatingIfNeeded: sumOfSquares)
    return hash &* contentWeight(1 << 32 | salt)
  }
}

/// Of each bucket, and of the four figures beside them.
private let contentWeights = (0..<UInt64(HistogramLayout.bucketCount) + 4).map(contentWeight)

private func contentWeight(_ place: UInt64) -> UInt64 {
  var stream = SplitMix64(seed: 0, place, 0)
  return stream.next() | 1
}
