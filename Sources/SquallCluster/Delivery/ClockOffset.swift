internal import SquallLoad

/// The difference between the master's monotonic clock and ours, measured with each heartbeat as NTP
/// does (RFC 5905 section 8): of the last `sampleCountMax` exchanges the one with the least delay rules,
/// since the offset's error is at most half of its delay.
package struct ClockOffset: Equatable, Sendable {
  package static let sampleCountMax = 8
  /// Two clocks drift apart by less than this while a sample is kept.
  private static let driftNs: UInt64 = 10_000_000

  private struct Sample: Equatable {
    var offsetNs: Int64
    var delayNs: UInt64
  }

  private var samples: [Sample] = []

  package init() {}

  /// `sentNs` and `nowNs` are ours, `receivedNs` and `answeredNs` the master's. An exchange whose
  /// times cannot be (an answer before its question) is left out.
  package mutating func measured(
    sentNs: UInt64, receivedNs: UInt64, answeredNs: UInt64, nowNs: UInt64
  ) {
    guard nowNs >= sentNs, answeredNs >= receivedNs else { return }
    let roundNs = nowNs - sentNs
    let heldNs = answeredNs - receivedNs
    let there = Int64(bitPattern: receivedNs &- sentNs)
    let back = Int64(bitPattern: answeredNs &- nowNs)
    // Half of each first: the sum of two arbitrary numbers need not fit.
    let offsetNs = there / 2 + back / 2
    let sample = Sample(offsetNs: offsetNs, delayNs: roundNs > heldNs ? roundNs - heldNs : 0)
    // Further apart than their errors allow: one of the clocks was stepped, and the past is void.
    if let best = samples.min(by: { $0.delayNs < $1.delayNs }),
      sample.offsetNs.subtractingSaturated(best.offsetNs).magnitude
        > sample.delayNs / 2 + best.delayNs / 2 + Self.driftNs
    {
      samples.removeAll()
    }
    samples.append(sample)
    if samples.count > Self.sampleCountMax { samples.removeFirst() }
  }

  /// Master's clock minus ours; nil before the first exchange.
  package var offsetNs: Int64? { samples.min { $0.delayNs < $1.delayNs }?.offsetNs }

  /// Round trip without the master's own time, of the best recent exchange.
  package var delayNs: UInt64? { samples.map(\.delayNs).min() }

  /// The instant on our clock, as well as it is known; never before our clock's origin.
  package func localNs(masterNs: UInt64) -> UInt64 {
    let offset = offsetNs ?? 0
    if offset >= 0 { return masterNs > UInt64(offset) ? masterNs - UInt64(offset) : 0 }
    return masterNs.addingSaturated(offset.magnitude)
  }
}

extension Int64 {
  fileprivate func subtractingSaturated(_ other: Int64) -> Int64 {
    let (difference, overflow) = subtractingReportingOverflow(other)
    return overflow ? .max : difference
  }
}
