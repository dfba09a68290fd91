internal import SquallEngine
internal import SquallHTTP

/// One row of the server's table. Plain data: rows live in one flat allocation.
@safe struct TargetConnection: BitwiseCopyable {
  enum State: UInt8 {
    case unused
    case open
    /// All is said: our FIN is sent, what the peer still sends is thrown away until its own.
    case lingering
    /// To be given back to the ring with the next turn.
    case closing
  }

  enum Wait: UInt8 {
    case nothing
    /// A send that completes.
    case send
    /// The socket is full.
    case room
    /// Our FIN, which the kernel sends from a thread of its own.
    case finish
  }

  var parser = RequestParser()
  var generation: UInt32 = 0
  /// Replies from the first that is not known to be sent to the last.
  var firstReply = TargetReplies.none
  var lastReply = TargetReplies.none
  var replyCount: UInt32 = 0
  /// Handed to the socket, but whether it took them is not known before the next turn.
  var pieceByteCount: UInt32 = 0
  /// Bytes of the first reply that the socket took.
  var sentByteCount: UInt64 = 0
  var lingerUntilNs: UInt64 = 0
  /// Keeps the target of a request that comes in pieces; from the first such request on.
  var scratch: UnsafeMutableRawPointer?
  var state = State.unused
  var waits = Wait.nothing
  var isReceiving = false
  /// In the queue of rows to look at.
  var isDirty = false
  var peerHasFinished = false
  /// What comes is thrown away: the last answer of this connection is decided.
  var ignoresInput = false
  /// The peer said that its last request was its last, and nothing came behind it.
  var peerIsDone = false
  /// The head of the request being read was acted upon.
  var hasMetHead = false
  /// The request being read has its answer.
  var isAnswered = false
}

/// What a completion is of; the token's operation.
enum TargetOperation: UInt8 {
  case accept = 1
  case receive = 2
  case send = 3
  case room = 4
  /// Cancels, resets and closes: only their failures complete, which say that it was over already.
  case close = 5
  case control = 6
  case finish = 7
}

/// Rows, first come first served, each at most once.
@safe struct RowQueue: ~Copyable {
  private let rows: UnsafeMutablePointer<UInt32>
  private let capacity: Int
  private var head = 0
  private var count = 0

  init(capacity: Int) {
    unsafe rows = .allocate(capacity: capacity)
    self.capacity = capacity
  }

  deinit { unsafe rows.deallocate() }

  @inline(__always)
  mutating func append(_ row: Int) {
    precondition(count < capacity, "a row is queued twice")
    var tail = head + count
    if tail >= capacity { tail -= capacity }
    unsafe rows[tail] = UInt32(truncatingIfNeeded: row)
    count += 1
  }

  @inline(__always)
  mutating func popFirst() -> Int? {
    guard count > 0 else { return nil }
    let row = unsafe rows[head]
    head = head + 1 == capacity ? 0 : head + 1
    count -= 1
    return Int(row)
  }
}
