internal import SquallHTTP

/// One response in a few bytes. Its bytes on the wire follow from it alone, so it can be written
/// from any offset as often as the socket wants it, and a peer that does not read costs no memory.
///
/// A body is `Hello, world!` over and over, cut at its length: 13 bytes are one greeting. A chunked
/// body comes in chunks of 65,520 bytes and one of what is left.
struct TargetAnswer: Equatable, BitwiseCopyable {
  static let bodyByteCountMax: UInt64 = 1 << 30
  static let statuses: ClosedRange<UInt64> = 200...599
  /// A multiple of 13, so that each chunk begins with a greeting.
  static let chunkByteCount = 65_520
  /// "FFF0" CR LF, the bytes, CR LF.
  private static let framedChunkByteCount = chunkByteCount + 8

  struct Traits: OptionSet, Equatable, BitwiseCopyable {
    let rawValue: UInt8
    static let chunked = Traits(rawValue: 1 << 0)
    /// Says `Connection: close`.
    static let closes = Traits(rawValue: 1 << 1)
    /// Says `Connection: keep-alive`, as HTTP/1.0 needs to be told.
    static let keepsAlive = Traits(rawValue: 1 << 2)
    /// The request was HEAD: the head tells of a body that does not follow.
    static let headOnly = Traits(rawValue: 1 << 3)
  }

  private(set) var bodyByteCount: UInt32
  private(set) var status: UInt16
  var traits: Traits
  /// What the body says; `bodyByteCount` follows from it unless it is a greeting or the count.
  private(set) var note: TargetNote

  /// `bodyByteCount` bytes of greeting, at most `bodyByteCountMax`; status 205 has none of them.
  init(status: UInt16 = 200, bodyByteCount: UInt32 = 13, traits: Traits = []) {
    precondition(bodyByteCount <= Self.bodyByteCountMax, "a body of \(bodyByteCount) bytes")
    self.status = status
    self.bodyByteCount = status == 205 ? 0 : bodyByteCount
    self.traits = traits
    note = .greeting
  }

  /// A sentence.
  init(status: UInt16, note: TargetNote, traits: Traits) {
    self.status = status
    bodyByteCount = UInt32(note.text.utf8CodeUnitCount)
    self.traits = traits
    self.note = note
  }

  /// What was counted, as text that is kept elsewhere.
  init(countByteCount: Int, traits: Traits) {
    status = 200
    bodyByteCount = UInt32(countByteCount)
    self.traits = traits.subtracting(.chunked)
    note = .count
  }

  /// A whole answer, head and all, as bytes that are kept elsewhere.
  init(pageByteCount: Int) {
    status = 200
    bodyByteCount = UInt32(pageByteCount)
    traits = []
    note = .page
  }

  /// RFC 9110 section 6.4.1.
  private var hasBody: Bool { status != 204 && status != 304 && !traits.contains(.headOnly) }

  /// All bytes on the wire.
  var byteCount: Int {
    guard !note.isBare else { return note.text.utf8CodeUnitCount }
    return unsafe withHead { head in head.count } + (hasBody ? framedBodyByteCount : 0)
  }

  /// Body bytes that follow a head.
  var bodyByteCountSent: Int { hasBody ? Int(bodyByteCount) : 0 }

  /// What a head says of the body's length; nil when it says nothing.
  var contentLength: UInt32? {
    traits.contains(.chunked) || status == 204 || status == 304 ? nil : bodyByteCount
  }

  private var framedBodyByteCount: Int {
    let byteCount = Int(bodyByteCount)
    guard traits.contains(.chunked) else { return byteCount }
    let rest = byteCount % Self.chunkByteCount
    let framedRest = rest == 0 ? 0 : String(rest, radix: 16).utf8.count + 2 + rest + 2
    return byteCount / Self.chunkByteCount * Self.framedChunkByteCount + framedRest + 5
  }

