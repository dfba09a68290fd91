internal import NIOConcurrencyHelpers
internal import SquallEngine

/// What people were told of late, for those who look later: at most `lineCountMax` lines.
package final class SpokenLines: Sendable {
  package struct Line: Equatable, Sendable {
    /// From 1; a line keeps its number.
    package var number: UInt64
    package var wallNs: UInt64
    package var text: String
  }

  package static let lineCountMax = 200
  private static let textLengthMax = 1_000

  private let lines = NIOLockedValueBox<[Line]>([])

  package init() {}

  package func add(_ text: String) {
    lines.withLockedValue { lines in
      let number = (lines.last?.number ?? 0) + 1
      lines.append(
        Line(
          number: number, wallNs: SquallEngine.wallNs(),
          text: String(text.prefix(Self.textLengthMax))))
      if lines.count > Self.lineCountMax { lines.removeFirst() }
    }
  }

  /// Those after a number, oldest first.
  package func after(_ number: UInt64) -> [Line] {
    lines.withLockedValue { $0.filter { $0.number > number } }
  }
}
