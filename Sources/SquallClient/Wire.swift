internal import SquallLoad

/// How the bytes of connections travel: as they are, or sealed. One value for all connections of a
/// worker, told apart by their rows.
protocol Wire: ~Copyable {
  /// Bytes are sealed anew for each sending, and a handshake comes before the first.
  static var seals: Bool { get }

  /// A handshake comes before the first bytes of the row.
  func secures(_ row: Int) -> Bool
  /// The connection of `row` is there. The first step of the handshake is due.
  mutating func opened(_ row: Int)
  mutating func closed(_ row: Int)

  /// One step of a handshake, which may take 0.2 ms.
  mutating func step(_ row: Int) -> Arrival
  /// Reads what came up to the next event and takes off what was read. Opens in place.
  mutating func take(_ row: Int, _ bytes: inout UnsafeMutableRawBufferPointer) -> Arrival

  /// The most bytes that `byteCount` become.
  func sealedByteCountMax(_ byteCount: Int) -> Int
  /// Seals behind whatever else was to be sent. Returns how many bytes are to be sent; 0 when the
  /// connection has failed.
  mutating func seal(
    _ row: Int, _ bytes: UnsafeRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer
  ) -> Int
  /// What the wire itself has to say, valid until it was taken or something else came.
  func output(_ row: Int) -> UnsafeRawBufferPointer
  mutating func outputTaken(_ row: Int)

  /// What was agreed on is what will be spoken: HTTP/2, or anything else.
  func speaks(_ row: Int, asHTTP2: Bool) -> Bool
  /// The peer said that it would send no more.
  func wasAnnounced(_ row: Int) -> Bool
  /// More than this of its own output is sent before any request is sealed.
  static var outputByteCountMax: Int { get }
  /// Counts a handshake that was done.
  func noteSecured(_ row: Int, in log: IntervalLog)
  /// Counts what broke the connection; `otherwise` when the wire itself has not failed.
  func noteFailure(_ row: Int, otherwise: TLSFailure, in log: IntervalLog)
  /// A turn of the loop has ended: the ring has read what it was told in the one before.
  mutating func turned()
}

/// What came of bytes on a wire.
@safe enum Arrival {
  case needsMore
  case bytes(UnsafeRawBufferPointer)
  /// A step of the handshake is due.
  case stepIsDue
  /// The handshake is done.
  case secured
  /// The peer sends no more.
  case closed
  case failed
}

extension Wire where Self: ~Copyable {
  @inline(__always)
  func secures(_ row: Int) -> Bool { Self.seals }
}

/// Bytes as they are.
struct PlainWire: Wire, ~Copyable {
  static var seals: Bool { false }

  func opened(_ row: Int) {}
  func closed(_ row: Int) {}
  func step(_ row: Int) -> Arrival { .secured }

  @inline(__always)
  func take(_ row: Int, _ bytes: inout UnsafeMutableRawBufferPointer) -> Arrival {
    guard bytes.count > 0 else { return .needsMore }
    let all = UnsafeRawBufferPointer(bytes)
    unsafe bytes = UnsafeMutableRawBufferPointer(rebasing: bytes[bytes.count...])
    return unsafe .bytes(all)
  }

  func sealedByteCountMax(_ byteCount: Int) -> Int { byteCount }

  func seal(
    _ row: Int, _ bytes: UnsafeRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer
  ) -> Int { bytes.count }

  func output(_ row: Int) -> UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: nil, count: 0)
  }
  func outputTaken(_ row: Int) {}
  func speaks(_ row: Int, asHTTP2: Bool) -> Bool { true }
  func wasAnnounced(_ row: Int) -> Bool { true }
  static var outputByteCountMax: Int { 0 }
  func noteSecured(_ row: Int, in log: IntervalLog) {}
  func noteFailure(_ row: Int, otherwise: TLSFailure, in log: IntervalLog) {}
  func turned() {}
}
