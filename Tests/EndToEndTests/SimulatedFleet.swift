import Foundation
import Glibc
import SquallCluster
import SquallLoad
import SquallTLS
import Synchronization

/// Agents of many hosts on a thread of this process: the real protocol on real connections, by the
/// agents' own machine, and workers that send nothing but say each second what they counted.
final class SimulatedFleet: Sendable {
  struct Seen: Sendable {
    /// Of batches that the master has for good: from the page's end until the agent knows.
    var deliveriesNs: [UInt64] = []
    var batchCount = 0
    var deliveredCount = 0
    /// Counted in batches that were closed.
    var sentCount: UInt64 = 0
  }

  private struct State {
    var seen = Seen()
    var isEnding = false
  }

  private let state = Mutex(State())

  init(agents agentCount: Int, workers workerCount: Int, master port: UInt16) {
    let loop = Loop(fleet: self, agentCount: agentCount, workerCount: workerCount, port: port)
    let thread = Thread { loop.run() }
    thread.stackSize = 8 << 20
    thread.start()
  }

  var seen: Seen { state.withLock { $0.seen } }

  /// What was delivered since this was asked for last.
  func takeDeliveries() -> [UInt64] {
    state.withLock { state in
      defer { state.seen.deliveriesNs = [] }
      return state.seen.deliveriesNs
    }
  }

  func end() { state.withLock { $0.isEnding = true } }

  fileprivate var isEnding: Bool { state.withLock { $0.isEnding } }
  fileprivate func note(_ change: (inout Seen) -> Void) { state.withLock { change(&$0.seen) } }

  fileprivate static let requestCount: UInt64 = 500

  /// 500 answers about 2 ms.
  private static let times: SparseHistogram = {
    var counts: [UInt16: UInt32] = [:]
    var histogram = SparseHistogram()
    histogram.minNs = .max
    for number in 0..<requestCount {
      let ns = 1_200_000 + number * number * 20
      counts[UInt16(HistogramLayout.bucket(ns)), default: 0] += 1
      histogram.sumNs += ns
      histogram.sumOfSquares += UInt128(ns) * UInt128(ns)
      histogram.minNs = min(histogram.minNs, ns)
      histogram.maxNs = max(histogram.maxNs, ns)
    }
    histogram.buckets = counts.sorted { $0.key < $1.key }.map { .init(index: $0, count: $1) }
    return histogram
  }()

  fileprivate static func batch(of worker: Worker) -> Batch {
    var endpoint = Batch.Endpoint(index: 0)
    endpoint.counters.sent = requestCount
    endpoint.counters.statuses[200] = requestCount
    endpoint.counters.bytesSent = requestCount * 100
    endpoint.counters.bytesReceived = requestCount * 400
    endpoint.service = times
    endpoint.firstByte = times
    let startNs = UInt64(worker.interval) * 1_000_000_000
    var batch = Batch(
      name: BatchName(incarnation: worker.incarnation, sequence: worker.sums.batchCount),
      firstInterval: worker.interval, lastInterval: worker.interval, phase: .measured,
      startNs: startNs, endNs: startNs + 1_000_000_000, endpoints: [endpoint])
    batch.worker.cpuUserNs = 300_000_000
    return batch
  }

  fileprivate struct Worker {
    var incarnation: Incarnation
    var sums = IncarnationLedger()
    var interval: UInt32 = 0
    var isCounting = false
    /// Of batches that are not delivered, by sequence.
    var closedNs: [UInt32: UInt64] = [:]
  }

  fileprivate struct Agent {
    var machine: AgentMachine
    var socket: Int32 = -1
    var reader = FrameReader(bodyByteCountMax: Frame.bodyByteCountMax)
    var unsent: [UInt8] = []
    var frameCount: UInt32 = 0
    var startNs: UInt64?
    var workers: [Worker] = []
    var hasLeft = false
  }

  /// What its thread alone touches.
  private final class Loop: @unchecked Sendable {
    private let fleet: SimulatedFleet
    private let port: UInt16
    private var agents: [Agent]
    private var lifeCount: UInt64 = 0
    private var pending: [(agent: Int, event: AgentMachine.Event)] = []

    init(fleet: SimulatedFleet, agentCount: Int, workerCount: Int, port: UInt16) {
      self.fleet = fleet
      self.port = port
      agents = (0..<agentCount).map { number in
        Agent(
          machine: AgentMachine(
            settings: .init(
              agent: UInt64(number + 1), build: "squall 0.1.0", host: "host\(number)",
              cpus: (0..<UInt16(workerCount)).map { $0 }, seed: UInt64(number + 1),
              digests: Digests(hash: sha256))))
      }
    }

    func run() {
      for agent in agents.indices { tell(agent, .started) }
      while !fleet.isEnding, agents.contains(where: { !$0.hasLeft }) { turn() }
      for agent in agents where agent.socket >= 0 { close(agent.socket) }
    }

    private func turn() {
      var polls = agents.map { agent in
        pollfd(
          fd: agent.socket, events: Int16(POLLIN) | (agent.unsent.isEmpty ? 0 : Int16(POLLOUT)),
          revents: 0)
      }
      let nowNs = monotonicNs()
      let wakeNs = agents.map { min($0.hasLeft ? .max : $0.machine.wakeNs, pageEndNs($0)) }.min()
      let untilNs = min(wakeNs ?? .max, nowNs + 50_000_000)
      poll(&polls, nfds_t(polls.count), Int32((untilNs - min(nowNs, untilNs)) / 1_000_000))
      for (agent, ready) in polls.enumerated() where ready.revents != 0 {
        if ready.revents & Int16(POLLOUT) != 0 { flush(agent) }
        if ready.revents & ~Int16(POLLOUT) != 0 { receive(agent) }
      }
      for agent in agents.indices where !agents[agent].hasLeft {
        let nowNs = monotonicNs()
        if nowNs >= pageEndNs(agents[agent]) { closePages(agent, nowNs: nowNs) }
        if nowNs >= agents[agent].machine.wakeNs { tell(agent, .tick) }
      }
    }

