import NIOCore
import NIOHPACK
import SquallHTTP

/// Frames as bytes, right or wrong.
enum H2Wire {
  static let endStream: UInt8 = 0x1
  static let ack: UInt8 = 0x1
  static let endHeaders: UInt8 = 0x4
  static let padded: UInt8 = 0x8
  static let priority: UInt8 = 0x20

  static func frame(
    _ kind: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []
  ) -> [UInt8] {
    Array(bigEndian(UInt32(payload.count)).dropFirst()) + [kind, flags] + bigEndian(stream)
      + payload
  }

  static func bigEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
  }

  static func data(_ stream: UInt32, _ body: [UInt8], ends: Bool = true) -> [UInt8] {
    frame(0, flags: ends ? endStream : 0, stream: stream, body)
  }

  static func data(_ stream: UInt32, _ body: String, ends: Bool = true) -> [UInt8] {
    data(stream, Array(body.utf8), ends: ends)
  }

  static func head(_ stream: UInt32, _ block: [UInt8], ends: Bool = false) -> [UInt8] {
    frame(1, flags: endHeaders | (ends ? endStream : 0), stream: stream, block)
  }

  /// The head spelled out, without any table.
  static func head(
    _ stream: UInt32, _ fields: KeyValuePairs<String, String>, ends: Bool = false
  ) -> [UInt8] {
    head(stream, block(fields), ends: ends)
  }

  static func reset(_ stream: UInt32, _ code: H2ErrorCode) -> [UInt8] {
    frame(3, stream: stream, bigEndian(code.rawValue))
  }

  static func settings(_ values: KeyValuePairs<UInt16, UInt32> = [:]) -> [UInt8] {
    frame(4, values.flatMap { bigEndian($0.key) + bigEndian($0.value) })
  }

  static let settingsAck = frame(4, flags: ack)

  static func ping(_ payload: UInt64, flags: UInt8 = 0) -> [UInt8] {
    frame(6, flags: flags, bigEndian(payload))
  }

  static func goAway(_ last: UInt32, _ code: H2ErrorCode = .noError, debug: [UInt8] = [])
    -> [UInt8]
  {
    frame(7, bigEndian(last) + bigEndian(code.rawValue) + debug)
  }

  static func windowUpdate(_ stream: UInt32, _ increment: UInt32) -> [UInt8] {
    frame(8, stream: stream, bigEndian(increment))
  }

  /// Literals without indexing, names spelled out, no Huffman code.
  static func block(_ fields: KeyValuePairs<String, String>) -> [UInt8] {
    fields.flatMap { name, value in [0] + string(name) + string(value) }
  }

  /// A literal to be added to the table.
  static func added(_ name: String, _ value: String) -> [UInt8] {
    [0x40] + string(name) + string(value)
  }

  static func string(_ text: String) -> [UInt8] {
    integer(text.utf8.count, prefixBitCount: 7, pattern: 0) + Array(text.utf8)
  }

  static func integer(_ number: Int, prefixBitCount: Int, pattern: UInt8) -> [UInt8] {
    let prefixMax = 1 << prefixBitCount - 1
    guard number >= prefixMax else { return [pattern | UInt8(number)] }
    var bytes = [pattern | UInt8(prefixMax)]
    var rest = number - prefixMax
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7F | 0x80))
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }

  /// What a connection of ours begins with.
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
}

/// A frame that we sent.
struct H2SentFrame: Equatable {
  let kind: UInt8
  let flags: UInt8
  let stream: UInt32
  let payload: [UInt8]

  var endsStream: Bool { kind < 2 && flags & H2Wire.endStream != 0 }
  var word: UInt32 { payload.prefix(4).reduce(0) { $0 << 8 | UInt32($1) } }

  /// All frames in `bytes`, behind the preface if it is there; nil when they end within one.
  static func all(in bytes: [UInt8]) -> [H2SentFrame]? {
    var rest = bytes[...]
    if rest.starts(with: H2Wire.preface) { rest = rest.dropFirst(H2Wire.preface.count) }
    var frames: [H2SentFrame] = []
    while !rest.isEmpty {
      guard rest.count >= 9 else { return nil }
      let header = Array(rest.prefix(9))
      let count = header.prefix(3).reduce(0) { $0 << 8 | Int($1) }
      rest = rest.dropFirst(9)
      guard rest.count >= count else { return nil }
      frames.append(
        H2SentFrame(
          kind: header[3], flags: header[4],
          stream: header[5...].reduce(0) { $0 << 8 | UInt32($1) },
          payload: Array(rest.prefix(count))
        ))
      rest = rest.dropFirst(count)
    }
    return frames
  }
}

/// HPACK of swift-nio-http2, as the other side of a connection.
struct H2Oracle {
  var encoder = HPACKEncoder(allocator: ByteBufferAllocator())
  var decoder = HPACKDecoder(
    allocator: ByteBufferAllocator(), maxDynamicTableSize: HPACKDecoder.maxDynamicTableSize,
    maxHeaderListSize: .max)

  mutating func encode(_ fields: [(String, String)], isAdded: Bool = true) -> [UInt8] {
    var headers = HPACKHeaders()
    for (name, value) in fields {
      headers.add(name: name, value: value, indexing: isAdded ? .indexable : .nonIndexable)
    }
    var buffer = ByteBuffer()
    do {
      try encoder.encode(headers: headers, to: &buffer)
    } catch {
      preconditionFailure("the oracle cannot encode: \(error)")
    }
    return Array(buffer.readableBytesView)
  }

  /// Nil when it is not HPACK.
  mutating func decode(_ block: [UInt8]) -> [String]? {
    var buffer = ByteBuffer(bytes: block)
    do {
      return try decoder.decodeHeaders(from: &buffer).map { "\($0.name): \($0.value)" }
    } catch {
      return nil
    }
  }
}
