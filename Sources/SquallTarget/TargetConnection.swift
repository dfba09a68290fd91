internal import SquallEngine
internal import SquallHTTP

/// One row of the server's table. Plain data: rows live in one flat allocation.
@safe struct TargetConnection: BitwiseCopyable {
  enum State: UInt8 {
    case unused
    case open
    /// All answers are sent: what the session says last comes with the next turn.
    case leaving
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
  /// Of a connection that speaks TLS or HTTP/2.
  var session: UnsafeMutablePointer<TargetSession>?
  var state = State.unused
  var waits = Wait.nothing
  var isReceiving = false
  /// Its first bytes have said what it speaks. Until then, of HTTP/2's preface so many were here.
  var hasSpoken = false
  var prefaceByteCount: UInt8 = 0
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
