/// Why a stream or a connection was ended, as it goes on the wire (RFC 9113 7). A peer may send
/// codes that nobody has registered.
package struct H2ErrorCode: RawRepresentable, Hashable, BitwiseCopyable, Sendable {
  package let rawValue: UInt32

  package init(rawValue: UInt32) { self.rawValue = rawValue }

  package static let noError = H2ErrorCode(rawValue: 0x0)
  package static let protocolError = H2ErrorCode(rawValue: 0x1)
  package static let internalError = H2ErrorCode(rawValue: 0x2)
  package static let flowControlError = H2ErrorCode(rawValue: 0x3)
  package static let streamClosed = H2ErrorCode(rawValue: 0x5)
  package static let frameSizeError = H2ErrorCode(rawValue: 0x6)
  package static let refusedStream = H2ErrorCode(rawValue: 0x7)
  package static let cancel = H2ErrorCode(rawValue: 0x8)
  package static let compressionError = H2ErrorCode(rawValue: 0x9)
  package static let enhanceYourCalm = H2ErrorCode(rawValue: 0xB)

  private static let names: [String] = [
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
    "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR",
    "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
  ]
}

extension H2ErrorCode: CustomStringConvertible {
  /// The registered name, or the number in hexadecimal.
  package var description: String {
    guard let index = Int(exactly: rawValue), index < Self.names.count else {
      return "0x" + String(rawValue, radix: 16)
    }
    return Self.names[index]
  }
}
