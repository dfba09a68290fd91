extension Batch {
  /// No interval of a worker sends, or moves in bytes, this much.
  private static let countEnd: UInt64 = 1 << 40
  private static let byteCountEnd: UInt64 = 1 << 46
  /// 52 days.
  private static let instantEndNs: UInt64 = 1 << 52

  /// Whether the batch can be merged without harm: indices inside their tables, buckets in order,
  /// and counts so far from the end of their types that no run's worth of them overflows. A batch
  /// from the network is not trusted before.
  package func isPlausible(endpointCount: Int) -> Bool {
    guard firstInterval <= lastInterval, startNs <= endNs, endNs < Self.instantEndNs else {
      return false
    }
    var previous = -1
    for endpoint in endpoints {
      guard Int(endpoint.index) > previous, Int(endpoint.index) < endpointCount,
        endpoint.counters.isPlausible(countEnd: Self.countEnd, byteCountEnd: Self.byteCountEnd),
        endpoint.response.isPlausible, endpoint.service.isPlausible, endpoint.firstByte.isPlausible
      else { return false }
      previous = Int(endpoint.index)
    }
    return connect.isPlausible && tls.isPlausible && scheduleLag.isPlausible && fairness.isPlausible
      && iterations.durations.isPlausible && iterations.started < Self.countEnd
      && iterations.abandoned < Self.countEnd && iterations.dropped < Self.countEnd
      && [
        worker.cpuUserNs, worker.cpuSystemNs, worker.runQueueWaitNs, worker.systemCalls,
        worker.opened, worker.reopened, worker.late, worker.portFailures, worker.descriptorFailures,
        worker.lastOkNs,
      ].allSatisfy { $0 < Self.byteCountEnd }
  }
}

extension Counters {
  fileprivate func isPlausible(countEnd: UInt64, byteCountEnd: UInt64) -> Bool {
    errors.count == ErrorCause.count && sent < countEnd && dropped < countEnd
      && bytesSent < byteCountEnd && bytesReceived < byteCountEnd && bytesBody < byteCountEnd
      && errors.allSatisfy { $0 < countEnd } && statuses.values.allSatisfy { $0 < countEnd }
      && malformations.values.allSatisfy { $0 < countEnd }
      && malformations.values.reduce(0, +) <= errors[Int(ErrorCause.parse.rawValue)]
      && checks.allSatisfy { $0.key < Self.checkCountMax && $0.value < countEnd }
      && checks.values.reduce(0, +) <= errors[Int(ErrorCause.check.rawValue)]
      && findings.values.allSatisfy { $0 < byteCountEnd }
      && samples.values.allSatisfy { $0.count <= Sample.byteCountMax }
  }
}

extension SparseHistogram {
  /// Buckets inside the layout and in order; empty or with a minimum not above the maximum.
  package var isPlausible: Bool {
    var previous = -1
    for bucket in buckets {
      guard Int(bucket.index) > previous, bucket.index < HistogramLayout.bucketCount else {
        return false
      }
      previous = Int(bucket.index)
    }
    return isEmpty || (minNs <= maxNs && sumOfSquares < 1 << 104)
  }
}
