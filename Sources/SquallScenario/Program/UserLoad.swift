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

  /// The load as it becomes by a change: from `atNs` on, users come or go until there are `to`, at
  /// `perS` a second or all at once, and what the stages had still to do is done no more. `standing` is
  /// how many there are where no stage says so.
  package func changed(atNs: UInt64, to: UInt64, perS: Double?, standing: UInt64) -> Self {
    var changed = self
    if stages.isEmpty { changed.stages = [Stage(durationNs: 0, to: standing)] }
    let count = changed.userCount(atNs: atNs).count
    var startNs: UInt64 = 0
    var kept = 0
    while kept < changed.stages.count, startNs + changed.stages[kept].durationNs <= atNs {
      startNs += changed.stages[kept].durationNs
      kept += 1
    }
    changed.stages.removeSubrange(kept...)
    changed.stages.append(Stage(durationNs: atNs - startNs, to: count))
    let span = to > count ? to - count : count - to
    let overNs = perS.map { UInt64(min(Double(span) / $0 * 1e9, 0x1p60)) } ?? 0
    changed.stages.append(Stage(durationNs: overNs, to: to))
    return changed
  }

  /// One rise, and then as many users to the end: the load that a ramp of connections is.
  package var isOneRise: Bool { stages.dropFirst().allSatisfy { $0.to == stages[0].to } }
}
