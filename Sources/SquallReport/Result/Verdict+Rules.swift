internal import SquallLoad

extension RunResult.Verdict {
  /// A worker this busy had no time left: what it did is what it could.
  package static let busyRatioMax = 0.95
  /// From here on a worker's queue for its own CPU time bends the slowest latencies.
  package static let busyRatioCaution = 0.85
  package static let scheduleLagP99NsMax = WorkerCounters.lateNs
  /// Where many think times end at once they are in each other's way.
  package static let thinkLagP99NsMax: UInt64 = 5_000_000
  /// Of the requests sent, those that left late though a connection was free.
  package static let lateRatioMax = 0.01
  /// Fewer late requests than this say nothing of a percentile.
  package static let lateCountMin = 10
  package static let achievedRatioMin = 0.99
  /// By which Little's law may be off before it says something.
  package static let littlesLawTolerance = 0.05
  /// Of the time a worker was ready to run.
  package static let runQueueWaitRatioMax = 0.05
  /// Over less than this, a start and an end beside other processes are all there is to see.
  package static let runQueueSpanNsMin: UInt64 = 100_000_000
  /// Of the periods of a CPU quota, those in which it was used up.
  package static let throttledRatioMax = 0.05
  package static let stealRatioCaution = 0.02
  package static let retransmitRatioCaution = 0.001

  /// Judges a result that has all but its verdict.
  init(_ result: RunResult, ledger: RunLedger, plan: Plan, facts: RunFacts) {
    self.init()
    let heldBack = Self.heldBack(ledger, facts)
    judgeTarget(result, ledger)
    judgeWorkers(result, plan: plan, facts: facts)
    if plan.load == .closed {
      let felt = heldBack.filter(\.isFelt)
      saturated = saturated || !felt.isEmpty
      reasons += felt.map(\.sentence)
      cautions += heldBack.filter { !$0.isFelt }.map(\.sentence)
      judgeLittlesLaw(result, ledger: ledger, plan: plan)
      judgeThinkTimes(result)
    } else {
      judgeLag(result, ledger: ledger, heldBack)
      judgeRate(result, ledger: ledger, plan: plan, heldBack)
      judgeUnassigned(result)
    }
    judgeAnswers(result, plan: plan)
    judgeOpenings(result, ledger, plan)
    judgeSurroundings(facts, result, heldBack)
    conserve(ledger: ledger, facts: facts)
    judgeCompleteness(result, facts: facts)
    judgeRecord(facts)
    valid = reasons.isEmpty
  }

  private mutating func judgeWorkers(_ result: RunResult, plan: Plan, facts: RunFacts) {
    // On one host whose CPUs all have a worker, more workers would only share them.
    let hasFreeCPU = facts.run != nil || result.workers.count < max(facts.host.cpus, 2)
    let remedy = hasFreeCPU ? "give it more workers (-w) or another host" : "use another host"
    for (number, worker) in result.workers.enumerated() {
      let name = worker.cpu.map { "worker \(number) (cpu \($0))" } ?? "worker \(number)"
      // A spinning worker is busy by intent; its lag and the rate reached speak for it.
      if plan.spins {
        guard number == 0 else { continue }
        cautions.append("workers spin: their busy ratio says nothing of their load")
      } else if worker.busyRatio >= Self.busyRatioMax {
        saturated = true
        reasons.append(
          "\(name) was \(Figures.percent(worker.busyRatio)) busy: the generator set the limit; "
            + "\(remedy), or fewer connections (-c)")
      } else if worker.busyRatio >= Self.busyRatioCaution {
        cautions.append(
          "\(name) was \(Figures.percent(worker.busyRatio)) busy: close to its limit, the slowest "
            + "latencies may be its own")
      }
    }
  }

  /// Mean requests in flight, by the time the ok ones of the measured time took.
  private func meanInFlight(_ result: RunResult, _ ledger: RunLedger) -> Double {
    let sumNs = ledger.timeline.intervals.reduce(UInt128(0)) {
      $1.phase == .measured ? $0 + $1.service.sumNs : $0
    }
    return result.measuredNs == 0 ? 0 : Double(sumNs) / Double(result.measuredNs)
  }

