/// What an agent tells its worker. Commands keep their order.
package enum Command: Equatable, Sendable {
  /// The run's time 0 on the monotonic clock both share. Said again until it has come.
  case start(atNs: UInt64)
  /// Take up the share: its connections at once, its schedule from `fromNs` up to but not including
  /// `untilNs` of run time. Send nothing at or after `validUntilNs` of the monotonic clock.
  case share(Share, untilNs: UInt64, validUntilNs: UInt64)
  /// The load changes at an instant of run time, from which a share follows. In the order of time.
  case change(LoadChange)
  /// The share stays valid until then.
  case renew(validUntilNs: UInt64)
  /// Send nothing more, await what is in flight.
  case stop
  /// Await nothing more.
  case cut
}
