import Benchmark
import SquallCluster
import SquallLoad

/// Latencies as a loaded server gives them: most near 300 us, a tail to 30 ms.
private func latenciesNs(count: Int) -> [UInt64] {
  var state: UInt64 = 42
  return (0..<count).map { index in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    let spread = state >> 44  // 20 bits
    return 250_000 + spread / 8 + (index % 100 == 0 ? spread * 28 : 0)
  }
}

private func filled(count: Int) -> Histogram {
  latenciesNs(count: count).reduce(into: Histogram()) { $0.record($1) }
}

private func sparse(_ histogram: Histogram) -> SparseHistogram {
  var sparse = SparseHistogram()
  for (index, count) in histogram.buckets.enumerated() where count > 0 {
    sparse.buckets.append(.init(index: UInt16(index), count: UInt32(count)))
  }
  sparse.sumNs = UInt64(histogram.sumNs)
  sparse.sumOfSquares = histogram.sumOfSquares
  sparse.minNs = histogram.minNs
  sparse.maxNs = histogram.maxNs
  return sparse
}

func histogramBenchmarks() {
  let latencies = latenciesNs(count: 1_024)
  Benchmark("histogram-record") { benchmark in
    var histogram = filled(count: 10)
    benchmark.counting {
      for index in benchmark.scaledIterations { histogram.record(latencies[index & 1_023]) }
    }
    blackHole(histogram.maxNs)
  }
  Benchmark("histogram-merge-of-100000-samples", configuration: .single) {
    benchmark in
    let one = filled(count: 100_000)
    var sum = filled(count: 10)
    benchmark.counting { sum.merge(one) }
    blackHole(sum.maxNs)
  }
  Benchmark("histogram-p99", configuration: .single) { benchmark in
    let histogram = filled(count: 100_000)
    benchmark.counting { blackHole(histogram.quantileNs(0.99)) }
  }
}

/// One interval of one worker under load: 200,000 requests to one endpoint.
private func batch() -> Batch {
  let histogram = sparse(filled(count: 200_000))
  var counters = Counters()
  counters.sent = 200_000
  return Batch(
    name: BatchName(incarnation: Incarnation(agent: 1, worker: 2, life: 3), sequence: 4),
    firstInterval: 10, lastInterval: 10, phase: .measured, startNs: 10_000_000_000,
    endNs: 11_000_000_000,
    endpoints: [.init(index: 0, counters: counters, response: histogram, service: histogram)])
}

func batchBenchmarks() {
  Benchmark("batch-encode", configuration: .single) { benchmark in
    let batch = batch()
    benchmark.counting { blackHole(batch.encoded()) }
  }
  Benchmark("batch-decode", configuration: .single) { benchmark in
    let batch = batch()
    let bytes = batch.encoded()
    try benchmark.counting { blackHole(try Batch(encoded: bytes, name: batch.name)) }
  }
}

func pacerBenchmarks() {
  let share = Share(epoch: 1, position: 1, workerCount: 4, connections: 64)
  for (name, arrival) in [("uniform", Schedule.Arrival.uniform), ("random", .poisson)] {
    let schedule = Schedule(startHz: 100_000, arrival: arrival, seed: 7)
    Benchmark("pacer-\(name)-arrival") { benchmark in
      var pacer = Pacer(load: .open(schedule), share: share, endNs: .max)
      benchmark.counting {
        for _ in benchmark.scaledIterations { blackHole(pacer.take(nowNs: pacer.nextDueNs)) }
      }
    }
  }
  Benchmark("pacer-closed-loop") { benchmark in
    var pacer = Pacer(load: .closed, share: share, endNs: .max)
    benchmark.counting {
      for index in benchmark.scaledIterations { blackHole(pacer.take(nowNs: UInt64(index))) }
    }
  }
}
