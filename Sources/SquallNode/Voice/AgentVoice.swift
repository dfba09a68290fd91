internal import NIOConcurrencyHelpers
internal import SquallCluster

/// What an agent tells the person at its terminal, in sentences. Its lines begin with `worker: `.
package final class AgentVoice: Sendable {
  private let master: MasterAddress
  private let hasToken: Bool
  private let say: @Sendable (String) -> Void
  /// The last reason why the master was not reached, so that a thousand attempts are one line.
  private let lastReason = NIOLockedValueBox<String?>(nil)

  package init(
    master: MasterAddress, hasToken: Bool, say: @escaping @Sendable (String) -> Void
  ) {
    self.master = master
    self.hasToken = hasToken
    self.say = { say("worker: " + $0) }
  }

  package func told(_ sentence: String) { say(sentence) }

  package func announced(_ announcement: AgentHost.Announcement) {
    if let sentence = announcement.sentence {
      say(sentence)
    } else if case .notice(let notice) = announcement {
      noticed(notice)
    }
  }

  private func noticed(_ notice: AgentMachine.LogEvent) {
    switch notice {
    case .joined:
      lastReason.withLockedValue { $0 = nil }
      say("joined the master at \(master)")
    case .masterLost(let why):
      say("the master is lost (\(why)); counts are kept, and it is tried again")
    case .unreachable(let why, _):
      sayOnce(why, "no master yet: \(why); trying again")
    case .refused(let refusal): say(Self.describe(refusal, by: master))
    case .masterUnauthentic:
      sayOnce(
        Self.tokenReason,
        hasToken
          ? "\(master) does not know our token: give both sides the same --token-file; trying again"
          : "\(master) asks for a token and we have none: give --token-file; trying again")
    case .planDamaged: say("the plan arrived damaged and is asked for again")
    case .leaseEnded: say("no word from the master within the lease: the load has stopped")
    case .leaseRenewed: say("the master is back: the load goes on")
    case .keptFull: say("as many undelivered counts are kept as may be: the load has stopped")
    case .keptDrained: say("enough counts are delivered: the load may go on")
    case .workerDied, .workerGivenUp: break
    }
  }

  private static let tokenReason = "token"

  /// Once for the same reason, and for all that follows from a wrong token.
  private func sayOnce(_ reason: String, _ sentence: String) {
    let isNew = lastReason.withLockedValue { last in
      if last == Self.tokenReason && reason.contains("token") { return false }
      defer { last = reason }
      return last != reason
    }
    if isNew { say(sentence) }
  }

  private static func describe(_ refusal: Refusal, by master: MasterAddress) -> String {
    switch refusal.reason {
    case .version:
      "\(master) is \(refusal.build) with protocol version \(refusal.protocolVersion), and this is "
        + "\(Build.description) with version \(Hello.protocolVersion): install the same on both"
    case .token: "\(master) refuses our token: give both sides the same --token-file"
    case .otherRun: "\(master) leads another run than the one we take part in"
    case .otherPlan: "\(master) has another plan for our run: one of the two is damaged"
    case .runOver: "the run at \(master) is over"
    case .full: "\(master) has no room for another host"
    }
  }
}

extension Console {
  /// What an agent in this process has to say.
  @Sendable package static func announce(_ announcement: AgentHost.Announcement) {
    if let sentence = announcement.sentence { say(sentence) }
  }
}

extension AgentHost.Announcement {
  /// What concerns the workers of this host, wherever their master is; nil for the rest.
  var sentence: String? {
    switch self {
    case .workerFailed(let cpu, let cause): "the worker on CPU \(cpu) cannot work: \(cause)"
    case .unresolvable(let cause): cause
    case .addresses(let addresses): addresses.sentence
    case .persisted(let path):
      "what could not be delivered is in \(path): squall report --add puts it into the master's "
        + "record"
    case .notPersisted(let cause): "what could not be delivered is lost: \(cause)"
    case .notice(.workerDied(let slot, let ending)):
      ending == .finished ? nil : "worker \(slot) \(ending.words); its counts are kept"
    case .notice(.workerGivenUp(let slot)):
      "worker \(slot) died too often and is not started again"
    case .notice: nil
    }
  }
}

extension Ledger.Ending {
  var words: String {
    switch self {
    case .finished: "has finished"
    case .exited(let code): "ended with exit code \(code)"
    case .killed(let signal): "was killed by signal \(signal)"
    case .unknown: "died"
    }
  }
}
