package import SquallLoad

/// What a run came to, as it is written, read again, rendered and compared: DESIGN's result file,
/// `docs/result.schema.json`. Durations are nanoseconds unless a name says otherwise.
///
/// Counts are those of the measured time and of the drain after it. `requests.warmup` has the rest.
package struct RunResult: Equatable, Sendable {
  package static let schemaName = "squall.result/1"

  package var schema = RunResult.schemaName
  package var tool = Tool()
  package var host = Host()
  package var argv: [String] = []
  /// Name of the run in the master's record, 16 hexadecimal digits; absent where there is no master.
  package var run: String?
  package var plan = PlanSummary()
  /// Wall clock of the run's start, RFC 3339 in UTC.
  package var startedAt = ""
  package var measuredNs: UInt64 = 0
  package var interrupted = false
  package var workers: [Worker] = []
  package var requests = Requests()
  package var errors = Errors()
  /// Nil where nothing stands behind the errors, and in files of before there were such.
  package var causes: Causes?
  /// Nil where bytes travel as they are.
  package var tls: TLS?
  /// Nil in files of before there was a choice.
  package var http: HTTP?
  /// What drove the workers' sockets: io_uring, epoll, or mixed. Nil without workers, and in files of
  /// before there was a choice.
  package var backend: String?
  package var status: [String: UInt64] = [:]
  package var bytes = Bytes()
  package var rate = Rate()
  package var latency = Latencies()
  package var histograms = Histograms()
  package var requestsByName: [RequestsOfName] = []
  /// Nil without users.
  package var iterations: Iterations?
  package var intervals: [Interval] = []
  /// What was changed of the load while it ran, in the order of time; nil where nothing was.
  package var changes: [Change]?
  package var connections = Connections()
  package var verdict = Verdict()
  package var slo: [SloOutcome] = []

  package init() {}

  /// What came in the measured time alone, which is what rates are of; the drain's is in `requests`.
  package var measured: (ok: UInt64, bytes: UInt64) {
    guard !intervals.isEmpty else { return (requests.ok, bytes.received) }
    return intervals.reduce(into: (0, 0)) {
      guard $1.isMeasured else { return }
      $0.0 += $1.ok
      $0.1 += $1.bytesReceived
    }
  }

  /// More is to be said by name than of all.
  package var hasNames: Bool {
    requestsByName.count > 1 || requestsByName.contains { !$0.checks.isEmpty }
  }

  package struct Tool: Equatable, Sendable {
    package var name = "squall"
    package var version = ""
    package var commit = ""
    package init() {}
  }

  package struct Host: Equatable, Sendable {
    package var kernel = ""
    package var cpuModel = ""
    package var cpus: UInt32 = 0
    package init() {}
  }

  package struct Worker: Equatable, Sendable {
    /// Name of the host its agent runs on.
    package var host = ""
    /// Absent when its agent did not say.
    package var process: UInt32?
    /// Absent when it is not pinned.
    package var cpu: UInt32?
    /// Its lives, 16 hexadecimal digits each.
    package var incarnations: [String] = []
    package var cpuUserNs: UInt64 = 0
    package var cpuSystemNs: UInt64 = 0
    package var busyRatio = 0.0
    package var connections: UInt32 = 0
    package var sent: UInt64 = 0
    package var ok: UInt64 = 0
    package var notOk: UInt64 = 0
    package var inFlightAtStop: Int64 = 0
    package var systemCalls: UInt64 = 0
    /// Absent in a closed loop.
    package var scheduleLagP99Ns: UInt64?
    /// See `WorkerCounters.late`.
    package var sentLate: UInt64 = 0
    package var lost = false
    package init() {}
  }

  package struct Requests: Equatable, Sendable {
    package var sent: UInt64 = 0
    package var completed: UInt64 = 0
    package var ok: UInt64 = 0
    package var notOk: UInt64 = 0
    package var inFlightAtStop: Int64 = 0
    package var dropped: UInt64 = 0
    /// Nil in a closed loop.
    package var due: UInt64?
    /// See `Balance.unassigned`.
    package var unassigned: UInt64 = 0
    /// Sent in the warm-up, ended after it.
    package var carriedIn: Int64 = 0
    package var warmup = Warmup()
    package init() {}
  }

  package struct Warmup: Equatable, Sendable {
    package var sent: UInt64 = 0
    package var ok: UInt64 = 0
    package var notOk: UInt64 = 0
    package init() {}
  }

  /// By cause; see `ErrorCause`.
  package struct Errors: Equatable, Sendable {
    package var counts = [UInt64](repeating: 0, count: ErrorCause.count)
    package init() {}

    package subscript(cause: ErrorCause) -> UInt64 {
      get { counts[Int(cause.rawValue)] }
      set { counts[Int(cause.rawValue)] = newValue }
    }

    /// Of connections that never came to carry a request.
    package var ofOpening: UInt64 { self[.connect] + self[.tls] }
  }

  /// What stands behind the errors.
  package struct Causes: Equatable, Sendable {
    package var malformed: [Malformed] = []
    /// By `Finding.name`; those that occurred.
    package var findings: [String: UInt64] = [:]
    /// By `Sample.name`: bytes of the target as text, everything but printable ASCII as `\\xNN`.
    package var samples: [String: String] = [:]
    package init() {}
  }

  /// Answers that could not be read for one reason.
  package struct Malformed: Equatable, Sendable {
    package var reason = ""
    package var explanation = ""
    package var isOurLimit = false
    package var count: UInt64 = 0
    package init() {}
  }

  package struct Bytes: Equatable, Sendable {
    package var sent: UInt64 = 0
    package var received: UInt64 = 0
    package var body: UInt64 = 0
    package init() {}
  }

  /// A change of the load; what it left as it was is nil.
  package struct Change: Equatable, Sendable {
    /// Since the run's start.
    package var atNs: UInt64 = 0
    package var perS: Double?
    package var connections: UInt32?
    package var users: UInt32?
    /// Nil where all users came or went at once.
    package var spawnPerS: Double?
    package init() {}
  }

  /// Per second of the measured time.
  package struct Rate: Equatable, Sendable {
    package var okPerS = 0.0
    package var completedPerS = 0.0
    /// Mean of the plan's rate curve; absent in a closed loop.
    package var targetPerS: Double?
    /// Requests sent per request scheduled; absent in a closed loop.
    package var achievedRatio: Double?
    package init() {}
  }

  package struct Latencies: Equatable, Sendable {
    package var response = LatencySummary()
    package var service = LatencySummary()
    package var connect = LatencySummary()
    package var tls = LatencySummary()
    package var firstByte = LatencySummary()
    package var scheduleLag = LatencySummary()
    package init() {}
  }

  /// HdrHistogram V2, compressed, base 64, of nanoseconds.
  package struct Histograms: Equatable, Sendable {
    package var response = ""
    package var service = ""
    package init() {}
  }

  package struct RequestsOfName: Equatable, Sendable {
    package var name = ""
    package var sent: UInt64 = 0
    package var completed: UInt64 = 0
    package var ok: UInt64 = 0
    package var notOk: UInt64 = 0
    package var dropped: UInt64 = 0
    package var bytesReceived: UInt64 = 0
    package var bytesBody: UInt64 = 0
    package var errors = Errors()
    package var status: [String: UInt64] = [:]
    /// Those that failed, the most frequent first; all together the errors of cause `check`.
    package var checks: [FailedCheck] = []
    package var latency = LatenciesOfName()
    /// HdrHistogram V2, uncompressed, base 64, of nanoseconds.
    package var responseHistogram = ""
    package init() {}
  }

  package struct LatenciesOfName: Equatable, Sendable {
    package var response = LatencySummary()
    package var service = LatencySummary()
    package init() {}
  }

  package struct FailedCheck: Equatable, Sendable {
    /// What it asks, in words.
    package var check = ""
    package var failed: UInt64 = 0
    package init() {}
  }

  /// How often users went through what they do; those begun in the warm-up are left out.
  package struct Iterations: Equatable, Sendable {
    package var started: UInt64 = 0
    package var completed: UInt64 = 0
    /// Ended before their last step, because a request failed.
    package var abandoned: UInt64 = 0
    /// Due, and no user was free; nil where iterations follow one another.
    package var dropped: UInt64?
    /// Begun and never ended: the load was over, or the user stopped, was dealt anew or was lost.
    package var interrupted: Int64 = 0
    /// From the first step to the last, of those completed.
    package var time = LatencySummary()
    package init() {}
  }

  /// One slice of the run, of any phase.
  package struct Interval: Equatable, Sendable {
    package var index: UInt32 = 0
    /// Later than `index` when a long run's intervals were put together.
    package var lastIndex: UInt32 = 0
    package var phase = ""
    package var startNs: UInt64 = 0
    package var endNs: UInt64 = 0
    package var sent: UInt64 = 0
    package var ok: UInt64 = 0
    package var notOk: UInt64 = 0
    package var dropped: UInt64 = 0
    package var bytesReceived: UInt64 = 0
    /// When its last ok response came; nil without one, and in files of before it was noted.
    package var lastOkNs: UInt64?
    /// Mean of the rate curve over it; nil in a closed loop, in the drain, and in files of before it was
    /// noted.
    package var targetPerS: Double?
    /// Connections that the load was to have in its middle; nil in an open loop, with users, in the
    /// drain, and in files of before it was noted.
    package var targetConnections: UInt32?
    /// Users that the last change asked for; nil before the first.
    package var targetUsers: UInt32?
    package var errors: [String: UInt64] = [:]
    /// How many workers reported.
    package var workers: UInt32 = 0
    /// Nil where the interval has no ok response.
    package var responseP50: UInt64?
    package var responseP90: UInt64?
    package var responseP99: UInt64?
    package var responseMax: UInt64?
    package var serviceP50: UInt64?
    package var serviceP99: UInt64?
    package var scheduleLagP99: UInt64?
    /// By worker, in the order of the result's `workers`: busy ratio, or nil where it did not report.
    package var workerBusy: [Double?] = []
    package var workerLagP99: [UInt64?] = []
    /// HdrHistogram V2, uncompressed, base 64, of nanoseconds.
    package var responseHistogram = ""
    /// Absent in a closed loop, where it is the response's.
    package var serviceHistogram: String?
    package init() {}

    package var seconds: Double { Double(endNs - min(startNs, endNs)) * 1e-9 }
    package var isMeasured: Bool { phase == Phase.measured.name }
  }

  package struct Connections: Equatable, Sendable {
    package var opened: UInt64 = 0
    package var reopened: UInt64 = 0
    /// Ok responses per connection; nil where no connection was open at the stop.
    package var okMin: UInt64?
    package var okMedian: UInt64?
    package var okMax: UInt64?
    /// Connections without a single ok response.
    package var starved: UInt64 = 0
    package init() {}
  }

  package struct Verdict: Equatable, Sendable {
    /// The generator, not the target, set the limit or bent the times.
    package var saturated = false
    /// Why the result is not valid, each with its remedy.
    package var reasons: [String] = []
    /// What a reader must know to judge a valid result.
    package var cautions: [String] = []
    /// Not saturated, and the rate asked for was reached.
    package var valid = true
    /// From when on the target answered nothing, in the measured time; absent where it did to the end.
    package var targetGoneNs: UInt64?
    /// Ok responses per second until then.
    package var okPerSBeforeGone: Double?
    /// Mean requests in flight per request that could be; absent in an open loop.
    package var littlesLawRatio: Double?
    package var conservation = Conservation()
    /// Counts are known to be missing, or a worker was lost and not replaced.
    package var incomplete = false
    package init() {}
  }

  /// Of requests sent, all phases.
  package struct Conservation: Equatable, Sendable {
    /// Sum of the workers' own ledgers.
    package var workerSum: UInt64 = 0
    /// The master's sum of batches.
    package var total: UInt64 = 0
    /// In the workers' ledgers and not with the master; negative when the master has more.
    package var missing: Int64 = 0
    /// Incarnations whose own ledger never came.
    package var ledgersAbsent: UInt32 = 0
    /// Incarnations whose ledger differs from the master's.
    package var ledgersDiffering: UInt32 = 0
    /// Every ledger came and is equal, and sent = ok + not ok + in flight with nothing negative.
    package var balanced = true
    package init() {}
  }

  package struct SloOutcome: Equatable, Sendable {
    package var expression = ""
    /// Nanoseconds, a share of 1, or per second. Absent when it was not evaluated.
    package var value: Double?
    /// Absent when it was not evaluated, as after an interruption.
    package var pass: Bool?
    package init() {}
  }
}

