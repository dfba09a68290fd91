internal import Glibc
internal import SquallEngine
internal import SquallLoad

/// Counts into the shared pages, one page an interval, and knows which part of the run it is.
///
/// What was scheduled during the warm-up counts into page 0, whenever it ends; everything else into
/// the current interval's page. All instants are of the monotonic clock.
struct IntervalLog {
  private let pages: [Page]
  private let pulse: Pulse
  private let intervalNs: UInt64
  private let warmupNs: UInt64
  private let isOpenLoop: Bool
  /// Response times are not service times.
  private let recordsResponse: Bool

  /// The run's start, `UInt64.max` until it is known.
  private(set) var startNs: UInt64 = .max
  /// What is scheduled before is warm-up.
  private(set) var measuredNs: UInt64 = 0
  /// When no more is sent.
  private(set) var stopNs: UInt64 = .max
  private(set) var isStopped = false

  private var page: Page
  private var endpoint: EndpointPage
  private let warmEndpoint: EndpointPage
  private var sequence: UInt64 = 1
  private var pageEndNs: UInt64 = .max
  /// Calls that are accounted for: by pages, or as made before the measured time.
  private var systemCalls: UInt64 = 0
  private var isMeasuring = false
  private var warmupSystemCalls: UInt64 = 0

  init(region: borrowing SharedRegion, plan: Plan) {
    var pages: [Page] = []
    for index in 0..<SharedRegion.pageCount { pages.append(region.page(index)) }
    self.pages = pages
    pulse = region.pulse
    intervalNs = plan.times.intervalNs
    warmupNs = plan.times.warmupNs
    if case .open = plan.load { isOpenLoop = true } else { isOpenLoop = false }
    recordsResponse = isOpenLoop || plan.usersAreApart
    page = pages[1]
    endpoint = pages[1].endpoint(0)
    warmEndpoint = pages[0].endpoint(0)
    begin(page, sequence: 1, phase: .measured, interval: 0, atNs: 0)
    if warmupNs > 0 { begin(pages[0], sequence: 0, phase: .warmup, interval: 0, atNs: 0) }
  }

  private func begin(
    _ page: Page, sequence: UInt64, phase: Phase, interval: UInt64, atNs: UInt64
  ) {
    page[.firstInterval] = interval
    page[.lastInterval] = interval
    page[.phase] = UInt64(phase.rawValue)
    page[.startNs] = atNs
    page.publish(.open, sequence: sequence)
  }

  /// The run's start is set; it is in the future or just past.
  mutating func start(atNs: UInt64, endNs: UInt64) {
    startNs = atNs
    measuredNs = atNs + warmupNs
    stopNs = endNs
    pageEndNs = measuredNs + intervalNs
    page[.startNs] = warmupNs
  }

  /// The next instant at which a page or the load ends.
  var nextNs: UInt64 {
    isStopped ? .max : min(isMeasuring ? pageEndNs : measuredNs, stopNs)
  }

  /// Closes the page whose interval is over. True when one was closed.
  mutating func advance(nowNs: UInt64, connections: Int, systemCalls: UInt64) -> Bool {
    if !isMeasuring && nowNs >= measuredNs { beginMeasuring(systemCalls: systemCalls) }
    guard !isStopped, nowNs >= pageEndNs, pageEndNs < stopNs else { return false }
    let interval = (nowNs - measuredNs) / intervalNs
    let boundaryNs = measuredNs + interval * intervalNs
    pageEndNs = boundaryNs + intervalNs
    return turnPage(
      phase: .measured, interval: interval, atNs: boundaryNs, connections: connections,
      systemCalls: systemCalls)
  }

  /// What was spent before, opening connections and warming up, is no part of the first interval.
  private mutating func beginMeasuring(systemCalls: UInt64) {
    isMeasuring = true
    warmupSystemCalls = systemCalls
    self.systemCalls = systemCalls
  }

  /// The load is over: what completes from here on is drained. True when a page was closed.
  mutating func stop(atNs: UInt64, connections: Int, systemCalls: UInt64) -> Bool {
    guard !isStopped else { return false }
    isStopped = true
    stopNs = min(stopNs, atNs)
    guard startNs != .max else { return false }
    let endNs = max(stopNs, measuredNs)
    return turnPage(
      phase: .drain, interval: (endNs - measuredNs + intervalNs - 1) / intervalNs, atNs: endNs,
      connections: connections, systemCalls: systemCalls)
  }

  /// Where the connections are counted at the end.
  var fairness: HistogramPage { page.fairness }

  /// Closes all pages: nothing is counted any more.
  mutating func finish(nowNs: UInt64, connections: Int, systemCalls: UInt64) {
    end(page, sequence: sequence, atNs: nowNs, connections: connections, systemCalls: systemCalls)
    guard warmupNs > 0 else { return }
    self.systemCalls = 0
    end(
      pages[0], sequence: 0, atNs: max(startNs, min(measuredNs, stopNs)), connections: 0,
      systemCalls: warmupSystemCalls)
  }

  private mutating func turnPage(
    phase: Phase, interval: UInt64, atNs: UInt64, connections: Int, systemCalls: UInt64
  ) -> Bool {
    let next = pages[1 + Int(sequence % UInt64(SharedRegion.intervalPageCount))]
    guard next.published.state == .free else {
      // Nobody collects: this page goes on for another interval.
      page[.lastInterval] = interval
      return false
    }
    end(page, sequence: sequence, atNs: atNs, connections: connections, systemCalls: systemCalls)
    sequence += 1
    page = next
    endpoint = next.endpoint(0)
    begin(next, sequence: sequence, phase: phase, interval: interval, atNs: atNs - startNs)
    return true
  }

