internal import SquallLoad

/// Finds the highest rate that meets objectives: `find`'s head. It says which rate to measure next and
/// is told what came of it.
///
///     growing ─fails▶ bisecting ─close enough▶ confirming ─passes▶ done
///        └─passes, at the limit▶ confirming      └─fails▶ confirming, a little lower
///
/// A rate passes when every objective does and the rate was reached. A generator that is late or busy
/// makes its numbers worse, never better, so what it passes is passed; what it fails is its own limit.
/// Where the load exceeds what the target can do, the rate it answered at is a good guess of its
/// limit, and the next step is taken from it rather than from the middle.
package struct RateSearch: Equatable, Sendable {
  package struct Options: Equatable, Sendable {
    package var startHz = 1000.0
    /// Nothing above is tried.
    package var endHz = 1e8
    /// Nothing below is tried.
    package var lowestHz = 1.0
    /// Rates closer than this are not told apart.
    package var precision = 0.02
    package var growth = 2.0
    package var settleNs: UInt64 = 500_000_000
    package var measureNs: UInt64 = 2_000_000_000
    package var confirmNs: UInt64 = 5_000_000_000
    /// Steps in all, at most; then the best rate so far is the outcome.
    package var stepCountMax = 40

    package init() {}
  }

  /// What to run next: an open loop at a rate, its warm-up as long as `settleNs`.
  package struct Step: Equatable, Sendable {
    package var rateHz: Double
    package var settleNs: UInt64
    package var measureNs: UInt64
    package var isConfirming: Bool
  }

  package struct Measurement: Equatable, Sendable {
    package var rateHz: Double
    package var isConfirming: Bool
    package var okPerS: Double
    package var achievedRatio: Double
    package var errorShare: Double
    package var latency: LatencySummary
    /// Highest busy ratio of a worker.
    package var busyRatio: Double
    package var saturated: Bool
    /// Why it was not valid, the first reason; nil when it was.
    package var reason: String?
    package var objectives: [RunResult.SloOutcome]

    package init(_ result: RunResult, step: Step) {
      rateHz = step.rateHz
      isConfirming = step.isConfirming
      okPerS = result.rate.okPerS
      achievedRatio = result.rate.achievedRatio ?? 1
      errorShare = result.errorShare
      latency = result.latency.response
      busyRatio = result.workers.map(\.busyRatio).max() ?? 0
      saturated = result.verdict.saturated
      reason = result.verdict.reasons.first
      objectives = result.slo
    }

    package var passes: Bool {
      achievedRatio >= RunResult.Verdict.achievedRatioMin
        && objectives.allSatisfy { $0.pass == true }
    }
  }

  /// What the next rate up was stopped by.
  package enum Limit: Equatable, Sendable {
    /// The first objective that fails there.
    case objective(String)
    /// The target did not take the rate.
    case rateNotReached
    /// The generator's own, for that reason; the target may do more.
    case generator(String?)
    /// `Options.endHz`.
    case end
    /// Not even the lowest rate passed.
    case nothingPasses
    case stepCount
  }

  package struct Outcome: Equatable, Sendable {
    /// The highest rate that passed; nil when none did.
    package var rateHz: Double?
    /// A run of its own at that rate passed as well.
    package var isConfirmed: Bool
    package var limit: Limit
  }

  private enum State: Equatable, Sendable {
    case growing
    case bisecting
    case confirming
    case done
  }

  package let options: Options
  package private(set) var measurements: [Measurement] = []
  package private(set) var outcome: Outcome?
  private var state = State.growing
  private var rateHz: Double
  private var highestPassing: Double?
  private var lowestFailing: Double?
  private var limit = Limit.end

  package init(options: Options) {
    self.options = options
    rateHz = Swift.max(options.lowestHz, Swift.min(options.endHz, options.startHz))
  }

  /// The step to run now; nil when the outcome is there.
  package var step: Step? {
    guard outcome == nil else { return nil }
    let isConfirming = state == .confirming
    return Step(
      rateHz: rateHz, settleNs: options.settleNs,
      measureNs: isConfirming ? options.confirmNs : options.measureNs, isConfirming: isConfirming)
  }

  /// Takes what the step came to.
  package mutating func measured(_ measurement: Measurement) {
    precondition(outcome == nil, "the search is over")
    measurements.append(measurement)
    let passes = measurement.passes
    if !passes { limit = Self.limit(measurement) }
    if passes {
      highestPassing = Swift.max(highestPassing ?? 0, measurement.rateHz)
    } else {
      lowestFailing = Swift.min(lowestFailing ?? .infinity, measurement.rateHz)
      // Overtaken by a failure below: what passed above was luck.
      highestPassing =
        measurements.filter { $0.passes && $0.rateHz < measurement.rateHz }.map(\.rateHz).max()
    }
    if state == .confirming && passes {
      finish(rateHz: measurement.rateHz, isConfirmed: true, limit)
    } else if measurements.count >= options.stepCountMax {
      finish(rateHz: highestPassing, isConfirmed: false, .stepCount)
    } else if state == .confirming {
      retreat()
    } else {
      advance(after: measurement)
    }
  }

  private mutating func advance(after measurement: Measurement) {
    guard let lowestFailing else {
      if rateHz >= options.endHz { return confirm(rateHz) }
      rateHz = Swift.min(options.endHz, rateHz * options.growth)
      return
    }
    guard let highestPassing else {
      guard rateHz > options.lowestHz else {
        return finish(rateHz: nil, isConfirmed: false, .nothingPasses)
      }
      let guess = measurement.okPerS * 0.9
      let lower = rateHz / (options.growth * options.growth)
      rateHz = Swift.max(
        options.lowestHz, Swift.min(rateHz / options.growth, Swift.max(guess, lower)))
      return
    }
    state = .bisecting
    let step = 1 + options.precision
    guard lowestFailing / highestPassing > step else { return confirm(highestPassing) }
    var next = (lowestFailing * highestPassing).squareRoot()
    // The first time only: a guess that comes out wrong again and again must not replace bisection.
    if !measurement.passes && measurement.rateHz == lowestFailing && !hasGuessed {
      let guess = measurement.okPerS * 0.98
      if guess > highestPassing * step && guess < lowestFailing / step {
        next = guess
        hasGuessed = true
      }
    } else if measurement.passes && hasGuessed && !hasGuessedAbove {
      // The guess passed: the limit is near above it.
      hasGuessedAbove = true
      let above = highestPassing * (1 + 2 * options.precision)
      if above < lowestFailing / step { next = above }
    }
    rateHz = next
  }

  private var hasGuessed = false
  private var hasGuessedAbove = false

  private mutating func confirm(_ rateHz: Double) {
    state = .confirming
    self.rateHz = rateHz
  }

  /// A rate that passed once and not twice is too high by some.
  private mutating func retreat() {
    let lower = rateHz / (1 + options.precision)
    guard lower >= options.lowestHz else {
      return finish(rateHz: nil, isConfirmed: false, .nothingPasses)
    }
    rateHz = lower
  }

  private mutating func finish(rateHz: Double?, isConfirmed: Bool, _ limit: Limit) {
    state = .done
    outcome = Outcome(rateHz: rateHz, isConfirmed: isConfirmed, limit: limit)
  }

  private static func limit(_ measurement: Measurement) -> Limit {
    if measurement.saturated { return .generator(measurement.reason) }
    if let failed = measurement.objectives.first(where: { $0.pass != true }) {
      return .objective(failed.expression)
    }
    return .rateNotReached
  }
}
