/// Cuts bytes as they come into frames (RFC 9113 4 and 6), and refuses what no frame can be,
/// whatever the state of the connection.
///
/// A body is handed on in the pieces it comes in. A header block is handed on where it lies when it
/// lies whole in the bytes at hand, and is collected otherwise.
@safe struct FrameReader: ~Copyable {
  /// What we allow a payload: SETTINGS_MAX_FRAME_SIZE as it is without a word from us.
  static let payloadByteCountMax: UInt32 = 16_384
  /// Of one header block in all its frames.
  static let blockByteCountMax = 64 << 10
  static let continuationCountMax: UInt8 = 32

  /// Of the frame that was read last, or is being read. For a header block, of its HEADERS frame.
  private(set) var header = FrameHeader()
  /// What the payload still has, padding included.
  private var bytesLeft: UInt32 = 0
  private var paddingByteCount: UInt32 = 0
  /// The front of a number that was cut.
  private var held: UInt64 = 0
  private var heldByteCount: UInt8 = 0
  private var continuationCount: UInt8 = 0
  private var state = State.firstHeader
  private var isFirstPiece = false
  /// Of the DATA frame being read, padding apart.
  private(set) var bodyByteCount: UInt32 = 0
  /// A block began and has not ended: nothing but its continuation may come.
  private var isInBlock = false
  /// The frame being read is a CONTINUATION.
  private var continues = false
  private var block = ByteStash()

  private enum State: UInt8 {
    case firstHeader, header, streamID
    case padLength, blockPrefix
    case data, block
    case setting, word, goAway, skip
  }

  enum Frame: BitwiseCopyable {
    case needsMore
    /// Some of a DATA frame, perhaps no bytes. All of the payload counts in the windows with the
    /// first piece.
    case data(ByteCursor, isFirst: Bool, endsFrame: Bool)
    /// A whole header block, there until the next call.
    case block(ByteCursor)
    case setting(UInt16, UInt32)
    case settingsEnd
    case reset(H2ErrorCode)
    case ping(UInt64)
    case goAway(lastStreamID: UInt32, H2ErrorCode)
    case windowUpdate(UInt32)
  }

  /// The next frame or piece of one that means something.
  @inline(__always)
  mutating func next(_ bytes: inout ByteCursor) throws(H2Violation) -> Frame {
    while true {
      switch state {
      case .header:
        guard let number = number(from: &bytes, byteCount: 5) else { return .needsMore }
        begin(number)
      case .firstHeader:
        guard let number = number(from: &bytes, byteCount: 5) else { return .needsMore }
        // "HTTP/" as length, kind and flags.
        guard number != 0x48_5454_502F else { throw .notHTTP2 }
        begin(number)
        guard header.kind == .settings, !header.has(FrameHeader.ack) else {
          throw .firstFrameNotSettings
        }
      case .streamID:
        guard let number = number(from: &bytes, byteCount: 4) else { return .needsMore }
        let streamID = UInt32(truncatingIfNeeded: number) & 0x7FFF_FFFF
        if let frame = try beginPayload(streamID) { return frame }
      case .padLength:
        guard let number = number(from: &bytes, byteCount: 1) else { return .needsMore }
        bytesLeft -= 1
        paddingByteCount = UInt32(truncatingIfNeeded: number)
        guard paddingByteCount <= bytesLeft else { throw .paddingTooLong }
        state = .data
      case .blockPrefix:
        let byteCount = blockPrefixByteCount
        guard let number = number(from: &bytes, byteCount: byteCount) else { return .needsMore }
        bytesLeft -= UInt32(byteCount)
        if header.has(FrameHeader.padded) {
          paddingByteCount = UInt32(truncatingIfNeeded: number >> (8 * UInt64(byteCount - 1)))
        }
        guard paddingByteCount <= bytesLeft else { throw .paddingTooLong }
        state = .block
      case .data:
        guard bytesLeft == 0 || !bytes.isEmpty else { return .needsMore }
        return takeData(&bytes)
      case .block:
        if let block = try takeBlock(&bytes) { return .block(block) }
        guard state != .block else { return .needsMore }
      case .setting:
        guard bytesLeft > 0 else {
          state = .header
          return .settingsEnd
        }
        guard let number = number(from: &bytes, byteCount: 6) else { return .needsMore }
        bytesLeft -= 6
        return .setting(
          UInt16(truncatingIfNeeded: number >> 32), UInt32(truncatingIfNeeded: number))
      case .word:
        let byteCount = UInt8(truncatingIfNeeded: bytesLeft)
        guard let number = number(from: &bytes, byteCount: byteCount) else { return .needsMore }
        bytesLeft = 0
        state = .header
        let word = UInt32(truncatingIfNeeded: number)
        switch header.kind {
        case .reset: return .reset(H2ErrorCode(rawValue: word))
        case .windowUpdate: return .windowUpdate(word & 0x7FFF_FFFF)
        default:
          // An answer to a PING we never sent says nothing.
          if !header.has(FrameHeader.ack) { return .ping(number) }
        }
      case .goAway:
        guard let number = number(from: &bytes, byteCount: 8) else { return .needsMore }
        bytesLeft -= 8
        state = .skip
        return .goAway(
          lastStreamID: UInt32(truncatingIfNeeded: number >> 32) & 0x7FFF_FFFF,
          H2ErrorCode(rawValue: UInt32(truncatingIfNeeded: number)))
      case .skip:
        bytesLeft -= UInt32(bytes.take(upTo: bytesLeft).byteCount)
        guard bytesLeft == 0 else { return .needsMore }
        state = .header
      }
    }
  }

