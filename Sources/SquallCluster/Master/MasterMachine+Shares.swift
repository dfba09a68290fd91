import SquallLoad

/// Dealing the plan, and dealing it again, so that at no instant more is held than the plan has.
extension MasterMachine {
  /// An instant is set this many doublings further ahead, at most, for a host that hears of it late or
  /// whose clock is ahead of the run's: 16 s with the usual lead.
  private static let lateCountMax = 5

  private var isOpenLoop: Bool { run.isOpenLoop }
  private var isCounted: Bool { run.isCounted }

  // MARK: What holders do

  /// The worker says which share it has.
  mutating func adopted(_ life: LifeIndex, _ worker: Report.Worker) {
    guard let index = dealing.index(of: incarnation(life)), let deal = dealing.deal,
      worker.epoch == deal.epoch
    else { return }
    // Its lease had ended, and what it held is on its way to others: too late to have it back.
    if dealing.holds[index] == .released, dealing.isPending { return }
    let share = deal.holdings[index].share
    if worker.isTakenBack, !share.isIdle { dealing.isSpoiled = true }
    dealing.holds[index] = .adopted
    dealing.connections[index] = share.connections
    if isCounted, intake[life].ledger == nil {
      intake[life].reserved = worker.sentBefore.addingSaturated(share.requestQuota)
    }
  }

  /// The worker can no longer act on its share.
  mutating func release(_ life: LifeIndex) { release(incarnation(life)) }

  private mutating func release(_ name: Incarnation) {
    if dealing.release(name, nowNs: lastNs ?? 0) { isDirty = true }
  }

