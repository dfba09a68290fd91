internal import SquallHTTP
internal import SquallLoad

/// HTTP/1.1 (RFC 9112). A connection is its parser; requests are bytes that need no writing.
struct HTTP1: Dialect, ~Copyable {
  struct Common {
    /// The last head read.
    var memo = HeadMemo()
    let expectsNoBody: Bool
  }

  static var composes: Bool { false }
  static var isOrdered: Bool { true }

  private var parser = ResponseParser()

  mutating func opened(depth: UInt32, common: Common) {
    parser.reset(expectsNoBody: common.expectsNoBody)
  }

  @inline(__always)
  func room(depth: UInt32, inFlight: UInt32, inBatches: Bool) -> UInt32 { depth &- inFlight }

  func fits(_ output: OutgoingBytes, common: Common) -> Bool { true }

  func put(tag: UInt32, common: Common, into output: inout OutgoingBytes) -> UInt32 { 0 }

  func put(
    _ rendered: UnsafeRawBufferPointer, tag: UInt32, traits: AnswerTraits, common: Common,
    into output: inout OutgoingBytes
  ) -> UInt32? { nil }

  var putByteCount: Int { 0 }

  mutating func expect(noBody: Bool) { parser.reset(expectsNoBody: noBody) }

  var hasOutput: Bool { false }

  func write(into output: inout OutgoingBytes) {}

  @inline(__always)
  mutating func next<Sink: ReplySink & ~Copyable>(
    _ bytes: inout UnsafeRawBufferPointer, into sink: inout Sink, common: inout Common
  ) -> DialectEvent {
    let step =
      Sink.self == NoSink.self
      ? parser.consume(bytes, recalling: &common.memo) : parser.consume(bytes, into: &sink)
    switch step {
    case .needsMore:
      unsafe bytes = UnsafeRawBufferPointer(rebasing: bytes[bytes.count...])
      return .needsMore
    case .complete(let consumedByteCount):
      unsafe bytes = UnsafeRawBufferPointer(rebasing: bytes[consumedByteCount...])
      return answered(expectsNoBody: common.expectsNoBody)
    case .malformed(let reason): return broken(reason)
    }
  }

  /// Ready for the next answer.
  @inline(__always)
  private mutating func answered(expectsNoBody: Bool) -> DialectEvent {
    let event = DialectEvent.answered(
      tag: 0, status: parser.status, bodyByteCount: parser.bodyByteCount,
      isLast: !parser.keepAlive)
    parser.reset(expectsNoBody: expectsNoBody)
    return event
  }

  private func broken(_ reason: Malformation) -> DialectEvent {
    .broken(.init(number: reason.rawValue, isOfStart: reason.isOfStart), tag: 0)
  }

  mutating func ended(isCut: Bool) -> DialectEvent {
    // Whoever cuts a connection that announces its ends may have cut the body too.
    guard !isCut else { return .needsMore }
    switch parser.finish() {
    case .complete: return answered(expectsNoBody: false)
    case .needsMore, .malformed: return .needsMore
    }
  }

  func cancel(key: UInt32) -> Bool { false }

  static func withFieldLines(_ common: Common, _ take: (UnsafeRawBufferPointer) -> Void) {}
  func arrived(byteCount: Int) {}
  func claim(ahead: Int) -> Int { 0 }

  var hasBegun: Bool { parser.hasBegun }
  var bodyByteCount: UInt64 { parser.bodyByteCount }
}
