/// How much memory the control group of this process may use. Beyond it the kernel kills.
package struct MemoryLimit: Equatable, Sendable {
  package var byteCount: UInt64

  /// Nil without a limit.
  package init?(_ files: HostFiles) {
    var limits: [UInt64] = []
    for chain in ControlGroups.chains("memory", files) ?? [] {
      let name = chain.isSecond ? "memory.max" : "memory.limit_in_bytes"
      for folders in chain.mounts {
        limits += folders.compactMap { files.text("\($0)/\(name)").flatMap { UInt64($0) } }
      }
    }
    // The first version writes the most that it can count where there is no limit.
    guard let least = limits.min(), least < 1 << 60 else { return nil }
    byteCount = least
  }

  /// A process of ours with the ring's buffers, 8 MiB of them at most, as the kernel counts it.
  private static let processByteCount: UInt64 = 20 << 20
  /// Our row of it, and the kernel's socket and file, which the group pays for as well (tcp_sock alone
  /// has 2.3 KiB).
  private static let connectionByteCount: UInt64 = 4_608
  /// What BoringSSL keeps of a connection.
  private static let secureByteCount: UInt64 = 24 << 10

  /// Connections for which it suffices, about, beside so many workers.
  package func connectionCountMax(workerCount: Int, isSecure: Bool) -> UInt64 {
    let fixed = (UInt64(workerCount) + 1) * Self.processByteCount
    let each = Self.connectionByteCount + (isSecure ? Self.secureByteCount : 0)
    return (byteCount - min(byteCount, fixed)) / each
  }
}
