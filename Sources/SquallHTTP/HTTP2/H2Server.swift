/// The server's end of one HTTP/2 connection (RFC 9113), from behind the client's preface on: bytes in,
/// requests out; answers in, bytes out.
///
/// It never touches a socket. Its driver does this, in a turn of its loop:
///
/// ```
/// bytes came →  next(_:reader:) × n      one event each, until `.needsMore`
/// to write   →  write(into:)             what the protocol has to say, the first of all before it
///               writeHead, writeData     of each stream that is answered
///               removeFinished()
/// ```
///
/// A violation, also one of a single stream, ends the connection: send what `write(into:)` gives and
/// close. Streams lie in the order of their numbers; their places change with `removeFinished()`.
@safe package struct H2Server: ~Copyable {
  /// Streams a client may have at a time; more are refused.
  package static let streamCountMax: UInt32 = 1_024
  /// What a client says before its first frame (RFC 9113 section 3.4).
  package static let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
  /// Room in which whatever the protocol says at once fits, and a head behind it.
  package static let controlByteCountMax = H2Connection.controlByteCountMax + 256

  private var frames = FrameReader()
  private var table = HeaderTable()
  private var control = ByteStash()
  package private(set) var streams: [H2ServerStream] = []
  private var lastID: UInt32 = 0
  private var receiveWindow = H2Connection.windowByteCount
  private var sendWindow = H2Connection.windowDefault
  /// Of a stream that is opened.
  private var streamSendWindow = H2Connection.windowDefault
  private var payloadByteCountMax = FrameReader.payloadByteCountMax
  /// Nothing more is read.
  package private(set) var isBroken = false
  /// No new stream is taken.
  private var isGoingAway = false

  /// The last block, if its bytes mean the same again as long as nothing is added to the table.
  private var usual = ByteStash()
  private var usualAddedCount: UInt32 = 0

  package enum Event {
    case needsMore
    /// A request's head, of the stream at that place; its fields are the reader's until the next event.
    /// `isUsual`: it is that of the head before it. `isEnd`: it has no body.
    case head(place: Int, isUsual: Bool, isEnd: Bool)
    /// The rest of a request is here.
    case ended(place: Int)
    /// The client gave the stream up, which is gone. What it was answered with is `answer`.
    case reset(id: UInt32, answer: Int32)
    case violation(H2Violation)
  }

  package init() {
    let settings: [(UInt16, UInt32)] = [
      (H2Connection.Setting.streamCountMax, Self.streamCountMax),
      (H2Connection.Setting.initialWindow, H2Connection.windowByteCount),
      (H2Connection.Setting.listByteCountMax, FieldBounds.listByteCountMax),
    ]
    control.append(FrameHeader(payloadByteCount: UInt32(settings.count * 6), kind: .settings))
    for (name, value) in settings {
      control.append(bigEndian: name)
      control.append(bigEndian: value)
    }
    control.append(FrameHeader(payloadByteCount: 4, kind: .windowUpdate))
    control.append(
      bigEndian: H2Connection.windowByteCount - UInt32(H2Connection.windowDefault))
  }
}

/// A request under way.
package struct H2ServerStream: BitwiseCopyable {
  package let id: UInt32
  /// The caller's name for what it answers; below zero before it does.
  package var answer: Int32 = -1
  /// Body bytes of the answer that are written.
  package fileprivate(set) var sentByteCount: UInt32 = 0
  fileprivate var sendWindow: Int32
  fileprivate var receiveWindow = H2Connection.windowByteCount
  package fileprivate(set) var isHeadWritten = false
  /// The request is here to its last byte.
  fileprivate var isComplete = false
  /// The answer is written to its last byte, or there is none.
  package fileprivate(set) var isAnswered = false
}

// MARK: - Reading

