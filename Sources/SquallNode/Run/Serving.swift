internal import Glibc
internal import SquallEngine
internal import SquallTLS
package import SquallTarget

/// The built-in target in the foreground.
package enum Serving {
  /// What it proves itself with over TLS.
  package enum Identity {
    /// No TLS.
    case none
    /// A certificate made at the start.
    case made
    /// Files in PEM.
    case files(certificate: String, key: String)
  }

  /// Serves until SIGINT or SIGTERM. Prints where it listens, and at the end what it counted, as
  /// one line of JSON each on standard output.
  package static func run(
    host: String, port: UInt16, cpus: [UInt16]?, ring: RingChoice, identity: Identity,
    configure: (inout TargetOptions) -> Void
  ) throws(Complaint) {
    guard let address = Address(host, port: port) else {
      throw .usage("--host '\(host)' is not an address in numbers, such as 127.0.0.1 or ::1.")
    }
    let placement = try Placement(
      workerCount: nil, cpus: cpus, allowed: Host.cpus, hasTarget: false,
      quota: CPUQuota(HostFiles())?.cpus)
    var options = TargetOptions(address: address)
    options.cpus = placement.workers.map { placement.isPinned ? $0 : nil }
    options.backend = ring.backend
    options.certificate = try certificate(identity, for: host)
    configure(&options)
    guard options.slotCount <= TargetOptions.slotCountMax else {
      throw .usage("--slots is above the \(TargetOptions.slotCountMax) allowed.")
    }
    guard options.arrivalCountMax <= TargetOptions.arrivalCountMaxMax else {
      throw .usage("--arrivals-max is above the \(TargetOptions.arrivalCountMaxMax) allowed.")
    }
    let interrupts = Interrupts { _ in }
    do {
      let target = try Target(options: options)
      try Console.print(
        "{\"listening\":\"\(options.certificate == nil ? "http" : "https")://\(target.address)/\""
          + ",\"pids\":\(target.processes)}\n")
      while interrupts.signal == nil && target.isServing(withinMs: 100) {}
      if interrupts.signal == nil {
        throw target.failure ?? SystemError(call: "a target process", errno: ESRCH)
      }
      let counts = target.counts()
      try target.stop()
      try Console.print(counts.json + "\n")
    } catch let error as SystemError {
      let isAddress = error.errno == EADDRINUSE || error.errno == EADDRNOTAVAIL
      throw .world(
        isAddress || error.errno == EACCES
          ? "cannot listen on \(host):\(port): \(SystemError.explain(error.errno)). Choose another "
            + "--port (0 for any free one) or --host."
          : Ring.explain(error))
    } catch let error as Complaint {
      throw error
    } catch {
      throw .world("\(error)")
    }
    interrupts.end()
  }
  private static func certificate(
    _ identity: Identity, for host: String
  ) throws(Complaint) -> Certificate? {
    switch identity {
    case .none: return nil
    case .made: return try .forServing([host])
    case .files(let certificate, let key):
      let made = Certificate(
        chain: try PlanDraft.file(certificate, "--cert"), key: try PlanDraft.file(key, "--key"))
      do throws(TLSContext.Refusal) {
        _ = try TLSContext(serving: made.chain, key: made.key, protocols: [])
      } catch {
        throw .usage("TLS with --cert \(certificate) and --key \(key) cannot be: \(error).")
      }
      return made
    }
  }
}
