/// Why an attempt did not end in an accepted response. The raw value is the index in every table
/// and on the wire: append only.
public enum ErrorCause: UInt8, CaseIterable, Sendable {
  /// A connection could not be opened (refused, unreachable, timed out, no port, no descriptor).
  /// Counted per attempt to connect; no request was sent, so it is not part of `notOk`.
  case connect = 0
  /// The peer reset the connection with requests in flight.
  case reset
  /// The kernel refused or broke off a send.
  case send
  /// No complete response within `--timeout` of the send.
  case timeout
  /// Not answered within `--deadline` of the scheduled instant.
  case deadline
  /// The response broke RFC 9112 or our limits.
  case parse
  /// A complete response whose status the plan does not accept. Derived from the status counts.
  case status
  /// The peer closed the connection with requests in flight.
  case closed
  /// TLS failed before the connection carried a request. Counted per attempt, like `connect`.
  case tls
  case other
  /// A complete response that a check of the scenario does not hold of.
  case check

  public static let count = 11

  /// Of connections that never came to carry a request, which are no requests' ends.
  public var isOfOpening: Bool { self == .connect || self == .tls }

  public var name: String {
    switch self {
    case .connect: "connect"
    case .reset: "reset"
    case .send: "send"
    case .timeout: "timeout"
    case .deadline: "deadline"
    case .parse: "parse"
    case .status: "status"
    case .closed: "closed"
    case .tls: "tls"
    case .other: "other"
    case .check: "check"
    }
  }
}

/// What one interval, worker or run did to one endpoint, apart from latencies. Merging is addition.
public struct Counters: Equatable, Sendable {
  /// Numbers of checks that an endpoint has at most.
  public static let checkCountMax = 128

  /// Requests handed to the kernel.
  public var sent: UInt64 = 0
  /// Requests whose scheduled instant passed and that were given up unsent (open loop only).
  public var dropped: UInt64 = 0
  public var bytesSent: UInt64 = 0
  public var bytesReceived: UInt64 = 0
  /// Response body bytes after de-chunking.
  public var bytesBody: UInt64 = 0
  /// By cause; `.status` is derived from `statuses` and always zero here.
  public var errors: [UInt64] = Array(repeating: 0, count: ErrorCause.count)
  /// Complete responses by status code.
  public var statuses: [UInt16: UInt64] = [:]
  /// Errors of cause `parse` by their reason: the parser's own number for it.
  public var malformations: [UInt8: UInt64] = [:]
  /// Errors of cause `check` by the check: its number among those of the endpoint.
  public var checks: [UInt8: UInt64] = [:]
  public var findings: [Finding: UInt64] = [:]
  public var samples: [Sample: [UInt8]] = [:]

  public init() {}

  public mutating func merge(_ other: Counters) {
    sent += other.sent
    dropped += other.dropped
    bytesSent += other.bytesSent
    bytesReceived += other.bytesReceived
    bytesBody += other.bytesBody
    for cause in 0..<ErrorCause.count { errors[cause] += other.errors[cause] }
    statuses.merge(other.statuses, uniquingKeysWith: +)
    malformations.merge(other.malformations, uniquingKeysWith: +)
    checks.merge(other.checks, uniquingKeysWith: +)
    findings.merge(other.findings, uniquingKeysWith: +)
    // One of them will do; the same one in whatever order they are merged.
    samples.merge(other.samples) { $0.lexicographicallyPrecedes($1) ? $0 : $1 }
  }

  public func errorCount(_ cause: ErrorCause) -> UInt64 {
    cause == .status ? rejectedCount : errors[Int(cause.rawValue)]
  }

  /// Complete responses with a status in 200 ... 399, or with another that a check asks for.
  public var acceptedCount: UInt64 {
    statuses.reduce(askedForCount) { Self.accepts($1.key) ? $0 + $1.value : $0 }
  }

  /// Complete responses with any other status.
  public var rejectedCount: UInt64 {
    let count = statuses.reduce(0) { Self.accepts($1.key) ? $0 : $0 + $1.value }
    // A damaged batch may say that more were asked for than there were.
    return count - min(count, askedForCount)
  }

  private var askedForCount: UInt64 { findings[.askedForStatus] ?? 0 }

  /// Sent requests that ended in anything but an accepted response.
  public var notOk: UInt64 {
    ErrorCause.allCases.reduce(rejectedCount) {
      $1.isOfOpening ? $0 : $0 + errors[Int($1.rawValue)]
    }
  }

  /// Connections that never came to carry a request.
  public var openingFailures: UInt64 { errorCount(.connect) + errorCount(.tls) }

  /// Whether a response of this status is `ok`.
  public static func accepts(_ status: UInt16) -> Bool { (200..<400).contains(status) }
}
