import SquallLoad

extension Message {
  /// A frame's kind. The raw value is the wire's: append only, and 1 and 2 stay what they are.
  package enum Kind: UInt8, Sendable {
    case hello = 1
    case refusal = 2
    case challenge = 3
    case proof = 4
    case welcome = 5
    case planRequest = 6
    case planChunk = 7
    case report = 8
    case order = 9
    case batchPart = 10
    case ledger = 11
    case acknowledgement = 12
    case goodbye = 13
    case farewell = 14
  }

  package var kind: Kind {
    switch self {
    case .hello: .hello
    case .refusal: .refusal
    case .challenge: .challenge
    case .proof: .proof
    case .welcome: .welcome
    case .planRequest: .planRequest
    case .planChunk: .planChunk
    case .report: .report
    case .order: .order
    case .batchPart: .batchPart
    case .ledger: .ledger
    case .acknowledgement: .acknowledgement
    case .goodbye: .goodbye
    case .farewell: .farewell
    }
  }

  /// The body's layout is drawn at each message's type.
  var body: [UInt8] {
    var writer = ByteWriter()
    switch self {
    case .hello(let hello): writer.hello(hello)
    case .refusal(let refusal): writer.refusal(refusal)
    case .challenge(let challenge):
      writer.raw(challenge.nonce)
      writer.raw(challenge.proof)
    case .proof(let proof): writer.raw(proof.proof)
    case .welcome(let welcome): writer.welcome(welcome)
    case .planRequest(let request):
      writer.append(request.run)
      writer.append(request.chunk)
    case .planChunk(let chunk):
      writer.append(chunk.run)
      writer.append(chunk.chunk)
      writer.raw(chunk.bytes)
    case .report(let report): writer.report(report)
    case .order(let order): writer.order(order)
    case .batchPart(let part): writer.part(part)
    case .ledger(let ledger, let run):
      writer.append(run)
      writer.ledger(ledger)
    case .acknowledgement(let acknowledgement): writer.acknowledgement(acknowledgement)
    case .goodbye, .farewell: break
    }
    return writer.bytes
  }

  init(kind: UInt8, body: [UInt8]) throws(Malformed) {
    guard let known = Kind(rawValue: kind) else { throw .kind(kind) }
    var reader = ByteReader(body)
    switch known {
    case .hello:
      self = .hello(try reader.hello())
      // A later version may have more to say; its number is what matters here.
      if case .hello(let hello) = self, hello.protocolVersion != Hello.protocolVersion { return }
    case .refusal:
      self = .refusal(try reader.refusal())
      if case .refusal(let refusal) = self, refusal.protocolVersion != Hello.protocolVersion {
        return
      }
    case .challenge:
      self = .challenge(
        Challenge(nonce: try reader.raw(Hello.nonceByteCount), proof: try reader.raw(32)))
    case .proof: self = .proof(Proof(proof: try reader.raw(32)))
    case .welcome: self = .welcome(try reader.welcome())
    case .planRequest:
      self = .planRequest(PlanRequest(run: try reader.u64(), chunk: try reader.u32()))
    case .planChunk:
      let run = try reader.u64()
      let chunk = try reader.u32()
      guard reader.remaining <= PlanChunk.byteCount else { throw .value }
      self = .planChunk(PlanChunk(run: run, chunk: chunk, bytes: reader.rest()))
    case .report: self = .report(try reader.report())
    case .order: self = .order(try reader.order())
    case .batchPart: self = .batchPart(try reader.part())
    case .ledger:
      let run = try reader.u64()
      self = .ledger(try reader.ledger(), run: run)
    case .acknowledgement: self = .acknowledgement(try reader.acknowledgement())
    case .goodbye: self = .goodbye(Goodbye())
    case .farewell: self = .farewell(Farewell())
    }
    try reader.end()
  }
}

private enum Limits {
  static let hourNs: UInt64 = 3_600_000_000_000
  static let dayNs: UInt64 = 24 * hourNs
  /// An agent's clock, or the master's, in nanoseconds: sums with any duration here stay in range.
  static let instantNs: UInt64 = 1 << 62
}

// MARK: Handshake

extension ByteWriter {
  fileprivate mutating func hello(_ hello: Hello) {
    append(hello.protocolVersion)
    text(hello.build)
    append(hello.agent)
    text(hello.host)
    varint(hello.process)
    varint(UInt64(hello.cpus.count))
    for cpu in hello.cpus { varint(cpu) }
    raw(hello.nonce)
    append(hello.run)
    list(hello.planHash)
  }

