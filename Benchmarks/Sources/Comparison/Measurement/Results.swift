/// All runs of a suite, and the figures asked of them.
package struct Results: Sendable {
  package let runs: [Run]
  package let seed: UInt64

  package init(runs: [Run], seed: UInt64) {
    self.runs = runs
    self.seed = seed
  }

  /// A figure of one run; nil when the run does not have it.
  package struct Metric: Sendable {
    package let title: String
    package let value: @Sendable (Run) -> Double?

    package init(_ title: String, value: @escaping @Sendable (Run) -> Double?) {
      self.title = title
      self.value = value
    }
  }

  package func runs(_ cell: Cell, _ client: String) -> [Run] {
    runs.filter { $0.cell == cell && $0.client == client }
  }

  /// The cells of a question, in the order they were first run of clients in the order of rows.
  package func cells(_ question: Question) -> [Cell] {
    var seen = Set<Cell>()
    return runs.map(\.cell).filter { $0.question == question && seen.insert($0).inserted }
      .sorted { $0.place.lexicographicallyPrecedes($1.place) }
  }

  package func values(_ cell: Cell, _ client: String, _ metric: Metric) -> [Int: Double] {
    runs(cell, client).reduce(into: [:]) { values, run in
      if let value = metric.value(run) { values[run.repetition] = value }
    }
  }

  package func middle(_ cell: Cell, _ client: String, _ metric: Metric) -> Double? {
    median(Array(values(cell, client, metric).values))
  }

  package func ratio(
    _ cell: Cell, _ client: String, to reference: String, _ metric: Metric
  ) -> Ratio? {
    pairedRatio(
      of: values(cell, client, metric), to: values(cell, reference, metric), seed: seed)
  }

  /// Whether the client is not on this machine: its row says so, and the list of clients how to
  /// get it.
  package func isAbsent(_ cell: Cell, _ client: String) -> Bool {
    let all = runs(cell, client)
    return !all.isEmpty && all.allSatisfy { $0.failure?.hasPrefix("not here") ?? false }
  }

  /// What a reader must know of a row: the failures first, then what was not as asked.
  package func remarks(_ cell: Cell, _ client: String) -> [String] {
    let all = runs(cell, client)
    var remarks = Set(all.compactMap(\.failure))
    for run in all where run.failure == nil {
      if let seen = run.connectionsSeen, seen != cell.connections, !cell.needsFreshTarget {
        remarks.insert("\(seen) connections were open, not \(cell.connections)")
      }
      if let claim = run.claim, claim.failed > 0 {
        remarks.insert("reported failed requests")
      }
      if let window = run.window, window.foreignShare > QuiesceGate.foreignShareMax {
        remarks.insert("contended: others used the machine")
      }
      if run.window == nil,
        [.closed, .nginx, .ordinary, .body, .pipeline, .scaling].contains(cell.question)
      {
        remarks.insert("no steady part: the run was too short for so busy a machine")
      }
      if let rate = cell.rateHz, let window = run.window, window.rateHz < 0.98 * Double(rate) {
        remarks.insert("missed its rate")
      }
    }
    return remarks.sorted()
  }
}

extension Cell {
  /// Where its column stands in a table.
  fileprivate var place: [Int] {
    let target = question == .http2 ? TargetKind.allCases.firstIndex(of: target) : nil
    return [
      -(target ?? 0), wire.isHTTP2 ? Wire.allCases.firstIndex(of: wire) ?? 0 : 0, rateHz ?? 0,
      bodyByteCount, question == .http2 ? -connections : connections, pipeline, streams, threads,
      spins ? 1 : 0, Wire.allCases.firstIndex(of: wire) ?? 0, connecting == .resumed ? 1 : 0,
    ]
  }
}