    /// Hosts are some milliseconds apart, as clocks are.
    private func pageEndNs(_ agent: Agent) -> UInt64 {
      guard let startNs = agent.startNs,
        let worker = agent.workers.first(where: \.isCounting)
      else { return .max }
      return startNs + UInt64(worker.interval + 1) * 1_000_000_000
        + agent.machine.settings.agent % 20 * 1_000_000
    }

    private func closePages(_ agent: Int, nowNs: UInt64) {
      for slot in agents[agent].workers.indices where agents[agent].workers[slot].isCounting {
        let batch = SimulatedFleet.batch(of: agents[agent].workers[slot])
        agents[agent].workers[slot].closedNs[batch.name.sequence] = nowNs
        agents[agent].workers[slot].sums.merge(batch)
        agents[agent].workers[slot].interval += 1
        fleet.note {
          $0.batchCount += 1
          $0.sentCount += SimulatedFleet.requestCount
        }
        tell(agent, .batchClosed(batch))
      }
    }

    private func tell(_ agent: Int, _ event: AgentMachine.Event) {
      pending.append((agent, event))
      guard pending.count == 1 else { return }
      while let (agent, event) = pending.first {
        if case .received(.acknowledgement(let acknowledgement)) = event {
          acknowledged(acknowledgement, agent)
        }
        for effect in agents[agent].machine.handle(event, nowNs: monotonicNs()) {
          carryOut(effect, agent)
        }
        pending.removeFirst()
      }
    }

    private func acknowledged(_ acknowledgement: Acknowledgement, _ agent: Int) {
      let nowNs = monotonicNs()
      for entry in acknowledgement.entries {
        let slot = Int(entry.worker)
        guard agents[agent].workers.indices.contains(slot),
          agents[agent].workers[slot].incarnation.life == entry.life
        else { continue }
        let delivered = agents[agent].workers[slot].closedNs.filter { $0.key < entry.below }
        for sequence in delivered.keys {
          agents[agent].workers[slot].closedNs[sequence] = nil
        }
        fleet.note { seen in
          seen.deliveredCount += delivered.count
          seen.deliveriesNs += delivered.values.map { nowNs - $0 }
        }
      }
    }

    private func carryOut(_ effect: AgentMachine.Effect, _ agent: Int) {
      switch effect {
      case .connect: dial(agent)
      case .disconnect: hangUp(agent)
      case .send(let message):
        agents[agent].frameCount += 1
        agents[agent].unsent += Frame(message, sequence: agents[agent].frameCount).bytes
        flush(agent)
      case .startWorkers:
        let name = agents[agent].machine.settings.agent
        agents[agent].workers = agents[agent].machine.settings.cpus.indices.map { slot in
          lifeCount += 1
          return Worker(
            incarnation: Incarnation(agent: name, worker: UInt16(slot), life: lifeCount))
        }
        for (slot, worker) in agents[agent].workers.enumerated() {
          tell(agent, .workerReady(slot: slot, life: worker.incarnation.life))
        }
      case .startAt(let localNs): agents[agent].startNs = localNs
      case .setShare(let slot, let share, _, _):
        agents[agent].workers[slot].isCounting = true
        tell(agent, .workerAdopted(slot: slot, epoch: share.epoch, sentBefore: 0))
      case .stopWorker(let slot):
        agents[agent].workers[slot].isCounting = false
        let worker = agents[agent].workers[slot]
        tell(
          agent,
          .workerFinished(
            slot: slot,
            Ledger(
              incarnation: worker.incarnation, sums: worker.sums, inFlight: 0, ending: .finished)))
      case .leaveRun:
        agents[agent].workers = []
        agents[agent].startNs = nil
      case .exit:
        agents[agent].hasLeft = true
        hangUp(agent)
      case .startWorker, .changeLoad, .renewShare, .persist, .joined, .log: break
      }
    }

    // MARK: Connections

    private func dial(_ agent: Int) {
      guard let socket = try? connection(to: port) else {
        return tell(agent, .closed("it cannot be dialled"))
      }
      _ = fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK)
      agents[agent].socket = socket
      agents[agent].reader = FrameReader(bodyByteCountMax: Frame.bodyByteCountMax)
      tell(agent, .connected)
    }

    private func hangUp(_ agent: Int) {
      if agents[agent].socket >= 0 { close(agents[agent].socket) }
      agents[agent].socket = -1
      agents[agent].unsent = []
    }

    private func flush(_ agent: Int) {
      while agents[agent].socket >= 0, !agents[agent].unsent.isEmpty {
        let count = send(
          agents[agent].socket, agents[agent].unsent, agents[agent].unsent.count,
          Int32(MSG_NOSIGNAL))
        guard count > 0 else { return }
        agents[agent].unsent.removeFirst(count)
      }
    }

    private func receive(_ agent: Int) {
      var room = [UInt8](repeating: 0, count: 65_536)
      let count = recv(agents[agent].socket, &room, room.count, 0)
      if count < 0, errno == EAGAIN || errno == EINTR { return }
      guard count > 0 else {
        hangUp(agent)
        return tell(agent, .closed("its end"))
      }
      agents[agent].reader.append(room.prefix(count))
      while let frame = try? agents[agent].reader.next(), let message = try? frame.message {
        tell(agent, .received(message))
      }
    }
  }
}
