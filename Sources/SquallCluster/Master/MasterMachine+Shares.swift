import SquallLoad

/// Dealing the plan, and dealing it again, so that at no instant more is held than the plan has.
extension MasterMachine {
  struct Dealing: Sendable {
    enum Hold: Equatable {
      /// It may hold this share, or the one before.
      case held
      /// It said it holds this share and no other.
      case adopted
      /// It cannot act on it: dead, finished, stalled, or out of its lease.
      case released
    }

    /// The newest epoch ever used.
    var epoch: UInt32 = 0
    /// In force: durable, and what orders say.
    var deal: Deal?
    /// One for each of the deal's holdings.
    var holds: [Hold] = []
    /// Connections it may have open, for each: the larger of this share's and the one's before.
    var connections: [UInt32] = []
    /// Where in the deal an agent's holdings are.
    var ranges: [UInt64: Range<Int>] = [:]
    /// A deal waits for the record.
    var isPending = false
    /// Since when the shares are not what they should be.
    var staleSinceNs: UInt64?
    /// An agent has taken a share back: it will not be used again, whatever the deal says.
    var isSpoiled = false
    /// When, at the latest so far, a holder was released that had not confirmed where its schedule
    /// ends: it may have followed it until then.
    var unconfirmedUntilNs: UInt64 = 0
    /// Yields in a row that came too late for their instant.
    var lateCount = 0

    func index(of incarnation: Incarnation) -> Int? {
      guard let deal, let range = ranges[incarnation.agent] else { return nil }
      return range.first { deal.holdings[$0].incarnation == incarnation }
    }
  }

  /// An instant is set this many doublings further ahead, at most, for a host that hears of it late or
  /// whose clock is ahead of the run's: 16 s with the usual lead.
  private static let lateCountMax = 5

  private var isOpenLoop: Bool { settings.plan.load != .closed }
  private var isCounted: Bool { settings.plan.requestCount != .max }

  // MARK: What holders do

  /// The worker says which share it has.
  mutating func adopted(_ name: Incarnation, _ agent: Int, _ life: Int, _ worker: Report.Worker) {
    guard let index = dealing.index(of: name), let deal = dealing.deal,
      worker.epoch == deal.epoch
    else { return }
    // Its lease had ended, and what it held is on its way to others: too late to have it back.
    if dealing.holds[index] == .released, dealing.isPending { return }
    let share = deal.holdings[index].share
    if worker.isTakenBack, !share.isIdle { dealing.isSpoiled = true }
    dealing.holds[index] = .adopted
    dealing.connections[index] = share.connections
    if isCounted, agents[agent].lives[life].ledger == nil {
      agents[agent].lives[life].reserved = worker.sentBefore.addingSaturated(share.requestQuota)
    }
  }

  /// The worker can no longer act on its share.
  mutating func releaseHolding(_ name: Incarnation) {
    guard let index = dealing.index(of: name), dealing.holds[index] != .released else { return }
    if dealing.connections[index] > 0, dealing.holds[index] == .held || dealing.deal?.kind == .grant
    {
      dealing.unconfirmedUntilNs = max(dealing.unconfirmedUntilNs, lastNs ?? 0)
    }
    dealing.holds[index] = .released
    isDirty = true
  }

  /// What the order to this agent says. A holder that was released for its silence and is back has its
  /// share again, as long as nobody has dealt anew without it.
  mutating func assignments(of agent: Int) -> [Order.Assignment] {
    guard let deal = dealing.deal, let range = dealing.ranges[agents[agent].name.agent] else {
      return []
    }
    var assignments: [Order.Assignment] = []
    for index in range {
      let holding = deal.holdings[index]
      guard let place = life(of: holding.incarnation) else { continue }
      let life = agents[place.agent].lives[place.life]
      guard !life.isOver, life.reported?.state == .ready else { continue }
      if dealing.holds[index] == .released {
        guard !dealing.isPending, agents[agent].presence == .present,
          life.reported?.epoch ?? 0 <= deal.epoch
        else { continue }
        dealing.holds[index] = life.reported?.epoch == deal.epoch ? .adopted : .held
        isDirty = true
      }
      assignments.append(
        Order.Assignment(
          slot: holding.incarnation.worker, life: holding.incarnation.life, share: holding.share,
          untilNs: deal.untilNs))
    }
    return assignments
  }

