import Benchmark
import CAllocations

/// Every benchmark does its work a thousand times an iteration (once, where one takes more than a
/// microsecond) on input made beforehand, and reports the time of one and what it allocated.
let benchmarks: @Sendable () -> Void = {
  Benchmark.defaultConfiguration = .init(
    metrics: [.wallClock, .allocations],
    warmupIterations: 20,
    scalingFactor: .kilo,
    maxDuration: .seconds(1),
    maxIterations: 20_000,
    thresholds: .beyondNoise(percent: 100))

  parserBenchmarks()
  requestBenchmarks()
  histogramBenchmarks()
  batchBenchmarks()
  pacerBenchmarks()
  ringBenchmarks()
}

extension Benchmark.Configuration {
  /// For work of one pass that takes more than a microsecond: it allocates or calls the kernel, and
  /// is disturbed by others more than a loop in the cache.
  static var single: Self {
    var configuration = Benchmark.defaultConfiguration
    configuration.scalingFactor = .one
    configuration.thresholds = .beyondNoise(percent: 250)
    return configuration
  }

  /// For work that eats bytes, and so has a speed.
  static var bytes: Self {
    var configuration = Benchmark.defaultConfiguration
    configuration.metrics.append(.byteRate)
    configuration.thresholds?[.byteRate] = BenchmarkThresholds(relative: [.p90: 50])
    return configuration
  }
}

extension [BenchmarkMetric: BenchmarkThresholds] {
  /// How much worse than the checked-in figure a run may be: allocations not by one, times by a
  /// share above what runs of one build differed by on a shared machine (80 % in the cache, twice
  /// that where the kernel or the allocator is called).
  static func beyondNoise(percent: Double) -> Self {
    [
      .wallClock: BenchmarkThresholds(relative: [.p90: percent]),
      .allocations: BenchmarkThresholds(absolute: [.p90: 0]),
    ]
  }
}

extension BenchmarkMetric {
  /// By our own counter in front of malloc: the package's own needs an interposer that is a trait
  /// of it.
  static let allocations = BenchmarkMetric.custom(
    "Allocations", polarity: .prefersSmaller, useScalingFactor: true)
  static let byteRate = BenchmarkMetric.custom(
    "MB per second", polarity: .prefersLarger, useScalingFactor: false)
}

extension Benchmark {
  /// Measures the body alone, and counts what it allocates.
  ///
  /// - Parameter byteCount: what one pass of the body's loop reads, when that is of interest.
  func counting(byteCount: Int? = nil, _ body: () throws -> Void) rethrows {
    let before = allocations_count()
    let clock = ContinuousClock()
    startMeasurement()
    let begin = clock.now
    try body()
    let end = clock.now
    stopMeasurement()
    measurement(.allocations, Int(allocations_count() - before))
    if let byteCount {
      let ns = (end - begin) / Duration.nanoseconds(1)
      measurement(.byteRate, Int(Double(byteCount * scaledIterations.count) / ns * 1e3))
    }
  }
}