  /// The next `byteCount` bytes, 1 to 8, as one number, nil until they are all here.
  @inline(__always)
  private mutating func number(from bytes: inout ByteCursor, byteCount: UInt8) -> UInt64? {
    if heldByteCount == 0, let word = bytes.word(as: UInt64.self) {
      bytes.skip(Int(byteCount))
      return word.byteSwapped >> (64 - 8 * UInt64(byteCount))
    }
    while heldByteCount < byteCount {
      guard let byte = bytes.takeByte() else { return nil }
      held = held << 8 | UInt64(byte)
      heldByteCount += 1
    }
    defer {
      held = 0
      heldByteCount = 0
    }
    return held
  }

  @inline(__always)
  private mutating func begin(_ number: UInt64) {
    bytesLeft = UInt32(truncatingIfNeeded: number >> 16)
    paddingByteCount = 0
    let kind = FrameKind(rawValue: UInt8(truncatingIfNeeded: number >> 8))
    let flags = UInt8(truncatingIfNeeded: number)
    // The HEADERS frame of a block says whether the stream ends; its last frame where the block
    // does.
    if isInBlock, kind == .continuation {
      header.flags = header.flags & ~FrameHeader.endHeaders | flags & FrameHeader.endHeaders
    } else {
      header.kind = kind
      header.flags = flags
      header.payloadByteCount = bytesLeft
    }
    continues = kind == .continuation
    state = .streamID
  }

  @inline(__always)
  private mutating func beginPayload(_ streamID: UInt32) throws(H2Violation) -> Frame? {
    if isInBlock {
      guard continues, streamID == header.streamID else { throw .continuationExpected }
      try continueBlock()
      return nil
    }
    header.streamID = streamID
    guard bytesLeft <= Self.payloadByteCountMax else { throw .frameTooLarge }
    switch header.kind {
    case .data:
      try requireStream()
      isFirstPiece = true
      state = .data
      if header.has(FrameHeader.padded) {
        guard bytesLeft >= 1 else { throw .wrongFrameLength }
        state = .padLength
      }
    case .headers:
      try requireStream()
      guard bytesLeft >= blockPrefixByteCount else { throw .wrongFrameLength }
      isInBlock = true
      continuationCount = 0
      block.removeAll()
      state = blockPrefixByteCount > 0 ? .blockPrefix : .block
    default: return try beginRarePayload()
    }
    return nil
  }

