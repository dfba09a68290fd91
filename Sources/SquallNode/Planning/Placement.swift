/// Which CPUs the workers run on, and which are left for a target on this host.
package struct Placement {
  package var workers: [UInt16]
  package var target: [UInt16]
  /// CPUs that both use, for want of others.
  package var shared: [UInt16] { workers.filter(target.contains) }

  /// - Parameters:
  ///   - workerCount: nil for one per CPU.
  ///   - cpus: the CPUs asked for; nil for all that this process may use.
  ///   - hasTarget: half of the CPUs are kept for the built-in target, where there are two or more.
  package init(
    workerCount: Int?, cpus asked: [UInt16]?, allowed: [UInt16], hasTarget: Bool
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
    workers = (0..<(workerCount ?? chosen.count)).map { chosen[$0 % chosen.count] }
    let rest = allowed.filter { !chosen.contains($0) }
    target = rest.isEmpty ? allowed : rest
  }

  static let workerCountMax = 1_024
}
