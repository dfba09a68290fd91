internal import SquallEngine
package import SquallLoad

/// One interval's counters and histograms in shared memory. See `PageLayout`.
@safe package struct Page {
  private let base: UnsafeMutableRawPointer
  private let endpointCount: Int

  package init(at base: UnsafeMutableRawPointer, endpointCount: Int) {
    unsafe self.base = base
    self.endpointCount = endpointCount
  }

  @inline(__always)
  private func word(_ header: PageLayout.Header) -> UnsafeMutablePointer<UInt64> {
    unsafe (base + header.rawValue * PageLayout.wordByteCount)
      .assumingMemoryBound(to: UInt64.self)
  }

  package subscript(_ header: PageLayout.Header) -> UInt64 {
    @inline(__always) get { unsafe word(header).pointee }
    @inline(__always) nonmutating set { unsafe word(header).pointee = newValue }
  }

  /// Sequence number and state as last published.
  package var published: (sequence: UInt64, state: PageState) {
    let bits = unsafe SharedWord(at: word(.state)).value
    return (bits >> 2, PageState(rawValue: bits & 3) ?? .free)
  }

  package func publish(_ state: PageState, sequence: UInt64) {
    unsafe SharedWord(at: word(.state)).value = sequence << 2 | state.rawValue
  }

  package var connect: HistogramPage { histogram(0) }
  package var scheduleLag: HistogramPage { histogram(1) }
  package var fairness: HistogramPage { histogram(2) }
  package var tls: HistogramPage { histogram(3) }
  package var iterations: HistogramPage { histogram(4) }

  @inline(__always)
  package func endpoint(_ index: Int) -> EndpointPage {
    unsafe EndpointPage(
      at: base + PageLayout.endpointsStart + index * PageLayout.endpointByteCount)
  }

  private func histogram(_ index: Int) -> HistogramPage {
    unsafe HistogramPage(
      at: base + PageLayout.histogramsStart + index * PageLayout.histogramByteCount)
  }

  /// Everything counted, as a batch. Its worker's CPU times are the reader's to fill in.
  package func batch(name: BatchName) -> Batch {
    var worker = WorkerCounters()
    worker.systemCalls = self[.systemCalls]
    worker.opened = self[.opened]
    worker.reopened = self[.reopened]
    worker.late = self[.late]
    worker.connections = UInt32(self[.connections])
    worker.portFailures = self[.portFailures]
    worker.descriptorFailures = self[.descriptorFailures]
    // A page can end before the time it is for: a worker stopped or killed during the warm-up.
    let (startNs, endNs) = (self[.startNs], max(self[.startNs], self[.endNs]))
    // Of answers read at the interval's very end, which may be past its boundary.
    worker.lastOkNs = min(self[.lastOkNs], endNs)
    var iterations = Iterations()
    iterations.started = self[.iterationsStarted]
    iterations.abandoned = self[.iterationsAbandoned]
    iterations.dropped = self[.iterationsDropped]
    iterations.durations = self.iterations.sparse
    return Batch(
      name: name, firstInterval: UInt32(self[.firstInterval]),
      lastInterval: UInt32(self[.lastInterval]),
      phase: Phase(rawValue: UInt8(self[.phase])) ?? .measured, startNs: startNs, endNs: endNs,
      endpoints: touchedEndpoints.map { endpoint($0).batch(index: $0) },
      connect: connect.sparse, tls: tls.sparse, scheduleLag: scheduleLag.sparse,
      fairness: fairness.sparse, iterations: iterations, worker: worker)
  }

  /// The first, which nobody marks, and those that were counted into.
  private var touchedEndpoints: [Int] {
    (0..<endpointCount).filter { $0 == 0 || endpoint($0).isTouched }
  }

  /// Gives the page back to the worker, empty.
  package func release() {
    for index in touchedEndpoints { endpoint(index).clear() }
    // All but the state, which comes last: the worker takes the page as soon as it says free.
    let stateByteCount = PageLayout.wordByteCount
    unsafe (base + stateByteCount).initializeMemory(
      as: UInt8.self, repeating: 0, count: PageLayout.endpointsStart - stateByteCount)
    publish(.free, sequence: 0)
  }
}

