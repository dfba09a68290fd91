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

extension ClusterMaster.Options {
  /// Of a run that begins with these options, here and now.
  package var head: RecordHead {
    var head = RecordHead()
    head.argv = CommandLine.arguments
    head.tool = .ours
    head.host = .ours
    head.expectWorkers = expectWorkers
    head.expectWorkersMaxWaitNs = expectWorkersMaxWaitNs == .max ? nil : expectWorkersMaxWaitNs
    head.heartbeatIntervalNs = heartbeatIntervalNs
    head.liveness = UInt32(liveness)
    head.leaseNs = leaseNs
    return head
  }

  /// Leads this run. Agents keep to the times they were told first, so a run that goes on has those
  /// it began with.
  package mutating func take(_ run: RunRecord) {
    record = run
    expectWorkers = run.head.expectWorkers
    expectWorkersMaxWaitNs = run.head.expectWorkersMaxWaitNs ?? .max
    heartbeatIntervalNs = run.head.heartbeatIntervalNs
    liveness = UInt8(clamping: run.head.liveness)
    leaseNs = run.head.leaseNs
  }
}