  private mutating func judgeLittlesLaw(_ result: RunResult, ledger: RunLedger, plan: Plan) {
    let capacity =
      Double(plan.connections.openCount)
      * Double(plan.connections.streams > 0 ? plan.connections.streams : plan.connections.pipeline)
    // Of a load that was changed on the way there is no one capacity.
    let isOneLoad = !plan.changes.contains { ($0.connections ?? $0.users) != nil }
    guard capacity > 0, result.requests.ok > 0, isOneLoad else { return }
    let ratio = meanInFlight(result, ledger) / capacity
    littlesLawRatio = ratio
    // Users who think, failed requests, connections that open over time or again and again, and a run
    // that ends at a request count all leave capacity unused, and rightly so. What is answered in the
    // drain held connections in the measured time and is not in its sums.
    let isSteady =
      plan.content.program.isEmpty && plan.connections.rampNs == 0
      && plan.connections.requestsEach == 0
      && plan.requestCount == .max
      && Double(result.requests.notOk) <= 0.01 * Double(result.requests.completed)
      && result.connections.reopened == 0 && result.errors.ofOpening == 0
      && Double(ledger.phases.drain.ok) + Double(max(0, ledger.inFlight))
        <= Self.littlesLawTolerance * Double(result.requests.ok)
    if isSteady && ratio < 1 - Self.littlesLawTolerance {
      cautions.append(
        "Little's law: service time x rate accounts for \(Figures.percent(ratio)) of the "
          + "connections; the rest stood idle, or waited on the generator")
    } else if ratio > 1 + Self.littlesLawTolerance {
      cautions.append(
        "Little's law: service time x rate is \(Figures.percent(ratio)) of what the connections can "
          + "hold; times or counts are wrong")
    }
  }

  /// Of a closed loop the lag is how late think times ended.
  private mutating func judgeThinkTimes(_ result: RunResult) {
    guard let lag = result.latency.scheduleLag.p99, lag > Self.thinkLagP99NsMax else { return }
    cautions.append(
      "think times ended \(Figures.duration(lag)) late (p99): the workers had no time for them; give "
        + "it more workers (-w), or fewer users (-u)")
  }

  private mutating func judgeLag(
    _ result: RunResult, ledger: RunLedger, _ heldBack: [HeldBack]
  ) {
    let late = ledger.workers.reduce(0) { $0 + $1.measured.late }
    let lag = result.latency.scheduleLag.p99 ?? 0
    let isLate = lag > Self.scheduleLagP99NsMax
    // Beside many more that found no connection free, they are not what the percentile is made of.
    let isOurs =
      Double(late) > Self.lateRatioMax * Double(ledger.phases.counted.sent)
      && 2 * late >= ledger.scheduleLag.count(aboveNs: WorkerCounters.lateNs)
    // What is late because there was nobody to send it to is the target's.
    guard isLate && isOurs && late >= Self.lateCountMin && targetGoneNs == nil else {
      cautions += heldBack.map(\.sentence)
      guard isLate && targetGoneNs == nil else { return }
      cautions.append(
        isOurs
          ? "\(Figures.count(late, "request")) left more than "
            + "\(Figures.duration(Self.scheduleLagP99NsMax)) late with connections free: too few to "
            + "say that the generator fell behind; their response time has it in it"
          : "requests waited for a free connection (schedule lag p99 \(Figures.duration(lag))): the "
            + "target held all of them; response time has the wait in it")
      return
    }
    saturated = true
    let cause =
      heldBack.isEmpty
      ? "; give it more workers (-w), a quiet CPU (--cpus) or --spin"
      : ", as " + heldBack.map(\.sentence).joined(separator: "; and ")
    reasons.append(
      "\(Figures.count(late, "request")) left more than \(Figures.duration(Self.scheduleLagP99NsMax)) "
        + "late with connections free (schedule lag p99 \(Figures.duration(lag))): the generator fell "
        + "behind\(cause)")
  }

