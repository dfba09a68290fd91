internal import Glibc

/// TLS in the kernel (Documentation/networking/tls.rst): whether a connected socket takes it.
package enum KernelTLS {
  /// Not in Glibc's headers of Debian 12: linux/tcp.h.
  private static let upperLayer: Int32 = 31

  /// Why not; empty when it does, nil when no two sockets could be connected.
  package static func obstacle() -> String? {
    let listening = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard listening >= 0 else { return nil }
    defer { close(listening) }
    let connecting = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard connecting >= 0 else { return nil }
    defer { close(connecting) }
    // Only a connection that is established takes it. To a socket that listens it is, before anybody
    // accepts it.
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var byteCount = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isConnected = unsafe withUnsafeMutablePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        unsafe bind(listening, pointer, byteCount) == 0 && listen(listening, 1) == 0
          && getsockname(listening, pointer, &byteCount) == 0
          && connect(connecting, pointer, byteCount) == 0
      }
    }
    guard isConnected else { return nil }
    let isTaken = unsafe setsockopt(connecting, Int32(IPPROTO_TCP), upperLayer, "tls", 3) == 0
    return isTaken ? "" : SystemError.explain(errno)
  }
}
