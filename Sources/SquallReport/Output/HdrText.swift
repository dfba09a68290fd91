package import SquallLoad

/// Histograms in the two text forms that HdrHistogram's tools read and plot.
package enum HdrText {
  /// The percentile distribution (`.hgrm`), in milliseconds, five lines for each halving of the
  /// distance to 100 %.
  package static func percentiles(_ histogram: CompactHistogram) -> String {
    var text = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n"
    let total = histogram.count
    if total > 0 {
      var steps = Steps(histogram)
      // Percentiles go up by a fifth of the distance to the next halving of what is left.
      var level = 0.0
      while steps.cumulative < total {
        let wanted = (level * Double(total)).rounded(.up)
        // Rounding must not let it stand still.
        steps.advance(to: max(steps.cumulative + 1, UInt64(min(wanted, Double(total)))))
        let reached = Double(steps.cumulative) / Double(total)
        text += line(steps.valueNs, reached, steps.cumulative)
        if steps.cumulative == total { break }
        while level <= reached && level < 1 {
          var half = 0.5
          while half >= 1 - level { half /= 2 }
          level += half / 5
        }
      }
    }
    let mean = histogram.meanNs
    let variance =
      total == 0 ? 0 : max(0, Double(histogram.sumOfSquares) / Double(total) - mean * mean)
    text += "#[Mean    = \(milliseconds(mean)), "
    text += "StdDeviation   = \(milliseconds(variance.squareRoot()))]\n"
    text += "#[Max     = \(milliseconds(Double(histogram.maxNs))), "
    text += "Total count    = \(Columns.right(String(total), 12))]\n"
    text +=
      "#[Buckets = \(Columns.right("27", 12)), SubBuckets     = \(Columns.right("256", 12))]\n"
    return text
  }

  private static func line(_ valueNs: UInt64, _ fraction: Double, _ cumulative: UInt64) -> String {
    var text = milliseconds(Double(valueNs)) + " " + Figures.fixed(fraction, 12) + " "
    text += Columns.right(String(cumulative), 10)
    if fraction < 1 { text += " " + Columns.right(Figures.fixed(1 / (1 - fraction), 2), 14) }
    return text + "\n"
  }

  private static func milliseconds(_ ns: Double) -> String {
    Columns.right(Figures.fixed(ns / 1e6, 6), 12)
  }

  /// A V2 histogram log (`.hlog`): one compressed histogram of nanoseconds per interval, response and
  /// service times tagged so.
  package static func log(_ result: RunResult, deflate: ([UInt8]) -> [UInt8]) -> String {
    let start = epochSeconds(result.startedAt) ?? 0
    var text = "#[Histogram log format version 1.3]\n"
    text += "#[StartTime: \(Figures.fixed(start, 3)) (seconds since epoch), \(result.startedAt)]\n"
    text += "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\","
    text += "\"Interval_Compressed_Histogram\"\n"
    for interval in result.intervals where interval.phase != Phase.warmup.name {
      for (tag, series) in [("response", .response), ("service", .service)]
        as [(String, RunResult.Series)]
      {
        let histogram = interval.histogram(series)
        guard !histogram.isEmpty else { continue }
        text += "Tag=\(tag),\(Figures.fixed(Double(interval.startNs) * 1e-9, 3)),"
        text += "\(Figures.fixed(interval.seconds, 3)),"
        text += "\(Figures.fixed(Double(histogram.maxNs) / 1e6, 6)),"
        text += HdrEncoding.text(histogram, deflate: deflate) + "\n"
      }
    }
    return text
  }

  /// Seconds since 1970 of an RFC 3339 instant in UTC such as `2026-01-02T03:04:05.5Z`; nil for
  /// anything else. Days by Hinnant's civil calendar, "chrono-compatible low-level date algorithms".
  package static func epochSeconds(_ instant: String) -> Double? {
    let parts = instant.split(whereSeparator: { !$0.isNumber && $0 != "." })
    guard parts.count == 6, instant.hasSuffix("Z"), let year = Int(parts[0]),
      let month = Int(parts[1]), (1...12).contains(month), let day = Int(parts[2]),
      let hour = Double(parts[3]), let minute = Double(parts[4]), let second = Double(parts[5])
    else { return nil }
    let shifted = month > 2 ? year : year - 1
    let era = (shifted >= 0 ? shifted : shifted - 399) / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    let days = era * 146_097 + dayOfEra - 719_468
    return Double(days) * 86400 + hour * 3600 + minute * 60 + second
  }

  /// Goes up through a histogram's values.
  private struct Steps {
    private var counts: [(valueNs: UInt64, count: UInt64)] = []
    private var next = 0
    private(set) var valueNs: UInt64 = 0
    private(set) var cumulative: UInt64 = 0

    init(_ histogram: CompactHistogram) {
      if histogram.underCount > 0 { counts.append((histogram.minNs, histogram.underCount)) }
      for bucket in histogram.buckets {
        let middle = HistogramLayout.middleNs(Int(bucket.index))
        counts.append((max(histogram.minNs, min(histogram.maxNs, middle)), bucket.count))
      }
      if histogram.overCount > 0 { counts.append((histogram.maxNs, histogram.overCount)) }
    }

    mutating func advance(to count: UInt64) {
      while cumulative < count && next < counts.count {
        valueNs = counts[next].valueNs
        cumulative += counts[next].count
        next += 1
      }
    }
  }
}
