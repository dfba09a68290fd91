extension H2Connection {
  /// What has come of the bytes. `tag` is what `open` was given.
  @safe package enum Event {
    /// All bytes are read.
    case needsMore
    /// A response's head: an interim one (1xx) or, once, the final one.
    case head(tag: UInt32, status: UInt16)
    /// Some of a body that was asked for, where it lies in the bytes.
    case body(tag: UInt32, UnsafeRawBufferPointer)
    /// A response is complete, and its stream gone.
    case ended(tag: UInt32, status: UInt16, bodyByteCount: UInt64)
    /// The peer gave a stream up. REFUSED_STREAM: it never looked at it.
    case reset(tag: UInt32, H2ErrorCode)
    /// The peer goes away and has not looked at this stream.
    case unprocessed(tag: UInt32)
    /// The peer's SETTINGS came: `room` may have changed.
    case settings
    case goAway(H2ErrorCode)
    /// The connection is over. The tag is of the stream whose frame it was, if it was one's.
    case violation(H2Violation, tag: UInt32?)
  }

  /// Reads `bytes` up to the next event, and takes off what was read.
  @safe package mutating func next(
    _ bytes: inout UnsafeRawBufferPointer, reader: inout ResponseHeadReader
  ) -> Event {
    if endedID != 0 || hasUnprocessed || violation != nil, let event = pendingEvent() {
      return event
    }
    var cursor = unsafe ByteCursor(bytes)
    defer { unsafe bytes = cursor.buffer }
    do throws(H2Violation) {
      while true {
        if let event = try read(&cursor, reader: &reader) { return event }
      }
    } catch {
      return fail(error)
    }
  }

  /// An event that needs no bytes.
  @inline(__always)
  private mutating func pendingEvent() -> Event? {
    if let violation { return .violation(violation, tag: nil) }
    if endedID != 0 {
      // Not there when the caller has cancelled it meanwhile.
      let stream = unsafe streams.find(endedID)
      endedID = 0
      if let stream = unsafe stream { return unsafe end(stream) }
    }
    if let stream = unsafe streams.first(above: lastStreamID) {
      defer { unsafe remove(stream) }
      return unsafe .unprocessed(tag: stream.pointee.tag)
    }
    hasUnprocessed = false
    return nil
  }

  private mutating func fail(_ violation: H2Violation) -> Event {
    self.violation = violation
    queueGoAway(violation.code)
    let id = frames.header.streamID
    let tag = id == 0 ? nil : unsafe streams.find(id)?.pointee.tag
    return .violation(violation, tag: tag)
  }

  /// One frame or piece of one; nil when nobody need know.
  @inline(__always)
  private mutating func read(
    _ bytes: inout ByteCursor, reader: inout ResponseHeadReader
  ) throws(H2Violation) -> Event? {
    switch try frames.next(&bytes) {
    case .needsMore: return .needsMore
    case .data(let piece, let isFirst, let endsFrame):
      return try readData(piece, isFirst: isFirst, endsFrame: endsFrame)
    case .block(let block): return try readHead(block, reader: &reader)
    case .windowUpdate(let increment):
      try widen(by: increment)
      return nil
    case .setting(let name, let value):
      try set(name, to: value)
      return nil
    case .settingsEnd:
      try settle()
      return .settings
    case .ping(let payload):
      try queue(FrameHeader(payloadByteCount: 8, kind: .ping, flags: FrameHeader.ack), payload)
      return nil
    case .reset(let code):
      let id = frames.header.streamID
      guard let stream = unsafe streams.find(id) else {
        try requireOpened(id)
        return nil
      }
      defer { unsafe remove(stream) }
      return unsafe .reset(tag: stream.pointee.tag, code)
    case .goAway(let lastStreamID, let code):
      guard lastStreamID <= self.lastStreamID else { throw .lastStreamRaised }
      self.lastStreamID = lastStreamID
      isGoingAway = true
      hasUnprocessed = true
      return .goAway(code)
    }
  }
}

// MARK: - Responses

extension H2Connection {
  @inline(__always)
  private mutating func readHead(
    _ block: ByteCursor, reader: inout ResponseHeadReader
  ) throws(H2Violation) -> Event? {
    let id = frames.header.streamID
    guard let stream = unsafe streams.find(id) else {
      try requireLate(id)
      // Nobody wants it, but it may change the table.
      _ = try reader.read(block, table: &table, last: &lastBlock, keepsFields: false)
      return nil
    }
    let fields = try unsafe reader.read(
      block, table: &table, last: &lastBlock,
      keepsFields: stream.pointee.traits.contains(.keepsFields))
    let endsStream = frames.header.has(FrameHeader.endStream)
    guard unsafe stream.pointee.status == 0 else {
      guard fields.status == 0 else { throw .misplacedPseudoField }
      guard endsStream else { throw .trailersDoNotEndStream }
      return try unsafe finish(stream)
    }
    guard fields.status != 0 else { throw .missingStatus }
    guard fields.status >= 200 else {
      guard fields.status != 101 else { throw .switchingProtocols }
      guard !endsStream else { throw .interimEndsStream }
      guard unsafe stream.pointee.interimsLeft > 0 else { throw .tooManyInterims }
      unsafe stream.pointee.interimsLeft -= 1
      return unsafe .head(tag: stream.pointee.tag, status: fields.status)
    }
    unsafe stream.pointee.status = fields.status
    if unsafe fields.status == 204 || fields.status == 304
      || stream.pointee.traits.contains(.expectsNoBody)
    {
      // RFC 9113 8.1.1: these end here whatever length they announce.
      unsafe stream.pointee.traits.insert(.expectsNoBody)
    } else {
      unsafe stream.pointee.contentLength = fields.contentLength
    }
    if endsStream {
      try unsafe checkEnd(of: stream)
      endedID = id
    }
    return unsafe .head(tag: stream.pointee.tag, status: fields.status)
  }

