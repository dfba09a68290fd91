internal import CSquall
internal import SquallEngine
package import SquallLoad

/// What can be known before any load: whether this host has a ring and as many descriptors as there
/// are connections, and whether somebody listens.
package enum Preflight {
  package static func check(_ plan: Plan, workerCount: Int) throws(Complaint) {
    if let obstacle = Ring.obstacle() { throw .world(obstacle) }
    try checkDescriptors(plan, workerCount: workerCount)
    try checkTarget(plan)
  }

  private static func checkDescriptors(_ plan: Plan, workerCount: Int) throws(Complaint) {
    let needed = (UInt64(plan.connections) + UInt64(workerCount) - 1) / UInt64(workerCount)
    let limit = squall_files_raise(needed)
    guard limit < needed else { return }
    throw .world(
      "-c \(plan.connections) takes \(needed) file descriptors in each of \(workerCount) "
        + "worker\(workerCount == 1 ? "" : "s"), and a process here may have \(limit): raise "
        + "`ulimit -n`, or use more workers (-w).")
  }

  private static func checkTarget(_ plan: Plan) throws(Complaint) {
    var refusals: [String] = []
    for destination in plan.destinations {
      let addresses: [Address]
      do throws(Address.ResolveError) {
        addresses = try Address.resolve(destination.host, port: destination.port)
      } catch {
        throw .world(
          "cannot look up the host '\(error.host)': \(error.cause). Check its spelling, or give an "
            + "address in numbers.")
      }
      for address in addresses {
        guard let obstacle = address.obstacle(timeoutNs: plan.connectTimeoutNs) else { return }
        refusals.append("\(address): \(SystemError.explain(obstacle.errno))")
      }
    }
    throw .world(
      "nobody answers at \(refusals.joined(separator: ", ")). Is the server running, is the port "
        + "right, and does a firewall let this host through?")
  }
}
