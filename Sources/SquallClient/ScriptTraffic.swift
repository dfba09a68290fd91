internal import SquallEngine
internal import SquallHTTP
internal import SquallLoad
internal import SquallScenario

/// A scenario's users: each has a connection of its own, its row.
struct ScriptTraffic: Traffic, ~Copyable {
  static var hasUsers: Bool { true }

  /// What a row's user is about.
  private enum Stay: UInt8 {
    /// The row has had no user under these numbers.
    case none
    case here
    /// Does what `on_stop` says.
    case leaving
    /// The same, and is wanted again afterwards.
    case returning
    case gone
  }

  private var reader: ReplyReader
  private var load: Program.UserLoad
  /// Users that there are where `load` has no stages.
  private let standingCount: UInt64
  private let stays: Rows<Stay>
  /// Until when the row's user thinks.
  private let restUntilNs: Rows<UInt64>
  private var firstUser: UInt64 = 0
  private var userStride: UInt64 = 1
  let renderedByteCountMax: Int
  let headByteCountMax: Int
  let userRowCount: Int
  let hasEndings: Bool
  private(set) var leavingCount = 0

  init(plan: Plan, rowCount: Int) {
    guard let program = Program(bytes: plan.content.program) else {
      preconditionFailure("a plan with a program that is none")
    }
    load = program.load
    userRowCount = rowCount
    standingCount = UInt64(plan.connections.count)
    renderedByteCountMax = program.renderedByteCountMax
    headByteCountMax = program.headByteCountMax
    hasEndings = program.users.contains { $0.onStop != nil }
    var machine = Machine(
      program: program, seed: plan.seed, userCount: UInt64(plan.connections.count),
      rowCount: rowCount)
    let (wallNs, nowNs) = (wallNs(), monotonicNs())
    machine.wallOffsetNs = wallNs - min(wallNs, nowNs)
    machine.isOpen = plan.load != .closed
    reader = ReplyReader(machine, rowCount: rowCount)
    stays = Rows(count: rowCount) { .none }
    restUntilNs = Rows(count: rowCount) { 0 }
  }

  mutating func number(first: UInt64, stride: UInt64) {
    firstUser = first
    userStride = stride
    reader.machine.worker = UInt32(truncatingIfNeeded: first)
  }

  func userCount(atNs nowNs: UInt64) -> (count: Int, untilNs: UInt64)? {
    guard !load.stages.isEmpty else { return nil }
    let (all, untilNs) = load.userCount(atNs: nowNs)
    // Of the numbers below `all`, those of this worker.
    let count = all > firstUser ? (all - firstUser - 1) / userStride + 1 : 0
    return (Int(clamping: count), untilNs)
  }

  mutating func change(_ change: LoadChange) {
    guard let users = change.users else { return }
    load = load.changed(
      atNs: change.atNs, to: UInt64(users), perS: change.spawnHz, standing: standingCount)
  }

  /// The number of the user that the row is to have.
  private func userIndex(_ row: Int) -> UInt64 { firstUser &+ UInt64(row) &* userStride }

  // MARK: Coming and going

  mutating func dismiss(_ row: Int) {
    switch stays[row] {
    case .none: stays[row] = .gone
    case .here:
      guard reader.machine.hasEnding(row) else {
        reader.machine.stop(row)
        stays[row] = .gone
        return
      }
      stays[row] = .leaving
      restUntilNs[row] = 0
      leavingCount += 1
    case .returning: stays[row] = .leaving
    case .leaving, .gone: break
    }
  }

  mutating func readmit(_ row: Int) {
    switch stays[row] {
    case .leaving: stays[row] = .returning
    case .gone: stays[row] = .none
    case .none, .here, .returning: break
    }
  }

  mutating func forget(_ row: Int) {
    if isLeaving(row) { leavingCount -= 1 }
    stays[row] = stays[row] == .leaving || stays[row] == .gone ? .gone : .none
  }

  func isLeaving(_ row: Int) -> Bool { stays[row] == .leaving || stays[row] == .returning }

  /// Sees to it that the row has the user that it is to have. False when it has none.
  private mutating func settle(_ row: Int) -> Bool {
    let index = userIndex(row)
    switch stays[row] {
    case .gone: return false
    case .leaving, .returning:
      reader.machine.stop(row)
      return true
    // Users were dealt anew when a worker came or was lost.
    case .here where reader.machine.index(row) == index: return true
    case .none, .here:
      stays[row] = .here
      restUntilNs[row] = 0
      return reader.machine.begin(row, index: index)
    }
  }

