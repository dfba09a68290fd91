import Foundation
import Glibc
import Testing

extension EndToEnd {
  /// How often the verdict on the generator is wrong. Minutes, and true only of a host on which nothing
  /// else runs: `SQUALL_SATURATION=1` asks for it.
  @Suite(
    .enabled(
      if: ProcessInfo.processInfo.environment["SQUALL_SATURATION"] != nil,
      "takes minutes on an idle host: SQUALL_SATURATION=1"))
  struct SaturationTests {
    private static let cpu = sysconf(Int32(_SC_NPROCESSORS_ONLN)) - 1

    private func verdict(_ arguments: [String]) throws -> (isSaturated: Bool, reasons: [String]) {
      let result = try Squall.run(arguments)
      return (
        try #require(result["verdict.saturated"] as? Bool),
        result["verdict.reasons"] as? [String] ?? []
      )
    }

    /// Something that takes all it can of the workers' CPU, until it is let go.
    private func rival() throws -> Child {
      try Child("/usr/bin/taskset", ["-c", "\(Self.cpu)", "/bin/sh", "-c", "while :; do :; done"])
    }

    @Test func aGeneratorWithTimeLeftIsNeverCalledSaturated() throws {
      let served = try Served(["--cpus", "0"])
      var alarms: [String] = []
      for number in 0..<200 {
        // 1 to 1,000 a second, as many runs in each decade.
        let rate = pow(10, 3 * Double(number) / 199)
        let verdict = try verdict([
          served.url, "-R", String(format: "%.2f", rate), "-d", "600ms", "-c", "4",
          "--cpus", "\(Self.cpu)",
        ])
        if verdict.isSaturated {
          alarms.append(String(format: "%.1f/s: ", rate) + verdict.reasons.joined(separator: "; "))
        }
      }
      print("saturation: \(alarms.count) false alarms of 200")
      #expect(alarms.isEmpty, "\(alarms.joined(separator: "\n"))")
    }

    @Test func aGeneratorWithoutTimeIsAlwaysCalledSaturated() throws {
      let served = try Served(["--cpus", "0"])
      let near = try Served(["--cpus", "\(Self.cpu)"])
      let cpu = ["--cpus", "\(Self.cpu)", "-d", "600ms", "-c", "16"]
      let rival = try rival()
      let ways: [(name: String, arguments: [String], hasRival: Bool)] = [
        ("two workers on one CPU", [served.url, "-w", "2"] + cpu, false),
        ("the target on the worker's CPU", [near.url] + cpu, false),
        ("another process there, closed loop", [served.url] + cpu, true),
        // More than half of a CPU can send, and less than a whole one.
        ("another process there, open loop", [served.url, "-R", "300k"] + cpu, true),
        ("the same, pipelined", [served.url, "-R", "300k", "--pipeline", "4"] + cpu, true),
      ]
      var missed: [String] = []
      for way in ways {
        kill(rival.id, way.hasRival ? SIGCONT : SIGSTOP)
        for _ in 0..<10 {
          let verdict = try verdict(way.arguments)
          if !verdict.isSaturated {
            missed.append("\(way.name): " + verdict.reasons.joined(separator: "; "))
          }
        }
      }
      kill(rival.id, SIGCONT)
      print("saturation: \(missed.count) missed of 50")
      #expect(missed.isEmpty, "\(missed.joined(separator: "\n"))")
    }
  }
}
