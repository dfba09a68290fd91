/// A mergeable histogram that holds its non-empty buckets only: about 16 bytes each, where a dense
/// one costs 54 KiB. For values kept by the thousand, such as a timeline's intervals.
package struct CompactHistogram: Equatable, Sendable {
  package struct Bucket: Equatable, Sendable {
    package var index: UInt16
    package var count: UInt64
  }

  /// Ascending by index, no count zero.
  package private(set) var buckets: [Bucket] = []
  package private(set) var underCount: UInt64 = 0
  package private(set) var overCount: UInt64 = 0
  package private(set) var sumNs: UInt128 = 0
  package private(set) var sumOfSquares: UInt128 = 0
  package private(set) var minNs: UInt64 = .max
  package private(set) var maxNs: UInt64 = 0

  package init() {}

  package init(_ dense: Histogram) {
    for (index, count) in dense.buckets.enumerated() where count > 0 {
      buckets.append(Bucket(index: UInt16(index), count: count))
    }
    underCount = dense.underCount
    overCount = dense.overCount
    sumNs = dense.sumNs
    sumOfSquares = dense.sumOfSquares
    minNs = dense.minNs
    maxNs = dense.maxNs
  }

  package mutating func record(_ durationNs: UInt64, count: UInt64 = 1) {
    guard count > 0 else { return }
    if durationNs < HistogramLayout.lowestNs {
      underCount += count
    } else if durationNs >= HistogramLayout.endNs {
      overCount += count
    } else {
      let index = UInt16(HistogramLayout.bucket(durationNs))
      merge(CollectionOfOne(Bucket(index: index, count: count)))
    }
    sumNs += UInt128(durationNs) * UInt128(count)
    sumOfSquares += UInt128(durationNs) * UInt128(durationNs) * UInt128(count)
    minNs = min(minNs, durationNs)
    maxNs = max(maxNs, durationNs)
  }

  package var count: UInt64 { buckets.reduce(underCount + overCount) { $0 + $1.count } }
  package var isEmpty: Bool { buckets.isEmpty && underCount == 0 && overCount == 0 }

  package mutating func merge(_ other: SparseHistogram) {
    merge(other.buckets.lazy.map { Bucket(index: $0.index, count: UInt64($0.count)) })
    underCount += UInt64(other.underCount)
    overCount += UInt64(other.overCount)
    sumNs += UInt128(other.sumNs)
    sumOfSquares += other.sumOfSquares
    minNs = min(minNs, other.minNs)
    maxNs = max(maxNs, other.maxNs)
  }

  package mutating func merge(_ other: CompactHistogram) {
    merge(other.buckets)
    underCount += other.underCount
    overCount += other.overCount
    sumNs += other.sumNs
    sumOfSquares += other.sumOfSquares
    minNs = min(minNs, other.minNs)
    maxNs = max(maxNs, other.maxNs)
  }

  private mutating func merge(_ others: some Collection<Bucket>) {
    if buckets.isEmpty {
      buckets = others.filter { $0.count > 0 }
      return
    }
    if let last = buckets.last, let first = others.first, last.index < first.index {
      buckets += others.filter { $0.count > 0 }
      return
    }
    var merged: [Bucket] = []
    merged.reserveCapacity(buckets.count + others.count)
    var mine = 0
    for other in others where other.count > 0 {
      while mine < buckets.count, buckets[mine].index < other.index {
        merged.append(buckets[mine])
        mine += 1
      }
      if mine < buckets.count, buckets[mine].index == other.index {
        merged.append(Bucket(index: other.index, count: buckets[mine].count + other.count))
        mine += 1
      } else {
        merged.append(other)
      }
    }
    merged += buckets[mine...]
    buckets = merged
  }

  /// The same distribution with room for every bucket.
  package var dense: Histogram {
    var dense = Histogram()
    dense.merge(self)
    return dense
  }

  package var meanNs: Double {
    let count = count
    return count == 0 ? 0 : Double(sumNs) / Double(count)
  }

  /// As `Histogram.quantileNs`.
  package func quantileNs(_ fraction: Double) -> UInt64 {
    let count = count
    guard count > 0 else { return 0 }
    let rank = max(1, min(count, UInt64((fraction * Double(count)).rounded(.up))))
    var seen = underCount
    if seen >= rank { return minNs }
    for bucket in buckets {
      seen += bucket.count
      if seen >= rank {
        return max(minNs, min(maxNs, HistogramLayout.middleNs(Int(bucket.index))))
      }
    }
    return maxNs
  }
}

extension Histogram {
  package mutating func merge(_ other: CompactHistogram) {
    // A sparse histogram is the door for exact sums. Its counts have 32 bits, its sum 64, so large
    // ones go through in several parts.
    var rest = other.buckets
    var sumNs = other.sumNs
    var sumOfSquares = other.sumOfSquares
    var underCount = other.underCount
    var overCount = other.overCount
    var isFirst = true
    while isFirst || !rest.isEmpty || sumNs > 0 || underCount > 0 || overCount > 0 {
      var part = SparseHistogram()
      part.buckets = rest.map { .init(index: $0.index, count: UInt32(clamping: $0.count)) }
      part.underCount = UInt32(clamping: underCount)
      part.overCount = UInt32(clamping: overCount)
      part.sumNs = UInt64(clamping: sumNs)
      part.sumOfSquares = sumOfSquares
      part.minNs = other.minNs
      part.maxNs = other.maxNs
      merge(part)
      rest = rest.compactMap {
        let left = $0.count - UInt64(UInt32(clamping: $0.count))
        return left == 0 ? nil : .init(index: $0.index, count: left)
      }
      underCount -= UInt64(part.underCount)
      overCount -= UInt64(part.overCount)
      sumNs -= UInt128(part.sumNs)
      sumOfSquares = 0
      isFirst = false
    }
  }
}

extension SparseHistogram {
  /// As `Histogram.quantileNs`.
  package func quantileNs(_ fraction: Double) -> UInt64 {
    var compact = CompactHistogram()
    compact.merge(self)
    return compact.quantileNs(fraction)
  }
}
