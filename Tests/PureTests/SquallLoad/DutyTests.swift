import SquallLoad
import Testing

struct DutyTests {
  private static let second: UInt64 = 1_000_000_000
  private static let startNs = 100 * second

  private func plan(
    _ load: Load = .closed, seconds: UInt64 = 10, requestCount: UInt64 = .max, warmupNs: UInt64 = 0
  ) -> Plan {
    var plan = Plan(
      to: .init(url: "http://target/", destinations: []),
      sending: .init(
        method: "GET", endpoints: [.init(name: "/", request: [1], expectsNoBody: false)]),
      over: .init(4))
    plan.load = load
    plan.times.durationNs = seconds * Self.second
    plan.times.warmupNs = warmupNs
    plan.times.drainNs = Self.second
    plan.requestCount = requestCount
    return plan
  }

  private func share(
    _ epoch: UInt32, position: UInt32 = 0, of count: UInt32 = 1, connections: UInt32 = 4,
    quota: UInt64 = .max, fromNs: UInt64 = 0
  ) -> Share {
    Share(
      epoch: epoch, position: position, workerCount: count, connections: connections,
      requestQuota: quota, fromNs: fromNs)
  }

  /// A duty that can be called inside an expectation.
  @dynamicMemberLookup private final class Subject {
    var duty: Duty

    init(_ plan: Plan) { duty = Duty(plan) }

    subscript<Value>(dynamicMember path: KeyPath<Duty, Value>) -> Value { duty[keyPath: path] }

    @discardableResult func obey(_ command: Command, nowNs: UInt64) -> Bool {
      duty.obey(command, nowNs: nowNs)
    }
    func maySend(nowNs: UInt64) -> Bool { duty.maySend(nowNs: nowNs) }
    func wakeNs(nowNs: UInt64) -> UInt64 { duty.wakeNs(nowNs: nowNs) }
    func becameExhausted(nowNs: UInt64, isIdle: Bool) -> Bool {
      duty.becameExhausted(nowNs: nowNs, isIdle: isIdle)
    }
    func next(nowNs: UInt64, isIdle: Bool) -> Duty.News? { duty.next(nowNs: nowNs, isIdle: isIdle) }

    @discardableResult func news(_ nowNs: UInt64, isIdle: Bool = true) -> [Duty.News] {
      var news: [Duty.News] = []
      while let next = duty.next(nowNs: nowNs, isIdle: isIdle) { news.append(next) }
      return news
    }

    func takeAll(_ nowNs: UInt64) -> UInt64 {
      var count: UInt64 = 0
      while duty.pacer.take(nowNs: nowNs - duty.startNs) != nil { count += 1 }
      return count
    }

    /// The next request of the schedule.
    func takeOne() -> UInt64? { duty.pacer.take(nowNs: duty.pacer.nextDueNs) }
  }

  /// One that has started and holds a share of the whole plan.
  private func started(_ plan: Plan, validForNs: UInt64 = 100 * second) -> Subject {
    let duty = Subject(plan)
    duty.obey(.start(atNs: Self.startNs), nowNs: Self.startNs - 1)
    duty.obey(
      .share(share(1), untilNs: .max, validUntilNs: Self.startNs + validForNs),
      nowNs: Self.startNs - 1)
    duty.news(Self.startNs - 1)
    return duty
  }

  /// What falls due after the lease may be another's by then.
  @Test func whatFallsDueAfterTheLeaseIsNotItsToDrop() {
    let duty = started(plan(.open(Schedule(startHz: 10))), validForNs: 4 * Self.second)
    _ = duty.takeAll(Self.startNs + Self.second)
    let news = duty.news(Self.startNs + 11 * Self.second)
    #expect(news.contains(.dropped(29, dueBeforeNs: Self.startNs + 4 * Self.second)), "\(news)")
    #expect(news.count { if case .dropped = $0 { true } else { false } } == 1)
  }

  @Test func nothingIsSentBeforeTheStartWithoutAShareOrPastTheLease() {
    let duty = Subject(plan())
    #expect(!duty.maySend(nowNs: Self.startNs))
    #expect(duty.obey(.start(atNs: Self.startNs), nowNs: 1))
    #expect(!duty.maySend(nowNs: Self.startNs))
    let validUntilNs = Self.startNs + 3 * Self.second
    #expect(duty.obey(.share(share(1), untilNs: .max, validUntilNs: validUntilNs), nowNs: 1))
    #expect(!duty.maySend(nowNs: Self.startNs - 1))
    #expect(duty.maySend(nowNs: Self.startNs))
    #expect(duty.news(Self.startNs) == [.adopted(epoch: 1)])
    #expect(duty.wakeNs(nowNs: Self.startNs) == validUntilNs)
    #expect(!duty.maySend(nowNs: validUntilNs))
    #expect(!duty.obey(.renew(validUntilNs: validUntilNs + 1), nowNs: validUntilNs))
    #expect(duty.maySend(nowNs: validUntilNs))
  }

