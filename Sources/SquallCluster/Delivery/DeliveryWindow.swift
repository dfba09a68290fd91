/// Which of the numbers 0, 1, 2 … have been seen, in constant memory: all below `next`, and of the
/// `width` that follow, those whose bit is set.
package struct DeliveryWindow: Equatable, Sendable {
  package enum Arrival: Equatable, Sendable {
    case fresh
    case duplicate
    /// Too far ahead to be remembered. Refused: it is sent again once the gap has closed.
    case beyond
  }

  /// Numbers at and beyond `next` that can be told apart.
  package static let width: UInt32 = 64

  /// Everything below it has been seen.
  package private(set) var next: UInt32 = 0
  /// Bit i: `next + i` has been seen. Bit 0 is clear, always.
  package private(set) var bits: UInt64 = 0

  package init() {}

  package func arrival(of number: UInt32) -> Arrival {
    guard number >= next else { return .duplicate }
    guard number - next < Self.width else { return .beyond }
    return bits & 1 << UInt64(number - next) == 0 ? .fresh : .duplicate
  }

  package func contains(_ number: UInt32) -> Bool { arrival(of: number) == .duplicate }

  @discardableResult
  package mutating func receive(_ number: UInt32) -> Arrival {
    let arrival = arrival(of: number)
    guard arrival == .fresh else { return arrival }
    bits |= 1 << UInt64(number - next)
    let run = (~bits).trailingZeroBitCount
    next += UInt32(run)
    bits = run == 64 ? 0 : bits >> UInt64(run)
    return .fresh
  }

  /// Seen numbers beyond the first gap as an acknowledgement states them: bit i is `next + 1 + i`.
  package var beyond: UInt64 { bits >> 1 }

  /// No number at or above this one has been seen.
  package var end: UInt32 {
    bits == 0 ? next : next + UInt32(64 - bits.leadingZeroBitCount)
  }
}
