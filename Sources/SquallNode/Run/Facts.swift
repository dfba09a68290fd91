internal import Glibc
package import SquallCluster
internal import SquallLoad
package import SquallReport

extension RunFacts {
  /// What surrounds a run besides its counts.
  package init(
    startedAtNs: UInt64, isInterrupted: Bool, status: Status, outcome: Outcome,
    ledgers: [Ledger], sharedCPUs: [UInt16] = [], isPinned: Bool = true
  ) {
    self.init()
    tool = .ours
    host = .ours
    argv = CommandLine.arguments
    startedAt = rfc3339(startedAtNs)
    interrupted = isInterrupted
    for worker in status.workers {
      workers[WorkerPlace(worker.incarnation)] = WorkerFacts(
        host: worker.host, cpu: isPinned ? UInt32(worker.cpu) : nil)
    }
    for ledger in ledgers { ownLedgers[ledger.incarnation] = ledger.sums }
    for gap in outcome.gaps {
      switch gap {
      case .notReplaced(let incarnation), .silent(let incarnation, _):
        workers[WorkerPlace(incarnation)]?.isLost = true
      case .batches, .mismatch: break
      }
    }
    cpusSharedWithTarget = sharedCPUs.map(UInt32.init)
  }

  /// What the record of a run says of it; the process that reports may be another than the one that
  /// began.
  mutating func take(_ head: RecordHead, run: UInt64, startedAtNs: UInt64) {
    self.run = run
    tool = head.tool
    host = head.host
    argv = head.argv
    startedAt = rfc3339(startedAtNs)
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