  /// A lease that has ended by our clock has ended by its holder's.
  private mutating func releaseExpired(nowNs: UInt64) {
    guard let deal = dealing.deal else { return }
    for agent in agents.indices where agents[agent].presence != .present {
      guard let range = dealing.ranges[agents[agent].name.agent] else { continue }
      let isFree =
        agents[agent].presence == .left || nowNs >= agents[agent].leaseEndNs
        || settings.faults.ignoresLeases
      if isFree {
        for index in range { releaseHolding(deal.holdings[index].incarnation) }
      } else {
        evaluate(atNs: agents[agent].leaseEndNs)
      }
    }
  }

  // MARK: Dealing

  /// Workers that can take a share now, in the order of their names.
  func candidates() -> [(agent: Int, life: Int)] {
    var found: [(agent: Int, life: Int)] = []
    for agent in agents.indices where agents[agent].presence == .present {
      guard let report = agents[agent].report, report.isPlanReady, !report.isLeaving,
        !report.isFull
      else { continue }
      for case let life? in agents[agent].current
      where agents[agent].lives[life].reported?.state == .ready
        && !agents[agent].lives[life].isOver
      {
        found.append((agent, life))
      }
    }
    return found.sorted {
      incarnation($0.agent, $0.life).precedes(incarnation($1.agent, $1.life))
    }
  }

  private var requestsLeft: UInt64 {
    guard isCounted else { return .max }
    return agents.reduce(settings.plan.requestCount) {
      $1.lives.reduce($0) { $0.subtractingSaturated($1.reserved) }
    }
  }

  mutating func superviseShares(nowNs: UInt64) {
    guard stage == .preparing || stage == .running, !isStartPending else { return }
    releaseExpired(nowNs: nowNs)
    guard !dealing.isPending else { return }
    let wanted = candidates()
    guard let deal = dealing.deal else { return grant(wanted, nowNs: nowNs) }
    switch deal.kind {
    case .yield:
      guard isYielded else { return superviseYield(deal, wanted, nowNs: nowNs) }
      dealAgain(wanted, nowNs: nowNs)
    case .grant:
      guard isStale(deal, wanted) else {
        dealing.staleSinceNs = nil
        return
      }
      let sinceNs = dealing.staleSinceNs ?? nowNs
      dealing.staleSinceNs = sinceNs
      guard nowNs >= sinceNs + settings.settleNs || stage == .preparing else {
        return evaluate(atNs: sinceNs + settings.settleNs)
      }
      // Nobody gives anything up for a holder that cannot be asked: its lease ends soon enough.
      if let untilNs = holderSilentUntilNs(nowNs: nowNs) { return evaluate(atNs: untilNs) }
      dealAgain(wanted, nowNs: nowNs)
    }
  }

  /// Whether those that take part, or what is left to hand out, differ from the deal.
  private func isStale(_ deal: Deal, _ wanted: [(agent: Int, life: Int)]) -> Bool {
    guard !wanted.isEmpty else { return false }
    let taking = wanted.prefix(Int(min(UInt32(wanted.count), settings.plan.connections)))
    let holdings = deal.holdings.filter { !$0.share.isIdle }
    guard taking.count == holdings.count else { return true }
    for (place, holding) in zip(taking, holdings)
    where incarnation(place.agent, place.life) != holding.incarnation {
      return true
    }
    return dealing.isSpoiled || isCounted && requestsLeft > 0
  }

  private var isYielded: Bool { !dealing.holds.contains(.held) }

  /// A present holder that has missed a heartbeat, or a missing one whose lease has not ended.
  private func holderSilentUntilNs(nowNs: UInt64) -> UInt64? {
    guard let deal = dealing.deal, !settings.faults.ignoresLeases else { return nil }
    for agent in agents.indices {
      guard let range = dealing.ranges[agents[agent].name.agent],
        range.contains(where: {
          dealing.holds[$0] != .released && !deal.holdings[$0].share.isIdle
        })
      else { continue }
      switch agents[agent].presence {
      case .present:
        let freshNs = agents[agent].heardNs + settings.heartbeatIntervalNs * 3 / 2
        if nowNs >= freshNs { return agents[agent].heardNs + silenceNs }
      case .missing, .gone: return agents[agent].leaseEndNs
      case .left: break
      }
    }
    return nil
  }

