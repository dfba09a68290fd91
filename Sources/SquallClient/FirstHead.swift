internal import SquallHTTP
internal import SquallLoad

/// What the head of a worker's first answer says about what comes back: where a redirect leads, and
/// whether bodies are encoded.
struct FirstHead: ReplySink {
  private var location: [UInt8] = []
  private var encoding: [UInt8] = []

  mutating func fields(_ bytes: UnsafeRawBufferPointer) {
    let text = unsafe String(decoding: bytes, as: UTF8.self)
    for line in text.split(whereSeparator: \.isNewline) {
      let parts = line.split(separator: ":", maxSplits: 1)
      guard parts.count == 2 else { continue }
      let value = Array(parts[1].utf8.drop { $0 == UInt8(ascii: " ") })
      switch parts[0].lowercased() {
      case "location": location = value
      case "content-encoding": encoding = value
      default: break
      }
    }
  }

  mutating func body(_ bytes: UnsafeRawBufferPointer) {}

  /// RFC 9110 section 8.4.1: identity is the word for no coding.
  private var isEncoded: Bool {
    !encoding.isEmpty && String(decoding: encoding, as: UTF8.self).lowercased() != "identity"
  }

  /// Looks at the head alone: a body may be long.
  private static func asksForEncoding(_ request: UnsafeRawBufferPointer) -> Bool {
    let headByteCount =
      unsafe request.firstRange(of: "\r\n\r\n".utf8)?.lowerBound ?? request.count
    return unsafe String(decoding: request.prefix(headByteCount), as: UTF8.self).lowercased()
      .contains("\r\naccept-encoding:")
  }

  /// Looks at bytes that begin an answer. False when they end before its head does.
  static func keep(
    of bytes: UnsafeRawBufferPointer, answering request: UnsafeMutableBufferPointer<UInt8>,
    in log: borrowing IntervalLog
  ) -> Bool {
    var head = FirstHead()
    var parser = ResponseParser()
    _ = parser.consume(bytes, into: &head)
    guard parser.status > 0 else { return false }
    if !head.location.isEmpty {
      unsafe head.location.withUnsafeBytes { log.keep(.location, $0) }
    }
    if head.isEncoded, unsafe !asksForEncoding(UnsafeRawBufferPointer(request)) {
      unsafe head.encoding.withUnsafeBytes { log.keep(.unaskedEncoding, $0) }
    }
    return true
  }
}
