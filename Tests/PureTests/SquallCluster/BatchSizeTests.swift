import Glibc
import SquallCluster
import SquallLoad
import Testing

/// What a batch costs on the wire. The bounds are the protocol's promise; see docs/WIRE.md.
@Suite struct BatchSizeTests {
  /// Around 2 ms, as a service answers that is neither idle nor in trouble.
  private func histogram(samples: Int, sigma: Double, seed: UInt64) -> SparseHistogram {
    var random = SplitMix64(seed: seed)
    func unit() -> Double { (Double(random.next() >> 11) + 0.5) * 0x1p-53 }
    return LoadSample.sparse(
      (0..<samples).map { _ in
        let normal = (-2 * log(unit())).squareRoot() * cos(2 * Double.pi * unit())
        return UInt64(2_000_000 * exp(sigma * normal))
      })
  }

  private func byteCount(_ histogram: SparseHistogram) -> Int {
    let name = BatchName(incarnation: .init(agent: 1, worker: 0, life: 1), sequence: 0)
    var batch = Batch(
      name: name, firstInterval: 0, lastInterval: 0, phase: .measured, startNs: 0, endNs: 1)
    let empty = batch.encoded().count
    batch.connect = histogram
    // An empty histogram is one byte.
    return batch.encoded().count - empty + 1
  }

  @Test(
    arguments: [
      (100_000, 0.15, 700), (100_000, 0.35, 1_500), (100_000, 0.6, 2_200), (500, 0.6, 550),
    ])
  func aHistogramOfAnIntervalIsSmall(samples: Int, sigma: Double, limit: Int) {
    let sizes = (UInt64(1)...5).map {
      byteCount(histogram(samples: samples, sigma: sigma, seed: $0))
    }
    print("histogram of \(samples) samples, sigma \(sigma): \(sizes) bytes, at most \(limit)")
    #expect(sizes.max()! <= limit)
  }

  /// Twenty endpoints, each with some of everything, one interval of a fast worker late in a long run.
  @Test func theRestOfABatchIsSmall() {
    func batch(endpoints: Int) -> Batch {
      let name = BatchName(
        incarnation: .init(agent: .max, worker: 63, life: .max), sequence: 100_000)
      var batch = Batch(
        name: name, firstInterval: 100_000, lastInterval: 100_000, phase: .measured,
        startNs: 100_000 * second, endNs: 100_001 * second)
      batch.worker.cpuUserNs = 400_000_000
      batch.worker.cpuSystemNs = 600_000_000
      batch.worker.runQueueWaitNs = 30_000_000
      batch.worker.systemCalls = 50_000
      batch.worker.opened = 100
      batch.worker.reopened = 100
      batch.worker.connections = 1_000
      batch.worker.late = 100
      batch.worker.portFailures = 100
      batch.worker.descriptorFailures = 1
      batch.worker.lastOkNs = batch.endNs - 20_000
      for index in 0..<endpoints {
        var endpoint = Batch.Endpoint(index: UInt16(index))
        endpoint.counters.sent = 100_000
        endpoint.counters.dropped = 1_000
        endpoint.counters.bytesSent = 20_000_000
        endpoint.counters.bytesReceived = 900_000_000
        endpoint.counters.bytesBody = 800_000_000
        for cause in 0..<ErrorCause.count { endpoint.counters.errors[cause] = 300 }
        for status in [200, 204, 302, 404, 500, 503] as [UInt16] {
          endpoint.counters.statuses[status] = 20_000
        }
        batch.endpoints.append(endpoint)
      }
      return batch
    }
    let empty = batch(endpoints: 0).encoded().count
    let parts = parts(of: batch(endpoints: 1))
    let frame = Frame(.batchPart(parts[0]), sequence: .max)
    let around =
      Datagram(frame: frame, session: 1, authenticate: nil).bytes.count - parts[0].bytes.count
    let perEndpoint = (batch(endpoints: 20).encoded().count - empty) / 20
    print("batch: \(empty) bytes once, \(around) around each part, \(perEndpoint) per endpoint")
    #expect(parts.count == 1)
    // Even all of it for one endpoint.
    #expect(empty + around + perEndpoint <= 200)
    #expect(perEndpoint <= 120)
    #expect((empty + around) / 20 + perEndpoint <= 120)
  }

  /// Names are in the plan, and nowhere else.
  @Test func aBatchDoesNotRepeatNames() {
    var long = testPlan()
    long.content.endpoints[0].name = String(repeating: "n", count: 500)
    #expect(long.bytes.count > testPlan().bytes.count + 400)
    let batch = testBatch(agent: 1, life: 1, sequence: 0)
    #expect(batch.encoded().count < 100)
  }
}
