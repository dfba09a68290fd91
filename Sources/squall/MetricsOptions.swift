import ArgumentParser
import SquallNode

/// Figures for exporters, where there is no web port.
struct MetricsOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Port on loopback for Prometheus, at /metrics, while runs go on; 0 for any.",
      valueName: "port"))
  var metricsPort: UInt16?

  @Option(
    help: ArgumentHelp(
      "Push metrics to this OpenTelemetry receiver (OTLP over HTTP, JSON), such as http://host:4318; "
        + "default: $OTEL_EXPORTER_OTLP_ENDPOINT.", valueName: "url"))
  var otlpEndpoint: String?

  @Option(
    help: ArgumentHelp(
      "Time between two pushes (default: 10s); the last one comes with the end of a run.",
      valueName: "time"), transform: Read.time)
  var otlpInterval: UInt64?

  /// What is opened is to be closed by these parts, after the last run.
  func open(
    showing control: any RunControl, say: @escaping @Sendable (String) -> Void
  ) async throws -> [Closing.Part] {
    let exporter = try OTLPExporter.Options(endpoint: otlpEndpoint, intervalNs: otlpInterval)
      .map { options throws(Complaint) in
        try OTLPExporter(options, showing: control, say: say)
      }
    exporter?.open()
    guard let metricsPort else { return exporter.map { [$0.closing] } ?? [] }
    var options = ControlPort.Options()
    options.port = metricsPort
    options.flag = "--metrics-port"
    options.takesCommands = false
    let port = ControlPort(options: options, showing: control)
    let address = MasterAddress(host: options.host, port: try await port.open())
    say("metrics at http://\(address)/metrics")
    return (exporter.map { [$0.closing] } ?? []) + [port.closing]
  }
}

/// The page of runs from this host.
struct PageOptions: ParsableArguments {
  @Flag(
    help: "Show the run on a page, on loopback, until it has ended; change its load there.")
  var web = false

  @Option(help: ArgumentHelp("With --web: port of the page; 0 for any.", valueName: "port"))
  var webPort: UInt16 = 8_089

  /// Nil when nobody asked for it.
  func open(showing control: any RunControl, say: (String) -> Void) async throws -> ControlPort? {
    guard web else { return nil }
    var options = ControlPort.Options()
    options.port = webPort
    let port = ControlPort(options: options, showing: control)
    let address = MasterAddress(host: options.host, port: try await port.open())
    say("the page is at http://\(address)/")
    return port
  }
}
