/// The schedule's arithmetic. With L(t) the number of requests the rate curve gives by the time t
/// (the area under it), index k is due when L first exceeds k (uniform) or the k-th point of a
/// Poisson process of rate 1. So a stage of rate zero makes nothing due, a request at its edge waits
/// for the next stage, and when the curve ends at zero the rest is due never.
///
///     rate  r0 + a t     L(t) = n0 + r0 t + a t^2 / 2     t = 2 n / (r0 + sqrt(r0^2 + 2 a n))
///
/// with n = k - n0, rates in 1/s, t in seconds from the stage's start. The last form is the root of
/// the quadratic without cancellation; it is n / r0 where the rate is constant. Nothing is summed up
/// from request to request, hence there is no drift: an offset is right to 1 ns up to 10^15 ns (11
/// days) and to 2^-51 of itself beyond.
extension Schedule {
  /// Rates are held to this; a rate below zero or not a number counts as zero.
  package static let rateHzMax = 1e9

  /// When request `index` is due, in nanoseconds since the schedule's start, rounded to the nearest;
  /// `UInt64.max` for never. Ascending with the index, which is below 2^53.
  ///
  /// Costs a look at each stage, for a random arrival some microseconds; to go through indices in
  /// order, use a `Pacer`.
  package func offsetNs(index: UInt64) -> UInt64 {
    var walk = Walk(self)
    return walk.offsetNs(index: index)
  }

  /// The first index due at `offsetNs` or later: the number of requests due before it.
  package func firstIndex(atOrAfterNs offsetNs: UInt64) -> UInt64 {
    var walk = Walk(self)
    func isEarlier(_ index: UInt64) -> Bool { walk.offsetNs(index: index) < offsetNs }

    // The curve's count is right to rounding, or within a few standard deviations of a random one.
    let expected = min(expectedCount(beforeNs: offsetNs), 0x1p53)
    var reach = arrival == .uniform ? 2 : UInt64(4 * expected.squareRoot()) + 8
    var low = UInt64(expected) - min(UInt64(expected), reach)
    while low > 0 && !isEarlier(low - 1) {
      low -= min(low, reach)
      reach *= 2
    }
    var high = UInt64(expected) + reach
    while isEarlier(high) {
      low = high
      high += reach
      reach *= 2
    }
    while low < high {
      let middle = low + (high - low) / 2
      if isEarlier(middle) { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// The area under the rate curve from the start to `offsetNs`: the mean number of requests due.
  package func expectedCount(beforeNs offsetNs: UInt64) -> Double {
    Segment(self, atNs: offsetNs).count(atNs: offsetNs)
  }

  /// The rate of the curve at an instant, in requests per second.
  package func rateHz(atNs offsetNs: UInt64) -> Double {
    let segment = Segment(self, atNs: offsetNs)
    return segment.startHz + segment.slope * Double(offsetNs - segment.startNs) * 1e-9
  }

  /// The same curve after `durationNs` at its starting rate: what a warm-up does to a schedule.
  package func holdingStart(forNs durationNs: UInt64) -> Schedule {
    guard durationNs > 0, !stages.isEmpty else { return self }
    var held = self
    held.stages.insert(Stage(durationNs: durationNs, endHz: startHz), at: 0)
    return held
  }

  private static func valid(_ hz: Double) -> Double { hz > 0 ? min(hz, rateHzMax) : 0 }

  /// One stage, with what came before it added up. The last has no end.
  private struct Segment: Sendable {
    var stage = -1
    /// Steps taken so far.
    var step = 0
    var startNs: UInt64 = 0
    var endNs: UInt64 = 0
    var startHz: Double
    var endHz: Double
    /// Hertz per second.
    var slope = 0.0
    /// Requests before the segment and before its end.
    var startCount = 0.0
    var endCount = 0.0

    init(_ schedule: Schedule) {
      startHz = Schedule.valid(schedule.startHz)
      endHz = startHz
      advance(schedule)
    }

    init(_ schedule: Schedule, atNs offsetNs: UInt64) {
      self.init(schedule)
      while offsetNs >= endNs && !isLast(schedule) { advance(schedule) }
    }

    func isLast(_ schedule: Schedule) -> Bool {
      step == schedule.steps.count && (step > 0 || stage == schedule.stages.count)
    }

    mutating func advance(_ schedule: Schedule) {
      startNs = endNs
      startHz = endHz
      startCount = endCount
      slope = 0
      defer { cutAtStep(schedule) }
      if step < schedule.steps.count, startNs == schedule.steps[step].atNs, stage >= 0 {
        startHz = Schedule.valid(schedule.steps[step].rateHz)
        endHz = startHz
        step += 1
      }
      stage += 1
      guard step == 0, stage < schedule.stages.count else {
        endNs = .max
        endCount = startHz > 0 ? .infinity : startCount
        return
      }
      let durationNs = schedule.stages[stage].durationNs
      endHz = Schedule.valid(schedule.stages[stage].endHz)
      endNs = startNs.addingSaturated(durationNs)
      let seconds = Double(durationNs) * 1e-9
      if durationNs > 0 { slope = (endHz - startHz) / seconds }
      endCount = startCount + (startHz + endHz) / 2 * seconds
    }

    /// A step ends the segment that it falls into, and leaves all before it as it was.
    private mutating func cutAtStep(_ schedule: Schedule) {
      guard step < schedule.steps.count, schedule.steps[step].atNs <= endNs else { return }
      endNs = schedule.steps[step].atNs
      endCount = count(atNs: endNs)
    }

    func count(atNs offsetNs: UInt64) -> Double {
      let seconds = Double(offsetNs - startNs) * 1e-9
      return startCount + (startHz + slope * seconds / 2) * seconds
    }

    /// The inverse of `count(atNs:)`, inside the segment.
    func offsetNs(count: Double) -> UInt64 {
      let inside = count - startCount
      guard inside > 0 else { return startNs }
      let root = slope == 0 ? startHz : max(0, startHz * startHz + 2 * slope * inside).squareRoot()
      let ns = (2 * inside / (startHz + root) * 1e9).rounded()
      guard ns < 0x1p63 else { return .max }
      return min(startNs.addingSaturated(UInt64(ns)), endNs)
    }
  }

  /// Goes through indices; cheap in ascending order, right in any.
  package struct Walk: Sendable {
    private let schedule: Schedule
    private var segment: Segment
    private var process: PoissonProcess

    package init(_ schedule: Schedule) {
      self.schedule = schedule
      segment = Segment(schedule)
      process = PoissonProcess(seed: schedule.seed)
    }

    package mutating func offsetNs(index: UInt64) -> UInt64 {
      let count = schedule.arrival == .uniform ? Double(index) : process.point(index)
      if count < segment.startCount { segment = Segment(schedule) }
      while count >= segment.endCount {
        if segment.isLast(schedule) { return .max }
        segment.advance(schedule)
      }
      return segment.offsetNs(count: count)
    }
  }
}
