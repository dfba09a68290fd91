import SquallHTTP
import SquallLoad
import Testing

/// What a server can do wrong, rule by rule.
@Suite struct H2ViolationTests {
  private typealias W = H2Wire

  struct Offence: CustomTestStringConvertible {
    let name: String
    let bytes: [UInt8]
    let violation: H2Violation
    /// Whose frame it was: of the two requests under way, 0 and 1.
    let tag: UInt32?

    var testDescription: String { name }

    init(
      _ name: String, _ violation: H2Violation, _ frames: [[UInt8]], tag: UInt32? = nil,
      settings: Bool = true
    ) {
      self.name = name
      bytes = (settings ? H2Wire.settings() : []) + frames.flatMap { $0 }
      self.violation = violation
      self.tag = tag
    }

    /// A head that is none.
    static func head(
      _ name: String, _ violation: H2Violation, _ fields: KeyValuePairs<String, String>
    ) -> Offence {
      Offence(name, violation, [H2Wire.head(1, fields)], tag: 0)
    }
  }

  private static let ok = W.head(1, [":status": "200"])
  private static let block = W.block([":status": "200"])
  private static let manyFields = (0...256).flatMap { _ in [UInt8]([0x90]) }

  static let offences: [Offence] = [
    Offence("HTTP/1.1", .notHTTP2, [Array("HTTP/1.1 400 Bad Request\r\n".utf8)], settings: false),
    Offence("no SETTINGS first", .firstFrameNotSettings, [ok], tag: nil, settings: false),
    Offence("an ACK first", .firstFrameNotSettings, [W.settingsAck], settings: false),

    Offence(
      "a DATA frame of 16,385 bytes", .frameTooLarge,
      [ok, W.data(1, Array(repeating: 0, count: 16_385))], tag: 0),
    Offence("a frame of 2^24 - 1 bytes", .frameTooLarge, [[255, 255, 255, 0xAA, 0, 0, 0, 0, 0]]),
    Offence(
      "a CONTINUATION of 16,385 bytes", .frameTooLarge,
      [W.frame(1, stream: 1), W.frame(9, stream: 1, Array(repeating: 0, count: 16_385))], tag: 0),
    Offence("PING of 7", .wrongFrameLength, [W.frame(6, [0, 0, 0, 0, 0, 0, 0])]),
    Offence(
      "RST_STREAM of 5", .wrongFrameLength, [W.frame(3, stream: 1, [0, 0, 0, 0, 0])], tag: 0),
    Offence("WINDOW_UPDATE of 3", .wrongFrameLength, [W.frame(8, [0, 0, 1])]),
    Offence("GOAWAY of 7", .wrongFrameLength, [W.frame(7, [0, 0, 0, 0, 0, 0, 0])]),
    Offence("PRIORITY of 4", .wrongFrameLength, [W.frame(2, stream: 1, [0, 0, 0, 0])], tag: 0),
    Offence("SETTINGS of 7", .wrongFrameLength, [W.frame(4, [0, 0, 0, 0, 0, 0, 0])]),
    Offence(
      "padded DATA without a length", .wrongFrameLength,
      [ok, W.frame(0, flags: 8, stream: 1)], tag: 0),
    Offence(
      "a padded head without a length", .wrongFrameLength,
      [W.frame(1, flags: 0xC, stream: 1)], tag: 0),
    Offence(
      "a head with half a priority", .wrongFrameLength,
      [W.frame(1, flags: 0x24, stream: 1, [0, 0, 0, 0])], tag: 0),
    Offence(
      "an ACK with a setting", .settingsAckNotEmpty,
      [W.frame(4, flags: 1, [0, 1, 0, 0, 0, 0])]),
    Offence("DATA on stream 0", .frameOnStreamZero, [W.data(0, "x")]),
    Offence("a head on stream 0", .frameOnStreamZero, [W.head(0, block)]),
    Offence("RST_STREAM on stream 0", .frameOnStreamZero, [W.reset(0, .cancel)]),
    Offence("PRIORITY on stream 0", .frameOnStreamZero, [W.frame(2, [0, 0, 0, 0, 0])]),
    Offence("SETTINGS on a stream", .frameNotOnStreamZero, [W.frame(4, stream: 1)], tag: 0),
    Offence(
      "PING on a stream", .frameNotOnStreamZero,
      [W.frame(6, stream: 1, [0, 0, 0, 0, 0, 0, 0, 0])], tag: 0),
    Offence(
      "GOAWAY on a stream", .frameNotOnStreamZero,
      [W.frame(7, stream: 1, [0, 0, 0, 0, 0, 0, 0, 0])], tag: 0),
    Offence(
      "DATA all padding and more", .paddingTooLong,
      [ok, W.frame(0, flags: 8, stream: 1, [2, 0])], tag: 0),
    Offence(
      "a head all padding and more", .paddingTooLong,
      [W.frame(1, flags: 0xC, stream: 1, [255] + block)], tag: 0),
    Offence(
      "a PING inside a block", .continuationExpected,
      [W.frame(1, stream: 1, block), W.ping(1)], tag: 0),
    Offence(
      "an unknown frame inside a block", .continuationExpected,
      [W.frame(1, stream: 1, block), W.frame(0xEE)], tag: 0),
    Offence(
      "another stream's block inside a block", .continuationExpected,
      [W.frame(1, stream: 1, block), W.frame(9, flags: 4, stream: 3, block)], tag: 0),
    Offence(
      "a CONTINUATION of nothing", .continuationUnexpected,
      [W.frame(9, flags: 4, stream: 1, block)], tag: 0),
    Offence(
      "a CONTINUATION of a block that has ended", .continuationUnexpected,
      [ok, W.frame(9, flags: 4, stream: 1, block)], tag: 0),
    Offence(
      "CONTINUATION without end", .tooManyContinuations,
      [W.frame(1, stream: 1)] + Array(repeating: W.frame(9, stream: 1), count: 33), tag: 0),
    Offence(
      "a block of more than 64 KiB", .blockTooLong,
      [W.frame(1, stream: 1, Array(repeating: 0x90, count: 16_384))]
        + Array(
          repeating: W.frame(9, stream: 1, Array(repeating: 0x90, count: 16_384)), count: 4),
      tag: 0),
    Offence(
      "PUSH_PROMISE", .pushPromise,
      [W.frame(5, flags: 4, stream: 1, [0, 0, 0, 2] + block)], tag: 0),

    Offence("push for us", .invalidEnablePush, [W.settings([2: 1])]),
    Offence("a window of 2^31", .initialWindowTooLarge, [W.settings([4: 0x8000_0000])]),
    Offence("small frames", .invalidFrameSizeMax, [W.settings([5: 16_383])]),
    Offence("frames of 2^24", .invalidFrameSizeMax, [W.settings([5: 1 << 24])]),

    Offence("no increment", .zeroWindowIncrement, [W.windowUpdate(0, 0)]),
    Offence(
      "no increment but a reserved bit", .zeroWindowIncrement,
      [W.windowUpdate(1, 0x8000_0000)], tag: 0),
    Offence(
      "too large a window of the connection", .windowOverflow,
      [W.windowUpdate(0, 0x7FFF_FFFF)]),
    Offence(
      "too large a window of a stream", .windowOverflow,
      [W.windowUpdate(3, 0x7FFF_FFFF)], tag: 1),
    Offence(
      "too large a window by SETTINGS", .windowOverflow,
      [W.windowUpdate(1, 1000), W.settings([4: 0x7FFF_FFFF])]),

    Offence("a head on a stream not opened", .idleStream, [W.head(5, block)]),
    Offence("DATA on a stream not opened", .idleStream, [W.data(7, "x")]),
    Offence("a head on a stream of the peer's", .idleStream, [W.head(2, block)]),
    Offence("RST_STREAM on a stream not opened", .idleStream, [W.reset(5, .cancel)]),
    Offence("WINDOW_UPDATE on a stream not opened", .idleStream, [W.windowUpdate(5, 1)]),
    Offence("DATA after the end", .closedStream, [ok, W.data(1, "x"), W.data(1, "x")]),
    Offence(
      "a head after the end", .closedStream,
      [W.head(1, [":status": "200"], ends: true), ok]),
    Offence("DATA after a reset", .closedStream, [W.reset(1, .cancel), W.data(1, "x")]),
    Offence("a GOAWAY that takes back", .lastStreamRaised, [W.goAway(1), W.goAway(3)], tag: nil),
    Offence("PING without end", .tooManyReplies, Array(repeating: W.ping(1), count: 500)),
    Offence("SETTINGS without end", .tooManyReplies, Array(repeating: W.settings(), count: 1000)),

    Offence("a block that ends too soon", .truncatedBlock, [W.head(1, [0x40])], tag: 0),
    Offence(
      "a number too large", .integerTooLarge,
      [W.head(1, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F])], tag: 0),
    Offence("an entry that is not there", .invalidIndex, [W.head(1, [0xBE])], tag: 0),
    Offence("broken Huffman code", .invalidHuffman, [W.head(1, [0x48, 0x81, 0xFE])], tag: 0),
    Offence("a table too large", .tableTooLarge, [W.head(1, [0x3F, 0xE2, 0x1F])], tag: 0),
    Offence("a table's size too late", .misplacedTableSize, [W.head(1, [0x88, 0x20])], tag: 0),