  private func withHead<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    unsafe withUnsafeTemporaryAllocation(byteCount: 192, alignment: 1) { room in
      var writer = unsafe WireWriter(into: room, skipping: 0)
      writer.write("HTTP/1.1 ")
      writer.write(decimal: UInt32(status))
      writer.write(" ")
      writer.write(Self.reason(status))
      if traits.contains(.chunked) {
        writer.write("\r\nTransfer-Encoding: chunked")
      } else if status != 204 && status != 304 {
        writer.write("\r\nContent-Length: ")
        writer.write(decimal: bodyByteCount)
      }
      if traits.contains(.closes) {
        writer.write("\r\nConnection: close")
      } else if traits.contains(.keepsAlive) {
        writer.write("\r\nConnection: keep-alive")
      }
      writer.write("\r\n\r\n")
      return unsafe body(UnsafeRawBufferPointer(rebasing: room[..<writer.byteCount]))
    }
  }

  /// Writes what follows after the first `offset` bytes, as much as `room` takes. Returns how many
  /// bytes that were. `text` is what is kept elsewhere.
  func write(
    from offset: Int, into room: UnsafeMutableRawBufferPointer, greetings: borrowing Greetings,
    text: UnsafeRawBufferPointer?
  ) -> Int {
    var writer = unsafe WireWriter(into: room, skipping: offset)
    if note.isBare {
      writer.write(note.text)
      return writer.byteCount
    }
    if note == .page {
      if let text = unsafe text { unsafe writer.write(text) }
      return writer.byteCount
    }
    unsafe withHead { head in unsafe writer.write(head) }
    guard hasBody else { return writer.byteCount }
    if note == .greeting {
      writeGreetings(with: &writer, greetings)
    } else {
      unsafe writeText(with: &writer, text)
    }
    return writer.byteCount
  }

  /// Fills `room` with the body's bytes, without chunks, from `offset` on.
  func writeBody(
    from offset: Int, into room: UnsafeMutableRawBufferPointer, greetings: borrowing Greetings,
    text: UnsafeRawBufferPointer?
  ) {
    var writer = unsafe WireWriter(into: room, skipping: offset)
    if note == .greeting {
      greetings.write(byteCount: Int(bodyByteCount), with: &writer)
    } else {
      unsafe writeText(with: &writer, text)
    }
  }

  private func writeText(with writer: inout WireWriter, _ text: UnsafeRawBufferPointer?) {
    if note != .count { return writer.write(note.text) }
    if let text = unsafe text { unsafe writer.write(text) }
  }

  private func writeGreetings(with writer: inout WireWriter, _ greetings: borrowing Greetings) {
    var left = Int(bodyByteCount)
    guard traits.contains(.chunked) else {
      return greetings.write(byteCount: left, with: &writer)
    }
    left -=
      writer.skip(of: left / Self.chunkByteCount, eachOf: Self.framedChunkByteCount)
      * Self.chunkByteCount
    while left > 0, !writer.isFull {
      let byteCount = min(left, Self.chunkByteCount)
      writer.write(hexadecimal: UInt32(byteCount))
      writer.write("\r\n")
      greetings.write(byteCount: byteCount, with: &writer)
      writer.write("\r\n")
      left -= byteCount
    }
    writer.write("0\r\n\r\n")
  }

  /// What follows after the first `offset` bytes, where it can be sent from where it lies.
  func borrowed(from offset: Int, greetings: borrowing Greetings) -> UnsafeRawBufferPointer? {
    guard hasBody, note == .greeting, !traits.contains(.chunked) else { return nil }
    let bodyOffset = offset - (byteCount - Int(bodyByteCount))
    guard bodyOffset >= 0 else { return nil }
    return unsafe greetings.bytes(from: bodyOffset, byteCount: Int(bodyByteCount) - bodyOffset)
  }

  /// RFC 9110 section 15; a phrase is optional, its space is not (RFC 9112 section 4).
  static func reason(_ status: UInt16) -> StaticString {
    switch status {
    case 200: "OK"
    case 201: "Created"
    case 202: "Accepted"
    case 204: "No Content"
    case 206: "Partial Content"
    case 301: "Moved Permanently"
    case 302: "Found"
    case 303: "See Other"
    case 304: "Not Modified"
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 409: "Conflict"
    case 411: "Length Required"
    case 413: "Content Too Large"
    case 415: "Unsupported Media Type"
    case 429: "Too Many Requests"
    case 500: "Internal Server Error"
    case 502: "Bad Gateway"
    case 503: "Service Unavailable"
    case 504: "Gateway Timeout"
    default: ""
    }
  }
}

/// What a body says.
enum TargetNote: Equatable, BitwiseCopyable {
  case greeting
  /// `GET /count`.
  case count
  /// The shop's.
  case page
  case malformed(Malformation)
  case badQuery(RequestTarget.Fault)
  case sizeTooLarge, statusOutOfRange, delayTooLong, everyIsZero, noSuchFault, tooManyCounts
  /// The interim response, and bytes that are no response; both go out as they are.
  case proceed, garbage

  var isBare: Bool { self == .proceed || self == .garbage }

  var text: StaticString {
    switch self {
    case .greeting, .count, .page: ""
    case .malformed(let cause): cause.explanation
    case .badQuery(let fault): fault.explanation
    case .sizeTooLarge: "size is more than 1 GiB"
    case .statusOutOfRange: "status is outside 200 to 599"
    case .delayTooLong: "delay or stall is more than 1 hour"
    case .everyIsZero: "every is 0: write 1 for each request"
    case .noSuchFault:
      "the faults are reset, close, half, garbage, hang, drip, extra and early, below /fault/"
    case .tooManyCounts: "64 answers with counts wait to be read already"
    case .proceed: "HTTP/1.1 100 Continue\r\n\r\n"
    case .garbage: "\u{1}\u{2}\u{3}\u{4}this is no HTTP\r\n\r\n"
    }
  }
}

/// Greetings one after another, enough of them to send large bodies from.
@safe struct Greetings: ~Copyable {
  private static let greeting: StaticString = "Hello, world!"
  private static let byteCount = 4 * TargetAnswer.chunkByteCount

  private let storage: UnsafeMutableRawBufferPointer

