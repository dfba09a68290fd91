internal import SquallEngine
internal import SquallHTTP
internal import SquallLoad
internal import SquallScenario

/// A scenario's users apart from connections: whoever has something to send waits for a connection that is
/// free and goes where it wants, first come first served. The rows of this traffic are connections, which
/// go to the origins in turn. All users share them, or each has one to every origin: user *u* the rows
/// from *u* times the number of origins on. A connection that carries several requests at a time has a lane
/// for each. Each queue has a place for every user and holds each at most once.
struct SharedTraffic: Traffic, ~Copyable {
  static var hasUsers: Bool { true }
  static var sharesConnections: Bool { true }

  /// Where a user is.
  private enum Place: UInt8 {
    /// Has not begun, or is gone.
    case away
    /// In `moving`: what it does next is to be asked.
    case moving
    /// Thinks, on the wheel.
    case resting
    /// In `idle`: waits for an iteration to be due.
    case idle
    /// In `pools`: has a request to send.
    case waiting
    /// In `pools`, with a request that is not to be sent any more.
    case outdated
    /// Its request is on a connection.
    case underWay
    /// Its request came when the load was over.
    case parked
  }

  private static let none: Int32 = -1

  private var users: ScriptTraffic
  let userRowCount: Int
  private let originCount: Int
  /// Each user has its own connections.
  private let ownsRows: Bool
  private let places: Rows<Place>
  /// What each user waits to send.
  private let requests: Rows<UserRequest>
  /// Requests that a connection carries at a time.
  private let laneCount: Int
  /// The user whose request each lane carries.
  private let tenants: Rows<Int32>
  /// Stands in `idle`, perhaps from before.
  private let isListed: Rows<Bool>
  private var wheel: DeadlineWheel
  private var moving: FixedQueue<Int>
  private var pools: WaitingPools
  private var idle: FixedQueue<Int>
  /// When iterations were due that no user came to begin.
  private var missed: FixedQueue<UInt64>
  /// A user that was asked once and has more to say.
  private var asked: Int?
  private var firstUser: UInt64 = 0
  private var userStride: UInt64 = 1
  /// Users of this worker; those that have begun; those that may be there.
  private(set) var dealtCount = 0
  private var begunCount = 0
  private var admittedCount = Int.max
  private(set) var waitingArrivalCount = 0
  /// At the end: users below were asked for arrivals that still wait.
  private var givenUpCount = 0

  /// - Parameters:
  ///   - rowCount: connections.
  ///   - laneCount: requests that each carries at a time; one where each user has its own.
  init(plan: Plan, rowCount: Int, laneCount: Int, nowNs: UInt64) {
    originCount = Int(plan.connections.originCount)
    ownsRows = plan.connections.shared == 0
    let userCount = ownsRows ? rowCount / originCount : Int(plan.connections.count)
    users = ScriptTraffic(plan: plan, rowCount: userCount)
    userRowCount = userCount
    places = Rows(count: userCount) { .away }
    let nothing = UserRequest(
      isArrival: false, endpoint: 0, timeoutNs: 0, expectsNoBody: false)
    requests = Rows(count: userCount) { nothing }
    self.laneCount = laneCount
    tenants = Rows(count: rowCount * laneCount) { Self.none }
    isListed = Rows(count: userCount) { false }
    wheel = DeadlineWheel(
      slotCount: userCount, nowNs: nowNs, tickShift: DeadlineWheel.fineShift)
    moving = FixedQueue(capacity: userCount)
    pools = WaitingPools(
      poolCount: ownsRows ? rowCount : originCount, userCount: userCount, rowCount: rowCount)
    idle = FixedQueue(capacity: userCount)
    missed = FixedQueue(capacity: userCount)
  }

  var renderedByteCountMax: Int { users.renderedByteCountMax }
  var headByteCountMax: Int { users.headByteCountMax }
  var hasEndings: Bool { users.hasEndings }
  var leavingCount: Int { users.leavingCount }
  var isOpen: Bool { users.isOpen }
  func userCount(atNs nowNs: UInt64) -> (count: Int, untilNs: UInt64)? {
    users.userCount(atNs: nowNs)
  }
  mutating func change(_ change: LoadChange) { users.change(change) }

  // MARK: Coming and going

