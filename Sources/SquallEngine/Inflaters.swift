internal import CSquall
internal import Glibc

/// States of compressed streams (RFC 1950, 1951, 1952) that are being read: made when first needed, used
/// again, at most `countMax`. A stream has one from its first byte to its end.
@safe package struct Inflaters: ~Copyable {
  /// Streams being read at a time: about 40 MiB.
  package static let countMax = 1_024
  /// Of one stream, inflated: a bomb of a few bytes must not stop the loop.
  package static let byteCountMax: UInt64 = 1 << 20
  private static let pieceByteCount = 16_384

  @safe package enum Step {
    /// Valid until the next call.
    case bytes(UnsafeRawBufferPointer)
    case needsMore
    case damaged
    case tooLarge
    case noMemory
  }

  private let states: Rows<OpaquePointer?>
  private let byteCounts: Rows<UInt64>
  private let free: Rows<Int32>
  private let piece: UnsafeMutableRawPointer
  private var freeCount = 0
  private var madeCount = 0

  package init() {
    unsafe states = unsafe Rows(count: Self.countMax) { nil }
    byteCounts = Rows(count: Self.countMax) { 0 }
    free = Rows(count: Self.countMax) { 0 }
    unsafe piece = .allocate(byteCount: Self.pieceByteCount, alignment: 64)
  }

  deinit {
    for index in 0..<madeCount {
      if let state = unsafe states[index] { unsafe squall_inflater_destroy(state) }
    }
    unsafe piece.deallocate()
  }

  /// One for a stream that begins with this byte. Nil when all are taken, or without memory.
  package mutating func take(isGzip: Bool, first: UInt8) -> Int? {
    var index = madeCount
    if freeCount > 0 {
      freeCount -= 1
      index = Int(free[freeCount])
    } else {
      guard madeCount < Self.countMax, let made = unsafe squall_inflater_create() else {
        return nil
      }
      unsafe states[index] = made
      madeCount += 1
    }
    unsafe squall_inflater_begin(states[index], isGzip ? 1 : 0, first)
    byteCounts[index] = 0
    return index
  }

  package mutating func giveBack(_ index: Int) {
    free[freeCount] = Int32(truncatingIfNeeded: index)
    freeCount += 1
  }

  /// The stream is complete.
  package func hasEnded(_ index: Int) -> Bool {
    unsafe squall_inflater_has_ended(states[index]) != 0
  }

  /// Inflates the next piece and takes off what was read.
  package func next(_ index: Int, _ bytes: inout UnsafeRawBufferPointer) -> Step {
    var start = bytes.baseAddress
    var left = UInt64(bytes.count)
    let count = unsafe squall_inflate(
      states[index], &start, &left, piece, UInt32(Self.pieceByteCount))
    unsafe bytes = UnsafeRawBufferPointer(rebasing: bytes[(bytes.count - Int(left))...])
    switch count {
    case 0: return .needsMore
    case -Int64(ENOMEM): return .noMemory
    case ..<0: return .damaged
    default:
      byteCounts[index] += UInt64(count)
      guard byteCounts[index] <= Self.byteCountMax else { return .tooLarge }
      return unsafe .bytes(UnsafeRawBufferPointer(start: piece, count: Int(count)))
    }
  }
}