extension Results.Metric {
  /// For targets that have no count: of the good answers that the client says it had.
  package static let okCPUUs = Self("CPU µs per good answer, whole process") { run in
    guard let exit = run.exit, let ok = run.claim?.ok, ok > 0 else { return nil }
    return Double(exit.userNs + exit.systemNs) / 1e3 / Double(ok)
  }
  package static let okHz = Self("Good answers per second, claimed") { run in
    guard let claim = run.claim, let seconds = claim.seconds, seconds > 0 else { return nil }
    return Double(claim.ok) / seconds
  }
  /// Of the busiest thread.
  package static let okUserUs = Self("User-space CPU µs per good answer, busiest thread") { run in
    guard let thread = run.threads?.first, let ok = run.claim?.ok, ok > 0 else { return nil }
    return Double(thread.user) * 1e6 / Double(ThreadSamples.frequencyHz) / Double(ok)
  }
  /// Starting and stopping are in it, so a target at its limit shows some per cent less than 100.
  package static let wholeTargetBusy = Self("Target CPU over the whole run, % of one") { run in
    guard let ns = run.targetCPUNs, let seconds = run.wallSeconds, seconds > 0 else { return nil }
    return Double(ns) / 1e7 / seconds
  }
  package static let wholeClientBusy = Self("Client CPU over the whole run, % of one") { run in
    guard let exit = run.exit, let seconds = run.wallSeconds, seconds > 0 else { return nil }
    return Double(exit.userNs + exit.systemNs) / 1e7 / seconds
  }
  package static let cpuUs = Self("CPU µs per request, steady part") { $0.window?.cpuUsPerRequest }
  package static let rateHz = Self("Requests per second") { $0.window?.rateHz }
  package static let perCPUSecond = Self("Requests per second of client CPU") { run in
    run.window?.cpuUsPerRequest.map { 1e6 / $0 }
  }
  /// The whole process's CPU, as wait4(2) tells it, for every request of the whole run.
  package static let wholeCPUUs = Self("CPU µs per request, whole process") { run in
    guard let exit = run.exit, let counted = run.counted, counted > 0 else { return nil }
    return Double(exit.userNs + exit.systemNs) / 1e3 / Double(counted)
  }
  package static let clientBusy = Self("Client CPU, % of its CPUs") { run in
    run.window.map { $0.clientBusy * 100 / Double(run.cell.threads) }
  }
  package static let targetBusy = Self("Target CPU, % of one") { run in
    run.window.map { $0.targetBusy * 100 }
  }
  package static let meanUs = Self("Mean response time claimed, µs") { run in
    run.claim?.meanNs.map { $0 / 1e3 }
  }
  package static let p50Ms = Self("p50 claimed, ms") { $0.claim?.p50Ns.map { $0 / 1e6 } }
  package static let p75Ms = Self("p75 claimed, ms") { $0.claim?.p75Ns.map { $0 / 1e6 } }
  package static let p99Ms = Self("p99 claimed, ms") { $0.claim?.p99Ns.map { $0 / 1e6 } }
  /// Connections over the target's rate: what the mean must be in a closed loop (Little 1961).
  package static let littleUs = Self("Mean by Little's law, µs") { run in
    guard run.cell.rateHz == nil, let window = run.window, window.requests > 0 else { return nil }
    let cell = run.cell
    return Double(cell.connections * cell.pipeline * cell.streams) / window.rateHz * 1e6
  }
  /// Claimed mean (service time, where a client tells it apart) over Little's.
  package static let littleRatio = Self("Claimed mean / Little's") { run in
    guard let little = littleUs.value(run), let claim = run.claim,
      let mean = claim.serviceMeanNs ?? claim.meanNs
    else { return nil }
    return mean / 1e3 / little
  }
  /// Requests received by the target that the client does not account for: positive when the
  /// target saw more. A client that does not say what it sent is taken at its good answers.
  package static let uncounted = Self("Target's count − client's") { run in
    guard let counted = run.counted, let claim = run.claim else { return nil }
    let accounted = (claim.sent ?? claim.ok + claim.failed) + claim.probes
    return Double(counted) - Double(accounted)
  }
  package static let achieved = Self("Share of the rate reached") { run in
    guard let rate = run.cell.rateHz, let counted = run.counted, let claim = run.claim else {
      return nil
    }
    let load = Double(counted) - Double(claim.probes)
    return load / (Double(rate) * (claim.seconds ?? Double(run.cell.seconds)))
  }
  package static let pacingP50 = Self("Arrival error p50, µs") { run in
    run.pacing.map { $0.errorNsP50 / 1e3 }
  }
  package static let pacingP99 = Self("Arrival error p99, µs") { run in
    run.pacing.map { $0.errorNsP99 / 1e3 }
  }
  package static let pacingP999 = Self("Arrival error p99.9, µs") { run in
    run.pacing.map { $0.errorNsP999 / 1e3 }
  }
  package static let burstPercent = Self("Sends in bursts, %") { run in
    run.pacing.map { $0.burstShare * 100 }
  }
  package static let residentMiB = Self("Resident memory, MiB") { run in
    run.residentByteCount.map { Double($0) / 1_048_576 }
  }
  package static let syscallsPerRequest = Self("System calls per request") { run in
    guard let calls = run.syscalls, let counted = run.counted, counted > 0 else { return nil }
    return Double(calls.values.reduce(0, +)) / Double(counted)
  }
  /// Of the thread that was seen most: the one that makes the load.
  package static let userUs = Self("User-space CPU µs per request, busiest thread") { run in
    guard let thread = run.threads?.first, let counted = run.counted, counted > 0 else {
      return nil
    }
    return Double(thread.user) * 1e6 / Double(ThreadSamples.frequencyHz) / Double(counted)
  }
  package static let userShare = Self("Share of it, % of that thread's CPU") { run in
    run.threads?.first.map { Double($0.user) * 100 / Double(max(1, $0.user + $0.kernel)) }
  }
  package static let workerMiB = Self("Resident memory of a worker, MiB") { run in
    (run.residentWorkerByteCount ?? run.residentByteCount).map { Double($0) / 1_048_576 }
  }
  package static let firstArrivalMs = Self("First request at the target, ms") { run in
    run.firstArrivalSeconds.map { $0 * 1e3 }
  }
  package static let overrunMs = Self("Process longer than the duration asked, ms") { run in
    run.wallSeconds.map { ($0 - Double(run.cell.seconds)) * 1e3 }
  }
}
