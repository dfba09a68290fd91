/// Everything of a message after its start line: the fields, which decide where the body ends, and
/// the body itself (RFC 9112 5 to 7). Both parsers are a start line and one of these.
///
/// It remembers where it is and what it has learnt, never a byte, so a message may come in any
/// pieces. In `state`'s terms:
///
/// ```
/// lineStart ─▶ name ─▶ text | length… | member… ─▶ lineEnd ─▶ lineStart
///     └CR─▶ sectionEnd ─▶ (the parser chooses) ─▶ counted | untilClose
///                                             └─▶ chunkSize ─▶ … ─▶ chunkData ─▶ … ─▶ chunkSize
///                                                     └size 0─▶ lineStart, for the trailers
/// ```
struct Framing: BitwiseCopyable, Sendable {
  /// Of a head, start line included.
  static let headByteCountMax: UInt32 = 64 << 10
  static let trailerByteCountMax: UInt32 = 16 << 10
  static let fieldCountMax: UInt16 = 256
  /// Of one chunk size line, extensions and CR LF included.
  static let chunkLineByteCountMax: UInt32 = 4 << 10
  /// Of all chunk extensions of one body.
  static let extensionByteCountMax: UInt16 = 16 << 10
  static let chunkSizeDigitCountMax: UInt32 = 16

  /// Digits of a status code or Content-Length being read; then the bytes of the body or chunk that
  /// are still to come.
  var number: UInt64 = 0
  private(set) var contentLength: UInt64 = Self.noContentLength
  /// What the head, the chunk line or the trailers, whichever is being read, may still take.
  var sectionBytesLeft: UInt32 = Self.headByteCountMax
  private var extensionBytesLeft: UInt16 = Self.extensionByteCountMax
  private var fieldsLeft: UInt16 = Self.fieldCountMax
  private var match = WordMatch.none
  private var state = State.lineStart
  private var field = Field.none
  private(set) var facts: Facts = []

  private static let noContentLength = UInt64.max

  var hasContentLength: Bool { contentLength != Self.noContentLength }

  private enum State: UInt8 {
    case lineStart, name, text, lineEnd, sectionEnd
    case lengthStart, lengthDigits, lengthSpace
    case memberStart, member, memberSpace
    case counted, untilClose
    case chunkSize, chunkSpace, chunkExtension, chunkQuoted, chunkQuotedPair, chunkLineEnd
    case chunkData, chunkDataCR, chunkDataLF
  }

  /// The field whose value is being read, or was read last: a folded line belongs to it.
  private enum Field: UInt8 {
    case none, ordinary, contentLength, transferEncoding, connection, expect
  }

  struct Facts: OptionSet, BitwiseCopyable, Sendable {
    let rawValue: UInt8
    static let close = Facts(rawValue: 1 << 0)
    static let keepAlive = Facts(rawValue: 1 << 1)
    static let transferEncoding = Facts(rawValue: 1 << 2)
    /// The last coding so far is chunked.
    static let chunked = Facts(rawValue: 1 << 3)
    static let expectsContinue = Facts(rawValue: 1 << 4)
    static let host = Facts(rawValue: 1 << 5)
    static let inTrailers = Facts(rawValue: 1 << 6)
  }

  enum Progress {
    case needsMore
    case done
    case malformed(Malformation)
  }

  /// Chooses the body by RFC 9112 6.3 once the fields are read. A message that announces none ends
  /// with the connection if it is a response, and for a request the caller never asks for it.
  @inline(__always)
  mutating func beginBody() {
    if facts.contains(.transferEncoding) {
      state = .chunkSize
      beginChunkLine()
    } else if hasContentLength {
      state = .counted
      number = contentLength
    } else {
      state = .untilClose
    }
  }

  /// Whether the end of the connection is what ends the body.
  var endsAtClose: Bool { state == .untilClose }

  /// Whether the connection may go on after the message (RFC 9112 9.3).
  @inline(__always)
  func keepsAlive(isHTTP10: Bool) -> Bool {
    !facts.contains(.close) && (!isHTTP10 || facts.contains(.keepAlive))
  }

  /// What is wrong with the codings as a whole, asked when the fields have been read.
  @inline(__always)
  func codingFault(isHTTP10: Bool) -> Malformation? {
    guard facts.contains(.transferEncoding) else { return nil }
    // A recipient that believes one and one that believes the other see different messages: the
    // root of request smuggling (RFC 9112 11.2), so neither is believed.
    if hasContentLength { return .contentLengthWithTransferEncoding }
    // RFC 9112 6.1 calls the framing of such a message faulty.
    if isHTTP10 { return .transferEncodingInHTTP10 }
    return facts.contains(.chunked) ? nil : .chunkedNotLast
  }

