internal import Glibc
internal import SquallEngine
internal import SquallHTTP
internal import SquallLoad
internal import SquallTLS

/// A worker process from its start to its end: sets up what its plan calls for, and runs it.
@safe package enum WorkerMain {
  /// Where the agent puts what a worker inherits; the last one only when the setup says so.
  package static let regionDescriptor: Int32 = 3
  package static let commandDescriptor: Int32 = 4
  package static let firstConnection: Int32 = 5

  /// Runs the worker of this process to its end. Returns the process's exit code.
  package static func run() -> Int32 {
    do throws(SystemError) {
      let region = try SharedRegion(descriptor: regionDescriptor)
      do throws(SystemError) {
        try run(region)
        return 0
      } catch {
        region.message = Ring.explain(error)
        notify(.failed)
        return 1
      }
    } catch {
      return 1
    }
  }

  private static func run(_ region: borrowing SharedRegion) throws(SystemError) {
    guard var setup = WorkerSetup(bytes: region.setup) else {
      preconditionFailure("the inherited setup is not of this build")
    }
    guard ThisProcess.follow(setup.parent) else { return }
    if let cpu = setup.cpu { try ThisProcess.pin(to: cpu) }
    // A table of registered files may be as long as a process may have open ones
    // (io_uring_register(2)); over epoll they are open, beside a few others. One that is dealt the
    // whole load may have to do with fewer.
    let reservedCount: UInt64 = setup.backend == .ioUring ? 0 : 16
    let limit = ThisProcess.raiseDescriptorLimit(
      to: UInt64(setup.connectionCountMax) + reservedCount)
    setup.connectionCountMax = min(
      setup.connectionCountMax, UInt32(clamping: max(1, limit - min(limit, reservedCount))))
    // For the load that was planned: of one that is changed upwards bursts cost more turns.
    var options = Ring.Options(
      connections: Int(min(setup.connectionCountMax, setup.plan.connections.openCount)))
    options.fileCount = setup.connectionCountMax
    options.backend = setup.backend
    let ring = try Ring(options)
    let plan = setup.plan
    if plan.usersAreApart { return try share(setup, region, on: ring) }
    switch (plan.content.program.isEmpty, plan.connections.streams > 0, plan.origin.tls) {
    case (true, false, nil):
      var kind = PlainWorker(worker: fixed(PlainWire(), setup, region, on: ring))
      try run(&kind, on: ring, plan)
    case (true, false, let tls?):
      var kind = SecureWorker(worker: fixed(wire(tls, setup), setup, region, on: ring))
      try run(&kind, on: ring, plan)
    case (true, true, nil):
      var kind = H2Worker(worker: streams(PlainWire(), setup, region, on: ring))
      try run(&kind, on: ring, plan)
    case (true, true, let tls?):
      var kind = SecureH2Worker(worker: streams(wire(tls, setup), setup, region, on: ring))
      try run(&kind, on: ring, plan)
    case (false, _, nil):
      var kind = ScriptWorker(worker: script(PlainWire(), setup, region, on: ring))
      try run(&kind, on: ring, plan)
    case (false, _, let tls?):
      var kind = SecureScriptWorker(worker: script(wire(tls, setup), setup, region, on: ring))
      try run(&kind, on: ring, plan)
    }
  }

  /// Users that take turns on connections.
  private static func share(
    _ setup: WorkerSetup, _ region: borrowing SharedRegion, on ring: borrowing Ring
  ) throws(SystemError) {
    let plan = setup.plan
    guard plan.connections.streams > 0 else {
      if let mixed = mixedWire(setup) {
        var kind = MixedSharedWorker(worker: shared(mixed, setup, region, on: ring))
        return try run(&kind, on: ring, plan)
      }
      var kind = SharedWorker(worker: shared(PlainWire(), setup, region, on: ring))
      return try run(&kind, on: ring, plan)
    }
    if let tls = plan.origin.tls {
      var kind = SecureSharedH2Worker(
        worker: sharedStreams(wire(tls, setup), setup, region, on: ring))
      try run(&kind, on: ring, plan)
    } else {
      var kind = SharedH2Worker(worker: sharedStreams(PlainWire(), setup, region, on: ring))
      try run(&kind, on: ring, plan)
    }
  }

  private static func wire(_ tls: TLSPlan, _ setup: WorkerSetup) -> TLSWire {
    do throws(TLSContext.Refusal) {
      return TLSWire(
        contexts: [try TLSContext(tls)], serverNames: [tls.serverName],
        rowCount: Int(setup.connectionCountMax))
    } catch {
      preconditionFailure("a plan whose TLS was not checked: \(error)")
    }
  }

  /// To origins some or all of which have TLS; nil where there are none such.
  private static func mixedWire(_ setup: WorkerSetup) -> MixedWire? {
    let plans = setup.plan.origins.map(\.tls)
    guard let any = plans.lazy.compactMap({ $0 }).first else { return nil }
    do throws(TLSContext.Refusal) {
      var contexts: [TLSContext] = []
      // Tickets are of one host, so each has a context of its own.
      for tls in plans { contexts.append(try TLSContext(tls ?? any)) }
      let sealed = TLSWire(
        contexts: contexts, serverNames: plans.map { $0?.serverName ?? "" },
        rowCount: Int(setup.connectionCountMax))
      return MixedWire(sealed, isSealed: plans.map { $0 != nil })
    } catch {
      preconditionFailure("a plan whose TLS was not checked: \(error)")
    }
  }

  /// One request over HTTP/1.1, again and again.
  private static func fixed<Line: Wire & ~Copyable>(
    _ line: consuming Line, _ setup: WorkerSetup, _ region: borrowing SharedRegion,
    on ring: borrowing Ring
  ) -> Worker<FixedTraffic, HTTP1, Line> {
    worker(
      FixedTraffic(), HTTP1.Common(expectsNoBody: setup.plan.content.endpoints[0].expectsNoBody),
      line,
      depth: setup.plan.connections.pipeline, setup, region, on: ring)
  }

  /// The same over HTTP/2.
  private static func streams<Line: Wire & ~Copyable>(
    _ line: consuming Line, _ setup: WorkerSetup, _ region: borrowing SharedRegion,
    on ring: borrowing Ring
  ) -> Worker<FixedTraffic, HTTP2, Line> {
    let plan = setup.plan
    guard
      let template = H2RequestTemplate(
        rendered: plan.content.endpoints[0].request,
        scheme: plan.origin.tls == nil ? "http" : "https")
    else { preconditionFailure("a plan with a request that HTTP/2 cannot carry") }
    let common = HTTP2.Common(template)
    return worker(
      FixedTraffic(), common, line, depth: plan.connections.streams,
      composedByteCount: common.composedByteCount, setup, region, on: ring)
  }

  /// A scenario's users over HTTP/1.1.
  private static func script<Line: Wire & ~Copyable>(
    _ line: consuming Line, _ setup: WorkerSetup, _ region: borrowing SharedRegion,
    on ring: borrowing Ring
  ) -> Worker<ScriptTraffic, HTTP1, Line> {
    worker(
      ScriptTraffic(plan: setup.plan, rowCount: Int(setup.connectionCountMax)),
      HTTP1.Common(expectsNoBody: false), line, depth: 1, setup, region, on: ring)
  }

  /// The same, with fewer connections than users.
  private static func shared<Line: Wire & ~Copyable>(
    _ line: consuming Line, _ setup: WorkerSetup, _ region: borrowing SharedRegion,
    on ring: borrowing Ring
  ) -> Worker<SharedTraffic, HTTP1, Line> {
    worker(
      sharedTraffic(setup, laneCount: 1), HTTP1.Common(expectsNoBody: false), line, depth: 1,
      setup, region, on: ring)
  }

  /// A scenario's users over HTTP/2.
  private static func sharedStreams<Line: Wire & ~Copyable>(
    _ line: consuming Line, _ setup: WorkerSetup, _ region: borrowing SharedRegion,
    on ring: borrowing Ring
  ) -> Worker<SharedTraffic, HTTP2, Line> {
    let plan = setup.plan
    let job = sharedTraffic(setup, laneCount: Int(plan.connections.streams))
    let common = HTTP2.Common(
      headByteCountMax: job.headByteCountMax, isSecure: plan.origin.tls != nil)
    return worker(
      job, common, line, depth: plan.connections.streams,
      composedByteCount: common.composedByteCount, setup, region, on: ring)
  }

  private static func sharedTraffic(_ setup: WorkerSetup, laneCount: Int) -> SharedTraffic {
    SharedTraffic(
      plan: setup.plan, rowCount: Int(setup.connectionCountMax), laneCount: laneCount,
      nowNs: monotonicNs())
  }

  /// A worker that hears its agent.
  private static func worker<
    Job: Traffic & ~Copyable, Talk: Dialect & ~Copyable, Line: Wire & ~Copyable
  >(
    _ job: consuming Job, _ common: Talk.Common, _ line: consuming Line, depth: UInt32,
    composedByteCount: Int = 0, _ setup: WorkerSetup, _ region: borrowing SharedRegion,
    on ring: borrowing Ring
  ) -> Worker<Job, Talk, Line> {
    let worker = Worker<Job, Talk, Line>(
      Connections(
        setup: setup, region: region, nowNs: monotonicNs(), job: job, common: common, line: line,
        depth: depth, composedByteCount: composedByteCount), backend: ring.backend)
    worker.listen(on: ring)
    return worker
  }

  private static func run(
    _ handler: inout some CompletionHandler & ~Copyable, on ring: borrowing Ring, _ plan: Plan
  ) throws(SystemError) {
    notify(.ready)
    var loop = RingLoop(spins: plan.spins)
    try loop.run(&handler, on: ring)
  }

  /// Outside the loop, where a blocking write is fine.
  private static func notify(_ notice: Notice) {
    unsafe withUnsafeBytes(of: notice.words) { bytes in
      _ = uninterrupted { unsafe write(commandDescriptor, bytes.baseAddress, bytes.count) }
    }
  }
}

