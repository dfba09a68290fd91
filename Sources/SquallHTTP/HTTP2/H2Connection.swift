/// The client's end of one HTTP/2 connection (RFC 9113): requests in, bytes out; bytes in, events
/// out.
///
/// It never touches a socket. Its driver does this, in a turn of its loop:
///
/// ```
/// made       →  write(into:)                 what a connection begins with, and requests at once:
/// due        →  open(_:tag:into:) × room     many in one buffer, until `room` or the buffer ends
/// bytes came →  next(_:reader:) × n          one event each, until `.needsMore`; then, when
///               write(into:)                 `hasOutput`, what they call for
/// timed out  →  cancel(_:)
/// closed     →  popStream() × n              whoever still waited
/// ```
///
/// - `.violation`, or a `cancel(_:)` that says false: send what `write(into:)` gives, close, and
///   `popStream()`.
/// - `.goAway`: nothing more is opened. `.unprocessed` names each request that the peer has not
///   looked at and that may be sent again elsewhere; the others go on. `isDone` then says when to
///   close.
/// - A closed loop opens `refill` streams at a time instead of `room`, so that a slow server is not
///   answered with a frame a packet.
/// - Until the peer's SETTINGS are here, 100 streams are opened at most; `.settings` says that
///   `room` may have changed.
///
/// The windows given to the peer are so large that it never waits for more. The peer's are obeyed:
/// a body waits (`awaitsWindow(_:)`), and what it waited is part of its service time.
///
/// Takes some 500 bytes, 56 for each place of its stream table, and as much memory as the peer
/// makes its header table fill, 5 KiB at most. Allocates only until those have their sizes.
@safe package struct H2Connection: ~Copyable {
  /// Of each window we give, stream or connection. Half of what is allowed: some peers add up
  /// without care at the edge.
  package static let windowByteCount: UInt32 = 1 << 30 - 1
  /// Until the peer has spoken (RFC 9113 6.5.2 recommends no smaller value).
  package static let streamCountUntilSettings: UInt32 = 100
  /// Of frames that wait to be sent, requests and bodies apart.
  static let controlByteCountMax = 8 << 10
  static let windowDefault: Int32 = 65_535
  static let streamIDMax: UInt32 = 0x7FFF_FFFF
  private static let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

  var frames = FrameReader()
  var table = HeaderTable()
  var lastBlock = LastBlock()
  var streams: StreamTable
  private var control = ByteStash()
  var violation: H2Violation?

  // Streams.
  private let streamCountWanted: UInt32
  /// As the peer's SETTINGS have it: without a word from it, any number (RFC 9113 6.5.2).
  var streamCountAllowed = UInt32.max
  /// Streams at a time, as things stand.
  package private(set) var streamCountMax: UInt32
  private(set) var nextID: UInt32
  /// Of the request opened last: its head as it stands in frames, and its body.
  package private(set) var openedByteCount = 0
  /// What a GOAWAY left us.
  var lastStreamID = Self.streamIDMax
  /// Frames for streams up to this one may have been on their way when we cancelled one of them.
  private(set) var cancelledID: UInt32 = 0
  /// A stream that has ended, which the next event says.
  var endedID: UInt32 = 0
  var isGoingAway = false
  /// Streams above `lastStreamID` are still here.
  var hasUnprocessed = false

  // Flow control.
  var sendWindow = Self.windowDefault
  /// Of a stream that is opened.
  var streamSendWindow = Self.windowDefault
  var receiveWindow = Self.windowByteCount
  var payloadByteCountMax = FrameReader.payloadByteCountMax
  private var uploadCount: UInt32 = 0
  /// Where the next round of uploads begins.
  private var uploadPlace: UInt32 = 0
  /// Some body may be able to go on.
  var mayUpload = false

  // The peer's header table.
  private var hasAddedFields = false
  /// The size it has, and the smallest that the peer has ever wanted it to have: never more than
  /// the first, whatever it allows later.
  private var peerTableByteCount = HeaderTable.byteCountDefault
  var peerTableByteCountMin = HeaderTable.byteCountDefault

  /// - Parameters:
  ///   - streamCountMax: streams at a time, if the peer allows as many.
  ///   - firstID: of the first stream; odd.
  package init(streamCountMax: UInt32, firstID: UInt32 = 1) {
    precondition(streamCountMax > 0, "a connection without streams sends nothing")
    precondition(firstID & 1 == 1, "a client's streams have odd numbers (RFC 9113 5.1.1)")
    streams = StreamTable(countMax: streamCountMax)
    streamCountWanted = streamCountMax
    self.streamCountMax = min(streamCountMax, Self.streamCountUntilSettings)
    nextID = firstID
    begin()
  }

  private mutating func begin() {
    control.append(ByteCursor(Self.preface))
    let settings: [(UInt16, UInt32)] = [
      (Setting.enablePush, 0), (Setting.initialWindow, Self.windowByteCount),
      (Setting.listByteCountMax, FieldBounds.listByteCountMax),
    ]
    control.append(FrameHeader(payloadByteCount: UInt32(settings.count * 6), kind: .settings))
    for (name, value) in settings {
      control.append(bigEndian: name)
      control.append(bigEndian: value)
    }
    control.append(FrameHeader(payloadByteCount: 4, kind: .windowUpdate))
    control.append(bigEndian: Self.windowByteCount - UInt32(Self.windowDefault))
  }

  enum Setting {
    static let tableByteCount: UInt16 = 1
    static let enablePush: UInt16 = 2
    static let streamCountMax: UInt16 = 3
    static let initialWindow: UInt16 = 4
    static let payloadByteCountMax: UInt16 = 5
    static let listByteCountMax: UInt16 = 6
  }
}

