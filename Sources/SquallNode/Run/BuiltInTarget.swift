internal import Glibc
internal import SquallEngine
internal import SquallTLS
internal import SquallTarget

/// The target that `run` starts when it is given no URL.
package final class BuiltInTarget {
  private let target: Target
  /// What signs its own certificate, in PEM: the certificate itself. Empty when it speaks no TLS.
  package let authority: [UInt8]

  /// With `isSecure` it also speaks TLS, on the same port, under a certificate made here.
  package init(cpus: [UInt16], ring: RingChoice, isSecure: Bool) throws(Complaint) {
    guard let loopback = Address("127.0.0.1", port: 0) else {
      preconditionFailure("the loopback address in text is one")
    }
    var options = TargetOptions(address: loopback)
    options.cpus = cpus.map { $0 }
    options.backend = ring.backend
    if isSecure { options.certificate = try Certificate.forServing() }
    authority = options.certificate?.chain ?? []
    do throws(SystemError) {
      target = try Target(options: options)
    } catch {
      throw .world(Ring.explain(error))
    }
  }

  package func url(isSecure: Bool) -> String {
    "\(isSecure ? "https" : "http")://\(target.address)/"
  }

  package func stop() {
    // Its counts are not asked for here, and it ends with this process anyway.
    try? target.stop()
  }
}

extension Certificate {
  private static let daySeconds: Int64 = 86_400

  /// A self-signed one, P-256, for this host's names, from yesterday to a year from now.
  static func forServing(_ names: [String] = []) throws(Complaint) -> Certificate {
    let now = Int64(time(nil))
    var options = Options(validity: now - daySeconds...now + 365 * daySeconds)
    options.names += names.filter { !options.names.contains($0) }
    do throws(TLSContext.Refusal) {
      return try make(options)
    } catch {
      throw .world("a certificate for the target could not be made: \(error).")
    }
  }
}
