extension Program {
  /// A regular expression with one group: a chain of items, each a set of bytes that stands once, perhaps
  /// not at all (`skippable`), or as often as it comes (`looping`, and then skippable too).
  ///
  /// State k means that the first k items were met, so all states are one word, and a byte moves all of
  /// them at once (Baeza-Yates, Gonnet, "A new approach to text searching", 1992): linear time, whatever
  /// the text.
  package struct Pattern: Equatable, Sendable {
    package static let itemCountMax = 62

    /// Four words an item: bit of each byte.
    package var sets: [UInt64] = []
    package var skippable: UInt64 = 0
    package var looping: UInt64 = 0
    /// The group's items.
    package var groupFirst: UInt8 = 0
    package var groupEnd: UInt8 = 0
    /// The shortest match and group, in the place of the longest.
    package var isLazy = false

    package var itemCount: Int { sets.count / 4 }

    var isSound: Bool {
      sets.count % 4 == 0 && (1...Self.itemCountMax).contains(itemCount)
        && groupFirst < groupEnd && Int(groupEnd) <= itemCount
        && looping & ~skippable == 0 && skippable >> UInt64(itemCount) == 0
    }
  }
}

/// A pattern made ready: for each byte the items that it fits.
struct PatternTable {
  private let masks: [UInt64]
  private let skippable: UInt64
  private let looping: UInt64
  private let accepting: UInt64
  /// The states before the first byte, and those that the end can follow.
  let start: UInt64
  let end: UInt64

  init(_ pattern: Program.Pattern) {
    masks = (0..<256).map { byte in
      (0..<pattern.itemCount).reduce(0) { mask, item in
        mask | (pattern.sets[item * 4 + byte / 64] >> UInt64(byte % 64) & 1) << UInt64(item)
      }
    }
    skippable = pattern.skippable
    looping = pattern.looping
    accepting = 1 << UInt64(pattern.itemCount)
    start = Self.opened(1, pattern.skippable)
    end = Self.closed(accepting, pattern.skippable)
  }

  func accepts(_ states: UInt64) -> Bool { states & accepting != 0 }

  /// The states behind a byte.
  @inline(__always)
  func step(_ states: UInt64, _ byte: UInt8) -> UInt64 {
    let met = states & masks[Int(byte)]
    return Self.opened((met & ~looping) << 1 | met & looping, skippable)
  }

  /// The states before a byte from which these can be reached by it.
  func stepBack(_ states: UInt64, _ byte: UInt8) -> UInt64 {
    let fits = masks[Int(byte)]
    return Self.closed(fits & looping & states | fits & ~looping & (states >> 1), skippable)
  }

  /// With what can be reached without a byte.
  @inline(__always)
  static func opened(_ states: UInt64, _ skippable: UInt64) -> UInt64 {
    var states = states
    while true {
      let more = states | (states & skippable) << 1
      if more == states { return states }
      states = more
    }
  }

  private static func closed(_ states: UInt64, _ skippable: UInt64) -> UInt64 {
    var states = states
    while true {
      let more = states | states >> 1 & skippable
      if more == states { return states }
      states = more
    }
  }

  func opened(_ state: UInt8) -> UInt64 { Self.opened(1 << UInt64(state), skippable) }
}
