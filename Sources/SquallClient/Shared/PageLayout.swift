internal import SquallLoad

/// Where each number stands in the memory a worker counts into and its agent reads.
///
/// A page holds one interval:
///
///     header │ connect │ lag │ fairness │ tls │ iterations │ endpoint 0 │ endpoint 1 │ …
///     endpoint: counters │ findings │ touched │ statuses │ malformations │ checks
///       │ samples │ response │ service │ firstByte
///     histogram: sum │ squares lo, hi │ ~min │ max │ under u32 │ over u32 │ buckets u32…
///
/// Everything starts at zero, so an untouched page costs no memory: the minimum is kept as its
/// complement. A bucket is the last thing a request stores, and the number of ok responses is the
/// sum of the service buckets: a kill between two stores cannot make two numbers disagree. For the
/// same reason responses of status 200 are not counted among the statuses but derived.
package enum PageLayout {
  package static let wordByteCount = 8

  package enum Header: Int {
    /// `PageState` in the low two bits, the page's sequence number above. Stored with release.
    case state
    case firstInterval, lastInterval, phase, startNs, endNs
    case systemCalls, opened, reopened, late, connections, portFailures, descriptorFailures
    case lastOkNs, iterationsStarted, iterationsAbandoned, iterationsDropped
    static let count = 17
  }

  package enum Counter: Int {
    case sent, dropped, bytesSent, bytesReceived, bytesBody
    /// The first of `ErrorCause.count` words.
    case errors
    static let count = 5 + ErrorCause.count + findingCount + 1
  }

  static let findingCount = Finding.allCases.count
  static let sampleCount = Sample.allCases.count
  static let findingsStart = 5 + ErrorCause.count
  /// A word that says whether an endpoint but the first was counted into.
  static let touchedPlace = findingsStart + findingCount
  package static let statusFirst: UInt16 = 100
  package static let statusCount = 500
  /// More than the parser knows reasons.
  package static let malformationCount = 128
  /// A byte of length before each.
  static let sampleByteCount = 1 + Sample.byteCountMax

  package static let histogramByteCount = 6 * wordByteCount + HistogramLayout.bucketCount * 4
  static let histogramsStart = aligned(Header.count * wordByteCount)
  static let endpointsStart = aligned(histogramsStart + 5 * histogramByteCount)
  static let statusesStart = Counter.count * wordByteCount
  static let malformationsStart = statusesStart + statusCount * 4
  static let checksStart = malformationsStart + malformationCount * 4
  static let samplesStart = checksStart + Counters.checkCountMax * 4
  static let endpointHistogramsStart = aligned(samplesStart + sampleCount * sampleByteCount)
  static let endpointByteCount = aligned(endpointHistogramsStart + 3 * histogramByteCount)

  package static func pageByteCount(endpointCount: Int) -> Int {
    (endpointsStart + endpointCount * endpointByteCount + 4_095) & ~4_095
  }

  private static func aligned(_ byteCount: Int) -> Int { (byteCount + 63) & ~63 }
}

package enum PageState: UInt64 {
  /// The worker may take it.
  case free = 0
  /// The worker counts into it.
  case open = 1
  /// Nothing in it changes any more; the agent may read it and make it free.
  case closed = 2
}
