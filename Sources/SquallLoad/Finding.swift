/// What stands behind errors and beside answers: finer than a cause, so that a report can say why.
/// Merging is addition. The raw value is the index in a page and on the wire: append only.
public enum Finding: UInt8, CaseIterable, Sendable {
  /// The connection ended in the middle of an answer.
  case cutShort = 0
  /// Body bytes that had come of those.
  case cutShortByteCount
  /// Time ran out in the middle of an answer.
  case lateInAnswer
  /// The connection ended before the first byte of an answer, and had brought answers before.
  case reuseClosed
  /// How many answers those connections had brought.
  case answersBeforeClose
  /// The sum of their squares: whether each brought as many as the others.
  case answersBeforeCloseSquared
  /// Connections given up because bytes stood behind a complete answer.
  case strayConnections
  case strayByteCount
  /// Connections given up because bytes came before anything was asked.
  case unaskedConnections
  /// Requests behind the announced end of a connection, which the peer never looked at and which
  /// were sent again.
  case sentAgain
  /// Requests that the peer gave up (RST_STREAM).
  case streamsReset
  /// Connections on which the peer said that it goes away (GOAWAY).
  case goneAway
  /// TLS handshakes that were done, whole or by a ticket, and those of them that took a second hello
  /// (RFC 8446 section 4.1.4).
  case handshakesFull
  case handshakesResumed
  case handshakesRetried
  // Failures of TLS, in the order of `TLSFailure`.
  case tlsUnknownCA
  case tlsWrongName
  case tlsExpired
  case tlsNotYetValid
  case tlsBadCertificate
  case tlsBadSignature
  case tlsWrongVersion
  case tlsNoCommonCipher
  case tlsNoProtocol
  case tlsAlert
  case tlsNotTLS
  case tlsBadRecord
  case tlsRenegotiation
  case tlsTooLarge
  case tlsOther
  case tlsClosed
  case tlsTimedOut
  /// Workers, each life of one, that stood on epoll and not on io_uring.
  case overEpoll
  /// Answers of a status that no plan without a scenario accepts and that a check asks for.
  case askedForStatus

  /// Told in places of their own, such as those of TLS and HTTP/2.
  package var isOfWire: Bool { rawValue >= Finding.sentAgain.rawValue }

  public var name: String {
    switch self {
    case .cutShort: "cut_short"
    case .cutShortByteCount: "cut_short_body_bytes"
    case .lateInAnswer: "late_in_answer"
    case .reuseClosed: "reuse_closed"
    case .answersBeforeClose: "answers_before_close"
    case .answersBeforeCloseSquared: "answers_before_close_squared"
    case .strayConnections: "stray_connections"
    case .strayByteCount: "stray_bytes"
    case .unaskedConnections: "unasked_connections"
    case .sentAgain: "sent_again"
    case .streamsReset: "streams_reset"
    case .goneAway: "gone_away"
    case .handshakesFull: "handshakes_full"
    case .handshakesResumed: "handshakes_resumed"
    case .handshakesRetried: "handshakes_retried"
    case .tlsUnknownCA: "tls_unknown_ca"
    case .tlsWrongName: "tls_wrong_name"
    case .tlsExpired: "tls_expired"
    case .tlsNotYetValid: "tls_not_yet_valid"
    case .tlsBadCertificate: "tls_bad_certificate"
    case .tlsBadSignature: "tls_bad_signature"
    case .tlsWrongVersion: "tls_wrong_version"
    case .tlsNoCommonCipher: "tls_no_common_cipher"
    case .tlsNoProtocol: "tls_no_protocol"
    case .tlsAlert: "tls_alert"
    case .tlsNotTLS: "tls_not_tls"
    case .tlsBadRecord: "tls_bad_record"
    case .tlsRenegotiation: "tls_renegotiation"
    case .tlsTooLarge: "tls_too_large"
    case .tlsOther: "tls_other"
    case .tlsClosed: "tls_closed"
    case .tlsTimedOut: "tls_timed_out"
    case .overEpoll: "over_epoll"
    case .askedForStatus: "asked_for_status"
    }
  }
}

/// A piece of what a target sent, kept to show it. The raw value is the place in a page and the name
/// on the wire: append only.
public enum Sample: UInt8, CaseIterable, Sendable {
  /// The first bytes of an answer that does not begin as one.
  case strangeStart = 0
  /// What a handshake agreed on: `TLSFacts` in bytes.
  case tlsFacts
  /// The library's words of a handshake that failed.
  case tlsFailure
  /// Where the first answer's Location field leads.
  case location
  /// The first answer's Content-Encoding, when the request asked for none.
  case unaskedEncoding

  public static let byteCountMax = 127

  package var isOfWire: Bool { self == .tlsFacts || self == .tlsFailure }

  public var name: String {
    switch self {
    case .strangeStart: "strange_start"
    case .tlsFacts: "tls_facts"
    case .tlsFailure: "tls_failure"
    case .location: "location"
    case .unaskedEncoding: "unasked_encoding"
    }
  }
}
