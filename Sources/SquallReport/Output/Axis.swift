internal import SquallLoad

/// One direction of a chart: values to pixels, and the ticks a reader needs.
struct Axis {
  enum Kind: Equatable {
    case linear
    case logarithmic
  }

  let kind: Kind
  let low: Double
  let high: Double
  let start: Double
  let end: Double

  /// Values `low ... high` on pixels `start ... end`. A range without extent is widened.
  init(_ kind: Kind, low: Double, high: Double, start: Double, end: Double) {
    self.kind = kind
    self.start = start
    self.end = end
    switch kind {
    case .linear:
      self.low = low
      self.high = high > low ? high : low + 1
    case .logarithmic:
      self.low = max(low, 1e-9)
      self.high = high > self.low ? high : self.low * 2
    }
  }

  /// The pixel of a value, kept inside the axis.
  func position(_ value: Double) -> Double {
    let share: Double
    switch kind {
    case .linear: share = (value - low) / (high - low)
    case .logarithmic:
      share = naturalLogarithm(max(value, low) / low) / naturalLogarithm(high / low)
    }
    return start + (end - start) * max(0, min(1, share))
  }

  /// Round values inside the range, four to eight or so: 1, 2 and 5 times powers of ten.
  var ticks: [Double] {
    switch kind {
    case .linear:
      let step = Self.roundStep((high - low) / 5.5)
      var ticks: [Double] = []
      var tick = (low / step).rounded(.up) * step
      while tick <= high * (1 + 1e-9) {
        ticks.append(tick)
        tick += step
      }
      return ticks
    case .logarithmic:
      var ticks: [Double] = []
      let isWide = high / low > 300
      var decade = 1e-9
      while decade <= high {
        for factor in isWide ? [1.0] : [1.0, 2, 5] {
          let tick = decade * factor
          if tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9) { ticks.append(tick) }
        }
        decade *= 10
      }
      return ticks
    }
  }

  /// The smallest of 1, 2, 5 times a power of ten that is not below.
  static func roundStep(_ least: Double) -> Double {
    var decade = 1e-9
    while decade * 10 <= least { decade *= 10 }
    for factor in [1.0, 2, 5, 10] where decade * factor >= least * (1 - 1e-9) {
      return decade * factor
    }
    return decade * 10
  }

  /// Steps that read well on a clock, in seconds; at most eight ticks.
  static func timeTicks(endSeconds: Double) -> [Double] {
    let steps = [
      0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600,
    ]
    let step = steps.first { endSeconds / $0 <= 8 } ?? roundStep(endSeconds / 8)
    return (0...Int(endSeconds / step)).map { Double($0) * step }
  }
}
