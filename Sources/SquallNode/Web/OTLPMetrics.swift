internal import SquallLoad

/// A run's totals as an OpenTelemetry metrics request in JSON
/// (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): integers of 64 bits are strings,
/// sums and histograms cumulative from the start of the run's load.
struct OTLPMetrics {
  /// Nanoseconds since 1970, as `nowNs`.
  var startNs: UInt64
  var nowNs: UInt64

  /// AGGREGATION_TEMPORALITY_CUMULATIVE of metrics.proto.
  private static let cumulative: JSONValue = .integer(2)

  func request(_ totals: RunTotals) -> JSONValue {
    var resource = [Self.attribute("service.name", "squall")]
    resource.append(Self.attribute("service.version", Build.version))
    if let run = totals.figures.run {
      resource.append(Self.attribute("service.instance.id", run.hexadecimal))
    }
    let scope: JSONValue = .object([
      .init("name", .string("squall")), .init("version", .string(Build.version)),
    ])
    let metrics = totals.metrics.filter { !$0.samples.isEmpty }.map(metric)
    return .object([
      .init(
        "resourceMetrics",
        .array([
          .object([
            .init("resource", .object([.init("attributes", .array(resource))])),
            .init(
              "scopeMetrics",
              .array([.object([.init("scope", scope), .init("metrics", .array(metrics))])])),
          ])
        ]))
    ])
  }

  private func metric(_ metric: Metric) -> JSONValue {
    let points: JSONValue = .array(
      metric.samples.map { point($0, isCumulative: metric.kind != .gauge) })
    var data: [JSONValue.Member] = [.init("dataPoints", points)]
    if metric.kind != .gauge { data.append(.init("aggregationTemporality", Self.cumulative)) }
    if metric.kind == .counter { data.append(.init("isMonotonic", .bool(true))) }
    let kind =
      switch metric.kind {
      case .counter: "sum"
      case .gauge: "gauge"
      case .histogram: "histogram"
      }
    return .object([
      .init("name", .string(metric.name)), .init("description", .string(metric.help)),
      .init("unit", .string(metric.name.hasSuffix("_seconds") ? "s" : "1")),
      .init(kind, .object(data)),
    ])
  }

  private func point(_ sample: Metric.Sample, isCumulative: Bool) -> JSONValue {
    var members: [JSONValue.Member] = [
      .init("attributes", .array(sample.labels.map { Self.attribute($0.key, $0.value) }))
    ]
    if isCumulative { members.append(.init("startTimeUnixNano", .string("\(startNs)"))) }
    members.append(.init("timeUnixNano", .string("\(nowNs)")))
    switch sample.value {
    case .count(let count): members.append(.init("asInt", .string("\(count)")))
    case .signed(let count): members.append(.init("asInt", .string("\(count)")))
    case .ratio(let ratio): members.append(.init("asDouble", .number(ratio)))
    case .seconds(let ns): members.append(.init("asDouble", .number(Double(ns) * 1e-9)))
    case .distribution(let distribution): members += Self.buckets(of: distribution)
    }
    return .object(members)
  }

  /// Each bucket by itself, where Prometheus has sums up to each bound.
  private static func buckets(of distribution: RunTotals.Distribution) -> [JSONValue.Member] {
    let sums = distribution.counts + [distribution.count]
    let counts = zip(sums, [0] + distribution.counts).map { $0 - $1 }
    return [
      .init("count", .string("\(distribution.count)")),
      .init("sum", .number(Double(distribution.sumNs) * 1e-9)),
      .init("bucketCounts", .array(counts.map { .string("\($0)") })),
      .init(
        "explicitBounds",
        .array(RunTotals.Distribution.boundsNs.map { .number(Double($0) * 1e-9) })),
    ]
  }

  private static func attribute(_ key: String, _ value: String) -> JSONValue {
    .object([
      .init("key", .string(key)),
      .init("value", .object([.init("stringValue", .string(value))])),
    ])
  }
}
