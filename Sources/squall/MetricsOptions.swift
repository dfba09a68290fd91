import ArgumentParser
import SquallNode

/// Figures for exporters, where there is no web port.
struct MetricsOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Port on loopback for Prometheus, at /metrics, while runs go on; 0 for any.",
      valueName: "port"))
  var metricsPort: UInt16?

  /// Nil when nobody asked for it.
  func open(showing control: any RunControl, say: (String) -> Void) async throws -> ControlPort? {
    guard let metricsPort else { return nil }
    var options = ControlPort.Options()
    options.port = metricsPort
    options.flag = "--metrics-port"
    options.takesCommands = false
    let port = ControlPort(options: options, showing: control)
    let address = MasterAddress(host: options.host, port: try await port.open())
    say("metrics at http://\(address)/metrics")
    return port
  }
}

/// The page of runs from this host.
struct PageOptions: ParsableArguments {
  @Flag(help: "Show the run on a page, on loopback, until it has ended.")
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
