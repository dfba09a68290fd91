internal import SquallLoad

/// When the target answered and when it did not.
extension RunResult.Verdict {
  /// Without an answer for less than this a target may only be slow.
  static let silenceNsMin: UInt64 = 500_000_000

  /// A target that stopped answering, and stretches in which it did not answer. Only where requests or
  /// connections failed meanwhile: a time in which nothing was asked says nothing.
  mutating func judgeTarget(_ result: RunResult, _ ledger: RunLedger) {
    let measured = result.intervals.filter { $0.isMeasured && $0.endNs > $0.startNs }
    guard let first = measured.firstIndex(where: { $0.ok > 0 }),
      let last = measured.lastIndex(where: { $0.ok > 0 }), let end = measured.last
    else { return }
    let limit = Self.localLimit(result, ledger)
    let before = measured[first...last]
    judgeGaps(before, limit)
    let startNs = measured[0].startNs
    let answered = before.reduce(UInt64(0)) { $0 + $1.ok }
    let exactNs = before.last?.lastOkNs
    let goneNs = exactNs ?? Self.lastAnswerNs(before)
    let silenceNs = end.endNs - min(goneNs, end.endNs)
    var after = measured[(last + 1)...]
    // The end of the last interval in which answers came is silent for longer than by chance.
    if let exactNs, after.isEmpty,
      Double(silenceNs) * Double(answered) >= 10 * Double(exactNs - min(exactNs, startNs))
    {
      after = measured[last...]
    }
    guard let cause = Self.mainCause(after), silenceNs >= Self.silenceNsMin else { return }
    let intoNs = goneNs - min(goneNs, startNs)
    // One interval has no other to be compared with: when in it the answers ended is not known.
    let isKnown = exactNs != nil || before.count > 1
    let when = isKnown ? Figures.duration(intoNs) : "less than \(Figures.duration(intoNs))"
    if cause == .connect, let limit {
      reasons.append(
        "no connection could be opened any more \(when) into the run: \(limit.sentence)")
      return
    }
    targetGoneNs = intoNs
    let seconds = Double(goneNs - min(goneNs, before[first].startNs)) * 1e-9
    // Over less than this a rate is that of a burst.
    okPerSBeforeGone = isKnown && seconds >= 0.1 ? Double(answered) / seconds : nil
    let rate = okPerSBeforeGone.map { "; until then it gave \(Figures.rate($0)) ok/s" } ?? ""
    let answers = [.status, .check, .parse].contains(cause)
    reasons.append(
      "the target \(answers ? "gave its last ok answer" : "stopped answering") \(when) into the run: "
        + "\(Self.words(cause))\(rate); look at the target")
  }

  private mutating func judgeGaps(
    _ intervals: ArraySlice<RunResult.Interval>, _ limit: Limit?
  ) {
    var gap: Range<Int>?
    for index in intervals.indices where intervals[index].ok == 0 {
      let start = gap.map { $0.upperBound == index ? $0.lowerBound : index } ?? index
      let next = start..<index + 1
      if next.count >= gap?.count ?? 0 { gap = next }
    }
    guard let gap, let cause = Self.mainCause(intervals[gap]) else { return }
    let (fromNs, toNs) = (intervals[gap.lowerBound].startNs, intervals[gap.upperBound - 1].endNs)
    guard toNs - fromNs >= Self.silenceNsMin else { return }
    let words = cause == .connect ? limit?.sentence : nil
    cautions.append(
      "\(words == nil ? "the target gave no ok answer" : "no connection could be opened") from "
        + "\(Figures.duration(fromNs)) to \(Figures.duration(toNs)) of the run: "
        + (words ?? Self.words(cause)))
  }

  /// What most attempts failed of; nil when none did.
  private static func mainCause(_ intervals: ArraySlice<RunResult.Interval>) -> ErrorCause? {
    let counts = ErrorCause.allCases.map { cause in
      (cause, intervals.reduce(UInt64(0)) { $0 + ($1.errors[cause.name] ?? 0) })
    }
    return counts.filter { $0.1 > 0 }.max { $0.1 < $1.1 }?.0
  }

  /// About when the last answer came. An interval in which answers ended has as large a part of the
  /// usual number as of its time; one alone has nothing to compare with, and is taken whole.
  private static func lastAnswerNs(_ intervals: ArraySlice<RunResult.Interval>) -> UInt64 {
    guard let last = intervals.last else { return 0 }
    let others = intervals.dropLast().filter { $0.ok > 0 }
    guard !others.isEmpty else { return last.endNs }
    let perNs =
      Double(others.reduce(UInt64(0)) { $0 + $1.ok })
      / Double(others.reduce(UInt64(0)) { $0 + $1.endNs - $1.startNs })
    let lengthNs = Double(last.endNs - last.startNs)
    return last.startNs + UInt64(min(lengthNs, Double(last.ok) / perNs))
  }

  private static func words(_ cause: ErrorCause) -> String {
    switch cause {
    case .connect: "no connection could be opened any more"
    case .tls: "no TLS handshake was done any more"
    case .timeout, .deadline: "requests were taken and not answered in time"
    case .reset, .closed, .send: "connections were closed without an answer"
    case .parse: "what came could not be read"
    case .status: "every answer had an error's status"
    case .check: "no answer held what is checked"
    case .other: "requests failed"
    }
  }
}