/// The part of a page that belongs to one endpoint.
@safe package struct EndpointPage {
  private let base: UnsafeMutableRawPointer

  init(at base: UnsafeMutableRawPointer) { unsafe self.base = base }

  @inline(__always)
  private func word(_ index: Int) -> UnsafeMutablePointer<UInt64> {
    unsafe (base + index * PageLayout.wordByteCount).assumingMemoryBound(to: UInt64.self)
  }

  /// Something is about to be counted: else the endpoint is neither read nor cleared. The first
  /// endpoint of a page needs no mark.
  @inline(__always)
  package func touch() { unsafe word(PageLayout.touchedPlace).pointee = 1 }

  fileprivate var isTouched: Bool { unsafe word(PageLayout.touchedPlace).pointee != 0 }

  fileprivate func clear() {
    unsafe base.initializeMemory(
      as: UInt8.self, repeating: 0, count: PageLayout.endpointByteCount)
  }

  @inline(__always)
  package func add(_ counter: PageLayout.Counter, _ count: UInt64) {
    unsafe word(counter.rawValue).pointee &+= count
  }

  package func addError(_ cause: ErrorCause, _ count: UInt64 = 1) {
    unsafe word(PageLayout.Counter.errors.rawValue + Int(cause.rawValue)).pointee &+= count
  }

  package func add(_ finding: Finding, _ count: UInt64 = 1) {
    unsafe word(PageLayout.findingsStart + Int(finding.rawValue)).pointee &+= count
  }

  private var statuses: UnsafeMutablePointer<UInt32> {
    unsafe (base + PageLayout.statusesStart).assumingMemoryBound(to: UInt32.self)
  }

  private var malformations: UnsafeMutablePointer<UInt32> {
    unsafe (base + PageLayout.malformationsStart).assumingMemoryBound(to: UInt32.self)
  }

  private var checks: UnsafeMutablePointer<UInt32> {
    unsafe (base + PageLayout.checksStart).assumingMemoryBound(to: UInt32.self)
  }

  private func sample(_ sample: Sample) -> UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(
      start: base + PageLayout.samplesStart
        + Int(sample.rawValue) * PageLayout.sampleByteCount, count: PageLayout.sampleByteCount)
  }

  /// Counts the reason of an error of cause `parse`.
  package func addMalformation(_ reason: UInt8) {
    unsafe malformations[Int(reason)] &+= 1
  }

  /// Counts an error of cause `check`, and which one. The cause comes first: a kill between the two
  /// must not leave more checks than errors.
  package func addFailedCheck(_ number: UInt8) {
    addError(.check)
    guard Int(number) < Counters.checkCountMax else { return }
    unsafe checks[Int(number)] &+= 1
  }

  func has(_ kind: Sample) -> Bool { unsafe sample(kind)[0] != 0 }

  /// Keeps the beginning of `bytes`, unless the page has such a sample.
  @safe package func keep(_ kind: Sample, _ bytes: UnsafeRawBufferPointer) {
    let place = unsafe sample(kind)
    guard unsafe place[0] == 0 else { return }
    let count = min(bytes.count, Sample.byteCountMax)
    unsafe UnsafeMutableRawBufferPointer(rebasing: place[1...]).copyMemory(
      from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
    unsafe place[0] = UInt8(count)
  }

  /// Counts a complete response of a status in 100 ... 599 other than 200.
  package func addStatus(_ status: UInt16) {
    unsafe statuses[Int(status - PageLayout.statusFirst)] &+= 1
  }

  package var response: HistogramPage { histogram(0) }
  package var service: HistogramPage { histogram(1) }
  package var firstByte: HistogramPage { histogram(2) }

  @inline(__always)
  private func histogram(_ index: Int) -> HistogramPage {
    unsafe HistogramPage(
      at: base + PageLayout.endpointHistogramsStart + index * PageLayout.histogramByteCount)
  }

  func batch(index: Int) -> Batch.Endpoint {
    let service = service.sparse
    var counters = Counters()
    counters.sent = unsafe word(PageLayout.Counter.sent.rawValue).pointee
    counters.dropped = unsafe word(PageLayout.Counter.dropped.rawValue).pointee
    counters.bytesSent = unsafe word(PageLayout.Counter.bytesSent.rawValue).pointee
    counters.bytesReceived = unsafe word(PageLayout.Counter.bytesReceived.rawValue).pointee
    counters.bytesBody = unsafe word(PageLayout.Counter.bytesBody.rawValue).pointee
    for cause in 0..<ErrorCause.count {
      counters.errors[cause] = unsafe word(PageLayout.Counter.errors.rawValue + cause).pointee
    }
    for offset in 0..<PageLayout.statusCount {
      let count = unsafe statuses[offset]
      if count > 0 { counters.statuses[PageLayout.statusFirst + UInt16(offset)] = UInt64(count) }
    }
    for reason in 0..<PageLayout.malformationCount {
      let count = unsafe malformations[reason]
      if count > 0 { counters.malformations[UInt8(reason)] = UInt64(count) }
    }
    for number in 0..<Counters.checkCountMax {
      let count = unsafe checks[number]
      if count > 0 { counters.checks[UInt8(number)] = UInt64(count) }
    }
    for finding in Finding.allCases {
      let count = unsafe word(PageLayout.findingsStart + Int(finding.rawValue)).pointee
      if count > 0 { counters.findings[finding] = count }
    }
    for kind in Sample.allCases {
      let place = unsafe sample(kind)
      let count = unsafe min(Int(place[0]), Sample.byteCountMax)
      if count > 0 { counters.samples[kind] = unsafe Array(place[1...count]) }
    }
    let otherAccepted = counters.acceptedCount
    if service.count > otherAccepted { counters.statuses[200] = service.count - otherAccepted }
    return Batch.Endpoint(
      index: UInt16(index), counters: counters, response: response.sparse, service: service,
      firstByte: firstByte.sparse)
  }
}

