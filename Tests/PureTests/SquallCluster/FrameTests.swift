import SquallCluster
import SquallLoad
import Testing

/// One message of each kind, made from a seed: what the codec must carry and the decoder survive.
struct MessageSamples {
  var random: SplitMix64

  init(seed: UInt64) { random = SplitMix64(seed: seed) }

  mutating func below(_ end: UInt64) -> UInt64 { UInt64.random(in: 0..<end, using: &random) }
  /// Of any size, small ones as often as large ones.
  mutating func number(bits: UInt64 = 64) -> UInt64 {
    let width = below(bits) + 1
    return UInt64.random(in: 0...(.max), using: &random) >> (64 - width)
  }
  mutating func bytes(_ byteCount: Int) -> [UInt8] { random.bytes(byteCount) }
  mutating func text() -> String {
    String((0..<below(20)).map { _ in "abcæ😀 -".randomElement(using: &random)! })
  }
  mutating func flag() -> Bool { below(2) == 0 }

  mutating func share(epoch: UInt32) -> Share {
    let count = UInt32(below(1_000) + 1)
    return Share(
      epoch: epoch, position: UInt32(below(UInt64(count))), workerCount: count,
      connections: UInt32(number(bits: 32)), requestQuota: flag() ? .max : number(),
      fromNs: number())
  }

  mutating func sums() -> IncarnationLedger {
    IncarnationLedger(
      sent: number(), ok: number(), notOk: number(), dropped: number(),
      batchCount: UInt32(number(bits: 32)), histogramHash: number())
  }

  mutating func ledger() -> Ledger {
    let endings: [Ledger.Ending] = [
      .finished, .exited(UInt8(below(256))), .killed(UInt8(below(256))), .unknown,
    ]
    return Ledger(
      incarnation: Incarnation(agent: number(), worker: UInt16(number(bits: 16)), life: number()),
      sums: sums(), inFlight: number(), ending: endings[Int(below(4))])
  }

  mutating func histogram() -> SparseHistogram {
    var histogram = SparseHistogram()
    var index = below(60)
    let spread = below(3)
    while index < UInt64(HistogramLayout.bucketCount), histogram.buckets.count < 400 {
      let count = UInt32(max(1, number(bits: 4 + spread * 14)))
      histogram.buckets.append(.init(index: UInt16(index), count: count))
      index += 1 + (flag() ? 0 : below(1 << (1 + 3 * spread)))
    }
    histogram.underCount = flag() ? 0 : UInt32(number(bits: 32))
    histogram.overCount = flag() ? 0 : UInt32(number(bits: 32))
    histogram.sumNs = number()
    histogram.sumOfSquares = UInt128(number()) * UInt128(number(bits: 40))
    histogram.minNs = number(bits: 30)
    histogram.maxNs = histogram.minNs + number(bits: 40)
    return flag() ? histogram : SparseHistogram()
  }

  mutating func batch() -> Batch {
    let first = UInt32(number(bits: 31))
    let startNs = number(bits: 50)
    var batch = Batch(
      name: BatchName(
        incarnation: Incarnation(agent: number(), worker: UInt16(number(bits: 16)), life: number()),
        sequence: UInt32(number(bits: 32))),
      firstInterval: first, lastInterval: first + UInt32(below(3)),
      phase: [Phase.warmup, .measured, .drain][Int(below(3))], startNs: startNs,
      endNs: startNs + number(bits: 40))
    batch.worker.cpuUserNs = number()
    batch.worker.cpuSystemNs = number()
    batch.worker.runQueueWaitNs = number()
    batch.worker.systemCalls = number()
    batch.worker.opened = number()
    batch.worker.reopened = number()
    batch.worker.connections = UInt32(number(bits: 32))
    batch.worker.late = number()
    batch.worker.portFailures = number()
    batch.worker.descriptorFailures = number()
    batch.worker.lastOkNs = min(batch.endNs, number())
    batch.connect = histogram()
    batch.scheduleLag = histogram()
    batch.fairness = histogram()
    batch.iterations.started = number()
    batch.iterations.abandoned = number()
    batch.iterations.dropped = number()
    batch.iterations.durations = histogram()
    for index in 0..<below(4) {
      var counters = Counters()
      counters.sent = number()
      counters.dropped = number()
      counters.bytesSent = number()
      counters.bytesReceived = number()
      counters.bytesBody = number()
      for cause in 0..<ErrorCause.count where flag() { counters.errors[cause] = number() }
      for _ in 0..<below(4) { counters.statuses[UInt16(below(600))] = number() }
      for _ in 0..<below(4) { counters.malformations[UInt8(below(256))] = number() }
      for _ in 0..<below(4) { counters.checks[UInt8(below(256))] = number() }
      for finding in Finding.allCases where flag() { counters.findings[finding] = number() }
      for sample in SquallLoad.Sample.allCases where flag() {
        counters.samples[sample] = bytes(Int(below(64)))
      }
      batch.endpoints.append(
        Batch.Endpoint(
          index: UInt16(index * 7), counters: counters, response: histogram(),
          service: histogram(), firstByte: histogram()))
    }
    return batch
  }

