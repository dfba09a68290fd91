internal import NIOConcurrencyHelpers
package import SquallEngine
internal import SquallLoad

/// The addresses of a target's name, looked at before the load. One that refuses while another takes
/// connections is left out for good: a name that a target only half listens on is no error of its
/// answers.
package struct TargetAddresses: Sendable {
  /// The longest that one of several addresses is waited for.
  private static let waitNsMax: UInt64 = 1_000_000_000

  package let host: String
  package private(set) var used: [Address]
  /// Those that take no connection.
  package private(set) var obstacles: [(address: Address, error: SystemError)] = []
  /// One that was tried took a connection.
  private(set) var takesConnections = false
  private let first = NIOLockedValueBox<Socket?>(nil)

  /// Blocks. A single address is taken as it is, unless it is to be tried.
  init(
    of destination: Plan.Destination, timeoutNs: UInt64, triesOne: Bool = false
  ) throws(Address.ResolveError) {
    host = destination.host
    used = try Address.resolve(destination.host, port: destination.port)
    guard used.count > 1 || triesOne else { return }
    let waitNs = used.count > 1 ? min(timeoutNs, Self.waitNsMax) : timeoutNs
    var alive: [Address] = []
    for address in used {
      do throws(SystemError) {
        let socket = try Socket(to: address, timeoutNs: waitNs)
        first.withLockedValue { $0 = $0 ?? socket }
        alive.append(address)
      } catch {
        obstacles.append((address, error))
      }
    }
    takesConnections = !alive.isEmpty
    if takesConnections { used = alive }
  }

  /// The connection to the first of those in use, once. A target that takes only one has no other to
  /// give, so it is the load's first. Whoever else held it would keep it open behind the load's back.
  func takeFirst() -> Socket? {
    first.withLockedValue { first in
      defer { first = nil }
      return first
    }
  }

  /// Some take no connections and others do.
  package var leavesOut: Bool { takesConnections && !obstacles.isEmpty }

  /// One sentence for a person, without the full stop.
  package var sentence: String {
    let out = obstacles.map { "\($0.address) (\(SystemError.explain($0.error.errno)))" }
      .joined(separator: ", ")
    let rest = used.map { "\($0)" }.joined(separator: ", ")
    return "of the addresses of \(host) these take no connections and were left out: \(out); used: "
      + rest
  }
}
