import Foundation

/// wrk 4.x. It floors connections to a multiple of the threads, and its latency is back-filled
/// with samples it did not take (`stats_correct`, https://github.com/wg/wrk/issues/438).
package struct Wrk: Client {
  package let name = "wrk"
  package let program = "wrk"
  package let origin = Origin.debian("wrk")
  package let remark =
    "its latency is back-filled with invented samples and has no off-switch (wg/wrk#438); "
    + "runs 0.1 s longer than asked; verifies no certificate, and resumes sessions"
  package let wires: Set<Wire> = [.http1, .https]

  package init() {}

  package func command(
    _ load: Load, program: String, folder: String
  ) throws(Unable) -> Command {
    guard load.rateHz == nil else { throw Unable("keeps no rate") }
    guard load.connecting != .full else { throw Unable("resumes without saying so") }
    guard load.requestCount == nil else { throw Unable("does not stop after a count") }
    var arguments = [
      program, "-t\(load.threads)", "-c\(load.connections)", "-d\(load.seconds)s", "--latency",
    ]
    if load.connecting == .resumed { arguments += ["-H", "Connection: close"] }
    if load.pipeline > 1 {
      let script = "\(folder)/pipeline-\(load.pipeline).lua"
      do {
        try Self.pipelineScript(depth: load.pipeline).write(
          toFile: script, atomically: true, encoding: .utf8)
      } catch {
        throw Unable("its script cannot be written: \(error.localizedDescription)")
      }
      arguments += ["-s", script]
    }
    return Command(arguments + [load.url])
  }

  /// As wrk's own scripts/pipeline.lua does it: one string of several requests.
  package static func pipelineScript(depth: Int) -> String {
    """
    init = function(args)
      local requests = {}
      for i = 1, \(depth) do requests[i] = wrk.format() end
      all = table.concat(requests)
    end
    request = function() return all end

    """
  }

  package func claim(_ output: Output, load: Load) throws(Unable) -> Claim {
    try Self.parse(output.standardOutput)
  }

  /// The report that wrk and wrk2 share: non-2xx answers are in the request count.
  static func parse(_ text: String) throws(Unable) -> Claim {
    let scan = Scan(text)
    guard let requests = scan.count(#"(\d+) requests in "#) else {
      throw Unable("printed no result: \(text.suffix(200))")
    }
    let notOk = scan.count(#"Non-2xx or 3xx responses: (\d+)"#) ?? 0
    var claim = Claim(ok: requests - min(notOk, requests))
    claim.failed = notOk
    if let errors = scan.groups(
      #"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)"#)
    {
      claim.failed += errors.compactMap { UInt64($0) }.reduce(0, +)
    }
    claim.seconds = scan.groups(#"requests in ([0-9.]+[a-z]+)"#)
      .flatMap { $0.first }.flatMap { Scan.ns($0) }.map { $0 / 1e9 }
    claim.meanNs = scan.groups(#"Latency\s+([0-9.]+[a-z]+)\s"#)
      .flatMap { $0.first }.flatMap { Scan.ns($0) }
    claim.p50Ns = percentileNs(50, in: scan)
    claim.p75Ns = percentileNs(75, in: scan)
    claim.p99Ns = percentileNs(99, in: scan)
    return claim
  }

  private static func percentileNs(_ percent: Int, in scan: Scan) -> Double? {
    scan.groups("\\n\\s+\(percent)(?:\\.0+)?%\\s+([0-9.]+[a-z]+)")
      .flatMap { $0.first }.flatMap { Scan.ns($0) }
  }
}

/// wrk2, the constant-rate wrk. It rounds every wait up to a whole millisecond
/// (https://github.com/giltene/wrk2/issues/78).
package struct Wrk2: Client {
  package let name = "wrk2"
  package let program = "wrk2"
  package let origin = Origin.source("https://github.com/giltene/wrk2 (its binary is named wrk)")
  package let remark = "waits in whole milliseconds, rounded up (giltene/wrk2#78)"

  package init() {}

  package func command(
    _ load: Load, program: String, folder: String
  ) throws(Unable) -> Command {
    guard let rate = load.rateHz else { throw Unable("has no closed loop") }
    guard load.requestCount == nil else { throw Unable("does not stop after a count") }
    guard load.pipeline == 1 else { throw Unable("not asked to pipeline") }
    return Command([
      program, "-t\(load.threads)", "-c\(load.connections)", "-d\(load.seconds)s", "-R\(rate)",
      "--latency", load.url,
    ])
  }

  package func claim(_ output: Output, load: Load) throws(Unable) -> Claim {
    try Wrk.parse(output.standardOutput)
  }
}
