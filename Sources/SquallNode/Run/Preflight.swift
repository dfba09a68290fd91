internal import SquallEngine
package import SquallLoad

/// What can be known before any load: whether this host has a ring, and whether somebody listens.
package enum Preflight {
  package static func check(_ plan: Plan) throws(Complaint) {
    if let obstacle = Ring.obstacle() { throw .world(obstacle) }
    try checkTarget(plan)
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
