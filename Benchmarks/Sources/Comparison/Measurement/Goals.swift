/// A figure squall must reach, and what was measured.
package struct Goal: Codable, Sendable {
  package let name: String
  package let limit: Double
  package let unit: String
  /// Nil when the figure could not be measured.
  package let value: Double?
  package let low: Double?
  package let high: Double?
  /// Whether the value must not exceed the limit, or must not stay below it.
  package let isUpperLimit: Bool

  package enum Verdict: String, Codable, Sendable {
    case met, missed
    case notMeasured = "not measured"
  }

  package var verdict: Verdict {
    guard let value else { return .notMeasured }
    return (isUpperLimit ? value <= limit : value >= limit) ? .met : .missed
  }

  /// The interval holds the limit, so another run may say otherwise.
  package var isClose: Bool {
    guard let low, let high else { return false }
    return low <= limit && limit <= high
  }

  init(
    _ name: String, _ value: Double?, atMost limit: Double, unit: String = "×", low: Double? = nil,
    high: Double? = nil
  ) {
    self.name = name
    self.limit = limit
    self.unit = unit
    self.value = value
    self.low = low
    self.high = high
    isUpperLimit = true
  }

  init(
    _ name: String, _ value: Double?, atLeast limit: Double, unit: String = "×",
    low: Double? = nil, high: Double? = nil
  ) {
    self.name = name
    self.limit = limit
    self.unit = unit
    self.value = value
    self.low = low
    self.high = high
    isUpperLimit = false
  }
}

extension Results {
  /// Every goal the runs have a figure for, and those of the questions asked that have none.
  package func goals() -> [Goal] {
    costGoals() + userspaceGoals() + syscallGoals() + pipelineGoals() + memoryGoals()
      + startupGoals()
      + countGoals() + littleGoals() + rateGoals() + pacingGoals() + freezeGoals()
      + tlsGoals() + handshakeGoals() + http2Goals() + limitedGoals() + wiresGoals()
  }

  private func costGoals() -> [Goal] {
    let limits: [(peer: String, byConnections: [Int: Double])] = [
      ("floor", [64: 1.08, 1_024: 1.08, 4_096: 1.08]),
      ("wrk", [64: 0.75, 1_024: 0.65, 4_096: 0.55]),
      ("gcannon", [64: 1.0, 1_024: 1.0, 4_096: 1.0]),
    ]
    return cells(.closed).flatMap { cell in
      limits.flatMap { peer, byConnections -> [Goal] in
        guard let limit = byConnections[cell.connections] else { return [] }
        // The second is what a user pays, start and report included; two seconds weigh those much
        // more than a real run does.
        return [("steady part", Metric.cpuUs), ("whole process", .wholeCPUUs)]
          .map { part, metric in
            let ratio = ratio(cell, "squall", to: peer, metric)
            return Goal(
              "CPU per request, \(cell.label), \(part), to \(peer)", ratio?.value,
              atMost: limit, low: ratio?.low, high: ratio?.high)
          }
      }
    }
  }

  private func userspaceGoals() -> [Goal] {
    cells(.userspace).map { cell in
      Goal(
        "user-space CPU per request, \(cell.label)", middle(cell, "squall", .userUs),
        atMost: 0.25, unit: "µs")
    }
  }

  private func syscallGoals() -> [Goal] {
    let limits = [64: 0.06, 1_024: 0.03]
    return cells(.syscalls).compactMap { cell in
      limits[cell.connections].map {
        Goal(
          "system calls per request, \(cell.label)",
          middle(cell, "squall", .syscallsPerRequest), atMost: $0, unit: "")
      }
    }
  }

  private func pipelineGoals() -> [Goal] {
    let cells = cells(.pipeline)
    guard let plain = cells.first(where: { $0.pipeline == 1 }),
      let deep = cells.first(where: { $0.pipeline == 16 })
    else { return [] }
    let gain = pairedRatio(
      of: values(deep, "squall", .rateHz), to: values(plain, "squall", .rateHz), seed: seed)
    return [Goal("rate at depth 16, to its own unpipelined", gain?.value, atLeast: 3)]
  }

  private func memoryGoals() -> [Goal] {
    let cells = cells(.memory)
    guard let few = cells.first, let many = cells.last, few != many else { return [] }
    let low = middle(few, "squall", .workerMiB)
    let high = middle(many, "squall", .workerMiB)
    let each = low.flatMap { low in
      high.map { ($0 - low) * 1_048_576 / Double(many.connections - few.connections) }
    }
    let fixed = low.flatMap { low in
      each.map { low - $0 * Double(few.connections) / 1_048_576 }
    }
    return [
      Goal("memory of a worker for one more connection", each, atMost: 1_024, unit: "bytes"),
      Goal("memory of a worker without connections", fixed, atMost: 32, unit: "MiB"),
    ]
  }

