package import SquallLoad

/// A worker's own account of its life, made when it has ended (I3). The master's sums of its batches
/// must be equal to it.
///
/// ```
/// worker varint · life u64 · sent, ok, notOk, dropped, batchCount as varints · histogramHash u64
/// inFlight varint · ending u8 (0 finished, 1 exited, 2 killed, 3 unknown) · code u8
/// ```
package struct Ledger: Equatable, Sendable {
  package enum Ending: Equatable, Sendable {
    /// It came to the end of its part, drained, and said so.
    case finished
    /// The process ended by itself, with this exit code, before its part was over.
    case exited(UInt8)
    /// The process was ended by this signal.
    case killed(UInt8)
    case unknown
  }

  package var incarnation: Incarnation
  /// Over all its batches, whose sequences are 0 ..< `sums.batchCount`.
  package var sums: IncarnationLedger
  /// Requests sent and never answered when it ended: `sent - ok - notOk`.
  package var inFlight: UInt64
  package var ending: Ending

  package init(
    incarnation: Incarnation, sums: IncarnationLedger, inFlight: UInt64, ending: Ending
  ) {
    self.incarnation = incarnation
    self.sums = sums
    self.inFlight = inFlight
    self.ending = ending
  }
}

extension IncarnationLedger {
  /// The sums of two sets of batches that have none in common.
  package mutating func add(_ other: IncarnationLedger) {
    sent += other.sent
    ok += other.ok
    notOk += other.notOk
    dropped += other.dropped
    batchCount &+= other.batchCount
    histogramHash &+= other.histogramHash
  }

  var largest: UInt64 { max(sent, ok, notOk, dropped) }
}
