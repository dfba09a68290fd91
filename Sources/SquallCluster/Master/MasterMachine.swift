package import SquallLoad

/// The master's part of the protocol: keeps a fleet of agents, and leads runs over it, one after the other.
/// Of each it deals the plan over the workers, merges their batches once each, and knows at the end
/// whether anything is missing.
///
/// ```
/// idle ─.begin▶ waiting ──enough workers, or .start──▶ preparing ──all shares taken up──▶ running
///                                                                                            │ time,
///    .begin ◀─ ended ◀──every ledger agrees, or its agent is given up── collecting ◀─────────┘ requests,
///                                                                                              .stop
/// ```
/// Its state is four values: `Fleet` outlives the runs, `Run`, `Dealing` and `Intake` are of the run
/// there is. Events in, effects out; it has no clock and no I/O. Call `handle` with every event, carry
/// out the effects in order, and send `.tick` when `wakeNs` has come.
package struct MasterMachine: Sendable {
  package struct Settings: Sendable {
    package var build: String
    package var seed: UInt64
    package var digests: Digests
    /// Whoever has delivered a run leaves: no other follows.
    package var leadsOneRun = true
    package var heartbeatIntervalNs: UInt64 = 1_000_000_000
    package var liveness: UInt8 = 3
    package var leaseNs: UInt64 = 10_000_000_000
    /// From the start instant's choice to the instant: time for the news to reach everyone.
    package var startLeadNs: UInt64 = 250_000_000
    /// What is added to it at most for opening connections.
    package var openingNsMax: UInt64 = 10_000_000_000
    /// How long the master gathers changes before it deals again.
    package var settleNs: UInt64 = 200_000_000
    /// From a redistribution's first step to the instant at which schedules change hands.
    package var cutLeadNs: UInt64 = 500_000_000
    /// First wait for an answer before an order is sent again.
    package var resendFirstNs: UInt64 = 200_000_000
    /// Batches of parts are acknowledged together.
    package var acknowledgeDelayNs: UInt64 = 20_000_000
    /// A connection that is not authenticated by then is closed.
    package var handshakeNs: UInt64 = 5_000_000_000
    /// Connections not authenticated yet; one more closes the oldest.
    package var strangersMax = 1_024
    package var agentsMax = 4_096
    /// Lives of workers on one agent.
    package var livesMax = 4_096
    /// Bytes of incomplete batches held for one agent; beyond it the oldest is dropped, and comes again.
    package var assemblyByteCountMax = 8 << 20
    /// Batches handed to the record and not committed; beyond it batches are refused, and come again.
    package var uncommittedMax = 4_096
    /// An agent silent for so long is waited for no longer when the run has ended; likewise one whose
    /// connection was closed, which is the surer sign.
    package var goneAfterNs: UInt64 = 60_000_000_000
    package var goneAfterCloseNs: UInt64 = 15_000_000_000
    /// How long agents are given to say goodbye after the end.
    package var lingerNs: UInt64 = 5_000_000_000
    /// The same when nobody wants to wait any more: time for the news.
    package var abandonedLingerNs: UInt64 = 100_000_000
    package var faults = Faults()

    package init(build: String, seed: UInt64, digests: Digests) {
      self.build = build
      self.seed = seed
      self.digests = digests
    }

    /// For both machines in one process: nothing on the way, so nothing to wait for.
    package mutating func useInProcess() {
      startLeadNs = 10_000_000
      settleNs = 0
      acknowledgeDelayNs = 0
    }
  }

  package enum Stage: String, Sendable {
    /// There was no run yet.
    case idle
    case waiting, preparing, running, collecting, ended
  }

  package enum Event: Sendable {
    /// Begin: the first event.
    case started
    /// Lead this run, or go on with it. There is none, or it has ended.
    case begin(RunSettings, recovered: Recovery?)
    /// No other run follows.
    case close
    /// A connection, numbered by the caller, never twice.
    case connected(peer: UInt64)
    case closed(peer: UInt64)
    case received(peer: UInt64, Message)
    /// Every record entry up to and including this token is durable, or as good as it can be.
    case committed(token: UInt64)
    /// Begin the load with the workers that are ready.
    case start
    /// Change the load of the run that goes on, as soon as all workers can at one instant. See
    /// `refusal(of:)`, which is to be asked before.
    case change(LoadChange)
    /// End the load now.
    case stop
    /// End the run with what is known now.
    case abandon
    case tick
  }

  package enum Effect: Equatable, Sendable {
    case send(peer: UInt64, Message)
    /// No `.closed` is expected for it.
    case close(peer: UInt64)
    /// The peer is authenticated. Its datagrams carry `session`; see `AgentMachine.Effect.joined`.
    case joined(peer: UInt64, session: UInt64, keyText: [UInt8])
    /// Write this down for the run there is, and answer `.committed`. Tokens rise by one.
    case record(RecordEntry, token: UInt64)
    /// This batch counts, from now on and once.
    case merged(Batch)
    case log(LogEvent)
    /// Everything is known of the run that will be known.
    case ended(Outcome)
    /// The agents have gone, or had their time to.
    case dismissed
  }

  /// What a person at the master is told.
  package enum LogEvent: Equatable, Sendable {
    case agentJoined(AgentName)
    case agentMissing(AgentName)
    case agentReturned(AgentName)
    case agentLeft(AgentName)
    case agentGone(AgentName)
    case agentRefused(AgentName, Refusal.Reason)
    case agentFull(AgentName)
    case workerReady(Incarnation)
    case workerStalled(Incarnation)
    case workerDied(Incarnation, Ledger.Ending)
    case dealt(epoch: UInt32, workers: Int)
    case starting(workers: Int)
    case changed(LoadChange)
    case stopping(EndReason)
    /// Bytes that could not be a batch came from this agent, whose connection was closed.
    case malformed(AgentName, Malformed)
  }

  package let settings: Settings
  package internal(set) var wakeNs: UInt64 = .max

  var jitter: SplitMix64
  var fleet = Fleet()
  /// Newest last.
  var past: [PastRun]
  var run: Run
  var dealing = Dealing()
  var intake = Intake()
  var journal = Journal()
  /// Something changed that may move the run or the shares.
  var isDirty = false
  /// When time itself may, next.
  var evaluateAtNs: UInt64 = 0
  var closedNs: UInt64 = 0
  var isDismissed = false
  var lastNs: UInt64?
  var effects: [Effect] = []

  /// `past` are runs of which agents may still have something, newest last.
  package init(settings: Settings, past: [PastRun] = []) {
    self.settings = settings
    self.past = past
    fleet.isClosing = settings.leadsOneRun
    jitter = SplitMix64(seed: settings.seed)
    run = Run(.none, digests: settings.digests, nowNs: 0)
    run.stage = .idle
  }

  package var stage: Stage { run.stage }
  /// Of all batches of the run that are merged.
  package var sums: IncarnationLedger { intake.sums }

  package mutating func handle(_ event: Event, nowNs: UInt64) -> [Effect] {
    notice(sleptUntilNs: nowNs)
    switch event {
    case .started: isDirty = true
    case .begin(let run, let recovered): begin(run, recovered, nowNs: nowNs)
    case .close: close(nowNs: nowNs)
    case .connected(let peer): connected(peer, nowNs: nowNs)
    case .closed(let peer): closed(peer, nowNs: nowNs)
    case .received(let peer, let message): received(message, from: peer, nowNs: nowNs)
    case .committed(let token): committed(upTo: token, nowNs: nowNs)
    case .start:
      run.isStartWanted = true
      isDirty = true
    case .change(let change): asked(for: change)
    case .stop: stop(.stopped, nowNs: nowNs)
    case .abandon:
      stop(.stopped, nowNs: nowNs)
      run.isAbandoned = true
      isDirty = true
    case .tick: break
    }
    settle(nowNs: nowNs)
    defer { effects.removeAll(keepingCapacity: true) }
    return effects
  }

  /// What is due, whatever the event was: timers, shares, orders, acknowledgements, the end. Only a
  /// change or its time makes the master look at every agent.
  private mutating func settle(nowNs: UInt64) {
    wakeNs = .max
    supervisePeers(nowNs: nowNs)
    if isDirty || nowNs >= evaluateAtNs {
      isDirty = false
      evaluateAtNs = .max
      superviseAgents(nowNs: nowNs)
      superviseRun(nowNs: nowNs)
      superviseShares(nowNs: nowNs)
      superviseEnd(nowNs: nowNs)
    }
    sendOrders(nowNs: nowNs)
    sendAcknowledgements(nowNs: nowNs)
    wake(atNs: isDirty ? nowNs : evaluateAtNs)
  }

  /// Look at everything again at this time.
  mutating func evaluate(atNs: UInt64) { evaluateAtNs = min(evaluateAtNs, atNs) }
  mutating func wake(atNs: UInt64) { wakeNs = min(wakeNs, atNs) }
  mutating func send(_ message: Message, to peer: UInt64) {
    effects.append(.send(peer: peer, message))
  }
  mutating func log(_ event: LogEvent) { effects.append(.log(event)) }

  var silenceNs: UInt64 { settings.heartbeatIntervalNs * UInt64(settings.liveness) }
}
