import Foundation
import Glibc
import Testing

extension EndToEnd {
  /// The open loop's promises, judged from outside. Times are compared with room for a busy host.
  @Suite(.serialized) struct LoadTests {
    /// How a load travels. A connection carries one request at a time, whatever it could.
    enum Way: String, CaseIterable, Sendable {
      case http1, tls, h2, h2c

      var flags: [String] {
        switch self {
        case .http1: []
        case .tls: ["-k"]
        case .h2: ["-k", "--http2", "--streams", "1"]
        case .h2c: ["--http2-prior-knowledge", "--streams", "1"]
        }
      }

      func target(_ arguments: [String]) throws -> Served {
        try Served((self == .tls || self == .h2 ? ["--tls"] : []) + arguments)
      }
    }

    /// A target frozen for half of the run: the schedule goes on, and each request that waited says
    /// how long. Those due in the freeze wait for what is left of it, so the upper half of all response
    /// times lies evenly between nothing and the freeze.
    @Test(arguments: Way.allCases) func aFrozenTargetDoesNotSlowTheSchedule(way: Way) throws {
      try onAQuietHost {
        let target = try way.target(["--freeze-at", "500ms", "--freeze-for", "1s"])
        let result = try Squall.run(
          ["-R", "1000", "-d", "2s", "-c", "32", "-w", "1", "--drain", "5s", target.url] + way.flags
        )
        result.expectConservation()
        #expect(result.sent == 2_000 && result.ok == 2_000, "\(result.requests)")
        #expect(try target.count() == 2_000)
        let p75 = result.ms("latency_ns.response.p75")
        let p99 = result.ms("latency_ns.response.p99")
        let lag = result.ms("latency_ns.schedule_lag.p99")
        // The other story: only as many as there are connections were under way, the rest unsent.
        let service = result.ms("latency_ns.service.p90")
        return abs(p75 - 500) < 25 && abs(p99 - 980) < 25 && abs(lag - 980) < 50 && service < 250
          ? [] : ["response p75 \(p75), p99 \(p99), lag p99 \(lag), service p90 \(service) ms"]
      }
    }

    /// Mean service time x rate = requests in flight (Little), whatever the distribution looks like.
    @Test(arguments: Way.allCases) func aStallingTargetsMeanKeepsLittlesLaw(way: Way) throws {
      try onAQuietHost {
        let target = try way.target(["--stall", "20ms", "--every", "200"])
        let result = try Squall.run(["-d", "2s", "-c", "1", "-w", "1", target.url] + way.flags)
        result.expectConservation()
        #expect(result.ms("latency_ns.service.max") >= 20)
        let mean = result.ms("latency_ns.service.mean") / 1e3
        let rate = try #require(result["rate.ok_per_s"] as? Double)
        let ratio = try #require(result["verdict.littles_law_ratio"] as? Double)
        // The last request goes on beyond the end: up to one stall, a hundredth of the run.
        return abs(mean * rate - 1) < 0.02 && abs(ratio - 1) < 0.05
          ? [] : ["\(mean) s x \(rate)/s, ratio \(ratio)"]
      }
    }

    /// Through any number of workers: what the target wrote down of each request, give or take the
    /// histogram's 0.2 % and the way there and back.
    @Test(.enabled(if: Python.isInstalled, "python3 is not installed"), arguments: [1, 2, 3])
    func percentilesAreThoseOfTheTargetsLog(workers: Int) throws {
      try onAQuietHost {
        let python = try Python(script: Self.logger)
        let port = try #require(UInt16(try python.child.firstLine()))
        let result = try Squall.run([
          "-n", "2500", "-c", "150", "-w", "\(workers)", "http://127.0.0.1:\(port)/",
        ])
        result.expectConservation()
        let log = try fetch("/log", port: port).split(separator: ",").compactMap { Double($0) }
          .sorted()
        #expect(log.count == 2_500 && result.ok == 2_500)
        return [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)].compactMap { name, fraction in
          let truth = log[Int((fraction * 2_500).rounded(.up)) - 1]
          let ours = result.ms("latency_ns.service.\(name)")
          return ours >= truth * 0.998 && ours <= truth * 1.002 + 1
            ? nil : "\(name): \(ours) ms, the target's \(truth) ms"
        }
      }
    }

