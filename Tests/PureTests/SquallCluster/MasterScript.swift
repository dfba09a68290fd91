import SquallCluster
import SquallLoad

let millisecond: UInt64 = 1_000_000
let second: UInt64 = 1_000_000_000

/// Not cryptographic; all that the machines ask of their digests is that equal bytes have equal ones.
func testHash(_ bytes: [UInt8], salt: UInt64 = 0) -> [UInt8] {
  let seed = bytes.reduce(salt ^ 0xcbf2_9ce4_8422_2325) {
    ($0 ^ UInt64($1)) &* 0x100_0000_01b3
  }
  var random = SplitMix64(seed: seed)
  return (0..<32).map { _ in UInt8(truncatingIfNeeded: random.next() >> 32) }
}

/// What both sides of a test share; `token` nil for a cluster without one.
func testDigests(token: UInt64? = nil) -> Digests {
  Digests(
    hash: { testHash($0) },
    authenticate: token.map { token in { @Sendable bytes in testHash(bytes, salt: token) } })
}

func testBatch(
  agent: UInt64, slot: UInt16 = 0, life: UInt64, sequence: UInt32, ok: UInt64 = 10,
  buckets: Int = 0
) -> Batch {
  var batch = Batch(
    name: BatchName(
      incarnation: Incarnation(agent: agent, worker: slot, life: life), sequence: sequence),
    firstInterval: sequence, lastInterval: sequence, phase: .measured,
    startNs: UInt64(sequence) * second, endNs: UInt64(sequence + 1) * second)
  var endpoint = Batch.Endpoint(index: 0)
  endpoint.counters.sent = ok
  endpoint.counters.statuses[200] = ok
  endpoint.service.buckets = [.init(index: 700, count: UInt32(ok))]
  endpoint.service.sumNs = ok * 1_000
  endpoint.service.minNs = 1_000
  endpoint.service.maxNs = 1_000
  // About four bytes each.
  for bucket in 0..<UInt16(buckets) {
    endpoint.firstByte.buckets.append(.init(index: 3 * bucket, count: 100_000 * UInt32(bucket + 1)))
  }
  if buckets > 0 {
    endpoint.firstByte.minNs = 1
    endpoint.firstByte.maxNs = 2
  }
  batch.endpoints = [endpoint]
  return batch
}

func testLedger(
  agent: UInt64, slot: UInt16 = 0, life: UInt64, of batches: [Batch],
  ending: Ledger.Ending = .finished
) -> Ledger {
  var sums = IncarnationLedger()
  for batch in batches { sums.merge(batch) }
  return Ledger(
    incarnation: Incarnation(agent: agent, worker: slot, life: life), sums: sums, inFlight: 0,
    ending: ending)
}

/// The run of most tests.
let testRun: UInt64 = 7

func parts(of batch: Batch, run: UInt64 = testRun) -> [BatchPart] {
  let pieces = batch.encodedParts()
  return pieces.indices.map {
    BatchPart(
      run: run, worker: batch.name.incarnation.worker, life: batch.name.incarnation.life,
      sequence: batch.name.sequence, part: UInt16($0), partCount: UInt16(pieces.count),
      bytes: pieces[$0])
  }
}

/// A host in the master's script: it says what the test makes it say.
struct ScriptedAgent {
  var name: UInt64
  var peer: UInt64
  var workers: [Report.Worker]
  var number: UInt32 = 0
  var isSilent = false
  var isLeaving = false
  var isFull = false
  /// It hears orders, and its workers take nothing up.
  var isDeaf = false
  /// What its workers hold, and until when its lease lets them.
  var held: [UInt16: Share] = [:]
  var leaseEndNs: UInt64 = 0

  init(_ name: UInt64, workers: Int, peer: UInt64? = nil) {
    self.name = name
    self.peer = peer ?? name
    self.workers = (0..<workers).map {
      Report.Worker(slot: UInt16($0), life: name * 100 + UInt64($0), state: .ready)
    }
  }

  var hello: Hello {
    Hello(
      build: "test", agent: name, host: "host\(name)",
      cpus: (0..<UInt16(max(1, workers.count))).map { $0 },
      nonce: Array(repeating: UInt8(truncatingIfNeeded: name), count: Hello.nonceByteCount))
  }

  func connections(nowNs: UInt64) -> UInt32 {
    nowNs < leaseEndNs ? held.values.reduce(0) { $0 + $1.connections } : 0
  }
}

/// A master alone: events by hand, effects kept to be looked at.
final class MasterScript {
  var machine: MasterMachine
  var nowNs: UInt64 = 1_000 * second
  var agents: [ScriptedAgent] = []
  var sent: [(peer: UInt64, message: Message)] = []
  var closed: [UInt64] = []
  var joined: [UInt64] = []
  var recorded: [RecordEntry] = []
  var merged: [Batch] = []
  var notices: [MasterMachine.LogEvent] = []
  var outcome: Outcome?
  var isDismissed = false
  var run = testRun
  /// Entries become durable at once. Without it, by `commit`.
  var isDiskFast = true
  /// The most connections that were ever held at one time.
  var connectionsMax: UInt32 = 0
  private var token: UInt64 = 0

  init(
    plan: Plan = testPlan(), expectWorkers: Int = 0, token: UInt64? = nil,
    maxWaitNs: UInt64 = .max, recovered: Recovery? = nil,
    _ adjust: (inout MasterMachine.Settings) -> Void = { _ in }
  ) {
    var settings = MasterMachine.Settings(
      build: "test master", seed: 1, digests: testDigests(token: token))
    adjust(&settings)
    machine = MasterMachine(settings: settings)
    tell(.started)
    begin(testRun, plan, expectWorkers: expectWorkers, maxWaitNs: maxWaitNs, recovered: recovered)
  }