  private mutating func dealAgain(_ wanted: [(agent: Int, life: Int)], nowNs: UInt64) {
    guard !wanted.isEmpty, let deal = dealing.deal else { return }
    let shares = shares(for: wanted, fromNs: 0)
    let target = Dictionary(
      uniqueKeysWithValues: zip(wanted.map { incarnation($0.agent, $0.life) }, shares))
    var mustYield = false
    for index in deal.holdings.indices where dealing.holds[index] != .released {
      let holding = deal.holdings[index]
      let connections = target[holding.incarnation]?.connections ?? 0
      if dealing.connections[index] > connections { mustYield = true }
      if deal.kind == .grant, !holding.share.isIdle, isOpenLoop || isCounted { mustYield = true }
    }
    if isCounted, deal.kind == .grant, wanted.contains(where: { isUnsettled($0) }) {
      mustYield = true
    }
    if mustYield {
      dealing.lateCount = 0
      yield(deal, target, wanted, nowNs: nowNs)
    } else {
      grant(wanted, nowNs: nowNs)
    }
  }

  /// What it may have sent is not known exactly.
  private func isUnsettled(_ place: (agent: Int, life: Int)) -> Bool {
    let life = agents[place.agent].lives[place.life]
    return life.reserved > 0 && life.ledger == nil
  }

  /// A yield that not everyone has taken up in time is moved on, so that those who have do not stop
  /// for those who have not.
  private mutating func superviseYield(
    _ deal: Deal, _ wanted: [(agent: Int, life: Int)], nowNs: UInt64
  ) {
    guard deal.untilNs != .max, let startNs else { return }
    let marginNs = settings.cutLeadNs / 4
    let moveAtNs = (startNs + deal.untilNs).subtractingSaturated(marginNs)
    guard nowNs >= moveAtNs else { return evaluate(atNs: moveAtNs) }
    dealing.lateCount += 1
    let shares = shares(for: wanted, fromNs: 0)
    let target = Dictionary(
      uniqueKeysWithValues: zip(wanted.map { incarnation($0.agent, $0.life) }, shares))
    yield(deal, target, wanted, nowNs: nowNs)
  }

  private func shares(for wanted: [(agent: Int, life: Int)], fromNs: UInt64) -> [Share] {
    Deal.shares(
      of: settings.plan, over: wanted.count, requestsLeft: requestsLeft,
      epoch: dealing.epoch + 1, fromNs: fromNs)
  }

  private mutating func grant(_ wanted: [(agent: Int, life: Int)], nowNs: UInt64) {
    guard !wanted.isEmpty else { return }
    var fromNs: UInt64 = 0
    if let deal = dealing.deal, isOpenLoop, let startNs {
      // Where the yields end, or the last holder that had not heard of them; where nobody was left to
      // yield, from a little later than now.
      let usedNs = dealing.unconfirmedUntilNs.subtractingSaturated(startNs)
      fromNs = deal.kind == .yield ? max(deal.untilNs, usedNs) : cutNs(nowNs: nowNs)
    }
    let shares = shares(for: wanted, fromNs: fromNs)
    var holdings = zip(wanted, shares).map { place, share in
      let reserved = agents[place.agent].lives[place.life].reserved
      return Deal.Holding(
        incarnation: incarnation(place.agent, place.life), share: share,
        reserved: isCounted ? reserved.addingSaturated(share.requestQuota) : 0)
    }
    holdings += others(than: wanted)
    propose(.grant, untilNs: .max, holdings)
  }

  private mutating func yield(
    _ deal: Deal, _ target: [Incarnation: Share], _ wanted: [(agent: Int, life: Int)],
    nowNs: UInt64
  ) {
    let epoch = dealing.epoch + 1
    let untilNs = isOpenLoop ? cutNs(nowNs: nowNs) : .max
    var holdings: [Deal.Holding] = []
    for place in wanted {
      let name = incarnation(place.agent, place.life)
      var share = Share.idle(epoch: epoch)
      if let index = dealing.index(of: name), !deal.holdings[index].share.isIdle {
        share = deal.holdings[index].share
        share.epoch = epoch
        share.connections = min(share.connections, target[name]?.connections ?? 0)
        if isCounted { share.requestQuota = 0 }
      }
      holdings.append(
        Deal.Holding(
          incarnation: name, share: share,
          reserved: agents[place.agent].lives[place.life].reserved))
    }
    holdings += others(than: wanted)
    propose(.yield, untilNs: untilNs, holdings)
  }

