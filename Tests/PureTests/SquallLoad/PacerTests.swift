import SquallLoad
import Testing

struct PacerTests {
  private static let second: UInt64 = 1_000_000_000

  private func share(
    _ position: UInt32, of count: UInt32, epoch: UInt32 = 1, quota: UInt64 = .max,
    fromNs: UInt64 = 0
  ) -> Share {
    Share(
      epoch: epoch, position: position, workerCount: count, connections: 1, requestQuota: quota,
      fromNs: fromNs)
  }

  private func all(_ pacer: inout Pacer, untilNs: UInt64 = .max - 1) -> [UInt64] {
    var taken: [UInt64] = []
    while pacer.nextDueNs <= untilNs, let dueNs = pacer.take(nowNs: pacer.nextDueNs) {
      taken.append(dueNs)
    }
    return taken
  }

  private static let schedules = [
    Schedule(startHz: 997),
    Schedule(startHz: 0, stages: [.init(durationNs: 3 * second, endHz: 1500)]),
    Schedule(
      startHz: 800,
      stages: [
        .init(durationNs: second, endHz: 0), .init(durationNs: second, endHz: 0),
        .init(durationNs: second, endHz: 2000),
      ]),
    Schedule(startHz: 1000, arrival: .poisson, seed: 11),
    Schedule(
      startHz: 100, stages: [.init(durationNs: 2 * second, endHz: 1900)], arrival: .poisson,
      seed: 12),
  ]

  @Test func nothingIsDueBeforeItsInstant() {
    var pacer = Pacer(
      load: .open(Schedule(startHz: 1000)), share: share(0, of: 1), endNs: Self.second)
    #expect(pacer.take(nowNs: 0) == 0)
    #expect(pacer.nextDueNs == 1_000_000)
    #expect(pacer.take(nowNs: 999_999) == nil)
    #expect(pacer.take(nowNs: 1_000_000) == 1_000_000)
  }

  /// Connections that end before the load are opened again for what is to come.
  @Test(arguments: [Load.closed, .open(Schedule(startHz: 10))])
  func whatAShareAllowsIsKnownBeforeItsFirstRequest(load: Load) {
    var pacer = Pacer(load: load, share: .idle(epoch: 0), endNs: 10 * Self.second)
    #expect(pacer.quotaLeft == 0)
    _ = pacer.adopt(share(0, of: 1, quota: 3))
    #expect(pacer.quotaLeft == 3)
    _ = pacer.take(nowNs: 0)
    #expect(pacer.quotaLeft == 2)
  }

  @Test func aRequestTakenLateKeepsItsInstant() {
    var pacer = Pacer(
      load: .open(Schedule(startHz: 1000)), share: share(0, of: 1), endNs: 10 * Self.second)
    for index in 0..<5000 as Range<UInt64> {
      #expect(pacer.take(nowNs: 5 * Self.second) == index * 1_000_000)
    }
  }

  @Test func tenSecondsAtAThousandPerSecondAreTenThousandRequests() {
    var pacer = Pacer(
      load: .open(Schedule(startHz: 1000)), share: share(0, of: 1), endNs: 10 * Self.second)
    #expect(all(&pacer).count == 10_000)
    #expect(pacer.isExhausted)
    #expect(pacer.take(nowNs: .max - 1) == nil)
  }

  @Test(arguments: schedules, [UInt32(1), 2, 3, 7, 64])
  func theSharesUnionIsTheSchedule(schedule: Schedule, workers: UInt32) {
    var union: [UInt64] = []
    for position in 0..<workers {
      var pacer = Pacer(
        load: .open(schedule), share: share(position, of: workers), endNs: 4 * Self.second)
      union += all(&pacer)
    }
    var whole: [UInt64] = []
    for index in 0... as PartialRangeFrom<UInt64> {
      let offsetNs = schedule.offsetNs(index: index)
      if offsetNs >= 4 * Self.second { break }
      whole.append(offsetNs)
    }
    #expect(union.sorted() == whole)
    #expect(whole.count > 500)
  }

  @Test func workersTakeTurnsInsteadOfSendingInWaves() {
    let first = (0..<4).map { position in
      Pacer(load: .open(Schedule(startHz: 1000)), share: share(position, of: 4), endNs: Self.second)
        .nextDueNs
    }
    #expect(first == [0, 1_000_000, 2_000_000, 3_000_000])
  }

