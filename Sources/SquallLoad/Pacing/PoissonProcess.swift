/// The points of a Poisson process of rate 1, as a pure function of seed and index.
///
/// The distance from 0 to point n is a sum of n exponentials, which nobody wants to add up to get to
/// the thousand-millionth. So the sum is drawn from the top down. Points come in blocks of 256:
///
///     block   0 | 1 | 2   3 | 4   5   6   7 | 8 …
///     spans   1   1     2           4          8 blocks: length Gamma(256 x blocks)
///
/// Each span's length is drawn by itself; a span of two or more blocks is cut in halves, whose
/// lengths have the ratio G / (G + G') of two Gamma variates, down to one block; a block is cut in
/// 256 gaps in the ratio of exponentials. By the additivity of Gamma variates (and Lukacs' theorem)
/// these gaps are independent and exponential, exactly, at every scale: nothing is approximated,
/// there is no drift to correct, and any index is reached in at most 3 log2(index / 256) draws.
///
/// The value remembers where it is in one block. In order, a point costs two exponentials.
struct PoissonProcess: Sendable {
  private static let blockBits: UInt64 = 8
  private static let blockSize = 1 << Int(blockBits)

  private let seed: UInt64
  private var block: UInt64 = .max
  private var start = 0.0
  /// Length of a block's exponential, so that they add up to the block.
  private var scale = 0.0
  private var random = SplitMix64(seed: 0)
  /// Exponentials of the block that `sum` holds.
  private var taken = 0
  private var sum = 0.0

  init(seed: UInt64) { self.seed = seed }

  /// Where point `index` is, in mean distances; above 0, ascending with the index.
  mutating func point(_ index: UInt64) -> Double {
    let wanted = Int(truncatingIfNeeded: index & UInt64(Self.blockSize - 1)) + 1
    if index >> Self.blockBits != block || wanted < taken { enter(index >> Self.blockBits) }
    while taken < wanted {
      sum += random.nextExponential()
      taken += 1
    }
    return start + sum * scale
  }

  private mutating func enter(_ block: UInt64) {
    self.block = block
    let bounds = bounds(block)
    start = bounds.start
    random = SplitMix64(seed: seed, block, 0)
    var total = 0.0
    for _ in 0..<Self.blockSize { total += random.nextExponential() }
    scale = (bounds.end - bounds.start) / total
    random = SplitMix64(seed: seed, block, 0)
    taken = 0
    sum = 0
  }

  private func bounds(_ block: UInt64) -> (start: Double, end: Double) {
    var start = 0.0
    var end = gamma(blocks: 1, at: 0, part: 1)
    guard block > 0 else { return (start, end) }

    var first: UInt64 = 1
    var count: UInt64 = 1
    while true {
      start = end
      end += gamma(blocks: count, at: first, part: 1)
      if block < first + count { break }
      first += count
      count *= 2
    }
    while count > 1 {
      count /= 2
      let left = gamma(blocks: count, at: first, part: 2)
      let right = gamma(blocks: count, at: first, part: 3)
      let middle = start + (end - start) * (left / (left + right))
      if block < first + count {
        end = middle
      } else {
        start = middle
        first += count
      }
    }
    return (start, end)
  }

  /// A Gamma variate of `blocks` x 256; `blocks`, `at` and `part` (from 1) name its stream. Part 0 is
  /// the blocks' own gaps.
  private func gamma(blocks: UInt64, at first: UInt64, part: UInt64) -> Double {
    var random = SplitMix64(seed: seed, first, blocks << 2 | part)
    return random.nextGamma(shape: Double(blocks) * Double(Self.blockSize))
  }
}
