import SquallLoad

// A record entry in bytes: kind u8, then
//
//   1 agent     agent u64 · host text · build text · cpus list(varint)
//   2 deal      epoch u32 · kind u8 · untilNs u64
//               holdings list(agent u64 · worker varint · life u64 · share · reserved varint)
//               changes list(change) · asked (present u8 · change)
//   3 start     startNs u64
//   4 batch     agent u64 · worker varint · life u64 · sequence varint · batch as on the wire
//   5 ledger    as on the wire
//   6 stop      reason u8
//   7 end       reason u8 · sums · gaps list(gap)
//     gap       kind u8 · agent u64 · worker varint · life u64, then
//               0 silent: afterNs varint · 1 batches: of varint, arrived varint
//               2 mismatch: sums, sums · 3 notReplaced: nothing
//
// Shares, changes, sums and ledgers are as on the wire.

extension RecordEntry {
  package var bytes: [UInt8] {
    var writer = ByteWriter()
    switch self {
    case .agent(let name):
      writer.append(UInt8(1))
      writer.append(name.agent)
      writer.text(name.host)
      writer.text(name.build)
      writer.varint(name.process)
      writer.varint(UInt64(name.cpus.count))
      for cpu in name.cpus { writer.varint(cpu) }
    case .deal(let deal):
      writer.append(UInt8(2))
      writer.deal(deal)
    case .start(let startNs):
      writer.append(UInt8(3))
      writer.append(startNs)
    case .batch(let batch, let encoded):
      writer.append(UInt8(4))
      writer.incarnation(batch.name.incarnation)
      writer.varint(batch.name.sequence)
      writer.raw(encoded)
    case .ledger(let ledger):
      writer.append(UInt8(5))
      writer.ledger(ledger)
    case .stop(let reason):
      writer.append(UInt8(6))
      writer.append(reason.rawValue)
    case .end(let outcome):
      writer.append(UInt8(7))
      writer.outcome(outcome)
    }
    return writer.bytes
  }

  package init(bytes: [UInt8]) throws(Malformed) {
    var reader = ByteReader(bytes)
    switch try reader.u8() {
    case 1:
      let agent = try reader.u64()
      let host = try reader.text(upTo: Hello.textByteCountMax)
      let build = try reader.text(upTo: Hello.textByteCountMax)
      let process = try reader.varint(UInt32.self)
      var cpus: [UInt16] = []
      for _ in 0..<(try reader.count(upTo: Hello.cpuCountMax)) {
        cpus.append(try reader.varint(UInt16.self))
      }
      self = .agent(AgentName(agent: agent, host: host, process: process, build: build, cpus: cpus))
    case 2: self = .deal(try reader.deal())
    case 3: self = .start(startNs: try reader.u64())
    case 4:
      let name = BatchName(
        incarnation: try reader.incarnation(), sequence: try reader.varint(UInt32.self))
      let encoded = reader.rest()
      self = .batch(try Batch(encoded: encoded, name: name), encoded: encoded)
    case 5: self = .ledger(try reader.ledger())
    case 6: self = .stop(try reader.reason())
    case 7: self = .end(try reader.outcome())
    case let kind: throw .kind(kind)
    }
    try reader.end()
  }
}

extension ByteWriter {
  fileprivate mutating func incarnation(_ incarnation: Incarnation) {
    append(incarnation.agent)
    varint(incarnation.worker)
    append(incarnation.life)
  }

  fileprivate mutating func deal(_ deal: Deal) {
    append(deal.epoch)
    append(deal.kind.rawValue)
    append(deal.untilNs)
    varint(UInt64(deal.holdings.count))
    for holding in deal.holdings {
      incarnation(holding.incarnation)
      share(holding.share)
      varint(holding.reserved)
    }
    changes(deal.changes)
    append(deal.asked != nil)
    if let asked = deal.asked { change(asked) }
  }

  fileprivate mutating func outcome(_ outcome: Outcome) {
    append(outcome.reason.rawValue)
    sums(outcome.sums)
    varint(UInt64(outcome.gaps.count))
    for gap in outcome.gaps {
      switch gap {
      case .silent(let name, let afterNs):
        append(UInt8(0))
        incarnation(name)
        varint(afterNs)
      case .batches(let name, let of, let arrived):
        append(UInt8(1))
        incarnation(name)
        varint(of)
        varint(arrived)
      case .mismatch(let name, let ledger, let merged):
        append(UInt8(2))
        incarnation(name)
        sums(ledger)
        sums(merged)
      case .notReplaced(let name):
        append(UInt8(3))
        incarnation(name)
      }
    }
  }
}

extension ByteReader {
  fileprivate mutating func incarnation() throws(Malformed) -> Incarnation {
    Incarnation(agent: try u64(), worker: try varint(UInt16.self), life: try u64())
  }

  fileprivate mutating func deal() throws(Malformed) -> Deal {
    let epoch = try u32()
    guard let kind = Deal.Kind(rawValue: try u8()) else { throw .value }
    var deal = Deal(epoch: epoch, kind: kind, untilNs: try u64())
    for _ in 0..<(try count(upTo: 1 << 24, elementByteCount: 23)) {
      deal.holdings.append(
        Deal.Holding(
          incarnation: try incarnation(), share: try share(epoch: epoch),
          reserved: try varint()))
    }
    deal.changes = try changes()
    if try flag() { deal.asked = try change() }
    return deal
  }

  fileprivate mutating func reason() throws(Malformed) -> EndReason {
    guard let reason = EndReason(rawValue: try u8()) else { throw .value }
    return reason
  }

  fileprivate mutating func outcome() throws(Malformed) -> Outcome {
    var outcome = Outcome(reason: try reason(), sums: try sums())
    for _ in 0..<(try count(upTo: 1 << 24, elementByteCount: 18)) {
      let kind = try u8()
      let name = try incarnation()
      switch kind {
      case 0: outcome.gaps.append(.silent(name, afterNs: try varint()))
      case 1:
        outcome.gaps.append(
          .batches(name, of: try varint(UInt32.self), arrived: try varint(UInt32.self)))
      case 2: outcome.gaps.append(.mismatch(name, ledger: try sums(), merged: try sums()))
      case 3: outcome.gaps.append(.notReplaced(name))
      default: throw .value
      }
    }
    return outcome
  }
}