// The kinds of workers there are. Each is a type without parameters, so that all below it is compiled
// for just these types: the compiler does not see through the conformance of a generic one.

struct PlainWorker: CompletionHandler, ~Copyable {
  var worker: Worker<FixedTraffic, HTTP1, PlainWire>

  mutating func complete(_ completion: Completion, on ring: borrowing Ring, nowNs: UInt64) {
    worker.complete(completion, on: ring, nowNs: nowNs)
  }

  mutating func turn(on ring: borrowing Ring, nowNs: UInt64) -> UInt64? {
    worker.turn(on: ring, nowNs: nowNs)
  }
}

struct SecureWorker: CompletionHandler, ~Copyable {
  var worker: Worker<FixedTraffic, HTTP1, TLSWire>

  mutating func complete(_ completion: Completion, on ring: borrowing Ring, nowNs: UInt64) {
    worker.complete(completion, on: ring, nowNs: nowNs)
  }

  mutating func turn(on ring: borrowing Ring, nowNs: UInt64) -> UInt64? {
    worker.turn(on: ring, nowNs: nowNs)
  }
}

struct H2Worker: CompletionHandler, ~Copyable {
  var worker: Worker<FixedTraffic, HTTP2, PlainWire>

  mutating func complete(_ completion: Completion, on ring: borrowing Ring, nowNs: UInt64) {
    worker.complete(completion, on: ring, nowNs: nowNs)
  }

