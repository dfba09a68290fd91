internal import SquallHTTP
internal import SquallLoad
internal import SquallScenario

/// What is said on the connections of a worker, and what its answers are worth.
protocol Traffic: ~Copyable {
  /// A connection belongs to a user, who says what comes next. Otherwise any connection that is free
  /// takes the next request, which is the same each time.
  static var hasUsers: Bool { get }
  /// Users take turns on connections that are nobody's.
  static var sharesConnections: Bool { get }
  /// Room for one rendered request; 0 where requests are not rendered.
  var renderedByteCountMax: Int { get }
  /// Users that can be here at a time.
  var userRowCount: Int { get }

  /// Users are numbered over all workers: this worker's first, and how far the next is.
  mutating func number(first: UInt64, stride: UInt64)
  /// What the lane's user does now. Only with users. A lane is where one request is under way: a row has as
  /// many as its connection carries requests at a time, one where it is its user's.
  mutating func next(_ lane: Int, nowNs: UInt64) -> UserMove
  /// Renders the request that `next` named. Returns its bytes' number; nil when it cannot be sent.
  mutating func render(
    _ lane: Int, into buffer: UnsafeMutableRawBufferPointer, nowNs: UInt64
  ) -> Int?
  /// The user does nothing until then.
  mutating func rest(_ lane: Int, untilNs: UInt64)

  /// How many of this worker's users there are at an instant of run time, and until when at least; nil
  /// when all of them are there to the end.
  func userCount(atNs nowNs: UInt64) -> (count: Int, untilNs: UInt64)?
  /// The load becomes another at an instant of run time that is to come.
  mutating func change(_ change: LoadChange)
  /// Some users have something to do before they go.
  var hasEndings: Bool { get }
  /// The row's user does what it has to do before it goes, and goes.
  mutating func dismiss(_ row: Int)
  /// The row is to have a user again.
  mutating func readmit(_ row: Int)
  /// The row's user goes at once.
  mutating func forget(_ row: Int)
  /// The row's user was dismissed and is still there, and how many are.
  func isLeaving(_ row: Int) -> Bool
  var leavingCount: Int { get }

  /// Iterations begin on the schedule, and any user that waits takes one.
  var isOpen: Bool { get }
  func isWaiting(_ row: Int) -> Bool
  mutating func arrive(_ row: Int, scheduledNs: UInt64)

  /// Reads answers up to the next event. Where they come in order, takes from them what the user waits for.
  mutating func read<Talk: Dialect & ~Copyable>(
    _ row: Int, _ bytes: inout UnsafeRawBufferPointer, talk: inout Talk, common: inout Talk.Common,
    nowNs: UInt64
  ) -> DialectEvent
  /// Whether what the user waits for is in its answer's fields or body.
  func readsAnswer(_ lane: Int) -> Bool
  /// What comes of an answer, where answers do not come in order: its field lines, its body in pieces.
  mutating func take(fields: UnsafeRawBufferPointer, of lane: Int, nowNs: UInt64)
  mutating func take(body: UnsafeRawBufferPointer, of lane: Int, nowNs: UInt64)
  /// A request is on its way. Returns when its iteration began, if it is the first of one.
  mutating func sent(_ lane: Int, nowNs: UInt64) -> UInt64?
  /// An answer is complete: the number of the user's check that it fails, or nil.
  mutating func judge(_ lane: Int, status: UInt16, serviceNs: UInt64) -> UInt8?
  /// A request found no answer, or could not be rendered.
  mutating func failed(_ lane: Int)

  // Where connections are shared, users have numbers of their own, and these move them.

  /// So many users are this worker's.
  mutating func deal(userCount: Int)
  var dealtCount: Int { get }
  /// Lets users begin until there are so many. True while there are to be more.
  mutating func begin(upTo allowed: Int) -> Bool
  /// Lets so many users be there. Those too many go, the last first.
  mutating func admit(_ count: Int)
  /// The load is over: all do what they have to do before they go.
  mutating func dismissAll()
  /// Goes on with users whose answer came or whose think time is over, until there is something to count;
  /// nil when all have been asked.
  mutating func advance(nowNs: UInt64) -> UserNews?
  var hasMoving: Bool { get }
  /// Users that wait for a connection.
  var waitingCount: Int { get }
  /// The connection may take a request.
  mutating func free(_ row: Int)
  /// A connection that was free, and for which somebody waits.
  mutating func takeServable() -> Int?
  /// Connections that may be open by now: where each user has its own, those of users that have begun,
  /// or, before the start, of those that begin with it. `isRamped`: none does.
  func connectionAllowance(hasBegun: Bool, isRamped: Bool) -> Int
  /// Those of them whose iteration was due.
  var waitingArrivalCount: Int { get }
  /// When to look at think times next, `UInt64.max` without any.
  var nextUserNs: UInt64 { get }
  /// The request that `next` gave the lane is not sent, as the load is over.
  mutating func park(_ lane: Int)
  /// A user that waits for an iteration; it arrives, or is given back.
  mutating func takeIdle() -> Int?
  mutating func giveBack(idle user: Int)
  mutating func arrive(idle user: Int, scheduledNs: UInt64)
  /// At the end: when the iteration was due of one that still waits; nil when none does.
  mutating func giveUpArrival() -> UInt64?
}

