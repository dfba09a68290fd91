internal import SquallLoad

/// Where one user is in its scenario. Plain data of fixed size: what it captured and its cookies lie in
/// the machine's flat memory beside it.
struct User: BitwiseCopyable {
  enum Phase: UInt8, BitwiseCopyable { case starting, iterating, stopping, ended }

  /// Chance comes from seed, user and iteration alone, so a run can be repeated.
  var random = SplitMix64(seed: 0)
  var iterationStartNs: UInt64 = 0
  /// Among all users of all workers.
  var index: UInt64 = 0
  var iteration: UInt64 = 0
  var step: UInt32 = 0
  var userClass: UInt16 = 0
  /// The request whose answer is awaited.
  var request: UInt16 = 0
  var loops = InlineArray<4, UInt16>(repeating: 0)
  var jarByteCount: UInt16 = 0
  var phase = Phase.ended
  /// The think time between two iterations comes next.
  var isPausing = false
  var isFresh = true
  /// A request of this iteration went out.
  var hasSent = false
  /// The iteration that is to begin was due at `iterationStartNs`, and so is its first request.
  var isDue = false
  /// The iteration ends before its last step.
  var isAbandoned = false
  /// The last answer is what is awaited.
  var isMet = false
  /// The last answer leads elsewhere, and that is followed.
  var isRedirected = false
  /// Where the request goes that the user is about, among the program's origins.
  var origin: UInt8 = 0
}

/// What a user does next.
package enum Action: Equatable, BitwiseCopyable, Sendable {
  /// Render this request and send it.
  case send(request: Int)
  case think(untilNs: UInt64)
  /// An iteration is over; ask again for what comes next.
  case iterationEnded(Iteration)
  /// Waits for an iteration to be due; see `Machine.isOpen`.
  case idle
  /// Nothing any more.
  case ended
}

package struct Iteration: Equatable, BitwiseCopyable, Sendable {
  package var startNs: UInt64
  /// A request of it went out.
  package var hasSent: Bool
  /// It ended before its last step, as a request failed.
  package var isAbandoned: Bool

  package init(startNs: UInt64, hasSent: Bool, isAbandoned: Bool) {
    self.startNs = startNs
    self.hasSent = hasSent
    self.isAbandoned = isAbandoned
  }
}

/// What an answer came to.
package enum Judgement: Equatable, BitwiseCopyable, Sendable {
  case good
  /// The first check of the program that does not hold.
  case failed(check: Int)
  /// A value longer than the slot of this capture.
  case overflowed(capture: Int)
  /// A cookie that finds no room in the jar.
  case jarFull
  /// A redirect that leads to a host that the program does not name, or to no path.
  case strayed
  /// A compressed body of which more was wanted than could be read.
  case unreadable(BodyFault)
}

/// Why a request was not sent.
package enum Unsendable: Equatable, BitwiseCopyable, Sendable {
  /// Larger than the buffer.
  case tooLarge
  /// Nothing was captured for it.
  case empty(slot: Int)
  /// A value holds a byte that cannot stand there.
  case refused(byte: UInt8)
}

/// How many bytes were rendered, or why none.
package enum Rendering: Equatable, BitwiseCopyable, Sendable {
  case bytes(Int)
  case unsendable(Unsendable)
}
