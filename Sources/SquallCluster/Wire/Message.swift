/// Everything that master and agent say to each other.
///
/// Each may be lost, repeated, reordered and late: `Report` and `Order` carry whole states, so that
/// the newest one makes up for every earlier one; everything else is asked for, or sent again, until
/// it is answered.
package enum Message: Equatable, Sendable {
  // From the agent.
  case hello(Hello)
  case proof(Proof)
  case planRequest(PlanRequest)
  case report(Report)
  case batchPart(BatchPart)
  case ledger(Ledger, run: UInt64)
  case goodbye(Goodbye)
  // From the master.
  case challenge(Challenge)
  case refusal(Refusal)
  case welcome(Welcome)
  case planChunk(PlanChunk)
  case order(Order)
  case acknowledgement(Acknowledgement)
  case farewell(Farewell)

  /// May travel in a datagram: it fits one, and losing it costs only time.
  package var fitsDatagram: Bool {
    switch self {
    case .batchPart, .ledger, .acknowledgement: true
    default: false
    }
  }
}
