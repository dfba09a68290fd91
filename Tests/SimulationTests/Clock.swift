/// A host's monotonic clock: its own origin, a little too fast or too slow, sometimes stepped forward.
struct Clock {
  private var originNs: UInt64
  private let driftPpm: Int64

  init(dice: inout Dice) {
    originNs = dice.between(second, 1_000_000 * second)
    driftPpm = Int64(dice.between(0, 200)) - 100
  }

  func localNs(_ trueNs: UInt64) -> UInt64 {
    UInt64(Int64(originNs) + Int64(trueNs) + Int64(trueNs) / 1_000_000 * driftPpm)
  }

  /// The first true instant, to a few microseconds, at which the clock shows this.
  func trueNs(_ localNs: UInt64) -> UInt64 {
    guard localNs > originNs else { return 0 }
    let elapsed = Int64(clamping: localNs - originNs)
    let estimate = elapsed - elapsed / 1_000_000 * driftPpm
    return UInt64(max(0, estimate)) + 2 * microsecond
  }

  mutating func jump(byNs: UInt64) { originNs += byNs }
  /// For a host that stood still: to itself, no time has passed.
  mutating func fallBehind(byNs: UInt64) { originNs -= min(byNs, originNs) }
}
