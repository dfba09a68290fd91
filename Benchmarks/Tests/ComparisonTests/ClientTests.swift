import Comparison
import Foundation
import Testing

private func fixture(_ name: String) throws -> String {
  let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
  return try String(contentsOf: folder.appending(path: "Fixtures/\(name)"), encoding: .utf8)
}

private func load(
  connections: Int = 64, rate: Int? = nil, pipeline: Int = 1, count: Int? = nil, threads: Int = 1
) -> Load {
  var load = Load()
  load.port = 8_080
  load.connections = connections
  load.rateHz = rate
  load.pipeline = pipeline
  load.requestCount = count
  load.seconds = 2
  load.cpus = Array(0..<threads)
  return load
}

/// Outputs of the programs themselves, captured; those named "documented" are as their projects
/// document them.
struct ClaimTests {
  @Test func wrkCountsAndItsTimes() throws {
    let claim = try Wrk().claim(Output(standardOutput: fixture("wrk.txt")), load: load())
    #expect(claim.ok == 58_069)
    #expect(claim.failed == 0)
    #expect(claim.seconds == 1.01)
    #expect(claim.meanNs == 1_030_000)
    #expect(claim.p50Ns == 522_000)
    #expect(claim.p75Ns == 616_000)
    #expect(claim.p99Ns == 5_570_000)
  }

  @Test func wrkAnswersThatAreNotOkAreNotCountedAsOk() throws {
    let claim = try Wrk().claim(Output(standardOutput: fixture("wrk-errors.txt")), load: load())
    #expect(claim.ok == 31_000)
    #expect(claim.failed == 409 + 1 + 2 + 3 + 4)
  }

  @Test func wrk2SpeaksAsWrkDoes() throws {
    let claim = try Wrk2().claim(
      Output(standardOutput: fixture("wrk2-documented.txt")), load: load(rate: 2_000))
    #expect(claim.ok == 60_018)
    #expect(claim.seconds == 30)
    #expect(claim.p50Ns == 6_670_000)
    #expect(claim.p99Ns == 11_180_000)
  }

  @Test func h2loadSaysWhatItStartedAndWhatSucceeded() throws {
    let claim = try H2load().claim(Output(standardOutput: fixture("h2load.txt")), load: load())
    #expect(claim.ok == 30_762)
    #expect(claim.sent == 30_826)
    #expect(claim.inFlight == 64)
    #expect(claim.seconds == 1.01)
    #expect(claim.meanNs == 2_080_000)
  }

  @Test func h2loadOverHTTP2CountsStreamsThatSucceeded() throws {
    let claim = try H2load().claim(Output(standardOutput: fixture("h2load-h2.txt")), load: load())
    #expect(claim.ok == 92_950)
    #expect(claim.sent == 93_110)
    #expect(claim.failed == 0)
    #expect(claim.inFlight == 160)
    #expect(claim.seconds == 1)
    #expect(claim.meanNs == 1_600_000)
  }

  @Test func abMeansTheTimeOfOneRequestNotOfAllAtOnce() throws {
    let claim = try ApacheBench().claim(Output(standardOutput: fixture("ab.txt")), load: load())
    #expect(claim.ok == 33_738)
    #expect(claim.meanNs == 1_905_000)
    #expect(claim.p99Ns == 6_000_000)
    #expect(claim.seconds == 1.004)
  }

  @Test func heyIsReadByItsStatusCodes() throws {
    let claim = try Hey().claim(Output(standardOutput: fixture("hey.txt")), load: load())
    #expect(claim.ok == 18_216)
    #expect(claim.failed == 0)
    #expect(claim.meanNs == 3_500_000)
    #expect(claim.p99Ns == 14_700_000)
  }

  @Test func heyRefusedConnectionsAreNotRequestsPerSecond() throws {
    let claim = try Hey().claim(Output(standardOutput: fixture("hey-refused.txt")), load: load())
    #expect(claim.ok == 0)
    #expect(claim.failed == 8)
    #expect(claim.meanNs == nil)
  }

