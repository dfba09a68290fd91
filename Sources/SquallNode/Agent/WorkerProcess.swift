internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import SquallClient
internal import SquallCluster
internal import SquallEngine
internal import SquallLoad

/// An agent's view of one worker process: starts it, passes commands on, and makes batches of the
/// pages it counts into. Lives on its agent's event loop.
final class WorkerProcess {
  enum Event: Sendable {
    case notice(Notice)
    /// The process's end of the socket pair is closed: it has ended, or is about to.
    case ended
  }

  /// The word that makes this program a worker process.
  static let argument = "worker-process"

  let slot: Int
  let cpu: UInt16?
  /// This life's random number.
  let life: UInt64
  private(set) var hasFinished = false
  /// Why it gave up, in its own words; empty when it did not.
  var failure: String { region.message }

  private let agent: UInt64
  private let region: SharedRegion
  private let process: ChildProcess
  private let channel: EventLoopFuture<any Channel>
  private let warmupNs: UInt64
  private var startNs: UInt64?
  private var sums = IncarnationLedger()
  /// CPU time that is accounted for: by batches, or as spent before the measured time.
  private var accounted = CPUTime()
  private var isMeasuring = false
  /// CPU time of the warm-up, for the batch that tells of it at the end.
  private var warmup = CPUTime()

  /// Starts the process. `report` is called on `eventLoop`.
  init(
    slot: Int, agent: UInt64, setup: WorkerSetup, first: Socket?,
    on eventLoop: any EventLoop, report: @escaping @Sendable (Event) -> Void
  ) throws(SystemError) {
    self.slot = slot
    self.agent = agent
    cpu = setup.cpu
    warmupNs = setup.plan.times.warmupNs
    life = UInt64.random(in: 1...UInt64.max)
    region = try SharedRegion(
      setup: setup.bytes, endpointCount: setup.plan.content.endpoints.count)
    let (ours, theirs) = try ChildProcess.pair()
    defer { close(theirs) }
    do throws(SystemError) {
      process = try ChildProcess(
        role: Self.argument, cpu: setup.cpu,
        descriptors: [region.descriptor, theirs] + (first.map { [$0.descriptor] } ?? []))
    } catch {
      close(ours)
      throw error
    }
    channel = ClientBootstrap(group: eventLoop)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(NoticeReader(report: report))
        }
      }
      .withConnectedSocket(ours)
  }

  var incarnation: Incarnation {
    Incarnation(agent: agent, worker: UInt16(slot), life: life)
  }

  /// A number that grows while the worker's loop turns.
  var pulse: UInt64 { region.pulse.count }

  func tell(_ command: Command) {
    if case .start(let atNs) = command { starts(atNs: atNs) }
    channel.whenSuccess { channel in
      channel.writeAndFlush(ByteBuffer(bytes: command.bytes), promise: nil)
    }
  }

  private func starts(atNs: UInt64) {
    guard startNs != atNs else { return }
    startNs = atNs
    _ = channel.eventLoop.assumeIsolated().scheduleTask(
      deadline: .uptimeNanoseconds(atNs &+ warmupNs)
    ) { self.beginMeasuring() }
  }

  /// Keeps what was used so far, connections opened ahead and the warm-up, out of the measured time.
  private func beginMeasuring() {
    guard !isMeasuring, !hasFinished else { return }
    isMeasuring = true
    let used = CPUTime(of: process, atLeast: accounted)
    warmup = used - accounted
    accounted = used
  }

  /// Makes batches of the pages that are closed.
  func collect() -> [Batch] { collect(alsoOpen: false) }

  /// The worker said that its last page is closed.
  func finished() -> (batches: [Batch], ledger: Ledger) {
    hasFinished = true
    let batches = collect(alsoOpen: false)
    return (batches, ledger(.finished))
  }

  /// The process has ended: reads what is left, also pages it was still counting into. Nil while the
  /// kernel has not reaped it.
  func ended() -> (batches: [Batch], ledger: Ledger)? {
    guard let exit = process.reap() else { return nil }
    channel.whenSuccess { $0.close(promise: nil) }
    guard !hasFinished else { return ([], ledger(.finished)) }
    let batches = collect(
      alsoOpen: true, used: CPUTime(userNs: exit.userNs, systemNs: exit.systemNs))
    let code = exit.code
    return (
      batches,
      ledger(code < 0 ? .killed(UInt8(clamping: -code)) : .exited(UInt8(clamping: code)))
    )
  }

  /// Ends the process: its work is done or no longer wanted. `ended` follows.
  func dismiss() { channel.whenSuccess { $0.close(promise: nil) } }

  /// Ends the process that does not end by itself.
  func kill() { process.kill() }

  private func ledger(_ ending: Ledger.Ending) -> Ledger {
    Ledger(
      incarnation: incarnation, sums: sums, inFlight: sums.sent - sums.ok - sums.notOk,
      ending: ending)
  }

  private func collect(alsoOpen: Bool, used: CPUTime? = nil) -> [Batch] {
    var pages: [(sequence: UInt64, page: Page)] = []
    for index in 0..<SharedRegion.pageCount {
      let page = region.page(index)
      let (sequence, state) = page.published
      switch state {
      case .closed: pages.append((sequence, page))
      case .open where alsoOpen:
        // It may have died before the start it was told of.
        page[.endNs] = startNs.map { max(monotonicNs(), $0) - $0 } ?? 0
        pages.append((sequence, page))
      case .open, .free: break
      }
    }
    guard !pages.isEmpty else { return [] }
    let nowUsed = used ?? CPUTime(of: process, atLeast: accounted)
    var batches: [Batch] = []
    var isAccounted = false
    for (_, page) in pages.sorted(by: { $0.sequence < $1.sequence }) {
      var batch = page.batch(name: BatchName(incarnation: incarnation, sequence: sums.batchCount))
      if batch.phase == .warmup {
        warmup.give(to: &batch)
      } else if !isAccounted {
        (nowUsed - accounted).give(to: &batch)
        accounted = nowUsed
        isAccounted = true
      }
      page.release()
      sums.merge(batch)
      batches.append(batch)
    }
    return batches
  }
}