// MARK: - Streams

extension H2Connection {
  /// Requests under way.
  package var streamCount: UInt32 { streams.count }

  /// Streams that may be opened now.
  package var room: UInt32 {
    @inline(__always) get {
      guard violation == nil, !isGoingAway, hasIDs else { return 0 }
      return streamCountMax - min(streams.count, streamCountMax)
    }
  }

  /// Streams a closed loop should open now: none until a quarter of them is free.
  package var refill: UInt32 {
    @inline(__always) get {
      let room = room
      return room >= max(streamCountMax / 4, 1) ? room : 0
    }
  }

  /// Nothing is under way and nothing more can be: to be closed and replaced.
  package var isDone: Bool {
    violation != nil || streams.count == 0 && (isGoingAway || !hasIDs)
  }

  /// Numbers are used up once; some are skipped (see `StreamTable`).
  private var hasIDs: Bool { nextID <= Self.streamIDMax - 2 * streams.capacity }

  /// `output` has room for a request whose head takes so many bytes, and for what goes before it.
  @inline(__always)
  package func fits(headByteCount: Int, _ output: OutgoingBytes) -> Bool {
    control.byteCount &+ headByteCount <= output.room
  }

  /// Sends `request` on a new stream and returns its number; nil, and nothing done, when `output`
  /// has no room for it. What does not fit of its body comes with `write(into:)`. There is `room`.
  ///
  /// - Parameters:
  ///   - tag: the caller's name for it, in every event.
  ///   - showsBody: the response's body comes in `.body` events, and else is only counted.
  ///   - keepsFields: the reader keeps the fields of its heads.
  @inline(__always)
  package mutating func open(
    _ request: H2Request, tag: UInt32, showsBody: Bool = false, keepsFields: Bool = false,
    into output: inout OutgoingBytes
  ) -> UInt32? {
    precondition(room > 0, "opened a stream without room for one")
    // What was said before goes before, the preface first of all.
    guard flush(into: &output), request.headByteCountMax <= output.room else { return nil }
    while streams.isTaken(nextID) { nextID &+= 2 }
    let id = nextID
    nextID &+= 2
    let start = output.byteCount
    writeHead(request, streamID: id, into: &output)
    openedByteCount = output.byteCount &- start &+ request.body.byteCount
    var traits: H2Stream.Traits = request.expectsNoBody ? .expectsNoBody : []
    if showsBody { traits.insert(.showsBody) }
    if keepsFields { traits.insert(.keepsFields) }
    let stream = unsafe streams.add(
      H2Stream(
        id: id, tag: tag, upload: request.body, sendWindow: streamSendWindow, traits: traits))
    if !request.body.isEmpty {
      uploadCount += 1
      unsafe upload(stream, into: &output)
    }
    return id
  }

