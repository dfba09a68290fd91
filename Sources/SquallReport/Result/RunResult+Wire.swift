package import SquallLoad

/// How the bytes travelled and what was spoken.
extension RunResult {
  package struct TLS: Equatable, Sendable {
    /// `1.3`; these are of the first handshake that was done, and absent when none was.
    package var version: String?
    package var cipher: String?
    package var group: String?
    /// ALPN's choice; empty for none.
    package var applicationProtocol: String?
    package var chainByteCount: UInt32?
    /// `full` or `resume`, as asked for.
    package var session = "full"
    package var verified = true
    package var handshakes = Handshakes()
    /// By `TLSFailure.name`.
    package var failures: [String: UInt64] = [:]
    /// The library's words of one that failed.
    package var failureText: String?
    package init() {}
  }

  package struct Handshakes: Equatable, Sendable {
    package var full: UInt64 = 0
    package var resumed: UInt64 = 0
    package var failed: UInt64 = 0
    package var retried: UInt64 = 0
    package init() {}
  }

  package struct HTTP: Equatable, Sendable {
    /// `1.1` or `2`.
    package var version = "1.1"
    /// At a time on one connection; 0 for HTTP/1.1.
    package var streams: UInt32 = 0
    /// Connections that the target ended with a GOAWAY, and requests that it gave up (RST_STREAM).
    package var goaways: UInt64 = 0
    package var resets: UInt64 = 0
    /// The same by `HTTP2Code.name`; nil for HTTP/1.1.
    package var goAwayCodes: [String: UInt64]?
    package var resetCodes: [String: UInt64]?
    /// Requests that the target had not looked at and that were sent again.
    package var sentAgain: UInt64 = 0
    package init() {}
  }
}

extension RunResult.TLS {
  /// `all`: of the whole run, since handshakes come before the measured time.
  init(_ plan: TLSPlan, _ all: Counters) {
    self.init()
    session = plan.resumes ? "resume" : "full"
    verified = plan.verifies
    handshakes.full = all.findings[.handshakesFull] ?? 0
    handshakes.resumed = all.findings[.handshakesResumed] ?? 0
    handshakes.retried = all.findings[.handshakesRetried] ?? 0
    for failure in TLSFailure.allCases {
      guard let count = all.findings[failure.finding] else { continue }
      failures[failure.name] = count
      handshakes.failed += count
    }
    failureText = all.samples[.tlsFailure].map { String(decoding: $0, as: UTF8.self) }
    guard let facts = all.samples[.tlsFacts].flatMap(TLSFacts.init(sample:)) else { return }
    version = facts.versionName
    cipher = facts.cipherName
    group = facts.groupName
    applicationProtocol = facts.applicationProtocol
    chainByteCount = facts.chainByteCount
  }
}

extension RunResult.HTTP {
  init(_ plan: Plan, _ all: Counters) {
    self.init()
    version = plan.connections.streams > 0 ? "2" : "1.1"
    streams = plan.connections.streams
    sentAgain = all.findings[.sentAgain] ?? 0
    guard streams > 0 else { return }
    let goAwayCodes = all.counts { $0.goAway }
    let resetCodes = all.counts { $0.reset }
    // Sums of what is counted once, and what has no code.
    goaways = goAwayCodes.values.reduce(all.findings[.goneAway] ?? 0, +)
    resets = resetCodes.values.reduce(all.findings[.streamsReset] ?? 0, +)
    self.goAwayCodes = goAwayCodes
    self.resetCodes = resetCodes
  }

  /// Codes that occurred, most first.
  package static func parts(_ counts: [String: UInt64]?) -> [(code: HTTP2Code, count: UInt64)] {
    HTTP2Code.allCases.compactMap { code in counts?[code.name].map { (code, $0) } }
      .sorted { ($1.count, $0.code.rawValue) < ($0.count, $1.code.rawValue) }
  }
}

extension Counters {
  fileprivate func counts(_ finding: (HTTP2Code) -> Finding) -> [String: UInt64] {
    var counts: [String: UInt64] = [:]
    for code in HTTP2Code.allCases { counts[code.name] = findings[finding(code)] }
    return counts
  }
}

extension RunResult.TLS: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init(optional: "version", \.version, "Absent when no handshake was done."),
      .init(optional: "cipher", \.cipher), .init(optional: "group", \.group),
      .init(optional: "alpn", \.applicationProtocol, "Empty when nothing was agreed on."),
      .init(optional: "chain_bytes", \.chainByteCount, "Of the target's certificates."),
      .init("session", \.session, "full or resume, as asked for."),
      .init("verified", \.verified, "False with -k."),
      .init("handshakes", \.handshakes, "Of the whole run."),
      .init("failures", \.failures, "Handshakes and connections that failed, by reason."),
      .init(optional: "failure_text", \.failureText, "Of one of them."),
    ]
  }
}

extension RunResult.Handshakes: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("full", \.full), .init("resumed", \.resumed), .init("failed", \.failed),
      .init("retried", \.retried, "Took a second hello; counted in full or resumed as well."),
    ]
  }
}

extension RunResult.HTTP: JSONRecord {
  package static var fields: [JSONField<Self>] {
    [
      .init("version", \.version, "1.1 or 2."),
      .init("streams", \.streams, "At a time on one connection, asked for; 0 in HTTP/1.1."),
      .init("goaways", \.goaways, "Connections that the target ended with a GOAWAY."),
      .init(
        optional: "goaway_codes", \.goAwayCodes,
        "Those by code, as RFC 9113 spells it, or other; one that named two codes counts for both."),
      .init("resets", \.resets, "Requests that the target ended with a RST_STREAM."),
      .init(
        optional: "reset_codes", \.resetCodes,
        "Those by code. Requests of REFUSED_STREAM were sent again, within a bound, and are no errors."
      ),
      .init("sent_again", \.sentAgain, "Requests that the target had not looked at."),
    ]
  }
}

extension RunResult.Interval {
  /// Connections that never came to carry a request.
  var openingFailures: UInt64 {
    ErrorCause.allCases.reduce(0) { $1.isOfOpening ? $0 + (errors[$1.name] ?? 0) : $0 }
  }
}

/// TLS and HTTP/2 in a report's words.
extension RunResult.Verdict {
  mutating func judgeHTTP2(_ result: RunResult) {
    for (code, count) in RunResult.HTTP.parts(result.http?.goAwayCodes) where code != .noError {
      cautions.append(
        "\(Figures.count(count, "connection")) ended by the target with \(code.name) (GOAWAY): "
          + "\(code.explanation); \(code.remedy)")
    }
    for (code, count) in RunResult.HTTP.parts(result.http?.resetCodes) {
      cautions.append(
        "\(Figures.count(count, "request")) ended by the target with \(code.name) (RST_STREAM): "
          + "\(code.explanation); \(code.remedy)")
    }
  }

  mutating func judgeTLS(_ result: RunResult) {
    guard let tls = result.tls else { return }
    for failure in TLSFailure.allCases {
      guard let count = tls.failures[failure.name] else { continue }
      cautions.append(
        "\(Figures.count(count, "connection")) failed in TLS: the target \(failure.explanation); "
          + failure.remedy)
    }
  }
}
