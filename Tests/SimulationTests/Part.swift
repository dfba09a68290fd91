import SquallLoad

/// Which requests of the schedule are one worker's, by the shares that it was told of: the rules once
/// more, in the plainest form, to hold the duty and the pacer against.
struct Part {
  private struct Stretch {
    var share: Share
    var fromNs: UInt64
    var untilNs: UInt64

    func has(_ index: UInt64, dueNs: UInt64) -> Bool {
      (fromNs..<untilNs).contains(dueNs)
        && index % UInt64(share.workerCount) == UInt64(share.position)
    }
  }

  private var epoch: UInt32 = 0
  private var stretches: [Stretch] = []
  private(set) var sent: Set<UInt64> = []
  private(set) var dropped: Set<UInt64> = []
  /// Behind the last request that went out or was given up.
  private var cursorNs: UInt64 = 0

  mutating func told(_ share: Share, untilNs: UInt64) {
    guard share.epoch > epoch else { return }
    epoch = share.epoch
    let fromNs = max(min(share.fromNs, untilNs), cursorNs)
    for index in stretches.indices {
      stretches[index].untilNs = max(
        stretches[index].fromNs, min(stretches[index].untilNs, fromNs))
    }
    // Without a quota it has no schedule.
    guard share.requestQuota > 0 else { return }
    stretches.append(Stretch(share: share, fromNs: fromNs, untilNs: max(fromNs, untilNs)))
  }

  mutating func sent(_ index: UInt64, dueNs: UInt64) {
    sent.insert(index)
    cursorNs = max(cursorNs, dueNs + 1)
  }

  /// Gives up as many as follow those before, and returns them. Fewer when they are not its.
  mutating func drop(_ count: UInt64, _ schedule: Schedule) -> [UInt64] {
    var walk = Schedule.Walk(schedule)
    var index = schedule.firstIndex(atOrAfterNs: cursorNs)
    var given: [UInt64] = []
    while given.count < count, index < Self.indexMax {
      let dueNs = walk.offsetNs(index: index)
      if stretches.contains(where: { $0.has(index, dueNs: dueNs) }) {
        given.append(index)
        cursorNs = dueNs + 1
      }
      index += 1
    }
    dropped.formUnion(given)
    return given
  }

  /// More than any simulated schedule has.
  private static let indexMax: UInt64 = 100_000

  /// Its requests that were due before `endNs` of run time.
  func due(_ schedule: Schedule, beforeNs endNs: UInt64) -> Set<UInt64> {
    var walk = Schedule.Walk(schedule)
    var due: Set<UInt64> = []
    var index: UInt64 = 0
    while true {
      let dueNs = walk.offsetNs(index: index)
      guard dueNs < endNs else { return due }
      if stretches.contains(where: { $0.has(index, dueNs: dueNs) }) { due.insert(index) }
      index += 1
    }
  }
}
