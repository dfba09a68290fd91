package import SquallLoad

/// Commands travel over the socket pair between an agent and its worker: 64 bytes each, little-endian,
/// kind u64 first. The end of the stream is the agent's end, and so the worker's.
extension Command {
  package static let byteCount = 64

  package var bytes: [UInt8] {
    var writer = PlainWriter()
    switch self {
    case .start(let atNs):
      writer.write(UInt64(1))
      writer.write(atNs)
    case .share(let share, let untilNs, let validUntilNs):
      writer.write(UInt64(2))
      writer.write(share.epoch)
      writer.write(share.position)
      writer.write(share.workerCount)
      writer.write(share.connections)
      writer.write(share.requestQuota)
      writer.write(share.fromNs)
      writer.write(untilNs)
      writer.write(validUntilNs)
    case .renew(let validUntilNs):
      writer.write(UInt64(3))
      writer.write(validUntilNs)
    case .stop: writer.write(UInt64(4))
    case .cut: writer.write(UInt64(5))
    case .change(let change):
      writer.write(UInt64(6))
      change.write(to: &writer)
    }
    return writer.bytes + Array(repeating: 0, count: Self.byteCount - writer.bytes.count)
  }

  package init?(bytes: [UInt8]) {
    var reader = PlainReader(bytes)
    switch reader.uint64() {
    case 1:
      guard let atNs = reader.uint64() else { return nil }
      self = .start(atNs: atNs)
    case 2:
      guard let epoch = reader.uint32(), let position = reader.uint32(),
        let workerCount = reader.uint32(), let connections = reader.uint32(),
        let requestQuota = reader.uint64(), let fromNs = reader.uint64(),
        let untilNs = reader.uint64(), let validUntilNs = reader.uint64()
      else { return nil }
      self = .share(
        Share(
          epoch: epoch, position: position, workerCount: workerCount, connections: connections,
          requestQuota: requestQuota, fromNs: fromNs), untilNs: untilNs,
        validUntilNs: validUntilNs)
    case 3:
      guard let validUntilNs = reader.uint64() else { return nil }
      self = .renew(validUntilNs: validUntilNs)
    case 4: self = .stop
    case 5: self = .cut
    case 6:
      guard let change: LoadChange = reader.value() else { return nil }
      self = .change(change)
    default: return nil
    }
  }
}

/// What a worker tells its agent: 24 bytes each, three little-endian words. What it counted stands in
/// the shared pages.
package enum Notice: Equatable, Sendable {
  /// The ring is set up; shares may come.
  case ready
  /// A page was closed.
  case page
  /// The share of this epoch was taken up; so many requests were sent in this life before it.
  case adopted(epoch: UInt32, sentBefore: UInt64)
  /// Every request that the share of this epoch allows was sent and has ended.
  case exhausted(epoch: UInt32)
  /// The drain is over and the last page is closed.
  case finished
  /// It cannot work; why stands in the region's message.
  case failed

  package static let byteCount = 24

  package var words: (UInt64, UInt64, UInt64) {
    switch self {
    case .ready: (1, 0, 0)
    case .page: (2, 0, 0)
    case .adopted(let epoch, let sentBefore): (3, UInt64(epoch), sentBefore)
    case .exhausted(let epoch): (4, UInt64(epoch), 0)
    case .finished: (5, 0, 0)
    case .failed: (6, 0, 0)
    }
  }

  package init?(bytes: [UInt8]) {
    var reader = PlainReader(bytes)
    guard let kind = reader.uint64(), let first = reader.uint64(), let second = reader.uint64()
    else { return nil }
    switch kind {
    case 1: self = .ready
    case 2: self = .page
    case 3: self = .adopted(epoch: UInt32(truncatingIfNeeded: first), sentBefore: second)
    case 4: self = .exhausted(epoch: UInt32(truncatingIfNeeded: first))
    case 5: self = .finished
    case 6: self = .failed
    default: return nil
    }
  }
}
