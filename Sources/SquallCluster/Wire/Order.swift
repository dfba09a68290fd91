package import SquallLoad

/// The master's heartbeat: all that this agent is to do now. It answers each report, and goes out at
/// once when something changes. An agent is in one run at a time: it hears of the next when it has
/// reported that it is in none.
///
/// ```
/// number u32 · echo (present u8 · reportNumber u32 · reportSentNs u64 · reportReceivedNs u64)
/// sentNs u64 · isLast u8 · run u64, and when that is not 0:
/// planHash list(u8) · planByteCount u32 · leaseNs varint · phase u8
/// start (present u8 · startNs u64) · epoch u32 · changes list(change)
/// assignments list(slot varint · life u64 · share · untilNs varint)
/// change: flags u8 (1 rate, 2 connections, 4 users, 8 spawn rate) · atNs varint, then those there are:
///   rateHz f64 · connections varint · users varint · spawnHz f64
/// share: position, workerCount, connections, requestQuota, fromNs as varints
/// ```
package struct Order: Equatable, Sendable {
  /// The newest report the master has had, for the lease and for the clocks' offset.
  package struct Echo: Equatable, Sendable {
    package var reportNumber: UInt32
    /// Agent's clock.
    package var reportSentNs: UInt64
    /// Master's clock.
    package var reportReceivedNs: UInt64

    package init(reportNumber: UInt32, reportSentNs: UInt64, reportReceivedNs: UInt64) {
      self.reportNumber = reportNumber
      self.reportSentNs = reportSentNs
      self.reportReceivedNs = reportReceivedNs
    }
  }

  package enum Phase: UInt8, Sendable {
    /// Start the worker processes and take up shares; the start instant follows.
    case prepare = 0
    case run
    /// Stop sending, drain, deliver everything.
    case stop
    /// The run is over and all this agent counted is durable. Leave the run.
    case end
    /// The run is over without some of what this agent counted. Write that down and leave the run.
    case abandon
  }

  /// A worker's share, and until when (nanoseconds of run time) it holds: `UInt64.max` while no
  /// redistribution is in sight.
  package struct Assignment: Equatable, Sendable {
    package var slot: UInt16
    package var life: UInt64
    package var share: Share
    package var untilNs: UInt64

    package init(slot: UInt16, life: UInt64, share: Share, untilNs: UInt64 = .max) {
      self.slot = slot
      self.life = life
      self.share = share
      self.untilNs = untilNs
    }
  }

  /// From 1, rising within a connection. Only the newest counts.
  package var number: UInt32
  package var echo: Echo?
  /// The master's clock when it made this.
  package var sentNs: UInt64
  /// No other run follows: an agent that is in none goes.
  package var isLast: Bool
  /// The run that all below is about; 0 for none: stand by.
  package var run: UInt64 = 0
  /// SHA-256 of its plan; empty of a run that is over.
  package var planHash: [UInt8] = []
  package var planByteCount: UInt32 = 0
  /// How long the assignments hold after the echoed report was made, by the agent's clock.
  package var leaseNs: UInt64 = 0
  package var phase = Phase.prepare
  /// The run's start instant on the master's clock, once it is fixed.
  package var startNs: UInt64?
  /// Of all assignments below. A worker that is not among them has no share.
  package var epoch: UInt32 = 0
  /// All changes of the load that the assignments are of, in the order of time.
  package var changes: [LoadChange] = []
  package var assignments: [Assignment] = []

  package init(number: UInt32, echo: Echo?, sentNs: UInt64, isLast: Bool) {
    self.number = number
    self.echo = echo
    self.sentNs = sentNs
    self.isLast = isLast
  }

  /// The run it is about has ended.
  var isOver: Bool { phase == .end || phase == .abandon }
}