extension H2Server {
  /// Reads `bytes` up to the next event, and takes off what was read.
  @safe package mutating func next(
    _ bytes: inout UnsafeRawBufferPointer, reader: inout RequestHeadReader
  ) -> Event {
    guard !isBroken else { return .needsMore }
    var cursor = unsafe ByteCursor(bytes)
    defer { unsafe bytes = cursor.buffer }
    do throws(H2Violation) {
      while true {
        if let event = try read(&cursor, reader: &reader) { return event }
      }
    } catch {
      isBroken = true
      queueGoAway(error.code)
      return .violation(error)
    }
  }

  @inline(__always)
  private mutating func read(
    _ bytes: inout ByteCursor, reader: inout RequestHeadReader
  ) throws(H2Violation) -> Event? {
    switch try frames.next(&bytes) {
    case .needsMore: return .needsMore
    case .block(let block): return try readHead(block, reader: &reader)
    case .data(_, let isFirst, let endsFrame):
      return try readData(isFirst: isFirst, endsFrame: endsFrame)
    case .windowUpdate(let increment): try widen(by: increment)
    case .setting(let name, let value): try set(name, to: value)
    case .settingsEnd: try queue(FrameHeader(kind: .settings, flags: FrameHeader.ack))
    case .ping(let payload):
      try queue(FrameHeader(payloadByteCount: 8, kind: .ping, flags: FrameHeader.ack))
      control.append(bigEndian: payload)
    case .reset:
      let id = frames.header.streamID
      guard let place = place(of: id) else {
        try requireOpened(id)
        return nil
      }
      return .reset(id: id, answer: streams.remove(at: place).answer)
    case .goAway: break  // It opens no more streams, which is its to say and not ours to check.
    }
    return nil
  }

  @inline(__always)
  private mutating func readHead(
    _ block: ByteCursor, reader: inout RequestHeadReader
  ) throws(H2Violation) -> Event? {
    let isEnd = frames.header.has(FrameHeader.endStream)
    let id = frames.header.streamID
    guard id > lastID else { return try readTrailers(block, id, isEnd: isEnd, reader: &reader) }
    guard id & 1 == 1 else { throw .idleStream }
    lastID = id
    let isUsual = table.addedCount == usualAddedCount && block.equals(usual.cursor)
    if !isUsual {
      usual.removeAll()
      let addedCount = table.addedCount
      let isFixed = try reader.read(block, table: &table)
      if isFixed, addedCount == table.addedCount {
        usual.append(block)
        usualAddedCount = addedCount
      }
    }
    guard streams.count < Int(Self.streamCountMax), !isGoingAway else {
      usual.removeAll()  // The caller has not seen it.
      try queueReset(id, .refusedStream)
      return nil
    }
    var stream = H2ServerStream(id: id, sendWindow: streamSendWindow)
    stream.isComplete = isEnd
    streams.append(stream)
    return .head(place: streams.count - 1, isUsual: isUsual, isEnd: isEnd)
  }

  private mutating func readTrailers(
    _ block: ByteCursor, _ id: UInt32, isEnd: Bool, reader: inout RequestHeadReader
  ) throws(H2Violation) -> Event? {
    try requireOpened(id)
    usual.removeAll()
    _ = try reader.read(block, table: &table, isTrailers: true)
    // Of a stream that was reset they may have been under way.
    guard let place = place(of: id) else { return nil }
    guard !streams[place].isComplete else { throw .closedStream }
    guard isEnd else { throw .trailersDoNotEndStream }
    streams[place].isComplete = true
    return .ended(place: place)
  }

  private mutating func readData(
    isFirst: Bool, endsFrame: Bool
  ) throws(H2Violation) -> Event? {
    let id = frames.header.streamID
    if isFirst { receiveWindow = try spent(receiveWindow, streamID: 0) }
    guard let place = place(of: id) else {
      try requireOpened(id)
      return nil
    }
    guard !streams[place].isComplete else { throw .closedStream }
    if isFirst {
      streams[place].receiveWindow = try spent(streams[place].receiveWindow, streamID: id)
    }
    guard endsFrame, frames.header.has(FrameHeader.endStream) else { return nil }
    streams[place].isComplete = true
    return .ended(place: place)
  }

