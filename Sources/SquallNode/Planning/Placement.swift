internal import SquallReport

/// Which CPUs the workers run on, and which are left for a target on this host.
package struct Placement {
  package var workers: [UInt16]
  package var target: [UInt16]
  /// CPUs that both use, for want of others.
  package var shared: [UInt16] { workers.filter(target.contains) }
  /// Whether each stays on its CPU.
  package var isPinned: Bool

  /// - Parameters:
  ///   - workerCount: nil for one per CPU, or as many as the quota can run: more would only wait for
  ///     each other.
  ///   - cpus: the CPUs asked for; nil for all that this process may use.
  ///   - quota: CPUs whose time this process may use; nil for all of each. Below the number of CPUs
  ///     that it may run on, none is its own, and a worker is better left to the scheduler: with a quota
  ///     of a container that has a set of CPUs to itself, the two are the same.
  ///   - hasTarget: half of the CPUs are kept for the built-in target, where there are two or more.
  package init(
    workerCount: Int?, cpus asked: [UInt16]?, allowed: [UInt16], hasTarget: Bool,
    quota: Double? = nil
  ) throws(Complaint) {
    if let asked, let absent = asked.first(where: { !allowed.contains($0) }) {
      throw .usage(
        "--cpus names CPU \(absent), which this process may not use; it may use "
          + "\(allowed.map(String.init).joined(separator: ",")).")
    }
    if let workerCount, workerCount > Self.workerCountMax {
      throw .usage("\(workerCount) workers are more than the \(Self.workerCountMax) allowed.")
    }
    var pool = asked ?? allowed
    if hasTarget && asked == nil && allowed.count > 1 {
      pool = Array(allowed.suffix(allowed.count / 2))
    }
    let chosen = pool
    let isShort = asked == nil && (quota ?? .infinity) < Double(allowed.count)
    let most = isShort ? max(1, Int(quota ?? 1)) : chosen.count
    workers = (0..<(workerCount ?? min(most, chosen.count))).map { chosen[$0 % chosen.count] }
    isPinned = !isShort
    let rest = allowed.filter { !chosen.contains($0) }
    target = rest.isEmpty ? allowed : rest
  }

  static let workerCountMax = 1_024

  /// What a quota came to.
  package func remark(on quota: Double) -> String {
    "\(Limit.quota(cpus: quota).cause): \(Figures.count(workers.count, "worker")), not pinned"
  }
}
