/// Which part of a run an interval belongs to. The raw value is the wire's and the page's.
public enum Phase: UInt8, Sendable {
  /// Real load that is not counted in the result.
  case warmup = 0
  case measured = 1
  /// After the stop: requests in flight are awaited, none is sent.
  case drain = 2
}

/// One worker process's life, named by its host, its place there and a random number made at start.
public struct Incarnation: Hashable, Sendable {
  /// The agent's own random 64-bit name.
  public var agent: UInt64
  /// The worker's place on its agent, from 0.
  public var worker: UInt16
  /// Random, new at each start of the process.
  public var life: UInt64

  public init(agent: UInt64, worker: UInt16, life: UInt64) {
    self.agent = agent
    self.worker = worker
    self.life = life
  }
}

/// What makes a batch itself and no other: applying two batches of one name counts once (I1).
public struct BatchName: Hashable, Sendable {
  public var incarnation: Incarnation
  /// The incarnation's own pages, numbered from 0 without gaps.
  public var sequence: UInt32

  public init(incarnation: Incarnation, sequence: UInt32) {
    self.incarnation = incarnation
    self.sequence = sequence
  }
}

/// The counters and histograms of one interval of one incarnation: immutable once made.
public struct Batch: Equatable, Sendable {
  public struct Endpoint: Equatable, Sendable {
    /// Index in the plan's endpoints.
    public var index: UInt16
    public var counters: Counters
    /// Scheduled instant to completion, of ok responses. Empty in a closed loop, where it is equal
    /// to `service` by definition.
    public var response: SparseHistogram
    /// Send to completion, of ok responses.
    public var service: SparseHistogram
    /// Send to first byte of the response, of ok responses.
    public var firstByte: SparseHistogram

    public init(
      index: UInt16, counters: Counters = Counters(), response: SparseHistogram = .init(),
      service: SparseHistogram = .init(), firstByte: SparseHistogram = .init()
    ) {
      self.index = index
      self.counters = counters
      self.response = response
      self.service = service
      self.firstByte = firstByte
    }
  }

  public var name: BatchName
  /// The slice of the run's time this counts, numbered on the master's timeline. A worker whose
  /// pages were not collected in time goes on counting in one page, so `lastInterval` may be later.
  public var firstInterval: UInt32
  public var lastInterval: UInt32
  public var phase: Phase
  /// Nanoseconds since the run's start instant.
  public var startNs: UInt64
  public var endNs: UInt64
  public var endpoints: [Endpoint]
  /// Duration of connection set-up, socket to established.
  public var connect: SparseHistogram
  /// Duration of TLS handshakes, established to secured. Empty without TLS.
  public var tls: SparseHistogram
  /// Sent minus scheduled: the generator's own lateness. Empty in a closed loop, where it is zero.
  public var scheduleLag: SparseHistogram
  /// Ok responses per connection, in a worker's last batch only. Recorded as count x 512, so that
  /// one response falls into the lowest bucket and connections that got none are `underCount`.
  public var fairness: SparseHistogram
  /// What users did. Empty without users.
  public var iterations: Iterations
  /// The worker's own figures for the interval.
  public var worker: WorkerCounters

  public init(
    name: BatchName, firstInterval: UInt32, lastInterval: UInt32, phase: Phase, startNs: UInt64,
    endNs: UInt64, endpoints: [Endpoint] = [], connect: SparseHistogram = .init(),
    tls: SparseHistogram = .init(), scheduleLag: SparseHistogram = .init(),
    fairness: SparseHistogram = .init(), iterations: Iterations = .init(),
    worker: WorkerCounters = .init()
  ) {
    self.name = name
    self.firstInterval = firstInterval
    self.lastInterval = lastInterval
    self.phase = phase
    self.startNs = startNs
    self.endNs = endNs
    self.endpoints = endpoints
    self.connect = connect
    self.tls = tls
    self.scheduleLag = scheduleLag
    self.fairness = fairness
    self.iterations = iterations
    self.worker = worker
  }
}

/// How often users went through what they do. All of an iteration counts where it began.
public struct Iterations: Equatable, Sendable {
  /// Begun: their first request went out, or they ended without one.
  public var started: UInt64 = 0
  /// Ended before their last step, because a request failed.
  public var abandoned: UInt64 = 0
  /// Due, and nobody was free to begin them.
  public var dropped: UInt64 = 0
  /// From the first step to the last, of those that came there.
  public var durations = SparseHistogram()

  public init() {}
}

/// What a worker process itself did in an interval. All but the connections and the last instant add up.
public struct WorkerCounters: Equatable, Sendable {
  /// A generator with time left sends within this of the scheduled instant, also in a guest machine.
  public static let lateNs: UInt64 = 1_000_000

  public var cpuUserNs: UInt64 = 0
  public var cpuSystemNs: UInt64 = 0
  /// Time it was ready to run and waited for its CPU (schedstat, proc(5)); 0 also where the kernel
  /// does not tell.
  public var runQueueWaitNs: UInt64 = 0
  /// System calls of its ring.
  public var systemCalls: UInt64 = 0
  /// Connections established.
  public var opened: UInt64 = 0
  /// Of these, the ones that replaced an earlier connection.
  public var reopened: UInt64 = 0
  /// Requests that left more than `lateNs` late by the worker's own doing: a connection was free.
  public var late: UInt64 = 0
  /// Connections open at the interval's end.
  public var connections: UInt32 = 0
  /// Connections that could not be opened for want of a free local port (EADDRNOTAVAIL).
  public var portFailures: UInt64 = 0
  /// The same for want of a descriptor (EMFILE, ENFILE).
  public var descriptorFailures: UInt64 = 0
  /// When the last ok response came, since the run's start; 0 without one.
  public var lastOkNs: UInt64 = 0

  public init() {}

  public mutating func merge(_ other: WorkerCounters) {
    cpuUserNs += other.cpuUserNs
    cpuSystemNs += other.cpuSystemNs
    runQueueWaitNs += other.runQueueWaitNs
    systemCalls += other.systemCalls
    opened += other.opened
    reopened += other.reopened
    late += other.late
    connections = other.connections
    portFailures += other.portFailures
    descriptorFailures += other.descriptorFailures
    lastOkNs = max(lastOkNs, other.lastOkNs)
  }
}
