import SquallHTTP

/// What a stream of bytes, in whatever pieces, was read as.
struct RequestReading: Equatable {
  var step: RequestParser.Step
  var method = RequestParser.Method.other
  var target: [UInt8] = []
  var bodyByteCount: UInt64 = 0
  var keepAlive = false
  var isHTTP10 = false
  var awaitsContinue = false

  /// `step`'s byte count is of all pieces together.
  init(_ pieces: [ArraySlice<UInt8>], scratchByteCount: Int = 4096, in memory: GuardedBytes) {
    var parser = RequestParser()
    let scratch = UnsafeMutableRawBufferPointer.allocate(
      byteCount: scratchByteCount, alignment: 1)
    defer { scratch.deallocate() }
    var consumed = 0
    step = .needsMore
    for piece in pieces where step == .needsMore {
      step = memory.lend(piece) { bytes in
        let step = parser.consume(bytes, scratch: scratch)
        if case .complete = step { target = Array(parser.target(in: bytes, scratch: scratch)) }
        return step
      }
      switch step {
      case .needsMore: consumed += piece.count
      case .complete(let byteCount):
        precondition(0...piece.count ~= byteCount, "consumed what was not there")
        step = .complete(consumedByteCount: consumed + byteCount)
      case .malformed: return
      }
    }
    method = parser.method
    bodyByteCount = parser.bodyByteCount
    keepAlive = parser.keepAlive
    isHTTP10 = parser.isHTTP10
    awaitsContinue = parser.awaitsContinue
  }
}
