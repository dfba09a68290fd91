import Comparison
import Testing

struct WindowTests {
  private func sample(
    _ ms: UInt64, requests: UInt64, accepted: UInt64? = nil, cpuMs: UInt64 = 0
  ) -> Window.Sample {
    Window.Sample(
      ns: ms * 1_000_000, requests: requests, accepted: accepted, clientCPUNs: cpuMs * 1_000_000,
      targetCPUNs: cpuMs * 500_000, times: .parse("", ticksPerSecond: 100))
  }

  @Test func startingAndStoppingAreOutside() throws {
    // 100 ms of nothing, then 1,000 requests per 50 ms for 1 s, then nothing.
    var samples = (0..<3).map { sample(UInt64($0) * 50, requests: 500, cpuMs: 0) }
    samples += (1...20).map { step in
      sample(
        100 + UInt64(step) * 50, requests: 500 + UInt64(step) * 1_000, cpuMs: UInt64(step) * 40)
    }
    samples += (1...4).map { sample(1_100 + UInt64($0) * 50, requests: 20_500, cpuMs: 800) }
    let window = try #require(Window(samples, connections: 64))
    #expect(window.rateHz == 20_000)
    #expect(abs(window.clientBusy - 0.8) < 1e-9)
    #expect(abs(window.targetBusy - 0.4) < 1e-9)
    #expect(window.cpuUsPerRequest == 40)
    #expect(window.seconds < 0.95)
  }

  @Test func itBeginsWhenAllConnectionsAreThere() throws {
    // The first half is slow, while connections are still being made.
    let samples = (0...40).map { step -> Window.Sample in
      let connected = min(UInt64(step) * 5, 100)
      let requests = step <= 20 ? UInt64(step) * 10 : 200 + UInt64(step - 20) * 1_000
      return sample(UInt64(step) * 50, requests: requests, accepted: 3 + connected)
    }
    let window = try #require(Window(samples, connections: 100))
    #expect(window.rateHz == 20_000)
  }

  @Test func aRunThatNeverGotGoingHasNone() {
    #expect(Window([], connections: 1) == nil)
    #expect(Window((0..<50).map { sample(UInt64($0) * 50, requests: 7) }, connections: 1) == nil)
    let connecting = (0..<50).map {
      sample(UInt64($0) * 50, requests: UInt64($0), accepted: UInt64($0))
    }
    #expect(Window(connecting, connections: 5_000) == nil)
  }
}

struct CountTests {
  @Test func nginxCountsOurOwnQuestionsToo() {
    let page = """
      Active connections: 65
      server accepts handled requests
       130 130 20017
      Reading: 0 Writing: 1 Waiting: 64

      """
    let count = RunningTarget.stubStatus(page, probes: 17)
    #expect(count?.requests == 20_000)
    #expect(count?.accepted == 130)
    #expect(count?.open == 65)
    #expect(RunningTarget.stubStatus(page, probes: 30_000) == nil)
    #expect(RunningTarget.stubStatus("not that page", probes: 0) == nil)
  }

  @Test func aJSONCountMayLeaveConnectionsOut() {
    let whole = RunningTarget.json(#"{"requests":7,"accepted":3,"open":1,"more":2}"#)
    #expect(whole == RunningTarget.json(#"{"open":1,"accepted":3,"requests":7}"#))
    #expect(whole?.requests == 7)
    #expect(RunningTarget.json(#"{"requests":7}"#)?.accepted == nil)
    #expect(RunningTarget.json("{}") == nil)
  }

  @Test func aTargetsAddressIsFoundInWhatItPrints() {
    #expect(RunningTarget.port(in: #"{"listening":"127.0.0.1:34567","pid":1}"#) == 34_567)
    #expect(RunningTarget.port(in: "serving http://127.0.0.1:8080/ on cpu 0") == 8_080)
    #expect(RunningTarget.port(in: "starting") == nil)
  }

  @Test func aBodyIsWholeByItsLengthOrItsChunks() {
    func body(_ text: String) -> String? { Probe.body(of: Array(text.utf8)) }
    #expect(body("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") == "hello")
    #expect(body("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell") == nil)
    #expect(body("HTTP/1.1 200 OK\r\nContent-Le") == nil)
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    #expect(body(chunked + "5\r\nhello\r\n0\r\n\r\n") == "hello")
    #expect(body(chunked + "5\r\nhel") == nil)
  }
}

struct SampleTests {
  @Test func perfTellsUserAndKernelOfEachThreadTheBusiestFirst() {
    let text = """
      # Samples: 192  of event 'cpu-clock:u'
      # Overhead       Samples      Pid:Command
      # ........  ............  .......................
          42.71%            82     7033:exe
          26.04%            50     7030:a thread
      # Samples: 2K of event 'cpu-clock:k'
          96.70%          2025     7033:exe
           1.24%            26     7028:squall
      # (Tip: a tip)
      """
    let threads = ThreadSamples.parse(text)
    #expect(
      threads == [
        ThreadSamples(thread: 7033, user: 82, kernel: 2_025),
        ThreadSamples(thread: 7030, user: 50, kernel: 0),
        ThreadSamples(thread: 7028, user: 0, kernel: 26),
      ])
    #expect(ThreadSamples.parse("Error: nothing").isEmpty)
  }
}

