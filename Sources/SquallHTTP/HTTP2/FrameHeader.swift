/// The nine bytes before each payload (RFC 9113 4.1), big-endian:
///
/// ```
/// 0       3    4     5        9
/// │ length │ kind │ flags │ stream │
/// ```
struct FrameHeader: Equatable, BitwiseCopyable, Sendable {
  static let byteCount = 9

  /// Of the payload; three bytes on the wire.
  var payloadByteCount: UInt32 = 0
  var kind: FrameKind = .data
  var flags: UInt8 = 0
  /// 0 for the connection.
  var streamID: UInt32 = 0

  static let endStream: UInt8 = 0x1
  static let ack: UInt8 = 0x1
  static let endHeaders: UInt8 = 0x4
  static let padded: UInt8 = 0x8
  static let priority: UInt8 = 0x20

  /// Length and kind.
  var firstWord: UInt32 { payloadByteCount << 8 | UInt32(kind.rawValue) }

  @inline(__always)
  func has(_ flag: UInt8) -> Bool { flags & flag != 0 }
}

/// What a frame is. Those we do not know are skipped (RFC 9113 4.1).
struct FrameKind: RawRepresentable, Equatable, BitwiseCopyable, Sendable {
  let rawValue: UInt8

  static let data = FrameKind(rawValue: 0x0)
  static let headers = FrameKind(rawValue: 0x1)
  static let priority = FrameKind(rawValue: 0x2)
  static let reset = FrameKind(rawValue: 0x3)
  static let settings = FrameKind(rawValue: 0x4)
  static let pushPromise = FrameKind(rawValue: 0x5)
  static let ping = FrameKind(rawValue: 0x6)
  static let goAway = FrameKind(rawValue: 0x7)
  static let windowUpdate = FrameKind(rawValue: 0x8)
  static let continuation = FrameKind(rawValue: 0x9)
}
