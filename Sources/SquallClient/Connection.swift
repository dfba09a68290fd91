internal import SquallHTTP

/// One row of the connection table. Plain data: rows live in one flat allocation.
struct Connection {
  enum State: UInt8 {
    /// Never opened, retired, or out of work.
    case unused
    case connecting
    /// Established: requests may go out.
    case ready
    /// Closed; opened again when its deadline comes.
    case resting
  }

  var parser = ResponseParser()
  /// When the first byte of the response being read came.
  var firstByteNs: UInt64 = 0
  /// When the connection began to be opened.
  var openedNs: UInt64 = 0
  /// In a scenario: until when its user thinks, and how long the request in flight may take.
  var thinksUntilNs: UInt64 = 0
  var patienceNs: UInt64 = 0
  var generation: UInt32 = 0
  /// Requests that may still be sent before the connection is replaced.
  var requestsLeft: UInt32 = 0
  var okCount: UInt32 = 0
  /// Requests in flight, oldest at `oldest` in the row's flights.
  var inFlight: UInt32 = 0
  var oldest: UInt32 = 0
  /// What the request in flight is counted under.
  var endpoint: UInt16 = 0
  var hasUser = false
  var state = State.unused
  /// Openings in a row that brought no response, which is what the pause before the next grows with.
  var failures: UInt8 = 0
  var isReceiving = false
  /// A send is under way whose completion we asked for.
  var isSending = false
  var sendFailed = false
  var isIdle = false
  var wasOpened = false
}

/// One request in flight. Both instants are of the monotonic clock.
struct Flight {
  var scheduledNs: UInt64
  var sentNs: UInt64
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