  @Test func aLeaseIsNotShortenedByAnOlderWord() {
    let duty = started(plan(), validForNs: 5 * Self.second)
    duty.obey(.renew(validUntilNs: Self.startNs + Self.second), nowNs: Self.startNs)
    #expect(duty.maySend(nowNs: Self.startNs + 4 * Self.second))
  }

  @Test func theStartMovesUntilItHasCome() {
    let duty = started(plan())
    #expect(duty.obey(.start(atNs: Self.startNs + 5), nowNs: Self.startNs - 1))
    #expect(!duty.maySend(nowNs: Self.startNs))
    #expect(!duty.obey(.start(atNs: Self.startNs + 9), nowNs: Self.startNs + 5))
    #expect(duty.startNs == Self.startNs + 5)
    #expect(duty.endNs == Self.startNs + 5 + 10 * Self.second)
  }

  @Test func anOlderEpochChangesNothing() {
    let duty = started(plan(), validForNs: Self.second)
    duty.obey(
      .share(share(3), untilNs: .max, validUntilNs: Self.startNs + Self.second),
      nowNs: Self.startNs)
    let laterNs = Self.startNs + 5 * Self.second
    #expect(
      !duty.obey(
        .share(share(2, connections: 1), untilNs: 1, validUntilNs: laterNs), nowNs: Self.startNs))
    #expect(duty.share == share(3))
    #expect(!duty.maySend(nowNs: Self.startNs + Self.second))
  }

  @Test func aShareIsTakenBackWithinItsEpochAndNotGivenAgain() {
    let duty = started(plan())
    let untilNs = Self.startNs + 100 * Self.second
    #expect(
      duty.obey(
        .share(.idle(epoch: 1), untilNs: .max, validUntilNs: untilNs), nowNs: Self.startNs))
    #expect(!duty.maySend(nowNs: Self.startNs))
    #expect(
      !duty.obey(.share(share(1), untilNs: .max, validUntilNs: untilNs), nowNs: Self.startNs))
    #expect(!duty.maySend(nowNs: Self.startNs))
    #expect(
      duty.obey(.share(share(2), untilNs: .max, validUntilNs: untilNs), nowNs: Self.startNs))
    #expect(duty.maySend(nowNs: Self.startNs))
  }

  @Test func aShareIsSaidToBeTakenUpOnceAndAtOnce() {
    let duty = started(plan(.open(Schedule(startHz: 100))))
    let nowNs = Self.startNs + Self.second
    for epoch in [2, 3] as [UInt32] {
      duty.obey(
        .share(share(epoch, fromNs: 3 * Self.second), untilNs: .max, validUntilNs: .max),
        nowNs: nowNs)
    }
    #expect(duty.news(nowNs) == [.adopted(epoch: 3)])
    #expect(duty.news(nowNs + 5 * Self.second).isEmpty)
  }

  @Test func whatWasDueUnderAShareThatEndedIsDropped() {
    let duty = started(plan(.open(Schedule(startHz: 100))))
    let nowNs = Self.startNs + Self.second
    #expect(duty.takeAll(nowNs - 1) == 100)
    // Taken back: of the second until it hears where that share ends, nothing is sent.
    let validUntilNs = Self.startNs + 100 * Self.second
    duty.obey(
      .share(.idle(epoch: 1), untilNs: .max, validUntilNs: validUntilNs), nowNs: nowNs)
    #expect(duty.news(nowNs).isEmpty)
    let laterNs = nowNs + 2 * Self.second
    duty.obey(
      .share(
        share(2, position: 1, of: 2, fromNs: 2 * Self.second), untilNs: .max,
        validUntilNs: validUntilNs), nowNs: laterNs)
    #expect(
      duty.news(laterNs) == [.dropped(100, dueBeforeNs: laterNs), .adopted(epoch: 2)])
    #expect(duty.takeAll(laterNs - 1) == 50)
  }

  @Test func aScheduleEndsWhereItsShareSays() {
    let duty = started(plan(.open(Schedule(startHz: 100))))
    let nowNs = Self.startNs + Self.second
    #expect(duty.takeAll(nowNs - 1) == 100)
    duty.obey(
      .share(share(2), untilNs: 2 * Self.second, validUntilNs: .max), nowNs: nowNs)
    #expect(duty.takeAll(nowNs + 5 * Self.second) == 100)
    duty.obey(
      .share(share(3, fromNs: 4 * Self.second), untilNs: .max, validUntilNs: .max),
      nowNs: nowNs + 5 * Self.second)
    #expect(duty.takeAll(Self.startNs + 20 * Self.second) == 600)
  }

  @Test func tooManySharesBehindABacklogDropWhatTheyPushOut() {
    let duty = started(plan(.open(Schedule(startHz: 1000))))
    let nowNs = Self.startNs + Self.second
    let deals = UInt64(Pacer.waitingShareCountMax) + 1
    for epoch in 1...deals {
      duty.obey(
        .share(
          share(UInt32(epoch) + 1, fromNs: epoch * 10_000_000), untilNs: .max, validUntilNs: .max),
        nowNs: nowNs)
    }
    #expect(duty.next(nowNs: nowNs, isIdle: true) == .dropped(10, dueBeforeNs: nowNs))
    #expect(duty.takeAll(nowNs) == 991)
  }

  @Test func whatIsOverdueAtTheEndStillGoesOutUntilTheDrainIsOver() {
    let duty = started(plan(.open(Schedule(startHz: 100))))
    let endNs = Self.startNs + 10 * Self.second
    #expect(duty.takeAll(endNs - 1_000_000_000) == 901)
    #expect(duty.news(endNs, isIdle: false) == [.stopped])
    #expect(duty.maySend(nowNs: endNs))
    // Idle, it still owes.
    #expect(duty.news(endNs).isEmpty)
    #expect(duty.takeOne() != nil)
    #expect(duty.wakeNs(nowNs: endNs) == endNs + Self.second)
    #expect(
      duty.news(endNs + Self.second, isIdle: false) == [
        .dropped(98, dueBeforeNs: endNs), .finished,
      ]
    )
    #expect(!duty.maySend(nowNs: endNs + Self.second))
  }

  @Test func aStopCutsTheLoadShortAndDropsWhatWasDue() {
    let duty = started(plan(.open(Schedule(startHz: 100)), warmupNs: Self.second))
    let nowNs = Self.startNs + 2 * Self.second
    #expect(duty.obey(.stop, nowNs: nowNs))
    #expect(!duty.maySend(nowNs: nowNs))
    #expect(
      duty.news(nowNs) == [
        .stopped, .dropped(100, dueBeforeNs: Self.startNs + Self.second),
        .dropped(100, dueBeforeNs: nowNs), .finished,
      ])
  }

  @Test func aStopAboutAtTheLoadsEndIsLeftToTheWorkersOwnClock() {
    let duty = started(plan())
    let endNs = Self.startNs + 10 * Self.second
    #expect(!duty.obey(.stop, nowNs: endNs - Duty.stopMarginNs))
    #expect(duty.stage == .loading)
    #expect(duty.obey(.stop, nowNs: endNs - Duty.stopMarginNs - 1))
    #expect(duty.stage == .draining)
  }

  @Test func aCutEndsTheDrain() {
    let duty = started(plan())
    let nowNs = Self.startNs + Self.second
    duty.obey(.stop, nowNs: nowNs)
    #expect(duty.maySendAgain)
    #expect(duty.news(nowNs, isIdle: false) == [.stopped])
    #expect(duty.obey(.cut, nowNs: nowNs + 1))
    #expect(!duty.maySendAgain)
    #expect(duty.wakeNs(nowNs: nowNs + 1) == 0)
    #expect(duty.news(nowNs + 1, isIdle: false) == [.finished])
  }

  @Test func beforeTheStartACutEndsItAtOnce() {
    let duty = Subject(plan())
    #expect(duty.obey(.cut, nowNs: 5))
    #expect(duty.news(5, isIdle: false) == [.stopped, .finished])
    #expect(!duty.obey(.cut, nowNs: 6))
  }

  @Test func requestsThatAreUsedUpAreSaidOnceForAShare() {
    let duty = Subject(plan(requestCount: 5))
    let nowNs = Self.startNs + Self.second
    duty.obey(.start(atNs: Self.startNs), nowNs: 1)
    duty.obey(.share(share(1, quota: 2), untilNs: .max, validUntilNs: .max), nowNs: 1)
    duty.news(nowNs)
    #expect(!duty.becameExhausted(nowNs: nowNs, isIdle: true))
    #expect(duty.takeAll(nowNs) == 2)
    #expect(!duty.becameExhausted(nowNs: nowNs, isIdle: false))
    #expect(duty.becameExhausted(nowNs: nowNs, isIdle: true))
    #expect(!duty.becameExhausted(nowNs: nowNs, isIdle: true))
    #expect(duty.measuredEndNs == nowNs)
    duty.obey(.share(share(2, quota: 3), untilNs: .max, validUntilNs: .max), nowNs: nowNs)
    duty.news(nowNs)
    #expect(duty.takeAll(nowNs) == 3)
    #expect(duty.becameExhausted(nowNs: nowNs + 1, isIdle: true))
  }
}
