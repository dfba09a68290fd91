internal import SquallLoad

/// A result's intervals in at most so many columns, each with merged histograms.
struct ReportTimeline {
  struct Column {
    /// Of its first interval.
    var index: UInt32
    var phase: String
    var startNs: UInt64
    var endNs: UInt64
    var ok: UInt64 = 0
    var notOk: UInt64 = 0
    var dropped: UInt64 = 0
    var errors: [String: UInt64] = [:]
    /// Connections or users that were asked for, at its end.
    var targetCount: UInt32?
    var response = CompactHistogram()
    var service = CompactHistogram()
    /// Busy ratio by worker, weighted by time; nil where it never reported.
    var busy: [Double?]
    var lagP99Ns: [UInt64]
    /// The most that reported one of its intervals.
    var workerCount: UInt32 = 0
    private var busySeconds: [Double]

    init(_ interval: RunResult.Interval, workerCount: Int) {
      index = interval.index
      phase = interval.phase
      startNs = interval.startNs
      endNs = interval.endNs
      busy = Array(repeating: nil, count: workerCount)
      lagP99Ns = Array(repeating: 0, count: workerCount)
      busySeconds = Array(repeating: 0, count: workerCount)
      merge(interval)
    }

    mutating func merge(_ interval: RunResult.Interval) {
      startNs = min(startNs, interval.startNs)
      endNs = max(endNs, interval.endNs)
      ok += interval.ok
      notOk += interval.notOk
      dropped += interval.dropped
      workerCount = max(workerCount, interval.workers)
      targetCount = interval.targetConnections ?? interval.targetUsers ?? targetCount
      errors.merge(interval.errors, uniquingKeysWith: +)
      response.merge(interval.histogram(.response))
      service.merge(interval.histogram(.service))
      for (worker, ratio) in interval.workerBusy.prefix(busy.count).enumerated() {
        guard let ratio else { continue }
        let seconds = busySeconds[worker] + interval.seconds
        guard seconds > 0 else { continue }
        busy[worker] =
          ((busy[worker] ?? 0) * busySeconds[worker] + ratio * interval.seconds) / seconds
        busySeconds[worker] = seconds
      }
      for (worker, lag) in interval.workerLagP99.prefix(lagP99Ns.count).enumerated() {
        lagP99Ns[worker] = max(lagP99Ns[worker], lag ?? 0)
      }
    }

    var seconds: Double { Double(endNs - min(startNs, endNs)) * 1e-9 }
    var middleNs: UInt64 { startNs + (endNs - min(startNs, endNs)) / 2 }
    /// By the time its ok answers took (Little's law).
    var meanInFlight: Double { seconds > 0 ? Double(service.sumNs) * 1e-9 / seconds : 0 }
  }

  private(set) var columns: [Column] = []

  init(_ result: RunResult, recentCount: Int, columnCountMax: Int) {
    let intervals = result.intervals.suffix(recentCount)
    let size = max(1, (intervals.count + columnCountMax - 1) / columnCountMax)
    var taken = 0
    // Over a sliver of time neither a rate nor a share of a CPU means anything: it is counted with
    // what came before, or, where that is of another phase, in the tables only.
    let shortestNs = result.plan.intervalNs / 10
    for interval in intervals {
      let isSliver = interval.endNs - min(interval.startNs, interval.endNs) < shortestNs
      if isSliver, let last = columns.last {
        if last.phase == interval.phase { columns[columns.count - 1].merge(interval) }
        continue
      }
      if taken > 0 && taken < size && columns[columns.count - 1].phase == interval.phase {
        columns[columns.count - 1].merge(interval)
        taken += 1
      } else {
        columns.append(Column(interval, workerCount: result.workers.count))
        taken = 1
      }
    }
  }
}