/// CPU time of a process, and time it waited for a CPU, in nanoseconds.
private struct CPUTime {
  var userNs: UInt64 = 0
  var systemNs: UInt64 = 0
  var waitNs: UInt64 = 0

  init(userNs: UInt64 = 0, systemNs: UInt64 = 0, waitNs: UInt64 = 0) {
    self.userNs = userNs
    self.systemNs = systemNs
    self.waitNs = waitNs
  }

  static func - (later: CPUTime, earlier: CPUTime) -> CPUTime {
    CPUTime(
      userNs: later.userNs - min(later.userNs, earlier.userNs),
      systemNs: later.systemNs - min(later.systemNs, earlier.systemNs),
      waitNs: later.waitNs - min(later.waitNs, earlier.waitNs))
  }

  func give(to batch: inout Batch) {
    batch.worker.cpuUserNs = userNs
    batch.worker.cpuSystemNs = systemNs
    batch.worker.runQueueWaitNs = waitNs
  }

  /// The sum is exact. The kernel only samples which part of it was user
  /// time, so the split is as good as utime and stime in proc(5).
  init(of process: ChildProcess, atLeast floor: CPUTime) {
    let totalNs = process.cpuNs
    let ticks = Self.ticks(of: process.id)
    let share = ticks.user + ticks.system == 0 ? 0 : ticks.user / (ticks.user + ticks.system)
    userNs = max(floor.userNs, UInt64(Double(totalNs) * share))
    systemNs = max(floor.systemNs, totalNs - min(totalNs, userNs))
    waitNs = max(floor.waitNs, Self.waitNs(of: process.id))
  }

  /// The second number of schedstat, proc(5); 0 where the kernel keeps none.
  private static func waitNs(of process: Int32) -> UInt64 {
    let numbers = (readText("/proc/\(process)/schedstat") ?? "").split(separator: " ")
    return numbers.count > 1 ? UInt64(numbers[1]) ?? 0 : 0
  }

  private static func ticks(of process: Int32) -> (user: Double, system: Double) {
    guard let text = readText("/proc/\(process)/stat"), let end = text.lastIndex(of: ")") else {
      return (0, 0)
    }
    // After the name come the fields from 3 on; utime and stime are 14 and 15.
    let fields = text[end...].split(separator: " ")
    guard fields.count > 13 else { return (0, 0) }
    return (Double(fields[12]) ?? 0, Double(fields[13]) ?? 0)
  }
}

/// Cuts a worker's stream into notices.
private final class NoticeReader: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let report: @Sendable (WorkerProcess.Event) -> Void
  private var pending = ByteBuffer()

  init(report: @escaping @Sendable (WorkerProcess.Event) -> Void) { self.report = report }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var bytes = unwrapInboundIn(data)
    pending.writeBuffer(&bytes)
    while let next = pending.readBytes(length: Notice.byteCount) {
      guard let notice = Notice(bytes: next) else { continue }
      report(.notice(notice))
    }
    pending.discardReadBytes()
  }

  func channelInactive(context: ChannelHandlerContext) { report(.ended) }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }
}