  mutating func message(_ kind: Message.Kind) -> Message {
    switch kind {
    case .hello:
      return .hello(
        Hello(
          build: text(), agent: number(), host: text(), process: UInt32(number(bits: 32)),
          cpus: (0...below(30)).map { _ in UInt16(number(bits: 16)) }, nonce: bytes(16),
          run: number(), planHash: flag() ? [] : bytes(32)))
    case .refusal:
      return .refusal(Refusal(build: text(), reason: Refusal.Reason(rawValue: UInt8(below(6)))!))
    case .challenge: return .challenge(Challenge(nonce: bytes(16), proof: bytes(32)))
    case .proof: return .proof(Proof(proof: bytes(32)))
    case .welcome:
      return .welcome(
        Welcome(
          session: number(), heartbeatIntervalNs: number(bits: 40) + 1,
          liveness: UInt8(below(255) + 1)))
    case .planRequest:
      return .planRequest(PlanRequest(run: number(), chunk: UInt32(number(bits: 32))))
    case .planChunk:
      return .planChunk(
        PlanChunk(
          run: number(), chunk: UInt32(number(bits: 32)), bytes: bytes(Int(below(500)))))
    case .report:
      let workers = (0..<below(20)).map { slot in
        var worker = Report.Worker(
          slot: UInt16(slot), life: number(),
          state: Report.Worker.State(rawValue: UInt8(below(4)))!, epoch: UInt32(number(bits: 32)),
          sentBefore: number())
        worker.isExhausted = flag()
        worker.isTakenBack = flag()
        return worker
      }
      return .report(
        Report(
          number: UInt32(number(bits: 32)), sentNs: number(bits: 62),
          orderNumber: UInt32(number(bits: 32)), run: number(),
          runNs: flag() ? number(bits: 62) : nil, isPlanReady: flag(),
          isLeaving: flag(),
          isFull: flag(), isStopped: flag(), workers: workers))
    case .order:
      let epoch = UInt32(number(bits: 32))
      let echo = Order.Echo(
        reportNumber: UInt32(number(bits: 32)), reportSentNs: number(bits: 62),
        reportReceivedNs: number(bits: 62))
      var order = Order(
        number: UInt32(number(bits: 32)), echo: flag() ? echo : nil, sentNs: number(bits: 62),
        isLast: flag())
      if flag() { return .order(order) }
      order.run = number() | 1
      order.planHash = flag() ? [] : bytes(32)
      order.planByteCount = UInt32(number(bits: 26))
      order.leaseNs = number(bits: 45)
      order.phase = Order.Phase(rawValue: UInt8(below(5)))!
      order.startNs = flag() ? nil : number(bits: 62)
      order.epoch = epoch
      order.assignments = (0..<below(20)).map {
        Order.Assignment(
          slot: UInt16($0), life: number(), share: share(epoch: epoch),
          untilNs: flag() ? .max : number())
      }
      return .order(order)
    case .batchPart:
      let count = UInt16(below(UInt64(BatchPart.countMax)) + 1)
      return .batchPart(
        BatchPart(
          run: number(), worker: UInt16(number(bits: 16)), life: number(),
          sequence: UInt32(number(bits: 32)),
          part: UInt16(below(UInt64(count))), partCount: count,
          bytes: bytes(Int(below(UInt64(BatchPart.byteCountMax))) + 1)))
    case .ledger: return .ledger(ledger(), run: number())
    case .acknowledgement:
      return .acknowledgement(
        Acknowledgement(
          entries: (0..<below(8)).map { _ in
            Acknowledgement.Entry(
              worker: UInt16(number(bits: 16)), life: number(), below: UInt32(number(bits: 32)),
              beyond: number(), hasLedger: flag(),
              partials: (0..<below(3)).map { _ in
                .init(
                  sequence: UInt32(number(bits: 32)), bits: (0..<below(4)).map { _ in number() })
              })
          }))
    case .goodbye: return .goodbye(Goodbye())
    case .farewell: return .farewell(Farewell())
    }
  }