  /// The row's user has nothing more to do. True when another begins in its place.
  private mutating func end(_ row: Int) -> Bool {
    guard isLeaving(row) else { return false }
    leavingCount -= 1
    let returns = stays[row] == .returning
    stays[row] = returns ? .none : .gone
    return returns && settle(row)
  }

  // MARK: Steps

  mutating func next(_ row: Int, nowNs: UInt64) -> UserMove {
    guard settle(row) else { return .leave }
    let thoughtUntilNs = restUntilNs[row]
    if nowNs < thoughtUntilNs { return .rest(untilNs: thoughtUntilNs) }
    if thoughtUntilNs > 0 { restUntilNs[row] = 0 }
    while true {
      switch reader.machine.next(row, nowNs: nowNs) {
      case .send(let index):
        let request = reader.machine.program.requests[index]
        let dueNs = reader.machine.takeDueNs(row)
        return .send(
          UserRequest(
            scheduledNs: dueNs ?? (isOpen ? nowNs : nil), isArrival: dueNs != nil,
            endpoint: request.endpoint, timeoutNs: request.timeoutNs,
            expectsNoBody: request.expectsNoBody, origin: reader.machine.origin(row),
            thoughtUntilNs: thoughtUntilNs))
      case .think(let untilNs):
        if untilNs <= nowNs { continue }
        restUntilNs[row] = untilNs
        return .rest(untilNs: untilNs)
      case .idle: return .wait
      case .iterationEnded(let iteration): return .iterationEnded(iteration)
      case .ended: guard end(row) else { return .leave }
      }
    }
  }

  var isOpen: Bool { reader.machine.isOpen }

  func isWaiting(_ row: Int) -> Bool {
    stays[row] == .here && reader.machine.index(row) == userIndex(row) && reader.machine.isIdle(row)
  }

  mutating func arrive(_ row: Int, scheduledNs: UInt64) {
    reader.machine.arrive(row, scheduledNs: scheduledNs)
  }

  mutating func render(
    _ row: Int, into buffer: UnsafeMutableRawBufferPointer, nowNs: UInt64
  ) -> Int? {
    guard case .bytes(let count) = reader.machine.render(row, into: buffer, nowNs: nowNs) else {
      return nil
    }
    return count
  }

  func rest(_ row: Int, untilNs: UInt64) { restUntilNs[row] = untilNs }

  @inline(__always)
  mutating func read<Talk: Dialect & ~Copyable>(
    _ row: Int, _ bytes: inout UnsafeRawBufferPointer, talk: inout Talk, common: inout Talk.Common,
    nowNs: UInt64
  ) -> DialectEvent {
    let isDull =
      !Talk.isOrdered || !reader.machine.readsReply(row)
      || !talk.hasBegun && reader.machine.knowsHead(row, bytes)
    guard !isDull else {
      var sink = NoSink()
      return unsafe talk.next(&bytes, into: &sink, common: &common)
    }
    reader.resume(row, nowNs: nowNs)
    return unsafe talk.next(&bytes, into: &reader, common: &common)
  }

  func readsAnswer(_ row: Int) -> Bool { reader.machine.readsReply(row) }

  mutating func take(fields: UnsafeRawBufferPointer, of row: Int, nowNs: UInt64) {
    reader.resume(row, nowNs: nowNs)
    reader.fields(fields)
  }

  mutating func take(body: UnsafeRawBufferPointer, of row: Int, nowNs: UInt64) {
    guard reader.machine.readsReply(row) else { return }
    reader.resume(row, nowNs: nowNs)
    reader.body(body)
  }

  mutating func sent(_ row: Int, nowNs: UInt64) -> UInt64? {
    reader.begin(row, nowNs: nowNs)
    return reader.machine.beganIteration(row)
  }

  mutating func judge(_ row: Int, status: UInt16, serviceNs: UInt64) -> UInt8? {
    switch reader.end(row, status: status, serviceNs: serviceNs) {
    case .good: return nil
    case .failed(let check): return reader.machine.program.checks[check].number
    case .overflowed(let capture): return reader.machine.program.captures[capture].number
    case .jarFull: return Program.jarCheckNumber
    case .strayed: return Program.strayCheckNumber
    case .unreadable(let fault): return Program.bodyCheckNumber(fault)
    }
  }

  mutating func failed(_ row: Int) { reader.failed(row) }
}
