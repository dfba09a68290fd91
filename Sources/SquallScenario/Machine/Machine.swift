internal import SquallHTTP
internal import SquallLoad

/// The users of one worker, walking through a program. Pure: it is told the time, asked what comes
/// next, and shown the answers' bytes as they come. After it is made it asks for no memory.
@safe package struct Machine: ~Copyable {
  package static let jarByteCount = 384
  /// Steps taken without sending or thinking, after which a user rests for a moment, so that a scenario
  /// that does nothing cannot stop the loop.
  static let idleStepCountMax = 10_000
  static let idlePauseNs: UInt64 = 1_000_000
  /// A value on its way from where it is kept to where it is sent.
  static let scratchByteCount = 4 * Program.slotByteCountMax

  package let program: Program
  /// What lies between the clock of `nowNs` and the wall's.
  package var wallOffsetNs: UInt64 = 0
  package var worker: UInt32 = 0
  /// Iterations begin when `arrive` says so. Otherwise each follows the one before.
  package var isOpen = false
  package var iterationCount: UInt64 = 0

  let seed: UInt64
  let userCount: UInt64
  let rowCount: Int
  let slotOffsets: [Int]
  /// From one value of a list to the next; 0 where there is one value.
  let valueStrides: [Int]
  let jarOffset: Int
  /// Of one user's captured values and cookies.
  let stride: Int
  let deal: UserDeal
  /// What an absolute address on each origin begins with.
  let originAddresses: [[UInt8]]
  let hosts: [[UInt8]]
  let watches: [Watch]
  let facts: [RequestFacts]
  let pathOwners: [PathOwner]
  let needles: Needles
  var dullFields: DullFields
  let users: UnsafeMutablePointer<User>
  let memory: UnsafeMutablePointer<UInt8>
  let replies: UnsafeMutablePointer<Reply>
  /// Of each row, where the program has JSON paths.
  let replyJSON: UnsafeMutablePointer<ReplyJSON>
  let progress: UnsafeMutablePointer<UInt32>
  let progressCount: Int
  let scratch: UnsafeMutablePointer<UInt8>
  let patternTables: [PatternTable]
  let patternCount: Int
  let windowByteCount: Int
  let searches: UnsafeMutablePointer<PatternSearch>
  let windows: UnsafeMutablePointer<UInt8>
  let reachable: UnsafeMutablePointer<UInt64>
  /// The row whose answer is being read.
  var replyRow = 0
  /// When its bytes came.
  var replyNowNs: UInt64 = 0

  /// - Parameters:
  ///   - userCount: of all workers together at most; rows of data are dealt by it.
  ///   - rowCount: users of this worker at most.
  package init(program: Program, seed: UInt64, userCount: UInt64, rowCount: Int) {
    self.program = program
    self.seed = seed
    self.userCount = userCount
    self.rowCount = rowCount
    var offset = 0
    slotOffsets = program.slots.map { slot in
      let byteCount = Self.slotHeaderByteCount + Int(slot.byteCountMax)
      defer {
        // One place more than values, so that one can be taken while the others are kept.
        offset +=
          slot.isList
          ? List.byteCount + (Int(slot.valueCountMax) + 1) * byteCount : byteCount
      }
      return offset
    }
    valueStrides = program.slots.map {
      $0.isList ? Self.slotHeaderByteCount + Int($0.byteCountMax) : 0
    }
    jarOffset = offset
    stride = offset + (program.keepsCookies ? Self.jarByteCount : 0)
    deal = UserDeal(program.users)
    originAddresses = program.origins.map { Array($0.address.utf8) }
    hosts = program.origins.map { Array($0.host.utf8) }
    let watchSlices: [Program.Slice]
    (watches, watchSlices) = Watch.all(of: program)
    (facts, pathOwners) = RequestFacts.all(of: program, watches: watchSlices)
    needles = Needles(program)
    dullFields = DullFields(requestCount: program.requests.count)
    progressCount =
      program.requests.map { Int($0.checks.count + $0.captures.count) }.max() ?? 0
    unsafe users = .allocate(capacity: max(1, rowCount))
    unsafe users.initialize(repeating: User(), count: rowCount)
    unsafe memory = .allocate(capacity: max(1, rowCount * stride))
    unsafe memory.initialize(repeating: 0, count: rowCount * stride)
    unsafe replies = .allocate(capacity: max(1, rowCount))
    unsafe replies.initialize(repeating: Reply(), count: rowCount)
    let jsonCount = pathOwners.isEmpty ? 0 : rowCount
    unsafe replyJSON = .allocate(capacity: max(1, jsonCount))
    unsafe replyJSON.initialize(repeating: ReplyJSON(), count: jsonCount)
    unsafe progress = .allocate(capacity: max(1, rowCount * progressCount))
    unsafe progress.initialize(repeating: 0, count: rowCount * progressCount)
    patternTables = program.patterns.map(PatternTable.init)
    patternCount = Self.patternCount(program)
    windowByteCount = Self.patternWindowByteCount(program)
    unsafe searches = .allocate(capacity: max(1, rowCount * patternCount))
    unsafe searches.initialize(repeating: PatternSearch(), count: rowCount * patternCount)
    unsafe windows = .allocate(capacity: max(1, rowCount * patternCount * windowByteCount))
    unsafe windows.initialize(repeating: 0, count: rowCount * patternCount * windowByteCount)
    unsafe reachable = .allocate(capacity: windowByteCount + 1)
    unsafe reachable.initialize(repeating: 0, count: windowByteCount + 1)
    unsafe scratch = .allocate(capacity: Self.scratchByteCount)
    unsafe scratch.initialize(repeating: 0, count: Self.scratchByteCount)
  }

  deinit {
    unsafe users.deallocate()
    unsafe memory.deallocate()
    unsafe replies.deallocate()
    unsafe replyJSON.deallocate()
    unsafe progress.deallocate()
    unsafe scratch.deallocate()
    unsafe searches.deallocate()
    unsafe windows.deallocate()
    unsafe reachable.deallocate()
  }

  // MARK: Users

  /// Puts the user of that index into a row, at its beginning. False when there is no such user.
  package mutating func begin(_ row: Int, index: UInt64) -> Bool {
    guard let userClass = deal.userClass(of: index) else { return false }
    var user = User()
    user.index = index
    user.userClass = UInt16(userClass)
    let start = program.users[userClass].onStart
    user.phase = start == nil ? .iterating : .starting
    user.step = start ?? program.users[userClass].iteration
    user.random = SplitMix64(seed: seed, index, 0)
    unsafe users[row] = user
    for slot in slotOffsets.indices { reset(row, slot) }
    for index in program.constants.indices { set(row, to: program.constants[index]) }
    return true
  }

  /// The user's number among all workers' users.
  @inline(__always)
  package func index(_ row: Int) -> UInt64 { unsafe users[row].index }

  /// Where the request goes that the user is about, among the program's origins.
  @inline(__always)
  package func origin(_ row: Int) -> UInt8 { unsafe users[row].origin }

  /// The user rests between two tries of one request.
  package func isBetweenTries(_ row: Int) -> Bool {
    let step = unsafe Int(users[row].step)
    return step > 0 && program.steps[step - 1].operation == .think
      && program.steps[step - 1].low == 1
  }

  /// The load is over: what `on_stop` says comes next, then the end.
  package mutating func stop(_ row: Int) {
    unsafe stop(&users[row])
  }

  /// The user is there and does something before it goes.
  package func hasEnding(_ row: Int) -> Bool {
    let user = unsafe users[row]
    return user.phase != .ended && program.users[Int(user.userClass)].onStop != nil
  }

  private func stop(_ user: inout User) {
    guard user.phase != .ended, user.phase != .stopping else { return }
    user.isPausing = false
    if let step = program.users[Int(user.userClass)].onStop {
      user.phase = .stopping
      user.step = step
    } else {
      user.phase = .ended
    }
  }

  /// What the user in this row does next. Call it again after a think time, an answer, a failure, or
  /// the end of an iteration.
  package mutating func next(_ row: Int, nowNs: UInt64) -> Action {
    // A copy can live in registers.
    var user = unsafe users[row]
    defer { unsafe users[row] = user }
    if user.isPausing {
      user.isPausing = false
      user.isFresh = true
      if !isOpen, let think = program.users[Int(user.userClass)].think {
        return .think(untilNs: untilNs(think, &user, nowNs: nowNs))
      }
    }
    if user.isFresh, user.phase == .iterating {
      guard begin(&user, nowNs: nowNs) else { return .idle }
    }
    for _ in 0..<Self.idleStepCountMax {
      guard user.phase != .ended else { return .ended }
      let step = program.steps[Int(user.step)]
      user.step &+= 1
      switch step.operation {
      case .send:
        let request = program.requests[Int(step.argument)]
        user.request = step.argument
        if !request.isHop {
          user.origin = request.origin
        } else if user.origin != request.origin {
          // The one to another host.
          user.request &+= 1
        }
        user.isMet = false
        user.isRedirected = false
        return .send(request: Int(user.request))
      case .think:
        user.isDue = false
        return .think(untilNs: untilNs(step.argument, &user, nowNs: nowNs))
      case .pick: user.step = draw(program.choices[Int(step.argument)], &user.random)
      case .jump: user.step = step.target
      case .enterLoop:
        let span = UInt64(step.high &- step.low) &+ 1
        let turns = step.low &+ UInt32(user.random.next().multipliedFullWidth(by: span).high)
        user.loops[Int(step.counter)] = UInt16(truncatingIfNeeded: turns)
        if turns == 0 { user.step = step.target }
      case .endLoop:
        user.loops[Int(step.counter)] &-= 1
        if user.loops[Int(step.counter)] > 0 { user.step = step.target }
      case .chance:
        if UInt32(truncatingIfNeeded: user.random.next() >> 32) >= step.low {
          user.step = step.target
        }
      case .unlessSet: if isEmpty(row, Int(step.argument)) { user.step = step.target }
      case .ifSet: if !isEmpty(row, Int(step.argument)) { user.step = step.target }
      case .unlessRedirected: if !user.isRedirected { user.step = step.target }
      case .ifMet: if user.isMet { user.step = step.target }
      case .enterEach:
        let turns = min(UInt32(list(row, Int(step.argument)).count), step.high)
        user.loops[Int(step.counter)] = UInt16(truncatingIfNeeded: turns)
        if turns == 0 { user.step = step.target } else { select(row, Int(step.argument), value: 0) }
      case .endEach:
        user.loops[Int(step.counter)] &-= 1
        if user.loops[Int(step.counter)] > 0 {
          user.step = step.target
          selectNext(row, Int(step.argument))
        }
      case .endIteration: return endIteration(&user)
      case .end:
        if user.phase == .starting {
          user.phase = .iterating
          user.step = program.users[Int(user.userClass)].iteration
          guard begin(&user, nowNs: nowNs) else { return .idle }
        } else {
          user.phase = .ended
        }
      }
    }
    return .think(untilNs: nowNs &+ Self.idlePauseNs)
  }

  /// Begins an iteration. False when none is due.
  private func begin(_ user: inout User, nowNs: UInt64) -> Bool {
    user.isFresh = isOpen && !user.isDue
    if !isOpen { user.iterationStartNs = nowNs }
    return !user.isFresh
  }

  /// The row's user is free to begin an iteration that is due.
  package func isIdle(_ row: Int) -> Bool {
    let user = unsafe users[row]
    return isOpen && user.phase == .iterating && (user.isFresh || user.isPausing) && !user.isDue
  }

  /// An iteration is due, or was: the row's user, who is idle, does it.
  package mutating func arrive(_ row: Int, scheduledNs: UInt64) {
    unsafe users[row].isDue = true
    unsafe users[row].iterationStartNs = scheduledNs
  }

  /// When the request that comes next was due, as the first thing of an iteration that was; nil of any
  /// other.
  package mutating func takeDueNs(_ row: Int) -> UInt64? {
    guard unsafe users[row].isDue else { return nil }
    unsafe users[row].isDue = false
    return unsafe users[row].iterationStartNs
  }

  private mutating func endIteration(_ user: inout User) -> Action {
    let ended = Iteration(
      startNs: user.iterationStartNs, hasSent: user.hasSent, isAbandoned: user.isAbandoned)
    user.hasSent = false
    user.isDue = false
    user.isAbandoned = false
    iterationCount &+= 1
    user.iteration &+= 1
    user.random = SplitMix64(seed: seed, user.index, user.iteration)
    user.step = program.users[Int(user.userClass)].iteration
    user.isPausing = true
    return .iterationEnded(ended)
  }

  /// A request went out: when the iteration began whose first it is; nil for any other.
  package mutating func beganIteration(_ row: Int) -> UInt64? {
    guard unsafe users[row].phase == .iterating && !users[row].hasSent else { return nil }
    unsafe users[row].hasSent = true
    return unsafe users[row].iterationStartNs
  }

  /// The request failed: no answer came, or one that does not do.
  package mutating func failed(_ row: Int) {
    guard unsafe users[row].phase != .ended else { return }
    let request = unsafe program.requests[Int(users[row].request)]
    switch request.otherwise {
    case .proceed: break
    case .nextIteration: unsafe abandonIteration(&users[row])
    case .stopUser: unsafe stop(&users[row])
    }
  }

  /// Goes to the step that ends the iteration; what starts or stops goes on to its own end.
  private func abandonIteration(_ user: inout User) {
    let steps = program.steps
    var step = Int(user.step)
    let end: Program.Step.Operation = user.phase == .iterating ? .endIteration : .end
    user.isAbandoned = user.phase == .iterating
    while steps[step].operation != end { step += 1 }
    user.step = UInt32(step)
  }

  private func draw(_ choice: Program.Choice, _ random: inout SplitMix64) -> UInt32 {
    let bits = random.next()
    let column = choice.columns[
      Int((bits >> 32).multipliedFullWidth(by: UInt64(choice.columns.count) << 32).high)]
    return UInt32(truncatingIfNeeded: bits) < column.threshold ? column.own : column.other
  }

  private func untilNs(_ think: UInt16, _ user: inout User, nowNs: UInt64) -> UInt64 {
    let think = program.thinks[Int(think)]
    switch think.kind {
    case .uniform:
      let span = think.highNs - think.lowNs
      guard span > 0 else { return nowNs &+ think.lowNs }
      return nowNs &+ think.lowNs
        &+ user.random.next().multipliedFullWidth(by: span &+ 1).high
    case .exponential:
      return nowNs &+ UInt64(user.random.nextExponential() * Double(think.lowNs))
    case .pace: return max(nowNs, user.iterationStartNs &+ think.lowNs)
    }
  }

  // MARK: Slots

  /// Length plus one, zero for empty; the top bit says that JSON wrote it without quotes.
  static let slotHeaderByteCount = 2
  static let bareBit: UInt16 = 0x8000

  /// Of a list, the value that is selected.
  @inline(__always)
  func slotBase(_ row: Int, _ slot: Int) -> UnsafeMutablePointer<UInt8> {
    let base = unsafe memory + (row &* stride &+ slotOffsets[slot])
    guard valueStrides[slot] > 0 else { return unsafe base }
    return unsafe base + (List.byteCount &+ Int(list(row, slot).selected) &* valueStrides[slot])
  }

  @inline(__always)
  func slotHeader(_ row: Int, _ slot: Int) -> UInt16 {
    unsafe UnsafeRawPointer(slotBase(row, slot)).loadUnaligned(as: UInt16.self)
  }

  @inline(__always)
  func setSlotHeader(_ row: Int, _ slot: Int, _ header: UInt16) {
    unsafe UnsafeMutableRawPointer(slotBase(row, slot)).storeBytes(of: header, as: UInt16.self)
  }

  func isEmpty(_ row: Int, _ slot: Int) -> Bool {
    guard valueStrides[slot] == 0 else { return list(row, slot).count == 0 }
    return slotHeader(row, slot) & ~Self.bareBit == 0
  }

  func clear(_ row: Int, _ slot: Int) { setSlotHeader(row, slot, 0) }

  private func set(_ row: Int, to constant: Program.Constant) {
    let slot = Int(constant.slot)
    let text = unsafe slotBase(row, slot) + Self.slotHeaderByteCount
    for index in constant.text.indices { unsafe text[index] = constant.text[index] }
    setSlotHeader(
      row, slot, UInt16(constant.text.count + 1) | (constant.isBare ? Self.bareBit : 0))
  }

  /// What single slots hold, to be given to other users.
  package func constants(_ row: Int) -> [Program.Constant] {
    slotOffsets.indices.compactMap { slot in
      guard valueStrides[slot] == 0, !isEmpty(row, slot),
        program.slots[slot].name != Compiler.locationName
      else { return nil }
      let header = slotHeader(row, slot)
      let count = Int(header & ~Self.bareBit) - 1
      let text = unsafe UnsafeBufferPointer(
        start: slotBase(row, slot) + Self.slotHeaderByteCount, count: count)
      return unsafe Program.Constant(
        slot: UInt16(slot), isBare: header & Self.bareBit != 0, text: Array(text))
    }
  }

  /// Nil when nothing was captured. Of a list all values, with commas between them.
  package func value(_ row: Int, slot: Int) -> String? {
    guard !isEmpty(row, slot) else { return nil }
    guard valueStrides[slot] > 0 else { return text(row, slot) }
    let selected = list(row, slot).selected
    let values = (0..<list(row, slot).count).map { index in
      select(row, slot, value: index)
      return text(row, slot)
    }
    setSelected(row, slot, selected)
    return values.joined(separator: ", ")
  }

  private func text(_ row: Int, _ slot: Int) -> String {
    let count = Int(slotHeader(row, slot) & ~Self.bareBit) - 1
    return unsafe String(
      decoding: UnsafeBufferPointer(
        start: slotBase(row, slot) + Self.slotHeaderByteCount, count: count), as: UTF8.self)
  }
}
