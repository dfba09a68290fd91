/// Equal answers in a row that a connection is still to send, or may have to send again.
struct TargetReply: BitwiseCopyable {
  /// What follows after the answers.
  enum Ending: UInt8 {
    case none
    case finish
    case reset
    /// Nothing ever: what stands behind waits for the end of the connection.
    case hang
  }

  var answer: TargetAnswer
  var ending = Ending.none
  /// One byte at a time, one each `dripNs`.
  var isDripping = false
  /// Number in `PreparedAnswers`; none below zero.
  var prepared: Int16 = -1
  /// Number in the texts of counts; none below zero.
  var countText: Int16 = -1
  /// Number in the shop's pages; none below zero.
  var page: Int16 = -1
  /// Of one answer as far as it is to be sent.
  var byteCount: UInt32
  var count: UInt32 = 1
  /// The reply behind it, or in the list of free ones; none below zero.
  fileprivate(set) var next = TargetReplies.none
  /// Not to be sent before; 0 for at once.
  var dueNs: UInt64 = 0

  static let dripNs: UInt64 = 1_000_000

  var totalByteCount: UInt64 { UInt64(byteCount) * UInt64(count) }

  /// Whether one more of these is the same as a second reply.
  @inline(__always)
  func repeats(_ other: TargetReply) -> Bool {
    prepared == other.prepared && dueNs == other.dueNs && byteCount == other.byteCount
      && ending == .none && other.ending == .none && !isDripping && !other.isDripping
      && countText < 0 && other.countText < 0 && page < 0 && other.page < 0 && count < UInt32.max
      && (prepared >= 0 || answer == other.answer)
  }
}

/// The replies of all connections, in one allocation that grows to what was needed at once.
@safe struct TargetReplies: ~Copyable {
  static let none: Int32 = -1
  /// Replies waiting at once, over all connections: 48 MiB of them.
  static let countMax = 1 << 20

  private var replies: UnsafeMutablePointer<TargetReply>
  private var capacity: Int
  private var usedCount = 0
  private var free = none

  init() {
    capacity = 1_024
    unsafe replies = .allocate(capacity: capacity)
  }

  deinit { unsafe replies.deallocate() }

  subscript(index: Int32) -> TargetReply {
    @inline(__always) get { unsafe replies[Int(index)] }
    @inline(__always) set { unsafe replies[Int(index)] = newValue }
  }

  /// Nil at the limit.
  @inline(__always)
  mutating func insert(_ reply: TargetReply) -> Int32? {
    let index: Int32
    if free != Self.none {
      index = free
      free = self[index].next
    } else {
      if usedCount == capacity { grow() }
      guard usedCount < capacity else { return nil }
      index = Int32(usedCount)
      usedCount += 1
    }
    unsafe (replies + Int(index)).initialize(to: reply)
    return index
  }

  @inline(__always)
  mutating func remove(_ index: Int32) {
    self[index].next = free
    free = index
  }

  @inline(__always)
  mutating func link(_ index: Int32, behind previous: Int32) { self[previous].next = index }

  private mutating func grow() {
    let larger = min(capacity * 2, Self.countMax)
    guard larger > capacity else { return }
    let moved = UnsafeMutablePointer<TargetReply>.allocate(capacity: larger)
    unsafe moved.moveInitialize(from: replies, count: usedCount)
    unsafe replies.deallocate()
    unsafe replies = moved
    capacity = larger
  }
}

/// Bytes that no few bytes describe, kept until they are sent: the bodies of `/count`, the shop's pages.
/// The memory of one that is sent is used for the next.
@safe struct KeptTexts: ~Copyable {
  @safe private struct Text {
    var start: UnsafeMutableRawPointer?
    var capacity = 0
    var byteCount = 0
    /// The next free one, while this is.
    var next: Int16 = -1
  }

  private let texts: UnsafeMutablePointer<Text>
  private let limit: Int
  private var usedCount = 0
  private var free: Int16 = -1

