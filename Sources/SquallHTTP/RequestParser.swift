/// Finds the end of one HTTP/1 request in bytes as they come, and what the built-in target needs of
/// it (RFC 9112): method, request target, and whether the connection goes on.
///
/// Keeps no byte but the request target's, and those only when the request does not lie whole in
/// one buffer: then they go to a scratch the caller lends, whose size is the longest target taken.
/// Empty lines before a request are skipped (RFC 9112 2.2). Whatever makes a response malformed in
/// `ResponseParser` makes a request so; besides, HTTP/1.1 must come with one Host field, and the
/// target must consist of VCHAR.
package struct RequestParser: BitwiseCopyable, Sendable {
  static let methodByteCountMax: UInt8 = 32

  package enum Method: UInt8, BitwiseCopyable, Sendable {
    case get, head, post, put, delete, options, patch, trace, connect, other
  }

  package enum Step: Equatable, BitwiseCopyable, Sendable {
    case needsMore
    /// The request ends before byte `consumedByteCount` of the bytes just given; what follows is
    /// the next one.
    case complete(consumedByteCount: Int)
    /// Answer 400 if an answer is wanted, and close the connection.
    case malformed(Malformation)
  }

  /// Body bytes so far, without chunk framing.
  package private(set) var bodyByteCount: UInt64 = 0
  private var framing = Framing()
  package private(set) var method = Method.other
  /// Whether the client means to send another request. True only of a complete request.
  package private(set) var keepAlive = false
  package private(set) var isHTTP10 = false
  /// Whether a byte of this request has been seen.
  package private(set) var hasBegun = false

  private var phase = Phase.start
  private var lineIndex: UInt8 = 0
  private var malformation = Malformation.notHTTP
  private var targetIsInScratch = false
  private var targetByteCount: UInt16 = 0
  /// In the bytes last given, unless the target is in the scratch.
  private var targetOffset: UInt32 = 0

  private enum Phase: UInt8 {
    case start, startLF, method, target, version, lineLF, fields, body, complete, malformed
  }

  package init() {}

  package mutating func reset() { self = RequestParser() }

  /// The head is here, asks for `100 Continue`, and its body has not begun to come.
  package var awaitsContinue: Bool {
    phase == .body && bodyByteCount == 0 && !isHTTP10 && framing.facts.contains(.expectsContinue)
  }

  /// The request target of a complete request, given what the last `consume` was given.
  @safe package func target(
    in bytes: UnsafeRawBufferPointer, scratch: UnsafeMutableRawBufferPointer
  ) -> UnsafeRawBufferPointer {
    let byteCount = Int(targetByteCount)
    guard !targetIsInScratch else {
      return unsafe UnsafeRawBufferPointer(rebasing: scratch[..<byteCount])
    }
    let offset = Int(targetOffset)
    return unsafe UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + byteCount])
  }

  /// Reads until the end of one request, the end of `bytes` or the first fault. A request that is
  /// complete or malformed stays so, and takes no more bytes, until `reset`.
  ///
  /// `scratch` must be the same memory from a request's first byte to its last. A target longer
  /// than it (or than 64 KiB) is malformed.
  @safe package mutating func consume(
    _ bytes: UnsafeRawBufferPointer, scratch: UnsafeMutableRawBufferPointer
  ) -> Step {
    guard let start = bytes.baseAddress else { return verdict ?? .needsMore }
    var cursor = unsafe ByteCursor(at: start, end: start + bytes.count)
    if !cursor.isEmpty { hasBegun = true }
    switch unsafe read(&cursor, from: start, scratch: scratch) {
    case .needsMore:
      unsafe saveTarget(of: bytes, to: scratch)
      return .needsMore
    case .done:
      phase = .complete
      keepAlive = framing.keepsAlive(isHTTP10: isHTTP10)
      return .complete(consumedByteCount: unsafe cursor.at - start)
    case .malformed(let cause):
      phase = .malformed
      malformation = cause
      return .malformed(cause)
    }
  }

  private var verdict: Step? {
    switch phase {
    case .complete: .complete(consumedByteCount: 0)
    case .malformed: .malformed(malformation)
    default: nil
    }
  }

  private mutating func read(
    _ cursor: inout ByteCursor, from start: UnsafeRawPointer,
    scratch: UnsafeMutableRawBufferPointer
  ) -> Framing.Progress {
    switch phase {
    case .complete: return .done
    case .malformed: return .malformed(malformation)
    case .body: break
    default:
      let progress = unsafe readHead(&cursor, from: start, scratch: scratch)
      guard case .done = progress else { return progress }
      if let fault = headFault { return .malformed(fault) }
      phase = .body
      framing.beginBody()
    }
    // What announces no body has none (RFC 9112 6.3).
    guard !framing.endsAtClose else { return .done }
    var sink = NoSink()
    return framing.readBody(&cursor, counting: &bodyByteCount, into: &sink)
  }

  private mutating func readHead(
    _ cursor: inout ByteCursor, from start: UnsafeRawPointer,
    scratch: UnsafeMutableRawBufferPointer
  ) -> Framing.Progress {
    var head = cursor.prefix(framing.sectionBytesLeft)
    var progress = Framing.Progress.done
    if phase != .fields {
      progress = unsafe readRequestLine(&head, from: start, scratch: scratch)
    }
    if phase == .fields { progress = framing.readFields(&head, names: .requestFields) }
    return framing.leave(head, for: &cursor, after: progress, fullFault: .headTooLong)
  }

  private var headFault: Malformation? {
    if let fault = framing.codingFault(isHTTP10: isHTTP10) { return fault }
    return isHTTP10 || framing.facts.contains(.host) ? nil : .missingHost
  }

  /// `*( CR LF ) method SP target SP "HTTP/1." DIGIT CR LF`; leaves `phase` at `fields` when done.
  private mutating func readRequestLine(
    _ cursor: inout ByteCursor, from start: UnsafeRawPointer,
    scratch: UnsafeMutableRawBufferPointer
  ) -> Framing.Progress {
    while let byte = cursor.first {
      switch phase {
      case .start:
        phase = byte == UInt8(ascii: "\r") ? .startLF : .method
        if phase == .startLF { cursor.skip() }
      case .method:
        if let fault = takeMethod(byte) { return .malformed(fault) }
        cursor.skip()
      case .target:
        if let fault = unsafe readTarget(&cursor, from: start, scratch: scratch) {
          return .malformed(fault)
        }
      case .version:
        if let fault = readVersion(&cursor) { return .malformed(fault) }
      default:
        guard byte == UInt8(ascii: "\n") else { return .malformed(.bareCarriageReturn) }
        cursor.skip()
        guard phase == .startLF else {
          phase = .fields
          return .done
        }
        phase = .start
      }
    }
    return .needsMore
  }

  /// One byte of the method or the space after it. A method of interest is at most eight bytes and
  /// fits a word, first byte highest.
  private mutating func takeMethod(_ byte: UInt8) -> Malformation? {
    guard byte != UInt8(ascii: " ") else {
      guard lineIndex > 0 else { return .invalidMethod }
      if lineIndex <= 8 { method = Method(word: framing.number) }
      lineIndex = 0
      phase = .target
      return nil
    }
    // The first bytes of TLS, HTTP/2 or noise end here.
    guard byte.isToken, lineIndex < Self.methodByteCountMax else { return .invalidMethod }
    framing.number = framing.number << 8 | UInt64(byte)
    lineIndex += 1
    return nil
  }

  private mutating func readTarget(
    _ cursor: inout ByteCursor, from start: UnsafeRawPointer,
    scratch: UnsafeMutableRawBufferPointer
  ) -> Malformation? {
    let piece = cursor.skipVisible()
    let byteCount = Int(targetByteCount) + piece.byteCount
    guard byteCount <= min(scratch.count, Int(UInt16.max)) else { return .targetTooLong }
    if targetByteCount == 0 {
      targetOffset = UInt32(truncatingIfNeeded: unsafe piece.at - start)
    } else {
      unsafe piece.copy(to: scratch, at: Int(targetByteCount))
    }
    targetByteCount = UInt16(byteCount)
    guard let byte = cursor.first else { return nil }
    guard byte == UInt8(ascii: " "), targetByteCount > 0 else {
      // A line that ends here is HTTP/0.9.
      return byte == UInt8(ascii: "\r") ? .unsupportedVersion : .invalidTarget
    }
    cursor.skip()
    phase = .version
    return nil
  }

  /// The buffer is about to go: what it holds of the target must stay.
  private mutating func saveTarget(
    of bytes: UnsafeRawBufferPointer, to scratch: UnsafeMutableRawBufferPointer
  ) {
    guard targetByteCount > 0, !targetIsInScratch else { return }
    let offset = Int(targetOffset)
    unsafe scratch.copyMemory(
      from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + Int(targetByteCount)]))
    targetIsInScratch = true
  }

  private mutating func readVersion(_ cursor: inout ByteCursor) -> Malformation? {
    if lineIndex == 0, let version = cursor.word(as: UInt64.self), version.isHTTP1 {
      isHTTP10 = version == .http10
      lineIndex = 8
      cursor.skip(8)
      return nil
    }
    guard let byte = cursor.first else { return nil }
    if lineIndex < 8 {
      if let fault = UInt64.versionFault(byte, at: lineIndex) { return fault }
      isHTTP10 = byte == UInt8(ascii: "0")
      lineIndex += 1
    } else {
      guard byte == UInt8(ascii: "\r") else {
        return byte == UInt8(ascii: "\n") ? .bareLineFeed : .unsupportedVersion
      }
      phase = .lineLF
    }
    cursor.skip()
    return nil
  }
}

extension RequestParser.Method {
  fileprivate init(word: UInt64) {
    self =
      switch word {
      case 0x47_4554: .get
      case 0x4845_4144: .head
      case 0x504F_5354: .post
      case 0x50_5554: .put
      case 0x4445_4C45_5445: .delete
      case 0x4F_5054_494F_4E53: .options
      case 0x50_4154_4348: .patch
      case 0x54_5241_4345: .trace
      case 0x43_4F4E_4E45_4354: .connect
      default: .other
      }
  }
}
