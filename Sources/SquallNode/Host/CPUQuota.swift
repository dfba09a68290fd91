/// How much CPU time the control group of this process may use, and how often it was held back for it.
package struct CPUQuota: Equatable, Sendable {
  /// In CPUs; nil without a limit.
  package var cpus: Double?
  /// Periods in which the group ran, and those in which it used up its time.
  package var periodCount: UInt64 = 0
  package var throttledCount: UInt64 = 0

  /// Nil when the host tells of no control group.
  package init?(_ files: HostFiles) {
    guard let chains = ControlGroups.chains("cpu", files) else { return nil }
    for chain in chains {
      for folders in chain.mounts where read(files, folders, isSecond: chain.isSecond) { break }
    }
  }

  /// False when none of the folders has a file of limits, as on a host without groups or with the other
  /// version.
  private mutating func read(_ files: HostFiles, _ folders: [String], isSecond: Bool) -> Bool {
    var isThere = false
    for folder in folders {
      guard let limit = Self.limit(files, folder, isSecond: isSecond) else { continue }
      isThere = true
      if let cpus = limit, cpus < self.cpus ?? .infinity {
        self.cpus = cpus
        note(files, folder)
      }
    }
    return isThere
  }

  private mutating func note(_ files: HostFiles, _ folder: String) {
    for line in files.text(folder + "/cpu.stat")?.split(separator: "\n") ?? [] {
      let words = line.split(separator: " ")
      guard words.count == 2, let number = UInt64(words[1]) else { continue }
      switch words[0] {
      case "nr_periods": periodCount = number
      case "nr_throttled": throttledCount = number
      default: break
      }
    }
  }

  /// Nil when there is no such file; of a file that sets no limit the number is nil.
  private static func limit(_ files: HostFiles, _ folder: String, isSecond: Bool) -> Double?? {
    if isSecond {
      guard let words = files.text(folder + "/cpu.max")?.split(separator: " "), words.count == 2
      else { return nil }
      guard let quota = Double(words[0]), let period = Double(words[1]), period > 0 else {
        return .some(nil)
      }
      return quota / period
    }
    guard let quota = files.text(folder + "/cpu.cfs_quota_us").flatMap(Double.init),
      let period = files.text(folder + "/cpu.cfs_period_us").flatMap(Double.init), period > 0
    else { return nil }
    return quota > 0 ? .some(quota / period) : .some(nil)
  }

  /// Workers that the quota can keep running.
  package var workerCountMax: Int? { cpus.map { max(1, Int($0)) } }
}
