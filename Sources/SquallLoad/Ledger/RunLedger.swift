/// Where a worker process lives: its agent and its place there. Its incarnations come and go.
package struct WorkerPlace: Hashable, Comparable, Sendable {
  package var agent: UInt64
  package var worker: UInt16

  package init(agent: UInt64, worker: UInt16) {
    self.agent = agent
    self.worker = worker
  }

  package init(_ incarnation: Incarnation) {
    self.init(agent: incarnation.agent, worker: incarnation.worker)
  }

  package static func < (left: WorkerPlace, right: WorkerPlace) -> Bool {
    (left.agent, left.worker) < (right.agent, right.worker)
  }
}

/// The master's sums of a run: every batch is merged once (whoever calls sees to that), in any order.
///
/// What a result counts is the measured time and the drain after it. Latencies of both are in the
/// histograms, because a drained request is one of the slowest; rates come from the measured time
/// alone. The warm-up is kept apart, but for connection set-up, which mostly happens there.
package struct RunLedger: Equatable, Sendable {
  /// Sums of one of the plan's endpoints. Histograms hold ok responses.
  package struct Endpoint: Equatable, Sendable {
    package var phases = PhaseTallies()
    package var response = Histogram()
    package var service = Histogram()
    package var firstByte = Histogram()
  }

  /// See `SquallLoad.Iterations`.
  package struct Iterations: Equatable, Sendable {
    package var started: UInt64 = 0
    package var abandoned: UInt64 = 0
    package var dropped: UInt64 = 0
    package var durations = Histogram()
  }

  /// Sums of one place, over its incarnations.
  package struct Worker: Equatable, Sendable {
    package var place: WorkerPlace
    package var phases = PhaseTallies()
    /// Its own figures in the measured time.
    package var measured = WorkerCounters()
    /// Of the measured time, what its batches cover.
    package var measuredNs: UInt64 = 0
    /// Where its measured time ends, nanoseconds since the run's start.
    package var measuredEndNs: UInt64 = 0
    /// The most connections it had open at an interval's end.
    package var connectionsMax: UInt32 = 0
    package var scheduleLag = Histogram()
    /// In the order they were heard of.
    package var lives: [UInt64] = []
  }

  package private(set) var phases = PhaseTallies()
  package private(set) var endpoints: [Endpoint]
  /// In the order they were heard of; a timeline's `ordinal` is a place here.
  package private(set) var workers: [Worker] = []
  package private(set) var incarnations: [Incarnation: IncarnationLedger] = [:]
  package private(set) var timeline = Timeline()
  /// Connection set-up, all phases.
  package private(set) var connect = Histogram()
  package private(set) var tls = Histogram()
  package private(set) var scheduleLag = Histogram()
  /// See `Batch.fairness`.
  package private(set) var fairness = Histogram()
  /// What users did, the warm-up left out.
  package private(set) var iterations = Iterations()
  package private(set) var opened: UInt64 = 0
  package private(set) var reopened: UInt64 = 0
  /// The measured time seen in batches, nanoseconds since the run's start; nil before the first.
  package private(set) var measuredSpanNs: Range<UInt64>?
  /// Batches that were refused because they cannot be true.
  package private(set) var refusedCount: UInt64 = 0

  private var ordinals: [WorkerPlace: Int] = [:]

  package init(endpointCount: Int) {
    endpoints = Array(repeating: Endpoint(), count: endpointCount)
  }

  /// Adds a batch. One that is not plausible changes nothing but `refusedCount`, and is answered with
  /// false.
  @discardableResult
  package mutating func merge(_ batch: Batch) -> Bool {
    guard batch.isPlausible(endpointCount: endpoints.count) else {
      refusedCount += 1
      return false
    }
    let ordinal = ordinal(of: batch.name.incarnation)
    incarnations[batch.name.incarnation, default: IncarnationLedger()].merge(batch)
    timeline.merge(batch, ordinal: ordinal)
    let tally = Tally(batch)
    phases[batch.phase].merge(tally)
    workers[ordinal].phases[batch.phase].merge(tally)
    for endpoint in batch.endpoints {
      endpoints[Int(endpoint.index)].merge(endpoint, phase: batch.phase)
    }
    connect.merge(batch.connect)
    tls.merge(batch.tls)
    fairness.merge(batch.fairness)
    opened += batch.worker.opened
    reopened += batch.worker.reopened
    workers[ordinal].connectionsMax = max(
      workers[ordinal].connectionsMax, batch.worker.connections)
    if batch.phase != .warmup {
      iterations.started += batch.iterations.started
      iterations.abandoned += batch.iterations.abandoned
      iterations.dropped += batch.iterations.dropped
      iterations.durations.merge(batch.iterations.durations)
      scheduleLag.merge(batch.scheduleLag)
      workers[ordinal].scheduleLag.merge(batch.scheduleLag)
    }
    if batch.phase == .measured {
      workers[ordinal].measured.merge(batch.worker)
      workers[ordinal].measuredNs += batch.endNs - batch.startNs
      workers[ordinal].measuredEndNs = max(workers[ordinal].measuredEndNs, batch.endNs)
      let span = measuredSpanNs ?? batch.startNs..<batch.endNs
      measuredSpanNs =
        min(span.lowerBound, batch.startNs)..<max(span.upperBound, batch.endNs)
    }
    return true
  }

  /// Requests sent and not accounted for at the end, over all incarnations.
  package var inFlight: Int64 { phases.inFlight }

  /// Scheduled instant to completion over all endpoints; in a closed loop, equal to `service`.
  package var response: Histogram {
    let response = merged(\.response)
    return response.isEmpty ? service : response
  }

  package var service: Histogram { merged(\.service) }
  package var firstByte: Histogram { merged(\.firstByte) }

  private func merged(_ histogram: KeyPath<Endpoint, Histogram>) -> Histogram {
    endpoints.reduce(into: Histogram()) { $0.merge($1[keyPath: histogram]) }
  }

  private mutating func ordinal(of incarnation: Incarnation) -> Int {
    let place = WorkerPlace(incarnation)
    let ordinal = ordinals[place] ?? workers.count
    if ordinal == workers.count {
      ordinals[place] = ordinal
      workers.append(Worker(place: place))
    }
    if incarnations[incarnation] == nil { workers[ordinal].lives.append(incarnation.life) }
    return ordinal
  }
}

extension RunLedger.Endpoint {
  fileprivate mutating func merge(_ endpoint: Batch.Endpoint, phase: Phase) {
    phases[phase].merge(endpoint)
    guard phase != .warmup else { return }
    response.merge(endpoint.response)
    service.merge(endpoint.service)
    firstByte.merge(endpoint.firstByte)
  }
}
