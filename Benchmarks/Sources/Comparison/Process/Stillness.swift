import Glibc

/// What a CPU does to a thread that only reads the clock: time that goes to the hypervisor, to
/// neighbours, to interrupts. Nobody who runs there keeps time better than that.
package struct Stillness: Codable, Sendable {
  package let cpu: Int
  package let seconds: Double
  /// Gaps of at least `gapNs` between two readings.
  package let gapCount: Int
  package let lostNs: UInt64
  package let longestNs: UInt64

  /// An interrupt takes less.
  package static let gapNs: UInt64 = 20_000

  /// Takes the calling thread to the CPU and back. Nil when it may not run there.
  package init?(cpu: Int, seconds: Double) {
    let before = Affinity.current()
    guard before.cpus.contains(cpu) else { return nil }
    Affinity(cpus: [cpu]).apply()
    defer { before.apply() }
    let beginNs = monotonicNs()
    let endNs = beginNs + UInt64(seconds * 1e9)
    var gapCount = 0
    var lostNs: UInt64 = 0
    var longestNs: UInt64 = 0
    var lastNs = beginNs
    while lastNs < endNs {
      let nowNs = monotonicNs()
      let gapNs = nowNs - lastNs
      if gapNs >= Self.gapNs {
        gapCount += 1
        lostNs += gapNs
        longestNs = max(longestNs, gapNs)
      }
      lastNs = nowNs
    }
    self.cpu = cpu
    self.seconds = Double(lastNs - beginNs) / 1e9
    self.gapCount = gapCount
    self.lostNs = lostNs
    self.longestNs = longestNs
  }

  package var sentence: String {
    "Stillness of CPU \(cpu): a thread that only read the clock lost "
      + "\(fixed(Double(lostNs) / seconds / 1e7, 1)) % of it, in "
      + "\(fixed(Double(gapCount) / seconds, 0)) gaps a second of 20 µs and more, the longest "
      + "\(fixed(Double(longestNs) / 1e3, 0)) µs; no client there keeps time better."
  }
}
