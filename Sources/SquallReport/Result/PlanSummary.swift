package import SquallLoad

/// A plan as the result shows it: all that makes two runs comparable. Requests are there as byte
/// counts and hashes, since headers hold secrets.
package struct PlanSummary: Equatable, Sendable {
  package struct Endpoint: Equatable, Sendable {
    package var name = ""
    package var requestByteCount: UInt64 = 0
    /// FNV-1a of the request's bytes, or of the scenario's program: 16 hexadecimal digits.
    package var requestHash = ""
    package init() {}
  }

  package struct Stage: Equatable, Sendable {
    package var durationNs: UInt64 = 0
    package var endPerS = 0.0
    package init() {}
  }

  package struct Schedule: Equatable, Sendable {
    package var startPerS = 0.0
    package var stages: [Stage] = []
    package var arrival = "uniform"
    package var seed: UInt64 = 1
    package init() {}
  }

  package var url = ""
  package var method = ""
  /// `host:port`.
  package var destinations: [String] = []
  package var endpoints: [Endpoint] = []
  package var connections: UInt32 = 0
  /// Absent when only a count of requests ends the run.
  package var durationNs: UInt64?
  /// Absent when only time ends the run.
  package var requests: UInt64?
  /// Absent in a closed loop.
  package var schedule: Schedule?
  package var pipeline: UInt32 = 1
  /// 0 for no limit.
  package var requestsPerConnection: UInt32 = 0
  package var timeoutNs: UInt64 = 0
  package var connectTimeoutNs: UInt64 = 0
  package var deadlineNs: UInt64?
  package var warmupNs: UInt64 = 0
  package var drainNs: UInt64 = 0
  package var intervalNs: UInt64 = 0
  package var rampNs: UInt64 = 0
  package var maxInFlight: UInt32?
  package var spin = false
  package var sourceAddresses: [String] = []
  package var seed: UInt64 = 1
  package var labels: [String: String] = [:]

  package init() {}

  package init(_ plan: Plan) {
    url = plan.url
    method = plan.method
    destinations = plan.destinations.map {
      $0.host.contains(":") ? "[\($0.host)]:\($0.port)" : "\($0.host):\($0.port)"
    }
    endpoints = plan.endpoints.map {
      var endpoint = Endpoint()
      endpoint.name = $0.name
      endpoint.requestByteCount = UInt64($0.request.count)
      endpoint.requestHash =
        Self.hash(plan.program.isEmpty ? $0.request : plan.program).hexadecimal
      return endpoint
    }
    connections = plan.connections
    durationNs = plan.durationNs == Plan.endlessNs ? nil : plan.durationNs
    requests = plan.requestCount == .max ? nil : plan.requestCount
    if case .open(let open) = plan.load {
      var schedule = Schedule()
      schedule.startPerS = open.startHz
      schedule.stages = open.stages.map {
        var stage = Stage()
        stage.durationNs = $0.durationNs
        stage.endPerS = $0.endHz
        return stage
      }
      schedule.arrival = open.arrival == .poisson ? "poisson" : "uniform"
      schedule.seed = open.seed
      self.schedule = schedule
    }
    pipeline = plan.pipeline
    requestsPerConnection = plan.requestsPerConnection
    timeoutNs = plan.timeoutNs
    connectTimeoutNs = plan.connectTimeoutNs
    deadlineNs = plan.deadlineNs == .max ? nil : plan.deadlineNs
    warmupNs = plan.warmupNs
    drainNs = plan.drainNs
    intervalNs = plan.intervalNs
    rampNs = plan.rampNs
    maxInFlight = plan.inFlightLimit == .max ? nil : plan.inFlightLimit
    spin = plan.spins
    sourceAddresses = plan.sourceAddresses
    seed = plan.seed
    labels = plan.labels
  }

  private static func hash(_ bytes: [UInt8]) -> UInt64 {
    bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }
}
