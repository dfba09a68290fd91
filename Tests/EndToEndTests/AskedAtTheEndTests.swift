import Foundation
import Glibc
import SquallLoad
import Testing

extension EndToEnd {
  /// A master that is asked, and told to go, while its run ends.
  @Suite(.serialized) struct AskedAtTheEndTests {
    /// 50 in the long test.
    static let trialCount =
      ProcessInfo.processInfo.environment["SQUALL_ENDING_TRIALS"].flatMap { Int($0) } ?? 3

    /// Whoever asks over and over until nobody listens any more. An answer that begins must end.
    private final class Asking {
      let threads: [Thread]
      private let answered = DispatchSemaphore(value: 0)

      init(port: UInt16, count: Int) {
        let answered = answered
        threads = (0..<count).map { _ in
          Thread {
            while Self.isAnswered(port) {}
            answered.signal()
          }
        }
        for thread in threads { thread.start() }
      }

      /// False once nobody listens, or the connection ends.
      private static func isAnswered(_ port: UInt16) -> Bool {
        guard let socket = try? connection(to: port) else { return false }
        defer { close(socket) }
        let request = Array(
          "GET /api/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".utf8)
        guard send(socket, request, request.count, Int32(MSG_NOSIGNAL)) > 0 else { return false }
        var room = [UInt8](repeating: 0, count: 65_536)
        var isAnswered = false
        while recv(socket, &room, room.count, 0) > 0 { isAnswered = true }
        return isAnswered
      }

      /// False when somebody still waits for an answer.
      func hasEnded() -> Bool {
        threads.allSatisfy { _ in answered.wait(timeout: .now() + .seconds(5)) == .success }
      }
    }

    private func ask(_ command: String, port: UInt16) throws -> Int32 {
      let socket = try connection(to: port)
      let request = Array(
        ("POST /api/\(command) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
          + "Content-Type: application/json\r\n\r\n").utf8)
      try #require(send(socket, request, request.count, Int32(MSG_NOSIGNAL)) == request.count)
      return socket
    }

    private func webPort(_ cluster: Cluster) throws -> UInt16 {
      try cluster.hear("/api/start\n")
      let text = cluster.master.errors.components(separatedBy: "http://127.0.0.1:")[1]
      return try #require(UInt16(text.prefix { $0.isNumber }))
    }

    @Test func whileItIsAskedItEndsAndAnswers() throws {
      for trial in 0..<Self.trialCount {
        let cluster = try Cluster(
          ["-R", "500", "-c", "8", "-d", "500ms"], expectWorkers: 1, isHeadless: false)
        let port = try webPort(cluster)
        try cluster.addAgent()
        try cluster.hear("is ready")
        close(try ask("start", port: port))
        let asking = Asking(port: port, count: 4)
        try cluster.expectExact(withinMs: 15_000)
        #expect(asking.hasEnded(), "trial \(trial)")
        try cluster.expectAgentsLeave()
      }
    }

    /// Workers that do not move any more are not waited for, and what they counted is in the report.
    @Test func theSecondSignalEndsARunWhoseWorkersDoNotMove() throws {
      let target = try Served(["--delay", "60s"])
      let child = try Squall.start([
        "run", "--format", "json", "-d", "60s", "-c", "8", "-w", "1", "--drain", "60s", "--timeout",
        "90s", target.url,
      ])
      try child.run { try target.count() == 8 }
      for id in child.children { kill(id, SIGSTOP) }
      child.signal(SIGTERM)
      let untilNs = monotonicNs() + 300_000_000
      try? child.run { monotonicNs() >= untilNs }
      let secondNs = monotonicNs()
      child.signal(SIGINT)
      #expect(try child.awaitEnd(withinMs: 10_000) == Child.Ending(code: 143))
      #expect(child.endedNs ?? .max < secondNs + 2_000_000_000)
      let result = try Measured(child.output)
      #expect(result.sent == 8)
      #expect(result.inFlight == 8)
    }

    /// Two signals, the second of them anywhere between the load and the end of the process. It ends
    /// in two seconds whatever it waits for, and its record can be read and is right.
    @Test func theSecondSignalEndsItAndTheRecordIsWhole() throws {
      let seed = UInt64.random(in: 0...UInt64.max)
      print("seed of the instants: \(seed)")
      var random = SplitMix64(seed: seed)
      for trial in 0..<Self.trialCount {
        let folder = try Folder()
        // An answer that does not come: the end has something to wait for.
        let target = try Served(trial.isMultiple(of: 2) ? ["--delay", "60s"] : [])
        let master = try Squall.start([
          "master", target.url, "--master-bind-port", "0", "--web-port", "0", "--format", "json",
          "--record", folder.path + "/record.db", "-c", "8", "-d", "60s", "--drain", "60s",
          "--timeout", "90s",
        ])
        try master.run { master.errors.contains("/api/start\n") }
        let ports = master.errors.components(separatedBy: "127.0.0.1:").dropFirst().compactMap {
          UInt16($0.prefix { $0.isNumber })
        }
        let worker = try Squall.start(
          ["worker", "--master-port", "\(ports[0])", "-w", "1", "--no-pin"],
          environment: ["XDG_DATA_HOME": folder.path])
        try master.run { master.errors.contains("is ready") }
        close(try ask("start", port: ports[1]))
        try master.run { try target.count() >= 8 }
        let asking = Asking(port: ports[1], count: 2)
        let silent = try connection(to: ports[0])
        let unread = try ask("stop", port: ports[1])
        defer {
          close(silent)
          close(unread)
        }
        master.signal(trial.isMultiple(of: 3) ? SIGINT : SIGTERM)
        let untilNs = monotonicNs() + UInt64.random(in: 20_000_000..<1_000_000_000, using: &random)
        try? master.run { monotonicNs() >= untilNs }
        let secondNs = monotonicNs()
        master.signal(SIGTERM)
        let what = Comment("trial \(trial)\n\(master.errors)")
        let ending = try master.awaitEnd(withinMs: 10_000)
        #expect([130, 143].contains(ending.code), what)
        #expect(master.endedNs ?? .max < secondNs + 2_000_000_000, what)
        #expect(asking.hasEnded(), what)

        let report = try Squall.ended([
          "report", folder.path + "/record.db", "--format", "json",
        ])
        let result = try Measured(report.output)
        if result["verdict.incomplete"] as? Bool == false { result.expectConservation() }
        #expect(result.text == master.output, what)
        #expect(result.sent <= (try target.count()), what)
        worker.signal(SIGTERM)
        try? worker.run(withinMs: 500) { false }
        worker.end()
      }
    }
  }
}
