internal import SquallLoad

/// One row of the connection table. Plain data: rows live in one flat allocation.
struct Connection<Talk: Dialect & ~Copyable>: ~Copyable {
  enum State: UInt8 {
    /// Never opened, retired, or out of work.
    case unused
    case connecting
    /// Connected, and the wire is being secured.
    case securing
    /// Established: requests may go out.
    case ready
    /// Closed; opened again when its deadline comes.
    case resting
    /// Closed; opened again when fewer others are being opened.
    case waiting
  }

  var talk = Talk()
  /// When the connection began to be opened.
  var openedNs: UInt64 = 0
  var generation: UInt32 = 0
  /// Requests that may still be sent before the connection is replaced.
  var requestsLeft: UInt32 = 0
  var okCount: UInt32 = 0
  var flights = FlightList()
  /// Those of them that the peer has not looked at, to be sent again on the row's next connection.
  var owedCount: UInt32 = 0
  var state = State.unused
  /// Openings in a row that brought no response, which is what the pause before the next grows with.
  var failures: UInt8 = 0
  /// What that was before any response.
  var failuresAtOpening: UInt8 = 0
  var isReceiving = false
  /// A send is under way whose completion we asked for.
  var isSending = false
  /// Why the peer takes no more requests here; nil while it does.
  var leavingCode: HTTP2Code?
  var sendFailed = false
  var isIdle = false
  /// What is being sent is the wire's own.
  var isSayingOfLine = false
  /// In the queue of handshakes.
  var isQueued = false
  /// In the queue of those that wait to be opened.
  var isInLine = false
  var wasOpened = false

  var isLeaving: Bool { leavingCode != nil }
}

/// What a completion is of; the token's operation.
enum Operation: UInt8 {
  case connect = 1
  case receive = 2
  case send = 3
  /// Cancels and closes: only their failures complete, and those say that it was over already.
  case close = 4
  case command = 5
  case notice = 6
}
