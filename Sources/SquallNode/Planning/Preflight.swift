internal import Glibc
internal import SquallEngine
package import SquallLoad
internal import SquallReport
internal import SquallTLS

/// What can be known before any load: whether this host has descriptors and memory for the connections,
/// and whether somebody listens.
package enum Preflight {
  /// Returns what was found of the target, for the run.
  package static func check(
    _ plan: Plan, workerCount: Int
  ) throws(Complaint) -> [TargetAddresses] {
    try checkDescriptors(plan, workerCount: workerCount)
    if let limit = MemoryLimit(HostFiles()) {
      try check(plan, workerCount: workerCount, within: limit)
    }
    var found: [TargetAddresses] = []
    for origin in plan.origins {
      var one = plan
      one.origin = origin
      one.otherOrigins = []
      found += try checkTarget(one)
    }
    return found
  }

  private static func checkDescriptors(_ plan: Plan, workerCount: Int) throws(Complaint) {
    let needed =
      (UInt64(plan.connections.openCount) + UInt64(workerCount) - 1) / UInt64(workerCount)
    let limit = ThisProcess.raiseDescriptorLimit(to: needed)
    guard limit < needed else { return }
    throw .world(
      "-c \(plan.connections.openCount) takes \(needed) file descriptors in each of \(workerCount) "
        + "worker\(workerCount == 1 ? "" : "s"), and a process here may have \(limit): "
        + "\(Limit.descriptors.remedy).")
  }

  /// A sentence before the load is better than the kernel's kill in the middle of it.
  package static func check(
    _ plan: Plan, workerCount: Int, within limit: MemoryLimit
  ) throws(Complaint) {
    let most = limit.connectionCountMax(
      workerCount: workerCount, isSecure: plan.origins.contains { $0.tls != nil })
    guard UInt64(plan.connections.openCount) > most else { return }
    throw .world(
      "-c \(plan.connections.openCount) takes more memory than there is, which suffices for about \(most) with "
        + "\(Figures.count(workerCount, "worker")): "
        + "\(Limit.memory(byteCount: limit.byteCount).sentence).")
  }

  /// By a connection to each address, of which the first is kept for the load; over TLS by one
  /// handshake, so that what would fail on each connection is said once, before the load.
  private static func checkTarget(_ plan: Plan) throws(Complaint) -> [TargetAddresses] {
    var found: [TargetAddresses] = []
    var obstacles: [(address: Address, error: SystemError)] = []
    for destination in plan.origin.destinations {
      do throws(Address.ResolveError) {
        found.append(
          try TargetAddresses(
            of: destination, timeoutNs: plan.times.connectTimeoutNs,
            triesOne: plan.origin.tls == nil))
      } catch {
        throw .world(
          "cannot look up the host '\(error.host)': \(error.cause). Check its spelling, or give an "
            + "address in numbers.")
      }
      guard plan.origin.tls != nil else {
        obstacles += found[found.count - 1].obstacles
        continue
      }
      for address in found[found.count - 1].used {
        guard let error = try obstacle(plan, address) else { return found }
        obstacles.append((address, error))
      }
    }
    if plan.origin.tls == nil && found.contains(where: \.takesConnections) { return found }
    let refusals = obstacles.map { "\($0.address): \(SystemError.explain($0.error.errno))" }
      .joined(separator: ", ")
    if obstacles.allSatisfy({ $0.error.errno == EADDRNOTAVAIL }) {
      // For an IPv6 address it may also mean that this host has none of its own (ipv6(7)).
      let isIPv6 = obstacles.contains { $0.address.description.hasPrefix("[") }
      throw .world(
        "no connection to \(refusals): \(Limit.localPorts.sentence)"
          + (isIPv6 ? ", or give this host an IPv6 address." : "."))
    }
    let question =
      plan.origin.destinations.allSatisfy(\.isPath)
      ? "is the path right, and may this user write to the socket?"
      : "is the port right, and does a firewall let this host through?"
    throw .world("nobody answers at \(refusals). Is the server running, \(question)")
  }

  /// Why nobody answers there; nil when somebody does.
  private static func obstacle(
    _ plan: Plan, _ address: Address
  ) throws(Complaint) -> SystemError? {
    do throws(TargetStream.Failure) {
      _ = try TargetStream(to: address, plan)
      return nil
    } catch {
      switch error {
      case .socket(let error): return error
      case .otherProtocol: throw .usage("\(address) \(error.sentence).")
      case .tls(let failure) where failure.reason == .noProtocol:
        throw .usage("\(address) \(error.sentence).")
      case .tls: throw .world("\(address) \(error.sentence).")
      }
    }
  }
}
