package import SquallLoad

extension RunResult {
  /// Puts a run's sums, plan and surroundings together and judges them. `deflate` makes zlib streams
  /// for the histograms' encoding. Of a run that goes on, the last `recentCount` intervals may be all
  /// that have latencies: an hour of them every second is much to encode.
  package init(
    ledger: RunLedger, plan: Plan, facts: RunFacts, objectives: [Objective] = [],
    recentCount: Int = .max, deflate: ([UInt8]) -> [UInt8]
  ) {
    self.init()
    let plan = plan.changed(by: facts.changes)
    changes = facts.changes.isEmpty ? nil : facts.changes.map(Change.init)
    tool = facts.tool
    host = facts.host
    argv = facts.argv
    run = facts.run?.hexadecimal
    startedAt = facts.startedAt
    interrupted = facts.interrupted
    self.plan = PlanSummary(plan)
    self.plan.userStages = facts.userStages
    measuredNs = ledger.measuredSpanNs.map { $0.upperBound - $0.lowerBound } ?? 0

    let counted = ledger.phases.counted
    let warmup = ledger.phases.warmup
    requests.sent = counted.sent
    requests.completed = counted.completed
    requests.ok = counted.ok
    requests.notOk = counted.notOk
    requests.inFlightAtStop = ledger.inFlight
    let balance =
      facts.goesOn
      ? nil
      : ledger.balance(plan, endedEarly: facts.interrupted || facts.recordFault == .endless)
    requests.dropped = balance?.dropped ?? counted.counters.dropped
    requests.due = balance?.due
    requests.unassigned = balance?.unassigned ?? 0
    requests.carriedIn = Int64(clamping: warmup.sent) - Int64(clamping: warmup.completed)
    requests.warmup.sent = warmup.sent
    requests.warmup.ok = warmup.ok
    requests.warmup.notOk = warmup.notOk
    errors = Errors(counted.counters)
    causes = Causes(counted.counters, words: facts.malformations)
    var all = counted.counters
    all.merge(warmup.counters)
    tls = plan.origins.lazy.compactMap(\.tls).first.map { TLS($0, all) }
    http = HTTP(plan, all)
    let overEpoll = Int(clamping: all.findings[.overEpoll] ?? 0)
    let workerCount = ledger.incarnations.count
    backend =
      workerCount == 0
      ? nil : overEpoll == 0 ? "io_uring" : overEpoll < workerCount ? "mixed" : "epoll"
    status = Self.status(counted.counters)
    bytes.sent = counted.counters.bytesSent
    bytes.received = counted.counters.bytesReceived
    bytes.body = counted.counters.bytesBody

    let response = ledger.response
    let service = ledger.service
    latency.response = LatencySummary(response)
    latency.service = LatencySummary(service)
    latency.connect = LatencySummary(ledger.connect)
    latency.tls = LatencySummary(ledger.tls)
    latency.firstByte = LatencySummary(ledger.firstByte)
    latency.scheduleLag = LatencySummary(ledger.scheduleLag)
    histograms.response = HdrEncoding.text(CompactHistogram(response), deflate: deflate)
    histograms.service = HdrEncoding.text(CompactHistogram(service), deflate: deflate)

    let seconds = Double(measuredNs) * 1e-9
    if seconds > 0 {
      rate.okPerS = Double(ledger.phases.measured.ok) / seconds
      rate.completedPerS = Double(ledger.phases.measured.completed) / seconds
    }
    if case .open(let schedule) = plan.load { setTarget(schedule, plan: plan, ledger: ledger) }

    for (index, endpoint) in plan.content.endpoints.enumerated()
    where index < ledger.endpoints.count {
      requestsByName.append(
        RequestsOfName(
          ledger.endpoints[index], name: endpoint.name,
          checks: index < facts.checks.count ? facts.checks[index] : [:]))
    }
    iterations =
      plan.content.program.isEmpty
      ? nil : Iterations(ledger.iterations, isOpen: plan.load != .closed)
    connections.opened = ledger.opened
    connections.reopened = ledger.reopened
    if !ledger.fairness.isEmpty {
      connections.okMin = ledger.fairness.minNs / Self.fairnessUnit
      connections.okMedian = ledger.fairness.quantileNs(0.5) / Self.fairnessUnit
      connections.okMax = ledger.fairness.maxNs / Self.fairnessUnit
    }
    connections.starved = ledger.fairness.underCount

    let order = ledger.workers.indices.sorted {
      ledger.workers[$0].place < ledger.workers[$1].place
    }
    workers = order.map { Worker(ledger.workers[$0], facts: facts) }
    // Also those that were lost before their first batch.
    let heard = Set(ledger.workers.map(\.place))
    let unheard = facts.workers.filter { $0.value.isLost && !heard.contains($0.key) }
    workers += unheard.sorted { $0.key < $1.key }.map { Worker(unheard: $0.value) }
    let isClosed = plan.load == .closed && !plan.usersAreApart
    let recent = ledger.timeline.intervals.suffix(recentCount).startIndex
    intervals = ledger.timeline.intervals.enumerated().map { place, interval in
      var shown = Interval(
        interval, order: order, isClosed: isClosed, hasLatencies: place >= recent)
      shown.setTarget(plan)
      return shown
    }

    verdict = Verdict(self, ledger: ledger, plan: plan, facts: facts)
    slo = objectives.map { $0.outcome(of: self) }
  }