  private mutating func judgeRate(
    _ result: RunResult, ledger: RunLedger, plan: Plan, _ heldBack: [HeldBack]
  ) {
    guard let ratio = result.rate.achievedRatio, let target = result.rate.targetPerS,
      ratio < Self.achievedRatioMin
    else { return }
    let reached =
      "\(Figures.percent(ratio)) of the \(Figures.rate(target))/s asked for was \(result.iterations == nil ? "sent" : "begun")"
    let missed = Double(ledger.phases.measured.sent) * (1 / ratio - 1)
    let isOurs = ratio > 0 && Self.isOurs(ledger, missed: missed, spins: plan.spins)
    if targetGoneNs != nil {
      cautions.append("\(reached): the rest fell due when the target was gone")
    } else if saturated && isOurs {
      let remedy = heldBack.first?.limit.remedy ?? "give it more workers (-w) or another host"
      reasons.append("\(reached): the generator could not; \(remedy)")
    } else if result.interrupted {
      cautions.append("\(reached) before the interruption")
    } else if !heldBack.isEmpty && isOurs {
      // Answers that wait for a worker to read them look like connections that the target holds.
      saturated = true
      let sentences = heldBack.map(\.sentence)
      cautions.removeAll { sentences.contains($0) }
      reasons.append(
        "\(reached): the generator could not, as " + sentences.joined(separator: "; and "))
    } else {
      reasons.append("\(reached), \(Self.shortfall(result, ledger, targetPerS: target))")
    }
  }

  /// Whether the workers' own want of time explains half of the requests missed, or more. While a worker
  /// waits for its CPU it sends nothing, so with that time it would have sent more by that part at most;
  /// what is missed beyond it waited for connections. A worker that never slept explains all.
  private static func isOurs(_ ledger: RunLedger, missed: Double, spins: Bool) -> Bool {
    var explained = 0.0
    for worker in ledger.workers where worker.measuredNs > 0 {
      let counters = worker.measured
      let busyNs = spins ? 0 : counters.cpuUserNs + counters.cpuSystemNs
      let busyRatio = Double(busyNs) / Double(worker.measuredNs)
      if busyRatio + Self.waitRatio(worker) >= busyRatioMax { return true }
      let waitRatio = min(0.99, feltWaitRatio(worker))
      explained += Double(worker.phases.measured.sent) * waitRatio / (1 - waitRatio)
      explained += Double(counters.late)
    }
    return 2 * explained >= missed
  }

  private mutating func judgeUnassigned(_ result: RunResult) {
    let count = result.requests.unassigned
    guard count > 0 else { return }
    cautions.append(
      "\(Figures.count(count, "request")) fell due while no worker had them, or were those of a worker "
        + "that was lost with its counts: they are among the dropped")
  }

  /// Why a rate was not reached though the workers had time left, by what was seen.
  private static func shortfall(
    _ result: RunResult, _ ledger: RunLedger, targetPerS: Double
  ) -> String {
    if let limit = localLimit(result, ledger) {
      return "as connections could not be opened: \(limit.sentence)"
    }
    let failed = result.errors.ofOpening
    if failed > 0 && ledger.opened < 2 * failed {
      return "as the target did not take connections (\(Figures.count(failed, "attempt")) failed): "
        + "look at the target"
    }
    if let dropped = result.iterations?.dropped, dropped > 0 {
      return
        "as no user was free for \(Figures.count(dropped, "iteration")): raise users: {max: ...} in "
        + "the scenario's load, or the target's limit is below this rate"
    }
    let requests = result.requests
    if requests.unassigned > 0, 2 * requests.unassigned >= requests.dropped {
      return "the rest was nobody's to send: a worker was missing for some of the time"
    }
    let hasWaited = (result.latency.scheduleLag.p99 ?? 0) > scheduleLagP99NsMax
    if requests.dropped > requests.unassigned || hasWaited {
      let held = "though workers had time left: the target held what may be in flight; "
      guard result.plan.maxInFlight == nil else {
        return held + "raise --max-in-flight, or the target's limit is below this rate"
      }
      // Requests in flight at the rate asked for, if the target keeps answering as fast.
      let needed = result.latency.service.mean.map { targetPerS * Double($0) * 1e-9 } ?? 0
      let isKnown = needed > Double(result.plan.connections) && needed < 1e6
      let about = isKnown ? " (to \(Figures.grouped(UInt64(needed.rounded(.up)))) or more)" : ""
      return held + "raise -c\(about), or the target's limit is below this rate"
    }
    return "the rest only after the measured time"
  }