    /// Prints its port; answers after times of its own and writes each down in milliseconds.
    private static let logger = """
      import asyncio, random, time
      random.seed(7)
      held = []
      class Answering(asyncio.Protocol):
          def connection_made(self, transport):
              self.transport = transport
          def data_received(self, data):
              if data.startswith(b"GET /log"):
                  self.say(",".join(held).encode())
                  self.transport.close()
              else:
                  wait = min(0.5, random.lognormvariate(-2.7, 0.6))
                  asyncio.get_running_loop().call_later(wait, self.answer, time.monotonic_ns())
          def answer(self, since):
              self.say(b"ok")
              held.append(str((time.monotonic_ns() - since) / 1e6))
          def say(self, body):
              head = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body)
              self.transport.write(head + body)
      async def serve():
          server = await asyncio.get_running_loop().create_server(
              Answering, "127.0.0.1", 0, backlog=256)
          print(server.sockets[0].getsockname()[1], flush=True)
          await server.serve_forever()
      asyncio.run(serve())
      """

    /// Every shape sends what its curve says, to the request, and the target agrees.
    @Test(arguments: [
      (["-R", "1k:3k", "-d", "500ms"], 1_000),
      (["-R", "500", "--stage", "300ms:2k", "--stage", "200ms:0", "-d", "500ms"], 575),
      (["--stage", "400ms:1k", "-d", "600ms"], 400),
      (["-R", "1999", "-d", "500ms", "-w", "3"], 1_000),
      (["-R", "0.5k", "-d", "400ms", "--warmup", "200ms"], 200),
      (["-R", "2000", "-d", "400ms", "--spin"], 800),
      (["-R", "2000", "-d", "400ms", "--ramp", "100ms"], 800),
    ])
    func aScheduleIsSentToTheRequest(arguments: [String], count: Int) throws {
      let target = try Served()
      let result = try Squall.run(["-c", "32", "--drain", "10s"] + arguments + [target.url])
      #expect(result.sent == count, "\(result.requests)")
      #expect(result.ok == count && result.number("requests.dropped") == 0)
      #expect(try target.count() == count + result.number("requests.warmup.sent"))
    }

    @Test func randomArrivalsAreTheSeeds() throws {
      let target = try Served()
      func sent(_ arguments: [String]) throws -> Int {
        try Squall.run(
          ["-R", "2000", "--arrival", "poisson", "-d", "300ms", "--drain", "10s", "-c", "32"]
            + arguments + [target.url]
        ).sent
      }
      let first = try sent(["--seed", "7"])
      #expect(try sent(["--seed", "7", "-w", "3"]) == first)
      #expect((400...800).contains(first))
      let others = try [sent(["--seed", "8"]), sent(["--seed", "9"])]
      #expect(others.contains { $0 != first })
    }

    /// What could not be sent is a number in every report, and the run is not valid.
    @Test func whatIsDroppedIsShown() throws {
      let target = try Served(["--delay", "20ms"])
      let arguments = [
        "-R", "1000", "-d", "500ms", "-c", "8", "--max-in-flight", "2", "-w", "1", target.url,
      ]
      let result = try Squall.run(arguments)
      let dropped = result.number("requests.dropped")
      #expect(dropped > 300)
      #expect(result.sent + dropped == 500, "\(result.requests)")
      #expect(result["verdict.valid"] as? Bool == false)
      try onAQuietHost {
        let text = try Squall.ended(["run", "--quiet", "--strict"] + arguments)
        #expect(text.ending == Child.Ending(code: 5))
        #expect(text.output.range(of: "dropped [1-9]", options: .regularExpression) != nil)
        // A generator that was late itself has another remedy.
        return text.output.contains("--max-in-flight") ? [] : [text.output]
      }
    }

    @Test func aDeadlineCountsFromTheScheduledInstant() throws {
      let target = try Served(["--delay", "60ms"])
      let result = try Squall.run(
        [
          "-R", "200", "-d", "500ms", "-c", "16", "--deadline", "20ms", "-w", "1", target.url,
        ], code: 1)
      #expect(result.ok == 0)
      #expect(result.errors["deadline"] == result.notOk)
      #expect(result.notOk > 0)
      #expect(result.sent + result.number("requests.dropped") == 100, "\(result.requests)")
    }