    .head("no status", .missingStatus, ["server": "x"]),
    .head("no fields", .missingStatus, [:]),
    .head("two statuses", .repeatedStatus, [":status": "200", ":status": "200"]),
    .head("a status of two digits", .invalidStatusCode, [":status": "20"]),
    .head("a status of four digits", .invalidStatusCode, [":status": "2000"]),
    .head("a status of letters", .invalidStatusCode, [":status": "2x0"]),
    .head("status 600", .invalidStatusCode, [":status": "600"]),
    .head("status 099", .invalidStatusCode, [":status": "099"]),
    .head("an empty status", .invalidStatusCode, [":status": ""]),
    .head("a path", .unknownPseudoField, [":status": "200", ":path": "/"]),
    .head("an unknown pseudo field", .unknownPseudoField, [":status": "200", ":new": "/"]),
    .head("a status behind a field", .misplacedPseudoField, ["server": "x", ":status": "200"]),
    Offence(
      "a status among trailers", .misplacedPseudoField,
      [ok, W.head(1, [":status": "200"], ends: true)], tag: 0),
    .head("a capital", .invalidFieldName, [":status": "200", "Server": "x"]),
    .head("an empty name", .invalidFieldName, [":status": "200", "": "x"]),
    .head("a colon alone", .invalidFieldName, [":status": "200", ":": "x"]),
    .head("a space in a name", .invalidFieldName, [":status": "200", "a b": "x"]),
    .head("a colon in a name", .invalidFieldName, [":status": "200", "a:b": "x"]),
    .head("a NUL in a value", .invalidFieldValue, [":status": "200", "a": "\0"]),
    .head("a line end in a value", .invalidFieldValue, [":status": "200", "a": "x\r\ny: z"]),
    .head("a space before a value", .invalidFieldValue, [":status": "200", "a": " x"]),
    .head("a tab behind a value", .invalidFieldValue, [":status": "200", "a": "x\t"]),
    .head("Connection", .connectionField, [":status": "200", "connection": "close"]),
    .head("Transfer-Encoding", .connectionField, [":status": "200", "transfer-encoding": "x"]),
    .head("Keep-Alive", .connectionField, [":status": "200", "keep-alive": "1"]),
    .head("Upgrade", .connectionField, [":status": "200", "upgrade": "h2c"]),
    .head("Proxy-Connection", .connectionField, [":status": "200", "proxy-connection": "x"]),
    .head("a length of letters", .invalidContentLength, [":status": "200", "content-length": "x"]),
    .head("a length of nothing", .invalidContentLength, [":status": "200", "content-length": ""]),
    .head(
      "a length with a sign", .invalidContentLength, [":status": "200", "content-length": "+5"]),
    .head(
      "a length of 2^63", .invalidContentLength,
      [":status": "200", "content-length": "9223372036854775808"]),
    .head(
      "a length of 2^64 and more", .invalidContentLength,
      [":status": "200", "content-length": "18446744073709551621"]),
    .head(
      "two lengths", .conflictingContentLengths,
      [":status": "200", "content-length": "1", "content-length": "2"]),
    Offence(
      "a body too short", .contentLengthMismatch,
      [W.head(1, [":status": "200", "content-length": "2"]), W.data(1, "x")], tag: 0),
    Offence(
      "a body too long", .contentLengthMismatch,
      [W.head(1, [":status": "200", "content-length": "1"]), W.data(1, "xy", ends: false)], tag: 0),
    Offence(
      "no body where one was announced", .contentLengthMismatch,
      [W.head(1, [":status": "200", "content-length": "1"], ends: true)], tag: 0),
    Offence(
      "trailers too soon", .contentLengthMismatch,
      [W.head(1, [":status": "200", "content-length": "1"]), W.head(1, ["a": "b"], ends: true)],
      tag: 0),
    .head(
      "fields of more than 64 KiB", .fieldsTooLong,
      [":status": "200", "a": String(repeating: "x", count: 100)]),
    Offence("more than 256 fields", .tooManyFields, [W.head(1, [0x88] + manyFields)], tag: 0),
    .head("101", .switchingProtocols, [":status": "101"]),
    Offence(
      "interim responses without end", .tooManyInterims,
      Array(repeating: W.head(1, [":status": "100"]), count: 21), tag: 0),
    Offence(
      "an interim response that is the last", .interimEndsStream,
      [W.head(1, [":status": "100"], ends: true)], tag: 0),
    Offence("a body without a head", .dataBeforeHead, [W.data(3, "x")], tag: 1),
    Offence(
      "a body behind an interim response", .dataBeforeHead,
      [W.head(1, [":status": "100"]), W.data(1, "x")], tag: 0),
    Offence(
      "a body with 204", .bodyNotAllowed,
      [W.head(1, [":status": "204"]), W.data(1, "x")], tag: 0),
    Offence(
      "a body with 304", .bodyNotAllowed,
      [W.head(1, [":status": "304"]), W.data(1, "x")], tag: 0),
    Offence(
      "a body to HEAD", .bodyNotAllowed,
      [W.head(3, [":status": "200"]), W.data(3, "x")], tag: 1),
    Offence(
      "trailers that do not end", .trailersDoNotEndStream, [ok, W.head(1, ["a": "b"])], tag: 0),
  ]

  @Test(arguments: offences)
  func isFoundAndSaid(_ offence: Offence) throws {
    var client = H2Client()
    client.open(.get, tag: 0)
    client.open(.head, tag: 1)
    _ = client.takeSent()
    var notes: [H2Note] = []
    if offence.violation == .fieldsTooLong {
      // One field of 4 KiB in the table, named until the list is too long.
      let entry = W.added("a", String(repeating: "x", count: 4000))
      notes = client.receive(
        W.settings() + W.head(1, [0x88] + entry + Array(repeating: 0xBE, count: 16)))
    } else {
      notes = client.receive(offence.bytes)
    }
    #expect(notes.last == .violation(offence.violation, offence.tag))

    // Said to the peer, with the code, as the last word.
    let last = try #require(client.takeSent().last)
    #expect(last.kind == 7 && last.stream == 0)
    #expect(
      last.payload == [0, 0, 0, 0] + H2Wire.bigEndian(offence.violation.code.rawValue))
    // Over for good.
    #expect(client.connection.room == 0 && client.connection.refill == 0)
    #expect(client.connection.isDone == true)
    #expect(client.receive(W.settings()) == [])
  }

  @Test func everyRuleHasAnOffender() {
    let found = Set(Self.offences.map(\.violation.rawValue))
      .union(H2ServerTests.offences.map(\.violation.rawValue))
    for violation in H2Violation.allCases where !found.contains(violation.rawValue) {
      Issue.record("nobody does: \(violation.explanation)")
    }
  }

  @Test func codesHaveNames() {
    #expect(H2ErrorCode.refusedStream.description == "REFUSED_STREAM")
    #expect(H2ErrorCode(rawValue: 0xD).description == "HTTP_1_1_REQUIRED")
    #expect(H2ErrorCode(rawValue: 0xE).description == "0xe")
    // Results call them the same, and count each apart.
    for code in HTTP2Code.allCases where code != .other {
      #expect(H2ErrorCode(rawValue: UInt32(code.rawValue)).description == code.name)
      #expect(HTTP2Code(ofFrame: UInt32(code.rawValue)) == code)
    }
    for code in [0xE, 0xFF, 0x100, .max] as [UInt32] { #expect(HTTP2Code(ofFrame: code) == .other) }
    let findings = HTTP2Code.allCases.flatMap { [$0.goAway, $0.reset] }
    #expect(Set(findings).count == 30)
    for code in HTTP2Code.allCases {
      let words = code.name.lowercased()
      #expect(code.goAway.name == "gone_away_" + words && code.reset.name == "reset_" + words)
    }
  }
}
