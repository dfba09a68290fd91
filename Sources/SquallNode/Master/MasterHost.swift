package import NIOCore
package import SquallCluster
internal import SquallEngine
package import SquallLoad

/// The master of this process: its machine, the records of its runs and its agents' connections, all on
/// one event loop.
package actor MasterHost {
  /// One agent's connection, as the master sees it.
  package protocol Peer: Sendable {
    func send(_ message: Message)
    /// The connection is authenticated: what datagrams need.
    func joined(session: UInt64, keyText: [UInt8])
    func close()
  }

  package nonisolated let eventLoop: any EventLoop
  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    unsafe eventLoop.executor.asUnownedSerialExecutor()
  }

  /// A run that is led, or was led last.
  private struct Led {
    let record: RunRecord
    /// The sums of all batches that count.
    var ledger: RunLedger
    /// The workers' own accounts of lives that have ended.
    var ledgers: [Ledger]
    var hasEnded = false
    let ended: EventLoopPromise<Outcome>
  }

  private var machine: MasterMachine
  private var led: Led?
  /// What makes our clock the run's: 0, unless the host was started anew in mid-run.
  private let clockLeadNs: UInt64
  private let feed: Feed
  private let noticed: @Sendable (MasterMachine.LogEvent) -> Void
  private var peers: [UInt64: any Peer] = [:]
  private var peerCount: UInt64 = 0
  private var wake: Scheduled<Void>?
  private var hasStarted = false
  private var isDismissed = false
  /// The agents have gone, or had their time to.
  package nonisolated let dismissed: EventLoopPromise<Void>

  /// `past` are runs of which agents may still have something, newest last.
  package init(
    settings: MasterMachine.Settings, past: [PastRun] = [], clockLeadNs: UInt64 = 0, feed: Feed,
    noticed: @escaping @Sendable (MasterMachine.LogEvent) -> Void, on eventLoop: any EventLoop
  ) {
    machine = MasterMachine(settings: settings, past: past)
    self.clockLeadNs = clockLeadNs
    self.feed = feed
    self.noticed = noticed
    self.eventLoop = eventLoop
    dismissed = eventLoop.makePromise()
  }

  /// Begins, before any connection is taken in.
  package func start() {
    hasStarted = true
    handle(.started)
    publish()
  }

  /// Leads this run, or goes on with it: there is none, or it has ended. Everything is known of it that
  /// will be known when what is returned has come.
  package func lead(_ settings: RunSettings, _ record: RunRecord) -> EventLoopFuture<Outcome> {
    let account =
      record.past?.account ?? RunAccount(endpointCount: settings.plan.content.endpoints.count)
    let ended = eventLoop.makePromise(of: Outcome.self)
    led = Led(
      record: record, ledger: account.ledger, ledgers: account.ledgers, ended: ended)
    handle(.begin(settings, recovered: record.past?.recovery))
    return ended.futureResult
  }

  /// Leads no other run.
  package func close() { handle(.close) }

  /// Feeds the readers, twice an interval, until there is no run any more.
  private func publish() {
    guard !isDismissed else { return }
    if feed.readerCount > 0 { feed.publish(figures) }
    // Before the first run it is soon again: that run may have short intervals.
    let intervalNs = led?.record.plan.times.intervalNs ?? 0
    let pauseNs = max(Self.pauseNsMin, min(intervalNs / 2, Self.pauseNsMax))
    eventLoop.scheduleTask(in: .nanoseconds(Int64(pauseNs))) {
      self.assumeIsolated { $0.publish() }
    }
  }

  private static let pauseNsMin: UInt64 = 50_000_000
  private static let pauseNsMax: UInt64 = 500_000_000

  /// What goes on now.
  package var figures: LiveFigures { figures(of: machine.status(nowNs: nowNs)) }

  private func figures(of status: Status) -> LiveFigures {
    LiveFigures(
      status: status, run: led?.record.run,
      plan: led?.record.plan.changed(by: machine.changes), asked: machine.askedChange,
      ledger: led?.ledger ?? RunLedger(endpointCount: 0))
  }

  /// What the run has come to by name.
  package var totals: RunTotals {
    RunTotals(
      figures: figures, ledger: led?.ledger ?? RunLedger(endpointCount: 0), plan: led?.record.plan)
  }

  /// What the run has come to.
  package var account: (status: Status, ledger: RunLedger, ledgers: [Ledger]) {
    (
      machine.status(nowNs: nowNs), led?.ledger ?? RunLedger(endpointCount: 0),
      led?.ledgers ?? []
    )
  }

  /// What it does and what it has come to, of one instant.
  package var known: (figures: LiveFigures, ledger: RunLedger, ledgers: [Ledger]) {
    let account = account
    return (figures(of: account.status), account.ledger, account.ledgers)
  }

  /// Begins the load with the workers that are ready.
  package func startLoad() { handle(.start) }

  package func stopLoad() { handle(.stop) }

  /// Changes the load of the run that goes on; why not, if it cannot be.
  package func changeLoad(_ change: LoadChange) -> ChangeRefusal? {
    if let refusal = machine.refusal(of: change) { return refusal }
    handle(.change(change))
    return nil
  }

  /// What was changed of the run's load, in the order of time.
  package var changes: [LoadChange] { machine.changes }

  /// Waits for nobody any more from then on: ends with what is known.
  package func abandon(afterNs: UInt64) {
    eventLoop.scheduleTask(in: .nanoseconds(Int64(clamping: afterNs))) {
      self.assumeIsolated { $0.abandon() }
    }
  }

  private func abandon() {
    handle(.abandon)
    // The end is written down first, and the disk may be what is waited for.
    eventLoop.scheduleTask(in: Self.recordingTime) {
      self.assumeIsolated { master in
        let (sums, gaps) = (master.machine.sums, master.machine.gaps())
        master.end(Outcome(reason: .stopped, sums: sums, gaps: gaps))
        if master.machine.settings.leadsOneRun { master.dismiss() }
      }
    }
  }

  private static let recordingTime = TimeAmount.milliseconds(500)

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
    guard machine.wakeNs != .max, !isDismissed else { return }
    let delayNs = Int64(clamping: machine.wakeNs - min(machine.wakeNs, nowNs))
    wake = eventLoop.scheduleTask(in: .nanoseconds(delayNs)) {
      self.assumeIsolated { $0.handle(.tick) }
    }
  }

  private func end(_ outcome: Outcome) {
    guard led?.hasEnded == false else { return }
    led?.hasEnded = true
    if machine.settings.leadsOneRun { feed.end(with: figures) } else { feed.publish(figures) }
    led?.ended.succeed(outcome)
  }

  private func dismiss() {
    guard !isDismissed else { return }
    isDismissed = true
    wake?.cancel()
    if !machine.settings.leadsOneRun { feed.end(with: figures) }
    dismissed.succeed()
  }

  private func perform(_ effect: MasterMachine.Effect) {
    switch effect {
    case .send(let peer, let message): peers[peer]?.send(message)
    case .close(let peer): peers.removeValue(forKey: peer)?.close()
    case .joined(let peer, let session, let keyText):
      peers[peer]?.joined(session: session, keyText: keyText)
    case .record(let entry, let token):
      if case .ledger(let ledger) = entry { led?.ledgers.append(ledger) }
      led?.record.write(entry, token: token) { [eventLoop] token in
        eventLoop.execute { self.assumeIsolated { $0.handle(.committed(token: token)) } }
      }
    case .merged(let batch): led?.ledger.merge(batch)
    case .log(let notice): noticed(notice)
    case .ended(let outcome): end(outcome)
    case .dismissed: dismiss()
    }
  }
}