/// Where each connection is its user's, none of this is asked for.
extension Traffic where Self: ~Copyable {
  static var sharesConnections: Bool { false }
  mutating func deal(userCount: Int) {}
  var dealtCount: Int { 0 }
  mutating func begin(upTo allowed: Int) -> Bool { false }
  mutating func admit(_ count: Int) {}
  mutating func dismissAll() {}
  mutating func advance(nowNs: UInt64) -> UserNews? { nil }
  var hasMoving: Bool { false }
  var waitingCount: Int { 0 }
  mutating func free(_ row: Int) {}
  mutating func takeServable() -> Int? { nil }
  func connectionAllowance(hasBegun: Bool, isRamped: Bool) -> Int { .max }
  var waitingArrivalCount: Int { 0 }
  var nextUserNs: UInt64 { .max }
  mutating func park(_ row: Int) {}
  mutating func takeIdle() -> Int? { nil }
  mutating func giveBack(idle user: Int) {}
  mutating func arrive(idle user: Int, scheduledNs: UInt64) {}
  mutating func giveUpArrival() -> UInt64? { nil }
}

/// What came of going on with users.
enum UserNews {
  case iterationEnded(Iteration)
  /// An iteration was due then, and whoever was to begin it has gone.
  case missed(scheduledNs: UInt64)
  /// Somebody waits for this connection, which may have to be opened.
  case wanted(row: Int)
  /// The user of these connections has gone.
  case left(rows: Range<Int>)
}

/// What a user does next.
enum UserMove {
  case send(UserRequest)
  case rest(untilNs: UInt64)
  /// An iteration is over; there is more.
  case iterationEnded(Iteration)
  /// Nothing until an iteration is due.
  case wait
  /// Nothing any more.
  case leave
}

/// What the engine must know of a user's request.
struct UserRequest {
  /// When it was due, if that is not for the pacer to say.
  var scheduledNs: UInt64?
  /// It begins an iteration that was due then.
  var isArrival: Bool
  var endpoint: UInt16
  var timeoutNs: UInt64
  var expectsNoBody: Bool
  /// Where it goes, among the plan's origins.
  var origin: UInt8 = 0
  /// When the think time before it was over; 0 without one.
  var thoughtUntilNs: UInt64 = 0
  /// Where it waits for a connection: since when, by its schedule and by the clock. 0 elsewhere.
  var waitsSinceNs: UInt64 = 0
  var readyNs: UInt64 = 0
}

/// One request, again and again.
struct FixedTraffic: Traffic, ~Copyable {
  static var hasUsers: Bool { false }
  var renderedByteCountMax: Int { 0 }
  var userRowCount: Int { 0 }

  func number(first: UInt64, stride: UInt64) {}
  func next(_ row: Int, nowNs: UInt64) -> UserMove { .leave }
  func render(_ row: Int, into buffer: UnsafeMutableRawBufferPointer, nowNs: UInt64) -> Int? { nil }
  func rest(_ row: Int, untilNs: UInt64) {}
  func userCount(atNs nowNs: UInt64) -> (count: Int, untilNs: UInt64)? { nil }
  func change(_ change: LoadChange) {}
  var hasEndings: Bool { false }
  func dismiss(_ row: Int) {}
  func readmit(_ row: Int) {}
  func forget(_ row: Int) {}
  func isLeaving(_ row: Int) -> Bool { false }
  var leavingCount: Int { 0 }
  var isOpen: Bool { false }
  func isWaiting(_ row: Int) -> Bool { false }
  func arrive(_ row: Int, scheduledNs: UInt64) {}

  @inline(__always)
  func read<Talk: Dialect & ~Copyable>(
    _ row: Int, _ bytes: inout UnsafeRawBufferPointer, talk: inout Talk, common: inout Talk.Common,
    nowNs: UInt64
  ) -> DialectEvent {
    var sink = NoSink()
    return unsafe talk.next(&bytes, into: &sink, common: &common)
  }

  func readsAnswer(_ row: Int) -> Bool { false }
  func take(fields: UnsafeRawBufferPointer, of row: Int, nowNs: UInt64) {}
  func take(body: UnsafeRawBufferPointer, of row: Int, nowNs: UInt64) {}
  func sent(_ row: Int, nowNs: UInt64) -> UInt64? { nil }
  func judge(_ row: Int, status: UInt16, serviceNs: UInt64) -> UInt8? { nil }
  func failed(_ row: Int) {}
}
