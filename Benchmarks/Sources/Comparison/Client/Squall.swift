/// squall, the tool this package belongs to.
package struct Squall: Client {
  package let name: String
  package let program = "squall"
  package let origin = Origin.ours("swift build -c release")
  package let remark = ""
  package let wires = Set(Wire.allCases)

  /// - Parameter name: a second name for the second row of an A/A comparison.
  package init(name: String = "squall") {
    self.name = name
  }

  package func command(
    _ load: Load, program: String, folder: String
  ) throws(Unable) -> Command {
    let file = name == "squall" ? "squall" : "squall-again"
    let result = "\(folder)/\(file)-\(load.port)-\(monotonicNs()).json"
    var arguments = [
      program, "run", load.url, "-c", "\(load.connections)", "--workers", "\(load.threads)",
      "--cpus", load.cpus.map(String.init).joined(separator: ","), "--format", "json", "-o",
      result, "--no-progress",
    ]
    if let count = load.requestCount {
      arguments += ["-n", "\(count)"]
    } else {
      arguments += ["-d", "\(load.seconds)s"]
    }
    if let rate = load.rateHz { arguments += ["-R", "\(rate)"] }
    if load.pipeline > 1 { arguments += ["--pipeline", "\(load.pipeline)"] }
    if load.spins { arguments.append("--spin") }
    if load.wire.isSecure, let authority = load.authority { arguments += ["--cacert", authority] }
    switch load.wire {
    case .http1, .https: break
    case .h2c: arguments += ["--http2-prior-knowledge", "--streams", "\(load.streams)"]
    case .h2: arguments += ["--http2", "--streams", "\(load.streams)"]
    }
    if load.connecting != .kept {
      arguments += [
        "--no-keepalive", "--tls-session", load.connecting == .resumed ? "resume" : "full",
      ]
    }
    return Command(arguments, resultPath: result)
  }

  package func claim(_ output: Output, load: Load) throws(Unable) -> Claim {
    guard let json = JSONDocument(output.result ?? output.standardOutput),
      let ok = json.count("requests", "ok")
    else { throw Unable("wrote no result: \(output.standardError.suffix(300).trimmed)") }
    var claim = Claim(ok: ok)
    claim.sent = json.count("requests", "sent")
    claim.failed = json.count("requests", "not_ok") ?? 0
    claim.inFlight = json.count("requests", "in_flight_at_stop") ?? 0
    claim.dropped = json.count("requests", "dropped")
    claim.seconds = json.number("measured_ns").map { $0 / 1e9 }
    claim.meanNs = json.number("latency_ns", "response", "mean")
    claim.p50Ns = json.number("latency_ns", "response", "p50")
    claim.p75Ns = json.number("latency_ns", "response", "p75")
    claim.p99Ns = json.number("latency_ns", "response", "p99")
    claim.serviceMeanNs = json.number("latency_ns", "service", "mean")
    claim.serviceP99Ns = json.number("latency_ns", "service", "p99")
    if let saturated = json.value("verdict", "saturated") as? Bool {
      claim.verdict = saturated ? "generator saturated" : "generator not saturated"
    }
    return claim
  }
}