  /// What the order to this agent says. A holder that was released for its silence and is back has its
  /// share again, as long as nobody has dealt anew without it.
  mutating func assignments(of agent: AgentIndex) -> [Order.Assignment] {
    guard let deal = dealing.deal else { return [] }
    var assignments: [Order.Assignment] = []
    for index in dealing.holdings(of: fleet[agent].name.agent) {
      let holding = deal.holdings[index]
      guard let place = life(of: holding.incarnation) else { continue }
      let life = intake[place]
      guard life.isReady else { continue }
      if dealing.holds[index] == .released {
        guard !dealing.isPending, fleet[agent].presence == .present,
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
    for agent in fleet.all where fleet[agent].presence != .present {
      let range = dealing.holdings(of: fleet[agent].name.agent)
      guard !range.isEmpty else { continue }
      let isFree =
        fleet[agent].presence == .left || nowNs >= fleet[agent].leaseEndNs
        || settings.faults.ignoresLeases
      if isFree {
        for index in range { release(deal.holdings[index].incarnation) }
      } else {
        evaluate(atNs: fleet[agent].leaseEndNs)
      }
    }
  }

  // MARK: Dealing

  /// Workers that can take a share now, in the order of their names.
  func candidates() -> [LifeIndex] {
    var found: [LifeIndex] = []
    for agent in fleet.all where fleet[agent].presence == .present {
      guard let report = fleet[agent].report, report.run == run.name, report.isPlanReady,
        !report.isLeaving, !report.isFull
      else { continue }
      found += intake[agent].current.compactMap { $0 }.filter { intake[$0].isReady }
    }
    return found.sorted { incarnation($0).precedes(incarnation($1)) }
  }

  private var requestsLeft: UInt64 {
    guard isCounted else { return .max }
    return fleet.all.reduce(run.plan.requestCount) {
      intake[$1].lives.reduce($0) { $0.subtractingSaturated($1.reserved) }
    }
  }

  mutating func superviseShares(nowNs: UInt64) {
    guard run.stage == .preparing || run.stage == .running, !run.isStartPending else { return }
    releaseExpired(nowNs: nowNs)
    guard !dealing.isPending else { return }
    let wanted = candidates()
    guard let deal = dealing.deal else { return grant(wanted, nowNs: nowNs) }
    switch deal.kind {
    case .yield:
      guard isYielded else { return superviseYield(deal, wanted, nowNs: nowNs) }
      guard deal.asked == nil else { return change(deal, wanted, nowNs: nowNs) }
      dealAgain(wanted, nowNs: nowNs)
    case .grant:
      // Shares are where they belong first, so that by a change all of them rise or all fall.
      let isStale = isStale(deal, wanted)
      let isChangeDue =
        run.asked != nil && run.stage == .running && !dealing.hasReachedEnd && !isStale
      guard isStale || isChangeDue else {
        dealing.staleSinceNs = nil
        return
      }
      // A worker keeps one share that is to begin, and in a closed loop has the connections of the one before
      // until then: the last change has to be in force, also by the clock of a host that is behind.
      if let startNs = run.startNs, let last = run.changes.last, isChangeDue || !isOpenLoop,
        !settings.faults.movesUnbegunShares
      {
        let inForceNs = startNs + last.atNs + behindNs
        guard nowNs >= inForceNs else { return evaluate(atNs: inForceNs) }
      }
      guard isStale else { return askToChange(deal, wanted, nowNs: nowNs) }
      let sinceNs = dealing.staleSinceNs ?? nowNs
      dealing.staleSinceNs = sinceNs
      guard nowNs >= sinceNs + settings.settleNs || run.stage == .preparing else {
        return evaluate(atNs: sinceNs + settings.settleNs)
      }
      // Nobody gives anything up for a holder that cannot be asked: its lease ends soon enough.
      if let untilNs = holderSilentUntilNs(nowNs: nowNs) { return evaluate(atNs: untilNs) }
      dealAgain(wanted, nowNs: nowNs)
    }
  }

  /// Whether those that take part, or what is left to hand out, differ from the deal.
  private func isStale(_ deal: Deal, _ wanted: [LifeIndex]) -> Bool {
    guard !wanted.isEmpty, !dealing.hasReachedEnd else { return false }
    let taking = wanted.prefix(Int(min(UInt32(wanted.count), run.plan.openCount)))
    let holdings = deal.holdings.filter { !$0.share.isIdle }
    guard taking.count == holdings.count else { return true }
    for (place, holding) in zip(taking, holdings)
    where incarnation(place) != holding.incarnation {
      return true
    }
    return dealing.isSpoiled || isCounted && requestsLeft > 0
  }

  private var isYielded: Bool { !dealing.holds.contains(.held) }

  /// A present holder that has missed a heartbeat, or a missing one whose lease has not ended.
  private func holderSilentUntilNs(nowNs: UInt64) -> UInt64? {
    guard let deal = dealing.deal, !settings.faults.ignoresLeases else { return nil }
    for agent in fleet.all {
      let range = dealing.holdings(of: fleet[agent].name.agent)
      guard
        range.contains(where: {
          dealing.holds[$0] != .released && !deal.holdings[$0].share.isIdle
        })
      else { continue }
      switch fleet[agent].presence {
      case .present:
        let freshNs = fleet[agent].heardNs + settings.heartbeatIntervalNs * 3 / 2
        if nowNs >= freshNs { return fleet[agent].heardNs + silenceNs }
      case .missing, .gone: return fleet[agent].leaseEndNs
      case .left: break
      }
    }
    return nil
  }

  // MARK: Changes of the load

  /// Every holder is to end its share at one instant, from which the load is another.
  private mutating func askToChange(_ deal: Deal, _ wanted: [LifeIndex], nowNs: UInt64) {
    let taking = holders(of: deal, among: wanted)
    guard !taking.isEmpty else { return }
    if let untilNs = holderSilentUntilNs(nowNs: nowNs) { return evaluate(atNs: untilNs) }
    dealing.lateCount = 0
    if settings.faults.changesAtOnce { return change(deal, wanted, nowNs: nowNs) }
    yield(deal, nil, taking, nowNs: nowNs)
  }

  /// Those of the deal that are still there, so that no share falls while another rises: who is new gets
  /// its part afterwards, as ever.
  private func holders(of deal: Deal, among wanted: [LifeIndex]) -> [LifeIndex] {
    let names = Set(deal.holdings.map(\.incarnation))
    return wanted.filter { names.contains(incarnation($0)) }
  }

  /// Everybody has ended its share, or can no longer act: the load changes there.
  private mutating func change(_ deal: Deal, _ wanted: [LifeIndex], nowNs: UInt64) {
    let taking = holders(of: deal, among: wanted)
    guard var change = run.asked ?? deal.asked else { return }
    guard !taking.isEmpty else {
      // Others have come in the place of all that were there: first they have to have the load there is.
      run.asked = change
      return grant(wanted, nowNs: nowNs)
    }
    // Without an instant nothing ends the share of one that was lost but its lease.
    if deal.untilNs == .max, let untilNs = holderSilentUntilNs(nowNs: nowNs) {
      return evaluate(atNs: untilNs)
    }
    change.atNs = max(grantFromNs(nowNs: nowNs), (run.changes.last?.atNs ?? 0) + 1)
    // Connections that go elsewhere, since somebody was lost, are used to the yield's end, by the clock of
    // the host that has them.
    if deal.untilNs != .max, let startNs = run.startNs, movesConnections(deal, taking, by: change) {
      let endNs = startNs + deal.untilNs + behindNs
      guard nowNs >= endNs else { return evaluate(atNs: endNs) }
    }
    run.asked = nil
    grant(taking, changing: change, nowNs: nowNs)
  }

  /// Some of the deal's workers would have fewer connections by the change, and others more.
  private func movesConnections(
    _ deal: Deal, _ taking: [LifeIndex], by change: LoadChange
  ) -> Bool {
    let target = target(for: taking, of: run.settings.plan.changed(by: run.changes + [change]))
    let moves = deal.holdings.map {
      (from: $0.share.connections, to: target[$0.incarnation]?.connections ?? 0)
    }
    return moves.contains { $0.to < $0.from } && moves.contains { $0.to > $0.from }
  }

  private mutating func dealAgain(_ wanted: [LifeIndex], nowNs: UInt64) {
    guard !wanted.isEmpty, let deal = dealing.deal else { return }
    let target = target(for: wanted)
    var mustYield = false
    for index in deal.holdings.indices where dealing.holds[index] != .released {
      let holding = deal.holdings[index]
      let connections = target[holding.incarnation]?.connections ?? 0
      if dealing.connections[index] > connections { mustYield = true }
      if deal.kind == .grant, !holding.share.isIdle, isOpenLoop || isCounted { mustYield = true }
      if movesNumbers(holding.share, target[holding.incarnation]) { mustYield = true }
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

  /// The holder's users are to have other numbers, of which none may be in use twice.
  private func movesNumbers(_ share: Share, _ target: Share?) -> Bool {
    guard run.plan.connections.isNumbered, !share.isIdle, !settings.faults.keepsMovedNumbers,
      let target
    else { return false }
    return !share.numbersUsers(like: target)
  }

  /// What it may have sent is not known exactly.
  private func isUnsettled(_ place: LifeIndex) -> Bool {
    let life = intake[place]
    return life.reserved > 0 && life.ledger == nil
  }

  /// A yield that not everyone has taken up in time is moved on, so that those who have do not stop
  /// for those who have not.
  private mutating func superviseYield(
    _ deal: Deal, _ wanted: [LifeIndex], nowNs: UInt64
  ) {
    guard deal.untilNs != .max, let startNs = run.startNs else { return }
    let marginNs = settings.cutLeadNs / 4
    let moveAtNs = (startNs + deal.untilNs).subtractingSaturated(marginNs)
    guard nowNs >= moveAtNs else { return evaluate(atNs: moveAtNs) }
    dealing.lateCount += 1
    guard deal.asked == nil else {
      return yield(deal, nil, holders(of: deal, among: wanted), nowNs: nowNs)
    }
    let target = target(for: wanted)
    yield(deal, target, wanted, nowNs: nowNs)
  }

  /// What each is to have.
  private func target(for wanted: [LifeIndex], of plan: Plan? = nil) -> [Incarnation: Share] {
    Dictionary(
      uniqueKeysWithValues: zip(
        wanted.map { incarnation($0) }, shares(for: wanted, fromNs: 0, of: plan)))
  }

  private func shares(
    for wanted: [LifeIndex], fromNs: UInt64, of plan: Plan? = nil
  ) -> [Share] {
    Deal.shares(
      of: plan ?? run.plan, over: wanted.count, requestsLeft: requestsLeft,
      epoch: dealing.epoch + 1, fromNs: fromNs)
  }

  /// From when on schedules may follow a new deal: where the yields end, or the last holder that had not
  /// heard of them; where nobody was left to yield, from a little later than now.
  private func grantFromNs(nowNs: UInt64) -> UInt64 {
    guard let deal = dealing.deal, let startNs = run.startNs else { return 0 }
    guard deal.kind == .yield else { return cutNs(nowNs: nowNs) }
    let usedNs = dealing.unconfirmedUntilNs.subtractingSaturated(startNs)
    // Without a common instant it is now: nothing is sent meanwhile.
    let untilNs = deal.untilNs == .max ? nowNs.subtractingSaturated(startNs) : deal.untilNs
    return max(untilNs, usedNs)
  }

  private mutating func grant(
    _ wanted: [LifeIndex], changing change: LoadChange? = nil, nowNs: UInt64
  ) {
    guard !wanted.isEmpty else { return }
    let changes = run.changes + (change.map { [$0] } ?? [])
    // In a closed loop shares begin at once, but none before the load that it is a part of.
    var fromNs = changes.last?.atNs ?? 0
    if isOpenLoop { fromNs = max(fromNs, grantFromNs(nowNs: nowNs)) }
    let shares = shares(
      for: wanted, fromNs: fromNs, of: run.settings.plan.changed(by: changes))
    var holdings = zip(wanted, shares).map { place, share in
      let reserved = intake[place].reserved
      return Deal.Holding(
        incarnation: incarnation(place), share: share,
        reserved: isCounted ? reserved.addingSaturated(share.requestQuota) : 0)
    }
    holdings += others(than: wanted)
    propose(.grant, untilNs: .max, holdings, changes: changes)
  }

  /// Without a target the shares stay as large as they are up to the end: the load is to change there.
  private mutating func yield(
    _ deal: Deal, _ target: [Incarnation: Share]?, _ wanted: [LifeIndex],
    nowNs: UInt64
  ) {
    let epoch = dealing.epoch + 1
    let hasInstant = isOpenLoop || target == nil && !isCounted
    let untilNs = hasInstant ? cutNs(nowNs: nowNs) : .max
    var holdings: [Deal.Holding] = []
    for place in wanted {
      let name = incarnation(place)
      var share = Share.idle(epoch: epoch)
      if let index = dealing.index(of: name), !deal.holdings[index].share.isIdle {
        share = deal.holdings[index].share
        share.epoch = epoch
        if let target {
          // Who is to have other numbers gives up all it has: they may be anybody's.
          share.connections =
            movesNumbers(share, target[name])
            ? 0 : min(share.connections, target[name]?.connections ?? 0)
        }
        if isCounted { share.requestQuota = 0 }
      }
      holdings.append(
        Deal.Holding(
          incarnation: name, share: share,
          reserved: intake[place].reserved))
    }
    holdings += others(than: wanted)
    propose(
      .yield, untilNs: untilNs, holdings, changes: run.changes,
      asked: target == nil ? run.asked ?? deal.asked : nil)
  }

  /// Lives that take no part and are not accounted for: they are told so if they come back, and what
  /// they may have sent stays reserved.
  private func others(than wanted: [LifeIndex]) -> [Deal.Holding] {
    let names = Set(wanted.map { incarnation($0) })
    var holdings: [Deal.Holding] = []
    for agent in fleet.all where fleet[agent].presence != .left {
      for life in intake.lives(of: agent) {
        let name = incarnation(life)
        let known = intake[life]
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
    guard let startNs = run.startNs else { return 0 }
    let leadNs = settings.cutLeadNs << UInt64(min(dealing.lateCount, Self.lateCountMax))
    return nowNs.subtractingSaturated(startNs) + aheadNs + leadNs
  }

  /// By how much the run's time of a host that is there is ahead of ours, at most: its clock was known badly
  /// when the run began, or ours stood still since.
  private var aheadNs: UInt64 { UInt64(max(0, skewsNs.max() ?? 0)) }

  /// By how much it may be behind, with what is never known of a clock.
  private var behindNs: UInt64 {
    UInt64(max(0, -(skewsNs.min() ?? 0))) + settings.cutLeadNs / 4
  }

  private var skewsNs: [Int64] {
    fleet.all.compactMap { fleet[$0].presence == .present ? intake[$0].aheadNs : nil }
  }

  private mutating func propose(
    _ kind: Deal.Kind, untilNs: UInt64, _ holdings: [Deal.Holding], changes: [LoadChange],
    asked: LoadChange? = nil
  ) {
    dealing.epoch += 1
    dealing.isPending = true
    dealing.staleSinceNs = nil
    dealing.isSpoiled = false
    var deal = Deal(
      epoch: dealing.epoch, kind: kind, untilNs: untilNs,
      holdings: holdings.sorted { $0.incarnation.precedes($1.incarnation) })
    deal.changes = changes
    deal.asked = asked
    record(.deal(deal), .deal(deal))
  }

  /// The deal is durable: it is in force, and everyone may hear of it.
  mutating func dealt(_ deal: Deal, nowNs: UInt64) {
    dealing.isPending = false
    isDirty = true
    if deal.changes.count > run.changes.count, let change = deal.changes.last {
      log(.changed(change))
    }
    run.change(by: deal.changes)
    guard run.stage == .preparing || run.stage == .running else { return }
    let old = dealing
    dealing.enforce(deal)
    for index in deal.holdings.indices {
      guard let before = old.index(of: deal.holdings[index].incarnation) else { continue }
      if old.holds[before] != .released {
        dealing.connections[index] = max(dealing.connections[index], old.connections[before])
      }
    }
    for index in deal.holdings.indices {
      guard let place = life(of: deal.holdings[index].incarnation) else { continue }
      let isIdle = deal.holdings[index].share.isIdle
      if !isIdle { intake[place].hasPart = true }
      if deal.kind == .grant, isCounted, !isIdle {
        intake[place].reserved = deal.holdings[index].reserved
      }
      let before = old.index(of: deal.holdings[index].incarnation)
      // Released it stays until it is heard of again; new and idle it has nothing to give back.
      let wasReleased = before.map { old.holds[$0] == .released } ?? isIdle
      let isPresent =
        fleet[place.agent].presence == .present
        && intake[place].reported?.state == .ready
      if wasReleased, !isPresent { dealing.holds[index] = .released }
      if intake[place].isOver { dealing.holds[index] = .released }
    }
    if deal.kind == .grant {
      log(
        .dealt(epoch: deal.epoch, workers: deal.holdings.count { !$0.share.isIdle }))
    }
    fleet.changeOrders()
  }

  /// The deal a restarted master finds in its record: whoever is in it may hold it, until it is heard
  /// or its lease has ended.
  mutating func restore(_ deal: Deal) {
    dealing.enforce(deal)
    run.change(by: deal.changes)
    for holding in deal.holdings {
      guard let place = life(of: holding.incarnation) else { continue }
      if intake[place].ledger == nil {
        intake[place].reserved = holding.reserved
      }
      if intake[place].isOver { release(holding.incarnation) }
    }
  }
}