  @Test func aQuotaEndsTheSchedule() {
    var pacer = Pacer(
      load: .open(Schedule(startHz: 1000)), share: share(1, of: 2, quota: 3), endNs: Self.second)
    #expect(all(&pacer) == [1_000_000, 3_000_000, 5_000_000])
    #expect(pacer.quota == 0)
    #expect(pacer.isExhausted)
  }

  @Test func droppingCountsWhatWasDueAndGoesOnBehindIt() {
    for schedule in Self.schedules {
      var taking = Pacer(load: .open(schedule), share: share(1, of: 3), endNs: 4 * Self.second)
      var dropping = taking
      let due = all(&taking, untilNs: 2 * Self.second - 1).count
      #expect(dropping.drop(dueBeforeNs: 2 * Self.second) == UInt64(due))
      #expect(dropping.nextDueNs == taking.nextDueNs)
      #expect(dropping.drop(dueBeforeNs: 2 * Self.second) == 0)
      let rest = all(&taking).count
      #expect(dropping.drop(dueBeforeNs: .max) == UInt64(rest))
      #expect(dropping.isExhausted)
    }
  }

  @Test func droppingStopsAtTheQuota() {
    var pacer = Pacer(
      load: .open(Schedule(startHz: 1000)), share: share(0, of: 1, quota: 30), endNs: Self.second)
    #expect(pacer.drop(dueBeforeNs: Self.second / 2) == 30)
    #expect(pacer.isExhausted)
  }

  /// Three workers, then one is lost and two go on, then four: each index of the schedule is taken
  /// exactly once by somebody, whenever each of them learns of it and however far behind it is.
  @Test(arguments: schedules, UInt64(0)..<12)
  func aNewDealNeitherRepeatsNorSkipsAnIndex(schedule: Schedule, seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let deals: [(workers: UInt32, fromNs: UInt64)] = [
      (3, 0), (2, 1_000_000_007),
      (4, UInt64.random(in: 1_100_000_000...1_400_000_000, using: &random)),
      (1, 2_600_000_000), (5, 3_000_000_001),
    ]
    var taken: [UInt64] = []
    for worker in 0..<5 as Range<UInt32> {
      var pacer: Pacer?
      var nowNs: UInt64 = 0
      for (epoch, deal) in deals.enumerated() where worker < deal.workers {
        let dealt = share(worker, of: deal.workers, epoch: UInt32(epoch + 1), fromNs: deal.fromNs)
        // The worker hears of the deal before it begins, at a moment it has taken all or little.
        let heardNs = UInt64.random(in: nowNs...max(nowNs, deal.fromNs), using: &random)
        if pacer != nil {
          if Bool.random(using: &random) { taken += all(&pacer!, untilNs: heardNs) }
          _ = pacer!.adopt(dealt)
        } else {
          pacer = Pacer(load: .open(schedule), share: dealt, endNs: 4 * Self.second)
        }
        nowNs = heardNs
        // A worker without a part in the next deal ends where that begins.
        if epoch + 1 < deals.count, worker >= deals[epoch + 1].workers {
          taken += all(&pacer!, untilNs: deals[epoch + 1].fromNs - 1)
          pacer = nil
        }
      }
      if pacer != nil { taken += all(&pacer!) }
    }
    let whole = (0..<schedule.firstIndex(atOrAfterNs: 4 * Self.second)).map {
      schedule.offsetNs(index: $0)
    }
    #expect(taken.sorted() == whole, "seed \(seed)")
  }

  @Test func anOlderDealChangesNothing() {
    var pacer = Pacer(
      load: .open(Schedule(startHz: 1000)), share: share(0, of: 2, epoch: 5), endNs: Self.second)
    _ = pacer.adopt(share(0, of: 1, epoch: 4))
    _ = pacer.adopt(share(0, of: 1, epoch: 5))
    #expect(all(&pacer).count == 500)
  }