  @Test func gcannonIsReadByItsStatusClasses() throws {
    let claim = try Gcannon().claim(Output(standardOutput: fixture("gcannon.json")), load: load())
    #expect(claim.ok == 148_450)
    #expect(claim.meanNs == 430_000)
    #expect(claim.p99Ns == 660_000)
  }

  @Test func ourOwnClientsSayWhatIsInFlight() throws {
    let claim = try OwnClient.all[0].claim(
      Output(standardOutput: fixture("floor.json")), load: load())
    #expect(claim.ok == 170_063)
    #expect(claim.sent == 170_127)
    #expect(claim.failed == 4)
    #expect(claim.inFlight == 60)
    #expect(claim.probes == 1)
  }

  @Test func locustPercentilesComeFromItsRoundedTimes() throws {
    let client = try #require(Locust.all(file: "f.py").first)
    let claim = try client.claim(
      Output(standardOutput: "noise\n" + fixture("locust.json")), load: load())
    #expect(claim.ok == 845)
    #expect(claim.p50Ns == 7_000_000)
    #expect(claim.p99Ns == 77_000_000)
    #expect(abs((claim.meanNs ?? 0) - 8_070_000) < 10_000)
  }

  @Test func documentedOutputsOfTheOthers() throws {
    let zrk = try Zrk().claim(
      Output(standardOutput: fixture("zrk-documented.json")), load: load(rate: 1_000))
    #expect(zrk.ok == 19_998)
    #expect(zrk.failed == 2)
    #expect(zrk.p99Ns == 1_913_000)

    let oha = try Oha().claim(
      Output(standardOutput: fixture("oha-documented.json")), load: load())
    #expect(oha.ok == 96_000)
    #expect(oha.inFlight == 64)
    #expect(oha.failed == 3)
    #expect(oha.meanNs == 1_250_000)

    let vegeta = try Vegeta().claim(
      Output(standardOutput: fixture("vegeta-documented.json")), load: load())
    #expect(vegeta.ok == 2_990)
    #expect(vegeta.failed == 10)
    #expect(vegeta.meanNs == 12_345_587)

    let k6 = try K6().claim(
      Output(standardOutput: "", result: fixture("k6-documented.json")), load: load())
    #expect(k6.ok == 19_800)
    #expect(k6.failed == 200)
    #expect(k6.dropped == 7)
    #expect(k6.p99Ns == 4_200_000)

    let bombardier = try Bombardier().claim(
      Output(standardOutput: fixture("bombardier-documented.json")), load: load())
    #expect(bombardier.ok == 190_000)
    #expect(bombardier.failed == 8)
    #expect(bombardier.p50Ns == 610_000)

    let nighthawk = try Nighthawk().claim(
      Output(standardOutput: fixture("nighthawk-documented.json")), load: load())
    #expect(nighthawk.ok == 28_124)
    #expect(nighthawk.failed == 3)
    #expect(nighthawk.p50Ns == 415_000)
    #expect(nighthawk.p99Ns == 500_000)
  }

  @Test func squallResultIsReadByItsSchema() throws {
    let result = """
      {"schema":"squall.result/1","measured_ns":2000000000,
      "requests":{"sent":1010,"completed":1005,"ok":1000,"not_ok":5,"in_flight_at_stop":5,"dropped":1},
      "latency_ns":{"response":{"mean":2000,"p50":1900,"p75":2100,"p99":9000},
      "service":{"mean":1500,"p99":8000}},"verdict":{"saturated":true}}
      """
    let claim = try Squall().claim(Output(standardOutput: "", result: result), load: load())
    #expect(claim.ok == 1_000)
    #expect(claim.sent == 1_010)
    #expect(claim.failed == 5)
    #expect(claim.inFlight == 5)
    #expect(claim.dropped == 1)
    #expect(claim.seconds == 2)
    #expect(claim.serviceMeanNs == 1_500)
    #expect(claim.verdict == "generator saturated")
  }

