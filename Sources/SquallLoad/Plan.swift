/// A whole run: what is sent where, at what pace, over which connections, for how long. Immutable once it
/// is made; sent by the master to everyone; its bytes are hashed, so that two nodes know they speak of the
/// same one. What people get who say nothing else is `usual` of each part.
public struct Plan: Equatable, Sendable {
  public var origin: Origin
  /// Of a scenario, the other hosts that it names, in its order.
  public var otherOrigins: [Origin] = []
  public var content: Content
  public var load: Load
  /// Stop after this many requests in all; `UInt64.max` for no such limit.
  public var requestCount: UInt64
  public var connections: Connections
  public var times: Times
  /// Sleep short and spin for the last microseconds before a scheduled instant.
  public var spins: Bool
  public var seed: UInt64
  public var labels: [String: String]
  /// What was changed while it ran: not a part of what two nodes agree on before, nor of its bytes.
  public internal(set) var changes: [LoadChange] = []

  public init(
    to origin: Origin, sending content: Content, load: Load = .closed,
    over connections: Connections, times: Times = .usual
  ) {
    self.origin = origin
    self.content = content
    self.load = load
    self.connections = connections
    self.times = times
    requestCount = .max
    spins = false
    seed = 1
    labels = [:]
  }
}

extension Plan {
  /// All that connections go to: of those that are open at a time every one has as many.
  public var origins: [Origin] { [origin] + otherOrigins }

  /// A request of a scenario may wait for a connection: the user and its connections are two things.
  public var usersAreApart: Bool {
    !content.program.isEmpty
      && (connections.shared > 0 || connections.originCount > 1 || connections.streams > 0)
  }

  /// What there is of each destination, in their order, by origin.
  package func grouped<Value>(_ found: [Value]) -> [[Value]] {
    var rest = found[...]
    return origins.map { origin in
      defer { rest = rest.dropFirst(origin.destinations.count) }
      return Array(rest.prefix(origin.destinations.count))
    }
  }

  /// Where connections go.
  public struct Origin: Equatable, Sendable {
    /// As the user wrote it.
    public var url: String
    /// Connections use them in turn.
    public var destinations: [Destination]
    /// Local addresses to connect from, in turn; empty lets the kernel choose.
    public var sourceAddresses: [String]
    /// Nil: the bytes travel as they are.
    public var tls: TLSPlan?

    public init(url: String, destinations: [Destination]) {
      self.url = url
      self.destinations = destinations
      sourceAddresses = []
    }
  }

  /// A host name or address as the user wrote it, resolved on each host; or the path of a Unix socket,
  /// from the root, with port 0.
  public struct Destination: Equatable, Sendable, CustomStringConvertible {
    public var host: String
    public var port: UInt16

    public var description: String {
      if isPath { return host }
      return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    public var isPath: Bool { host.hasPrefix("/") }

    public init(host: String, port: UInt16) {
      self.host = host
      self.port = port
    }
  }

  /// What is sent.
  public struct Content: Equatable, Sendable {
    public var method: String
    public var endpoints: [Endpoint]
    /// A scenario's program in its encoding; empty when there is the one request alone. With it each
    /// connection is a user's, and `endpoints` are its names.
    public var program: [UInt8]

    public init(method: String, endpoints: [Endpoint], program: [UInt8] = []) {
      self.method = method
      self.endpoints = endpoints
      self.program = program
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

  public struct Connections: Equatable, Sendable {
    /// Total over all workers.
    public var count: UInt32
    /// Over which they are opened at the start.
    public var rampNs: UInt64
    /// Requests in flight on one connection (HTTP/1.1 pipelining), at least 1.
    public var pipeline: UInt32
    /// Streams at a time on one connection of HTTP/2 (RFC 9113); 0 for HTTP/1.1.
    public var streams: UInt32
    /// Requests after which a connection is closed and opened anew; 0 for no such limit.
    public var requestsEach: UInt32
    /// Requests in flight over all workers at most, beyond it they are dropped; `UInt32.max` for none.
    public var inFlightLimit: UInt32
    /// Connections over all workers that the users of a scenario share; 0 when each has its own, and
    /// then `count` is the number of both.
    public var shared: UInt32
    /// Origins that they go to. Each user has one to each, or each has the shared ones.
    public var originCount: UInt32
    /// No number of a user may be in use at two places, not even while users move: each has a row of
    /// data to itself.
    public var isNumbered: Bool

    /// Kept alive, and with one request at a time each.
    public init(_ count: UInt32) {
      self.count = count
      rampNs = 0
      pipeline = 1
      streams = 0
      requestsEach = 0
      inFlightLimit = .max
      shared = 0
      originCount = 1
      isNumbered = false
    }

    /// Those that are open at a time, over all workers.
    public var openCount: UInt32 {
      countEach.multipliedReportingOverflow(by: max(1, originCount)).partialValue
    }

    /// Of these, those to one origin.
    package var countEach: UInt32 { shared == 0 ? count : min(shared, count) }

    /// To one origin, those of one worker: in proportion to its users, and at least one for any.
    package func part(_ share: Share) -> UInt32 {
      guard share.connections > 0, shared > 0 else { return share.connections }
      // While users move, whoever has fewer of them has fewer of these at once.
      let most =
        (UInt64(share.connections) * UInt64(countEach) + UInt64(count) - 1) / UInt64(count)
      return UInt32(
        max(
          1,
          min(
            most,
            Share.part(
              of: UInt64(countEach), position: share.position, count: share.workerCount))))
    }

    public static let usual = Connections(64)
  }

  public struct Times: Equatable, Sendable {
    /// Length of the measured time.
    public var durationNs: UInt64
    /// Real load before the measured time, not counted.
    public var warmupNs: UInt64
    /// How long requests in flight at the stop are awaited.
    public var drainNs: UInt64
    public var intervalNs: UInt64
    /// From the send to the complete response.
    public var timeoutNs: UInt64
    public var connectTimeoutNs: UInt64
    /// From the scheduled instant to the complete response; `UInt64.max` for none.
    public var deadlineNs: UInt64

    public static let usual = Times(
      durationNs: 10_000_000_000, warmupNs: 0, drainNs: 2_000_000_000, intervalNs: 1_000_000_000,
      timeoutNs: 10_000_000_000, connectTimeoutNs: 5_000_000_000, deadlineNs: .max)

    /// `durationNs` of a plan that only a count of requests ends: longer than any run, and short enough
    /// for sums of times.
    public static let endlessNs: UInt64 = 1 << 60
  }
}

/// When requests are due.
public enum Load: Equatable, Sendable {
  /// As fast as responses come: each connection sends again when its response is complete.
  case closed
  /// On a schedule that does not wait for responses.
  case open(Schedule)
}
