extension Program.UserLoad {
  /// Users that there are at an instant of run time, and until when there are as many at least.
  ///
  /// A number that rises has its first user at once, one that falls loses its first at once: so that
  /// whoever looks at every change finds each user there for its time.
  package func userCount(atNs nowNs: UInt64) -> (count: UInt64, untilNs: UInt64) {
    var startNs: UInt64 = 0
    var from: UInt64 = 0
    for stage in stages {
      let endNs = startNs &+ stage.durationNs
      guard nowNs >= endNs else {
        guard stage.to != from else { return (from, endNs) }
        let share = Double(nowNs &- startNs) / Double(stage.durationNs)
        let span = stage.to > from ? stage.to - from : from - stage.to
        let step = min(span, UInt64(share * Double(span)) + 1)
        let stepNs = Double(stage.durationNs) / Double(span)
        let untilNs = min(endNs, startNs &+ UInt64((Double(step) * stepNs).rounded(.up)))
        return (stage.to > from ? from + step : from - step, max(untilNs, nowNs &+ 1))
      }
      startNs = endNs
      from = stage.to
    }
    return (from, .max)
  }

  /// One rise, and then as many users to the end: the load that a ramp of connections is.
  package var isOneRise: Bool { stages.dropFirst().allSatisfy { $0.to == stages[0].to } }
}
