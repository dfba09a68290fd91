/// A run in slices of time: for each interval and phase what was sent and answered, how fast, and
/// what each worker did. Counts of all its intervals add up to the run's.
///
/// Keeps at most `intervalCountMax` intervals. One more, and the older half is coalesced in pairs, so
/// a run of any length fits and its recent past stays sharp.
package struct Timeline: Equatable, Sendable {
  /// An hour of seconds and more; some 10 KiB each with histograms and a few workers.
  package static let intervalCountMax = 4096

  package struct Interval: Equatable, Sendable {
    package var phase: Phase
    /// On the master's numbering; more than one index when coalesced.
    package var firstIndex: UInt32
    package var lastIndex: UInt32
    /// Nanoseconds since the run's start, from the earliest batch to the end of the latest.
    package var startNs: UInt64
    package var endNs: UInt64
    package var tally = Tally()
    package var response = CompactHistogram()
    package var service = CompactHistogram()
    package var scheduleLag = CompactHistogram()
    /// When the last ok response came, since the run's start; 0 without one, or where it was not noted.
    package var lastOkNs: UInt64 = 0
    /// Ascending by ordinal.
    package var workers: [Worker] = []

    package var durationNs: UInt64 { endNs - startNs }

    package mutating func merge(_ other: Interval) {
      firstIndex = min(firstIndex, other.firstIndex)
      lastIndex = max(lastIndex, other.lastIndex)
      startNs = min(startNs, other.startNs)
      endNs = max(endNs, other.endNs)
      tally.merge(other.tally)
      response.merge(other.response)
      service.merge(other.service)
      scheduleLag.merge(other.scheduleLag)
      lastOkNs = max(lastOkNs, other.lastOkNs)
      for worker in other.workers { merge(worker) }
    }

    mutating func merge(_ worker: Worker) {
      let place = place(of: worker.ordinal)
      if place < workers.count && workers[place].ordinal == worker.ordinal {
        workers[place].merge(worker)
      } else {
        workers.insert(worker, at: place)
      }
    }

    /// What this worker did in it; nil when it has not reported.
    package func worker(_ ordinal: Int) -> Worker? {
      let place = place(of: ordinal)
      return place < workers.count && workers[place].ordinal == ordinal ? workers[place] : nil
    }

    /// The first whose ordinal is not lower. There may be thousands.
    private func place(of ordinal: Int) -> Int {
      var (low, high) = (0, workers.count)
      while low < high {
        let middle = low + (high - low) / 2
        if workers[middle].ordinal < ordinal { low = middle + 1 } else { high = middle }
      }
      return low
    }
  }

  /// One worker in one interval.
  package struct Worker: Equatable, Sendable {
    /// Place in the ledger's `workers`.
    package var ordinal: Int
    package var ok: UInt64 = 0
    package var notOk: UInt64 = 0
    package var cpuNs: UInt64 = 0
    /// Time its batches cover.
    package var spanNs: UInt64 = 0
    /// The highest p99 of schedule lag among its batches; zero in a closed loop.
    package var lagP99Ns: UInt64 = 0

    mutating func merge(_ other: Worker) {
      ok += other.ok
      notOk += other.notOk
      cpuNs += other.cpuNs
      spanNs += other.spanNs
      lagP99Ns = max(lagP99Ns, other.lagP99Ns)
    }
  }

  /// In order of time: phases follow one another, so the phase is the first key.
  package private(set) var intervals: [Interval] = []

  package init() {}

  /// Counts a batch in its last interval: one that spans several was closed there.
  package mutating func merge(_ batch: Batch, ordinal: Int) {
    var worker = Worker(ordinal: ordinal)
    var slice = Interval(
      phase: batch.phase, firstIndex: batch.lastInterval, lastIndex: batch.lastInterval,
      startNs: batch.startNs, endNs: batch.endNs, tally: Tally(batch))
    var response = Histogram()
    var service = Histogram()
    for endpoint in batch.endpoints {
      response.merge(endpoint.response)
      service.merge(endpoint.service)
    }
    slice.response = CompactHistogram(response)
    slice.service = CompactHistogram(service)
    slice.scheduleLag.merge(batch.scheduleLag)
    slice.lastOkNs = batch.worker.lastOkNs
    worker.ok = slice.tally.ok
    worker.notOk = slice.tally.notOk
    worker.cpuNs = batch.worker.cpuUserNs + batch.worker.cpuSystemNs
    worker.spanNs = batch.endNs - batch.startNs
    worker.lagP99Ns = slice.scheduleLag.quantileNs(0.99)
    slice.workers = [worker]

    let place = intervals.firstIndexAtOrAfter(slice)
    if place < intervals.count && intervals[place].phase == slice.phase
      && intervals[place].firstIndex <= batch.lastInterval
    {
      intervals[place].merge(slice)
    } else {
      intervals.insert(slice, at: place)
      if intervals.count > Self.intervalCountMax { coalesce() }
    }
  }

  private mutating func coalesce() {
    let half = intervals.count / 2
    var older: [Interval] = []
    var joined = false
    for interval in intervals[..<half] {
      // Pairs: an interval joins the one before it unless that is a pair of this round already.
      if let last = older.last, last.phase == interval.phase, !joined {
        older[older.count - 1].merge(interval)
        joined = true
      } else {
        older.append(interval)
        joined = false
      }
    }
    intervals.replaceSubrange(..<half, with: older)
  }
}

extension [Timeline.Interval] {
  /// The first interval that ends at or after the slice's, by bisection.
  fileprivate func firstIndexAtOrAfter(_ slice: Timeline.Interval) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = low + (high - low) / 2
      let interval = self[middle]
      if (interval.phase.rawValue, interval.lastIndex) < (slice.phase.rawValue, slice.lastIndex) {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return low
  }
}