  private mutating func end(
    _ page: Page, sequence: UInt64, atNs: UInt64, connections: Int, systemCalls: UInt64
  ) {
    page[.endNs] = startNs == .max || atNs < startNs ? 0 : atNs - startNs
    page[.connections] = UInt64(connections)
    page[.systemCalls] = systemCalls - self.systemCalls
    self.systemCalls = systemCalls
    page.publish(.closed, sequence: sequence)
  }

  /// Shows that the loop turns.
  func beat() { pulse.beat() }

  @inline(__always)
  private func endpoint(_ index: UInt16, scheduledNs: UInt64) -> EndpointPage {
    if index != 0 { return touched(scheduledNs < measuredNs ? pages[0] : page, index) }
    return scheduledNs < measuredNs ? warmEndpoint : endpoint
  }

  @inline(__always)
  private func touched(_ page: Page, _ index: UInt16) -> EndpointPage {
    let endpoint = page.endpoint(Int(index))
    endpoint.touch()
    return endpoint
  }

  func opened(again: Bool, durationNs: UInt64) {
    page[.opened] += 1
    if again { page[.reopened] += 1 }
    page.connect.record(durationNs)
  }

  /// A handshake is done.
  func secured(durationNs: UInt64) { page.tls.record(durationNs) }

  func securingFailed() { endpoint.addError(.tls) }

  func openingFailed(errno: Int32) {
    endpoint.addError(.connect)
    switch errno {
    case EADDRNOTAVAIL: page[.portFailures] += 1
    case EMFILE, ENFILE: page[.descriptorFailures] += 1
    default: break
    }
  }

  /// A request goes out. `ownLagNs` is the part of its lateness that is ours: a connection was free.
  @inline(__always)
  func sent(
    scheduledNs: UInt64, byteCount: Int, ownLagNs: UInt64, nowNs: UInt64, endpoint index: UInt16 = 0
  ) {
    let endpoint = endpoint(index, scheduledNs: scheduledNs)
    endpoint.add(.sent, 1)
    endpoint.add(.bytesSent, UInt64(byteCount))
    if isOpenLoop && scheduledNs >= measuredNs {
      page.scheduleLag.record(nowNs &- scheduledNs)
      if ownLagNs > WorkerCounters.lateNs { page[.late] &+= 1 }
    }
  }

  /// A think time ended so much late. In an open loop that is no part of the schedule.
  @inline(__always)
  func thought(lateNs: UInt64) {
    if !isOpenLoop { page.scheduleLag.record(lateNs) }
  }

  func dropped(scheduledNs: UInt64, count: UInt64, endpoint index: UInt16 = 0) {
    endpoint(index, scheduledNs: scheduledNs).add(.dropped, count)
  }

  @inline(__always)
  func received(byteCount: Int, endpoint index: UInt16) {
    guard index != 0 else { return endpoint.add(.bytesReceived, UInt64(byteCount)) }
    touched(page, index).add(.bytesReceived, UInt64(byteCount))
  }

  /// A complete response. True when it is ok: of an accepted status, and good by the checks, which may
  /// have asked for any status. `failedCheck`: the number of one that does not hold.
  @inline(__always)
  func completed(
    _ flight: Flight, status: UInt16, bodyByteCount: UInt64, nowNs: UInt64,
    failedCheck: UInt8?, isChecked: Bool
  ) -> Bool {
    let endpoint = endpoint(flight.endpoint, scheduledNs: flight.scheduledNs)
    endpoint.add(.bytesBody, bodyByteCount)
    let isAccepted = Counters.accepts(status)
    if !isAccepted {
      endpoint.addStatus(status)
      guard isChecked && failedCheck == nil else { return false }
      // After its status: a kill between the two must not leave more asked for than there were.
      endpoint.add(.askedForStatus)
    }
    if let failedCheck {
      endpoint.addFailedCheck(failedCheck)
      return false
    }
    endpoint.firstByte.record(flight.firstByteNs &- flight.sentNs)
    if recordsResponse { endpoint.response.record(nowNs &- flight.scheduledNs) }
    if status != 200 && isAccepted { endpoint.addStatus(status) }
    page[.lastOkNs] = nowNs &- startNs
    endpoint.service.record(nowNs &- flight.sentNs)
    return true
  }

  private func iterations(startNs: UInt64) -> Page { startNs < measuredNs ? pages[0] : page }

  func iterationBegan(startNs: UInt64) { iterations(startNs: startNs)[.iterationsStarted] &+= 1 }

  func iterationsDropped(scheduledNs: UInt64, count: UInt64) {
    iterations(startNs: scheduledNs)[.iterationsDropped] &+= count
  }

  func iterationEnded(startNs: UInt64, nowNs: UInt64, isAbandoned: Bool) {
    let page = iterations(startNs: startNs)
    guard !isAbandoned else {
      page[.iterationsAbandoned] &+= 1
      return
    }
    page.iterations.record(nowNs &- startNs)
  }

  func failed(scheduledNs: UInt64, _ cause: ErrorCause, endpoint index: UInt16) {
    endpoint(index, scheduledNs: scheduledNs).addError(cause)
  }

  /// The parser's number of why the answer to a failed request cannot be read.
  func malformed(_ flight: Flight, _ reason: UInt8) {
    endpoint(flight.endpoint, scheduledNs: flight.scheduledNs).addMalformation(reason)
  }

  func found(_ finding: Finding, _ count: UInt64 = 1) { endpoint.add(finding, count) }

  /// The page has such a sample.
  func has(_ sample: Sample) -> Bool { endpoint.has(sample) }

  @safe func keep(_ sample: Sample, _ bytes: UnsafeRawBufferPointer) {
    endpoint.keep(sample, bytes)
  }
}