  /// Lives that take no part and are not accounted for: they are told so if they come back, and what
  /// they may have sent stays reserved.
  private func others(than wanted: [(agent: Int, life: Int)]) -> [Deal.Holding] {
    let names = Set(wanted.map { incarnation($0.agent, $0.life) })
    var holdings: [Deal.Holding] = []
    for agent in agents.indices where agents[agent].presence != .left {
      for life in agents[agent].lives.indices {
        let name = incarnation(agent, life)
        let known = agents[agent].lives[life]
        guard known.hasPart, known.ledger == nil, !names.contains(name) else { continue }
        holdings.append(
          Deal.Holding(
            incarnation: name, share: .idle(epoch: dealing.epoch + 1), reserved: known.reserved))
      }
    }
    return holdings
  }

  /// The next instant of run time at which schedules may change hands.
  private func cutNs(nowNs: UInt64) -> UInt64 {
    guard let startNs else { return 0 }
    let leadNs = settings.cutLeadNs << UInt64(min(dealing.lateCount, Self.lateCountMax))
    return nowNs.subtractingSaturated(startNs) + leadNs
  }

  private mutating func propose(
    _ kind: Deal.Kind, untilNs: UInt64, _ holdings: [Deal.Holding]
  ) {
    dealing.epoch += 1
    dealing.isPending = true
    dealing.staleSinceNs = nil
    dealing.isSpoiled = false
    let deal = Deal(
      epoch: dealing.epoch, kind: kind, untilNs: untilNs,
      holdings: holdings.sorted { $0.incarnation.precedes($1.incarnation) })
    record(.deal(deal), .deal(deal))
  }

  /// The deal is durable: it is in force, and everyone may hear of it.
  mutating func dealt(_ deal: Deal, nowNs: UInt64) {
    dealing.isPending = false
    isDirty = true
    guard stage == .preparing || stage == .running else { return }
    let old = dealing
    enforce(deal)
    for index in deal.holdings.indices {
      guard let before = old.index(of: deal.holdings[index].incarnation) else { continue }
      if old.holds[before] != .released {
        dealing.connections[index] = max(dealing.connections[index], old.connections[before])
      }
    }
    for index in deal.holdings.indices {
      guard let place = life(of: deal.holdings[index].incarnation) else { continue }
      let isIdle = deal.holdings[index].share.isIdle
      if !isIdle { agents[place.agent].lives[place.life].hasPart = true }
      if deal.kind == .grant, isCounted, !isIdle {
        agents[place.agent].lives[place.life].reserved = deal.holdings[index].reserved
      }
      let before = old.index(of: deal.holdings[index].incarnation)
      // Released it stays until it is heard of again; new and idle it has nothing to give back.
      let wasReleased = before.map { old.holds[$0] == .released } ?? isIdle
      let isPresent =
        agents[place.agent].presence == .present
        && agents[place.agent].lives[place.life].reported?.state == .ready
      if wasReleased, !isPresent { dealing.holds[index] = .released }
      if agents[place.agent].lives[place.life].isOver { dealing.holds[index] = .released }
    }
    if deal.kind == .grant {
      log(
        .dealt(epoch: deal.epoch, workers: deal.holdings.count { !$0.share.isIdle }))
    }
    changeOrders()
  }

  private mutating func enforce(_ deal: Deal) {
    dealing.deal = deal
    dealing.epoch = max(dealing.epoch, deal.epoch)
    dealing.holds = Array(repeating: .held, count: deal.holdings.count)
    dealing.connections = deal.holdings.map(\.share.connections)
    dealing.ranges = [:]
    var start = 0
    for index in deal.holdings.indices {
      let agent = deal.holdings[index].incarnation.agent
      let isLast =
        index + 1 == deal.holdings.count || deal.holdings[index + 1].incarnation.agent != agent
      if isLast {
        dealing.ranges[agent] = start..<index + 1
        start = index + 1
      }
    }
  }

  /// The deal a restarted master finds in its record: whoever is in it may hold it, until it is heard
  /// or its lease has ended.
  mutating func restore(_ deal: Deal) {
    enforce(deal)
    for holding in deal.holdings {
      guard let place = life(of: holding.incarnation) else { continue }
      if agents[place.agent].lives[place.life].ledger == nil {
        agents[place.agent].lives[place.life].reserved = holding.reserved
      }
      if agents[place.agent].lives[place.life].isOver { releaseHolding(holding.incarnation) }
    }
  }
}
