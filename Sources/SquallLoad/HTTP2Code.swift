/// Why a peer ended a connection (GOAWAY) or a stream (RST_STREAM), as results tell it: the codes of
/// RFC 9113 section 7 under their own numbers, and one for all that are not there.
public enum HTTP2Code: UInt8, CaseIterable, Sendable {
  case noError = 0
  case protocolError, internalError, flowControlError, settingsTimeout, streamClosed, frameSizeError
  case refusedStream, cancel, compressionError, connectError, enhanceYourCalm, inadequateSecurity
  case http11Required
  case other

  /// The code as it stands in a frame.
  public init(ofFrame code: UInt32) {
    self = UInt8(exactly: code).flatMap(HTTP2Code.init(rawValue:)) ?? .other
  }

  /// A connection that the peer ended with it.
  public var goAway: Finding { finding(from: .goneAwayNoError) }

  /// A request's stream that the peer ended with it.
  public var reset: Finding { finding(from: .resetNoError) }

  private func finding(from first: Finding) -> Finding {
    guard let finding = Finding(rawValue: first.rawValue + rawValue) else {
      preconditionFailure("a code without a finding")
    }
    return finding
  }

  /// As RFC 9113 spells it.
  public var name: String {
    switch self {
    case .noError: "NO_ERROR"
    case .protocolError: "PROTOCOL_ERROR"
    case .internalError: "INTERNAL_ERROR"
    case .flowControlError: "FLOW_CONTROL_ERROR"
    case .settingsTimeout: "SETTINGS_TIMEOUT"
    case .streamClosed: "STREAM_CLOSED"
    case .frameSizeError: "FRAME_SIZE_ERROR"
    case .refusedStream: "REFUSED_STREAM"
    case .cancel: "CANCEL"
    case .compressionError: "COMPRESSION_ERROR"
    case .connectError: "CONNECT_ERROR"
    case .enhanceYourCalm: "ENHANCE_YOUR_CALM"
    case .inadequateSecurity: "INADEQUATE_SECURITY"
    case .http11Required: "HTTP_1_1_REQUIRED"
    case .other: "other"
    }
  }

  /// What the target says by it.
  public var explanation: String {
    switch self {
    case .noError: "it names no error"
    case .protocolError: "it found a fault in what was sent"
    case .internalError: "it failed on its side"
    case .flowControlError: "it got more bytes than its windows allow"
    case .settingsTimeout: "its SETTINGS were not acknowledged in time"
    case .streamClosed: "it got a frame for a closed stream"
    case .frameSizeError: "it got a frame of a wrong size"
    case .refusedStream: "it had not looked at the requests"
    case .cancel: "it no longer wanted to answer"
    case .compressionError: "it could not read the request's fields"
    case .connectError: "the connection behind it broke"
    case .enhanceYourCalm: "it finds the load excessive"
    case .inadequateSecurity: "it finds TLS as agreed on too weak"
    case .http11Required: "it wants HTTP/1.1 for this request"
    case .other: "RFC 9113 has no such code"
    }
  }

  /// What to do about it.
  public var remedy: String {
    switch self {
    case .enhanceYourCalm: "ask for less with -R, -c or --streams, or lift its limit"
    case .refusedStream: "ask for fewer at a time with --streams, or lift its limit"
    case .inadequateSecurity: "raise --tls-min"
    case .http11Required: "measure it with --http1.1"
    default: "its log may say why"
    }
  }
}
