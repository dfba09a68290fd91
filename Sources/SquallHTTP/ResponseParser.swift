/// Finds the end of one HTTP/1 response in bytes as they come (RFC 9112), and what a load generator
/// needs of it: status, body bytes, and whether the connection may be used again.
///
/// A plain value of fixed size: nothing is kept of what was read, so a million connections cost a
/// million of these and a response may be cut anywhere.
///
/// Stricter than the RFC asks, because a response read wrongly is counted wrongly:
/// - Lines end in CR LF. A bare LF or CR is malformed everywhere.
/// - The status is 100 to 599. 600 to 999 is malformed (`statusCodeOutOfRange`), where RFC 9110 15
///   would treat it as a 5xx. The space before an absent reason phrase may be absent too, as many
///   servers send it so.
/// - Content-Length beside Transfer-Encoding, Transfer-Encoding in HTTP/1.0, and a last coding
///   other than chunked are malformed; a final response without a body is no exception. Equal
///   Content-Length fields are one, unequal ones and lists malformed.
/// - Interim responses (1xx) are skipped, 20 at most; 101 is malformed, as nobody asked for it.
/// - A folded line is read as part of an ordinary field's value, and malformed in
///   Content-Length, Transfer-Encoding and Connection.
/// - Limits: head 64 KiB and 256 fields, each interim response counted anew; chunk line 4 KiB,
///   chunk extensions 16 KiB in all, trailers 16 KiB and 256 fields.
package struct ResponseParser: BitwiseCopyable, Sendable {
  package static let interimCountMax: UInt8 = 20

  // Read after each response by another module: stored, so that it need not copy all of this to
  // call a getter.

  /// Body bytes so far, without chunk framing.
  package private(set) var bodyByteCount: UInt64 = 0
  private var framing = Framing()
  /// Of the final response; 0 until its three digits are there.
  package private(set) var status: UInt16 = 0
  /// Whether the connection may carry another request (RFC 9112 9.3, 9.6). True only of a complete
  /// response whose end did not depend on the connection's end.
  package private(set) var keepAlive = false
  /// Whether a byte of this response, interim ones included, has been seen.
  package private(set) var hasBegun = false

  private var lineIndex: UInt8 = 0
  private var interimsLeft = Self.interimCountMax
  private var phase = Phase.statusLine
  private var traits: Traits = []
  private var malformation = Malformation.notHTTP

  private enum Phase: UInt8 { case statusLine, fields, body, complete, malformed }

  private struct Traits: OptionSet, BitwiseCopyable, Sendable {
    let rawValue: UInt8
    static let expectsNoBody = Traits(rawValue: 1 << 0)
    static let isHTTP10 = Traits(rawValue: 1 << 1)
    static let switchesProtocols = Traits(rawValue: 1 << 2)
  }

  package enum Step: Equatable, BitwiseCopyable, Sendable {
    case needsMore
    /// The response ends before byte `consumedByteCount` of the bytes just given. What follows is
    /// the next response, if one is due, and otherwise a reason not to use the connection again.
    case complete(consumedByteCount: Int)
    /// Nothing after this can be trusted: close the connection.
    case malformed(Malformation)
  }

  package init() {}

  /// Forgets the last response, ready for the next one. `expectsNoBody`: the request was HEAD.
  package mutating func reset(expectsNoBody: Bool) {
    self = ResponseParser()
    if expectsNoBody { traits.insert(.expectsNoBody) }
  }

  /// Reads until the end of one final response, the end of `bytes` or the first fault. A response
  /// that is complete or malformed stays so, and takes no more bytes, until `reset`.
  ///
  /// About half a nanosecond a byte of head at 3.6 GHz; a body is skipped in one step.
  @safe package mutating func consume(_ bytes: UnsafeRawBufferPointer) -> Step {
    var sink = NoSink()
    return consume(bytes, into: &sink)
  }

  /// The same, and gives the fields and the body to `sink` as it goes.
  @safe package mutating func consume<Sink: ReplySink & ~Copyable>(
    _ bytes: UnsafeRawBufferPointer, into sink: inout Sink
  ) -> Step {
    guard let start = bytes.baseAddress else { return verdict ?? .needsMore }
    var cursor = unsafe ByteCursor(at: start, end: start + bytes.count)
    return unsafe step(read(&cursor, into: &sink), at: cursor, from: start)
  }

  /// Like `consume(_:)`, but a head that lies whole in `bytes` and is the one in `memo` is not read
  /// again.
  @safe package mutating func consume(
    _ bytes: UnsafeRawBufferPointer, recalling memo: inout HeadMemo
  ) -> Step {
    guard phase == .statusLine, !hasBegun, !traits.contains(.expectsNoBody),
      let start = bytes.baseAddress
    else { return consume(bytes) }
    var cursor = unsafe ByteCursor(at: start, end: start + bytes.count)
    var sink = NoSink()
    if let known = memo.recall(&cursor) {
      self = known
    } else {
      let head = cursor
      if let end = readHeads(&cursor, into: &sink) {
        return unsafe step(end, at: cursor, from: start)
      }
      memo.keep(head.prefix(upTo: cursor), parser: self)
    }
    return unsafe step(read(&cursor, into: &sink), at: cursor, from: start)
  }

  /// The peer has closed its side: the end of a body that only this ends, or the reason why the
  /// response is broken.
  package mutating func finish() -> Step {
    if let verdict { return verdict }
    switch phase {
    case .body where framing.endsAtClose:
      complete()
      return .complete(consumedByteCount: 0)
    case .body: malformation = .closedInBody
    default: malformation = hasBegun ? .closedInHead : .closedBeforeHead
    }
    phase = .malformed
    return .malformed(malformation)
  }

  /// What has been said already and stays true.
  private var verdict: Step? {
    switch phase {
    case .complete: .complete(consumedByteCount: 0)
    case .malformed: .malformed(malformation)
    case .statusLine, .fields, .body: nil
    }
  }

  /// Settles what reading up to `cursor` came to.
  @inline(__always)
  private mutating func step(
    _ progress: Framing.Progress, at cursor: ByteCursor, from start: UnsafeRawPointer
  ) -> Step {
    switch progress {
    case .needsMore: return .needsMore
    case .done:
      if phase != .complete { complete() }
      return .complete(consumedByteCount: unsafe cursor.at - start)
    case .malformed(let cause):
      phase = .malformed
      malformation = cause
      return .malformed(cause)
    }
  }

  @inline(__always)
  private mutating func read<Sink: ReplySink & ~Copyable>(
    _ cursor: inout ByteCursor, into sink: inout Sink
  ) -> Framing.Progress {
    switch phase {
    case .statusLine, .fields:
      if let progress = readHeads(&cursor, into: &sink) { return progress }
    case .body: break
    case .complete: return .done
    case .malformed: return .malformed(malformation)
    }
    return framing.readBody(&cursor, counting: &bodyByteCount, into: &sink)
  }

  /// Reads interim heads and the final one; nil when a body follows it.
  @inline(__always)
  private mutating func readHeads<Sink: ReplySink & ~Copyable>(
    _ cursor: inout ByteCursor, into sink: inout Sink
  ) -> Framing.Progress? {
    if !cursor.isEmpty { hasBegun = true }
    while true {
      let progress = readHead(&cursor, into: &sink)
      guard case .done = progress else { return progress }
      if status > 0 { return endHead() }
      if let fault = endInterim() { return .malformed(fault) }
    }
  }

  @inline(__always)
  private mutating func complete() {
    phase = .complete
    keepAlive =
      !framing.endsAtClose && framing.keepsAlive(isHTTP10: traits.contains(.isHTTP10))
  }

  @inline(__always)
  private mutating func readHead<Sink: ReplySink & ~Copyable>(
    _ cursor: inout ByteCursor, into sink: inout Sink
  ) -> Framing.Progress {
    var head = cursor.prefix(framing.sectionBytesLeft)
    var progress = Framing.Progress.done
    if phase == .statusLine {
      progress = readStatusLine(&head)
      if case .done = progress { phase = .fields }
    }
    if phase == .fields {
      let fields = head
      progress = framing.readFields(&head, names: .responseFields)
      unsafe fields.prefix(upTo: head).withBytes { unsafe sink.fields($0) }
    }
    return framing.leave(head, for: &cursor, after: progress, fullFault: .headTooLong)
  }

  /// The empty line after the fields of an interim response: another head follows.
  private mutating func endInterim() -> Malformation? {
    guard !traits.contains(.switchesProtocols) else { return .switchingProtocols }
    guard interimsLeft > 0 else { return .tooManyInterims }
    let interimsLeft = interimsLeft - 1
    reset(expectsNoBody: traits.contains(.expectsNoBody))
    self.interimsLeft = interimsLeft
    hasBegun = true
    return nil
  }

  /// The empty line after the fields of the final response; nil when a body follows.
  @inline(__always)
  private mutating func endHead() -> Framing.Progress? {
    if let fault = framing.codingFault(isHTTP10: traits.contains(.isHTTP10)) {
      return .malformed(fault)
    }
    // RFC 9112 6.3: these end here whatever their fields announce.
    if traits.contains(.expectsNoBody) || status == 204 || status == 304 { return .done }
    phase = .body
    framing.beginBody()
    return nil
  }

  /// `"HTTP/1." DIGIT SP 3DIGIT [ SP reason ] CR LF` by index: 7 is the digit, 8 the space, 9 to 11
  /// the code, 12 what follows it, 13 the reason, 14 the line feed.
  @inline(__always)
  private mutating func readStatusLine(_ cursor: inout ByteCursor) -> Framing.Progress {
    if lineIndex == 0, let version = cursor.word(as: UInt64.self), version.isHTTP1 {
      if version == .http10 { traits.insert(.isHTTP10) }
      cursor.skip(8)
      lineIndex = 8
      if let code = cursor.word(as: UInt32.self)?.statusCode {
        cursor.skip(4)
        take(code)
        lineIndex = 12
      }
    }
    while lineIndex < 13 {
      guard let byte = cursor.first else { return .needsMore }
      if let fault = takeStatusLine(byte) { return .malformed(fault) }
      cursor.skip()
    }
    if lineIndex == 13 {
      cursor.skipText()
      guard let byte = cursor.first else { return .needsMore }
      guard byte == UInt8(ascii: "\r") else { return .malformed(Framing.textFault(byte)) }
      cursor.skip()
      lineIndex = 14
    }
    guard let byte = cursor.first else { return .needsMore }
    guard byte == UInt8(ascii: "\n") else { return .malformed(.bareCarriageReturn) }
    cursor.skip()
    return .done
  }

  /// Takes the code of a status line, 100 to 599. An interim response leaves no status behind.
  @inline(__always)
  private mutating func take(_ code: UInt16) {
    if code >= 200 { status = code }
    if code == 101 { traits.insert(.switchesProtocols) }
  }

  /// One byte of the status line before its reason phrase.
  @inline(__always)
  private mutating func takeStatusLine(_ byte: UInt8) -> Malformation? {
    let digit = byte &- UInt8(ascii: "0")
    switch lineIndex {
    case 0..<8:
      if let fault = UInt64.versionFault(byte, at: lineIndex) { return fault }
      if lineIndex == 7, digit == 0 { traits.insert(.isHTTP10) }
    case 8:
      guard byte == UInt8(ascii: " ") else { return .unsupportedVersion }
    case 12 where byte == UInt8(ascii: "\r"):
      lineIndex = 14
      return nil
    case 12:
      guard byte == UInt8(ascii: " ") else { return .invalidStatusCode }
    default:
      guard digit <= 9 else { return .invalidStatusCode }
      if lineIndex == 9, !(1...5).contains(digit) { return .statusCodeOutOfRange }
      framing.number = framing.number * 10 + UInt64(digit)
      if lineIndex == 11 { take(UInt16(truncatingIfNeeded: framing.number)) }
    }
    lineIndex += 1
    return nil
  }
}

extension UInt32 {
  /// Of `SP 3DIGIT` as a little-endian word, 100 to 599.
  fileprivate var statusCode: UInt16? {
    @inline(__always) get {
      let digits = self ^ 0x3030_3020
      // A digit is at most 9, so 6 more does not reach into its high half.
      guard (digits | (digits &+ 0x0606_0600)) & 0xF0F0_F0FF == 0 else { return nil }
      let code = (digits >> 8 & 15) * 100 + (digits >> 16 & 15) * 10 + digits >> 24
      return 100...599 ~= code ? UInt16(code) : nil
    }
  }
}
