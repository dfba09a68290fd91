internal import NIOConcurrencyHelpers
package import SquallCluster
internal import SquallEngine
internal import SquallLoad
internal import SquallReport

/// What the master tells the person at its terminal, in sentences. Its lines begin with `master: `.
package final class MasterVoice: Sendable {
  private struct State {
    var agents: [UInt64: AgentName] = [:]
    /// When something about strangers was last said, and what was kept silent since.
    var strangerNs: UInt64?
    var silencedCount = 0
  }

  /// Anybody who can reach the port can cause such a line, so there is at most one in this time.
  private static let strangerPauseNs: UInt64 = 1_000_000_000

  private let say: @Sendable (String) -> Void
  private let saysArrivals: Bool
  /// Workers are ready once their host is: their processes begin with a run.
  private let standsBy: Bool
  private let state = NIOLockedValueBox(State())

  /// Without arrivals: somebody else tells of hosts and workers as they come and leave well.
  package init(
    standsBy: Bool = false, saysArrivals: Bool = true, say: @escaping @Sendable (String) -> Void
  ) {
    self.standsBy = standsBy
    self.saysArrivals = saysArrivals
    self.say = { say("master: " + $0) }
  }

  package func told(_ sentence: String) { say(sentence) }

  package func noticed(_ notice: MasterMachine.LogEvent) {
    switch notice {
    case .agentJoined(let name):
      remember(name)
      let workers = Self.count(name.cpus.count, "worker")
      arrived("\(called(name)) joined with \(workers)" + (standsBy ? " and is ready" : ""))
    case .agentReturned(let name):
      remember(name)
      say("\(called(name)) is back")
    case .agentMissing(let name):
      say("\(called(name)) is missing; its share goes to the others as soon as it cannot use it")
    case .agentLeft(let name): arrived("\(called(name)) has delivered everything and left")
    case .agentGone(let name):
      say("\(called(name)) is given up; what it did not deliver is missing from the counts")
    case .agentRefused(let name, let reason): refused(name, reason)
    case .agentFull(let name):
      say("\(called(name)) keeps as many undelivered counts as it may and has stopped its load")
    case .workerReady(let worker): arrived("\(describe(worker)) is ready")
    case .workerStalled(let worker):
      say("\(describe(worker)) does not move; its share goes to the others")
    case .workerDied(let worker, let ending):
      guard ending != .finished else { return }
      say("\(describe(worker)) \(ending.words); its counts are kept and it is replaced")
    case .dealt(_, let workers): say("shares dealt over \(Self.count(workers, "worker"))")
    case .starting(let workers): say("the load starts on \(Self.count(workers, "worker"))")
    case .changed(let change): say(change.sentence)
    case .stopping(let reason): say(Self.describe(reason))
    case .malformed(let name, let malformed):
      say("\(called(name)) sent bytes that are no counts (\(malformed)); its connection was closed")
    }
  }

  private func arrived(_ sentence: String) { if saysArrivals { say(sentence) } }

  private func remember(_ name: AgentName) {
    state.withLockedValue { $0.agents[name.agent] = name }
  }

  /// Its host, and the process where the host has several.
  private func called(_ name: AgentName) -> String {
    let hasNamesake = state.withLockedValue { state in
      state.agents.values.contains { $0.host == name.host && $0.agent != name.agent }
    }
    return WorkerFacts.called(
      name.host, process: name.process > 0 ? name.process : nil, hasNamesake: hasNamesake)
  }

  private func refused(_ name: AgentName, _ reason: Refusal.Reason) {
    let why =
      switch reason {
      case .version: "its \(name.build) speaks another protocol version than \(Build.description)"
      case .token: "its token is not ours"
      case .otherRun: "it takes part in another run"
      case .otherPlan: "its plan differs from ours"
      case .runOver: "the run is over"
      case .full: "there is no room for another host"
      }
    stranger("a worker on \(called(name)) was refused: \(why)")
  }

  package func heard(_ announcement: TCPListener.Announcement) {
    switch announcement {
    case .listening(let address): arrived("waiting for workers at \(address)")
    case .garbage(let address, let why): stranger("a connection from \(address) was closed: \(why)")
    }
  }

  private func stranger(_ sentence: String) {
    let nowNs = monotonicNs()
    let silenced = state.withLockedValue { state -> Int? in
      if let lastNs = state.strangerNs, nowNs - lastNs < Self.strangerPauseNs {
        state.silencedCount += 1
        return nil
      }
      state.strangerNs = nowNs
      defer { state.silencedCount = 0 }
      return state.silencedCount
    }
    guard let silenced else { return }
    say(silenced == 0 ? sentence : "\(sentence) (and \(silenced) more of the kind)")
  }

  private func describe(_ worker: Incarnation) -> String {
    let agent = state.withLockedValue { $0.agents[worker.agent] }
    return worker.described(on: agent.map(called), cpu: agent?.cpus[Int(worker.worker)])
  }

  private static func describe(_ reason: EndReason) -> String {
    switch reason {
    case .duration: "the time is over; collecting what the workers counted"
    case .requestCount: "all requests are sent; collecting what the workers counted"
    case .stopped: "stopped; collecting what the workers counted"
    case .tooFewWorkers: "too few workers came in time"
    }
  }

  private static func count(_ number: Int, _ noun: String) -> String {
    number == 1 ? "1 \(noun)" : "\(number) \(noun)s"
  }
}
