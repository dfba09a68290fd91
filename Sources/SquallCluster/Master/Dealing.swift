import SquallLoad

/// Who holds which share of one run, and what is known of that.
struct Dealing: Sendable {
  enum Hold: Equatable {
    /// It may hold this share, or the one before.
    case held
    /// It said it holds this share and no other.
    case adopted
    /// It cannot act on it: dead, finished, stalled, or out of its lease.
    case released
  }

  /// The newest epoch ever used.
  var epoch: UInt32 = 0
  /// In force: durable, and what orders say.
  private(set) var deal: Deal?
  /// One for each of the deal's holdings.
  var holds: [Hold] = []
  /// Connections it may have open, for each: the larger of this share's and the one's before.
  var connections: [UInt32] = []
  /// Where in the deal an agent's holdings are.
  private var ranges: [UInt64: Range<Int>] = [:]
  /// A deal waits for the record.
  var isPending = false
  /// Since when the shares are not what they should be.
  var staleSinceNs: UInt64?
  /// An agent has taken a share back: it will not be used again, whatever the deal says.
  var isSpoiled = false
  /// When, at the latest so far, a holder was released that had not confirmed where its schedule
  /// ends: it may have followed it until then.
  var unconfirmedUntilNs: UInt64 = 0
  /// A worker has come to the load's end, by a clock that may be ahead of the others'. All that fell due of
  /// its share has gone by, so nobody may be dealt a part of it.
  var hasReachedEnd = false
  /// Yields in a row that came too late for their instant.
  var lateCount = 0

  func index(of incarnation: Incarnation) -> Int? {
    guard let deal, let range = ranges[incarnation.agent] else { return nil }
    return range.first { deal.holdings[$0].incarnation == incarnation }
  }

  func holdings(of agent: UInt64) -> Range<Int> { ranges[agent] ?? 0..<0 }

  mutating func enforce(_ deal: Deal) {
    self.deal = deal
    epoch = max(epoch, deal.epoch)
    holds = Array(repeating: .held, count: deal.holdings.count)
    connections = deal.holdings.map(\.share.connections)
    ranges = [:]
    var start = 0
    for index in deal.holdings.indices {
      let agent = deal.holdings[index].incarnation.agent
      let isLast =
        index + 1 == deal.holdings.count || deal.holdings[index + 1].incarnation.agent != agent
      if isLast {
        ranges[agent] = start..<index + 1
        start = index + 1
      }
    }
  }

  /// The worker can no longer act on its share. False when that is nothing new.
  mutating func release(_ name: Incarnation, nowNs: UInt64) -> Bool {
    guard let index = index(of: name), holds[index] != .released else { return false }
    if connections[index] > 0, holds[index] == .held || deal?.kind == .grant {
      unconfirmedUntilNs = max(unconfirmedUntilNs, nowNs)
    }
    holds[index] = .released
    return true
  }
}
