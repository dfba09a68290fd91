internal import SquallLoad

/// Who kept the workers from their CPUs, and connections from being opened.
extension RunResult.Verdict {
  /// Workers that had to wait, for one cause.
  struct HeldBack {
    var limit: Limit
    var sentence: String
    /// So much of the connections' time went by in waiting that the rate of a closed loop shows it.
    var isFelt: Bool
  }

  static func heldBack(_ ledger: RunLedger, _ facts: RunFacts) -> [HeldBack] {
    // A control group that held the workers back explains why they waited.
    if let quota = facts.quota, quota.periodCount > 0,
      Double(quota.throttledCount) >= throttledRatioMax * Double(quota.periodCount)
    {
      let limit = Limit.quota(cpus: quota.cpus)
      let sentence =
        "the workers were held back in \(Figures.grouped(quota.throttledCount)) of "
        + "\(Figures.grouped(quota.periodCount)) periods: \(limit.sentence)"
      return [HeldBack(limit: limit, sentence: sentence, isFelt: true)]
    }
    var groups: [(limit: Limit, waits: [(cpu: UInt32?, ratio: Double)], feltRatio: Double)] = []
    for worker in ledger.workers.sorted(by: { $0.place < $1.place })
    where worker.measuredNs >= runQueueSpanNsMin {
      let ratio = waitRatio(worker)
      guard ratio >= runQueueWaitRatioMax else { continue }
      let own = facts.workers[worker.place]
      let limit = cpuLimit(own, facts)
      let index = groups.firstIndex { $0.limit == limit } ?? groups.count
      if index == groups.count { groups.append((limit, [], 0)) }
      groups[index].waits.append((own?.cpu, ratio))
      groups[index].feltRatio = max(groups[index].feltRatio, feltWaitRatio(worker))
    }
    return groups.map {
      HeldBack(
        limit: $0.limit, sentence: sentence($0.waits, $0.limit),
        isFelt: $0.feltRatio >= runQueueWaitRatioMax)
    }
  }

  /// Of the measured time, what the worker was ready to run and did not.
  static func waitRatio(_ worker: RunLedger.Worker) -> Double {
    min(1, Double(worker.measured.runQueueWaitNs) / Double(max(1, worker.measuredNs)))
  }

  /// Of its connections' time, what their answers can have waited for the worker. A wait ends in a system
  /// call, so each answer waited as long as one of these did on average; a worker that is woken often
  /// and has little to do waits much and delays little.
  static func feltWaitRatio(_ worker: RunLedger.Worker) -> Double {
    let counters = worker.measured
    let connectionsNs = Double(worker.connectionsMax) * Double(worker.measuredNs)
    let answerCount = Double(worker.phases.measured.completed)
    guard answerCount > 0 else { return 0 }
    guard counters.systemCalls > 0, connectionsNs > 0 else { return waitRatio(worker) }
    let eachNs = Double(counters.runQueueWaitNs) / Double(counters.systemCalls)
    return min(waitRatio(worker), answerCount * eachNs / connectionsNs)
  }

  /// Who else runs on a worker's CPU is said only where it is known.
  private static func cpuLimit(_ worker: WorkerFacts?, _ facts: RunFacts) -> Limit {
    guard let worker, let cpu = worker.cpu else { return .otherProcesses }
    let here = facts.workers.values.filter { $0.host == worker.host }.compactMap(\.cpu)
    if here.count(where: { $0 == cpu }) > 1 {
      return .ownWorkers(cpuCount: facts.run == nil ? Set(here).count : nil)
    }
    return facts.cpusSharedWithTarget.contains(cpu)
      ? .target(hasOneCPU: facts.host.cpus == 1) : .otherProcesses
  }

  private static func sentence(_ waits: [(cpu: UInt32?, ratio: Double)], _ limit: Limit) -> String {
    let most = Figures.percent(waits.reduce(0) { max($0, $1.ratio) })
    let cpus = waits.compactMap(\.cpu)
    guard waits.count > 1 else {
      let name = cpus.first.map { "the worker on cpu \($0)" } ?? "a worker"
      return "\(name) waited \(most) of the time for its CPU: \(limit.sentence)"
    }
    let place = cpus.isEmpty ? "" : " (cpu \(TextReport.ranges(cpus)))"
    return "\(waits.count) workers\(place) waited up to \(most) of the time for their CPUs: "
      + limit.sentence
  }

  /// What of this host's most attempts to connect found used up; nil when most failed of anything else.
  static func localLimit(_ result: RunResult, _ ledger: RunLedger) -> Limit? {
    let (ports, descriptors) = localFailures(ledger)
    guard ports + descriptors > 0, 2 * (ports + descriptors) >= result.errors[.connect] else {
      return nil
    }
    return ports >= descriptors ? .localPorts : .descriptors
  }

  private static func localFailures(_ ledger: RunLedger) -> (ports: UInt64, descriptors: UInt64) {
    ledger.workers.reduce(into: (0, 0)) {
      $0.0 += $1.measured.portFailures
      $0.1 += $1.measured.descriptorFailures
    }
  }

  /// Connections that never came to be, and why.
  mutating func judgeOpenings(_ result: RunResult, _ ledger: RunLedger, _ plan: Plan) {
    let opened = ledger.opened - min(ledger.opened, ledger.reopened)
    // A number of requests may be sent before all connections are wanted.
    let isShort =
      opened > 0 && opened < plan.connections.openCount && plan.requestCount == .max
      && !result.interrupted && plan.changes.isEmpty
    let short =
      "only \(Figures.grouped(opened)) of \(Figures.count(plan.connections.openCount, "connection")) came to be"
    let limit = Self.localLimit(result, ledger)
    let (ports, descriptors) = Self.localFailures(ledger)
    for (count, kind) in [(ports, Limit.localPorts), (descriptors, .descriptors)] where count > 0 {
      let sentence = "\(Figures.count(count, "attempt")) to connect failed: \(kind.sentence)"
      if kind != limit || !(isShort || result.requests.ok == 0) {
        cautions.append(sentence)
      } else {
        // A load that asked for more connections is another load.
        reasons.append(isShort ? "\(short), \(sentence)" : sentence)
      }
    }
    guard isShort, limit == nil else { return }
    let failed = result.errors.ofOpening
    cautions.append(
      failed > 0
        ? "\(short): \(Figures.count(failed, "attempt")) to open the others failed; look at how many "
          + "connections the target takes"
        : "\(short): opening them takes turns with the load; give them time (--warmup), or more "
          + "workers (-w)")
  }
}
