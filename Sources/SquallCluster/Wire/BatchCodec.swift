package import SquallLoad

// A batch on the wire, cut into parts that each repeat its name:
//
//   firstInterval varint · lastInterval - firstInterval varint · phase u8
//   startNs varint · endNs - startNs varint
//   worker: cpuUserNs, cpuSystemNs, runQueueWaitNs, systemCalls, opened, reopened, late,
//     connections, portFailures, descriptorFailures, 1 + endNs - lastOkNs or 0 as varints
//   connect histogram · tls histogram · scheduleLag histogram · fairness histogram
//   iterations: started, abandoned, dropped as varints · durations histogram
//   endpoints list(endpoint), by rising index
//   endpoint: index varint
//     sent, dropped, bytesSent, bytesReceived, bytesBody as varints
//     causes varint (bit c: an error count of cause c follows) · error counts as varints
//     statuses, malformations, checks, findings: list(number - previous number varint · count varint),
//       by rising number
//     samples list(kind u8 · bytes list), by rising kind
//     response histogram · service histogram · firstByte histogram
//
// Endpoints are numbers: their names are in the plan, which every node has. What decodes is well-formed;
// whether it can be true is `Batch.isPlausible`'s question, to be asked before it is merged.

extension Batch {
  package func encoded() -> [UInt8] {
    var writer = ByteWriter(capacity: 256 + endpoints.count * 512)
    writer.varint(firstInterval)
    writer.varint(lastInterval - firstInterval)
    writer.append(phase.rawValue)
    writer.varint(startNs)
    writer.varint(endNs - startNs)
    writer.varint(worker.cpuUserNs)
    writer.varint(worker.cpuSystemNs)
    writer.varint(worker.runQueueWaitNs)
    writer.varint(worker.systemCalls)
    writer.varint(worker.opened)
    writer.varint(worker.reopened)
    writer.varint(worker.late)
    writer.varint(worker.connections)
    writer.varint(worker.portFailures)
    writer.varint(worker.descriptorFailures)
    // Mostly at the interval's end: a byte or two.
    writer.varint(worker.lastOkNs == 0 ? 0 : 1 + endNs - min(endNs, worker.lastOkNs))
    writer.histogram(connect)
    writer.histogram(tls)
    writer.histogram(scheduleLag)
    writer.histogram(fairness)
    writer.varint(iterations.started)
    writer.varint(iterations.abandoned)
    writer.varint(iterations.dropped)
    writer.histogram(iterations.durations)
    writer.varint(UInt64(endpoints.count))
    for endpoint in endpoints {
      writer.varint(endpoint.index)
      writer.counters(endpoint.counters)
      writer.histogram(endpoint.response)
      writer.histogram(endpoint.service)
      writer.histogram(endpoint.firstByte)
    }
    return writer.bytes
  }

  /// The encoded batch in pieces of at most `BatchPart.byteCountMax` bytes, at least one.
  package func encodedParts() -> [[UInt8]] {
    let bytes = encoded()
    precondition(
      bytes.count <= BatchPart.byteCountMax * BatchPart.countMax,
      "a batch of \(bytes.count) bytes has more parts than can be numbered")
    return stride(from: 0, to: bytes.count, by: BatchPart.byteCountMax).map {
      Array(bytes[$0..<min($0 + BatchPart.byteCountMax, bytes.count)])
    }
  }

