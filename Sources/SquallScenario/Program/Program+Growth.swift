extension Program {
  /// Why there can be no more users than were planned; nil when there can. What is a user's own is dealt
  /// by their number: rows, numbers of `sequence`, places of classes with a fixed number.
  package func obstacle(to userCount: UInt64, planned: UInt64) -> String? {
    guard userCount > planned else { return nil }
    if let table = tables.first(where: { $0.pick == .unique && userCount > UInt64($0.rowCount) }) {
      return table.shortage(of: userCount)
    }
    if parts.contains(where: { $0.kind == .sequence }) {
      return "numbers of 'sequence' are dealt for \(planned) users and would come twice: "
        + "begin a run with more users"
    }
    if tables.contains(where: { $0.pick == .sequential || $0.pick == .shuffle }) {
      return "rows are dealt for \(planned) users, so that two would have one: "
        + "begin a run with more users"
    }
    if users.allSatisfy({ $0.fixed != nil }) {
      return "each of its users has a fixed number: give one a weight"
    }
    return nil
  }
}