  /// At most `limit` at a time.
  init(limit: Int16) {
    self.limit = Int(limit)
    unsafe texts = .allocate(capacity: self.limit)
    unsafe texts.initialize(repeating: Text(), count: self.limit)
  }

  deinit {
    for index in 0..<usedCount { unsafe texts[index].start?.deallocate() }
    unsafe texts.deallocate()
  }

  /// Nil while as many as may be are waiting to be sent.
  mutating func insert(_ bytes: UnsafeRawBufferPointer) -> Int16? {
    let index: Int
    if free >= 0 {
      index = Int(free)
      free = unsafe texts[index].next
    } else {
      guard usedCount < limit else { return nil }
      index = usedCount
      usedCount += 1
    }
    if unsafe texts[index].capacity < bytes.count {
      unsafe texts[index].start?.deallocate()
      unsafe texts[index].start = .allocate(byteCount: bytes.count, alignment: 8)
      unsafe texts[index].capacity = bytes.count
    }
    unsafe texts[index].byteCount = bytes.count
    if let start = unsafe texts[index].start {
      unsafe UnsafeMutableRawBufferPointer(start: start, count: bytes.count).copyMemory(from: bytes)
    }
    return Int16(index)
  }

  /// Nil for a negative index, which is none.
  subscript(index: Int16) -> UnsafeRawBufferPointer? {
    guard index >= 0 else { return nil }
    let text = unsafe texts[Int(index)]
    return unsafe UnsafeRawBufferPointer(start: text.start, count: text.byteCount)
  }

  mutating func remove(_ index: Int16) {
    guard index >= 0 else { return }
    unsafe texts[Int(index)].next = free
    free = index
  }
}

/// Instants and whom they concern, the earliest first: a binary heap, exact to the nanosecond.
///
/// What a connection was waiting for when it went away stays in until it falls due.
@safe struct DueQueue: ~Copyable {
  /// 64 MiB of them.
  static let countMax = 1 << 22

  struct Entry: BitwiseCopyable {
    var dueNs: UInt64
    var row: UInt32
    var generation: UInt32
  }

  private var entries: UnsafeMutablePointer<Entry>
  private var capacity = 1_024
  private var count = 0

  init() { unsafe entries = .allocate(capacity: capacity) }

  deinit { unsafe entries.deallocate() }

  /// `UInt64.max` when there is none.
  var nextNs: UInt64 { unsafe count == 0 ? .max : entries[0].dueNs }

  /// False at the limit.
  mutating func insert(_ entry: Entry) -> Bool {
    if count == capacity {
      guard capacity < Self.countMax else { return false }
      grow()
    }
    var hole = count
    count += 1
    while hole > 0 {
      let parent = (hole - 1) / 2
      guard unsafe entries[parent].dueNs > entry.dueNs else { break }
      unsafe entries[hole] = entries[parent]
      hole = parent
    }
    unsafe entries[hole] = entry
    return true
  }

  mutating func popDue(nowNs: UInt64) -> Entry? {
    guard count > 0, unsafe entries[0].dueNs <= nowNs else { return nil }
    let first = unsafe entries[0]
    count -= 1
    let last = unsafe entries[count]
    var hole = 0
    while true {
      var child = 2 * hole + 1
      guard child < count else { break }
      if child + 1 < count, unsafe entries[child + 1].dueNs < entries[child].dueNs { child += 1 }
      guard unsafe entries[child].dueNs < last.dueNs else { break }
      unsafe entries[hole] = entries[child]
      hole = child
    }
    unsafe entries[hole] = last
    return first
  }

  private mutating func grow() {
    let moved = UnsafeMutablePointer<Entry>.allocate(capacity: capacity * 2)
    unsafe moved.moveInitialize(from: entries, count: count)
    unsafe entries.deallocate()
    unsafe entries = moved
    capacity *= 2
  }
}
