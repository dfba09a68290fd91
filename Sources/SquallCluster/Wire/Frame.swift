package import SquallLoad

/// One message in bytes.
///
/// ```
///  0      2        3      4          8               12          16
///  ┌──────┬────────┬──────┬──────────┬───────────────┬───────────┬──────────────────┐
///  │ "SQ" │version │ kind │ sequence │ bodyByteCount │ checksum  │ body …           │
///  │ u16  │ u8     │ u8   │ u32      │ u32           │ u32       │                  │
///  └──────┴────────┴──────┴──────────┴───────────────┴───────────┴──────────────────┘
/// ```
/// Little-endian. `sequence` counts the sender's frames on this carrier, from 1, wrapping. `checksum`
/// is the CRC-32C of the first twelve bytes and the body. Frames that may travel as datagrams have at
/// most `datagramByteCountMax` bytes, trailer included.
package struct Frame: Equatable, Sendable {
  package static let headerByteCount = 16
  package static let magic: UInt16 = 0x5153  // "SQ", as little-endian bytes
  /// Of header and bodies. Hello and refusal keep their first fields and pass in any version, so that
  /// two versions can tell each other which they are.
  package static let version: UInt8 = 1
  package static let bodyByteCountMax: UInt32 = 64 << 10
  /// What a peer may send before it is authenticated.
  package static let strangerBodyByteCountMax: UInt32 = 4 << 10
  package static let datagramByteCountMax = 1_200

  package var kind: UInt8
  package var sequence: UInt32
  package var body: [UInt8]

  package init(kind: UInt8, sequence: UInt32, body: [UInt8]) {
    self.kind = kind
    self.sequence = sequence
    self.body = body
  }

  package init(_ message: Message, sequence: UInt32) {
    self.init(kind: message.kind.rawValue, sequence: sequence, body: message.body)
    precondition(body.count <= Self.bodyByteCountMax, "a body of \(body.count) bytes")
  }

  package var bytes: [UInt8] {
    var writer = ByteWriter(capacity: Self.headerByteCount + body.count)
    writer.append(Self.magic)
    writer.append(Self.version)
    writer.append(kind)
    writer.append(sequence)
    writer.append(UInt32(body.count))
    let head = Checksum.crc32c(writer.bytes, 0..<12)
    writer.append(Checksum.crc32c(body, 0..<body.count, after: head))
    writer.raw(body)
    return writer.bytes
  }

  package var message: Message {
    get throws(Malformed) { try Message(kind: kind, body: body) }
  }
}

/// The sixteen bytes before a body, checked as far as they go without it.
struct FrameHeader {
  var kind: UInt8
  var sequence: UInt32
  var bodyByteCount: Int
  var checksum: UInt32

  /// Nil until all sixteen are there.
  init?(_ bytes: [UInt8], at start: Int, bodyByteCountMax: UInt32) throws(Malformed) {
    guard bytes.count - start >= Frame.headerByteCount else { return nil }
    func number(_ offset: Int, _ byteCount: Int) -> UInt32 {
      (0..<byteCount).reduce(0) { $0 | UInt32(bytes[start + offset + $1]) << UInt32(8 * $1) }
    }
    guard number(0, 2) == Frame.magic else { throw .magic }
    kind = bytes[start + 3]
    let version = bytes[start + 2]
    let isForAll = kind == Message.Kind.hello.rawValue || kind == Message.Kind.refusal.rawValue
    guard version == Frame.version || isForAll else { throw .version(version) }
    sequence = number(4, 4)
    let byteCount = number(8, 4)
    guard byteCount <= bodyByteCountMax else { throw .bodyByteCount(byteCount) }
    bodyByteCount = Int(byteCount)
    checksum = number(12, 4)
  }

  /// The body, when it is there whole and the checksum says it is what was sent.
  func body(of bytes: [UInt8], at start: Int, faults: Faults) throws(Malformed) -> [UInt8]? {
    let from = start + Frame.headerByteCount
    guard bytes.count - from >= bodyByteCount else { return nil }
    let head = Checksum.crc32c(bytes, start..<start + 12)
    let found = Checksum.crc32c(bytes, from..<from + bodyByteCount, after: head)
    guard found == checksum || faults.ignoresChecksums else { throw .checksum }
    return Array(bytes[from..<from + bodyByteCount])
  }
}