  @inline(__always)
  private mutating func readData(
    _ piece: ByteCursor, isFirst: Bool, endsFrame: Bool
  ) throws(H2Violation) -> Event? {
    let id = frames.header.streamID
    if isFirst { receiveWindow = try spent(receiveWindow, streamID: 0) }
    guard let stream = unsafe streams.find(id) else {
      try requireLate(id)
      return nil
    }
    if isFirst {
      unsafe stream.pointee.receiveWindow = try spent(stream.pointee.receiveWindow, streamID: id)
      guard unsafe stream.pointee.status != 0 else { throw .dataBeforeHead }
      // All of the frame, so that it does not matter in which pieces it comes.
      let byteCount = frames.bodyByteCount
      guard unsafe byteCount == 0 || !stream.pointee.traits.contains(.expectsNoBody) else {
        throw .bodyNotAllowed
      }
      unsafe stream.pointee.bodyByteCount &+= UInt64(byteCount)
      guard unsafe stream.pointee.bodyByteCount <= stream.pointee.contentLength else {
        throw .contentLengthMismatch
      }
    }
    let isEnd = endsFrame && frames.header.has(FrameHeader.endStream)
    if unsafe stream.pointee.traits.contains(.showsBody), !piece.isEmpty {
      if isEnd {
        try unsafe checkEnd(of: stream)
        endedID = id
      }
      return unsafe .body(tag: stream.pointee.tag, piece.buffer)
    }
    return isEnd ? try unsafe finish(stream) : nil
  }

  @inline(__always)
  private mutating func finish(
    _ stream: UnsafeMutablePointer<H2Stream>
  ) throws(H2Violation) -> Event {
    try unsafe checkEnd(of: stream)
    return unsafe end(stream)
  }

  @inline(__always)
  private func checkEnd(of stream: UnsafeMutablePointer<H2Stream>) throws(H2Violation) {
    let announced = unsafe stream.pointee.contentLength
    guard
      unsafe announced == ResponseFields.noContentLength
        || announced == stream.pointee.bodyByteCount
    else { throw .contentLengthMismatch }
  }

  @inline(__always)
  private mutating func end(_ stream: UnsafeMutablePointer<H2Stream>) -> Event {
    // The answer counts even where the peer does not let us say that we stop.
    _ = unsafe stopUpload(of: stream)
    defer { unsafe remove(stream) }
    return unsafe .ended(
      tag: stream.pointee.tag, status: stream.pointee.status,
      bodyByteCount: stream.pointee.bodyByteCount)
  }

  /// A frame that changes nothing came for a stream that is not here: it must have been.
  private func requireOpened(_ id: UInt32) throws(H2Violation) {
    guard id & 1 == 1, id < nextID else { throw .idleStream }
  }

  /// A head or body came for a stream that is not here: we must have cancelled it.
  private func requireLate(_ id: UInt32) throws(H2Violation) {
    try requireOpened(id)
    guard id <= cancelledID else { throw .closedStream }
  }
}

// MARK: - Settings, windows

extension H2Connection {
  /// What a DATA frame's payload leaves of a window: all of it again once half is used, which the
  /// peer is told. So there is always more left than a frame may have, and a peer cannot go beyond.
  @inline(__always)
  private mutating func spent(_ window: UInt32, streamID: UInt32) throws(H2Violation) -> UInt32 {
    let left = window &- frames.header.payloadByteCount
    guard left < Self.windowByteCount / 2 else { return left }
    try queue(
      FrameHeader(payloadByteCount: 4, kind: .windowUpdate, streamID: streamID),
      Self.windowByteCount - left)
    return Self.windowByteCount
  }

  /// A WINDOW_UPDATE (RFC 9113 6.9).
  private mutating func widen(by increment: UInt32) throws(H2Violation) {
    let id = frames.header.streamID
    guard increment > 0 else { throw .zeroWindowIncrement }
    if id == 0 {
      sendWindow = try sendWindow.widened(by: Int64(increment))
    } else if let stream = unsafe streams.find(id) {
      unsafe stream.pointee.sendWindow = try stream.pointee.sendWindow.widened(by: Int64(increment))
    } else {
      try requireOpened(id)
    }
    mayUpload = true
  }

  /// One of the peer's settings (RFC 9113 6.5.2).
  private mutating func set(_ name: UInt16, to value: UInt32) throws(H2Violation) {
    switch name {
    case Setting.tableByteCount: peerTableByteCountMin = min(peerTableByteCountMin, value)
    case Setting.enablePush:
      guard value == 0 else { throw .invalidEnablePush }
    case Setting.streamCountMax: streamCountAllowed = value
    case Setting.initialWindow:
      guard let window = Int32(exactly: value) else { throw .initialWindowTooLarge }
      let change = Int64(window) - Int64(streamSendWindow)
      for index in 0..<streams.capacity {
        guard let stream = unsafe streams.stream(at: index) else { continue }
        unsafe stream.pointee.sendWindow = try stream.pointee.sendWindow.widened(by: change)
      }
      streamSendWindow = window
      mayUpload = true
    case Setting.payloadByteCountMax:
      guard FrameReader.payloadByteCountMax...0xFF_FFFF ~= value else {
        throw .invalidFrameSizeMax
      }
      payloadByteCountMax = value
    default: break
    }
  }
}