  private func startupGoals() -> [Goal] {
    cells(.startup).flatMap { cell in
      [
        Goal(
          "first request after the command", middle(cell, "squall", .firstArrivalMs), atMost: 150,
          unit: "ms"),
        Goal(
          "measured time off the duration asked",
          median(
            runs(cell, "squall").compactMap { run in
              run.claim?.seconds.map { abs($0 - Double(cell.seconds)) * 1e3 }
            }), atMost: 20, unit: "ms"),
      ]
    }
  }

  /// The worst of all runs in which both sides count, whatever was asked of them.
  private func countGoals() -> [Goal] {
    let differences = runs.filter { $0.client.hasPrefix("squall") && $0.failure == nil }
      .compactMap { Metric.uncounted.value($0) }
    guard !differences.isEmpty else { return [] }
    let worst = differences.map(abs).max()
    return [
      Goal(
        "squall's sent against the target's count, worst of \(differences.count) runs", worst,
        atMost: 0, unit: "requests")
    ]
  }

  private func littleGoals() -> [Goal] {
    let closed = cells(.closed).filter { [64, 1_024].contains($0.connections) }
    let loops = closed.map { cell in
      Goal(
        "mean against Little's law, \(cell.label)",
        middle(cell, "squall", .littleRatio).map { abs($0 - 1) * 100 }, atMost: 3, unit: "%")
    }
    let stalls = cells(.stall).map { cell in
      Goal(
        "mean against Little's law with stalls",
        middle(cell, "squall", .littleRatio).map { abs($0 - 1) * 100 }, atMost: 2, unit: "%")
    }
    return loops + stalls
  }

  private func rateGoals() -> [Goal] {
    let means = cells(.rate).filter { $0.rateHz == 1_000 }.map { cell in
      let difference = middle(cell, "squall", .meanUs).flatMap { squall in
        middle(cell, "floor", .meanUs).map { squall - $0 }
      }
      return Goal(
        "mean response time at 1,000/s above the floor's", difference, atMost: 15, unit: "µs")
    }
    let headroom = cells(.headroom).flatMap { cell in
      [
        Goal(
          "share of the rate reached at \(cell.label)", middle(cell, "squall", .achieved),
          atLeast: 0.999),
        Goal(
          "dropped at \(cell.label)",
          runs(cell, "squall").compactMap { $0.claim?.dropped }.max().map { Double($0) },
          atMost: 0, unit: "requests"),
      ]
    }
    return means + headroom
  }

  private func pacingGoals() -> [Goal] {
    cells(.pacing).flatMap { cell -> [Goal] in
      let p50 = middle(cell, "squall", .pacingP50)
      let p99 = middle(cell, "squall", .pacingP99)
      let tail = ratio(cell, "squall", to: "floor", .pacingP999)
      let against = Goal(
        "arrival error p99.9, \(cell.label), to floor", tail?.value, atMost: 1, low: tail?.low,
        high: tail?.high)
      if cell.spins {
        return [
          Goal("arrival error p50, \(cell.label)", p50, atMost: 1, unit: "µs"),
          Goal("arrival error p99, \(cell.label)", p99, atMost: 10, unit: "µs"), against,
        ]
      }
      let peers = ["h2load", "wrk2", "zrk"].flatMap { peer -> [Goal] in
        guard peer == "h2load" || middle(cell, peer, .pacingP99) != nil else { return [] }
        return [("p50", Metric.pacingP50), ("p99", .pacingP99), ("p99.9", .pacingP999)]
          .map { name, metric in
            let ratio = ratio(cell, "squall", to: peer, metric)
            return Goal(
              "arrival error \(name), \(cell.label), to \(peer)", ratio?.value, atMost: 1,
              low: ratio?.low, high: ratio?.high)
          }
      }
      return [Goal("arrival error p99, \(cell.label)", p99, atMost: 60, unit: "µs"), against]
        + peers
    }
  }