  /// What a DATA frame's payload leaves of a window: all of it again once half is used.
  private mutating func spent(_ window: UInt32, streamID: UInt32) throws(H2Violation) -> UInt32 {
    let left = window &- frames.header.payloadByteCount
    guard left < H2Connection.windowByteCount / 2 else { return left }
    try queue(FrameHeader(payloadByteCount: 4, kind: .windowUpdate, streamID: streamID))
    control.append(bigEndian: H2Connection.windowByteCount - left)
    return H2Connection.windowByteCount
  }

  private mutating func widen(by increment: UInt32) throws(H2Violation) {
    let id = frames.header.streamID
    guard increment > 0 else { throw .zeroWindowIncrement }
    if id == 0 {
      sendWindow = try sendWindow.widened(by: Int64(increment))
    } else if let place = place(of: id) {
      streams[place].sendWindow = try streams[place].sendWindow.widened(by: Int64(increment))
    } else {
      try requireOpened(id)
    }
  }

  private mutating func set(_ name: UInt16, to value: UInt32) throws(H2Violation) {
    switch name {
    case H2Connection.Setting.initialWindow:
      guard let window = Int32(exactly: value) else { throw .initialWindowTooLarge }
      let change = Int64(window) - Int64(streamSendWindow)
      for place in streams.indices {
        streams[place].sendWindow = try streams[place].sendWindow.widened(by: change)
      }
      streamSendWindow = window
    case H2Connection.Setting.payloadByteCountMax:
      guard FrameReader.payloadByteCountMax...0xFF_FFFF ~= value else {
        throw .invalidFrameSizeMax
      }
    default: break  // No answer has a field that goes into a table.
    }
  }

  private func requireOpened(_ id: UInt32) throws(H2Violation) {
    guard id & 1 == 1, id <= lastID else { throw .idleStream }
  }

  /// By halves: numbers ascend.
  private func place(of id: UInt32) -> Int? {
    var low = 0
    var high = streams.count
    while low < high {
      let middle = (low + high) / 2
      if streams[middle].id < id { low = middle + 1 } else { high = middle }
    }
    return low < streams.count && streams[low].id == id ? low : nil
  }
}

// MARK: - Answers

extension H2Server {
  /// The caller's answer to the stream at that place.
  package mutating func answer(_ place: Int, with answer: Int32) { streams[place].answer = answer }

  package var hasOutput: Bool { control.byteCount > 0 }

  /// Writes what the protocol has to say. `output` has room for `controlByteCountMax`.
  package mutating func write(into output: inout OutgoingBytes) {
    output.append(control.cursor)
    control.removeAll()
  }

  /// Writes an answer's head: its status and, unless it is nil, the length of its body. `output` has
  /// room for 64 bytes.
  package mutating func writeHead(
    _ place: Int, status: UInt16, contentLength: UInt32?, isEnd: Bool,
    into output: inout OutgoingBytes
  ) {
    let start = output.byteCount
    output.append(
      FrameHeader(
        kind: .headers,
        flags: FrameHeader.endHeaders | (isEnd ? FrameHeader.endStream : 0),
        streamID: streams[place].id))
    // Static entries (RFC 7541 Appendix A) name the usual statuses; 8 is `:status` with some value.
    switch status {
    case 200: output.append(bigEndian: UInt8(0x88))
    case 204: output.append(bigEndian: UInt8(0x89))
    case 404: output.append(bigEndian: UInt8(0x8D))
    case 500: output.append(bigEndian: UInt8(0x8E))
    default:
      output.append(bigEndian: UInt8(0x08))
      output.append(decimal: UInt32(status))
    }
    if let contentLength {
      // `content-length`, entry 28, in a literal that is not kept.
      output.append(bigEndian: UInt16(0x0F0D))
      output.append(decimal: contentLength)
    }
    let payloadByteCount = UInt32(output.byteCount - start - FrameHeader.byteCount)
    output.store(
      bigEndian: payloadByteCount << 8 | UInt32(FrameKind.headers.rawValue), at: start)
    streams[place].isHeadWritten = true
    if isEnd { streams[place].isAnswered = true }
  }