  /// The peer's SETTINGS are read.
  mutating func settle() throws(H2Violation) {
    streamCountMax = min(streamCountWanted, streamCountAllowed)
    try queue(FrameHeader(kind: .settings, flags: FrameHeader.ack))
  }

  /// Gives a stream up, as when its time is over: RST_STREAM, and what still comes for it is
  /// ignored. False when the peer has left too many of them unread, and the connection is to be
  /// given up.
  package mutating func cancel(_ streamID: UInt32) -> Bool {
    guard let stream = unsafe streams.find(streamID) else { return true }
    unsafe remove(stream)
    return reset(streamID)
  }

  private mutating func reset(_ streamID: UInt32) -> Bool {
    cancelledID = max(cancelledID, streamID)
    do throws(H2Violation) {
      try queue(
        FrameHeader(payloadByteCount: 4, kind: .reset, streamID: streamID),
        H2ErrorCode.cancel.rawValue)
      return true
    } catch {
      violation = error
      return false
    }
  }

  /// The tag of some request still under way, which then no longer is.
  package mutating func popStream() -> UInt32? {
    guard let stream = unsafe streams.first(above: 0) else { return nil }
    defer { unsafe remove(stream) }
    return unsafe stream.pointee.tag
  }

  /// The stream's body waits for the peer to open a window.
  package func awaitsWindow(_ streamID: UInt32) -> Bool {
    guard let stream = unsafe streams.find(streamID) else { return false }
    return unsafe !stream.pointee.upload.isEmpty
      && (sendWindow <= 0 || stream.pointee.sendWindow <= 0)
  }

  mutating func remove(_ stream: UnsafeMutablePointer<H2Stream>) {
    if unsafe !stream.pointee.upload.isEmpty { uploadCount -= 1 }
    unsafe streams.remove(stream)
  }

  /// A response has ended before its request: nobody reads the rest.
  mutating func stopUpload(of stream: UnsafeMutablePointer<H2Stream>) -> Bool {
    unsafe stream.pointee.upload.isEmpty || reset(stream.pointee.id)
  }
}

// MARK: - Writing

extension H2Connection {
  /// Something can be sent.
  package var hasOutput: Bool { control.byteCount > 0 || mayUpload && uploadCount > 0 }

  /// Writes what is due, as much as there is room for: call again with new room while `hasOutput`.
  package mutating func write(into output: inout OutgoingBytes) {
    guard flush(into: &output), mayUpload, uploadCount > 0 else { return }
    mayUpload = false
    // A frame for each in turn, so that none waits for another's whole body.
    var hasWritten: Bool
    repeat {
      hasWritten = false
      for _ in 0..<streams.capacity where !mayUpload {
        if let stream = unsafe streams.stream(at: uploadPlace),
          unsafe !stream.pointee.upload.isEmpty,
          unsafe uploadFrame(stream, into: &output)
        {
          hasWritten = true
        }
        if !mayUpload { uploadPlace &+= 1 }
      }
    } while hasWritten && !mayUpload
  }

  /// Control frames first; false when they do not fit.
  @inline(__always)
  private mutating func flush(into output: inout OutgoingBytes) -> Bool {
    guard control.byteCount > 0 else { return true }
    guard control.byteCount <= output.room else { return false }
    output.append(control.cursor)
    control.removeAll()
    return true
  }

  /// A control frame of four bytes, to be sent with the next `write(into:)`.
  mutating func queue(_ header: FrameHeader, _ payload: UInt32) throws(H2Violation) {
    try queue(header)
    control.append(bigEndian: payload)
  }

  mutating func queue(_ header: FrameHeader, _ payload: UInt64) throws(H2Violation) {
    try queue(header)
    control.append(bigEndian: payload)
  }

  mutating func queue(_ header: FrameHeader) throws(H2Violation) {
    guard control.byteCount < Self.controlByteCountMax else { throw .tooManyReplies }
    control.append(header)
  }

