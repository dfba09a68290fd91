/// One deadline per slot, kept in buckets of a tick: set and move in constant time, found when due.
///
/// Made for deadlines that nearly never come due (timeouts): the owner does not move a deadline at
/// each request, it tells the true one when the wheel asks. Expiry is late by at most one bucket.
@safe package struct DeadlineWheel: ~Copyable {
  /// For timeouts, which nobody measures: a little over 4 ms.
  package static let coarseShift: UInt64 = 22
  /// For think times, which people do: a little over half a millisecond.
  package static let fineShift: UInt64 = 19
  private static let bucketCount = 2_048

  private static let none: Int32 = -1
  private static let start: Int32 = -2

  private struct Entry {
    var deadlineNs: UInt64 = .max
    var next: Int32 = none
    var previous: Int32 = none
  }

  private let entries: UnsafeMutablePointer<Entry>
  private let heads: UnsafeMutablePointer<Int32>
  private let slotCount: Int
  /// A tick is 2 to the power of this, in nanoseconds.
  private let tickShift: UInt64
  private var entryCount = 0
  /// The first tick that was not looked through yet.
  private var tick: UInt64
  /// Where to look on in its bucket: those before are of later rounds.
  private var cursor = Self.start
  /// No deadline is of a tick before.
  private var earliest = UInt64.max

  package init(slotCount: Int, nowNs: UInt64, tickShift: UInt64 = Self.coarseShift) {
    self.slotCount = slotCount
    self.tickShift = tickShift
    unsafe entries = .allocate(capacity: slotCount)
    unsafe entries.initialize(repeating: Entry(), count: slotCount)
    unsafe heads = .allocate(capacity: Self.bucketCount)
    unsafe heads.initialize(repeating: Self.none, count: Self.bucketCount)
    tick = nowNs >> tickShift
  }

  deinit {
    unsafe entries.deallocate()
    unsafe heads.deallocate()
  }

  /// When to look at the wheel next, on the clock of the deadlines; `UInt64.max` when it is empty.
  ///
  /// Far off while no deadline is near: a timer of the kernel that comes before its tick costs a
  /// sleep some microseconds, in a virtual machine most of all.
  package var nextNs: UInt64 {
    entryCount == 0 ? .max : (max(earliest, tick) + 1) << tickShift
  }

  /// The slot's deadline, or a later one that stands for one that was past; `UInt64.max` without any.
  @inline(__always)
  package func deadlineNs(_ slot: Int) -> UInt64 {
    precondition(slot >= 0 && slot < slotCount, "no such slot on the wheel: \(slot)")
    return unsafe entries[slot].deadlineNs
  }

  /// Sets the slot's deadline, in place of any it had. `UInt64.max` takes it off the wheel.
  package mutating func set(_ slot: Int, deadlineNs: UInt64) {
    precondition(slot >= 0 && slot < slotCount, "no such slot on the wheel: \(slot)")
    if unsafe entries[slot].deadlineNs != .max { unlink(slot) }
    unsafe entries[slot].deadlineNs = deadlineNs
    if deadlineNs != .max { link(slot) }
  }

  /// Takes a slot whose deadline has come off the wheel; nil when there is none.
  package mutating func popDue(nowNs: UInt64) -> Int? {
    let last = nowNs >> tickShift
    // After a long sleep each bucket is looked through once.
    if last > tick + UInt64(Self.bucketCount) {
      tick = last - UInt64(Self.bucketCount)
      cursor = Self.start
    }
    while tick < last {
      if cursor == Self.start {
        cursor = unsafe heads[Int(tick % UInt64(Self.bucketCount))]
      }
      while cursor != Self.none {
        let index = Int(cursor)
        cursor = unsafe entries[index].next
        // The bucket also holds deadlines of later rounds.
        if unsafe entries[index].deadlineNs <= nowNs {
          unlink(index)
          unsafe entries[index].deadlineNs = .max
          return index
        }
      }
      tick += 1
      cursor = Self.start
    }
    if earliest < tick { earliest = findEarliest() }
    return nil
  }

  /// The tick of the first deadline, or the end of a round without one.
  private func findEarliest() -> UInt64 {
    guard entryCount > 0 else { return .max }
    for tick in tick..<tick + UInt64(Self.bucketCount) {
      var index = unsafe heads[Int(tick % UInt64(Self.bucketCount))]
      while index != Self.none {
        let entry = unsafe entries[Int(index)]
        if entry.deadlineNs >> tickShift <= tick { return tick }
        index = entry.next
      }
    }
    return tick + UInt64(Self.bucketCount)
  }

  private func bucket(_ deadlineNs: UInt64) -> Int {
    Int(max(deadlineNs >> tickShift, tick) % UInt64(Self.bucketCount))
  }

  private mutating func link(_ slot: Int) {
    let bucket = bucket(unsafe entries[slot].deadlineNs)
    // Where it is linked is remembered as its deadline: a past one is moved to the next tick.
    unsafe entries[slot].deadlineNs = max(
      unsafe entries[slot].deadlineNs, tick << tickShift)
    earliest = min(earliest, unsafe entries[slot].deadlineNs >> tickShift)
    // One that is due already stands before those that were looked at.
    if bucket == Int(tick % UInt64(Self.bucketCount)) { cursor = Self.start }
    let head = unsafe heads[bucket]
    unsafe entries[slot].next = head
    unsafe entries[slot].previous = Self.none
    if head != Self.none { unsafe entries[Int(head)].previous = Int32(slot) }
    unsafe heads[bucket] = Int32(slot)
    entryCount += 1
  }

  private mutating func unlink(_ slot: Int) {
    let entry = unsafe entries[slot]
    if cursor == Int32(slot) { cursor = entry.next }
    if entry.previous == Self.none {
      // A deadline's bucket never changes while it is linked: it was not before `tick` then.
      unsafe heads[Int((entry.deadlineNs >> tickShift) % UInt64(Self.bucketCount))] =
        entry.next
    } else {
      unsafe entries[Int(entry.previous)].next = entry.next
    }
    if entry.next != Self.none { unsafe entries[Int(entry.next)].previous = entry.previous }
    entryCount -= 1
  }
}