  fileprivate mutating func refusal(_ refusal: Refusal) {
    append(refusal.protocolVersion)
    text(refusal.build)
    append(refusal.reason.rawValue)
  }

  fileprivate mutating func welcome(_ welcome: Welcome) {
    append(welcome.session)
    varint(welcome.heartbeatIntervalNs)
    append(welcome.liveness)
  }
}

extension ByteReader {
  fileprivate mutating func hello() throws(Malformed) -> Hello {
    let protocolVersion = try u16()
    let build = try text(upTo: Hello.textByteCountMax)
    guard protocolVersion == Hello.protocolVersion else {
      var hello = Hello(build: build, agent: 0, host: "", cpus: [], nonce: [])
      hello.protocolVersion = protocolVersion
      return hello
    }
    let agent = try u64()
    let host = try text(upTo: Hello.textByteCountMax)
    let process = try varint(UInt32.self)
    var cpus: [UInt16] = []
    for _ in 0..<(try count(upTo: Hello.cpuCountMax)) { cpus.append(try varint(UInt16.self)) }
    let nonce = try raw(Hello.nonceByteCount)
    let run = try u64()
    let planHash = try list(upTo: 32)
    guard planHash.isEmpty || planHash.count == 32, !cpus.isEmpty else { throw .value }
    return Hello(
      build: build, agent: agent, host: host, process: process, cpus: cpus, nonce: nonce,
      run: run, planHash: planHash)
  }

  fileprivate mutating func refusal() throws(Malformed) -> Refusal {
    let protocolVersion = try u16()
    let build = try text(upTo: Hello.textByteCountMax)
    guard let reason = Refusal.Reason(rawValue: try u8()) else { throw .value }
    var refusal = Refusal(build: build, reason: reason)
    refusal.protocolVersion = protocolVersion
    return refusal
  }

  fileprivate mutating func welcome() throws(Malformed) -> Welcome {
    let welcome = Welcome(
      session: try u64(), heartbeatIntervalNs: try varint(upTo: Limits.hourNs),
      liveness: try u8())
    guard welcome.heartbeatIntervalNs > 0, welcome.liveness > 0 else { throw .value }
    return welcome
  }
}

// MARK: Heartbeats

extension ByteWriter {
  fileprivate mutating func report(_ report: Report) {
    append(report.number)
    append(report.sentNs)
    append(report.orderNumber)
    append(report.run)
    append(report.runNs != nil)
    if let runNs = report.runNs { append(runNs) }
    append(
      UInt8(report.isPlanReady ? 1 : 0) | UInt8(report.isLeaving ? 2 : 0)
        | UInt8(report.isFull ? 4 : 0) | UInt8(report.isStopped ? 8 : 0))
    varint(UInt64(report.workers.count))
    for worker in report.workers {
      varint(worker.slot)
      append(worker.life)
      append(worker.state.rawValue)
      varint(worker.epoch)
      varint(worker.sentBefore)
      append(UInt8(worker.isExhausted ? 1 : 0) | UInt8(worker.isTakenBack ? 2 : 0))
    }
  }

  fileprivate mutating func order(_ order: Order) {
    append(order.number)
    append(order.echo != nil)
    if let echo = order.echo {
      append(echo.reportNumber)
      append(echo.reportSentNs)
      append(echo.reportReceivedNs)
    }
    append(order.sentNs)
    append(order.isLast)
    append(order.run)
    guard order.run != 0 else { return }
    list(order.planHash)
    append(order.planByteCount)
    varint(order.leaseNs)
    append(order.phase.rawValue)
    append(order.startNs != nil)
    if let startNs = order.startNs { append(startNs) }
    append(order.epoch)
    changes(order.changes)
    varint(UInt64(order.assignments.count))
    for assignment in order.assignments {
      varint(assignment.slot)
      append(assignment.life)
      share(assignment.share)
      varint(assignment.untilNs)
    }
  }

  mutating func changes(_ changes: [LoadChange]) {
    varint(UInt64(changes.count))
    for change in changes { self.change(change) }
  }