  /// Reads fields until the empty line after them; those not among `names` are skipped. The caller
  /// bounds `bytes` by `sectionBytesLeft`.
  mutating func readFields(_ bytes: inout ByteCursor, names: Vocabulary) -> Progress {
    // A copy can live in registers.
    var cursor = bytes
    defer { bytes.catchUp(with: cursor) }
    // One turn reads one line. Each `if` is where a line that was cut goes on.
    while true {
      if state == .lineStart, cursor.first == UInt8(ascii: "\r") {
        cursor.skip()
        state = .sectionEnd
      }
      if state == .lineStart || state == .name {
        var name = cursor
        let piece = name.skipToken()
        let known = state == .lineStart ? WordMatch(names) : match
        if state == .lineStart {
          guard !piece.isEmpty else {
            guard let byte = cursor.first else { return .needsMore }
            if let fault = beginUnnamedLine(byte) { return .malformed(fault) }
            continue
          }
          guard fieldsLeft > 0 else { return .malformed(.tooManyFields) }
          fieldsLeft -= 1
        }
        guard let byte = name.first else {
          cursor.catchUp(with: name)
          state = .name
          match = known
          match.take(piece)
          return .needsMore
        }
        guard byte == UInt8(ascii: ":") else { return .malformed(Self.nameFault(byte)) }
        field = .ordinary
        state = .text
        if let word = known.word(endingWith: piece, of: names) {
          name.skip()
          cursor.catchUp(with: name)
          if let fault = beginValue(word) { return .malformed(fault) }
        }
        // Otherwise the line is read as text from where it stands: name and colon are text too, and
        // the next load then need not wait until it is known where they end.
      }
      if state == .text {
        cursor.skipText()
        guard let byte = cursor.first else { return .needsMore }
        guard byte == UInt8(ascii: "\r") else { return .malformed(Self.textFault(byte)) }
        cursor.skip()
        state = .lineEnd
      } else if state != .lineEnd, state != .sectionEnd {
        var value = cursor
        let fault = field == .contentLength ? readLength(&value) : readMembers(&value)
        cursor.catchUp(with: value)
        if let fault { return .malformed(fault) }
        guard state == .lineEnd else { return .needsMore }
      }
      guard let byte = cursor.first else { return .needsMore }
      guard byte == UInt8(ascii: "\n") else { return .malformed(.bareCarriageReturn) }
      cursor.skip()
      if state == .sectionEnd { return .done }
      state = .lineStart
    }
  }

  /// A line that does not begin with a name, by its first byte.
  private mutating func beginUnnamedLine(_ byte: UInt8) -> Malformation? {
    switch byte {
    case UInt8(ascii: " "), UInt8(ascii: "\t"):
      // obs-fold (RFC 9112 5.2): harmless where nothing is read from the value.
      guard field != .none else { return .leadingWhitespace }
      guard field == .ordinary else { return .foldedFramingField }
      state = .text
    case UInt8(ascii: ":"): return .emptyFieldName
    default: return Self.nameFault(byte)
    }
    return nil
  }

  /// The value of a field that matters.
  @inline(__always)
  private mutating func beginValue(_ word: Word) -> Malformation? {
    switch word {
    case .contentLength:
      field = .contentLength
      number = 0
      state = .lengthStart
    case .transferEncoding:
      field = .transferEncoding
      facts.insert(.transferEncoding)
      state = .memberStart
    case .connection, .expect:
      field = word == .connection ? .connection : .expect
      state = .memberStart
    case .host:
      if facts.contains(.host) { return .repeatedHost }
      facts.insert(.host)
    case .close, .keepAlive, .chunked, .continue100:
      break
    }
    return nil
  }