  static let kinds = (1...14).map { Message.Kind(rawValue: $0)! }
}

@Suite struct FrameTests {
  private func read(_ pieces: [[UInt8]]) throws -> [Frame] {
    var reader = FrameReader(bodyByteCountMax: Frame.bodyByteCountMax)
    var frames: [Frame] = []
    for piece in pieces {
      reader.append(piece)
      while let frame = try reader.next() { frames.append(frame) }
    }
    return frames
  }

  @Test(arguments: MessageSamples.kinds)
  func everyMessageComesOutAsItWentIn(kind: Message.Kind) throws {
    for seed in UInt64(0)..<200 {
      var samples = MessageSamples(seed: seed &* 31 &+ UInt64(kind.rawValue))
      let message = samples.message(kind)
      let frames = try read([Frame(message, sequence: 7).bytes])
      #expect(frames.count == 1, "seed \(seed)")
      #expect(try frames[0].message == message, "seed \(seed)")
      #expect(frames[0].sequence == 7)
    }
  }

  @Test func aStreamIsTheSameHoweverItIsCut() throws {
    var samples = MessageSamples(seed: 5)
    let messages = MessageSamples.kinds.map { samples.message($0) }
    let stream = messages.enumerated().flatMap { Frame($1, sequence: UInt32($0 + 1)).bytes }
    #expect(try read([stream]).map { try $0.message } == messages)
    #expect(try read(stream.map { [$0] }).map { try $0.message } == messages)
    for cut in stream.indices {
      let frames = try read([Array(stream[..<cut]), Array(stream[cut...])])
      #expect(frames.count == messages.count, "cut at \(cut)")
      #expect(frames.map(\.sequence) == (1...UInt32(messages.count)).map { $0 }, "cut at \(cut)")
    }
  }

  @Test(arguments: MessageSamples.kinds)
  func aTruncatedFrameIsNoFrameAndABentBitIsNoneEither(kind: Message.Kind) {
    var samples = MessageSamples(seed: UInt64(kind.rawValue))
    let bytes = Frame(samples.message(kind), sequence: 3).bytes
    for byteCount in bytes.indices {
      #expect((try? read([Array(bytes[..<byteCount])])) == [], "\(byteCount) bytes")
    }
    for bit in 0..<bytes.count * 8 {
      var bent = bytes
      bent[bit / 8] ^= 1 << UInt8(bit % 8)
      // Refused, or waiting for the body that a bent length promises.
      #expect(((try? read([bent])) ?? []).isEmpty, "bit \(bit)")
    }
  }

  /// With a checksum that is right: only the codec stands between these bytes and the machines.
  @Test(arguments: MessageSamples.kinds)
  func aTruncatedOrBentBodyIsRefusedOrMeansSomethingElse(kind: Message.Kind) throws {
    for seed in UInt64(0)..<20 {
      var samples = MessageSamples(seed: seed)
      let message = samples.message(kind)
      let body = try read([Frame(message, sequence: 1).bytes])[0].body
      for byteCount in body.indices {
        let cut = Frame(kind: kind.rawValue, sequence: 1, body: Array(body[..<byteCount]))
        #expect((try? cut.message) != message, "seed \(seed), \(byteCount) bytes")
      }
      for bit in 0..<min(body.count, 400) * 8 {
        var bent = body
        bent[bit / 8] ^= 1 << UInt8(bit % 8)
        let frame = Frame(kind: kind.rawValue, sequence: 1, body: bent)
        guard let other = try? frame.message else { continue }
        #expect(other != message, "seed \(seed), bit \(bit)")
        // What is believed can be said again, and means the same.
        #expect(try Frame(other, sequence: 1).message == other, "seed \(seed), bit \(bit)")
      }
    }
  }

