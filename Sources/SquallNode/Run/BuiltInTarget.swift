internal import SquallEngine
internal import SquallTarget

/// The target that `run` starts when it is given no URL.
package final class BuiltInTarget {
  private let target: Target
  package let url: String

  package init(cpus: [UInt16]) throws(Complaint) {
    guard let loopback = Address("127.0.0.1", port: 0) else {
      preconditionFailure("the loopback address in text is one")
    }
    var options = TargetOptions(address: loopback)
    options.cpus = cpus.map { $0 }
    do throws(SystemError) {
      target = try Target(options: options)
    } catch {
      throw .world(Ring.explain(error))
    }
    url = "http://\(target.address)/"
  }

  package func stop() {
    // Its counts are not asked for here, and it ends with this process anyway.
    try? target.stop()
  }
}