struct PlacementTests {
  @Test func theClientHasACoreOfItsOwnIfThereIsOne() {
    let eight = Placement.choose(cpus: Array(0..<8)) { [$0 / 2 * 2, $0 / 2 * 2 + 1] }
    #expect(eight.client == [7])
    #expect(eight.target == [0, 1, 2, 3])
    #expect(eight.remarks.isEmpty)

    let threads = Placement.choose(cpus: [0, 1]) { _ in [0, 1] }
    #expect(threads.target == [0])
    #expect(threads.remarks.count == 2)

    let one = Placement.choose(cpus: [3]) { [$0] }
    #expect(one.target == [3] && one.client == [3])
    #expect(!one.remarks.isEmpty)
  }

  @Test func cpuListsAsTheKernelWritesThem() {
    #expect(Placement.cpuList("0-3,7") == [0, 1, 2, 3, 7])
    #expect(Placement.cpuList("5") == [5])
    #expect(Placement.cpuList("3-1").isEmpty)
    #expect(Placement.cpuList("").isEmpty)
  }

  @Test func cpuTimesFromTheKernelsLine() {
    let times = CPUTimes.parse(
      "cpu  100 20 30 4000 50 6 7 8 9 10\ncpu0 1 1 1 1\n", ticksPerSecond: 100)
    #expect(abs(times.busy - 1.63) < 1e-9)
    #expect(abs(times.idle - 40.5) < 1e-9)
    #expect(abs(times.steal - 0.08) < 1e-9)
  }
}

struct PlanTests {
  private let named = ["squall", "squall again", "floor", "epoll", "wrk", "h2load", "ab", "hey"]

  @Test func theQuickPlanTakesUnderThreeMinutes() {
    let seconds = Plan.quick(builtIn: .responder).estimatedSeconds { _ in true }
    #expect(seconds < 175)
  }

  @Test func theFullPlanTakesUnderThirtyFiveMinutesWithWhatCanBeInstalled() {
    let installed =
      named + [
        "TLS floor", "h2c floor", "gcannon", "SwiftNIO", "AsyncHTTPClient", "Locust Fast",
        "Locust Http",
      ]
    let plan = Plan.full(builtIn: .squall, cpuCount: 2)
    #expect(plan.estimatedSeconds { installed.contains($0) } < 35 * 60 - 30)
  }

  @Test func theFullPlanAsksEveryQuestionButTheOneMadeLater() {
    let asked = Set(
      Plan.full(builtIn: .squall, cpuCount: 2).experiments.flatMap {
        $0.columns.map(\.cell.question)
      })
    #expect(asked == Set(Question.allCases).subtracting([.headroom]))
  }

  @Test func everyRepeatedQuestionHasFiveRoundsWhereGoalsCompareClients() {
    for experiment in Plan.full(builtIn: .squall, cpuCount: 2).experiments {
      if experiment.columns.contains(where: { [.closed, .rate].contains($0.cell.question) }) {
        #expect(experiment.repetitions >= 5)
      }
    }
  }

  @Test func questionsAndClientsCanBeChosen() {
    let plan = Plan.full(builtIn: .squall, cpuCount: 2)
      .only(questions: [.closed], clients: ["wrk", "floor"])
    let columns = plan.experiments.flatMap(\.columns)
    #expect(columns.allSatisfy { $0.cell.question == .closed })
    #expect(columns.allSatisfy { Set($0.clients).isSubset(of: ["wrk", "floor"]) })
    #expect(plan.runCount { _ in true } == 6 * 2 * 5)
    #expect(plan.repeated(1).runCount { _ in true } == 6 * 2)
  }

  @Test func everyClientOfAPlanIsKnown() {
    let known = Set(Catalog.clients(locustFile: "f").map(\.name))
    for plan in [Plan.full(builtIn: .squall, cpuCount: 2), Plan.quick(builtIn: .squall)] {
      for column in plan.experiments.flatMap(\.columns) {
        #expect(Set(column.clients).isSubset(of: known))
      }
    }
  }
}