/// A histogram in a page.
@safe package struct HistogramPage {
  private let words: UnsafeMutablePointer<UInt64>

  @inline(__always)
  init(at base: UnsafeMutableRawPointer) {
    unsafe words = base.assumingMemoryBound(to: UInt64.self)
  }

  private static let bucketsStart = 12

  @inline(__always)
  private var halves: UnsafeMutablePointer<UInt32> {
    unsafe UnsafeMutableRawPointer(words).assumingMemoryBound(to: UInt32.self)
  }

  /// Counts one duration. The bucket comes last: it is what makes the request counted.
  @inline(__always)
  package func record(_ durationNs: UInt64) {
    unsafe words[0] &+= durationNs
    let square = durationNs.multipliedFullWidth(by: durationNs)
    let low = unsafe words[1].addingReportingOverflow(square.low)
    unsafe words[1] = low.partialValue
    unsafe words[2] &+= square.high &+ (low.overflow ? 1 : 0)
    if unsafe ~durationNs > words[3] { unsafe words[3] = ~durationNs }
    if unsafe durationNs > words[4] { unsafe words[4] = durationNs }
    let bucket: Int
    if durationNs < HistogramLayout.lowestNs {
      bucket = -2
    } else if durationNs >= HistogramLayout.endNs {
      bucket = -1
    } else {
      bucket = HistogramLayout.bucket(durationNs)
    }
    unsafe halves[Self.bucketsStart &+ bucket] &+= 1
  }

  /// What was counted, in the form it travels in.
  package var sparse: SparseHistogram {
    var sparse = SparseHistogram()
    sparse.underCount = unsafe halves[Self.bucketsStart - 2]
    sparse.overCount = unsafe halves[Self.bucketsStart - 1]
    for bucket in 0..<HistogramLayout.bucketCount {
      let count = unsafe halves[Self.bucketsStart + bucket]
      if count > 0 { sparse.buckets.append(.init(index: UInt16(bucket), count: count)) }
    }
    guard !sparse.isEmpty else { return sparse }
    sparse.sumNs = unsafe words[0]
    sparse.sumOfSquares = unsafe UInt128(words[2]) << 64 | UInt128(words[1])
    sparse.minNs = unsafe ~words[3]
    sparse.maxNs = unsafe words[4]
    return sparse
  }
}