  mutating func number(first: UInt64, stride: UInt64) {
    guard first != firstUser || stride != userStride else { return }
    (firstUser, userStride) = (first, stride)
    users.number(first: first, stride: stride)
    // Users were dealt anew: each is another one now.
    for user in 0..<begunCount { disturb(user) }
  }

  mutating func deal(userCount: Int) {
    let count = min(userCount, userRowCount)
    for user in min(count, begunCount)..<begunCount {
      users.forget(user)
      disturb(user)
    }
    begunCount = min(begunCount, count)
    dealtCount = count
    for user in 0..<begunCount where places[user] == .parked { move(user) }
  }

  mutating func begin(upTo allowed: Int) -> Bool {
    let most = min(dealtCount, admittedCount)
    while begunCount < min(most, allowed) {
      begunCount += 1
      if places[begunCount - 1] == .away { move(begunCount - 1) }
    }
    return begunCount < most
  }

  mutating func admit(_ count: Int) {
    let before = min(admittedCount, userRowCount)
    admittedCount = count
    for user in min(before, count)..<before { send(home: user) }
    for user in min(before, count)..<min(count, userRowCount) {
      users.readmit(user)
      if user < begunCount && places[user] == .away { move(user) }
    }
  }

  mutating func dismissAll() {
    for user in 0..<userRowCount { send(home: user) }
  }

  private mutating func send(home user: Int) {
    users.dismiss(user)
    if user < begunCount { disturb(user) }
  }

  /// What the user was about to do may not hold any more.
  private mutating func disturb(_ user: Int) {
    switch places[user] {
    case .resting:
      wheel.set(user, deadlineNs: .max)
      move(user)
    case .idle, .parked: move(user)
    case .waiting:
      if ownsRows {
        // Its connection may never come.
        _ = pools.popUser(of: pool(user))
        move(user)
      } else {
        places[user] = .outdated
      }
      guard requests[user].isArrival else { break }
      requests[user].isArrival = false
      waitingArrivalCount -= 1
      missed.append(requests[user].waitsSinceNs)
    case .away, .moving, .outdated, .underWay: break
    }
  }

  /// Where the user waits with its request.
  private func pool(_ user: Int) -> Int {
    let origin = Int(requests[user].origin)
    return ownsRows ? user * originCount + origin : origin
  }

  private func pool(ofRow row: Int) -> Int { ownsRows ? row : row % originCount }

  private mutating func move(_ user: Int) {
    places[user] = .moving
    moving.append(user)
  }

  // MARK: Steps

  var hasMoving: Bool { moving.count > 0 || missed.count > 0 }
  var waitingCount: Int { pools.userCount }
  mutating func free(_ row: Int) { pools.free(row, in: pool(ofRow: row)) }
  mutating func takeServable() -> Int? { pools.popRow() }

  func connectionAllowance(hasBegun: Bool, isRamped: Bool) -> Int {
    guard ownsRows else { return .max }
    if hasBegun { return begunCount * originCount }
    return isRamped ? 0 : min(dealtCount, admittedCount) * originCount
  }

  var nextUserNs: UInt64 { wheel.nextNs }

  mutating func advance(nowNs: UInt64) -> UserNews? {
    while true {
      if let scheduledNs = missed.popFirst() { return .missed(scheduledNs: scheduledNs) }
      guard let user = asked ?? moving.popFirst() ?? wheel.popDue(nowNs: nowNs) else { return nil }
      asked = nil
      guard user < dealtCount else {
        places[user] = .away
        continue
      }
      switch users.next(user, nowNs: nowNs) {
      case .send(var request):
        request.waitsSinceNs = request.scheduledNs ?? nowNs
        request.readyNs = nowNs
        if request.isArrival { waitingArrivalCount += 1 }
        requests[user] = request
        places[user] = .waiting
        if !pools.wait(user, in: pool(user)), ownsRows { return .wanted(row: pool(user)) }
      case .rest(let untilNs):
        places[user] = .resting
        wheel.set(user, deadlineNs: untilNs)
      case .wait:
        places[user] = .idle
        guard !isListed[user] else { continue }
        isListed[user] = true
        idle.append(user)
      case .leave:
        places[user] = .away
        if ownsRows { return .left(rows: user * originCount..<(user + 1) * originCount) }
      case .iterationEnded(let iteration):
        asked = user
        return .iterationEnded(iteration)
      }
    }
  }

