/// A piece of an encoded batch, small enough for a datagram.
///
/// ```
/// run u64 · worker varint · life u64 · sequence varint · part varint · partCount varint · bytes
/// ```
/// The run keeps a part that comes late out of the next one. The agent's name is the connection's: an agent can only speak of its own workers.
package struct BatchPart: Equatable, Sendable {
  /// With frame header, name and datagram trailer it stays within 1,200 bytes.
  package static let byteCountMax = 1_120
  /// 4.6 MB of batch, a thousand endpoints with two full histograms each.
  package static let countMax = 4_096

  package var run: UInt64
  package var worker: UInt16
  package var life: UInt64
  package var sequence: UInt32
  package var part: UInt16
  package var partCount: UInt16
  package var bytes: [UInt8]

  package init(
    run: UInt64, worker: UInt16, life: UInt64, sequence: UInt32, part: UInt16, partCount: UInt16,
    bytes: [UInt8]
  ) {
    self.run = run
    self.worker = worker
    self.life = life
    self.sequence = sequence
    self.part = part
    self.partCount = partCount
    self.bytes = bytes
  }
}

/// What the master has of an agent's batches and ledgers.
///
/// ```
/// entries list(entry)
/// entry: worker varint · life u64 · below varint · beyond varint · flags u8 (1 ledger)
///        partials list(sequence varint · bits list(u64))
/// ```
package struct Acknowledgement: Equatable, Sendable {
  /// Keeps the frame within a datagram.
  package static let byteCountMax = 1_100

  package struct Entry: Equatable, Sendable {
    package var worker: UInt16
    package var life: UInt64
    /// Every batch with a lower sequence is durable.
    package var below: UInt32
    /// Bit i: batch `below + 1 + i` is durable too.
    package var beyond: UInt64
    /// The ledger is durable.
    package var hasLedger: Bool
    package var partials: [Partial]

    package init(
      worker: UInt16, life: UInt64, below: UInt32, beyond: UInt64 = 0, hasLedger: Bool = false,
      partials: [Partial] = []
    ) {
      self.worker = worker
      self.life = life
      self.below = below
      self.beyond = beyond
      self.hasLedger = hasLedger
      self.partials = partials
    }
  }

  /// A batch that is here in part, or whole and not yet durable: no need to send these parts again
  /// over this connection.
  package struct Partial: Equatable, Sendable {
    package var sequence: UInt32
    /// Bit i of word w: part 64w + i is here.
    package var bits: [UInt64]

    package init(sequence: UInt32, bits: [UInt64]) {
      self.sequence = sequence
      self.bits = bits
    }
  }

  package var entries: [Entry]

  package init(entries: [Entry]) { self.entries = entries }
}