  private mutating func judgeSurroundings(
    _ facts: RunFacts, _ result: RunResult, _ heldBack: [HeldBack]
  ) {
    let sharing = Limit.target(hasOneCPU: facts.host.cpus == 1)
    if !facts.cpusSharedWithTarget.isEmpty && !heldBack.contains(where: { $0.limit == sharing }) {
      let list = facts.cpusSharedWithTarget.map(String.init).joined(separator: ",")
      cautions.append(
        "the target runs on the workers' CPUs (\(list)): each takes time from the other; "
          + sharing.remedy)
    }
    cautions += facts.addressesLeftOut
    if let count = facts.listenOverflowCount, count > 0 {
      cautions.append(
        "the target's listen queue overflowed \(Figures.grouped(count)) times: raise its backlog "
          + "and net.core.somaxconn, or open connections over time (--ramp)")
    }
    if let ratio = facts.retransmitRatio, ratio > Self.retransmitRatioCaution {
      cautions.append(
        "\(Figures.percent(ratio)) of TCP segments were sent again: the network loses packets, which "
          + "shows in the slowest latencies")
    }
    if let ratio = facts.stealRatio, ratio > Self.stealRatioCaution {
      cautions.append(
        "\(Figures.percent(ratio)) of CPU time was taken by other guests of this machine (steal): "
          + "measure on a quieter one")
    }
    if result.connections.starved > 0 && result.requests.ok > 0 {
      cautions.append(
        "\(Figures.grouped(result.connections.starved)) connections got no ok response at all")
    }
  }

  private mutating func conserve(ledger: RunLedger, facts: RunFacts) {
    conservation.total = ledger.phases.whole.sent
    for (incarnation, mine) in ledger.incarnations {
      guard let own = facts.ownLedgers[incarnation] else {
        conservation.ledgersAbsent += 1
        conservation.workerSum += mine.sent
        continue
      }
      conservation.workerSum += own.sent
      if own != mine { conservation.ledgersDiffering += 1 }
    }
    for (incarnation, own) in facts.ownLedgers where ledger.incarnations[incarnation] == nil {
      conservation.workerSum += own.sent
      if own != IncarnationLedger() { conservation.ledgersDiffering += 1 }
    }
    conservation.missing =
      Int64(clamping: conservation.workerSum) - Int64(clamping: conservation.total)
    let isPositive =
      ledger.inFlight >= 0 && ledger.workers.allSatisfy { $0.phases.inFlight >= 0 }
    conservation.balanced =
      conservation.ledgersAbsent == 0 && conservation.ledgersDiffering == 0 && isPositive
    if !isPositive {
      cautions.append(
        "a worker counted more requests ended than sent: its counts cannot be trusted")
    }
  }

  private mutating func judgeRecord(_ facts: RunFacts) {
    switch facts.recordFault {
    case nil: break
    case .unwritten(let cause): cautions.append("the run was not recorded: \(cause)")
    case .endless:
      incomplete = true
      cautions.append(
        "the run's end is not in the record: it goes on, or its master ended before it did "
          + "(squall master --resume)")
    }
  }

  private mutating func judgeCompleteness(_ result: RunResult, facts: RunFacts) {
    let lost = facts.workers.values.count { $0.isLost }
    cautions += facts.gaps
    incomplete =
      lost > 0 || conservation.ledgersAbsent > 0 || conservation.ledgersDiffering > 0
      || conservation.missing != 0
    if lost > 0 {
      cautions.append(
        lost == 1
          ? "one worker was lost and not replaced: its counts end where it did"
          : "\(lost) workers were lost and not replaced: their counts end where they did")
    }
    if conservation.ledgersAbsent > 0 {
      cautions.append(
        "the final ledger of \(conservation.ledgersAbsent) worker lives is missing: what they sent "
          + "last may not be counted")
    }
    if conservation.ledgersDiffering > 0 {
      cautions.append(
        "the ledgers of \(conservation.ledgersDiffering) worker lives differ from what arrived "
          + "(\(conservation.missing) requests)")
    }
  }
}