  mutating func next(_ lane: Int, nowNs: UInt64) -> UserMove {
    while let user = pools.popUser(of: pool(ofRow: lane / laneCount)) {
      guard places[user] == .waiting else {
        move(user)
        continue
      }
      let request = requests[user]
      if request.isArrival { waitingArrivalCount -= 1 }
      places[user] = .underWay
      tenants[lane] = Int32(truncatingIfNeeded: user)
      return .send(request)
    }
    return .wait
  }

  /// The user whose request is on the lane.
  @inline(__always)
  private func tenant(_ lane: Int) -> Int {
    let user = tenants[lane]
    precondition(user != Self.none, "a lane without a user")
    return Int(user)
  }

  mutating func park(_ lane: Int) {
    places[tenant(lane)] = .parked
    tenants[lane] = Self.none
  }

  private mutating func leave(_ lane: Int) {
    move(tenant(lane))
    tenants[lane] = Self.none
  }

  mutating func render(
    _ lane: Int, into buffer: UnsafeMutableRawBufferPointer, nowNs: UInt64
  ) -> Int? {
    unsafe users.render(tenant(lane), into: buffer, nowNs: nowNs)
  }

  func rest(_ lane: Int, untilNs: UInt64) { users.rest(tenant(lane), untilNs: untilNs) }

  @inline(__always)
  mutating func read<Talk: Dialect & ~Copyable>(
    _ lane: Int, _ bytes: inout UnsafeRawBufferPointer, talk: inout Talk, common: inout Talk.Common,
    nowNs: UInt64
  ) -> DialectEvent {
    unsafe users.read(
      Talk.isOrdered ? tenant(lane) : 0, &bytes, talk: &talk, common: &common, nowNs: nowNs)
  }

  func readsAnswer(_ lane: Int) -> Bool { users.readsAnswer(tenant(lane)) }

  mutating func take(fields: UnsafeRawBufferPointer, of lane: Int, nowNs: UInt64) {
    unsafe users.take(fields: fields, of: tenant(lane), nowNs: nowNs)
  }

  mutating func take(body: UnsafeRawBufferPointer, of lane: Int, nowNs: UInt64) {
    unsafe users.take(body: body, of: tenant(lane), nowNs: nowNs)
  }

  mutating func sent(_ lane: Int, nowNs: UInt64) -> UInt64? {
    users.sent(tenant(lane), nowNs: nowNs)
  }

  mutating func judge(_ lane: Int, status: UInt16, serviceNs: UInt64) -> UInt8? {
    let failedCheck = users.judge(tenant(lane), status: status, serviceNs: serviceNs)
    leave(lane)
    return failedCheck
  }

  mutating func failed(_ lane: Int) {
    users.failed(tenant(lane))
    leave(lane)
  }

  // MARK: Iterations that fall due

  mutating func takeIdle() -> Int? {
    while let user = idle.popFirst() {
      isListed[user] = false
      if places[user] == .idle && users.isWaiting(user) { return user }
    }
    return nil
  }

  mutating func giveBack(idle user: Int) {
    isListed[user] = true
    idle.append(user)
  }

  mutating func arrive(idle user: Int, scheduledNs: UInt64) {
    users.arrive(user, scheduledNs: scheduledNs)
    move(user)
  }

  mutating func giveUpArrival() -> UInt64? {
    if let scheduledNs = missed.popFirst() { return scheduledNs }
    while givenUpCount < userRowCount {
      let user = givenUpCount
      givenUpCount += 1
      guard places[user] == .waiting, requests[user].isArrival else { continue }
      waitingArrivalCount -= 1
      return requests[user].waitsSinceNs
    }
    return nil
  }

  // MARK: Connections, which are nobody's

  func dismiss(_ row: Int) {}
  func readmit(_ row: Int) {}
  func forget(_ row: Int) {}
  /// Whether a connection is still of use when the load is over.
  func isLeaving(_ row: Int) -> Bool {
    guard ownsRows else { return users.leavingCount > 0 || waitingArrivalCount > 0 }
    let user = row / originCount
    return users.isLeaving(user) || places[user] == .waiting
  }
  func isWaiting(_ row: Int) -> Bool { false }
  func arrive(_ row: Int, scheduledNs: UInt64) {}
}
