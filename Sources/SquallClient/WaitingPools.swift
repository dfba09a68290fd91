internal import SquallEngine

/// Connections that are free and users that wait for one, by what they may take: each pool has both in the
/// order they came. A user waits in one place at a time, and a connection is free in one.
struct WaitingPools: ~Copyable {
  private static let none: Int32 = -1

  private struct Queue {
    var first = WaitingPools.none
    var last = WaitingPools.none
  }

  private struct Pool {
    var users = Queue()
    var rows = Queue()
    /// Stands in `matched`.
    var isMatched = false
  }

  private let pools: Rows<Pool>
  private let nextUser: Rows<Int32>
  private let nextRow: Rows<Int32>
  /// Pools that had both; one of them may be taken since.
  private var matched: FixedQueue<Int>
  /// Users that wait.
  private(set) var userCount = 0

  init(poolCount: Int, userCount: Int, rowCount: Int) {
    pools = Rows(count: poolCount) { Pool() }
    nextUser = Rows(count: userCount) { Self.none }
    nextRow = Rows(count: rowCount) { Self.none }
    matched = FixedQueue(capacity: poolCount)
  }

  /// True when a connection is free for the user.
  mutating func wait(_ user: Int, in pool: Int) -> Bool {
    Self.append(user, to: &pools[pool].users, nextUser)
    userCount += 1
    match(pool)
    return pools[pool].rows.first != Self.none
  }

  mutating func free(_ row: Int, in pool: Int) {
    Self.append(row, to: &pools[pool].rows, nextRow)
    match(pool)
  }

  mutating func popUser(of pool: Int) -> Int? {
    guard let user = Self.popFirst(of: &pools[pool].users, nextUser) else { return nil }
    userCount -= 1
    return user
  }

  /// A connection that is free while a user waits for it.
  mutating func popRow() -> Int? {
    while let pool = matched.popFirst() {
      pools[pool].isMatched = false
      guard pools[pool].users.first != Self.none,
        let row = Self.popFirst(of: &pools[pool].rows, nextRow)
      else { continue }
      match(pool)
      return row
    }
    return nil
  }

  private mutating func match(_ pool: Int) {
    guard !pools[pool].isMatched, pools[pool].users.first != Self.none,
      pools[pool].rows.first != Self.none
    else { return }
    pools[pool].isMatched = true
    matched.append(pool)
  }

  private static func append(_ element: Int, to queue: inout Queue, _ next: borrowing Rows<Int32>) {
    let number = Int32(truncatingIfNeeded: element)
    next[element] = none
    if queue.last == none { queue.first = number } else { next[Int(queue.last)] = number }
    queue.last = number
  }

  private static func popFirst(of queue: inout Queue, _ next: borrowing Rows<Int32>) -> Int? {
    guard queue.first != none else { return nil }
    let element = Int(queue.first)
    queue.first = next[element]
    if queue.first == none { queue.last = none }
    return element
  }
}
