import SquallLoad
import Testing

struct LoadChangeTests {
  private static let second: UInt64 = 1_000_000_000

  static let schedules = [
    Schedule(startHz: 100),
    Schedule(startHz: 3),
    Schedule(startHz: 0, stages: [.init(durationNs: 20 * second, endHz: 700)]),
    Schedule(
      startHz: 50, stages: [.init(durationNs: second, endHz: 90), .init(durationNs: 0, endHz: 7)]),
    Schedule(startHz: 200, arrival: .poisson, seed: 4),
  ]

  /// What was due before a change stays due when it was, to the nanosecond; from its instant on the rate
  /// is the new one, whatever stages had still to do.
  @Test(arguments: schedules)
  func aChangeLeavesWhatWasAndRulesWhatComes(schedule: Schedule) {
    for atNs in [1, Self.second / 3, Self.second, 7 * Self.second + 1] {
      for rateHz in [0, 0.5, 40, 5_000] {
        var changed = schedule
        changed.change(LoadChange(atNs: atNs, rateHz: rateHz))
        let before = schedule.firstIndex(atOrAfterNs: atNs)
        #expect(changed.firstIndex(atOrAfterNs: atNs) == before)
        for index in [0, 1, before / 2, before - min(before, 1)] where index < before {
          #expect(changed.offsetNs(index: index) == schedule.offsetNs(index: index))
        }
        #expect(changed.rateHz(atNs: atNs) == rateHz)
        let later = atNs + 50 * Self.second
        #expect(changed.rateHz(atNs: later) == rateHz)
        let expected =
          changed.expectedCount(beforeNs: later) - schedule.expectedCount(beforeNs: atNs)
        #expect(abs(expected - 50 * rateHz) < 1e-6 * (1 + 50 * rateHz))
        if schedule.arrival == .uniform {
          let due = Double(changed.firstIndex(atOrAfterNs: later) - before)
          #expect(abs(due - 50 * rateHz) <= 1)
        }
      }
    }
  }

  @Test func changesFollowEachOther() {
    var schedule = Schedule(startHz: 100)
    for (atS, rateHz) in [(2, 0), (5, 10), (10, 1_000)] as [(UInt64, Double)] {
      schedule.change(LoadChange(atNs: atS * Self.second, rateHz: rateHz))
    }
    // One that comes again, or too late, is none.
    schedule.change(LoadChange(atNs: 5 * Self.second, rateHz: 7))
    #expect(schedule.firstIndex(atOrAfterNs: 11 * Self.second) == 200 + 50 + 1_000)
    #expect(schedule.rateHz(atNs: 3 * Self.second) == 0)
    #expect(schedule.rateHz(atNs: 9 * Self.second) == 10)
  }

  /// The worker's pacer goes through a change as the schedule says, each index once, whenever it hears.
  @Test(arguments: [0, 1, 3])
  func aPacerGoesOnWhereItWas(late: UInt64) {
    var schedule = Schedule(startHz: 1_000)
    let change = LoadChange(atNs: 2 * Self.second, rateHz: 100)
    var share = Share(epoch: 1, position: 1, workerCount: 3, connections: 1)
    var pacer = Pacer(load: .open(schedule), share: share, endNs: 5 * Self.second)
    var taken: [UInt64] = []
    func take(_ nowNs: UInt64) {
      while let dueNs = pacer.take(nowNs: nowNs) { taken.append(dueNs) }
    }
    take(Self.second)
    share.epoch = 2
    _ = pacer.adopt(share, untilNs: change.atNs)
    take((1 + late) * Self.second)
    pacer.change(change)
    share.epoch = 3
    share.fromNs = change.atNs
    _ = pacer.adopt(share)
    take(5 * Self.second)
    schedule.change(change)
    let due = schedule.firstIndex(atOrAfterNs: 5 * Self.second)
    #expect(taken == stride(from: 1, to: due, by: 3).map { schedule.offsetNs(index: $0) })
  }

  /// In a closed loop a share's connections are the load: they come into use at its instant.
  @Test func connectionsOfAClosedLoopChangeAtOneInstant() {
    let plan = Plan(
      to: .init(url: "", destinations: []), sending: .init(method: "GET", endpoints: []),
      over: .init(4))
    var duty = Duty(plan)
    let startNs = 10 * Self.second
    _ = duty.obey(.start(atNs: startNs), nowNs: 0)
    var share = Share(epoch: 1, position: 0, workerCount: 1, connections: 4)
    _ = duty.obey(.share(share, untilNs: .max, validUntilNs: .max), nowNs: 0)
    #expect(duty.connectionCount(nowNs: startNs) == 4)
    let atNs = 2 * Self.second
    share.epoch = 2
    _ = duty.obey(.share(share, untilNs: atNs, validUntilNs: .max), nowNs: startNs + 1)
    _ = duty.obey(.change(LoadChange(atNs: atNs, connections: 9)), nowNs: startNs + 2)
    share = Share(epoch: 3, position: 0, workerCount: 1, connections: 9, fromNs: atNs)
    _ = duty.obey(.share(share, untilNs: .max, validUntilNs: .max), nowNs: startNs + 3)
    #expect(duty.connectionCount(nowNs: startNs + atNs - 1) == 4)
    #expect(duty.wakeNs(nowNs: startNs + 4) == startNs + atNs)
    #expect(duty.pacer.take(nowNs: atNs - 1) == atNs - 1)
    #expect(duty.connectionCount(nowNs: startNs + atNs) == 9)
    #expect(duty.pacer.take(nowNs: atNs) == atNs)
  }

  @Test func whatALaterChangeLeavesOutStays() {
    var change = LoadChange(rateHz: 5, connections: 3)
    change.update(from: LoadChange(connections: 8))
    change.update(from: LoadChange(users: 4, spawnHz: 2))
    #expect(change == LoadChange(rateHz: 5, connections: 8, users: 4, spawnHz: 2))
    change.update(from: LoadChange(users: 1))
    #expect(change.spawnHz == nil && change.users == 1)
  }

  @Test func thereIsRoomForMoreConnectionsThanThePlanHas() {
    var connections = Plan.Connections(8)
    #expect(connections.reach == 1_000)
    connections.count = 500
    #expect(connections.reach == 5_000)
    connections.count = 100_000
    #expect(connections.reach == 100_000)
    connections.count = 8
    connections.pipeline = 64
    #expect(connections.reach == 15)
  }
}
