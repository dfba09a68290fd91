import SquallLoad

/// Batches and numbers for tests of the load's pure parts.
enum LoadSample {
  static func sparse(_ durations: some Sequence<UInt64>) -> SparseHistogram {
    var dense = Histogram()
    for duration in durations { dense.record(duration) }
    return sparse(dense)
  }

  static func sparse(_ dense: Histogram) -> SparseHistogram {
    var sparse = SparseHistogram()
    for (index, count) in dense.buckets.enumerated() where count > 0 {
      sparse.buckets.append(.init(index: UInt16(index), count: UInt32(count)))
    }
    sparse.underCount = UInt32(dense.underCount)
    sparse.overCount = UInt32(dense.overCount)
    sparse.sumNs = UInt64(dense.sumNs)
    sparse.sumOfSquares = dense.sumOfSquares
    sparse.minNs = dense.minNs
    sparse.maxNs = dense.maxNs
    return sparse
  }

  static func incarnation(worker: UInt16 = 0, life: UInt64 = 1, agent: UInt64 = 7) -> Incarnation {
    Incarnation(agent: agent, worker: worker, life: life)
  }

  /// One second of one worker, interval `interval`, with the given service times of ok responses.
  static func batch(
    _ incarnation: Incarnation, sequence: UInt32, interval: UInt32, phase: Phase = .measured,
    service: [UInt64], response: [UInt64] = [], lag: [UInt64] = [], inFlight: UInt64 = 0,
    errors: [ErrorCause: UInt64] = [:], rejected: UInt64 = 0, dropped: UInt64 = 0,
    cpuNs: UInt64 = 400_000_000, intervalNs: UInt64 = 1_000_000_000
  ) -> Batch {
    var endpoint = Batch.Endpoint(index: 0)
    endpoint.service = sparse(service)
    endpoint.firstByte = sparse(service.map { $0 / 2 })
    endpoint.response = sparse(response)
    endpoint.counters.statuses = service.isEmpty ? [:] : [200: UInt64(service.count)]
    if rejected > 0 { endpoint.counters.statuses[503] = rejected }
    for (cause, count) in errors { endpoint.counters.errors[Int(cause.rawValue)] = count }
    endpoint.counters.dropped = dropped
    endpoint.counters.sent = UInt64(service.count) + endpoint.counters.notOk + inFlight
    endpoint.counters.bytesSent = endpoint.counters.sent * 60
    endpoint.counters.bytesReceived = UInt64(service.count) * 130
    endpoint.counters.bytesBody = UInt64(service.count) * 13
    var batch = Batch(
      name: BatchName(incarnation: incarnation, sequence: sequence), firstInterval: interval,
      lastInterval: interval, phase: phase, startNs: UInt64(interval) * intervalNs,
      endNs: UInt64(interval + 1) * intervalNs, endpoints: [endpoint])
    batch.scheduleLag = sparse(lag)
    batch.worker.cpuUserNs = cpuNs / 4
    batch.worker.cpuSystemNs = cpuNs - cpuNs / 4
    batch.worker.systemCalls = UInt64(service.count) / 10
    batch.worker.connections = 8
    return batch
  }
}
