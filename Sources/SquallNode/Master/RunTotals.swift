internal import SquallCluster
package import SquallLoad
internal import SquallReport

/// What a run has come to by now, by the names of its requests: for those who keep sums.
package struct RunTotals: Sendable {
  package struct Name: Sendable {
    package var name: String
    package var tally: Tally
    package var response: Distribution
    package var service: Distribution
  }

  /// Of ok responses.
  package struct Distribution: Sendable {
    /// Durations below each of `boundsNs`.
    package var counts: [UInt64]
    package var count: UInt64
    package var sumNs: UInt128

    /// Two bounds an octave, each at the edge of a histogram's bucket, so that no count is a guess.
    package static let boundsNs: [UInt64] =
      (14..<36).flatMap { exponent -> [UInt64] in
        [1 << exponent, 3 << (exponent - 1)]
      } + [HistogramLayout.endNs]

    package init(_ histogram: Histogram) {
      count = histogram.count
      sumNs = histogram.sumNs
      counts = []
      var sum = histogram.underCount
      var place = 0
      for boundNs in Self.boundsNs {
        let end =
          boundNs == HistogramLayout.endNs
          ? HistogramLayout.bucketCount : HistogramLayout.bucket(boundNs)
        for bucket in place..<min(end, histogram.buckets.count) { sum += histogram.buckets[bucket] }
        place = min(end, histogram.buckets.count)
        counts.append(sum)
      }
    }
  }

  package var figures: LiveFigures
  package var names: [Name]
  /// Connections that workers hold shares of now; of a scenario, users.
  package var connections: UInt64
  package var hasUsers: Bool
  /// Of the last whole interval, the verdict's limits broken, or of the run, its share of late requests.
  package var isSaturated: Bool

  package init(figures: LiveFigures, ledger: RunLedger, plan: Plan?) {
    self.figures = figures
    names = zip(plan?.content.endpoints ?? [], ledger.endpoints).map { endpoint, sums in
      let service = Distribution(sums.service)
      return Name(
        name: endpoint.name, tally: sums.phases.counted,
        response: sums.response.isEmpty ? service : Distribution(sums.response), service: service)
    }
    let isLoaded = figures.status.stage == .running
    connections = figures.status.workers.reduce(0) {
      $1.state == .gone || !isLoaded ? $0 : $0 + UInt64($1.share?.connections ?? 0)
    }
    hasUsers = plan?.content.program.isEmpty == false
    let late = ledger.workers.reduce(0) { $0 + $1.measured.late }
    let isLate =
      late >= RunResult.Verdict.lateCountMin
      && Double(late) > RunResult.Verdict.lateRatioMax * Double(ledger.phases.counted.sent)
    let isBusy = (figures.recent?.busyRatioMax ?? 0) >= RunResult.Verdict.busyRatioMax
    isSaturated = isLate || isBusy && plan?.spins != true
  }
}
