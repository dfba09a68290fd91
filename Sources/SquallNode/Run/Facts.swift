internal import Glibc
package import SquallCluster
package import SquallLoad

extension RunFacts {
  /// What surrounds a run besides its counts.
  package init(
    startedAtNs: UInt64, isInterrupted: Bool, status: Status, outcome: Outcome,
    ledgers: [Ledger], sharedCPUs: [UInt16] = [], isPinned: Bool = true
  ) {
    self.init()
    tool.version = Build.version
    tool.commit = Build.commit
    host.kernel = Host.kernel
    host.cpuModel = Host.cpuModel
    host.cpus = UInt32(Host.cpus.count)
    argv = CommandLine.arguments
    startedAt = Self.rfc3339(startedAtNs)
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

  /// Such as 2026-02-03T04:05:06.789Z.
  private static func rfc3339(_ wallNs: UInt64) -> String {
    var seconds = time_t(wallNs / 1_000_000_000)
    var parts = unsafe tm()
    unsafe gmtime_r(&seconds, &parts)
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let milliseconds = String(1_000 + wallNs / 1_000_000 % 1_000).dropFirst()
    return unsafe "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
      + "T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)).\(milliseconds)Z"
  }
}
