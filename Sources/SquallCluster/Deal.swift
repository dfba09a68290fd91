package import SquallLoad

/// Who holds which part of the plan, of one epoch. In the record before anyone hears of it.
///
/// Shares change hands in two steps. A *yield* takes away: each holder gets the smaller of what it has
/// and what it is to have, keeps its place in the schedule up to a common instant `untilNs`, and stops
/// counting against its request quota. When every holder has taken that up, or can no longer act, a
/// *grant* gives. So at no instant is more held than the plan has.
package struct Deal: Equatable, Sendable {
  package enum Kind: UInt8, Sendable {
    case grant = 0
    case yield
  }

  package struct Holding: Equatable, Sendable {
    package var incarnation: Incarnation
    package var share: Share
    /// Requests this incarnation may have sent in its life by the end of this share, at most.
    package var reserved: UInt64

    package init(incarnation: Incarnation, share: Share, reserved: UInt64) {
      self.incarnation = incarnation
      self.share = share
      self.reserved = reserved
    }
  }

  package var epoch: UInt32
  package var kind: Kind
  /// Nanoseconds of run time up to which schedules hold; `UInt64.max` for a grant.
  package var untilNs: UInt64
  /// By agent, then worker, then life.
  package var holdings: [Holding]
  /// All changes of the load that the shares are of, in the order of time.
  package var changes: [LoadChange] = []
  /// What a yield is made for; the grant after it has it among its changes, with its instant.
  package var asked: LoadChange?

  package init(epoch: UInt32, kind: Kind, untilNs: UInt64 = .max, holdings: [Holding] = []) {
    self.epoch = epoch
    self.kind = kind
    self.untilNs = untilNs
    self.holdings = holdings
  }

  /// The plan dealt over `workers` in their order: positions 0 ..< n, each once; connections and what
  /// is left of the requests add up. No more workers take part than there are connections. The rest
  /// stands by with idle shares.
  package static func shares(
    of plan: Plan, over workers: Int, requestsLeft: UInt64, epoch: UInt32, fromNs: UInt64
  ) -> [Share] {
    let taking = UInt32(min(workers, Int(plan.openCount)))
    return (0..<UInt32(workers)).map { position in
      guard position < taking else { return .idle(epoch: epoch) }
      return Share(
        epoch: epoch, position: position, workerCount: taking,
        connections: UInt32(
          Share.part(of: UInt64(plan.connectionCount), position: position, count: taking)),
        requestQuota: plan.requestCount == .max
          ? .max : Share.part(of: requestsLeft, position: position, count: taking),
        fromNs: fromNs)
    }
  }
}

extension Incarnation {
  /// One order of all workers that depends on nothing but their names.
  package func precedes(_ other: Incarnation) -> Bool {
    (agent, UInt64(worker), life) < (other.agent, UInt64(other.worker), other.life)
  }
}