/// Frames out of a stream of bytes, however it is cut into pieces.
///
/// Holds at most one frame and the piece that came last. After it has thrown, the stream is lost:
/// nothing tells where the next frame begins. Close the connection.
package struct FrameReader: Sendable {
  /// Raise it once the peer is authenticated.
  package var bodyByteCountMax: UInt32
  package var faults = Faults()

  private var buffer: [UInt8] = []
  private var start = 0

  package init(bodyByteCountMax: UInt32 = Frame.strangerBodyByteCountMax) {
    self.bodyByteCountMax = bodyByteCountMax
  }

  package mutating func append(_ bytes: some Sequence<UInt8>) {
    if start > 0 {
      buffer.removeFirst(start)
      start = 0
    }
    buffer.append(contentsOf: bytes)
  }

  /// Bytes that wait for the rest of their frame.
  package var byteCount: Int { buffer.count - start }

  /// The next whole frame; nil until more bytes come.
  package mutating func next() throws(Malformed) -> Frame? {
    guard
      let header = try FrameHeader(buffer, at: start, bodyByteCountMax: bodyByteCountMax),
      let body = try header.body(of: buffer, at: start, faults: faults)
    else { return nil }
    start += Frame.headerByteCount + body.count
    if start == buffer.count {
      buffer.removeAll(keepingCapacity: true)
      start = 0
    }
    return Frame(kind: header.kind, sequence: header.sequence, body: body)
  }
}

/// A frame alone in a datagram, with the session it belongs to and a MAC.
///
/// ```
///  ┌───────────────────────┬─────────────┬─────────────────────────────────────────────┐
///  │ frame (≤ 1,176 bytes) │ session u64 │ mac: first 16 bytes of HMAC-SHA-256 over    │
///  │                       │             │ all before it, key from the handshake       │
///  └───────────────────────┴─────────────┴─────────────────────────────────────────────┘
/// ```
/// Without a token the MAC is zeros, and the session's 64 random bits are all that keeps strangers out.
/// The carrier checks the MAC, then `ReplayWindow`, and only then reads the frame.
package struct Datagram: Equatable, Sendable {
  package static let macByteCount = 16
  package static let trailerByteCount = 8 + macByteCount

  package var frame: [UInt8]
  package var session: UInt64
  package var mac: [UInt8]

  /// `authenticate` gives at least sixteen bytes, or is nil without a token.
  package init(frame: Frame, session: UInt64, authenticate: (([UInt8]) -> [UInt8])?) {
    self.frame = frame.bytes
    self.session = session
    mac = Array(repeating: 0, count: Self.macByteCount)
    if let authenticate { mac = Array(authenticate(signedBytes).prefix(Self.macByteCount)) }
    precondition(
      self.frame.count + Self.trailerByteCount <= Frame.datagramByteCountMax,
      "a frame of \(self.frame.count) bytes in a datagram")
  }

  package init(_ bytes: [UInt8]) throws(Malformed) {
    let byteCount = bytes.count - Self.trailerByteCount
    guard byteCount >= Frame.headerByteCount, bytes.count <= Frame.datagramByteCountMax else {
      throw .truncated
    }
    frame = Array(bytes[..<byteCount])
    var reader = ByteReader(Array(bytes[byteCount...]))
    session = try reader.u64()
    mac = reader.rest()
  }

  /// What the MAC is over.
  package var signedBytes: [UInt8] {
    var writer = ByteWriter(capacity: frame.count + 8)
    writer.raw(frame)
    writer.append(session)
    return writer.bytes
  }

  package var bytes: [UInt8] { signedBytes + mac }

  /// The frame, which must fill its place exactly. Ask only once the MAC is known to be right.
  package func open(faults: Faults = Faults()) throws(Malformed) -> Frame {
    let limit = UInt32(Frame.datagramByteCountMax)
    guard let header = try FrameHeader(frame, at: 0, bodyByteCountMax: limit) else {
      throw .truncated
    }
    let byteCount = Frame.headerByteCount + header.bodyByteCount
    guard byteCount == frame.count else { throw byteCount > frame.count ? .truncated : .trailing }
    guard let body = try header.body(of: frame, at: 0, faults: faults) else { throw .truncated }
    return Frame(kind: header.kind, sequence: header.sequence, body: body)
  }
}
