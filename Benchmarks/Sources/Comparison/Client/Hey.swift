/// hey. Its rate is for each worker; above a million requests its average is wrong
/// (https://github.com/rakyll/hey/issues/166); its headline counts failures.
package struct Hey: Client {
  package let name = "hey"
  package let program = "hey"
  package let origin = Origin.debian("hey")
  package let remark = "averages are wrong past a million requests (rakyll/hey#166)"
  package let versionArguments: [String] = []

  package init() {}

  package func command(
    _ load: Load, program: String, folder: String
  ) throws(Unable) -> Command {
    guard load.pipeline == 1 else { throw Unable("does not pipeline") }
    var arguments = [
      program, "-c", "\(load.connections)", "-cpus", "\(load.threads)", "-disable-redirects",
    ]
    if let count = load.requestCount {
      guard count % load.connections == 0 else {
        throw Unable("sends a multiple of the connections only")
      }
      arguments += ["-n", "\(count)"]
    } else {
      arguments += ["-z", "\(load.seconds)s"]
    }
    if let rate = load.rateHz {
      arguments += ["-q", "\(Double(rate) / Double(load.connections))"]
    }
    return Command(
      arguments + [load.url], environment: ["GOMAXPROCS": "\(load.threads)"])
  }

  package func claim(_ output: Output, load: Load) throws(Unable) -> Claim {
    let scan = Scan(output.standardOutput)
    guard scan.groups(#"Requests/sec:\s+([0-9.]+)"#) != nil else {
      throw Unable("printed no result: \(output.standardError.prefix(200))")
    }
    var claim = Claim(ok: scan.count(#"\[200\]\s+(\d+) responses"#) ?? 0)
    let errors = output.standardOutput.split(separator: "Error distribution:").dropFirst().first
    claim.failed = (errors ?? "").split(separator: "\n").reduce(0) { sum, line in
      sum + (Scan(String(line)).count(#"^\s+\[(\d+)\]"#) ?? 0)
    }
    claim.seconds = scan.number(#"Total:\s+([0-9.]+) secs"#)
    claim.meanNs = scan.number(#"Average:\s+([0-9.]+) secs"#).map { $0 * 1e9 }
    claim.p50Ns = scan.number(#"50% in ([0-9.]+) secs"#).map { $0 * 1e9 }
    claim.p75Ns = scan.number(#"75% in ([0-9.]+) secs"#).map { $0 * 1e9 }
    claim.p99Ns = scan.number(#"99% in ([0-9.]+) secs"#).map { $0 * 1e9 }
    return claim
  }
}
