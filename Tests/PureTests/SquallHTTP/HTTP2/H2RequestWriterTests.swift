import SquallHTTP
import SquallLoad
import Testing

/// Requests that are rendered anew each time, against the oracle and against those that are rendered once.
@Suite struct H2RequestWriterTests {
  /// What goes out for the rendered request, once the peer's `settings` are read: fields as the oracle reads
  /// them, and the body.
  private func sent(
    _ rendered: String, isSecure: Bool = true, expectsNoBody: Bool = false, settings: [UInt8] = []
  ) -> (fields: [String], body: [UInt8])? {
    let bytes = Array(rendered.utf8)
    var writer = H2RequestWriter(headByteCountMax: bytes.count, isSecure: isSecure)
    var connection = H2Connection(streamCountMax: 1)
    var reader = ResponseHeadReader()
    settings.withUnsafeBytes { bytes in
      var rest = bytes
      _ = connection.next(&rest, reader: &reader)
    }
    let room = 65_536 + H2RequestWriter.framesByteCountMax(ofHead: bytes.count)
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 16)
    defer { memory.deallocate() }
    var output = OutgoingBytes(memory)
    let isOpened = bytes.withUnsafeBytes { bytes in
      guard let request = writer.request(bytes, expectsNoBody: expectsNoBody) else { return false }
      let fits = connection.fits(headByteCount: request.headByteCountMax, output)
      #expect(fits)
      _ = connection.open(request, tag: 0, into: &output)
      return true
    }
    guard isOpened, let frames = H2SentFrame.all(in: Array(memory[..<output.byteCount])) else {
      return nil
    }
    let heads = frames.filter { $0.kind == 1 || $0.kind == 9 }
    #expect(heads.allSatisfy { $0.stream == 1 && $0.payload.count <= 16_384 })
    #expect(heads.last?.flags ?? 0 & H2Wire.endHeaders != 0)
    var oracle = H2Oracle()
    guard let fields = oracle.decode(heads.flatMap(\.payload)) else { return nil }
    return (fields, frames.filter { $0.kind == 0 }.flatMap(\.payload))
  }

  @Test func fieldsAreThoseOfTheRenderedRequest() throws {
    let request = try #require(
      sent(
        "POST /a?b=c%20d HTTP/1.1\r\nHost: example.org:81\r\nUser-Agent: squall/1\r\n"
          + "Content-Type: application/json\r\nX-Some-Name: a: b \r\nCookie: a=b; c=d\r\n"
          + "TE: trailers\r\nContent-Length: 3\r\n\r\n{1}"))
    #expect(
      request.fields == [
        ":method: POST", ":scheme: https", ":path: /a?b=c%20d", ":authority: example.org:81",
        "user-agent: squall/1", "content-type: application/json", "x-some-name: a: b ",
        "cookie: a=b; c=d", "te: trailers", "content-length: 3",
      ])
    #expect(request.body == Array("{1}".utf8))
  }

  @Test(arguments: ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
  func theyAreThoseThatARequestOfTheRunHas(method: String) throws {
    let text =
      "\(method) /p HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nAUTHORIZATION: Bearer x\r\n"
      + "X-Empty: \r\n\r\n"
    let template = try #require(H2RequestTemplate(rendered: Array(text.utf8), scheme: "http"))
    let requests = H2Requests([template])
    var connection = H2Connection(streamCountMax: 1)
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    defer { memory.deallocate() }
    var output = OutgoingBytes(memory)
    _ = connection.open(requests[0], tag: 0, into: &output)
    let frames = try #require(H2SentFrame.all(in: Array(memory[..<output.byteCount])))
    var oracle = H2Oracle()
    let known = ["user-agent: squall", "content-length: 0"]
    let decoded = oracle.decode(frames.first { $0.kind == 1 }?.payload ?? [])
    let expected = try #require(decoded).filter { !known.contains($0) }.sorted()
    let fields = try #require(sent(text, isSecure: false)).fields
    #expect(fields.sorted() == expected)
    #expect(fields.prefix(4).allSatisfy { $0.hasPrefix(":") })
  }

  /// Every name of the static table, as it is and with capital letters.
  @Test func namesOfTheStaticTableAreFound() {
    for name in [
      "accept-charset", "accept-encoding", "accept", "age", "authorization", "content-length",
      "cookie", "etag", "from", "if-none-match", "range", "referer", "user-agent", "via",
      "www-authenticate", "x", "accept-", "aaaaaa", "cookie2",
    ] {
      for name in [name, name.uppercased()] {
        let fields = sent("GET / HTTP/1.1\r\nHost: h\r\n\(name): v\r\n\r\n")?.fields
        #expect(fields?.last == "\(name.lowercased()): v")
      }
    }
  }

  @Test(arguments: [1, 100, 16_000, 16_370, 16_378, 16_379, 20_000, 33_000, 60_000])
  func aHeadLargerThanAFrameIsContinued(byteCount: Int) throws {
    let value = String(repeating: "~", count: byteCount)
    for settings in [[], H2Wire.settings([1: 100])] {
      let request = try #require(
        sent("GET / HTTP/1.1\r\nHost: h\r\nX-Large: \(value)\r\n\r\n", settings: settings))
      #expect(request.fields.last == "x-large: \(value)")
      #expect(request.fields.count == 5)
    }
  }

  @Test(arguments: [
    "", "GET", "GET / HTTP/1.1", "GET /\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n",
    "GET / HTTP/1.1\r\nHost h\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nx\r\n\r\n",
  ])
  func whatIsNoRequestIsNotSent(text: String) {
    #expect(sent(text) == nil)
  }

  /// Any bytes at all: what is sent of them is a request, with one of each pseudo field.
  @Test(arguments: UInt64(0)..<50)
  func noiseIsSurvived(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let words = [
      "GET ", "/ ", "HTTP/1.1", "\r\n", "Host: ", "a", ":", " ", "\r", "\n", "Cookie: x",
    ]
    let text = (0..<Int.random(in: 0..<40, using: &random)).map { _ in
      words[Int.random(in: 0..<words.count, using: &random)]
    }.joined()
    for text in [text, "GET / HTTP/1.1\r\nHost: h\r\n" + text + "\r\n\r\n"] {
      guard let fields = sent(text)?.fields else { continue }
      for name in [":method: ", ":scheme: ", ":path: "] {
        #expect(fields.count { $0.hasPrefix(name) } == 1, "\(text)")
      }
    }
  }

  /// Fields that somebody asked for, as lines.
  @Test func fieldsOfAnAnswerAreLines() {
    var client = H2Client()
    client.open(tag: 0, keepsFields: true)
    client.receive(
      H2Wire.settings() + H2Wire.head(1, [0x88] + H2Wire.added("x-token", "a b"), ends: true))
    var lines: [UInt8] = []
    client.reader.withFieldLines { lines += Array($0) }
    #expect(String(decoding: lines, as: UTF8.self) == "x-token: a b\r\n\r\n")
  }
}