  @Test(arguments: UInt64(0)..<40)
  func randomBytesAreNeverATrap(seed: UInt64) {
    var samples = MessageSamples(seed: seed)
    for _ in 0..<500 {
      let body = samples.bytes(Int(samples.below(200)))
      for kind in UInt8(0)...20 {
        _ = try? Frame(kind: kind, sequence: 1, body: body).message
      }
      _ = try? RecordEntry(bytes: body)
      _ = try? Datagram(body + samples.bytes(40)).open()
      _ = Plan(bytes: body)
      _ = try? read([body])
      // As far as the first check goes, in a frame that begins well.
      var frame = Frame(kind: 8, sequence: 1, body: body).bytes
      for _ in 0..<samples.below(4) {
        frame[Int(samples.below(UInt64(frame.count)))] = UInt8(samples.below(256))
      }
      _ = try? read([frame])
    }
  }

  /// Batches are the largest thing that comes from outside, and are merged.
  @Test(arguments: UInt64(0)..<60)
  func aBentBatchIsRefusedOrCanBeMerged(seed: UInt64) throws {
    var samples = MessageSamples(seed: seed)
    let batch = samples.batch()
    let bytes = batch.encoded()
    #expect(try Batch(encoded: bytes, name: batch.name) == batch, "seed \(seed)")
    #expect(batch.encodedParts().allSatisfy { $0.count <= BatchPart.byteCountMax })
    for byteCount in bytes.indices {
      let cut = try? Batch(encoded: Array(bytes[..<byteCount]), name: batch.name)
      #expect(cut == nil, "seed \(seed), \(byteCount) bytes")
    }
    for _ in 0..<400 {
      var bent = bytes
      for _ in 0...samples.below(3) {
        bent[Int(samples.below(UInt64(bent.count)))] = UInt8(samples.below(256))
      }
      guard let other = try? Batch(encoded: bent, name: batch.name),
        other.isPlausible(endpointCount: 32)
      else { continue }
      var run = RunLedger(endpointCount: 32)
      run.merge(other)
      run.merge(other)
      #expect(try Batch(encoded: other.encoded(), name: batch.name) == other, "seed \(seed)")
    }
  }

  @Test func aCountIsNotBelievedBeyondTheBytesThatAreThere() {
    // The largest counts that can be written, with nothing behind them.
    for kind in UInt8(1)...14 {
      for prefix in 0..<64 {
        let body =
          Array(repeating: UInt8(0), count: prefix) + Array(repeating: 0xff, count: 9) + [1]
        _ = try? Frame(kind: kind, sequence: 1, body: body).message
      }
    }
    var reader = ByteReader([0xff, 0xff, 0xff, 0xff, 0x0f])
    #expect(throws: Malformed.truncated) { try reader.count(upTo: .max) }
    var list = ByteReader([3, 1, 2])
    #expect(throws: Malformed.truncated) { try list.list(upTo: 10) }
  }

