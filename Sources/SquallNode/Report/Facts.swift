internal import Glibc
package import SquallCluster
internal import SquallHTTP
package import SquallLoad
package import SquallReport
internal import SquallScenario

extension RunFacts {
  /// What surrounds a run besides its counts.
  package init(
    plan: Plan, startedAtNs: UInt64, isInterrupted: Bool, status: Status, outcome: Outcome,
    ledgers: [Ledger]
  ) {
    self.init()
    takeWords(of: plan)
    tool = .ours
    host = .ours
    argv = CommandLine.arguments
    startedAt = rfc3339(startedAtNs)
    interrupted = isInterrupted
    for worker in status.workers {
      workers[WorkerPlace(worker.incarnation)] = WorkerFacts(
        host: worker.host, process: worker.process, cpu: UInt32(worker.cpu))
    }
    for ledger in ledgers { ownLedgers[ledger.incarnation] = ledger.sums }
    for gap in outcome.gaps {
      switch gap {
      case .notReplaced(let incarnation), .silent(let incarnation, _):
        workers[WorkerPlace(incarnation)]?.isLost = true
      case .batches, .mismatch: break
      }
    }
    gaps = outcome.gaps.map { $0.described(among: workers) }
  }

  /// What the numbers in a run's counts mean.
  mutating func takeWords(of plan: Plan) {
    malformations = .known
    guard let program = SquallScenario.Program(bytes: plan.content.program) else { return }
    if !program.load.stages.isEmpty {
      userStages = program.load.stages.map { .init(durationNs: $0.durationNs, users: $0.to) }
    }
    checks = program.endpoints.indices.map { endpoint in
      var words: [UInt8: String] = [:]
      for number in 0..<UInt8(Counters.checkCountMax) {
        words[number] = program.checkWords(of: endpoint, number: number)
      }
      return words
    }
  }
}

extension [RunFacts.Malformation] {
  /// Those of this version's parser.
  static var known: Self {
    let ofHTTP1 = Malformation.allCases.map {
      RunFacts.Malformation(
        name: $0.name, explanation: "\($0.explanation)", isOurLimit: $0.isOurLimit)
    }
    let ofHTTP2 = H2Violation.allCases.map {
      RunFacts.Malformation(
        name: $0.name, explanation: "\($0.explanation)", isOurLimit: $0.isOurLimit)
    }
    let unused = RunFacts.Malformation(name: "", explanation: "", isOurLimit: false)
    return ofHTTP1
      + Array(repeating: unused, count: Int(H2Violation.firstNumber) - ofHTTP1.count) + ofHTTP2
  }
}

extension RunResult.Tool {
  package static var ours: Self {
    var tool = Self()
    tool.version = Build.version
    tool.commit = Build.commit
    return tool
  }
}

extension RunResult.Host {
  package static var ours: Self {
    var host = Self()
    host.kernel = SquallNode.Host.kernel
    host.cpuModel = SquallNode.Host.cpuModel
    host.cpus = UInt32(SquallNode.Host.cpus.count)
    return host
  }
}

/// Such as 2026-02-03T04:05:06.789Z.
package func rfc3339(_ wallNs: UInt64) -> String {
  var seconds = time_t(wallNs / 1_000_000_000)
  var parts = unsafe tm()
  unsafe gmtime_r(&seconds, &parts)
  func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
  let milliseconds = String(1_000 + wallNs / 1_000_000 % 1_000).dropFirst()
  return unsafe "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
    + "T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)).\(milliseconds)Z"
}
