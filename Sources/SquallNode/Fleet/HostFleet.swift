internal import Glibc
package import NIOCore
package import SquallCluster
internal import SquallEngine
internal import SquallLoad

/// The hosts of a fleet, each behind an ssh process of its own, which is one session: what is missing
/// there is brought, then the job begins, and the end of the session's input ends the job. So nothing
/// is left there however this process ends.
package actor HostFleet {
  package struct Options: Sendable {
    /// How ssh is started: a word and its options, which go before ours, so that they count.
    package var ssh = ["ssh"]
    /// Hosts without which there is no work; nil for all of them.
    package var readyCountMin: Int?
    /// A host that is not ready by then is given up.
    package var readyWithinNs: UInt64 = 120_000_000_000

    package init() {}
  }

  /// All hosts at one moment.
  package struct Picture: Sendable {
    package var hosts: [(host: FleetHost, state: HostSession.State, words: String)] = []

    package init() {}
  }

  /// What preparing came to.
  package enum Preparation: Equatable, Sendable {
    case ready
    case tooFew(possible: Int, of: Int, wanted: Int)
    /// Nobody waits for it any more.
    case abandoned
  }

  /// An sshd turns connections away at random from the tenth on that has not logged in yet
  /// (MaxStartups, sshd_config(5)), and all may go through one jump host.
  private static let connectingMax = 8
  /// What a host has to end by itself once its input has ended, and ssh to end at SIGTERM.
  private static let endingTime = TimeAmount.seconds(4)
  private static let terminationTime = TimeAmount.seconds(1)

  package nonisolated let eventLoop: any EventLoop = NodeLoop.shared
  package nonisolated var unownedExecutor: UnownedSerialExecutor {
    unsafe eventLoop.executor.asUnownedSerialExecutor()
  }

  /// Each change, or the newest of those that came meanwhile, for one reader. Ends with the last session.
  package nonisolated let pictures: AsyncStream<Picture>
  private nonisolated let showing: AsyncStream<Picture>.Continuation
  /// As soon as every host is ready or has failed, or too many have.
  private nonisolated let settled: EventLoopPromise<Preparation>
  private nonisolated let ended: EventLoopPromise<Void>

  private let job: HostSession.Job
  private let cargo: Cargo
  private let options: Options
  private let say: @Sendable (FleetHost, String) -> Void
  private var sessions: [HostSession]
  private var shells: [RemoteShell?]
  private var tunnelPort: UInt16?
  private var hasEnded = false
  private var limits: [Scheduled<Void>] = []
  /// By agent: which host it is on, and its workers that are ready.
  private var agents: [UInt64: (index: Int, cpuCount: Int, ready: Set<UInt16>)] = [:]

  /// `say` gets what hosts have to say.
  package init(
    _ hosts: [FleetHost], job: HostSession.Job, cargo: Cargo, options: Options,
    say: @escaping @Sendable (FleetHost, String) -> Void
  ) {
    self.job = job
    self.cargo = cargo
    self.options = options
    self.say = say
    sessions = hosts.map { host in
      var job = job
      if case .work(let token, let arguments) = job {
        job = .work(token: token, arguments: arguments + ["--name", host.name])
      }
      return HostSession(host: host, job: job, cargo: cargo)
    }
    shells = hosts.map { _ in nil }
    (pictures, showing) = AsyncStream.makeStream(
      of: Picture.self, bufferingPolicy: .bufferingNewest(1))
    settled = eventLoop.makePromise()
    ended = eventLoop.makePromise()
  }

  /// Begins with all hosts. For work, `port` is the master's on loopback.
  package func start(tunnelTo port: UInt16? = nil) {
    tunnelPort = port
    let afterNs = options.readyWithinNs
    limits.append(
      eventLoop.scheduleTask(in: .nanoseconds(Int64(clamping: afterNs))) {
        self.assumeIsolated { fleet in
          for index in fleet.sessions.indices {
            fleet.handle(.tooLate(afterNs: afterNs), of: index)
          }
        }
      })
    openMore()
    show()
  }

  package nonisolated func prepared() async throws -> Preparation {
    try await settled.futureResult.get()
  }

  /// What the master knows of the hosts' workers. On the loop.
  package nonisolated func noticed(_ notice: MasterMachine.LogEvent) {
    assumeIsolated { $0.heard(notice) }
  }

  private func heard(_ notice: MasterMachine.LogEvent) {
    switch notice {
    case .agentJoined(let name):
      guard let index = sessions.firstIndex(where: { $0.host.name == name.host }) else { return }
      agents[name.agent] = (index, name.cpus.count, [])
    case .workerReady(let worker):
      guard var agent = agents[worker.agent] else { return }
      agent.ready.insert(worker.worker)
      agents[worker.agent] = agent
      guard agent.ready.count == agent.cpuCount else { return }
      handle(.ready(workers: agent.cpuCount), of: agent.index)
    case .agentLeft(let name):
      guard let agent = agents[name.agent] else { return }
      handle(.delivered, of: agent.index)
    default: break
    }
  }

  /// Nobody waits for it to be ready any more.
  package func abandon() { settled.succeed(.abandoned) }

  /// Ends every session, and waits until each has ended.
  package func end() async throws {
    for index in sessions.indices { handle(.dismissed, of: index) }
    try await ended.futureResult.get()
  }

  private func handle(_ event: HostSession.Event, of index: Int) {
    let before = sessions[index].state
    for effect in sessions[index].handle(event) { perform(effect, of: index) }
    let state = sessions[index].state
    guard state != before else { return }
    // What was given up is not waited for; that its ssh still ends is seen to.
    if state != .connecting { openMore() }
    show()
  }

  private func perform(_ effect: HostSession.Effect, of index: Int) {
    switch effect {
    case .write(let text): shells[index]?.write(ByteBuffer(string: text))
    case .writeCargo: shells[index]?.write(cargo.bytes)
    case .closeInput:
      shells[index]?.closeInput()
      signal(index, SIGTERM, after: Self.endingTime)
      signal(index, SIGKILL, after: Self.endingTime + Self.terminationTime)
    case .tell(let line): say(sessions[index].host, line)
    }
  }

  private func signal(_ index: Int, _ number: Int32, after time: TimeAmount) {
    limits.append(
      eventLoop.scheduleTask(in: time) {
        self.assumeIsolated { $0.shells[index]?.signal(number) }
      })
  }

  private func openMore() {
    for index in sessions.indices where sessions[index].state == .waiting {
      guard sessions.count(where: { $0.state == .connecting }) < Self.connectingMax else { return }
      open(index)
    }
  }

  private func open(_ index: Int) {
    handle(.opened, of: index)
    do throws(SystemError) {
      let shell = try RemoteShell(words(for: sessions[index]), on: eventLoop) { event in
        self.assumeIsolated { $0.heard(event, from: index) }
      }
      shells[index] = shell
      shell.watch()
    } catch {
      handle(.said("\(error)"), of: index)
      handle(.ended(code: 255), of: index)
    }
  }

  private func heard(_ event: RemoteShell.Event, from index: Int) {
    switch event {
    case .line(let line): handle(.line(line), of: index)
    case .said(let line): handle(.said(line), of: index)
    case .ended(let code):
      shells[index] = nil
      handle(.ended(code: code), of: index)
      show()
    }
  }

  /// Of an option that stands there twice ssh takes the first, so the user's count.
  private func words(for session: HostSession) -> [String] {
    var words = options.ssh
    words += [
      "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5",
      "-o", "ServerAliveCountMax=3",
      // The port that the host chose for the tunnel is told at this level.
      "-o", "LogLevel=INFO",
      // Through somebody's shared connection the tunnel would outlive this process.
      "-o", "ControlPath=none", "-o", "RemoteCommand=none",
    ]
    if let port = session.host.port { words += ["-p", "\(port)"] }
    if let port = tunnelPort {
      words += ["-R", "127.0.0.1:0:127.0.0.1:\(port)"]
    }
    return words + [
      "--", session.host.destination, RemoteScript.command(for: session.job, cargo: cargo),
    ]
  }

  private func show() {
    var picture = Picture()
    picture.hosts = sessions.map { ($0.host, $0.state, $0.words) }
    showing.yield(picture)
    let wanted = options.readyCountMin ?? sessions.count
    let possible = picture.readyCount + picture.pendingCount
    if possible < wanted {
      settled.succeed(.tooFew(possible: possible, of: sessions.count, wanted: wanted))
    } else if picture.pendingCount == 0 {
      settled.succeed(.ready)
    }
    guard !hasEnded, shells.allSatisfy({ $0 == nil }), sessions.allSatisfy(\.state.isOver) else {
      return
    }
    hasEnded = true
    for limit in limits { limit.cancel() }
    showing.finish()
    ended.succeed()
  }

  /// What each host's job printed, once all have ended.
  package var outputs: [(host: FleetHost, state: HostSession.State, output: String)] {
    sessions.map { ($0.host, $0.state, $0.output) }
  }
}

extension HostFleet.Picture {
  package var pendingCount: Int { hosts.count { $0.state.isPending } }

  package var readyCount: Int {
    hosts.count { if case .ready = $0.state { true } else { false } }
  }
}