  /// Ends the connection with a code; of the peer's streams there were none.
  mutating func queueGoAway(_ code: H2ErrorCode) {
    control.append(FrameHeader(payloadByteCount: 8, kind: .goAway))
    control.append(bigEndian: UInt32(0))
    control.append(bigEndian: code.rawValue)
  }

  @inline(__always)
  private mutating func writeHead(
    _ request: H2Request, streamID: UInt32, into output: inout OutgoingBytes
  ) {
    let start = output.byteCount
    if peerTableByteCountMin < peerTableByteCount {
      writeTableUpdate(request, into: &output)
    } else {
      output.append(block(of: request))
    }
    output.store(bigEndian: streamID, at: start + FrameHeader.byteCount - 4)
    if output.byteCount - start > Int(FrameReader.payloadByteCountMax) {
      numberContinuations(from: start, streamID: streamID, in: &output)
    }
    if request.addedByteCount > 0 { hasAddedFields = true }
  }

  @inline(__always)
  private func block(of request: H2Request) -> ByteCursor {
    // In a table too small for them they are not, or no longer, there.
    guard peerTableByteCount >= request.addedByteCount else { return request.plain }
    return hasAddedFields ? request.later : request.first
  }

  /// The head after the peer has made its table smaller, which a block has to acknowledge before
  /// its first field (RFC 7541 4.2).
  private mutating func writeTableUpdate(_ request: H2Request, into output: inout OutgoingBytes) {
    peerTableByteCount = peerTableByteCountMin
    var update = ByteStash()
    for byte in FieldEncoder.tableByteCountMax(peerTableByteCount) {
      update.append(bigEndian: byte)
    }
    var block = block(of: request)
    let start = output.byteCount
    output.append(block.take(upTo: UInt32(FrameHeader.byteCount)))
    let firstWord = output.load(bigEndianAt: start)
    output.store(bigEndian: firstWord + UInt32(update.byteCount) << 8, at: start)
    output.append(update.cursor)
    output.append(block)
  }

  /// Names the stream in the frames after the first of a head that has several.
  private func numberContinuations(
    from start: Int, streamID: UInt32, in output: inout OutgoingBytes
  ) {
    var place = start
    while place < output.byteCount {
      output.store(bigEndian: streamID, at: place + FrameHeader.byteCount - 4)
      place += FrameHeader.byteCount + Int(output.load(bigEndianAt: place) >> 8)
    }
  }

  /// As much of a new stream's body as may go at once.
  private mutating func upload(
    _ stream: UnsafeMutablePointer<H2Stream>, into output: inout OutgoingBytes
  ) {
    while unsafe !stream.pointee.upload.isEmpty,
      unsafe uploadFrame(stream, into: &output)
    {}
  }

  /// One DATA frame of a body; false when a window is closed, or `output` is full, which
  /// `mayUpload` says.
  private mutating func uploadFrame(
    _ stream: UnsafeMutablePointer<H2Stream>, into output: inout OutgoingBytes
  ) -> Bool {
    let window = unsafe min(sendWindow, stream.pointee.sendWindow)
    guard window > 0 else { return false }
    // A frame is not cut to a handful of bytes for the sake of the buffer's end.
    let least = unsafe FrameHeader.byteCount + min(stream.pointee.upload.byteCount, 1024)
    guard output.room >= least else {
      mayUpload = true
      return false
    }
    let room = UInt32(clamping: output.room - FrameHeader.byteCount)
    let piece = unsafe stream.pointee.upload.take(
      upTo: min(UInt32(window), payloadByteCountMax, room))
    let isLast = unsafe stream.pointee.upload.isEmpty
    unsafe output.append(
      FrameHeader(
        payloadByteCount: UInt32(piece.byteCount), kind: .data,
        flags: isLast ? FrameHeader.endStream : 0, streamID: stream.pointee.id))
    output.append(piece)
    sendWindow -= Int32(piece.byteCount)
    unsafe stream.pointee.sendWindow -= Int32(piece.byteCount)
    if isLast { uploadCount -= 1 }
    return true
  }
}
