package import SquallLoad

/// One host's part of the protocol: holds the connection to the master, passes shares on to the
/// worker processes, and keeps what they counted until the master has it for good.
///
/// ```
///  link     down ─connect─▶ dialing ─connected─▶ greeting ─welcome─▶ joined ─┐
///            ▲────────────── backoff ◀── closed, silent, unreachable ◀───────┘
///  run      none ─order─▶ part ─order: end, abandon─▶ none
///  slot     idle ─startWorkers─▶ starting ─workerReady─▶ ready ⇄ stalled
///                                   ▲                      │ died       ─▶ finished
///                                   └──── restart ◀── dead ┘
/// ```
/// Events in, effects out; it has no clock and no I/O. Call `handle` with every event, carry out the
/// effects in order, and send `.tick` when `wakeNs` has come.
package struct AgentMachine: Sendable {
  package struct Settings: Sendable {
    /// The agent's own random name.
    package var agent: UInt64
    package var build: String
    package var host: String
    /// Its process id, for people; 0 for none.
    package var process: UInt32 = 0
    /// The CPU of each worker.
    package var cpus: [UInt16]
    /// For jitter and nonces, from the kernel's randomness.
    package var seed: UInt64
    package var digests: Digests
    /// Backoff between attempts to connect.
    package var connectFirstNs: UInt64 = 200_000_000
    package var connectLastNs: UInt64 = 2_000_000_000
    /// From connected to welcome; then the connection is given up.
    package var handshakeNs: UInt64 = 5_000_000_000
    /// First wait for an answer before something is sent again; it doubles up to `resendLastNs`.
    package var resendFirstNs: UInt64 = 200_000_000
    package var resendLastNs: UInt64 = 2_000_000_000
    /// Encoded bytes of undelivered batches. At the bound the load stops until half of it is delivered.
    package var keptByteCountMax = 64 << 20
    /// Parts sent and not yet acknowledged.
    package var partsInFlightMax = 256
    /// How often a worker that died is started again; then its place stays empty.
    package var restartsMax = 5
    package var restartFirstNs: UInt64 = 100_000_000
    package var restartLastNs: UInt64 = 5_000_000_000
    /// How long after the loss of the master the agent gives up what it could not deliver.
    package var giveUpNs: UInt64 = 600_000_000_000
    /// The same after `.leave`.
    package var leaveWaitNs: UInt64 = 30_000_000_000
    /// And after the master has said that the run is over.
    package var endWaitNs: UInt64 = 5_000_000_000
    package var faults = Faults()

    package init(
      agent: UInt64, build: String, host: String, cpus: [UInt16], seed: UInt64, digests: Digests
    ) {
      self.agent = agent
      self.build = build
      self.host = host
      self.cpus = cpus
      self.seed = seed
      self.digests = digests
    }
  }

  package enum Event: Sendable {
    /// Begin: the first event.
    case started
    case connected
    /// The connection ended, or an attempt failed. The text is for people.
    case closed(String)
    case received(Message)
    /// The process in this place is up and has the plan. `life` is its own random number.
    case workerReady(slot: Int, life: UInt64)
    /// It has taken up the share of this epoch, having sent `sentBefore` requests in its life until
    /// then. With no `requestCount` in the plan `sentBefore` may be 0.
    case workerAdopted(slot: Int, epoch: UInt32, sentBefore: UInt64)
    /// It has sent every request that the share of this epoch allows.
    case workerExhausted(slot: Int, epoch: UInt32)
    /// It has not moved for some heartbeats (its pages stand still), and moves again.
    case workerStalled(slot: Int)
    case workerResumed(slot: Int)
    /// One of its pages is closed and read.
    case batchClosed(Batch)
    /// It has drained and counted its last; every batch went before this.
    case workerFinished(slot: Int, Ledger)
    /// Its process is gone; every batch that its pages held went before this. Nil when it had not
    /// come as far as `workerReady`.
    case workerDied(slot: Int, Ledger?)
    /// SIGTERM: hand over and go. The second one means now.
    case leave
    case leaveNow
    case tick
  }

  package enum Effect: Equatable, Sendable {
    /// Open a connection to the master after this delay; answer `.connected` or `.closed`.
    case connect(afterNs: UInt64)
    /// Close the connection; no `.closed` is expected for it.
    case disconnect
    case send(Message)
    /// The connection is authenticated. Datagrams are stamped with `session`, and signed with the
    /// MAC of `keyText` as the key when there is a token.
    case joined(session: UInt64, keyText: [UInt8])
    /// Start a process in each place. Answer each with `.workerReady` or `.workerDied`.
    case startWorkers(Plan)
    case startWorker(slot: Int, afterNs: UInt64)
    /// The run's time 0 on this host's clock. Said again, to all, when the estimate improves before it
    /// comes and when a worker is ready later. May come after a share, or lie in the past.
    case startAt(localNs: UInt64)
    /// Take up this share. It replaces the one before: its connections at once, its schedule from
    /// `share.fromNs` of run time on (requests due earlier remain the older share's), up to but not
    /// including `untilNs` of run time. Nothing may be sent at or after `validUntilNs` of the local
    /// clock, until renewed. The worker must see share and validity as one.
    case setShare(slot: Int, Share, untilNs: UInt64, validUntilNs: UInt64)
    /// The load changes at this change's instant. Comes before the share that begins there.
    case changeLoad(slot: Int, LoadChange)
    /// The share it has stays valid until then.
    case renewShare(slot: Int, validUntilNs: UInt64)
    /// Stop sending, drain for the plan's time, answer `.workerFinished`.
    case stopWorker(slot: Int)
    /// Write these to a file: they could not be delivered.
    case persist(run: UInt64, planHash: [UInt8], batches: [Batch], ledgers: [Ledger])
    /// End the worker processes that are left: nothing they still say is of use. The next run's
    /// `.startWorkers` may follow before they have ended.
    case leaveRun
    case log(LogEvent)
    /// The agent's part is over; end the worker processes that are left.
    case exit(Exit)
  }

  package enum Exit: Equatable, Sendable {
    /// Everything was delivered. Exit code 0.
    case delivered
    /// Exit code 2 for a version, 1 for everything else.
    case refused(Refusal)
    /// Undelivered batches were handed to `.persist`. Exit code 6.
    case gaveUp
  }

  /// What a person at the agent is told.
  package enum LogEvent: Equatable, Sendable {
    case joined
    case masterLost(String)
    case unreachable(String, attempt: Int)
    case refused(Refusal)
    case masterUnauthentic
    case planDamaged
    case leaseEnded
    case leaseRenewed
    case keptFull
    case keptDrained
    case workerDied(slot: Int, Ledger.Ending)
    case workerGivenUp(slot: Int)
  }

  /// What it is to do in the run there is; forgotten when it leaves the run.
  struct Part {
    /// 0 for none: it stands by.
    var run: UInt64 = 0
    var plan = PlanAssembly()
    var epoch: UInt32 = 0
    var changes: [LoadChange] = []
    var startLocalNs: UInt64?
    var leaseEndNs: UInt64 = 0
    var isLeaseLapsed = false
    var isStopping = false
  }

  package private(set) var settings: Settings
  package internal(set) var wakeNs: UInt64 = .max

  var jitter: SplitMix64
  var link = Link.down
  var connectAttempt = 0
  var session = Session()
  var clock = ClockOffset()
  var part = Part()
  var slots: [Slot]
  var outbox: Outbox
  var isLeaving = false
  /// The master leads no other run, and we are in none.
  var isDismissed = false
  /// The master has said that no other run follows.
  var isLast = false
  var isFull = false
  /// Of some run, something could not be delivered.
  var hasGivenUp = false
  var hasExited = false
  var lastNs: UInt64?
  /// Since when there has been no word from the master; nil while there is.
  var lostSinceNs: UInt64?
  var leaveSinceNs: UInt64 = 0
  var dismissedNs: UInt64 = 0
  var effects: [Effect] = []

  /// The run it takes part in; 0 for none.
  package var run: UInt64 { part.run }
  /// Of its plan; empty for none.
  package var planHash: [UInt8] { part.plan.hash }

  package init(settings: Settings) {
    self.settings = settings
    jitter = SplitMix64(seed: settings.seed)
    slots = settings.cpus.map { Slot(cpu: $0) }
    outbox = Outbox(run: 0, settings: settings)
  }

  package mutating func handle(_ event: Event, nowNs: UInt64) -> [Effect] {
    guard !hasExited else { return [] }
    notice(sleptUntilNs: nowNs)
    switch event {
    case .started: dial(afterNs: 0)
    case .connected: connected(nowNs: nowNs)
    case .closed(let why): closed(why, nowNs: nowNs)
    case .received(let message): received(message, nowNs: nowNs)
    case .workerReady(let slot, let life): workerReady(slot, life: life)
    case .workerAdopted(let slot, let epoch, let sentBefore):
      workerAdopted(slot, epoch: epoch, sentBefore: sentBefore, nowNs: nowNs)
    case .workerExhausted(let slot, let epoch): workerExhausted(slot, epoch: epoch)
    case .workerStalled(let slot): workerStalled(slot)
    case .workerResumed(let slot): workerResumed(slot)
    case .batchClosed(let batch): batchClosed(batch)
    case .workerFinished(let slot, let ledger): workerFinished(slot, ledger)
    case .workerDied(let slot, let ledger): workerDied(slot, ledger)
    case .leave: leave(nowNs: nowNs)
    case .leaveNow: giveUp()
    case .tick: break
    }
    settle(nowNs: nowNs)
    defer { effects.removeAll(keepingCapacity: true) }
    return effects
  }

  /// What is due, whatever the event was: timers, reports, deliveries, the end.
  private mutating func settle(nowNs: UInt64) {
    guard !hasExited else { return }
    wakeNs = .max
    superviseLink(nowNs: nowNs)
    superviseLease(nowNs: nowNs)
    superviseSlots(nowNs: nowNs)
    superviseKept()
    reportIfDue(nowNs: nowNs)
    deliver(nowNs: nowNs)
    superviseEnd(nowNs: nowNs)
  }

  mutating func wake(atNs: UInt64) { wakeNs = min(wakeNs, atNs) }
  mutating func send(_ message: Message) { effects.append(.send(message)) }
  mutating func log(_ event: LogEvent) { effects.append(.log(event)) }
}
