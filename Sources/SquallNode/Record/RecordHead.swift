package import SquallLoad
package import SquallReport

/// What a record knows of a run from its first moment, beside the plan.
package struct RecordHead: Equatable, Sendable {
  package var argv: [String] = []
  package var tool = RunResult.Tool()
  /// Of the master.
  package var host = RunResult.Host()
  /// As `--slo` has them.
  package var objectives: [String] = []
  package var expectWorkers = 0
  /// Nil for no limit.
  package var expectWorkersMaxWaitNs: UInt64?
  package var heartbeatIntervalNs: UInt64 = 0
  package var liveness: UInt32 = 0
  package var leaseNs: UInt64 = 0

  package init() {}
}

extension RecordHead: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("argv", \.argv), .init("tool", \.tool), .init("host", \.host),
      .init("slo", \.objectives), .init("expect_workers", \.expectWorkers),
      .init(optional: "expect_workers_max_wait_ns", \.expectWorkersMaxWaitNs),
      .init("heartbeat_interval_ns", \.heartbeatIntervalNs),
      .init("heartbeat_liveness", \.liveness), .init("lease_ns", \.leaseNs),
    ]
  }
}

extension RunFacts {
  /// What the record of a run says of it; the process that reports may be another than the one that
  /// began.
  mutating func take(_ head: RecordHead, run: UInt64, startedAtNs: UInt64) {
    self.run = run
    tool = head.tool
    host = head.host
    argv = head.argv
    startedAt = rfc3339(startedAtNs)
  }
}