extension Phase {
  package var name: String {
    switch self {
    case .warmup: "warmup"
    case .measured: "measured"
    case .drain: "drain"
    }
  }
}

/// A distribution in a dozen numbers, nanoseconds; all nil where nothing was measured.
package struct LatencySummary: Equatable, Sendable {
  package var count: UInt64 = 0
  package var mean: UInt64?
  package var stdev: UInt64?
  package var min: UInt64?
  package var max: UInt64?
  package var p50: UInt64?
  package var p75: UInt64?
  package var p90: UInt64?
  package var p95: UInt64?
  package var p99: UInt64?
  package var p999: UInt64?
  package var p9999: UInt64?
  /// Values beyond the histogram's 68.7 s; they count in every other figure.
  package var over: UInt64 = 0

  package init() {}

  package init(_ histogram: Histogram) {
    count = histogram.count
    guard count > 0 else { return }
    mean = UInt64(histogram.meanNs.rounded())
    stdev = UInt64(histogram.standardDeviationNs.rounded())
    min = histogram.minNs
    max = histogram.maxNs
    p50 = histogram.quantileNs(0.5)
    p75 = histogram.quantileNs(0.75)
    p90 = histogram.quantileNs(0.9)
    p95 = histogram.quantileNs(0.95)
    p99 = histogram.quantileNs(0.99)
    p999 = histogram.quantileNs(0.999)
    p9999 = histogram.quantileNs(0.9999)
    over = histogram.overCount
  }
}