  @Test func aStrangerMayNotPromiseALargeBody() {
    var header = Frame(kind: 8, sequence: 1, body: []).bytes
    func promise(_ byteCount: UInt32) {
      for byte in 0..<4 { header[8 + byte] = UInt8(truncatingIfNeeded: byteCount >> (8 * byte)) }
    }
    promise(Frame.strangerBodyByteCountMax)
    var patient = FrameReader()
    patient.append(header)
    #expect(throws: Never.self) { try patient.next() }
    promise(Frame.strangerBodyByteCountMax + 1)
    var reader = FrameReader()
    reader.append(header)
    #expect(throws: Malformed.bodyByteCount(Frame.strangerBodyByteCountMax + 1)) {
      try reader.next()
    }
  }

  @Test func aReaderHoldsNoMoreThanAFrameAndThePieceThatCame() throws {
    var samples = MessageSamples(seed: 9)
    var reader = FrameReader(bodyByteCountMax: Frame.bodyByteCountMax)
    var byteCountMax = 0
    let stream = (0..<3_000).flatMap { Frame(samples.message(.report), sequence: $0).bytes }
    for start in stride(from: 0, to: stream.count, by: 1_000) {
      reader.append(stream[start..<min(start + 1_000, stream.count)])
      while try reader.next() != nil {}
      byteCountMax = max(byteCountMax, reader.byteCount)
    }
    #expect(reader.byteCount == 0)
    #expect(byteCountMax < 1_000)
  }

  @Test func anotherVersionIsNamedAndHelloIsReadInAny() throws {
    var samples = MessageSamples(seed: 1)
    func changed(_ message: Message) -> [UInt8] {
      var writer = ByteWriter()
      let bytes = Frame(message, sequence: 1).bytes
      writer.raw(bytes[..<2])
      writer.append(Frame.version + 1)
      writer.raw(bytes[3..<12])
      let body = Array(bytes[16...])
      let head = Checksum.crc32c(writer.bytes, 0..<12)
      writer.append(Checksum.crc32c(body, 0..<body.count, after: head))
      writer.raw(body)
      return writer.bytes
    }
    #expect(throws: Malformed.version(Frame.version + 1)) {
      try read([changed(samples.message(.report))])
    }
    guard case .hello(var hello) = samples.message(.hello) else { return }
    hello.protocolVersion = 77
    // Only what every version has in the same place is believed.
    var known = Hello(build: hello.build, agent: 0, host: "", cpus: [], nonce: [])
    known.protocolVersion = 77
    #expect(try read([changed(.hello(hello))])[0].message == .hello(known))
    // A later version's hello may be longer than ours.
    var frame = Frame(.hello(hello), sequence: 1)
    frame.body += [1, 2, 3]
    #expect(try frame.message == .hello(known))
    hello.protocolVersion = Hello.protocolVersion
    frame = Frame(.hello(hello), sequence: 1)
    frame.body += [1, 2, 3]
    #expect(throws: Malformed.trailing) { try frame.message }
  }

  @Test func theChecksumIsCastagnolis() {
    let digits = Array("123456789".utf8)
    #expect(Checksum.crc32c(digits, 0..<9) == 0xe306_9283)
    let zeros = [UInt8](repeating: 0, count: 32)  // RFC 3720 appendix B.4.
    #expect(Checksum.crc32c(zeros, 0..<32) == 0x8a91_36aa)
    let first = Checksum.crc32c(digits, 0..<4)
    #expect(Checksum.crc32c(digits, 4..<9, after: first) == 0xe306_9283)
  }

  // MARK: Datagrams

  @Test func whatMayTravelAsADatagramFitsOne() throws {
    let mac: ([UInt8]) -> [UInt8] = { testHash($0, salt: 9) }
    for kind in MessageSamples.kinds {
      for seed in UInt64(0)..<100 {
        var samples = MessageSamples(seed: seed)
        let message = samples.message(kind)
        guard message.fitsDatagram else { continue }
        let datagram = Datagram(
          frame: Frame(message, sequence: 1), session: 5, authenticate: mac)
        #expect(datagram.bytes.count <= Frame.datagramByteCountMax)
        let arrived = try Datagram(datagram.bytes)
        #expect(arrived == datagram)
        #expect(Authentication.areEqual(arrived.mac, Array(mac(arrived.signedBytes).prefix(16))))
        #expect(try arrived.open().message == message)
      }
    }
    // The largest there can be.
    let largest = BatchPart(
      run: .max, worker: .max, life: .max, sequence: .max, part: 4_094, partCount: 4_095,
      bytes: Array(repeating: 1, count: BatchPart.byteCountMax))
    let datagram = Datagram(
      frame: Frame(.batchPart(largest), sequence: .max), session: .max, authenticate: mac)
    #expect(datagram.bytes.count <= Frame.datagramByteCountMax)
  }

  @Test func aBentDatagramDoesNotCarryItsMac() throws {
    let mac: ([UInt8]) -> [UInt8] = { testHash($0, salt: 9) }
    var samples = MessageSamples(seed: 2)
    let bytes = Datagram(
      frame: Frame(samples.message(.ledger), sequence: 1), session: 5, authenticate: mac
    ).bytes
    for bit in 0..<bytes.count * 8 {
      var bent = bytes
      bent[bit / 8] ^= 1 << UInt8(bit % 8)
      let arrived = try Datagram(bent)
      #expect(!Authentication.areEqual(arrived.mac, Array(mac(arrived.signedBytes).prefix(16))))
    }
  }

  @Test(arguments: UInt64(0)..<50)
  func aDatagramIsAcceptedOnce(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var arrivals = (1...UInt32(3_000)).flatMap { number in
      Array(repeating: number, count: Int.random(in: 0...2, using: &random))
    }
    for start in stride(from: 0, to: arrivals.count, by: 500) {
      arrivals[start..<min(start + 500, arrivals.count)].shuffle(using: &random)
    }
    var window = ReplayWindow()
    let accepted = arrivals.filter { window.accept($0) }
    #expect(accepted.count == Set(accepted).count, "seed \(seed)")
    #expect(Set(accepted) == Set(arrivals), "seed \(seed)")
    let isOldAccepted = window.accept(arrivals.max()! - ReplayWindow.width)
    let isZeroAccepted = window.accept(0)
    #expect(!isOldAccepted && !isZeroAccepted, "seed \(seed)")
  }
}