  /// See `Batch.fairness`.
  private static let fairnessUnit: UInt64 = 512

  private mutating func setTarget(_ schedule: Schedule, plan: Plan, ledger: RunLedger) {
    guard let span = ledger.measuredSpanNs else { return }
    let startNs = plan.times.warmupNs
    let endNs = min(span.upperBound, plan.times.warmupNs + plan.times.durationNs)
    guard endNs > startNs else { return }
    let mean =
      schedule.expectedCount(beforeNs: endNs) - schedule.expectedCount(beforeNs: startNs)
    rate.targetPerS = mean / (Double(endNs - startNs) * 1e-9)
    let scheduled =
      min(plan.requestCount, schedule.firstIndex(atOrAfterNs: endNs))
      - min(plan.requestCount, schedule.firstIndex(atOrAfterNs: startNs))
    guard scheduled > 0 else { return }
    // Of a scenario, the schedule is one of iterations.
    let begun =
      plan.content.program.isEmpty ? ledger.phases.measured.sent : ledger.iterations.started
    rate.achievedRatio = Double(begun) / Double(scheduled)
  }

  fileprivate static func status(_ counters: Counters) -> [String: UInt64] {
    Dictionary(uniqueKeysWithValues: counters.statuses.map { (String($0.key), $0.value) })
  }

  /// Latencies over all the run, put together from the intervals; what reading a result file back
  /// leaves of its histograms. Sums are of bucket middles; `latency` has the exact ones.
  package func histogram(_ series: Series) -> CompactHistogram {
    var sum = CompactHistogram()
    for interval in intervals where interval.phase != Phase.warmup.name {
      sum.merge(interval.histogram(series))
    }
    return sum
  }

  package enum Series: Equatable, Sendable {
    case response
    case service
  }
}

extension RunResult.Change {
  /// `500/s; 8 connections`.
  package var words: String {
    var parts: [String] = []
    if let perS { parts.append("\(Figures.rate(perS))/s") }
    if let connections { parts.append(Figures.count(connections, "connection")) }
    if let users {
      let pace = spawnPerS.map { ", \(Figures.rate($0)) a second" } ?? ""
      parts.append(Figures.count(users, "user") + pace)
    }
    return parts.joined(separator: "; ")
  }

  package init(_ change: LoadChange) {
    self.init()
    atNs = change.atNs
    perS = change.rateHz
    connections = change.connections
    users = change.users
    spawnPerS = change.spawnHz
  }
}

