import Glibc
import SquallCluster
import SquallLoad
import Testing

/// What a large cluster costs the master, measured on demand: `SQUALL_MASTER_COST=1`, alone, in release.
@Suite(.enabled(if: environment("SQUALL_MASTER_COST") != nil))
struct MasterCostTests {
  private static let agentCount = 250
  private static let workersPerAgent = 8
  private static let endpointCount = 20
  private static let seconds: UInt32 = 10

  /// CPU time of this process, in seconds.
  private func cpuSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  /// Resident memory in KiB.
  private func residentKiB() -> Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var text = [CChar](repeating: 0, count: 128)
    guard fgets(&text, 128, file) != nil else { return 0 }
    let fields = String(
      decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self
    )
    .split(separator: " ")
    return (Int(fields[1]) ?? 0) * 4
  }

  /// 500 samples for each endpoint, lognormal about 2 ms with σ 0.6, for both of its histograms.
  private func batch(_ name: BatchName, _ interval: UInt32, _ dice: inout Dice) -> Batch {
    var batch = Batch(
      name: name, firstInterval: interval, lastInterval: interval, phase: .measured,
      startNs: UInt64(interval) * second, endNs: UInt64(interval + 1) * second)
    for index in 0..<Self.endpointCount {
      var endpoint = Batch.Endpoint(index: UInt16(index))
      endpoint.counters.sent = 500
      endpoint.counters.statuses[200] = 500
      endpoint.counters.bytesSent = 50_000
      endpoint.counters.bytesReceived = 200_000
      endpoint.service = histogram(&dice)
      endpoint.firstByte = histogram(&dice)
      batch.endpoints.append(endpoint)
    }
    return batch
  }

  private func histogram(_ dice: inout Dice) -> SparseHistogram {
    var counts: [UInt16: UInt32] = [:]
    var histogram = SparseHistogram()
    for _ in 0..<500 {
      let normal = (-2 * log(dice.unit() + 0x1p-60)).squareRoot() * cos(2 * Double.pi * dice.unit())
      let ns = UInt64(2_000_000 * exp(0.6 * normal))
      counts[UInt16(HistogramLayout.bucket(ns)), default: 0] += 1
      histogram.sumNs += ns
      histogram.sumOfSquares += UInt128(ns) * UInt128(ns)
      histogram.minNs = min(histogram.minNs, ns)
      histogram.maxNs = max(histogram.maxNs, ns)
    }
    histogram.buckets = counts.sorted { $0.key < $1.key }.map { .init(index: $0, count: $1) }
    return histogram
  }

  @Test func twoThousandWorkersWithTwentyEndpoints() throws {
    var dice = Dice(seed: 1)
    var plan = Plan(
      to: .init(url: "http://target/", destinations: [.init(host: "target", port: 80)]),
      sending: .init(
        method: "GET",
        endpoints: (0..<Self.endpointCount).map {
          .init(name: "/\($0)", request: [1], expectsNoBody: false)
        }), over: .init(20_000))
    plan.times.durationNs = 3_600 * second
    let settings = MasterMachine.Settings(
      build: "cost", seed: 1, digests: Digests(hash: Simulation.token))
    var run = RunSettings(run: 1, plan: plan)
    run.expectWorkers = 0
    // Every second the same bytes under another name: what they are made from costs the agents.
    let shapes = (0..<16).map { _ in
      batch(BatchName(incarnation: .init(agent: 0, worker: 0, life: 0), sequence: 0), 0, &dice)
    }
    let partsOfShape = shapes.map { $0.encodedParts() }
    let byteCount = partsOfShape.reduce(0) { $0 + $1.reduce(0) { $0 + $1.count } } / 16
    let emptyKiB = residentKiB()

    var master = MasterMachine(settings: settings)
    var ledger = RunLedger(endpointCount: Self.endpointCount)
    var nowNs = 1_000 * second
    var readers = (0..<Self.agentCount).map { _ in
      FrameReader(bodyByteCountMax: Frame.bodyByteCountMax)
    }
    var recordByteCount = 0
    var sentByteCount = 0
    var machineCpu = 0.0
    var ledgerCpu = 0.0
    var recordCpu = 0.0

    func tell(_ first: MasterMachine.Event) {
      var events = [first]
      while let event = events.popLast() {
        let effects = master.handle(event, nowNs: nowNs)
        var last: UInt64?
        for effect in effects {
          switch effect {
          case .record(let entry, let token):
            let before = cpuSeconds()
            recordByteCount += entry.bytes.count
            recordCpu += cpuSeconds() - before
            last = token
          case .merged(let batch):
            let before = cpuSeconds()
            ledger.merge(batch)
            ledgerCpu += cpuSeconds() - before
          case .send(_, let message): sentByteCount += Frame(message, sequence: 1).bytes.count
          default: break
          }
        }
        if let last { events.append(.committed(token: last)) }
      }
    }
    func receive(_ message: Message, _ agent: Int) throws {
      let bytes = Frame(message, sequence: 1).bytes
      let before = cpuSeconds()
      readers[agent].append(bytes)
      while let frame = try readers[agent].next() {
        tell(.received(peer: UInt64(agent), try frame.message))
      }
      machineCpu += cpuSeconds() - before
    }
    func report(_ agent: Int, number: UInt32) throws {
      let workers = (0..<Self.workersPerAgent).map {
        Report.Worker(
          slot: UInt16($0), life: UInt64($0 + 1), state: .ready,
          epoch: master.status(nowNs: nowNs).epoch)
      }
      try receive(
        .report(
          Report(
            number: number, sentNs: nowNs, orderNumber: .max, run: 1, isPlanReady: true,
            workers: workers)),
        agent)
    }
    tell(.started)
    tell(.begin(run, recovered: nil))
    for agent in 0..<Self.agentCount {
      tell(.connected(peer: UInt64(agent)))
      try receive(
        .hello(
          Hello(
            build: "cost", agent: UInt64(agent + 1), host: "host\(agent)",
            cpus: (0..<UInt16(Self.workersPerAgent)).map { $0 },
            nonce: Array(repeating: 0, count: 16))), agent)
      try report(agent, number: 1)
    }
    tell(.start)
    for agent in 0..<Self.agentCount { try report(agent, number: 2) }
    #expect(master.stage == .running)

    machineCpu = 0
    ledgerCpu = 0
    recordCpu = 0
    let joinedKiB = residentKiB()
    for interval in 0..<Self.seconds {
      for agent in 0..<Self.agentCount {
        nowNs += second / UInt64(Self.agentCount)
        try report(agent, number: interval + 3)
        for worker in 0..<Self.workersPerAgent {
          let parts = partsOfShape[(agent + worker) % partsOfShape.count]
          for part in parts.indices {
            try receive(
              .batchPart(
                BatchPart(
                  run: 1, worker: UInt16(worker), life: UInt64(worker + 1), sequence: interval,
                  part: UInt16(part), partCount: UInt16(parts.count), bytes: parts[part])), agent)
          }
        }
        if nowNs >= master.wakeNs { tell(.tick) }
      }
    }
    let workers = Self.agentCount * Self.workersPerAgent
    #expect(
      master.sums.sent
        == UInt64(workers * Self.endpointCount * 500) * UInt64(Self.seconds))
    let machine = (machineCpu - ledgerCpu - recordCpu) / Double(Self.seconds)
    let perWorkerKiB = Double(residentKiB() - emptyKiB) / Double(workers)
    print(
      """
      \(workers) workers, \(Self.endpointCount) endpoints, \(byteCount) bytes a batch: \
      CPU s/s: frames and machine \(machine), ledger \(ledgerCpu / Double(Self.seconds)), \
      record encoding \(recordCpu / Double(Self.seconds)); \
      memory \(perWorkerKiB) KiB a worker (\((joinedKiB - emptyKiB) / workers) after joining)
      """)
    #expect(perWorkerKiB <= 60)
    #expect(machine + (ledgerCpu + recordCpu) / Double(Self.seconds) <= 0.6)
  }
}
