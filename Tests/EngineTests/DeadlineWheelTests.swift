import SquallEngine
import SquallLoad
import Testing

struct DeadlineWheelTests {
  private static let tickNs: UInt64 = 1 << DeadlineWheel.coarseShift

  @Test func aDeadlineComesOffOnceAndNotBefore() {
    var wheel = DeadlineWheel(slotCount: 4, nowNs: 0)
    #expect(wheel.nextNs == .max)
    wheel.set(2, deadlineNs: 10_000_000)
    #expect((10_000_000...10_000_000 + Self.tickNs).contains(wheel.nextNs))
    #expect(wheel.popDue(nowNs: 9_999_999) == nil)
    #expect(wheel.popDue(nowNs: 10_000_000 + Self.tickNs) == 2)
    #expect(wheel.popDue(nowNs: .max >> 1) == nil)
    #expect(wheel.nextNs == .max)
  }

  @Test func aMovedDeadlineCountsAndATakenOneDoesNot() {
    var wheel = DeadlineWheel(slotCount: 2, nowNs: 5_000)
    wheel.set(0, deadlineNs: 1_000_000_000)
    wheel.set(0, deadlineNs: 50_000_000)
    wheel.set(1, deadlineNs: 50_000_000)
    wheel.set(1, deadlineNs: .max)
    #expect(wheel.popDue(nowNs: 60_000_000) == 0)
    #expect(wheel.popDue(nowNs: 2_000_000_000) == nil)
  }

  @Test func aFineWheelIsLateByATickOfItsOwn() {
    let tickNs: UInt64 = 1 << DeadlineWheel.fineShift
    var wheel = DeadlineWheel(slotCount: 1, nowNs: 0, tickShift: DeadlineWheel.fineShift)
    for deadlineNs in stride(from: 1_000_000 as UInt64, to: 2_000_000_000, by: 77_777_777) {
      wheel.set(0, deadlineNs: deadlineNs)
      #expect(wheel.popDue(nowNs: deadlineNs - 1) == nil)
      #expect(wheel.nextNs <= deadlineNs + tickNs)
      #expect(wheel.popDue(nowNs: deadlineNs + tickNs) == 0)
    }
  }

  @Test func oneThatIsPastAlreadyComesWithTheNextTick() {
    var wheel = DeadlineWheel(
      slotCount: 1, nowNs: 1_000_000_000, tickShift: DeadlineWheel.coarseShift)
    wheel.set(0, deadlineNs: 7)
    #expect(wheel.popDue(nowNs: 1_000_000_000 + Self.tickNs) == 0)
  }

  /// A loop that only waits for timeouts need not wake for each tick, however far they are.
  @Test func farDeadlinesLetTheLoopSleep() {
    let patienceNs: UInt64 = 30_000_000_000
    var wheel = DeadlineWheel(slotCount: 64, nowNs: 0)
    for slot in 0..<64 { wheel.set(slot, deadlineNs: patienceNs + UInt64(slot) * 1_000_000) }
    var nowNs: UInt64 = 0
    var wakes = 0
    var comeOff = 0
    while nowNs < 10 * patienceNs {
      nowNs = wheel.nextNs
      wakes += 1
      while let slot = wheel.popDue(nowNs: nowNs) {
        comeOff += 1
        // A near one that is moved leaves one look behind.
        wheel.set(slot, deadlineNs: nowNs + 10_000_000)
        wheel.set(slot, deadlineNs: nowNs + patienceNs)
      }
    }
    #expect(comeOff >= 9 * 64)
    #expect(wakes < 3 * comeOff)
  }

  /// Rounds of 2,048 ticks, sleeps longer than one, and deadlines moved and taken off all the while.
  @Test(arguments: [(UInt64(1), 1), (2, 7), (3, 1_000), (4, 50_000)])
  func everyDeadlineComesOffOnTime(seed: UInt64, slotCount: Int) {
    print("seed \(seed)")
    var random = SplitMix64(seed: seed)
    var nowNs = UInt64.random(in: 0...1 << 50, using: &random)
    var wheel = DeadlineWheel(slotCount: slotCount, nowNs: nowNs)
    var deadlines = [UInt64](repeating: .max, count: slotCount)
    var comeOff = 0
    let rounds = slotCount > 10_000 ? 60 : 400
    for round in 0..<rounds {
      for _ in 0..<max(1, slotCount / 4) {
        let slot = Int.random(in: 0..<slotCount, using: &random)
        let deadlineNs =
          Int.random(in: 0..<8, using: &random) == 0
          ? UInt64.max : nowNs + UInt64.random(in: 0...12_000_000_000, using: &random)
        wheel.set(slot, deadlineNs: deadlineNs)
        deadlines[slot] = deadlineNs
      }
      let stepNs = UInt64.random(
        in: 0...(round % 10 == 0 ? 5_000_000_000 : 20_000_000), using: &random)
      nowNs += stepNs
      while let slot = wheel.popDue(nowNs: nowNs) {
        #expect(deadlines[slot] <= nowNs)
        deadlines[slot] = .max
        comeOff += 1
      }
      // What has not come off is not due, but for the tick that is not over.
      let earliest = deadlines.min() ?? .max
      #expect(earliest > nowNs - min(nowNs, Self.tickNs))
      #expect(earliest == .max || wheel.nextNs <= max(nowNs, earliest) + Self.tickNs)
    }
    #expect(comeOff > 0)
  }
}
