internal import CSquall

/// Who is told of completions. Handlers queue; they never enter the ring themselves.
package protocol CompletionHandler: ~Copyable {
  /// One completion. `nowNs` is the monotonic clock, read shortly before.
  mutating func complete(_ completion: Completion, on ring: borrowing Ring, nowNs: UInt64)

  /// The end of a turn: expire deadlines, release what is due. Returns until when the loop may
  /// sleep (`UInt64.max`: until a completion comes), or nil to end the loop.
  mutating func turn(on ring: borrowing Ring, nowNs: UInt64) -> UInt64?
}

/// One thread's loop. A turn is one system call: submit everything queued and wait, take the
/// completions, handle each, expire, release what is due.
@safe package struct RingLoop: ~Copyable {
  /// Completions handled on one reading of the clock. At some 100 ns each the reading is at most
  /// 3 µs old.
  private static let sliceCount = 32

  private let completions: UnsafeMutableBufferPointer<Completion>
  /// How long before a deadline the loop stops sleeping and spins; 0 never spins.
  private var spinNs: UInt64
  private let spins: Bool

  package init(spins: Bool = false) {
    unsafe completions = .allocate(capacity: Self.sliceCount)
    unsafe completions.initialize(repeating: Completion())
    self.spins = spins
    spinNs = spins ? Self.spinNsFirst : 0
  }

  deinit { unsafe completions.deallocate() }

  package mutating func run<Handler: CompletionHandler & ~Copyable>(
    _ handler: inout Handler, on ring: borrowing Ring
  ) throws(SystemError) {
    var nowNs = squall_now_ns()
    while let deadlineNs = handler.turn(on: ring, nowNs: nowNs) {
      try wait(on: ring, deadlineNs: deadlineNs, nowNs: nowNs)
      var count = unsafe ring.take(completions)
      nowNs = squall_now_ns()
      while count > 0 {
        for index in 0..<count {
          handler.complete(unsafe completions[index], on: ring, nowNs: nowNs)
        }
        // A short slice means the queue was empty: the next enter looks again.
        guard count == Self.sliceCount else { break }
        count = unsafe ring.take(completions)
        nowNs = squall_now_ns()
      }
    }
    try ring.enter(deadlineNs: 0)
  }

  // A sleeping thread wakes some 25 to 100 µs late (timer interrupt, idle state, scheduler), so
  // the margin follows the lateness seen: up at once, down slowly.
  private static let spinNsFirst: UInt64 = 60_000
  private static let spinNsMax: UInt64 = 500_000

  @inline(__always)
  private mutating func wait(
    on ring: borrowing Ring, deadlineNs: UInt64, nowNs: UInt64
  ) throws(SystemError) {
    guard spins, deadlineNs != .max else { return try ring.enter(deadlineNs: deadlineNs) }
    if deadlineNs <= nowNs { return try ring.enter(deadlineNs: 0) }
    if deadlineNs - nowNs > spinNs {
      let wakeNs = deadlineNs - spinNs
      try ring.enter(deadlineNs: wakeNs)
      if ring.hasWork { return }
      let lateNs = squall_now_ns() &- wakeNs
      if Int64(bitPattern: lateNs) > 0 { calibrate(lateNs: lateNs) }
    } else {
      try ring.enter(deadlineNs: 0)
    }
    while !ring.hasWork && squall_now_ns() < deadlineNs { squall_spin_pause() }
  }

  private mutating func calibrate(lateNs: UInt64) {
    let wantedNs = min(lateNs + lateNs / 4, Self.spinNsMax)
    spinNs = wantedNs > spinNs ? wantedNs : spinNs - (spinNs - wantedNs) / 256
  }
}