  /// Of the requests of a run of D seconds those of a freeze of F seconds wait for its end,
  /// uniformly up to F: the share p waits at most F - (1 - p) D.
  private func freezeGoals() -> [Goal] {
    cells(.freeze).flatMap { cell -> [Goal] in
      func off(_ metric: Metric, _ share: Double) -> Double? {
        median(
          runs(cell, "squall").compactMap { run in
            let frozen = run.frozenSeconds ?? Double(cell.seconds) / 2
            let truthMs = (frozen - (1 - share) * Double(cell.seconds)) * 1e3
            return metric.value(run).map { abs($0 / truthMs - 1) * 100 }
          })
      }
      let planned = Double((cell.rateHz ?? 0) * cell.seconds)
      let accounted = runs(cell, "squall").compactMap(\.claim).map { claim in
        abs(Double(claim.ok + claim.failed + claim.inFlight + (claim.dropped ?? 0)) - planned)
      }.max()
      return [
        Goal("freeze: requests unaccounted for", accounted, atMost: 0, unit: "requests"),
        Goal("freeze: p75 off the truth", off(.p75Ms, 0.75), atMost: 2, unit: "%"),
        Goal("freeze: p99 off the truth", off(.p99Ms, 0.99), atMost: 2, unit: "%"),
      ]
    }
  }
}

/// Over TLS and HTTP/2: CPU of the whole process for each good answer.
extension Results {
  private func peerGoal(_ cell: Cell, to peer: String, atMost limit: Double) -> Goal {
    let ratio = ratio(cell, "squall", to: peer, .okCPUUs)
    return Goal(
      "CPU per answer, \(cell.question.rawValue), \(cell.label), to \(peer)", ratio?.value,
      atMost: limit, low: ratio?.low, high: ratio?.high)
  }

  private func tlsGoals() -> [Goal] {
    let cells = cells(.tls)
    return cells.filter(\.wire.isSecure).flatMap { cell -> [Goal] in
      let peer = peerGoal(cell, to: "wrk", atMost: cell.bodyByteCount == 13 ? 0.72 : 0.70)
      guard cell.bodyByteCount == 13 else { return [peer] }
      var plain = cell
      plain.wire = .http1
      let ratio = pairedRatio(
        of: values(cell, "squall", .okCPUUs), to: values(plain, "squall", .okCPUUs), seed: seed)
      return [
        peer,
        Goal(
          "CPU per answer, tls, \(cell.label), to its own plain run", ratio?.value, atMost: 1.20,
          low: ratio?.low, high: ratio?.high),
      ]
    }
  }

  private func handshakeGoals() -> [Goal] {
    cells(.handshake).map { cell in
      cell.connecting == .full
        ? peerGoal(cell, to: "h2load", atMost: 0.60) : peerGoal(cell, to: "wrk", atMost: 0.70)
    }
  }

  private func http2Goals() -> [Goal] {
    let limits = [1: 0.78, 10: 0.62, 100: 0.30]
    return cells(.http2).compactMap { cell in
      if cell.target == .nginx { return peerGoal(cell, to: "h2load", atMost: 0.85) }
      return limits[cell.streams].map { peerGoal(cell, to: "h2load", atMost: $0) }
    }
  }

  /// Where the target is at its limit, no client may be faster.
  private func limitedGoals() -> [Goal] {
    (cells(.tls).filter(\.wire.isSecure) + cells(.http2)).compactMap { cell -> Goal? in
      let best = ["wrk", "h2load"].compactMap { peer in
        middle(cell, peer, .okHz).map { (peer, $0) }
      }.max { $0.1 < $1.1 }?.0
      guard let best,
        ["squall", best].contains(where: { (middle(cell, $0, .wholeTargetBusy) ?? 0) >= 90 })
      else { return nil }
      let ratio = ratio(cell, "squall", to: best, .okHz)
      return Goal(
        "rate, \(cell.question.rawValue), \(cell.label), target at its limit, to \(best)",
        ratio?.value, atLeast: 0.97, low: ratio?.low, high: ratio?.high)
    }
  }

  private func wiresGoals() -> [Goal] {
    let cells = cells(.wires)
    let streams = cells.filter(\.wire.isHTTP2).map { cell in
      Goal(
        "user-space CPU per answer, \(cell.label)", middle(cell, "squall", .okUserUs),
        atMost: 0.10, unit: "µs")
    }
    let exchanges = cells.filter { $0.wire == .https }.map { cell in
      var plain = cell
      plain.wire = .http1
      let beyond = middle(cell, "squall", .okUserUs).flatMap { secure in
        middle(plain, "squall", .okUserUs).map { secure - $0 }
      }
      return Goal(
        "user-space CPU of an exchange over TLS beyond plain", beyond, atMost: 0.50, unit: "µs")
    }
    return streams + exchanges
  }
}