    /// The worker is stopped for 300 ms: 300 requests leave late, and it says so itself.
    @Test func aStalledGeneratorReportsItsOwnLateness() throws {
      let target = try Served()
      let child = try Squall.start([
        "run", "--quiet", "--format", "json", "-R", "1000", "-d", "2s", "-c", "64", "-w", "1",
        "--drain", "5s", target.url,
      ])
      try child.run { try target.count() > 300 }
      let worker = try #require(child.children.first)
      kill(worker, SIGSTOP)
      let endNs = monotonicNs() + 300_000_000
      while monotonicNs() < endNs { usleep(1_000) }
      kill(worker, SIGCONT)
      #expect(try child.awaitEnd() == Child.Ending(code: 0))
      let result = try Measured(child.output)
      result.expectConservation()
      #expect(result.ok == 2_000, "\(result.requests)")
      #expect(result.ms("latency_ns.schedule_lag.max") >= 280)
      #expect(result.ms("latency_ns.response.p99") >= 200)
      #expect(result.ms("latency_ns.schedule_lag.p99") >= 200)
      #expect((result.workers.first?["sent_late"] as? Int ?? 0) >= 250)
      #expect(result["verdict.saturated"] as? Bool == true)
      let reasons = result["verdict.reasons"] as? [String] ?? []
      #expect(reasons.contains { $0.contains("with connections free") }, "\(reasons)")
    }

    /// All connections are taken by a slow target: that is its doing, and not held against us.
    @Test func lateBehindASlowTargetIsNotTheGenerators() throws {
      let target = try Served(["--delay", "100ms"])
      let result = try Squall.run([
        "-R", "200", "-d", "1s", "-c", "2", "-w", "1", "--drain", "10s", target.url,
      ])
      #expect(result.ms("latency_ns.schedule_lag.p99") > 100)
      let reasons = result["verdict.reasons"] as? [String] ?? []
      #expect(!reasons.contains { $0.contains("with connections free") }, "\(reasons)")
      let late = result.workers.first?["sent_late"] as? Int ?? -1
      #expect((0...20).contains(late))
    }

    /// The target's own clock: its log of arrivals against the schedule.
    @Test(arguments: Way.allCases) func arrivalsFollowTheSchedule(way: Way) throws {
      try onAQuietHost { try arrivals(way) }
    }

    private func arrivals(_ way: Way) throws -> [String] {
      let folder = try Folder()
      let log = folder.path + "/arrivals"
      let target = try way.target(["--arrivals", log, "--cpus", "0"])
      let result = try Squall.run(
        ["-R", "500", "-d", "1s", "-c", "16", "-w", "1", target.url] + way.flags)
      #expect(result.sent == 500)
      target.child.signal(SIGTERM)
      try target.child.awaitEnd()
      let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: log)))
      let arrivals = stride(from: 0, to: bytes.count, by: 8).map { start in
        (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[start + $1]) << UInt64(8 * $1) }
      }
      #expect(arrivals.count == 500)
      #expect(arrivals == arrivals.sorted())
      // The schedule's start is not in the log: half of the errors lie on either side of the median.
      let errors = arrivals.enumerated().map { Double($1) - Double($0) * 2e6 }.sorted()
      let median = errors[250]
      let off = errors.map { abs($0 - median) }.sorted()
      return off[250] < 200_000 ? [] : ["half of the arrivals are more than \(off[250]) ns off"]
    }

    @Test func aWarmUpsWorkIsNotTheMeasurements() throws {
      let target = try Served()
      let result = try Squall.run([
        "-R", "1000", "-d", "500ms", "--warmup", "1s", "-c", "16", "-w", "1", target.url,
      ])
      #expect(result.sent == 500 && result.number("requests.warmup.sent") == 1_000)
      // About two calls a request, four over epoll: those of the warm-up would make it three times that.
      let perRequest = result["backend"] as? String == "epoll" ? 4 : 2
      let calls = result.workers.first?["enter_calls"] as? Int ?? -1
      #expect((100..<1_000 * perRequest).contains(calls), "\(calls) calls")
      #expect((result.workers.first?["incarnations"] as? [String])?.count == 1)
    }
  }
}

extension Measured {
  /// The duration at a path, in milliseconds.
  func ms(_ path: String) -> Double { Double(number(path)) / 1e6 }
}
