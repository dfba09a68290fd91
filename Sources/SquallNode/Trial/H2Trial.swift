internal import SquallHTTP

/// One request over HTTP/2 on a connection of its own, and what came of it.
struct H2Trial: ~Copyable {
  /// What comes of the answer, in its order.
  enum Piece {
    case head(status: UInt16, lines: [UInt8])
    case body([UInt8])
  }

  enum End {
    case answered(status: UInt16, bodyByteCount: UInt64)
    /// Why there is no answer.
    case failed(String)
  }

  private var connection = H2Connection(streamCountMax: 1)
  private var reader = ResponseHeadReader()

  /// - Parameter rendered: as HTTP/1.1 has it.
  mutating func exchange(
    _ rendered: [UInt8], expectsNoBody: Bool, over stream: inout TargetStream,
    take: (Piece) -> Void
  ) throws(TargetStream.Failure) -> End {
    try stream.send(begun(rendered, expectsNoBody: expectsNoBody, isSecure: stream.facts != nil))
    while true {
      let chunk = try stream.receive()
      guard !chunk.isEmpty else {
        return .failed("the target closed the connection before the answer's end")
      }
      if let end = read(chunk, take) { return end }
      if connection.hasOutput { try stream.send(written(room: 65_536)) }
    }
  }

  /// What the connection and the request begin with.
  private mutating func begun(
    _ rendered: [UInt8], expectsNoBody: Bool, isSecure: Bool
  ) -> [UInt8] {
    var writer = H2RequestWriter(headByteCountMax: rendered.count, isSecure: isSecure)
    let room = 16_384 + H2RequestWriter.framesByteCountMax(ofHead: rendered.count)
    return unsafe rendered.withUnsafeBytes { rendered in
      guard let request = writer.request(rendered, expectsNoBody: expectsNoBody) else {
        preconditionFailure("a plan with a request that HTTP/2 cannot carry")
      }
      return written(room: room) { connection, output in
        _ = connection.open(request, tag: 0, showsBody: true, keepsFields: true, into: &output)
      }
    }
  }

  private mutating func read(_ chunk: [UInt8], _ take: (Piece) -> Void) -> End? {
    unsafe chunk.withUnsafeBytes { bytes in
      var rest = unsafe bytes
      while true {
        switch connection.next(&rest, reader: &reader) {
        case .needsMore: return nil
        case .head(_, let status):
          var lines: [UInt8] = []
          reader.withFieldLines { unsafe lines += Array($0) }
          take(.head(status: status, lines: lines))
        case .body(_, let piece): take(.body(unsafe Array(piece)))
        case .ended(_, let status, let bodyByteCount):
          return .answered(status: status, bodyByteCount: bodyByteCount)
        case .reset(_, let code): return .failed("the target reset the stream: \(code)")
        case .unprocessed: return .failed("the target goes away and did not look at the request")
        case .violation(let violation, _): return .failed("malformed: \(violation.explanation)")
        case .settings, .goAway: continue
        }
      }
    }
  }

  /// What the connection has to send, behind what `body` makes it say.
  private mutating func written(
    room: Int, _ body: (inout H2Connection, inout OutgoingBytes) -> Void = { _, _ in }
  ) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
      var output = OutgoingBytes(UnsafeMutableRawBufferPointer(buffer))
      body(&connection, &output)
      connection.write(into: &output)
      count = output.byteCount
    }
  }
}