  func begin(
    _ run: UInt64, _ plan: Plan = testPlan(), expectWorkers: Int = 0, maxWaitNs: UInt64 = .max,
    recovered: Recovery? = nil
  ) {
    var settings = RunSettings(run: run, plan: plan)
    settings.expectWorkers = expectWorkers
    settings.expectWorkersMaxWaitNs = maxWaitNs
    self.run = run
    outcome = nil
    tell(.begin(settings, recovered: recovered))
  }

  func tell(_ event: MasterMachine.Event) {
    var events = [event]
    while !events.isEmpty {
      for effect in machine.handle(events.removeFirst(), nowNs: nowNs) {
        switch effect {
        case .send(let peer, let message): sent.append((peer, message))
        case .close(let peer): closed.append(peer)
        case .joined(let peer, _, _): joined.append(peer)
        case .record(let entry, let token):
          recorded.append(entry)
          self.token = token
          if isDiskFast { events.append(.committed(token: token)) }
        case .merged(let batch): merged.append(batch)
        case .log(let notice): notices.append(notice)
        case .ended(let outcome): self.outcome = outcome
        case .dismissed: isDismissed = true
        }
      }
    }
  }

  func tell(_ message: Message, from peer: UInt64) {
    tell(.received(peer: peer, message))
  }

  /// All that was handed to the record until now is durable.
  func commit() { tell(.committed(token: token)) }

  func messages(to peer: UInt64) -> [Message] {
    sent.filter { $0.peer == peer }.map(\.message)
  }

  func lastOrder(to peer: UInt64) -> Order? {
    for case .order(let order) in messages(to: peer).reversed() { return order }
    return nil
  }

  func lastEntry(to peer: UInt64, life: UInt64) -> Acknowledgement.Entry? {
    for case .acknowledgement(let acknowledgement) in messages(to: peer).reversed() {
      if let entry = acknowledgement.entries.first(where: { $0.life == life }) { return entry }
    }
    return nil
  }

  func refusal(to peer: UInt64) -> Refusal? {
    for case .refusal(let refusal) in messages(to: peer) { return refusal }
    return nil
  }

  // MARK: Agents

  func join(_ agent: ScriptedAgent) {
    agents.append(agent)
    tell(.connected(peer: agent.peer))
    tell(.hello(agent.hello), from: agent.peer)
    report(agents.count - 1)
    settle()
  }

  func report(_ index: Int) {
    agents[index].number += 1
    let agent = agents[index]
    let report = Report(
      number: agent.number, sentNs: nowNs,
      orderNumber: lastOrder(to: agent.peer)?.number ?? 0, run: run, isPlanReady: true,
      isLeaving: agent.isLeaving, isFull: agent.isFull, workers: agent.workers)
    tell(.report(report), from: agent.peer)
  }

  /// Everyone who hears takes up what the newest order says, and says so, until nothing changes.
  func settle() {
    for _ in 0..<20 {
      var hasChanged = false
      for index in agents.indices where !agents[index].isSilent {
        guard let order = lastOrder(to: agents[index].peer) else { continue }
        // Share and validity are seen as one: no new share, no longer lease.
        let isSame = agents[index].workers.allSatisfy { worker in
          order.assignments.contains {
            $0.slot == worker.slot && $0.life == worker.life && $0.share.epoch == worker.epoch
          }
        }
        if let echo = order.echo, isSame || !agents[index].isDeaf {
          agents[index].leaseEndNs = max(
            agents[index].leaseEndNs, echo.reportSentNs + order.leaseNs)
        }
        guard !agents[index].isDeaf else { continue }
        for worker in agents[index].workers.indices {
          if obey(order, agent: index, worker: worker) { hasChanged = true }
        }
        look()
        if hasChanged { report(index) }
      }
      if !hasChanged { return }
    }
  }

  /// As a real agent does: a share is taken up once, and an order that names none ends what is held.
  private func obey(_ order: Order, agent: Int, worker: Int) -> Bool {
    let known = agents[agent].workers[worker]
    let assignment = order.assignments.first { $0.slot == known.slot && $0.life == known.life }
    if let assignment {
      guard assignment.share.epoch > known.epoch else { return false }
      agents[agent].held[known.slot] = assignment.share
      agents[agent].workers[worker].epoch = assignment.share.epoch
      agents[agent].workers[worker].isTakenBack = false
      return true
    }
    guard agents[agent].held[known.slot] != nil || known.epoch < order.epoch else { return false }
    agents[agent].held[known.slot] = nil
    agents[agent].workers[worker].epoch = order.epoch
    agents[agent].workers[worker].isTakenBack = true
    return true
  }

  private func look() {
    connectionsMax = max(connectionsMax, heldConnections)
  }

  var heldConnections: UInt32 {
    agents.reduce(0) { $0 + $1.connections(nowNs: nowNs) }
  }

  /// Time passes: timers, and each second a heartbeat of everyone who is not silent.
  func advance(byNs: UInt64, until isReached: (MasterScript) -> Bool = { _ in false }) {
    let endNs = nowNs + byNs
    var heartbeatNs = nowNs + second
    while nowNs < endNs {
      nowNs = min(endNs, heartbeatNs, max(nowNs + 1, machine.wakeNs))
      if nowNs == heartbeatNs {
        heartbeatNs += second
        for index in agents.indices where !agents[index].isSilent { report(index) }
      } else {
        tell(.tick)
      }
      settle()
      look()
      if isReached(self) { return }
    }
  }

  /// A run with these agents, under way.
  func start(_ agents: [ScriptedAgent]) {
    for agent in agents { join(agent) }
    tell(.start)
    settle()
    advance(byNs: second)
  }
}