  /// How much of a body the windows, a frame and `output` take at once.
  package func dataRoom(_ place: Int, _ output: OutgoingBytes) -> Int {
    let window = Int(min(sendWindow, streams[place].sendWindow))
    return max(
      0,
      min(window, Int(payloadByteCountMax), output.room - FrameHeader.byteCount))
  }

  /// Writes one DATA frame of at most `dataRoom(_:_:)` bytes, which `fill` writes.
  @safe package mutating func writeData(
    _ place: Int, byteCount: Int, isEnd: Bool, into output: inout OutgoingBytes,
    _ fill: (UnsafeMutableRawBufferPointer) -> Void
  ) {
    output.append(
      FrameHeader(
        payloadByteCount: UInt32(byteCount), kind: .data,
        flags: isEnd ? FrameHeader.endStream : 0, streamID: streams[place].id))
    unsafe output.append(byteCount: byteCount, fill)
    sendWindow -= Int32(byteCount)
    streams[place].sendWindow -= Int32(byteCount)
    streams[place].sentByteCount += UInt32(byteCount)
    if isEnd { streams[place].isAnswered = true }
  }

  /// Ends a stream without the rest of its answer. False when the client has left too much unread.
  package mutating func reset(_ place: Int, _ code: H2ErrorCode) -> Bool {
    finish(place)
    streams[place].isComplete = true
    do throws(H2Violation) {
      try queueReset(streams[place].id, code)
      return true
    } catch {
      return false
    }
  }

  /// Takes no new streams; those that are here go on.
  package mutating func goAway() {
    guard !isGoingAway else { return }
    isGoingAway = true
    queueGoAway(.noError)
  }

  /// Nothing is under way and nothing more can be.
  package var isDone: Bool { isBroken || isGoingAway && streams.isEmpty }

  /// The answer of the stream is written, whatever was written of it.
  package mutating func finish(_ place: Int) {
    streams[place].isAnswered = true
    streams[place].answer = -1
  }

  /// Lets the answer be written a second time, which no client should take.
  package mutating func repeatAnswer(_ place: Int) {
    streams[place].isAnswered = false
    streams[place].isHeadWritten = false
    streams[place].sentByteCount = 0
  }

  /// Forgets the streams whose request and answer are done. A request that goes on behind its answer
  /// keeps its place.
  package mutating func removeFinished() {
    streams.removeAll { $0.isAnswered && $0.isComplete }
  }

  private mutating func queue(_ header: FrameHeader) throws(H2Violation) {
    guard control.byteCount < H2Connection.controlByteCountMax else { throw .tooManyReplies }
    control.append(header)
  }

  private mutating func queueReset(_ id: UInt32, _ code: H2ErrorCode) throws(H2Violation) {
    try queue(FrameHeader(payloadByteCount: 4, kind: .reset, streamID: id))
    control.append(bigEndian: code.rawValue)
  }

  private mutating func queueGoAway(_ code: H2ErrorCode) {
    control.append(FrameHeader(payloadByteCount: 8, kind: .goAway))
    control.append(bigEndian: lastID)
    control.append(bigEndian: code.rawValue)
  }
}

extension OutgoingBytes {
  /// A string of digits (RFC 7541 section 5.2), not Huffman-coded.
  fileprivate mutating func append(decimal number: UInt32) {
    var divisor: UInt32 = 1
    var digitCount: UInt8 = 1
    while number / divisor >= 10 {
      divisor *= 10
      digitCount += 1
    }
    append(bigEndian: digitCount)
    while divisor > 0 {
      append(bigEndian: UInt8(ascii: "0") + UInt8(number / divisor % 10))
      divisor /= 10
    }
  }
}
