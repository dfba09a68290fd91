import SquallHTTP

/// What a stream of bytes, in whatever pieces, was read as.
struct ResponseReading: Equatable, CustomStringConvertible {
  enum End: Equatable {
    case complete
    case malformed(Malformation)
    /// Nothing wrong so far, and nothing complete.
    case needsMore
  }

  var end: End
  var status: UInt16
  var bodyByteCount: UInt64
  var keepAlive: Bool
  /// Of all pieces together, up to the end of the response; nil when it is malformed, where this
  /// means nothing.
  var consumedByteCount: Int?

  var description: String {
    "\(end) status=\(status) body=\(bodyByteCount) keepAlive=\(keepAlive) "
      + "consumed=\(consumedByteCount.map(String.init) ?? "-")"
  }

  /// - Parameter closes: the peer closes its side after the last piece.
  init(
    _ pieces: [ArraySlice<UInt8>], isHead: Bool = false, closes: Bool, in memory: GuardedBytes
  ) {
    self.init(pieces, isHead: isHead, closes: closes, in: memory) { $0.consume($1) }
  }

  /// The same, through a memo.
  init(
    _ pieces: [ArraySlice<UInt8>], isHead: Bool = false, closes: Bool, in memory: GuardedBytes,
    recalling memo: inout HeadMemo
  ) {
    self.init(pieces, isHead: isHead, closes: closes, in: memory) {
      $0.consume($1, recalling: &memo)
    }
  }

  private init(
    _ pieces: [ArraySlice<UInt8>], isHead: Bool, closes: Bool, in memory: GuardedBytes,
    consume: (inout ResponseParser, UnsafeRawBufferPointer) -> ResponseParser.Step
  ) {
    var parser = ResponseParser()
    parser.reset(expectsNoBody: isHead)
    var consumed = 0
    var step = ResponseParser.Step.needsMore
    for piece in pieces where step == .needsMore {
      step = memory.lend(piece) { consume(&parser, $0) }
      switch step {
      case .needsMore: consumed += piece.count
      case .complete(let byteCount):
        precondition(0...piece.count ~= byteCount, "consumed what was not there")
        consumed += byteCount
      case .malformed: break
      }
    }
    if closes, step == .needsMore { step = parser.finish() }
    switch step {
    case .complete: end = .complete
    case .malformed(let cause): end = .malformed(cause)
    case .needsMore: end = .needsMore
    }
    status = parser.status
    bodyByteCount = parser.bodyByteCount
    keepAlive = parser.keepAlive
    consumedByteCount = consumed
    if case .malformed = end {
      // How much of a broken message was counted depends on where it was cut; nobody may ask.
      consumedByteCount = nil
      status = 0
      bodyByteCount = 0
    }
    // Said once, said for good.
    let again = memory.lend(ArraySlice("HTTP/1.1 200 OK\r\n\r\n".utf8)) { bytes in
      end == .needsMore ? ResponseParser.Step.needsMore : consume(&parser, bytes)
    }
    switch end {
    case .complete: precondition(again == .complete(consumedByteCount: 0), "read on after the end")
    case .malformed(let cause): precondition(again == .malformed(cause), "forgot a malformation")
    case .needsMore: break
    }
  }
}