  /// Content-Length: digits with optional whitespace around them. A list, which RFC 9110 8.6 lets
  /// a recipient fold when its members agree, is refused; a second field that agrees is not.
  private mutating func readLength(_ bytes: inout ByteCursor) -> Malformation? {
    var cursor = bytes
    defer { bytes.catchUp(with: cursor) }
    while let byte = cursor.first {
      let digit = byte &- UInt8(ascii: "0")
      if digit <= 9, state != .lengthSpace {
        let limit = UInt64(Int64.max)
        guard number < limit / 10 || number == limit / 10 && digit <= limit % 10 else {
          return .contentLengthTooLarge
        }
        number = number * 10 + UInt64(digit)
        state = .lengthDigits
      } else if byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") {
        if state == .lengthDigits { state = .lengthSpace }
      } else if byte == UInt8(ascii: "\r"), state != .lengthStart {
        guard !hasContentLength || contentLength == number else {
          return .conflictingContentLengths
        }
        contentLength = number
        cursor.skip()
        state = .lineEnd
        return nil
      } else {
        return byte == UInt8(ascii: "\n") ? .bareLineFeed : .invalidContentLength
      }
      cursor.skip()
    }
    return nil
  }

  /// A comma-separated list (RFC 9110 5.6.1): empty members are skipped, unknown ones ignored,
  /// except where ignoring them would change where the body ends.
  private mutating func readMembers(_ bytes: inout ByteCursor) -> Malformation? {
    var cursor = bytes
    defer { bytes.catchUp(with: cursor) }
    while let byte = cursor.first {
      if byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") {
        if state == .member { state = .memberSpace }
        cursor.skip()
      } else if byte.isToken {
        if state == .memberStart { match = WordMatch(.members) }
        if state == .memberSpace { match = .none }  // Two words are not one of ours.
        state = .member
        let piece = cursor.skipToken()
        let next = cursor.first
        if next == UInt8(ascii: "\r") || next == UInt8(ascii: ",") {
          if let fault = endMember(piece) { return fault }
        } else {
          match.take(piece)
        }
      } else if byte == UInt8(ascii: "\r") || byte == UInt8(ascii: ",") {
        if state != .memberStart, let fault = endMember(cursor.prefix(0)) { return fault }
        cursor.skip()
        guard byte == UInt8(ascii: "\r") else { continue }
        state = .lineEnd
        return nil
      } else {
        guard byte.isText else { return Self.textFault(byte) }
        if field == .transferEncoding, byte != UInt8(ascii: ";"), byte != UInt8(ascii: "=") {
          // Quoted parameters could hide a comma; no registered coding has any.
          return .invalidTransferEncoding
        }
        match = .none
        state = .member
        cursor.skip()
      }
    }
    return nil
  }

  @inline(__always)
  private mutating func endMember(_ piece: ByteCursor) -> Malformation? {
    state = .memberStart
    // "chunked" may be applied once, and last (RFC 9112 6.1, 7).
    if field == .transferEncoding, facts.contains(.chunked) { return .chunkedNotLast }
    switch (match.word(endingWith: piece, of: .members), field) {
    case (.close, .connection): facts.insert(.close)
    case (.keepAlive, .connection): facts.insert(.keepAlive)
    case (.chunked, .transferEncoding): facts.insert(.chunked)
    case (.continue100, .expect): facts.insert(.expectsContinue)
    default: break
    }
    return nil
  }

  private static func nameFault(_ byte: UInt8) -> Malformation {
    switch byte {
    case UInt8(ascii: " "), UInt8(ascii: "\t"): .spaceBeforeColon
    case UInt8(ascii: "\r"): .missingColon
    case UInt8(ascii: "\n"): .bareLineFeed
    case 0: .nullByte
    default: .invalidFieldName
    }
  }

  /// Why `byte` cannot stand in a line of text.
  static func textFault(_ byte: UInt8) -> Malformation {
    switch byte {
    case UInt8(ascii: "\n"): .bareLineFeed
    case 0: .nullByte
    default: .controlCharacter
    }
  }

  /// Reads the body that `beginBody` chose and adds its bytes, chunk framing left out, to
  /// `bodyByteCount`.
  @inline(__always)
  mutating func readBody<Sink: ReplySink & ~Copyable>(
    _ cursor: inout ByteCursor, counting bodyByteCount: inout UInt64, into sink: inout Sink
  ) -> Progress {
    switch state {
    case .counted:
      number -= takeBody(&cursor, upTo: number, counting: &bodyByteCount, into: &sink)
      return number == 0 ? .done : .needsMore
    case .untilClose:
      _ = takeBody(&cursor, upTo: .max, counting: &bodyByteCount, into: &sink)
      return .needsMore
    default:
      return readChunks(&cursor, counting: &bodyByteCount, into: &sink)
    }
  }

  @inline(__always)
  private func takeBody<Sink: ReplySink & ~Copyable>(
    _ cursor: inout ByteCursor, upTo limit: UInt64, counting bodyByteCount: inout UInt64,
    into sink: inout Sink
  ) -> UInt64 {
    let body = cursor
    let byteCount = cursor.skip(upTo: limit)
    bodyByteCount += byteCount
    unsafe body.prefix(upTo: cursor).withBytes { unsafe sink.body($0) }
    return byteCount
  }

  /// RFC 9112 7.1. Strict where its grammar is: one CR LF after each chunk, no sign, no prefix, no
  /// whitespace after the size unless an extension follows.
  private mutating func readChunks<Sink: ReplySink & ~Copyable>(
    _ cursor: inout ByteCursor, counting bodyByteCount: inout UInt64, into sink: inout Sink
  ) -> Progress {
    while true {
      if facts.contains(.inTrailers) { return readTrailers(&cursor) }
      guard let byte = cursor.first else { return .needsMore }
      switch state {
      case .chunkData:
        number -= takeBody(&cursor, upTo: number, counting: &bodyByteCount, into: &sink)
        if number == 0 { state = .chunkDataCR }
      case .chunkDataCR:
        guard byte == UInt8(ascii: "\r") else { return .malformed(.chunkNotDelimited) }
        cursor.skip()
        state = .chunkDataLF
      case .chunkDataLF:
        guard byte == UInt8(ascii: "\n") else { return .malformed(.chunkNotDelimited) }
        cursor.skip()
        state = .chunkSize
        beginChunkLine()
      default:
        if let fault = readChunkLine(byte) { return .malformed(fault) }
        cursor.skip()
      }
    }
  }

  private mutating func beginChunkLine() {
    number = 0
    sectionBytesLeft = Self.chunkLineByteCountMax
  }

  /// One byte of a chunk size line.
  private mutating func readChunkLine(_ byte: UInt8) -> Malformation? {
    guard sectionBytesLeft > 0 else { return .chunkLineTooLong }
    sectionBytesLeft -= 1
    if state == .chunkSize {
      if let digit = byte.hexadecimalDigit {
        // So far the line is nothing but digits, which is what makes this their count.
        guard Self.chunkLineByteCountMax - sectionBytesLeft <= Self.chunkSizeDigitCountMax else {
          return .chunkSizeTooLong
        }
        number = number << 4 | UInt64(digit)
        return nil
      }
      guard sectionBytesLeft < Self.chunkLineByteCountMax - 1 else { return .invalidChunkSize }
      guard number <= UInt64(Int64.max) else { return .chunkSizeTooLarge }
    }
    if state == .chunkLineEnd {
      guard byte == UInt8(ascii: "\n") else { return .bareCarriageReturn }
      if number > 0 {
        state = .chunkData
      } else {
        beginTrailers()
      }
      return nil
    }
    if byte == UInt8(ascii: "\r"), state == .chunkSize || state == .chunkExtension {
      state = .chunkLineEnd
      return nil
    }
    return readExtension(byte)
  }

  /// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )` (RFC 9112 7.1.1), checked
  /// for its bytes and quotes, not for its order: nothing is read from it.
  private mutating func readExtension(_ byte: UInt8) -> Malformation? {
    let isSpace = byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t")
    switch state {
    case .chunkSize, .chunkSpace:
      if byte == UInt8(ascii: ";") {
        state = .chunkExtension
      } else if isSpace {
        state = .chunkSpace
      } else {
        return .invalidChunkSize
      }
    case .chunkQuoted:
      guard byte.isText else { return .invalidChunkExtension }
      if byte == UInt8(ascii: "\"") { state = .chunkExtension }
      if byte == UInt8(ascii: "\\") { state = .chunkQuotedPair }
    case .chunkQuotedPair:
      guard byte.isText else { return .invalidChunkExtension }
      state = .chunkQuoted
    default:
      if byte == UInt8(ascii: "\"") {
        state = .chunkQuoted
      } else {
        guard byte.isToken || isSpace || byte == UInt8(ascii: ";") || byte == UInt8(ascii: "=")
        else { return .invalidChunkExtension }
      }
    }
    guard extensionBytesLeft > 0 else { return .chunkExtensionsTooLong }
    extensionBytesLeft -= 1
    return nil
  }

  private mutating func beginTrailers() {
    facts.insert(.inTrailers)
    sectionBytesLeft = Self.trailerByteCountMax
    fieldsLeft = Self.fieldCountMax
    field = .none
    state = .lineStart
  }

  private mutating func readTrailers(_ cursor: inout ByteCursor) -> Progress {
    var trailers = cursor.prefix(sectionBytesLeft)
    // What decides about a message means nothing after its body (RFC 9110 6.5.1).
    let progress = readFields(&trailers, names: .none)
    return leave(trailers, for: &cursor, after: progress, fullFault: .trailersTooLong)
  }

  /// Books what was read of `section`, a prefix of `cursor` bounded by `sectionBytesLeft`, and says
  /// `fullFault` when it wants more than that.
  @inline(__always)
  mutating func leave(
    _ section: ByteCursor, for cursor: inout ByteCursor, after progress: Progress,
    fullFault: Malformation
  ) -> Progress {
    sectionBytesLeft -= UInt32(truncatingIfNeeded: unsafe section.at - cursor.at)
    cursor.catchUp(with: section)
    if case .needsMore = progress, sectionBytesLeft == 0 { return .malformed(fullFault) }
    return progress
  }
}

extension UInt8 {
  fileprivate var hexadecimalDigit: UInt8? {
    let digit = self &- UInt8(ascii: "0")
    if digit <= 9 { return digit }
    let letter = (self | 0x20) &- UInt8(ascii: "a")
    return letter <= 5 ? letter + 10 : nil
  }
}
