internal import SquallLoad

extension RunResult.Verdict {
  /// A worker this busy had no time left: what it did is what it could.
  package static let busyRatioMax = 0.95
  /// From here on a worker's queue for its own CPU time bends the slowest latencies.
  package static let busyRatioCaution = 0.85
  package static let scheduleLagP99NsMax = WorkerCounters.lateNs
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
  package static let stealRatioCaution = 0.02
  package static let retransmitRatioCaution = 0.001

  /// Judges a result that has all but its verdict.
  init(_ result: RunResult, ledger: RunLedger, plan: Plan, facts: RunFacts) {
    self.init()
    judgeWorkers(result, ledger: ledger, plan: plan, facts: facts)
    if plan.load == .closed {
      judgeLittlesLaw(result, ledger: ledger, plan: plan)
    } else {
      judgeLag(result, ledger: ledger, plan: plan)
      judgeRate(result)
    }
    judgeSurroundings(facts, ledger, plan, result)
    conserve(ledger: ledger, facts: facts)
    judgeCompleteness(result, facts: facts)
    judgeRecord(facts)
    valid = reasons.isEmpty
  }

  private mutating func judgeWorkers(
    _ result: RunResult, ledger: RunLedger, plan: Plan, facts: RunFacts
  ) {
    for (number, worker) in result.workers.enumerated() {
      let name = worker.cpu.map { "worker \(number) (cpu \($0))" } ?? "worker \(number)"
      // A spinning worker is busy by intent; its lag and the rate reached speak for it.
      if plan.spins {
        guard number == 0 else { continue }
        cautions.append("workers spin: their busy ratio says nothing of their load")
      } else if worker.busyRatio >= Self.busyRatioMax {
        saturated = true
        reasons.append(
          "\(name) was \(Figures.percent(worker.busyRatio)) busy: the generator set the limit; give "
            + "it more workers (-w) or another host, or fewer connections (-c)")
      } else if worker.busyRatio >= Self.busyRatioCaution {
        cautions.append(
          "\(name) was \(Figures.percent(worker.busyRatio)) busy: close to its limit, the slowest "
            + "latencies may be its own")
      }
    }
    for worker in ledger.workers.sorted(by: { $0.place < $1.place })
    where worker.measuredNs >= Self.runQueueSpanNsMin {
      let ratio = min(1, Double(worker.measured.runQueueWaitNs) / Double(worker.measuredNs))
      guard ratio >= Self.runQueueWaitRatioMax else { continue }
      let name = facts.workers[worker.place]?.cpu.map { "the worker on cpu \($0)" } ?? "a worker"
      let sentence =
        "\(name) waited \(Figures.percent(ratio)) of the time for its CPU: other processes run "
        + "there; stop them, or choose other CPUs (--cpus)"
      // In an open loop the lateness that comes of it is known, and judged.
      if plan.load == .closed {
        saturated = true
        reasons.append(sentence)
      } else {
        cautions.append(sentence)
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
    let capacity = Double(plan.connections) * Double(plan.pipeline)
    guard capacity > 0, result.requests.ok > 0 else { return }
    let ratio = meanInFlight(result, ledger) / capacity
    littlesLawRatio = ratio
    // Failed requests, connections that open over time or again and again, and a run that ends at a
    // request count all leave capacity unused, and rightly so. What is answered in the drain held
    // connections in the measured time and is not in its sums.
    let isSteady =
      plan.rampNs == 0 && plan.requestsPerConnection == 0 && plan.requestCount == .max
      && Double(result.requests.notOk) <= 0.01 * Double(result.requests.completed)
      && result.connections.reopened == 0 && result.errors[.connect] == 0
      && Double(ledger.phases.drain.ok) <= Self.littlesLawTolerance * Double(result.requests.ok)
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

  private mutating func judgeLag(_ result: RunResult, ledger: RunLedger, plan: Plan) {
    guard let lag = result.latency.scheduleLag.p99, lag > Self.scheduleLagP99NsMax else { return }
    let late = ledger.workers.reduce(0) { $0 + $1.measured.late }
    if Double(late) <= Self.lateRatioMax * Double(ledger.phases.counted.sent) {
      cautions.append(
        "requests waited for a free connection (schedule lag p99 \(Figures.duration(lag))): the "
          + "target held all of them; response time has the wait in it")
      return
    }
    guard late >= Self.lateCountMin else {
      cautions.append(
        "\(late == 1 ? "1 request" : "\(late) requests") left more than "
          + "\(Figures.duration(Self.scheduleLagP99NsMax)) late with connections free: too few to say "
          + "that the generator fell behind; their response time has it in it")
      return
    }
    saturated = true
    reasons.append(
      "\(Figures.grouped(late)) requests left more than \(Figures.duration(Self.scheduleLagP99NsMax)) "
        + "late with connections free (schedule lag p99 \(Figures.duration(lag))): the generator fell "
        + "behind; give it more workers (-w), a quiet CPU (--cpus) or --spin")
  }

  private mutating func judgeRate(_ result: RunResult) {
    guard let ratio = result.rate.achievedRatio, let target = result.rate.targetPerS,
      ratio < Self.achievedRatioMin
    else { return }
    let reached = "\(Figures.percent(ratio)) of the \(Figures.rate(target))/s asked for was sent"
    if saturated {
      reasons.append(
        "\(reached): the generator could not; give it more workers (-w) or another host")
    } else if result.interrupted {
      cautions.append("\(reached) before the interruption")
    } else if result.requests.dropped > 0
      || (result.latency.scheduleLag.p99 ?? 0) > Self.scheduleLagP99NsMax
    {
      let remedy =
        result.plan.maxInFlight == nil
        ? "raise -c, or the target's limit is below this rate"
        : "raise --max-in-flight, or the target's limit is below this rate"
      reasons.append(
        "\(reached), though workers had time left: the target held what may be in flight; \(remedy)"
      )
    } else {
      reasons.append(
        "\(reached), the rest was nobody's to send: a worker was missing for some of the time")
    }
  }

  private mutating func judgeSurroundings(
    _ facts: RunFacts, _ ledger: RunLedger, _ plan: Plan, _ result: RunResult
  ) {
    if !facts.cpusSharedWithTarget.isEmpty {
      let list = facts.cpusSharedWithTarget.map(String.init).joined(separator: ",")
      cautions.append(
        "the target runs on the workers' CPUs (\(list)): each takes time from the other; keep them "
          + "apart with --cpus or on two hosts")
    }
    let own = ledger.workers.map(\.measured)
    let portFailureCount = own.reduce(0) { $0 + $1.portFailures }
    let descriptorFailureCount = own.reduce(0) { $0 + $1.descriptorFailures }
    if portFailureCount > 0 {
      cautions.append(
        "\(Figures.grouped(portFailureCount)) connections found no free local port: spread over "
          + "addresses with --source-ip, or widen net.ipv4.ip_local_port_range")
    }
    if descriptorFailureCount > 0 {
      cautions.append(
        "\(Figures.grouped(descriptorFailureCount)) connections found no free descriptor: "
          + "raise the limit (ulimit -n)")
    }
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
    // A number of requests may be sent before all connections are wanted.
    let opened = ledger.opened - min(ledger.opened, ledger.reopened)
    if opened > 0 && opened < plan.connections && plan.requestCount == .max && !result.interrupted {
      cautions.append(
        "only \(Figures.grouped(opened)) of \(Figures.grouped(UInt64(plan.connections))) connections "
          + "came to be: opening them takes turns with the load; give them time (--warmup), or more "
          + "workers (-w)")
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
