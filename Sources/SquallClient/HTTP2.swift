internal import SquallHTTP
internal import SquallLoad

/// HTTP/2 (RFC 9113). Each request is a stream, whose tag is its flight's place.
struct HTTP2: Dialect, ~Copyable {
  /// Made once for the life of a worker.
  @safe struct Common {
    /// The run's request, where it has one.
    fileprivate let requests: UnsafeMutablePointer<H2Requests>
    fileprivate let writer: UnsafeMutablePointer<H2RequestWriter>
    fileprivate let reader: UnsafeMutablePointer<ResponseHeadReader>
    /// Of a request's frames before its body.
    fileprivate let headByteCountMax: Int

    init(_ template: H2RequestTemplate) {
      unsafe requests = .allocate(capacity: 1)
      unsafe requests.initialize(to: H2Requests([template]))
      unsafe writer = Self.writer(headByteCountMax: 0, isSecure: false)
      unsafe reader = Self.reader()
      headByteCountMax = unsafe requests.pointee[0].headByteCountMax
    }

    /// For requests that are rendered.
    ///
    /// - Parameter headByteCountMax: of the rendered heads.
    init(headByteCountMax: Int, isSecure: Bool) {
      unsafe requests = .allocate(capacity: 1)
      unsafe requests.initialize(to: H2Requests([]))
      unsafe writer = Self.writer(headByteCountMax: headByteCountMax, isSecure: isSecure)
      unsafe reader = Self.reader()
      self.headByteCountMax = H2RequestWriter.framesByteCountMax(ofHead: headByteCountMax)
    }

    private static func writer(
      headByteCountMax: Int, isSecure: Bool
    ) -> UnsafeMutablePointer<H2RequestWriter> {
      let writer = UnsafeMutablePointer<H2RequestWriter>.allocate(capacity: 1)
      unsafe writer.initialize(
        to: H2RequestWriter(headByteCountMax: headByteCountMax, isSecure: isSecure))
      return unsafe writer
    }

    private static func reader() -> UnsafeMutablePointer<ResponseHeadReader> {
      let reader = UnsafeMutablePointer<ResponseHeadReader>.allocate(capacity: 1)
      unsafe reader.initialize(to: ResponseHeadReader())
      return unsafe reader
    }

    @inline(__always)
    fileprivate var request: H2Request { unsafe requests.pointee[0] }

    /// What a buffer for one sending must hold.
    var composedByteCount: Int { 16_384 + headByteCountMax }
  }

  static var composes: Bool { true }
  static var isOrdered: Bool { false }

  /// Requests refused in a row are sent again so often, or as often as a connection has streams if
  /// that is more: all that were under way when the peer lowered its limit.
  private static let refusalCountMin: UInt32 = H2Connection.streamCountUntilSettings

  private var connection = H2Connection(streamCountMax: 1)
  /// Bytes that came and belong to no answer yet.
  private var unclaimedByteCount = 0
  private var refusalCountMax = Self.refusalCountMin
  /// Since the last answer, which may have come on an earlier connection.
  private var refusalCount: UInt32 = 0

  mutating func opened(depth: UInt32, common: Common) {
    connection = H2Connection(streamCountMax: depth)
    unclaimedByteCount = 0
    refusalCountMax = max(depth, Self.refusalCountMin)
  }

  @inline(__always)
  func room(depth: UInt32, inFlight: UInt32, inBatches: Bool) -> UInt32 {
    inBatches ? connection.refill : connection.room
  }

  @inline(__always)
  func fits(_ output: OutgoingBytes, common: Common) -> Bool {
    connection.fits(headByteCount: common.headByteCountMax, output)
  }

  @inline(__always)
  mutating func put(tag: UInt32, common: Common, into output: inout OutgoingBytes) -> UInt32 {
    guard let key = connection.open(common.request, tag: tag, into: &output) else {
      preconditionFailure("a request that fits does not")
    }
    return key
  }

  mutating func put(
    _ rendered: UnsafeRawBufferPointer, tag: UInt32, traits: AnswerTraits, common: Common,
    into output: inout OutgoingBytes
  ) -> UInt32? {
    guard
      let request = unsafe common.writer.pointee.request(
        rendered, expectsNoBody: traits.expectsNoBody)
    else { return nil }
    // A body is shown also where nobody reads it, so that its bytes are known to be its own.
    return connection.open(
      request, tag: tag, showsBody: true, keepsFields: traits.isRead, into: &output)
  }

  var putByteCount: Int {
    @inline(__always) get { connection.openedByteCount }
  }

  func expect(noBody: Bool) {}

  @inline(__always)
  var hasOutput: Bool { connection.hasOutput }

  mutating func write(into output: inout OutgoingBytes) { connection.write(into: &output) }

  @inline(__always)
  mutating func next<Sink: ReplySink & ~Copyable>(
    _ bytes: inout UnsafeRawBufferPointer, into sink: inout Sink, common: inout Common
  ) -> DialectEvent {
    while true {
      switch unsafe connection.next(&bytes, reader: &common.reader.pointee) {
      case .needsMore: return .needsMore
      case .head(let tag, _): return .begun(tag: tag)
      case .body(let tag, let piece): return unsafe .body(tag: tag, piece)
      case .ended(let tag, let status, let bodyByteCount):
        refusalCount = 0
        return .answered(
          tag: tag, status: status, bodyByteCount: bodyByteCount, isLast: connection.isDone)
      case .reset(let tag, let code):
        guard code == .refusedStream, refusalCount < refusalCountMax else {
          return .reset(tag: tag, HTTP2Code(ofFrame: code.rawValue))
        }
        refusalCount += 1
        return .refused(tag: tag)
      case .unprocessed(let tag): return .unprocessed(tag: tag)
      case .settings: return .roomChanged
      case .goAway(let code): return .goingAway(HTTP2Code(ofFrame: code.rawValue))
      case .violation(let violation, let tag):
        return .broken(
          .init(
            number: H2Violation.firstNumber + violation.rawValue, isOfStart: violation.isOfStart),
          tag: tag)
      }
    }
  }

  /// A stream ends by a flag of its own, never by the connection's end.
  func ended(isCut: Bool) -> DialectEvent { .needsMore }

  mutating func cancel(key: UInt32) -> Bool { connection.cancel(key) }

  mutating func arrived(byteCount: Int) { unclaimedByteCount &+= byteCount }

  mutating func claim(ahead: Int) -> Int {
    defer { unclaimedByteCount = ahead }
    return unclaimedByteCount &- ahead
  }

  static func withFieldLines(_ common: Common, _ take: (UnsafeRawBufferPointer) -> Void) {
    unsafe common.reader.pointee.withFieldLines(take)
  }

  var hasBegun: Bool { false }
  var bodyByteCount: UInt64 { 0 }
}
