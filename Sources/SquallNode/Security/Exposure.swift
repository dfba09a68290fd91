internal import NIOCore

/// Who can reach a port of the master.
package enum Exposure {
  /// Only this host's own processes can. A name counts as reachable, unless it is localhost.
  package static func isLoopback(_ host: String) -> Bool {
    if host == "localhost" { return true }
    guard let address = try? SocketAddress(ipAddress: host, port: 0) else { return false }
    switch address {
    case .v4: return host.hasPrefix("127.")
    case .v6: return host == "::1" || host == "0:0:0:0:0:0:0:1"
    case .unixDomainSocket: return true
    }
  }

  /// Refuses to be reachable by others without a token, unless told to be.
  package static func check(
    host: String, flag: String, hasToken: Bool, isInsecure: Bool
  ) throws(Complaint) {
    guard !isLoopback(host), !hasToken, !isInsecure else { return }
    throw .usage(
      "\(flag) \(host) can be reached from other hosts, and there is no token: give --token-file "
        + "FILE (or SQUALL_TOKEN) to the master and its workers, or --insecure where everybody on "
        + "the network may take part.")
  }
}