  @Test(arguments: Catalog.clients(locustFile: "f.py").map(\.name))
  func outputThatIsNoResultIsRefused(name: String) throws {
    let client = try #require(Catalog.clients(locustFile: "f.py").first { $0.name == name })
    for text in ["", "unable to connect", "{}", "[]", "{\"results\": 3}", "requests: x total"] {
      #expect(throws: Unable.self) {
        try client.claim(Output(standardOutput: text, result: text), load: load())
      }
    }
  }
}

struct CommandTests {
  private let folder = NSTemporaryDirectory()

  @Test func aClientRefusesWhatItCannotDo() {
    #expect(throws: Unable.self) {
      try Wrk().command(load(rate: 100), program: "wrk", folder: folder)
    }
    #expect(throws: Unable.self) {
      try Wrk2().command(load(), program: "wrk2", folder: folder)
    }
    #expect(throws: Unable.self) {
      try Hey().command(load(pipeline: 16), program: "hey", folder: folder)
    }
    #expect(throws: Unable.self) {
      try Hey().command(load(connections: 30, count: 100), program: "hey", folder: folder)
    }
    #expect(throws: Unable.self) {
      try OwnClient.all[0].command(load(threads: 2), program: "floor", folder: folder)
    }
  }

  @Test func ratesThatAreMeantForEachConnectionAreDivided() throws {
    let h2load = try H2load().command(load(rate: 10_000), program: "h2load", folder: folder)
    #expect(h2load.arguments.contains("156.25"))
    let hey = try Hey().command(load(rate: 10_000), program: "hey", folder: folder)
    #expect(hey.arguments.contains("156.25"))
    #expect(hey.environment["GOMAXPROCS"] == "1")
  }

  @Test func squallIsAskedByItsCommandLine() throws {
    var asked = load(rate: 1_000, pipeline: 1, threads: 2)
    asked.spins = true
    let command = try Squall().command(asked, program: "/x/squall", folder: "/s")
    let line = command.arguments.joined(separator: " ")
    #expect(line.hasPrefix("/x/squall run http://127.0.0.1:8080/ -c 64 --workers 2 --cpus 0,1"))
    #expect(line.contains("--format json -o /s/"))
    #expect(line.contains("-d 2s -R 1000 --spin"))
    #expect(command.resultPath != nil)
  }

  private func wired(
    _ wire: Wire, streams: Int = 1, connecting: Connecting = .kept, count: Int? = nil
  ) -> Load {
    var asked = load(count: count)
    asked.wire = wire
    asked.streams = streams
    asked.connecting = connecting
    asked.authority = "/s/certificate.pem"
    return asked
  }

  private func line(_ client: some Client, _ load: Load) throws -> String {
    try client.asked(load, program: "/x/program", folder: "/s").arguments
      .joined(separator: " ")
  }

  @Test func squallVerifiesAndSaysWhatItSpeaks() throws {
    let secure = try line(Squall(), wired(.https))
    #expect(secure.contains("run https://127.0.0.1:8080/ -c 64"))
    #expect(secure.hasSuffix("--cacert /s/certificate.pem"))
    let plain = try line(Squall(), wired(.h2c, streams: 10))
    #expect(plain.contains("http://127.0.0.1:8080/"))
    #expect(plain.hasSuffix("--http2-prior-knowledge --streams 10"))
    let http2 = try line(Squall(), wired(.h2, streams: 100))
    #expect(http2.hasSuffix("--cacert /s/certificate.pem --http2 --streams 100"))
    let full = try line(Squall(), wired(.https, connecting: .full, count: 2_000))
    #expect(full.contains("-c 64"))
    #expect(full.hasSuffix("--no-keepalive --tls-session full"))
    let resumed = try line(Squall(), wired(.https, connecting: .resumed))
    #expect(resumed.hasSuffix("--no-keepalive --tls-session resume"))
  }

  @Test func h2loadSpeaksHTTP2UnlessItIsToldOtherwise() throws {
    #expect(try line(H2load(), wired(.https)).contains("--h1 -t 1 -c 64 -m 1 -D 2 https://"))
    let http2 = try line(H2load(), wired(.h2, streams: 10))
    #expect(http2.hasPrefix("/x/program -t 1 -c 64 -m 10 -D 2 https://"))
    #expect(try line(H2load(), wired(.h2c)).hasSuffix("-m 1 -D 2 http://127.0.0.1:8080/"))
    // What it connects again it resumes: as many connections as requests.
    let full = try line(H2load(), wired(.https, connecting: .full, count: 2_000))
    #expect(full.contains("-c 2000 -m 1 -n 2000"))
    #expect(throws: Unable.self) {
      try line(H2load(), wired(.https, connecting: .full))
    }
    #expect(throws: Unable.self) {
      try line(H2load(), wired(.https, connecting: .resumed))
    }
  }

  @Test func wrkResumesAndIsNotAskedForAnotherProtocol() throws {
    let resumed = try line(Wrk(), wired(.https, connecting: .resumed))
    #expect(resumed.hasSuffix("-H Connection: close https://127.0.0.1:8080/"))
    #expect(throws: Unable("resumes without saying so")) {
      try line(Wrk(), wired(.https, connecting: .full, count: 2_000))
    }
    #expect(throws: Unable("does not speak HTTP/2")) { try line(Wrk(), wired(.h2)) }
  }

  @Test(arguments: Catalog.clients(locustFile: "f.py").map(\.name), Wire.allCases)
  func aClientIsOnlyAskedForWhatItSpeaks(name: String, wire: Wire) throws {
    let client = try #require(Catalog.clients(locustFile: "f.py").first { $0.name == name })
    guard !client.wires.contains(wire) else { return }
    #expect(throws: Unable.self) {
      try client.asked(wired(wire), program: "/x/program", folder: folder)
    }
  }

  @Test func theFloorsOverOtherWiresSayWhatTheyDo() throws {
    let streams = try #require(OwnClient.all.first { $0.program == "h2c-floor" })
    #expect(try line(streams, wired(.h2c, streams: 100)).hasSuffix("-c 64 -d 2 -p 100"))
    #expect(throws: Unable.self) { try line(streams, wired(.h2)) }
    let secure = try #require(OwnClient.all.first { $0.program == "tls-floor" })
    #expect(try line(secure, wired(.https)).hasSuffix("-c 64 -d 2"))
    #expect(throws: Unable.self) { try line(secure, wired(.https, connecting: .full)) }
  }

  @Test func everyClientHasACommandForAPlainClosedLoopOrSaysWhy() throws {
    for client in Catalog.clients(locustFile: "f.py") {
      do {
        let command = try client.command(load(), program: "/x/program", folder: folder)
        #expect(command.arguments.joined(separator: " ").contains("64"), "\(client.name)")
      } catch {
        #expect(!error.description.isEmpty, "\(client.name)")
      }
    }
  }

  @Test func wrkPipelinesByItsScript() throws {
    #expect(Wrk.pipelineScript(depth: 16).contains("for i = 1, 16 do"))
    let scratch = NSTemporaryDirectory() + "pipeline-test-\(getpid())"
    try FileManager.default.createDirectory(atPath: scratch, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: scratch) }
    let command = try Wrk().command(load(pipeline: 16), program: "wrk", folder: scratch)
    #expect(command.arguments.contains("\(scratch)/pipeline-16.lua"))
    #expect(FileManager.default.fileExists(atPath: "\(scratch)/pipeline-16.lua"))
  }
}

struct ScanTests {
  @Test func durationsOfEveryUnit() {
    #expect(Scan.ns("522.00us") == 522_000)
    #expect(Scan.ns("5.57ms") == 5_570_000)
    #expect(Scan.ns("2.00s") == 2_000_000_000)
    #expect(Scan.ns("10ns") == 10)
    #expect(Scan.ns("1m") == 60_000_000_000)
    #expect(Scan.ns("0.000417s") == 417_000)
    #expect(Scan.ns("fast") == nil)
    #expect(Scan.ns("") == nil)
  }

  @Test func systemCallsByName() throws {
    let counts = SyscallCounts.parse(try fixture("perf-stat.txt"))
    #expect(counts == ["read": 181, "io_uring_enter": 26_871])
  }
}