@Suite struct DeliveryTests {
  /// Loss, duplication, and reordering by less than a window never change the total.
  @Test(arguments: UInt64(0)..<100)
  func eachNumberIsFreshOnce(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var arrivals = (0..<UInt32(500)).flatMap { Array(repeating: $0, count: 2) }
    for start in stride(from: 0, to: arrivals.count, by: 64) {
      arrivals[start..<min(start + 64, arrivals.count)].shuffle(using: &random)
    }
    var window = DeliveryWindow()
    let fresh = arrivals.filter { window.receive($0) == .fresh }
    #expect(fresh.count == 500, "seed \(seed)")
    #expect(Set(fresh) == Set(arrivals), "seed \(seed)")
    #expect(window.next == 500 && window.bits == 0 && window.end == 500, "seed \(seed)")
  }

  @Test func aGapIsRememberedAndWhatIsTooFarAheadIsNot() {
    var window = DeliveryWindow()
    #expect(window.receive(63) == .fresh)
    #expect(window.receive(64) == .beyond)
    #expect(window.next == 0 && window.end == 64)
    #expect(window.beyond == 1 << 62)
    for number in UInt32(0)..<63 { #expect(window.receive(number) == .fresh) }
    #expect(window.next == 64 && window.beyond == 0)
    #expect(window.receive(64) == .fresh)
  }

  @Test func theClockOffsetIsTheBestExchangesAndForgetsASteppedClock() {
    var clock = ClockOffset()
    func exchange(_ nowNs: UInt64, offset: UInt64, there: UInt64, back: UInt64) {
      clock.measured(
        sentNs: nowNs, receivedNs: nowNs + offset + there, answeredNs: nowNs + offset + there + 5,
        nowNs: nowNs + there + 5 + back)
    }
    #expect(clock.offsetNs == nil)
    exchange(second, offset: 9 * second, there: 3 * millisecond, back: 100 * millisecond)
    exchange(2 * second, offset: 9 * second, there: 1_000, back: 3_000)
    exchange(3 * second, offset: 9 * second, there: 50 * millisecond, back: millisecond)
    #expect(clock.delayNs == 4_000)
    let error = (clock.offsetNs ?? 0) - Int64(9 * second)
    #expect(error.magnitude <= 2_000)
    #expect(clock.localNs(masterNs: 20 * second).distance(to: 11 * second).magnitude <= 2_000)
    // Our clock was stepped forward by four seconds: the best exchange is of another time.
    exchange(8 * second, offset: 5 * second, there: millisecond, back: 2 * millisecond)
    #expect(((clock.offsetNs ?? 0) - Int64(5 * second)).magnitude <= millisecond)
    // An answer before its question is none.
    clock.measured(sentNs: 5, receivedNs: 10, answeredNs: 9, nowNs: 6)
    #expect(((clock.offsetNs ?? 0) - Int64(5 * second)).magnitude <= millisecond)
  }
}
