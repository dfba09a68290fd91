internal import SquallCluster
internal import SquallLoad

/// One of the figures that a run tells those who keep series, with a sample for each set of labels.
///
/// Counts are those of the result: of the measured time and the drain, without the warm-up. A value
/// that does not exist has no sample.
struct Metric {
  enum Kind: String {
    /// Never falls.
    case counter
    case gauge
    /// Of durations in seconds.
    case histogram
  }

  enum Value {
    case count(UInt64)
    case signed(Int64)
    case ratio(Double)
    case seconds(ns: UInt128)
    case distribution(RunTotals.Distribution)
  }

  struct Sample {
    var labels: KeyValuePairs<String, String>
    var value: Value
  }

  var name: String
  var kind: Kind
  var help: String
  var samples: [Sample]

  init(_ name: String, _ kind: Kind, _ help: String, _ samples: [Sample]) {
    self.name = name
    self.kind = kind
    self.help = help
    self.samples = samples
  }

  init(_ name: String, _ kind: Kind, _ help: String, _ value: Value) {
    self.init(name, kind, help, [Sample(labels: [:], value: value)])
  }
}

extension RunTotals {
  var metrics: [Metric] { requests + latencies + load + workers }

  private var requests: [Metric] {
    [
      Metric(
        "squall_requests_total", .counter, "Requests that have ended, by outcome.",
        names.flatMap { name -> [Metric.Sample] in
          [
            .init(labels: ["name": name.name, "outcome": "ok"], value: .count(name.tally.ok)),
            .init(
              labels: ["name": name.name, "outcome": "not_ok"], value: .count(name.tally.notOk)),
          ]
        }),
      Metric(
        "squall_errors_total", .counter,
        "Requests that were not ok, and connections that could not be opened (connect, tls), by cause.",
        names.flatMap { name in
          ErrorCause.allCases.map { cause in
            Metric.Sample(
              labels: ["cause": cause.name, "name": name.name],
              value: .count(name.tally.counters.errorCount(cause)))
          }
        }),
      Metric(
        "squall_dropped_total", .counter, "Requests that were due and not sent.",
        names.map { .init(labels: ["name": $0.name], value: .count($0.tally.counters.dropped)) }),
    ]
  }

  private var latencies: [Metric] {
    [
      Metric(
        "squall_response_seconds", .histogram,
        "From the scheduled instant to the last byte of an ok response.",
        names.map { .init(labels: ["name": $0.name], value: .distribution($0.response)) }),
      Metric(
        "squall_service_seconds", .histogram, "From the send to the last byte of an ok response.",
        names.map { .init(labels: ["name": $0.name], value: .distribution($0.service)) }),
    ]
  }

  private var load: [Metric] {
    let kind = hasUsers ? "users" : "connections"
    var metrics = [
      Metric(
        "squall_\(kind)", .gauge, "The \(kind) that workers have been dealt.", .count(connections)),
      Metric(
        "squall_in_flight", .gauge, "Requests sent and not ended.", .signed(figures.inFlight)),
    ]
    if let elapsedNs = figures.status.elapsedNs {
      metrics.append(
        Metric(
          "squall_elapsed_seconds", .gauge, "Time since the start of the load.",
          .seconds(ns: UInt128(elapsedNs))))
    }
    if let lag = figures.recent?.lag, !lag.isEmpty {
      metrics.append(
        Metric(
          "squall_schedule_lag_seconds", .gauge,
          "How late requests left, 99th percentile of the last interval.",
          .seconds(ns: UInt128(lag.quantileNs(0.99)))))
    }
    return metrics
  }

  private var workers: [Metric] {
    var metrics = [
      Metric(
        "squall_workers", .gauge, "Worker processes by state.",
        WorkerState.allCases.map { state in
          Metric.Sample(
            labels: ["state": state.rawValue],
            value: .count(UInt64(figures.status.workers.count { $0.state == state })))
        })
    ]
    if let ratio = figures.recent?.busyRatioMax {
      metrics.append(
        Metric(
          "squall_worker_busy_ratio", .gauge, "CPU share of the busiest worker, last interval.",
          .ratio(ratio)))
    }
    metrics.append(
      Metric(
        "squall_saturated", .gauge, "1 when the generator sets the limit, as in the verdict.",
        .count(isSaturated ? 1 : 0)))
    return metrics
  }
}