  mutating func change(_ change: LoadChange) {
    append(
      UInt8(change.rateHz == nil ? 0 : 1) | UInt8(change.connections == nil ? 0 : 2)
        | UInt8(change.users == nil ? 0 : 4) | UInt8(change.spawnHz == nil ? 0 : 8))
    varint(change.atNs)
    if let rateHz = change.rateHz { append(rateHz.bitPattern) }
    if let connections = change.connections { varint(connections) }
    if let users = change.users { varint(users) }
    if let spawnHz = change.spawnHz { append(spawnHz.bitPattern) }
  }

  /// Without its epoch, which is the order's or the deal's.
  mutating func share(_ share: Share) {
    varint(share.position)
    varint(share.workerCount)
    varint(share.connections)
    // The usual quota is none: one byte instead of ten.
    varint(share.requestQuota &+ 1)
    varint(share.fromNs)
  }
}

extension ByteReader {
  fileprivate mutating func instantNs() throws(Malformed) -> UInt64 {
    let instantNs = try u64()
    guard instantNs <= Limits.instantNs else { throw .value }
    return instantNs
  }

  fileprivate mutating func report() throws(Malformed) -> Report {
    var report = Report(
      number: try u32(), sentNs: try instantNs(), orderNumber: try u32(), run: try u64())
    report.runNs = try flag() ? try instantNs() : nil
    let flags = try u8()
    guard flags < 16 else { throw .value }
    report.isPlanReady = flags & 1 != 0
    report.isLeaving = flags & 2 != 0
    report.isFull = flags & 4 != 0
    report.isStopped = flags & 8 != 0
    for _ in 0..<(try count(upTo: Hello.cpuCountMax, elementByteCount: 13)) {
      let slot = try varint(UInt16.self)
      let life = try u64()
      guard let state = Report.Worker.State(rawValue: try u8()) else { throw .value }
      var worker = Report.Worker(
        slot: slot, life: life, state: state, epoch: try varint(UInt32.self),
        sentBefore: try varint())
      let flags = try u8()
      guard flags < 4 else { throw .value }
      worker.isExhausted = flags & 1 != 0
      worker.isTakenBack = flags & 2 != 0
      report.workers.append(worker)
    }
    return report
  }

  fileprivate mutating func order() throws(Malformed) -> Order {
    let number = try u32()
    var echo: Order.Echo?
    if try flag() {
      echo = Order.Echo(
        reportNumber: try u32(), reportSentNs: try instantNs(),
        reportReceivedNs: try instantNs())
    }
    var order = Order(number: number, echo: echo, sentNs: try instantNs(), isLast: try flag())
    order.run = try u64()
    guard order.run != 0 else { return order }
    order.planHash = try list(upTo: 32)
    order.planByteCount = try u32()
    guard order.planHash.isEmpty || order.planHash.count == 32,
      order.planByteCount <= PlanChunk.planByteCountMax
    else { throw .value }
    order.leaseNs = try varint(upTo: Limits.dayNs)
    guard let phase = Order.Phase(rawValue: try u8()) else { throw .value }
    order.phase = phase
    order.startNs = try flag() ? try instantNs() : nil
    order.epoch = try u32()
    order.changes = try changes()
    for _ in 0..<(try count(upTo: Hello.cpuCountMax, elementByteCount: 15)) {
      order.assignments.append(
        Order.Assignment(
          slot: try varint(UInt16.self), life: try u64(), share: try share(epoch: order.epoch),
          untilNs: try varint()))
    }
    return order
  }

  mutating func changes() throws(Malformed) -> [LoadChange] {
    var changes: [LoadChange] = []
    for _ in 0..<(try count(upTo: LoadChange.countMax, elementByteCount: 2)) {
      let change = try change()
      guard change.atNs > changes.last?.atNs ?? 0 else { throw .value }
      changes.append(change)
    }
    return changes
  }

  mutating func change() throws(Malformed) -> LoadChange {
    let flags = try u8()
    guard flags < 16 else { throw .value }
    var change = LoadChange(atNs: try varint())
    if flags & 1 != 0 { change.rateHz = try figure() }
    if flags & 2 != 0 { change.connections = try varint(UInt32.self) }
    if flags & 4 != 0 { change.users = try varint(UInt32.self) }
    if flags & 8 != 0 { change.spawnHz = try figure() }
    return change
  }

  private mutating func figure() throws(Malformed) -> Double {
    let value = Double(bitPattern: try u64())
    guard value >= 0, value <= Schedule.rateHzMax else { throw .value }
    return value
  }

