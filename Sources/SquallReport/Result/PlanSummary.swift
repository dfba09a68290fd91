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

  /// Of a scenario's users.
  package struct UserStage: Equatable, Sendable {
    package var durationNs: UInt64 = 0
    /// How many there are at its end.
    package var users: UInt64 = 0
    package init() {}
    package init(durationNs: UInt64, users: UInt64) {
      self.durationNs = durationNs
      self.users = users
    }
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
  /// At a time on a connection of HTTP/2; absent in HTTP/1.1.
  package var streams: UInt32?
  /// 0 for no limit.
  package var requestsPerConnection: UInt32 = 0
  package var timeoutNs: UInt64 = 0
  package var connectTimeoutNs: UInt64 = 0
  package var deadlineNs: UInt64?
  package var warmupNs: UInt64 = 0
  package var drainNs: UInt64 = 0
  package var intervalNs: UInt64 = 0
  package var rampNs: UInt64 = 0
  /// Of a scenario whose users have several connections, or share them.
  package var users: UInt32?
  /// Absent where the number of users is one, after a ramp at most.
  package var userStages: [UserStage]?
  package var maxInFlight: UInt32?
  package var spin = false
  package var sourceAddresses: [String] = []
  package var seed: UInt64 = 1
  package var labels: [String: String] = [:]

  package init() {}

  package init(_ plan: Plan) {
    url = plan.origin.url
    method = plan.content.method
    destinations = plan.origins.flatMap(\.destinations).map(\.description)
    endpoints = plan.content.endpoints.map {
      var endpoint = Endpoint()
      endpoint.name = $0.name
      endpoint.requestByteCount = UInt64($0.request.count)
      endpoint.requestHash =
        Self.hash(plan.content.program.isEmpty ? $0.request : plan.content.program).hexadecimal
      return endpoint
    }
    connections = plan.connections.openCount
    users = plan.usersAreApart ? plan.connections.count : nil
    durationNs = plan.times.durationNs == Plan.Times.endlessNs ? nil : plan.times.durationNs
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
    pipeline = plan.connections.pipeline
    streams = plan.connections.streams > 0 ? plan.connections.streams : nil
    requestsPerConnection = plan.connections.requestsEach
    timeoutNs = plan.times.timeoutNs
    connectTimeoutNs = plan.times.connectTimeoutNs
    deadlineNs = plan.times.deadlineNs == .max ? nil : plan.times.deadlineNs
    warmupNs = plan.times.warmupNs
    drainNs = plan.times.drainNs
    intervalNs = plan.times.intervalNs
    rampNs = plan.connections.rampNs
    maxInFlight = plan.connections.inFlightLimit == .max ? nil : plan.connections.inFlightLimit
    spin = plan.spins
    sourceAddresses = plan.origin.sourceAddresses
    seed = plan.seed
    labels = plan.labels
  }

  private static func hash(_ bytes: [UInt8]) -> UInt64 {
    bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }
}
