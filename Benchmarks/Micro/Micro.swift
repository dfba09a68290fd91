import Benchmark
import CAllocations

/// Every benchmark does its work `innerCount` times an iteration on input made beforehand, and
/// reports the time of one, and how often memory was allocated.
let benchmarks: @Sendable () -> Void = {
  Benchmark.defaultConfiguration = .init(
    metrics: [.wallClock, .allocations],
    warmupIterations: 20,
    scalingFactor: .kilo,
    maxDuration: .milliseconds(500),
    maxIterations: 2_000)

  parserBenchmarks()
  requestBenchmarks()
  histogramBenchmarks()
  batchBenchmarks()
  pacerBenchmarks()
  ringBenchmarks()
}

extension BenchmarkMetric {
  /// By our own counter in front of malloc: the package's own reads nothing without its
  /// interposer.
  static let allocations = BenchmarkMetric.custom(
    "Allocations per iteration", polarity: .prefersSmaller, useScalingFactor: true)
}

extension Benchmark {
  /// Measures the body alone, and counts what it allocates.
  func counting(_ body: () throws -> Void) rethrows {
    let before = allocations_count()
    startMeasurement()
    try body()
    stopMeasurement()
    measurement(.allocations, Int(allocations_count() - before))
  }
}
