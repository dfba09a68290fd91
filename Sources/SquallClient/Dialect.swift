internal import SquallHTTP
internal import SquallLoad

/// How requests and answers stand in the bytes of one connection: its state, without I/O.
///
/// Its driver opens it when bytes may travel, puts requests, shows it what comes until it needs more,
/// and sends what it writes.
protocol Dialect: ~Copyable {
  /// What all connections of a worker share.
  associatedtype Common

  /// Requests are written anew for each sending. Otherwise they are bytes that `Common` holds, or
  /// that the traffic renders.
  static var composes: Bool { get }
  /// Answers come in the order of the requests, and one that fails takes the connection with it.
  static var isOrdered: Bool { get }

  init()

  /// The connection may carry `depth` requests at a time.
  mutating func opened(depth: UInt32, common: Common)

  /// Requests that may be put now, beside `inFlight` of them. `inBatches`: none before it pays.
  func room(depth: UInt32, inFlight: UInt32, inBatches: Bool) -> UInt32
  /// `output` has room for one request more.
  func fits(_ output: OutgoingBytes, common: Common) -> Bool
  /// Writes the run's request. `tag` names it in replies. Returns the key to cancel it by.
  mutating func put(tag: UInt32, common: Common, into output: inout OutgoingBytes) -> UInt32
  /// Writes a request that was rendered, whose body stays where it is until it is answered. Nil when it
  /// cannot be written.
  mutating func put(
    _ rendered: UnsafeRawBufferPointer, tag: UInt32, traits: AnswerTraits, common: Common,
    into output: inout OutgoingBytes
  ) -> UInt32?
  /// Of the request that was put last.
  var putByteCount: Int { get }
  /// The next answer is that to a HEAD.
  mutating func expect(noBody: Bool)

  /// Something besides requests is to be sent.
  var hasOutput: Bool { get }
  mutating func write(into output: inout OutgoingBytes)

  /// Reads up to the next event and takes off what was read.
  mutating func next<Sink: ReplySink & ~Copyable>(
    _ bytes: inout UnsafeRawBufferPointer, into sink: inout Sink, common: inout Common
  ) -> DialectEvent
  /// The peer has closed its side. With `isCut` it did not say that it would.
  mutating func ended(isCut: Bool) -> DialectEvent

  /// Gives one request up. False when that costs the connection.
  mutating func cancel(key: UInt32) -> Bool

  /// What is there of the answer being read, where answers come in order.
  var hasBegun: Bool { get }
  var bodyByteCount: UInt64 { get }

  // Where answers do not come in order.

  /// The field lines of the head that has just begun an answer.
  static func withFieldLines(_ common: Common, _ take: (UnsafeRawBufferPointer) -> Void)
  /// Bytes came.
  mutating func arrived(byteCount: Int)
  /// Takes what came and was not taken yet, but for the last `ahead` bytes: it belongs to one answer.
  mutating func claim(ahead: Int) -> Int
}

/// What is known of an answer before it comes.
struct AnswerTraits {
  var expectsNoBody: Bool
  /// Somebody reads its fields.
  var isRead: Bool
}

/// What came of bytes that were read. A tag is what `put` was given; 0 where answers come in order.
@safe enum DialectEvent {
  case needsMore
  /// An answer has begun.
  case begun(tag: UInt32)
  /// Some of the body of an answer to a request that was rendered.
  case body(tag: UInt32, UnsafeRawBufferPointer)
  /// `isLast`: nothing more comes on this connection.
  case answered(tag: UInt32, status: UInt16, bodyByteCount: UInt64, isLast: Bool)
  /// The peer has not looked at the request: it may be sent again elsewhere.
  case unprocessed(tag: UInt32)
  /// The peer refused this one request and has not looked at it: it may be sent again, also here.
  case refused(tag: UInt32)
  /// The peer gave the request up.
  case reset(tag: UInt32, HTTP2Code)
  /// The peer takes no more requests.
  case goingAway(HTTP2Code)
  /// More requests may be put, or fewer.
  case roomChanged
  /// Nothing that comes can be trusted. `tag`: of the request whose answer it was, if it was one's.
  case broken(Fault, tag: UInt32?)

  /// Why an answer cannot be read: the number it is counted under, and whether it is about the first
  /// bytes of an answer, which are then worth keeping.
  struct Fault {
    var number: UInt8
    var isOfStart: Bool
  }
}