extension RunResult {
  /// The rate that is asked for at an instant of the run; nil in a closed loop.
  func targetPerS(atNs ns: UInt64) -> Double? {
    guard let schedule = plan.schedule else { return nil }
    let changed = changes?.last { $0.atNs <= ns && $0.perS != nil }
    return changed?.perS ?? schedule.perSecond(atNs: ns)
  }
}

extension RunResult.Interval {
  /// What was asked of the load in this time.
  fileprivate mutating func setTarget(_ plan: Plan) {
    guard phase != Phase.drain.name, endNs > startNs else { return }
    let middleNs = startNs + (endNs - startNs) / 2
    if case .open(let schedule) = plan.load {
      let count =
        schedule.expectedCount(beforeNs: endNs) - schedule.expectedCount(beforeNs: startNs)
      targetPerS = (count / (Double(endNs - startNs) * 1e-9) * 1_000).rounded() / 1_000
    } else if plan.content.program.isEmpty {
      targetConnections = plan.changedCount(atNs: middleNs) ?? plan.connections.count
    } else {
      targetUsers = plan.changedCount(atNs: middleNs)
    }
  }

  /// Empty when the text is no histogram.
  package func histogram(_ series: RunResult.Series) -> CompactHistogram {
    let text = series == .service ? serviceHistogram ?? responseHistogram : responseHistogram
    return Base64.decode(text).flatMap { HdrEncoding.histogram($0) } ?? CompactHistogram()
  }

  /// `order` holds the timeline's ordinal of each of the result's workers.
  package init(
    _ interval: Timeline.Interval, order: [Int], isClosed: Bool, hasLatencies: Bool = true
  ) {
    self.init()
    index = interval.firstIndex
    lastIndex = interval.lastIndex
    phase = interval.phase.name
    startNs = interval.startNs
    endNs = interval.endNs
    sent = interval.tally.sent
    ok = interval.tally.ok
    notOk = interval.tally.notOk
    dropped = interval.tally.counters.dropped
    lastOkNs = interval.lastOkNs == 0 ? nil : interval.lastOkNs
    bytesReceived = interval.tally.counters.bytesReceived
    for cause in ErrorCause.allCases where interval.tally.counters.errorCount(cause) > 0 {
      errors[cause.name] = interval.tally.counters.errorCount(cause)
    }
    workers = UInt32(interval.workers.count)
    guard hasLatencies else { return }
    let response = isClosed ? interval.service : interval.response
    if !response.isEmpty {
      responseP50 = response.quantileNs(0.5)
      responseP90 = response.quantileNs(0.9)
      responseP99 = response.quantileNs(0.99)
      responseMax = response.maxNs
    }
    if !interval.service.isEmpty {
      serviceP50 = interval.service.quantileNs(0.5)
      serviceP99 = interval.service.quantileNs(0.99)
    }
    if !interval.scheduleLag.isEmpty { scheduleLagP99 = interval.scheduleLag.quantileNs(0.99) }
    for ordinal in order {
      let worker = interval.worker(ordinal)
      let busy = worker.flatMap { $0.spanNs == 0 ? nil : Double($0.cpuNs) / Double($0.spanNs) }
      workerBusy.append(busy.map { ($0 * 10_000).rounded() / 10_000 })
      workerLagP99.append(isClosed ? nil : worker?.lagP99Ns)
    }
    responseHistogram = Base64.encode(HdrEncoding.payload(response))
    if !isClosed { serviceHistogram = Base64.encode(HdrEncoding.payload(interval.service)) }
  }
}

extension RunResult.Worker {
  fileprivate init(unheard facts: WorkerFacts) {
    self.init()
    host = facts.host
    process = facts.process
    cpu = facts.cpu
    lost = facts.isLost
  }

