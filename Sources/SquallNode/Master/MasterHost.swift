package import NIOCore
package import SquallCluster
internal import SquallEngine
package import SquallLoad

/// The master of one run: its machine, its record and its agents' connections, all on one event
/// loop.
package actor MasterHost {
  /// One agent's connection, as the master sees it.
  package protocol Peer: Sendable {
    func send(_ message: Message)
    /// The connection is authenticated: what datagrams need.
    func joined(session: UInt64, keyText: [UInt8])
    func close()
  }

  /// Where entries are made durable. Calls `committed` on the master's loop with the last token of
  /// each group that is.
  package protocol Record: Sendable {
    func write(_ entry: RecordEntry, token: UInt64, committed: @escaping @Sendable (UInt64) -> Void)
  }

  package struct Observer: Sendable {
    /// A batch counts from now on.
    package var merged: @Sendable (Batch) -> Void = { _ in }
    package var noticed: @Sendable (MasterMachine.Notice) -> Void = { _ in }

    package init() {}
  }

  package nonisolated let eventLoop: any EventLoop
  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    unsafe eventLoop.executor.asUnownedSerialExecutor()
  }

  private var machine: MasterMachine
  /// The sums of all batches that count.
  package private(set) var ledger: RunLedger
  /// The workers' own accounts of lives that have ended.
  package private(set) var ledgers: [Ledger] = []
  /// What makes our clock the run's: 0, unless the host was started anew in mid-run.
  private let clockLeadNs: UInt64
  private let record: any Record
  private let observer: Observer
  private var peers: [UInt64: any Peer] = [:]
  private var peerCount: UInt64 = 0
  private var wake: Scheduled<Void>?
  private var hasStarted = false
  private var hasEnded = false
  private var isDismissed = false
  /// Everything is known that will be known.
  package nonisolated let ended: EventLoopPromise<Outcome>
  /// The agents have gone, or had their time to.
  package nonisolated let dismissed: EventLoopPromise<Void>

  /// `account` is what a run that goes on has come to.
  package init(
    machine: MasterMachine, account: RunAccount? = nil, clockLeadNs: UInt64 = 0,
    record: any Record, observer: Observer, on eventLoop: any EventLoop
  ) {
    self.machine = machine
    ledger =
      account?.ledger ?? RunLedger(endpointCount: machine.settings.plan.endpoints.count)
    ledgers = account?.ledgers ?? []
    self.clockLeadNs = clockLeadNs
    self.record = record
    self.observer = observer
    self.eventLoop = eventLoop
    ended = eventLoop.makePromise()
    dismissed = eventLoop.makePromise()
  }

  /// Begins the run, before any connection is taken in.
  package func start() {
    hasStarted = true
    handle(.started)
  }

  /// Begins the load with the workers that are ready.
  package func startLoad() { handle(.start) }

  package func stopLoad() { handle(.stop) }

  /// Waits for nobody any more: ends with what is known now.
  package func abandon() {
    if !hasEnded { ended.succeed(Outcome(reason: .stopped, sums: machine.sums)) }
    hasEnded = true
    dismiss()
  }

  package var status: Status { machine.status(nowNs: nowNs) }

  private var nowNs: UInt64 { monotonicNs() &+ clockLeadNs }

  /// Takes a connection in. Returns the number to name it by.
  package func connected(_ peer: any Peer) -> UInt64 {
    precondition(hasStarted, "a connection before the start")
    peerCount += 1
    peers[peerCount] = peer
    handle(.connected(peer: peerCount))
    return peerCount
  }

  package func closed(peer: UInt64) {
    guard peers.removeValue(forKey: peer) != nil else { return }
    handle(.closed(peer: peer))
  }

  package func received(_ message: Message, from peer: UInt64) {
    guard peers[peer] != nil else { return }
    handle(.received(peer: peer, message))
  }

  private func handle(_ event: MasterMachine.Event) {
    for effect in machine.handle(event, nowNs: nowNs) { perform(effect) }
    wake?.cancel()
    wake = nil
    guard machine.wakeNs != .max else { return }
    let delayNs = Int64(clamping: machine.wakeNs - min(machine.wakeNs, nowNs))
    wake = eventLoop.scheduleTask(in: .nanoseconds(delayNs)) {
      self.assumeIsolated { $0.handle(.tick) }
    }
  }

  private func dismiss() {
    guard !isDismissed else { return }
    isDismissed = true
    dismissed.succeed()
  }

  private func perform(_ effect: MasterMachine.Effect) {
    switch effect {
    case .send(let peer, let message): peers[peer]?.send(message)
    case .close(let peer): peers.removeValue(forKey: peer)?.close()
    case .joined(let peer, let session, let keyText):
      peers[peer]?.joined(session: session, keyText: keyText)
    case .record(let entry, let token):
      if case .ledger(let ledger) = entry { ledgers.append(ledger) }
      record.write(entry, token: token) { token in
        self.assumeIsolated { $0.handle(.committed(token: token)) }
      }
    case .merged(let batch):
      ledger.merge(batch)
      observer.merged(batch)
    case .log(let notice): observer.noticed(notice)
    case .ended(let outcome):
      guard !hasEnded else { return }
      hasEnded = true
      ended.succeed(outcome)
    case .dismissed:
      wake?.cancel()
      dismiss()
    }
  }
}
