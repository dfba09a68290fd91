internal import SquallLoad

extension Program.Table {
  /// The row that a user works with: arithmetic of its global index and iteration, so that no worker
  /// asks another and a row is in use once where `pick` says so.
  ///
  /// - Parameters:
  ///   - index: of the user, among all workers' users.
  ///   - userCount: how many users there are at most, over all workers.
  ///   - key: the run's seed with the table's number in it.
  package func row(index: UInt64, iteration: UInt64, userCount: UInt64, key: UInt64) -> UInt32 {
    let count = UInt64(rowCount)
    // Users take turns: the first turn gives each its index, the next goes on behind the last one.
    let turn = index &+ iteration &* max(1, userCount)
    switch pick {
    case .unique: return UInt32(index % count)
    case .sequential: return UInt32(turn % count)
    case .random:
      var random = SplitMix64(seed: key, index, iteration)
      return UInt32(random.next().multipliedFullWidth(by: count).high)
    case .shuffle:
      return UInt32(Self.permuted(turn % count, of: count, key: key &+ turn / count))
    }
  }

  /// A permutation of 0 ..< count from a key: four rounds of a Feistel network over the next even power
  /// of two, walked until it falls inside (Black, Rogaway, "Ciphers with arbitrary finite domains",
  /// 2002).
  private static func permuted(_ value: UInt64, of count: UInt64, key: UInt64) -> UInt64 {
    let bits = UInt64(UInt64.bitWidth - max(1, count - 1).leadingZeroBitCount + 1) / 2
    let mask = (1 << bits) - 1 as UInt64
    var value = value
    repeat {
      var (left, right) = (value >> bits, value & mask)
      for round in 0..<4 as Range<UInt64> {
        var random = SplitMix64(seed: key, round, right)
        (left, right) = (right, left ^ (random.next() & mask))
      }
      value = left << bits | right
    } while value >= count
    return value
  }
}

/// Which class a user belongs to, by its global index: those with a fixed number first, then a pattern
/// that repeats, in which each class has its share and they are mixed evenly.
package struct UserDeal: Equatable, Sendable {
  static let patternCountMax = 1_000

  private let fixed: [UInt16]
  private let pattern: [UInt16]

  package init(_ users: [Program.UserClass]) {
    fixed = users.enumerated().flatMap { index, user in
      [UInt16](repeating: UInt16(index), count: Int(user.fixed ?? 0))
    }
    let total = users.reduce(0) { $0 + $1.weight }
    guard total > 0 else {
      pattern = []
      return
    }
    let isWhole = users.allSatisfy { $0.weight.rounded() == $0.weight }
    let count = isWhole && total <= Double(Self.patternCountMax) ? Int(total) : Self.patternCountMax
    // Smooth weighted round robin, as nginx deals requests over servers.
    var credits = users.map { _ in 0.0 }
    var pattern: [UInt16] = []
    for _ in 0..<count {
      var best = 0
      for (index, user) in users.enumerated() {
        credits[index] += user.weight
        if credits[index] > credits[best] { best = index }
      }
      credits[best] -= total
      pattern.append(UInt16(best))
    }
    self.pattern = pattern
  }

  /// Nil beyond the last user, when all classes have a fixed number.
  package func userClass(of index: UInt64) -> Int? {
    if index < UInt64(fixed.count) { return Int(fixed[Int(index)]) }
    guard !pattern.isEmpty else { return nil }
    return Int(pattern[Int((index - UInt64(fixed.count)) % UInt64(pattern.count))])
  }
}