  mutating func turn(on ring: borrowing Ring, nowNs: UInt64) -> UInt64? {
    worker.turn(on: ring, nowNs: nowNs)
  }
}

struct SecureH2Worker: CompletionHandler, ~Copyable {
  var worker: Worker<FixedTraffic, HTTP2, TLSWire>

  mutating func complete(_ completion: Completion, on ring: borrowing Ring, nowNs: UInt64) {
    worker.complete(completion, on: ring, nowNs: nowNs)
  }

  mutating func turn(on ring: borrowing Ring, nowNs: UInt64) -> UInt64? {
    worker.turn(on: ring, nowNs: nowNs)
  }
}

struct ScriptWorker: CompletionHandler, ~Copyable {
  var worker: Worker<ScriptTraffic, HTTP1, PlainWire>

  mutating func complete(_ completion: Completion, on ring: borrowing Ring, nowNs: UInt64) {
    worker.complete(completion, on: ring, nowNs: nowNs)
  }

  mutating func turn(on ring: borrowing Ring, nowNs: UInt64) -> UInt64? {
    worker.turn(on: ring, nowNs: nowNs)
  }
}

struct SecureScriptWorker: CompletionHandler, ~Copyable {
  var worker: Worker<ScriptTraffic, HTTP1, TLSWire>

  mutating func complete(_ completion: Completion, on ring: borrowing Ring, nowNs: UInt64) {
    worker.complete(completion, on: ring, nowNs: nowNs)
  }

  mutating func turn(on ring: borrowing Ring, nowNs: UInt64) -> UInt64? {
    worker.turn(on: ring, nowNs: nowNs)
  }
}

struct SharedWorker: CompletionHandler, ~Copyable {
  var worker: Worker<SharedTraffic, HTTP1, PlainWire>

  mutating func complete(_ completion: Completion, on ring: borrowing Ring, nowNs: UInt64) {
    worker.complete(completion, on: ring, nowNs: nowNs)
  }

  mutating func turn(on ring: borrowing Ring, nowNs: UInt64) -> UInt64? {
    worker.turn(on: ring, nowNs: nowNs)
  }
}

struct MixedSharedWorker: CompletionHandler, ~Copyable {
  var worker: Worker<SharedTraffic, HTTP1, MixedWire>

  mutating func complete(_ completion: Completion, on ring: borrowing Ring, nowNs: UInt64) {
    worker.complete(completion, on: ring, nowNs: nowNs)
  }

  mutating func turn(on ring: borrowing Ring, nowNs: UInt64) -> UInt64? {
    worker.turn(on: ring, nowNs: nowNs)
  }
}

struct SharedH2Worker: CompletionHandler, ~Copyable {
  var worker: Worker<SharedTraffic, HTTP2, PlainWire>

  mutating func complete(_ completion: Completion, on ring: borrowing Ring, nowNs: UInt64) {
    worker.complete(completion, on: ring, nowNs: nowNs)
  }

  mutating func turn(on ring: borrowing Ring, nowNs: UInt64) -> UInt64? {
    worker.turn(on: ring, nowNs: nowNs)
  }
}

struct SecureSharedH2Worker: CompletionHandler, ~Copyable {
  var worker: Worker<SharedTraffic, HTTP2, TLSWire>

  mutating func complete(_ completion: Completion, on ring: borrowing Ring, nowNs: UInt64) {
    worker.complete(completion, on: ring, nowNs: nowNs)
  }

  mutating func turn(on ring: borrowing Ring, nowNs: UInt64) -> UInt64? {
    worker.turn(on: ring, nowNs: nowNs)
  }
}
