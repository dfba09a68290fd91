internal import SquallCluster
internal import SquallLoad

/// A run's totals in Prometheus' text format, version 0.0.4
/// (https://prometheus.io/docs/instrumenting/exposition_formats/).
///
/// Counts are those of the result: of the measured time and the drain, without the warm-up. A value
/// that does not exist has no line.
package struct Exposition: Sendable {
  package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  private enum Kind: String {
    case counter, gauge, histogram
  }

  package private(set) var text = ""

  package init(_ totals: RunTotals) {
    requests(totals)
    latencies(totals)
    load(totals)
    workers(totals)
  }

  private mutating func requests(_ totals: RunTotals) {
    family("squall_requests_total", .counter, "Requests that have ended, by outcome.")
    for name in totals.names {
      sample("squall_requests_total", ["name": name.name, "outcome": "ok"], name.tally.ok)
      sample("squall_requests_total", ["name": name.name, "outcome": "not_ok"], name.tally.notOk)
    }
    family(
      "squall_errors_total", .counter,
      "Requests that were not ok, and connections that could not be opened (connect, tls), by cause."
    )
    for name in totals.names {
      for cause in ErrorCause.allCases {
        sample(
          "squall_errors_total", ["cause": cause.name, "name": name.name],
          name.tally.counters.errorCount(cause))
      }
    }
    family("squall_dropped_total", .counter, "Requests that were due and not sent.")
    for name in totals.names {
      sample("squall_dropped_total", ["name": name.name], name.tally.counters.dropped)
    }
  }

  private mutating func latencies(_ totals: RunTotals) {
    family(
      "squall_response_seconds", .histogram,
      "From the scheduled instant to the last byte of an ok response.")
    for name in totals.names { histogram("squall_response_seconds", name.name, name.response) }
    family(
      "squall_service_seconds", .histogram, "From the send to the last byte of an ok response.")
    for name in totals.names { histogram("squall_service_seconds", name.name, name.service) }
  }

  private mutating func load(_ totals: RunTotals) {
    let kind = totals.hasUsers ? "users" : "connections"
    family("squall_\(kind)", .gauge, "The \(kind) that workers have been dealt.")
    sample("squall_\(kind)", [:], totals.connections)
    family("squall_in_flight", .gauge, "Requests sent and not ended.")
    sample("squall_in_flight", [:], totals.figures.inFlight)
    if let elapsedNs = totals.figures.status.elapsedNs {
      family("squall_elapsed_seconds", .gauge, "Time since the start of the load.")
      sample("squall_elapsed_seconds", [:], Self.seconds(UInt128(elapsedNs)))
    }
    if let lag = totals.figures.recent?.lag, !lag.isEmpty {
      family(
        "squall_schedule_lag_seconds", .gauge,
        "How late requests left, 99th percentile of the last interval.")
      sample("squall_schedule_lag_seconds", [:], Self.seconds(UInt128(lag.quantileNs(0.99))))
    }
  }

  private mutating func workers(_ totals: RunTotals) {
    family("squall_workers", .gauge, "Worker processes by state.")
    for state in WorkerState.allCases {
      sample(
        "squall_workers", ["state": state.rawValue],
        totals.figures.status.workers.count { $0.state == state })
    }
    if let ratio = totals.figures.recent?.busyRatioMax {
      family(
        "squall_worker_busy_ratio", .gauge, "CPU share of the busiest worker, last interval.")
      sample("squall_worker_busy_ratio", [:], ratio)
    }
    family("squall_saturated", .gauge, "1 when the generator sets the limit, as in the verdict.")
    sample("squall_saturated", [:], totals.isSaturated ? 1 : 0)
  }

  // MARK: The format

  private mutating func family(_ name: String, _ kind: Kind, _ help: String) {
    text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
  }

  private mutating func histogram(
    _ family: String, _ name: String, _ distribution: RunTotals.Distribution
  ) {
    for (boundNs, count) in zip(RunTotals.Distribution.boundsNs, distribution.counts) {
      sample(family + "_bucket", ["le": Self.seconds(UInt128(boundNs)), "name": name], count)
    }
    sample(family + "_bucket", ["le": "+Inf", "name": name], distribution.count)
    sample(family + "_sum", ["name": name], Self.seconds(distribution.sumNs))
    sample(family + "_count", ["name": name], distribution.count)
  }

  private mutating func sample(
    _ name: String, _ labels: KeyValuePairs<String, String>, _ value: some LosslessStringConvertible
  ) {
    text += name
    if !labels.isEmpty {
      text += "{" + labels.map { "\($0)=\"\(Self.escaped($1))\"" }.joined(separator: ",") + "}"
    }
    text += " \(value)\n"
  }

  private static func escaped(_ label: String) -> String {
    var text = ""
    for character in label.unicodeScalars {
      switch character {
      case "\\": text += "\\\\"
      case "\"": text += "\\\""
      case "\n": text += "\\n"
      default: text.unicodeScalars.append(character)
      }
    }
    return text
  }

  /// Exact: all nine places.
  private static func seconds(_ ns: UInt128) -> String {
    let (whole, rest) = ns.quotientAndRemainder(dividingBy: 1_000_000_000)
    guard rest > 0 else { return "\(whole)" }
    var places = String(1_000_000_000 + rest).dropFirst()
    while places.last == "0" { places.removeLast() }
    return "\(whole).\(places)"
  }
}
