/// A distribution of durations in nanoseconds: bucket counts with exact sum, sum of squares,
/// minimum and maximum beside them. Merging is addition, so a merge loses no precision.
///
/// Costs 54 KiB once anything is in it.
public struct Histogram: Equatable, Sendable {
  /// Count per bucket of `HistogramLayout`; empty while nothing was recorded inside its range.
  public private(set) var buckets: [UInt64] = []
  /// Durations below `HistogramLayout.lowestNs`.
  public private(set) var underCount: UInt64 = 0
  /// Durations of `HistogramLayout.endNs` (68.7 s) and more.
  public private(set) var overCount: UInt64 = 0
  public private(set) var sumNs: UInt128 = 0
  public private(set) var sumOfSquares: UInt128 = 0
  /// `UInt64.max` when empty.
  public private(set) var minNs: UInt64 = .max
  public private(set) var maxNs: UInt64 = 0

  public init() {}

  public var count: UInt64 { buckets.reduce(underCount + overCount, +) }
  public var isEmpty: Bool { minNs == .max && count == 0 }

  public mutating func record(_ durationNs: UInt64, count: UInt64 = 1) {
    guard count > 0 else { return }
    add(atNs: durationNs, count: count)
    sumNs += UInt128(durationNs) * UInt128(count)
    sumOfSquares += UInt128(durationNs) * UInt128(durationNs) * UInt128(count)
    minNs = min(minNs, durationNs)
    maxNs = max(maxNs, durationNs)
  }

  public mutating func merge(_ other: Histogram) {
    if buckets.isEmpty {
      buckets = other.buckets
    } else {
      for (bucket, count) in other.buckets.enumerated() where count > 0 {
        buckets[bucket] += count
      }
    }
    underCount += other.underCount
    overCount += other.overCount
    sumNs += other.sumNs
    sumOfSquares += other.sumOfSquares
    minNs = min(minNs, other.minNs)
    maxNs = max(maxNs, other.maxNs)
  }

  public mutating func merge(_ other: SparseHistogram) {
    if !other.buckets.isEmpty && buckets.isEmpty {
      buckets = Array(repeating: 0, count: HistogramLayout.bucketCount)
    }
    var counts = buckets.mutableSpan
    for bucket in other.buckets { counts[Int(bucket.index)] += UInt64(bucket.count) }
    underCount += UInt64(other.underCount)
    overCount += UInt64(other.overCount)
    sumNs += UInt128(other.sumNs)
    sumOfSquares += other.sumOfSquares
    minNs = min(minNs, other.minNs)
    maxNs = max(maxNs, other.maxNs)
  }

  public var meanNs: Double {
    let count = count
    return count == 0 ? 0 : Double(sumNs) / Double(count)
  }

  /// Population standard deviation in nanoseconds.
  public var standardDeviationNs: Double {
    let count = Double(count)
    guard count > 0 else { return 0 }
    let mean = Double(sumNs) / count
    return max(0, Double(sumOfSquares) / count - mean * mean).squareRoot()
  }

  /// The smallest recorded duration that at least `fraction` of all durations do not exceed
  /// (nearest rank), in nanoseconds, read back at its bucket's middle and kept inside
  /// `minNs ... maxNs`. Zero when empty. `fraction` is in 0 ... 1.
  public func quantileNs(_ fraction: Double) -> UInt64 {
    let count = count
    guard count > 0 else { return 0 }
    let rank = max(1, min(count, UInt64((fraction * Double(count)).rounded(.up))))
    var seen = underCount
    if seen >= rank { return minNs }
    for (bucket, count) in buckets.enumerated() where count > 0 {
      seen += count
      if seen >= rank { return max(minNs, min(maxNs, HistogramLayout.middleNs(bucket))) }
    }
    return maxNs
  }

  /// Of the durations, those above `durationNs`, to a bucket's width.
  public func count(aboveNs durationNs: UInt64) -> UInt64 {
    buckets.dropFirst(HistogramLayout.bucket(durationNs) + 1).reduce(overCount, +)
  }

  private mutating func add(atNs durationNs: UInt64, count: UInt64) {
    if durationNs < HistogramLayout.lowestNs {
      underCount += count
    } else if durationNs >= HistogramLayout.endNs {
      overCount += count
    } else {
      if buckets.isEmpty { buckets = Array(repeating: 0, count: HistogramLayout.bucketCount) }
      buckets[HistogramLayout.bucket(durationNs)] += count
    }
  }
}

/// The non-empty buckets of one interval's histogram, in ascending order: the form a histogram
/// travels in. Counts fit 32 bits because an interval is short; a page that would overflow is
/// closed by its interval long before.
public struct SparseHistogram: Equatable, Sendable {
  public struct Bucket: Equatable, Sendable {
    public var index: UInt16
    public var count: UInt32

    public init(index: UInt16, count: UInt32) {
      self.index = index
      self.count = count
    }
  }

  public var buckets: [Bucket] = []
  public var underCount: UInt32 = 0
  public var overCount: UInt32 = 0
  public var sumNs: UInt64 = 0
  public var sumOfSquares: UInt128 = 0
  public var minNs: UInt64 = .max
  public var maxNs: UInt64 = 0

  public init() {}

  public var count: UInt64 {
    buckets.reduce(UInt64(underCount) + UInt64(overCount)) { $0 + UInt64($1.count) }
  }

  public var isEmpty: Bool { buckets.isEmpty && underCount == 0 && overCount == 0 }
}