  /// Frames that come once in a while.
  @inline(never)
  private mutating func beginRarePayload() throws(H2Violation) -> Frame? {
    switch header.kind {
    case .settings:
      try requireConnection()
      if header.has(FrameHeader.ack) {
        guard bytesLeft == 0 else { throw .settingsAckNotEmpty }
        state = .header
      } else {
        guard bytesLeft % 6 == 0 else { throw .wrongFrameLength }
        state = .setting
      }
    case .ping:
      try requireConnection()
      guard bytesLeft == 8 else { throw .wrongFrameLength }
      state = .word
    case .goAway:
      try requireConnection()
      guard bytesLeft >= 8 else { throw .wrongFrameLength }
      state = .goAway
    case .windowUpdate:
      guard bytesLeft == 4 else { throw .wrongFrameLength }
      state = .word
    case .reset:
      try requireStream()
      guard bytesLeft == 4 else { throw .wrongFrameLength }
      state = .word
    case .priority:
      try requireStream()
      guard bytesLeft == 5 else { throw .wrongFrameLength }
      state = .skip
    case .pushPromise: throw .pushPromise
    case .continuation: throw .continuationUnexpected
    default: state = .skip
    }
    return nil
  }

  private func requireStream() throws(H2Violation) {
    guard header.streamID != 0 else { throw .frameOnStreamZero }
  }

  private func requireConnection() throws(H2Violation) {
    guard header.streamID == 0 else { throw .frameNotOnStreamZero }
  }

  /// What stands before the block in a HEADERS frame: the length of the padding, and a priority,
  /// which nobody heeds any more (RFC 9113 5.3.2).
  private var blockPrefixByteCount: UInt8 {
    (header.has(FrameHeader.padded) ? 1 : 0) + (header.has(FrameHeader.priority) ? 5 : 0)
  }

  @inline(__always)
  private mutating func takeData(_ bytes: inout ByteCursor) -> Frame {
    if isFirstPiece { bodyByteCount = bytesLeft - paddingByteCount }
    let piece = bytes.take(upTo: bytesLeft - paddingByteCount)
    bytesLeft -= UInt32(piece.byteCount)
    if bytesLeft <= paddingByteCount {
      let padding = UInt32(bytes.take(upTo: bytesLeft).byteCount)
      bytesLeft -= padding
      paddingByteCount = bytesLeft
    }
    let isFirst = isFirstPiece
    isFirstPiece = false
    if bytesLeft == 0 { state = .header }
    return .data(piece, isFirst: isFirst, endsFrame: bytesLeft == 0)
  }

  /// The whole block, or nil: the frame goes on (`state` says so) or the block does.
  @inline(__always)
  private mutating func takeBlock(_ bytes: inout ByteCursor) throws(H2Violation) -> ByteCursor? {
    if block.byteCount == 0, header.has(FrameHeader.endHeaders), bytes.byteCount >= Int(bytesLeft) {
      let whole = bytes.take(upTo: bytesLeft - paddingByteCount)
      bytes.skip(Int(paddingByteCount))
      endBlock()
      return whole
    }
    let piece = bytes.take(upTo: bytesLeft - paddingByteCount)
    block.append(piece)
    bytesLeft -= UInt32(piece.byteCount)
    if bytesLeft <= paddingByteCount {
      let padding = UInt32(bytes.take(upTo: bytesLeft).byteCount)
      bytesLeft -= padding
      paddingByteCount = bytesLeft
    }
    guard bytesLeft == 0 else { return nil }
    state = .header
    guard header.has(FrameHeader.endHeaders) else { return nil }
    endBlock()
    return block.cursor
  }

  private mutating func endBlock() {
    bytesLeft = 0
    isInBlock = false
    state = .header
  }

  private mutating func continueBlock() throws(H2Violation) {
    guard bytesLeft <= Self.payloadByteCountMax else { throw .frameTooLarge }
    guard continuationCount < Self.continuationCountMax else { throw .tooManyContinuations }
    guard block.byteCount + Int(bytesLeft) <= Self.blockByteCountMax else { throw .blockTooLong }
    continuationCount += 1
    state = .block
  }
}
