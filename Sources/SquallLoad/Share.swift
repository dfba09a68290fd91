/// The part of the plan's load one worker has now.
///
/// The master deals one share to each worker that can work. Shares of one epoch partition the plan:
/// their connections add up to the plan's, their quotas to what is left of its requests, and their
/// positions 0 ..< `workerCount` each occur once. Worker `position` sends exactly the schedule's
/// indices k with k mod `workerCount` = `position`, so the union of the shares' schedules is the
/// plan's schedule.
public struct Share: Equatable, Sendable {
  /// Rises with each redistribution; a worker never goes back to an older one.
  public var epoch: UInt32
  public var position: UInt32
  public var workerCount: UInt32
  public var connections: UInt32
  /// Requests this worker may still send under this epoch; `UInt64.max` when the plan has no `-n`.
  public var requestQuota: UInt64
  /// Nanoseconds since the run's start from which the share holds. Schedule indices due earlier
  /// belong to an earlier epoch.
  public var fromNs: UInt64

  public init(
    epoch: UInt32, position: UInt32, workerCount: UInt32, connections: UInt32,
    requestQuota: UInt64 = .max, fromNs: UInt64 = 0
  ) {
    self.epoch = epoch
    self.position = position
    self.workerCount = workerCount
    self.connections = connections
    self.requestQuota = requestQuota
    self.fromNs = fromNs
  }

  /// No load at all, from `fromNs` on: what a worker holds that stands by.
  public static func idle(epoch: UInt32, fromNs: UInt64 = 0) -> Share {
    Share(
      epoch: epoch, position: 0, workerCount: 1, connections: 0, requestQuota: 0, fromNs: fromNs)
  }

  /// Users of a worker with this share and with the other have the same numbers, as far as they go.
  package func numbersUsers(like other: Share) -> Bool {
    position == other.position && workerCount == other.workerCount
  }

  /// Nothing may be sent under it. What it has of the schedule is dropped as it falls due.
  public var isIdle: Bool { connections == 0 }

  /// The part of `total` that falls to `position` of `count`: the remainder goes to the first ones,
  /// one each, so that the parts always add up to `total`.
  public static func part(of total: UInt64, position: UInt32, count: UInt32) -> UInt64 {
    total / UInt64(count) + (UInt64(position) < total % UInt64(count) ? 1 : 0)
  }
}