  fileprivate init(_ worker: RunLedger.Worker, facts: RunFacts) {
    self.init()
    let own = facts.workers[worker.place]
    let counted = worker.phases.counted
    host = own?.host ?? ""
    process = own?.process
    cpu = own?.cpu
    incarnations = worker.lives.map(\.hexadecimal)
    cpuUserNs = worker.measured.cpuUserNs
    cpuSystemNs = worker.measured.cpuSystemNs
    if worker.measuredNs > 0 {
      busyRatio = Double(cpuUserNs + cpuSystemNs) / Double(worker.measuredNs)
    }
    connections = worker.connectionsMax
    sent = counted.sent
    ok = counted.ok
    notOk = counted.notOk
    inFlightAtStop = worker.phases.inFlight
    systemCalls = worker.measured.systemCalls
    sentLate = worker.measured.late
    scheduleLagP99Ns = worker.scheduleLag.isEmpty ? nil : worker.scheduleLag.quantileNs(0.99)
    lost = own?.isLost ?? false
  }
}

extension RunResult.Errors {
  fileprivate init(_ counters: Counters) {
    self.init()
    for cause in ErrorCause.allCases { self[cause] = counters.errorCount(cause) }
  }
}

extension RunResult.Causes {
  fileprivate init?(_ counters: Counters, words: [RunFacts.Malformation]) {
    self.init()
    malformed = counters.malformations.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
      .map { number, count in
        var malformed = RunResult.Malformed()
        malformed.count = count
        guard Int(number) < words.count else {
          malformed.reason = "reason_\(number)"
          malformed.explanation = "a reason that this version does not know"
          return malformed
        }
        malformed.reason = words[Int(number)].name
        malformed.explanation = words[Int(number)].explanation
        malformed.isOurLimit = words[Int(number)].isOurLimit
        return malformed
      }
    for (finding, count) in counters.findings where !finding.isOfWire {
      findings[finding.name] = count
    }
    for (kind, bytes) in counters.samples where !kind.isOfWire {
      samples[kind.name] = Self.text(bytes)
    }
    if malformed.isEmpty && findings.isEmpty && samples.isEmpty { return nil }
  }

  private static func text(_ bytes: [UInt8]) -> String {
    bytes.reduce(into: "") { text, byte in
      if (0x20..<0x7f).contains(byte) && byte != UInt8(ascii: "\\") {
        text.unicodeScalars.append(Unicode.Scalar(byte))
      } else {
        text += "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
      }
    }
  }
}

extension RunResult.Iterations {
  fileprivate init(_ sums: RunLedger.Iterations, isOpen: Bool) {
    self.init()
    started = sums.started
    completed = sums.durations.count
    abandoned = sums.abandoned
    dropped = isOpen ? sums.dropped : nil
    interrupted = Int64(clamping: started) - Int64(clamping: completed + abandoned)
    time = LatencySummary(sums.durations)
  }
}

extension RunResult.RequestsOfName {
  fileprivate init(_ endpoint: RunLedger.Endpoint, name: String, checks words: [UInt8: String]) {
    self.init()
    let counted = endpoint.phases.counted
    self.name = name
    sent = counted.sent
    completed = counted.completed
    ok = counted.ok
    notOk = counted.notOk
    dropped = counted.counters.dropped
    bytesReceived = counted.counters.bytesReceived
    bytesBody = counted.counters.bytesBody
    errors = RunResult.Errors(counted.counters)
    status = RunResult.status(counted.counters)
    checks = counted.counters.checks.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
      .map { number, count in
        var check = RunResult.FailedCheck()
        check.check = words[number] ?? "check \(number)"
        check.failed = count
        return check
      }
    let responses = endpoint.response.isEmpty ? endpoint.service : endpoint.response
    latency.response = LatencySummary(responses)
    latency.service = LatencySummary(endpoint.service)
    responseHistogram = Base64.encode(HdrEncoding.payload(CompactHistogram(responses)))
  }
}