  @Test func aDealThatComesLateRepeatsNothing() {
    var pacer = Pacer(
      load: .open(Schedule(startHz: 1000)), share: share(0, of: 2), endNs: Self.second)
    let before = all(&pacer, untilNs: 500_000_000)
    _ = pacer.adopt(share(0, of: 1, epoch: 2, fromNs: 300_000_000))
    let after = all(&pacer)
    #expect(before.last == 500_000_000)
    #expect(after.first == 501_000_000)
    #expect(after.count == 499)
  }

  /// A deal that was overtaken before its time had come leaves no gap.
  @Test func aDealMayBeginBeforeTheOneItOvertakes() {
    var pacer = Pacer(
      load: .open(Schedule(startHz: 1000)), share: .idle(epoch: 1), endNs: Self.second)
    _ = pacer.adopt(share(0, of: 100, epoch: 2, fromNs: 800_000_000))
    _ = pacer.adopt(share(0, of: 2, epoch: 3, fromNs: 700_000_000))
    #expect(all(&pacer).first == 700_000_000)
  }

  @Test func aDealThatEndsBeforeItBeginsEndsTheOlderOne() {
    var pacer = Pacer(
      load: .open(Schedule(startHz: 1000)), share: share(0, of: 1), endNs: Self.second)
    _ = pacer.adopt(share(0, of: 2, epoch: 2, fromNs: 800_000_000))
    _ = pacer.adopt(share(0, of: 2, epoch: 3, fromNs: 800_000_000), untilNs: 700_000_000)
    #expect(all(&pacer).count == 700)
    _ = pacer.adopt(share(1, of: 2, epoch: 4, fromNs: 700_000_000))
    #expect(all(&pacer).first == 701_000_000)
  }

  @Test func aBacklogOfTooManyDealsIsDroppedAndCounted() {
    var pacer = Pacer(
      load: .open(Schedule(startHz: 1000)), share: share(0, of: 1), endNs: Self.second)
    let deals = UInt32(Pacer.waitingShareCountMax) + 1
    var droppedCount: UInt64 = 0
    for epoch in 1...deals {
      droppedCount += pacer.adopt(
        share(0, of: 1, epoch: epoch + 1, fromNs: UInt64(epoch) * 10_000_000))
    }
    #expect(droppedCount == 10)
    #expect(all(&pacer).count == 990)
  }

  @Test func aClosedLoopIsDueNowUntilTimeIsUp() {
    var pacer = Pacer(load: .closed, share: share(0, of: 1, fromNs: 100), endNs: Self.second)
    #expect(pacer.nextDueNs == 100)
    #expect(pacer.take(nowNs: 99) == nil)
    #expect(pacer.take(nowNs: 100) == 100)
    #expect(pacer.take(nowNs: 100) == 100)
    #expect(pacer.take(nowNs: Self.second - 1) == Self.second - 1)
    #expect(!pacer.isExhausted)
    #expect(pacer.take(nowNs: Self.second) == nil)
    #expect(pacer.isExhausted)
    #expect(pacer.drop(dueBeforeNs: .max) == 0)
  }

  @Test func aClosedLoopStopsAtItsQuotaAndGoesOnWithTheNextDeal() {
    var pacer = Pacer(load: .closed, share: share(0, of: 1, quota: 2), endNs: Self.second)
    #expect(pacer.take(nowNs: 1) == 1)
    #expect(pacer.take(nowNs: 2) == 2)
    #expect(pacer.take(nowNs: 3) == nil)
    #expect(pacer.isExhausted)
    _ = pacer.adopt(share(0, of: 2, epoch: 2, quota: 1, fromNs: 50))
    #expect(pacer.nextDueNs == 50)
    #expect(pacer.take(nowNs: 49) == nil)
    #expect(pacer.take(nowNs: 60) == 60)
    #expect(pacer.take(nowNs: 61) == nil)
  }

  @Test func aClosedLoopChangesItsQuotaWhenTheNewDealBegins() {
    var pacer = Pacer(load: .closed, share: share(0, of: 1, quota: 100), endNs: Self.second)
    _ = pacer.adopt(share(0, of: 2, epoch: 2, quota: 1, fromNs: 50))
    #expect(pacer.take(nowNs: 49) == 49)
    #expect(pacer.quota == 99)
    #expect(pacer.take(nowNs: 50) == 50)
    #expect(pacer.quota == 0)
    #expect(pacer.take(nowNs: 51) == nil)
  }
}
