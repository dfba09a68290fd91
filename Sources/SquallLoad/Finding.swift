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
  /// Requests that the peer never looked at and that were sent again: those behind the announced end
  /// of a connection, and those it refused.
  case sentAgain
  // Without their codes, as records of earlier versions have them.
  case streamsReset
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
  // Connections on which the peer said that it goes away (GOAWAY), in the order of `HTTP2Code`. One that
  // named two codes counts for both.
  case goneAwayNoError
  case goneAwayProtocolError
  case goneAwayInternalError
  case goneAwayFlowControlError
  case goneAwaySettingsTimeout
  case goneAwayStreamClosed
  case goneAwayFrameSizeError
  case goneAwayRefusedStream
  case goneAwayCancel
  case goneAwayCompressionError
  case goneAwayConnectError
  case goneAwayEnhanceYourCalm
  case goneAwayInadequateSecurity
  case goneAwayHTTP11Required
  case goneAwayOther
  // Requests whose stream the peer ended (RST_STREAM), in the same order.
  case resetNoError
  case resetProtocolError
  case resetInternalError
  case resetFlowControlError
  case resetSettingsTimeout
  case resetStreamClosed
  case resetFrameSizeError
  case resetRefusedStream
  case resetCancel
  case resetCompressionError
  case resetConnectError
  case resetEnhanceYourCalm
  case resetInadequateSecurity
  case resetHTTP11Required
  case resetOther

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
    case .goneAwayNoError: "gone_away_no_error"
    case .goneAwayProtocolError: "gone_away_protocol_error"
    case .goneAwayInternalError: "gone_away_internal_error"
    case .goneAwayFlowControlError: "gone_away_flow_control_error"
    case .goneAwaySettingsTimeout: "gone_away_settings_timeout"
    case .goneAwayStreamClosed: "gone_away_stream_closed"
    case .goneAwayFrameSizeError: "gone_away_frame_size_error"
    case .goneAwayRefusedStream: "gone_away_refused_stream"
    case .goneAwayCancel: "gone_away_cancel"
    case .goneAwayCompressionError: "gone_away_compression_error"
    case .goneAwayConnectError: "gone_away_connect_error"
    case .goneAwayEnhanceYourCalm: "gone_away_enhance_your_calm"
    case .goneAwayInadequateSecurity: "gone_away_inadequate_security"
    case .goneAwayHTTP11Required: "gone_away_http_1_1_required"
    case .goneAwayOther: "gone_away_other"
    case .resetNoError: "reset_no_error"
    case .resetProtocolError: "reset_protocol_error"
    case .resetInternalError: "reset_internal_error"
    case .resetFlowControlError: "reset_flow_control_error"
    case .resetSettingsTimeout: "reset_settings_timeout"
    case .resetStreamClosed: "reset_stream_closed"
    case .resetFrameSizeError: "reset_frame_size_error"
    case .resetRefusedStream: "reset_refused_stream"
    case .resetCancel: "reset_cancel"
    case .resetCompressionError: "reset_compression_error"
    case .resetConnectError: "reset_connect_error"
    case .resetEnhanceYourCalm: "reset_enhance_your_calm"
    case .resetInadequateSecurity: "reset_inadequate_security"
    case .resetHTTP11Required: "reset_http_1_1_required"
    case .resetOther: "reset_other"
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
