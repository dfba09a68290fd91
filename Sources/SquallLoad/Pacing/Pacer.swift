/// Says inside a worker's loop when its next request is due.
///
/// Instants are nanoseconds since the run's start, which is also the schedule's. A request that was
/// not taken in time stays due: taken late, it comes with the instant it was scheduled for, so its
/// lateness is part of its response time. In an open loop the worker's indices are those of its
/// share: k mod `workerCount` = `position`, due at or after the share's `fromNs`.
///
/// A new share takes over at its own `fromNs`, to the index. What was due before it stays this
/// worker's to send under the old share, also when the worker is behind.
///
/// `take` costs a few comparisons in a closed loop; in an open one about 10 ns a request with uniform
/// arrival, about 40 ns an index of the whole schedule with random arrival. Only `adopt` allocates.
package struct Pacer: Sendable {
  /// Shares that wait behind a backlog, at most. One more, and the oldest backlog is given up.
  package static let waitingShareCountMax = 64

  /// A share and where its schedule ends, in run time.
  private struct Term: Sendable {
    var share: Share
    var untilNs: UInt64
  }

  /// Requests that may still be taken under the current share.
  package private(set) var quota: UInt64 = 0
  /// The instant the next request becomes due; `UInt64.max` when none will.
  package private(set) var nextDueNs: UInt64 = .max

  /// Where the current share's time ends: at its own end, the next one's start, or the load's end.
  private var untilNs: UInt64
  private let endNs: UInt64
  private let isOpen: Bool
  private var stride: UInt64 = 1
  private var index: UInt64 = 0
  /// Where the current share began, and behind the last request that went under those before it.
  private var firstIndex: UInt64 = 0
  private var passedIndex: UInt64 = 0
  private var walk: Schedule.Walk
  package private(set) var schedule: Schedule
  private var term: Term
  /// Ascending in epoch and `fromNs`.
  private var waiting: [Term] = []

  /// Requests are due from `share.fromNs` until before `endNs`, and at most `share.requestQuota`.
  package init(load: Load, share: Share, endNs: UInt64) {
    switch load {
    case .closed:
      isOpen = false
      schedule = Schedule(startHz: 0)
    case .open(let schedule):
      isOpen = true
      self.schedule = schedule
    }
    walk = Schedule.Walk(schedule)
    term = Term(share: share, untilNs: .max)
    self.endNs = endNs
    untilNs = endNs
    begin(term)
    settle()
  }

  /// Takes the next request that is due at `nowNs` and returns its scheduled instant; nil when none
  /// is due yet or none is left. In a closed loop returns `nowNs` while time and quota last.
  package mutating func take(nowNs: UInt64) -> UInt64? {
    guard nextDueNs <= nowNs else { return nil }
    if isOpen {
      let dueNs = nextDueNs
      quota -= 1
      index += stride
      settle()
      return dueNs
    }
    if nowNs >= untilNs {
      while let next = waiting.first, next.share.fromNs <= nowNs { beginNext() }
      settle()
      if nowNs >= untilNs {
        nextDueNs = nowNs >= endNs ? .max : waiting.first?.share.fromNs ?? .max
      }
      guard nextDueNs <= nowNs else { return nil }
    }
    quota -= 1
    if quota == 0 { settle() }
    return nowNs
  }

  /// Takes a new share, dealt when the epoch changed; requests due at or after `untilNs` are not its.
  /// One of the same or an older epoch changes nothing. One that comes after its `fromNs` holds from
  /// behind the last request taken, so that this worker repeats none.
  ///
  /// Returns how many requests were given up, because too many shares waited: they are dropped.
  package mutating func adopt(_ newer: Share, untilNs newerUntilNs: UInt64 = .max) -> UInt64 {
    guard newer.epoch > (waiting.last ?? term).share.epoch else { return 0 }
    // One that ends before it begins ends those before it all the same.
    var newer = newer
    newer.fromNs = min(newer.fromNs, newerUntilNs)
    // No instant has two shares: one that would begin later than this is overtaken.
    while let last = waiting.last, last.share.fromNs >= newer.fromNs { waiting.removeLast() }
    waiting.append(Term(share: newer, untilNs: newerUntilNs))
    limit()
    if isOpen || quota == 0 || nextDueNs == .max { settle() }
    guard waiting.count > Self.waitingShareCountMax else { return 0 }
    let droppedCount = drop(dueBeforeNs: untilNs)
    if waiting.count > Self.waitingShareCountMax { beginNext() }
    settle()
    return droppedCount
  }

  /// The rate changes at an instant up to which the share ends, or from which the next one begins.
  package mutating func change(_ change: LoadChange) {
    guard isOpen else { return }
    schedule.change(change)
    walk = Schedule.Walk(schedule)
    settle()
  }

  /// Gives up the requests due before `dueNs` that were not taken, and says how many they were. Of a
  /// closed loop, none.
  package mutating func drop(dueBeforeNs dueNs: UInt64) -> UInt64 {
    var count: UInt64 = 0
    while isOpen && nextDueNs < dueNs {
      let end = schedule.firstIndex(atOrAfterNs: min(dueNs, untilNs))
      let passed = min(quota, (end - index + stride - 1) / stride)
      count += passed
      quota -= passed
      index += passed * stride
      settle()
    }
    return count
  }

  /// Requests that may still be taken under all shares known now, also before the first is begun.
  package var quotaLeft: UInt64 {
    waiting.reduce(quota) { $0.addingSaturated($1.share.requestQuota) }
  }

  /// Where in run time the newest share ends.
  package var lastUntilNs: UInt64 { min(endNs, (waiting.last ?? term).untilNs) }

  /// Nothing will be due any more under the shares known now. In a closed loop, the end of the load's
  /// time is noticed by `take`.
  package var isExhausted: Bool { nextDueNs == .max }

  /// Makes `nextDueNs` true again, going on to the next share when this one has nothing more.
  private mutating func settle() {
    while true {
      if quota > 0 {
        let dueNs = isOpen ? walk.offsetNs(index: index) : term.share.fromNs
        if dueNs < untilNs {
          nextDueNs = dueNs
          return
        }
      }
      guard let next = waiting.first else {
        nextDueNs = .max
        return
      }
      guard isOpen else {
        nextDueNs = next.share.fromNs
        return
      }
      beginNext()
    }
  }

  private mutating func beginNext() {
    let next = waiting.removeFirst()
    begin(next)
    limit()
  }

  private mutating func limit() {
    untilNs = min(endNs, term.untilNs, waiting.first?.share.fromNs ?? .max)
  }

  private mutating func begin(_ term: Term) {
    let share = term.share
    precondition(share.position < share.workerCount, "a share outside its epoch's workers")
    if index > firstIndex { passedIndex = index - stride + 1 }
    self.term = term
    quota = share.requestQuota
    stride = UInt64(share.workerCount)
    guard isOpen else { return }
    let first = max(passedIndex, schedule.firstIndex(atOrAfterNs: share.fromNs))
    index = first + (UInt64(share.position) + stride - first % stride) % stride
    firstIndex = index
  }
}
