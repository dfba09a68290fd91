import SquallHTTP
import Testing

/// One request and what it must be read as.
struct RequestVector: CustomTestStringConvertible, Sendable {
  struct Whole: Sendable {
    var method = RequestParser.Method.get
    var target = "/"
    var body: UInt64 = 0
    var keepAlive = true
    /// Bytes of `text` after the request.
    var restByteCount = 0
  }

  enum Expectation: Sendable {
    case whole(Whole)
    case malformed(Malformation)
    case needsMore
  }

  let text: String
  let bytes: [UInt8]
  let expectation: Expectation

  var testDescription: String { text.prefix(160).debugDescription }

  init(_ text: String, _ expectation: Expectation) {
    self.text = text
    self.bytes = text.unicodeScalars.map { UInt8($0.value) }
    self.expectation = expectation
  }

  static let all = RequestTable().vectors
}

struct RequestTable {
  private(set) var vectors: [RequestVector] = []

  init() {
    lines()
    bodies()
    faults()
    unfinished()
  }

  private mutating func add(_ text: String, _ whole: RequestVector.Whole) {
    vectors.append(RequestVector(text, .whole(whole)))
  }
  private mutating func refuse(_ text: String, _ cause: Malformation) {
    vectors.append(RequestVector(text, .malformed(cause)))
  }
  private func get(_ target: String = "/", _ fields: String = "") -> String {
    "GET \(target) HTTP/1.1\r\nHost: a\r\n\(fields)\r\n"
  }
  private func post(_ fields: String, body: String) -> String {
    "POST / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\(body)"
  }

  private mutating func lines() {
    add(get(), .init())
    for target in [
      "/a/b?c=d&e", "*", "http://a/b?c", "/%20", "/" + String(repeating: "x", count: 900),
    ] {
      add(get(target), .init(target: target))
    }
    let methods: [(String, RequestParser.Method)] = [
      ("HEAD", .head), ("POST", .post), ("PUT", .put), ("DELETE", .delete), ("OPTIONS", .options),
      ("PATCH", .patch), ("TRACE", .trace), ("CONNECT", .connect), ("get", .other),
      ("GETT", .other),
      ("G", .other), ("PROPPATCH", .other), ("AGET", .other), ("XXXXXGET", .other),
      ("XXXXXXXXGET", .other), (String(repeating: "M", count: 32), .other),
    ]
    for (name, method) in methods {
      add("\(name) / HTTP/1.1\r\nHost: a\r\n\r\n", .init(method: method))
    }
    add("\r\n\r\n" + get(), .init())
    add(get() + get("/next"), .init(restByteCount: get("/next").utf8.count))
    add("GET / HTTP/1.0\r\n\r\n", .init(keepAlive: false))
    add("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", .init())
    add(get("/", "Connection: close\r\n"), .init(keepAlive: false))
    add(get("/", "Connection: x, CLOSE\r\n"), .init(keepAlive: false))
    add(get("/", "X: a\r\n b\r\n"), .init())
    add(get("/", "Hosts: b\r\n"), .init())
  }

  private mutating func bodies() {
    add(post("Content-Length: 5\r\n", body: "hello"), .init(method: .post, body: 5))
    add(post("Content-Length: 0\r\n", body: "x"), .init(method: .post, restByteCount: 1))
    add(post("", body: "x"), .init(method: .post, restByteCount: 1))
    add(
      post("Transfer-Encoding: chunked\r\n", body: "5;x\r\nhello\r\n0\r\nA: b\r\n\r\n"),
      .init(method: .post, body: 5))
    add(
      post("Expect: 100-continue\r\nContent-Length: 5\r\n", body: "hello"),
      .init(method: .post, body: 5))
  }

  private mutating func faults() {
    for text in [" / HTTP/1.1\r\n", "G(T / HTTP/1.1", "G\u{0}", "\u{16}\u{3}\u{1}", "\n", "G\r\n"] {
      refuse(text, .invalidMethod)
    }
    refuse(String(repeating: "M", count: 33) + " /", .invalidMethod)
    for target in ["", "/\u{0}", "/\t", "/\u{7F}", "/\u{E9}", "/a\n"] {
      refuse("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n", .invalidTarget)
    }
    refuse(get("/" + String(repeating: "x", count: 4096)), .targetTooLong)
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/1.1 ", " HTTP/1.1x", "b HTTP/1.1"] {
      let cause = version.first == "H" ? Malformation.unsupportedVersion : .notHTTP
      refuse("GET / \(version)\r\nHost: a\r\n\r\n", cause)
    }
    refuse("GET /\r\n", .unsupportedVersion)
    refuse("GET / HTTP/1.1\n", .bareLineFeed)
    refuse("GET / HTTP/1.1\rX", .bareCarriageReturn)
    refuse("\rGET", .bareCarriageReturn)
    refuse("GET / http/1.1\r\n", .notHTTP)
    refuse("GET / HTTP/1.1\r\n\r\n", .missingHost)
    refuse(get("/", "Host: b\r\n"), .repeatedHost)
    refuse(get("/", "Host : b\r\n"), .spaceBeforeColon)
    refuse(get("/", "Expect: x\r\n y\r\n"), .foldedFramingField)
    refuse(
      get("/", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
      .contentLengthWithTransferEncoding)
    refuse(get("/", "Transfer-Encoding: gzip\r\n"), .chunkedNotLast)
    refuse(
      "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingInHTTP10)
    refuse(get("/", "Content-Length: -1\r\n"), .invalidContentLength)
    refuse(get("/", "X: " + String(repeating: "y", count: 70_000)), .headTooLong)
    refuse(get("/", String(repeating: "X: y\r\n", count: 256)), .tooManyFields)
    refuse(String(repeating: "\r\n", count: 40_000), .headTooLong)
    refuse(
      post("Transfer-Encoding: chunked\r\n", body: "5\r\nhelloX"), .chunkNotDelimited)
  }

  private mutating func unfinished() {
    let texts =
      ["", "GET", "GET /", "GET / HTTP/1.1\r\nHost: a\r\n", "\r", "\r\n"]
      + [post("Content-Length: 5\r\n", body: "hell")]
    for text in texts { vectors.append(RequestVector(text, .needsMore)) }
  }
}

@Suite struct RequestParserTests {
  private let memory = GuardedBytes(capacity: 256 << 10)