  package init(encoded: [UInt8], name: BatchName) throws(Malformed) {
    var reader = ByteReader(encoded)
    let firstInterval = try reader.varint(UInt32.self)
    let intervals = try reader.varint(UInt32.self)
    let (lastInterval, intervalOverflow) = firstInterval.addingReportingOverflow(intervals)
    guard !intervalOverflow, let phase = Phase(rawValue: try reader.u8()) else { throw .value }
    let startNs = try reader.varint()
    let endNs = startNs + (try reader.varint(upTo: .max - startNs))
    self.init(
      name: name, firstInterval: firstInterval, lastInterval: lastInterval, phase: phase,
      startNs: startNs, endNs: endNs)
    worker.cpuUserNs = try reader.varint()
    worker.cpuSystemNs = try reader.varint()
    worker.runQueueWaitNs = try reader.varint()
    worker.systemCalls = try reader.varint()
    worker.opened = try reader.varint()
    worker.reopened = try reader.varint()
    worker.late = try reader.varint()
    worker.connections = try reader.varint(UInt32.self)
    worker.portFailures = try reader.varint()
    worker.descriptorFailures = try reader.varint()
    let sinceLastOkNs = try reader.varint(upTo: endNs + 1)
    worker.lastOkNs = sinceLastOkNs == 0 ? 0 : endNs + 1 - sinceLastOkNs
    connect = try reader.histogram()
    tls = try reader.histogram()
    scheduleLag = try reader.histogram()
    fairness = try reader.histogram()
    iterations.started = try reader.varint()
    iterations.abandoned = try reader.varint()
    iterations.dropped = try reader.varint()
    iterations.durations = try reader.histogram()
    // An endpoint takes at least fifteen bytes.
    let count = try reader.count(upTo: 1 << 16, elementByteCount: 15)
    endpoints.reserveCapacity(count)
    var previous: UInt16?
    for _ in 0..<count {
      let index = try reader.varint(UInt16.self)
      if let previous, index <= previous { throw .value }
      previous = index
      endpoints.append(
        Endpoint(
          index: index, counters: try reader.counters(), response: try reader.histogram(),
          service: try reader.histogram(), firstByte: try reader.histogram()))
    }
    try reader.end()
  }
}

extension ByteWriter {
  fileprivate mutating func counters(_ counters: Counters) {
    varint(counters.sent)
    varint(counters.dropped)
    varint(counters.bytesSent)
    varint(counters.bytesReceived)
    varint(counters.bytesBody)
    var causes: UInt16 = 0
    for cause in 0..<ErrorCause.count where counters.errors[cause] > 0 { causes |= 1 << cause }
    varint(causes)
    for count in counters.errors where count > 0 { varint(count) }
    table(counters.statuses)
    table(counters.malformations)
    table(counters.checks)
    table(
      Dictionary(uniqueKeysWithValues: counters.findings.map { ($0.key.rawValue, $0.value) }))
    varint(UInt64(counters.samples.count))
    for (kind, bytes) in counters.samples.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
      append(kind.rawValue)
      list(bytes)
    }
  }

  private mutating func table<Number: FixedWidthInteger & UnsignedInteger>(
    _ counts: [Number: UInt64]
  ) {
    varint(UInt64(counts.count))
    var previous: Number = 0
    for (number, count) in counts.sorted(by: { $0.key < $1.key }) {
      varint(number - previous)
      varint(count)
      previous = number
    }
  }
}

extension ByteReader {
  fileprivate mutating func counters() throws(Malformed) -> Counters {
    var counters = Counters()
    counters.sent = try varint()
    counters.dropped = try varint()
    counters.bytesSent = try varint()
    counters.bytesReceived = try varint()
    counters.bytesBody = try varint()
    let causes = try varint(UInt16.self)
    guard causes < 1 << ErrorCause.count else { throw .value }
    for cause in 0..<ErrorCause.count where causes & 1 << cause != 0 {
      let count = try varint()
      guard count > 0 else { throw .value }
      counters.errors[cause] = count
    }
    counters.statuses = try table()
    counters.malformations = try table()
    counters.checks = try table()
    for (number, count) in try table() as [UInt8: UInt64] {
      guard let finding = Finding(rawValue: number) else { throw .value }
      counters.findings[finding] = count
    }
    var previous: UInt8?
    for _ in 0..<(try count(upTo: Sample.allCases.count, elementByteCount: 2)) {
      let number = try u8()
      guard let kind = Sample(rawValue: number), previous.map({ $0 < number }) ?? true else {
        throw .value
      }
      previous = number
      counters.samples[kind] = try list(upTo: Sample.byteCountMax)
    }
    return counters
  }

  private mutating func table<Number: FixedWidthInteger & UnsignedInteger>() throws(Malformed)
    -> [Number: UInt64]
  {
    var counts: [Number: UInt64] = [:]
    var number: Number = 0
    for index in 0..<(try count(upTo: 1_000, elementByteCount: 2)) {
      let step = try varint(Number.self)
      let (sum, overflow) = number.addingReportingOverflow(step)
      guard !overflow, step > 0 || index == 0 else { throw .value }
      number = sum
      counts[number] = try varint()
    }
    return counts
  }
}
