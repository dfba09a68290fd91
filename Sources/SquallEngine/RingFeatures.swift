internal import CSquall

/// What this kernel's io_uring can do beyond what a ring of ours needs.
package struct RingFeatures: Equatable, Sendable {
  /// Waits until an absolute instant, Linux 6.12.
  package var waitsAbsolutely: Bool
  /// Makes, binds and connects sockets without a system call of its own, Linux 6.11.
  package var connectsInRing: Bool

  package init(waitsAbsolutely: Bool, connectsInRing: Bool) {
    self.waitsAbsolutely = waitsAbsolutely
    self.connectsInRing = connectsInRing
  }

  /// Makes a ring to find out.
  package static func probe() throws(SystemError) -> RingFeatures {
    var options = Ring.Options(connections: 1)
    options.backend = .ioUring
    return try Ring(options).features
  }
}