  @Test(arguments: RequestVector.all)
  func isReadAsTheTableSays(vector: RequestVector) {
    let reading = RequestReading([vector.bytes[...]], in: memory)
    switch vector.expectation {
    case .needsMore: #expect(reading.step == .needsMore)
    case .malformed(let cause): #expect(reading.step == .malformed(cause))
    case .whole(let whole):
      let byteCount = vector.bytes.count - whole.restByteCount
      #expect(reading.step == .complete(consumedByteCount: byteCount))
      #expect(reading.method == whole.method)
      #expect(String(decoding: reading.target, as: UTF8.self) == whole.target)
      #expect(reading.bodyByteCount == whole.body)
      #expect(reading.keepAlive == whole.keepAlive)
    }
  }

  @Test(arguments: RequestVector.all)
  func isReadTheSameWhereverItIsCut(vector: RequestVector) {
    let bytes = vector.bytes
    let whole = RequestReading([bytes[...]], in: memory)
    for cut in stride(from: 0, through: bytes.count, by: bytes.count > 2_000 ? 499 : 1) {
      let halves = RequestReading(bytes.cut(at: [cut]), in: memory)
      #expect(halves == whole, "cut at \(cut)")
    }
    let dripped = RequestReading(bytes.dripped, in: memory)
    #expect(dripped == whole)
  }

  @Test(arguments: RequestVector.all.filter { $0.bytes.count < 300 })
  func isReadSomehowWithAnyBitFlipped(vector: RequestVector) {
    var bytes = vector.bytes
    var disagreements: [String] = []
    for index in bytes.indices {
      for bit in 0..<8 {
        bytes[index] ^= 1 << UInt8(bit)
        let whole = RequestReading([bytes[...]], in: memory)
        let dripped = RequestReading(bytes.dripped, in: memory)
        if whole != dripped { disagreements.append("byte \(index) bit \(bit)") }
        bytes[index] ^= 1 << UInt8(bit)
      }
    }
    #expect(disagreements.isEmpty)
  }

  @Test func aTargetIsAsLongAsTheScratchAndNoLonger() {
    let request = { (byteCount: Int) in
      let target = "/" + String(repeating: "x", count: byteCount - 1)
      return Array("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
    }
    for pieces in [{ (bytes: [UInt8]) in [bytes[...]] }, { $0.dripped }] {
      let fits = RequestReading(pieces(request(64)), scratchByteCount: 64, in: memory)
      let exceeds = RequestReading(pieces(request(65)), scratchByteCount: 64, in: memory)
      #expect(fits.target.count == 64)
      #expect(exceeds.step == .malformed(.targetTooLong))
    }
  }

  @Test func aTargetThatLiesInOneBufferIsNotCopied() {
    var parser = RequestParser()
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 1)
    defer { scratch.deallocate() }
    let bytes = Array("GET /abc HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
    let isBorrowed = bytes.withUnsafeBytes { bytes in
      _ = parser.consume(bytes, scratch: scratch)
      return parser.target(in: bytes, scratch: scratch).baseAddress == bytes.baseAddress! + 4
    }
    #expect(isBorrowed)
  }

  @Test func awaitsContinueBetweenHeadAndBody() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n"
    let awaits = { (text: String) in
      RequestReading([ArraySlice(text.utf8)], in: memory).awaitsContinue
    }
    #expect(awaits(head))
    #expect(!awaits(String(head.dropLast(1))))
    #expect(!awaits(head + "h"))
    #expect(!awaits(head + "hi"))
    #expect(!awaits(head.replacing("HTTP/1.1", with: "HTTP/1.0")))
    #expect(!awaits(head.replacing("100-Continue", with: "200-ok")))
  }

  @Test func pipelinedRequestsComeOneByOneInTheirOrder() {
    let bytes = (0..<30).flatMap { Array("GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n".utf8) }
    var rest = bytes[...]
    var targets: [String] = []
    while !rest.isEmpty {
      let reading = RequestReading([rest], in: memory)
      guard case .complete(let byteCount) = reading.step else { break }
      targets.append(String(decoding: reading.target, as: UTF8.self))
      rest = rest.dropFirst(byteCount)
    }
    #expect(targets == (0..<30).map { "/\($0)" })
  }

  @Test func theTableMeetsEveryMalformationOfARequestLine() {
    let met = RequestVector.all.compactMap { vector -> Malformation? in
      guard case .malformed(let cause) = vector.expectation else { return nil }
      return cause
    }
    let own: Set<Malformation> = [
      .invalidMethod, .invalidTarget, .targetTooLong, .missingHost, .repeatedHost,
      .unsupportedVersion,
    ]
    #expect(own.isSubset(of: met))
  }
}
