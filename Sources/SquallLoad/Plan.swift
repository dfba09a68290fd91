/// What to send, how much, and for how long. Immutable; sent by the master to everyone; its bytes
/// are hashed so that two nodes know they speak of the same one. Durations are nanoseconds.
public struct Plan: Equatable, Sendable {
  /// Where connections go: a host name or address as the user wrote it, resolved on each host.
  public struct Destination: Equatable, Sendable {
    public var host: String
    public var port: UInt16

    public init(host: String, port: UInt16) {
      self.host = host
      self.port = port
    }
  }

  /// One kind of request, rendered to the bytes that are sent.
  public struct Endpoint: Equatable, Sendable {
    public var name: String
    public var request: [UInt8]
    /// The request was HEAD, so its response has no body (RFC 9110 section 9.3.2).
    public var expectsNoBody: Bool

    public init(name: String, request: [UInt8], expectsNoBody: Bool) {
      self.name = name
      self.request = request
      self.expectsNoBody = expectsNoBody
    }
  }

  public var url: String
  public var method: String
  public var destinations: [Destination]
  public var endpoints: [Endpoint]
  /// Total over all workers.
  public var connections: UInt32
  /// Length of the measured time.
  public var durationNs: UInt64
  /// `durationNs` of a plan that only a count of requests ends: longer than any run, and short enough
  /// for sums of times.
  public static let endlessNs: UInt64 = 1 << 60
  /// Stop after this many requests in all; `UInt64.max` for no such limit.
  public var requestCount: UInt64
  public var load: Load
  /// Requests in flight on one connection (HTTP/1.1 pipelining), at least 1.
  public var pipeline: UInt32
  /// Requests after which a connection is closed and opened anew; 0 for no such limit.
  public var requestsPerConnection: UInt32
  /// From the send to the complete response.
  public var timeoutNs: UInt64
  public var connectTimeoutNs: UInt64
  /// From the scheduled instant to the complete response; `UInt64.max` for none.
  public var deadlineNs: UInt64
  public var warmupNs: UInt64
  /// How long requests in flight at the stop are awaited.
  public var drainNs: UInt64
  public var intervalNs: UInt64
  /// Over which connections are opened at the start.
  public var rampNs: UInt64
  /// Requests in flight over all workers at most, beyond it they are dropped; `UInt32.max` for none.
  public var inFlightLimit: UInt32
  /// Sleep short and spin for the last microseconds before a scheduled instant.
  public var spins: Bool
  /// Local addresses to connect from, in turn; empty lets the kernel choose.
  public var sourceAddresses: [String]
  public var seed: UInt64
  public var labels: [String: String]
  /// A scenario's program in its encoding; empty when there is the one request alone. With it each
  /// connection is a user's, and `endpoints` are its names.
  public var program: [UInt8]

  public init(
    url: String, method: String, destinations: [Destination], endpoints: [Endpoint],
    connections: UInt32
  ) {
    self.url = url
    self.method = method
    self.destinations = destinations
    self.endpoints = endpoints
    self.connections = connections
    durationNs = 10_000_000_000
    requestCount = .max
    load = .closed
    pipeline = 1
    requestsPerConnection = 0
    timeoutNs = 30_000_000_000
    connectTimeoutNs = 5_000_000_000
    deadlineNs = .max
    warmupNs = 0
    drainNs = 1_000_000_000
    intervalNs = 1_000_000_000
    rampNs = 0
    inFlightLimit = .max
    spins = false
    sourceAddresses = []
    seed = 1
    labels = [:]
    program = []
  }
}

/// When requests are due.
public enum Load: Equatable, Sendable {
  /// As fast as responses come: each connection sends again when its response is complete.
  case closed
  /// On a schedule that does not wait for responses.
  case open(Schedule)
}
