import Foundation

/// k6. Every request runs JavaScript; its duration leaves connecting and waiting for a slot out.
package struct K6: Client {
  package let name = "k6"
  package let program = "k6"
  package let origin = Origin.source("https://github.com/grafana/k6")
  package let remark = "runs JavaScript for every request; keeps every sample (grafana/k6#763)"
  package let versionArguments = ["version"]

  package init() {}

  package func command(
    _ load: Load, program: String, folder: String
  ) throws(Unable) -> Command {
    guard load.pipeline == 1 else { throw Unable("does not pipeline") }
    let script = "\(folder)/k6.js"
    do {
      try Self.script(load).write(toFile: script, atomically: true, encoding: .utf8)
    } catch {
      throw Unable("its script cannot be written: \(error.localizedDescription)")
    }
    let result = "\(folder)/k6-\(load.port)-\(load.connections).json"
    return Command(
      [program, "run", "--quiet", "--no-usage-report", "--summary-export", result, script],
      environment: ["GOMAXPROCS": "\(load.threads)"], resultPath: result)
  }

  /// One scenario: users in a closed loop, iterations shared by users, or arrivals at a rate.
  package static func script(_ load: Load) -> String {
    let scenario: String
    if let rate = load.rateHz {
      scenario = """
        executor: "constant-arrival-rate", rate: \(rate), timeUnit: "1s",
            duration: "\(load.seconds)s", preAllocatedVUs: \(load.connections)
        """
    } else if let count = load.requestCount {
      scenario = """
        executor: "shared-iterations", vus: \(load.connections), iterations: \(count)
        """
    } else {
      scenario = """
        executor: "constant-vus", vus: \(load.connections), duration: "\(load.seconds)s"
        """
    }
    return """
      import http from "k6/http";
      export const options = {
        discardResponseBodies: true,
        summaryTrendStats: ["avg", "p(50)", "p(75)", "p(99)"],
        scenarios: { load: { \(scenario), gracefulStop: "1s" } },
      };
      export default function () { http.get("\(load.url)"); }

      """
  }

  package func claim(_ output: Output, load: Load) throws(Unable) -> Claim {
    guard let json = JSONDocument(output.result ?? ""),
      let all = json.number("metrics", "http_reqs", "count")
    else { throw Unable("wrote no summary: \(output.standardError.prefix(200))") }
    let failedShare = json.number("metrics", "http_req_failed", "value") ?? 0
    let failed = (all * failedShare).rounded()
    var claim = Claim(ok: UInt64(all - failed))
    claim.failed = UInt64(failed)
    claim.dropped = json.count("metrics", "dropped_iterations", "count")
    claim.seconds = json.number("metrics", "http_reqs", "rate").map { all / $0 }
    let duration = { (key: String) in
      json.number("metrics", "http_req_duration", key).map { $0 * 1e6 }
    }
    claim.meanNs = duration("avg")
    claim.p50Ns = duration("p(50)")
    claim.p75Ns = duration("p(75)")
    claim.p99Ns = duration("p(99)")
    return claim
  }
}