  mutating func share(epoch: UInt32) throws(Malformed) -> Share {
    let share = Share(
      epoch: epoch, position: try varint(UInt32.self), workerCount: try varint(UInt32.self),
      connections: try varint(UInt32.self), requestQuota: try varint(UInt64.self) &- 1,
      fromNs: try varint())
    guard share.position < share.workerCount else { throw .value }
    return share
  }
}

// MARK: Counts

extension ByteWriter {
  fileprivate mutating func part(_ part: BatchPart) {
    append(part.run)
    varint(part.worker)
    append(part.life)
    varint(part.sequence)
    varint(part.part)
    varint(part.partCount)
    raw(part.bytes)
  }

  mutating func ledger(_ ledger: Ledger) {
    varint(ledger.incarnation.worker)
    append(ledger.incarnation.life)
    sums(ledger.sums)
    varint(ledger.inFlight)
    switch ledger.ending {
    case .finished: append(UInt16(0))
    case .exited(let code): append(UInt16(1) | UInt16(code) << 8)
    case .killed(let signal): append(UInt16(2) | UInt16(signal) << 8)
    case .unknown: append(UInt16(3))
    }
    append(ledger.incarnation.agent)
  }

  mutating func sums(_ sums: IncarnationLedger) {
    varint(sums.sent)
    varint(sums.ok)
    varint(sums.notOk)
    varint(sums.dropped)
    varint(sums.batchCount)
    append(sums.histogramHash)
  }

  fileprivate mutating func acknowledgement(_ acknowledgement: Acknowledgement) {
    varint(UInt64(acknowledgement.entries.count))
    for entry in acknowledgement.entries {
      varint(entry.worker)
      append(entry.life)
      varint(entry.below)
      varint(entry.beyond)
      append(entry.hasLedger)
      varint(UInt64(entry.partials.count))
      for partial in entry.partials {
        varint(partial.sequence)
        varint(UInt64(partial.bits.count))
        for word in partial.bits { append(word) }
      }
    }
  }
}

extension ByteReader {
  fileprivate mutating func part() throws(Malformed) -> BatchPart {
    let run = try u64()
    let worker = try varint(UInt16.self)
    let life = try u64()
    let sequence = try varint(UInt32.self)
    let part = try varint(UInt16.self)
    let partCount = try varint(UInt16.self)
    guard part < partCount, partCount <= BatchPart.countMax, remaining > 0,
      remaining <= BatchPart.byteCountMax
    else { throw .value }
    return BatchPart(
      run: run, worker: worker, life: life, sequence: sequence, part: part, partCount: partCount,
      bytes: rest())
  }

  mutating func ledger() throws(Malformed) -> Ledger {
    let worker = try varint(UInt16.self)
    let life = try u64()
    let sums = try sums()
    let inFlight = try varint(UInt64.self)
    let kind = try u8()
    let code = try u8()
    let ending: Ledger.Ending
    switch (kind, code) {
    case (0, 0): ending = .finished
    case (1, _): ending = .exited(code)
    case (2, _): ending = .killed(code)
    case (3, 0): ending = .unknown
    default: throw .value
    }
    return Ledger(
      incarnation: Incarnation(agent: try u64(), worker: worker, life: life), sums: sums,
      inFlight: inFlight, ending: ending)
  }

  mutating func sums() throws(Malformed) -> IncarnationLedger {
    IncarnationLedger(
      sent: try varint(), ok: try varint(), notOk: try varint(), dropped: try varint(),
      batchCount: try varint(UInt32.self), histogramHash: try u64())
  }

  fileprivate mutating func acknowledgement() throws(Malformed) -> Acknowledgement {
    var entries: [Acknowledgement.Entry] = []
    for _ in 0..<(try count(upTo: Acknowledgement.byteCountMax, elementByteCount: 13)) {
      var entry = Acknowledgement.Entry(
        worker: try varint(UInt16.self), life: try u64(), below: try varint(UInt32.self),
        beyond: try varint(), hasLedger: try flag())
      for _ in 0..<(try count(upTo: Acknowledgement.byteCountMax, elementByteCount: 2)) {
        let sequence = try varint(UInt32.self)
        let words = try count(upTo: BatchPart.countMax / 64, elementByteCount: 8)
        var bits: [UInt64] = []
        for _ in 0..<words { bits.append(try u64()) }
        entry.partials.append(Acknowledgement.Partial(sequence: sequence, bits: bits))
      }
      entries.append(entry)
    }
    return Acknowledgement(entries: entries)
  }
}
