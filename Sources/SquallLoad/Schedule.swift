/// The instants at which the requests of an open loop are due, as one pure function of the index.
///
/// The rate is piecewise linear in time: each stage goes from the rate before it to `endHz` over
/// `durationNs`. Rates are totals over all workers, in requests per second.
public struct Schedule: Equatable, Sendable {
  public enum Arrival: UInt8, Equatable, Sendable {
    /// Evenly spaced under the rate curve.
    case uniform = 0
    /// A Poisson process with the rate curve as its intensity.
    case poisson = 1
  }

  public struct Stage: Equatable, Sendable {
    public var durationNs: UInt64
    public var endHz: Double

    public init(durationNs: UInt64, endHz: Double) {
      self.durationNs = durationNs
      self.endHz = endHz
    }
  }

  public var startHz: Double
  /// After the last stage its rate goes on for ever.
  public var stages: [Stage]
  public var arrival: Arrival
  public var seed: UInt64
  /// Steps to another rate on the way, in the order of time. Not a part of a plan's bytes.
  package private(set) var steps: [Step] = []

  /// From `atNs` on the rate is `rateHz` to the end: stages that were not over end there.
  package struct Step: Equatable, Sendable {
    package var atNs: UInt64
    package var rateHz: Double
  }

  /// Takes a change of the rate in. What was due before it stays due when it was.
  package mutating func change(_ change: LoadChange) {
    guard let rateHz = change.rateHz, change.atNs > steps.last?.atNs ?? 0 else { return }
    steps.append(Step(atNs: change.atNs, rateHz: rateHz))
  }

  public init(startHz: Double, stages: [Stage] = [], arrival: Arrival = .uniform, seed: UInt64 = 1)
  {
    self.startHz = startHz
    self.stages = stages
    self.arrival = arrival
    self.seed = seed
  }
}