  init() {
    unsafe storage = .allocate(byteCount: Self.byteCount, alignment: 64)
    for index in 0..<Self.byteCount {
      unsafe storage[index] = Self.greeting.utf8Start[index % Self.greeting.utf8CodeUnitCount]
    }
  }

  deinit { unsafe storage.deallocate() }

  /// The bytes of a body from `offset` on, at most `byteCount` of them and as many as lie in a row.
  func bytes(from offset: Int, byteCount: Int) -> UnsafeRawBufferPointer {
    let start = offset % Self.greeting.utf8CodeUnitCount
    let end = start + min(byteCount, Self.byteCount - start)
    return unsafe UnsafeRawBufferPointer(rebasing: storage[start..<end])
  }

  fileprivate func write(byteCount: Int, with writer: inout WireWriter) {
    var offset = writer.skip(of: byteCount, eachOf: 1)
    while offset < byteCount, !writer.isFull {
      let piece = unsafe bytes(from: offset, byteCount: byteCount - offset)
      unsafe writer.write(piece)
      offset += piece.count
    }
  }
}

/// Writes a row of bytes after leaving the first ones out, and stops where the room ends.
@safe struct WireWriter {
  private let room: UnsafeMutableRawBufferPointer
  private(set) var byteCount = 0
  private var skipLeft: Int

  init(into room: UnsafeMutableRawBufferPointer, skipping: Int) {
    unsafe self.room = room
    skipLeft = skipping
  }

  var isFull: Bool { unsafe byteCount == room.count }

  /// How many of the next `count` things of `byteCount` bytes are to be left out whole.
  mutating func skip(of count: Int, eachOf byteCount: Int) -> Int {
    let skipped = min(count, skipLeft / byteCount)
    skipLeft -= skipped * byteCount
    return skipped
  }

  mutating func write(_ bytes: UnsafeRawBufferPointer) {
    let skipped = min(skipLeft, bytes.count)
    skipLeft -= skipped
    let taken = unsafe min(bytes.count - skipped, room.count - byteCount)
    guard taken > 0 else { return }
    unsafe UnsafeMutableRawBufferPointer(rebasing: room[byteCount...]).copyMemory(
      from: UnsafeRawBufferPointer(rebasing: bytes[skipped..<skipped + taken]))
    byteCount += taken
  }

  mutating func write(_ text: StaticString) {
    unsafe write(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  mutating func write(decimal number: UInt32) { write(number, radix: 10) }

  mutating func write(hexadecimal number: UInt32) { write(number, radix: 16) }

  private mutating func write(_ number: UInt32, radix: UInt32) {
    unsafe withUnsafeTemporaryAllocation(byteCount: 10, alignment: 1) { digits in
      var start = 10
      var rest = number
      repeat {
        start -= 1
        let digit = UInt8(rest % radix)
        unsafe digits[start] = digit + (digit < 10 ? UInt8(ascii: "0") : UInt8(ascii: "A") - 10)
        rest /= radix
      } while rest > 0
      unsafe write(UnsafeRawBufferPointer(rebasing: digits[start...]))
    }
  }
}

/// Answers written out beforehand, many times over, so that one send carries several.
@safe struct PreparedAnswers: ~Copyable {
  private static let countMax = 64
  /// An answer larger than this is written when it is sent.
  private static let byteCountMax = TargetAnswer.chunkByteCount + 1_024
  /// Copies are made up to here.
  private static let copiesByteCount = 16_384

  private let answers: UnsafeMutablePointer<(answer: TargetAnswer, copies: UnsafeRawBufferPointer)>
  private var count = 0

  init() { unsafe answers = .allocate(capacity: Self.countMax) }

  deinit {
    for index in 0..<count { unsafe answers[index].copies.deallocate() }
    unsafe answers.deallocate()
  }

  /// The number under which the answer is kept; the first 64 that fit are. Nil for the others.
  mutating func index(
    of answer: TargetAnswer, byteCount: Int, greetings: borrowing Greetings
  ) -> Int16? {
    for index in 0..<count where unsafe answers[index].answer == answer { return Int16(index) }
    guard count < Self.countMax, byteCount > 0, byteCount <= Self.byteCountMax,
      answer.note != .count, answer.note != .page
    else { return nil }
    let copyCount = max(1, Self.copiesByteCount / byteCount)
    let copies = UnsafeMutableRawBufferPointer.allocate(
      byteCount: copyCount * byteCount, alignment: 64)
    for copy in 0..<copyCount {
      let room = unsafe UnsafeMutableRawBufferPointer(
        rebasing: copies[copy * byteCount..<(copy + 1) * byteCount])
      let written = unsafe answer.write(from: 0, into: room, greetings: greetings, text: nil)
      precondition(written == byteCount, "an answer of \(byteCount) bytes wrote \(written)")
    }
    unsafe (answers + count).initialize(to: (answer, UnsafeRawBufferPointer(copies)))
    count += 1
    return Int16(count - 1)
  }

  /// The answer's copies in a row.
  @inline(__always)
  func copies(_ index: Int16) -> UnsafeRawBufferPointer {
    precondition(index >= 0 && index < count, "no such prepared answer: \(index)")
    return unsafe answers[Int(index)].copies
  }
}
