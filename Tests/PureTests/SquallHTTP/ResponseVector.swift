import SquallHTTP
import Testing

/// One response and what it must be read as. `row` is the row of the edge-case table (H1 to H35) it
/// belongs to.
struct ResponseVector: CustomTestStringConvertible, Sendable {
  enum Expectation: Sendable {
    /// Complete, and the connection may or may not go on.
    case ok(UInt16, body: UInt64, reusable: Bool)
    /// Complete when the peer closes.
    case okAtClose(UInt16, body: UInt64)
    case malformed(Malformation)
    /// Broken off by the peer's close.
    case cutOff(Malformation)
  }

  let row: String
  let text: String
  let bytes: [UInt8]
  let isHead: Bool
  let expectation: Expectation

  var testDescription: String { "\(row) \(text.prefix(160).debugDescription)" }

  /// Every character of `text` is one byte.
  init(_ row: String, _ text: String, isHead: Bool = false, _ expectation: Expectation) {
    self.row = row
    self.text = text
    self.bytes = text.unicodeScalars.map { UInt8($0.value) }
    self.isHead = isHead
    self.expectation = expectation
  }

  /// Bytes of the response itself; the text may go on after it.
  var isLarge: Bool { bytes.count > 2_000 }
}

/// Built statement by statement: as one expression the table takes the compiler minutes.
struct ResponseTable {
  private(set) var vectors: [ResponseVector] = []

  init() {
    interims()
    withoutBody()
    counted()
    chunks()
    codings()
    connections()
    fields()
    startLines()
    cutOff()
  }

  private mutating func add(
    _ row: String, _ text: String, isHead: Bool = false, _ expectation: ResponseVector.Expectation
  ) {
    vectors.append(ResponseVector(row, text, isHead: isHead, expectation))
  }

  private func ok(_ fields: String, body: String) -> String {
    "HTTP/1.1 200 OK\r\n\(fields)\r\n\(body)"
  }
  private func chunked(_ chunks: String) -> String {
    ok("Transfer-Encoding: chunked\r\n", body: chunks)
  }
  private var hello: String { ok("Content-Length: 5\r\n", body: "hello") }

  private func head(byteCount: Int) -> String {
    let start = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: "
    let end = "\r\n\r\n"
    return start + String(repeating: "v", count: byteCount - start.utf8.count - end.utf8.count)
      + end + "hello"
  }
  private func trailers(byteCount: Int) -> String {
    "X: " + String(repeating: "v", count: byteCount - 7) + "\r\n\r\n"
  }
  private func extended(_ count: Int) -> String {
    String(
      repeating: "1;" + String(repeating: "a", count: 1023) + "\r\nx\r\n", count: count)
  }

  // H1 to H3.
  private mutating func interims() {
    add("H1", "HTTP/1.1 100 Continue\r\n\r\n" + hello, .ok(200, body: 5, reusable: true))
    add("H1", "HTTP/1.1 102 Processing\r\n\r\n" + hello, .ok(200, body: 5, reusable: true))
    add("H1", "HTTP/1.1 199 Odd\r\n\r\n" + hello, .ok(200, body: 5, reusable: true))
    add(
      "H1", "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" + hello,
      .ok(200, body: 5, reusable: true))
    add(
      "H1", "HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\nConnection: close\r\n\r\n" + hello,
      .ok(200, body: 5, reusable: true))
    add(
      "H1", "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n" + hello,
      .ok(200, body: 5, reusable: true))
    add(
      "H1", String(repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: 20) + hello,
      .ok(200, body: 5, reusable: true))
    add(
      "H1", String(repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: 21) + hello,
      .malformed(.tooManyInterims))
    add("H1", "HTTP/1.0 100 Continue\r\n\r\n" + hello, .ok(200, body: 5, reusable: true))
    add("H2", "HTTP/1.1 100 Continue\r\n\r\n", .cutOff(.closedInHead))
    add(
      "H3", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
      .malformed(.switchingProtocols))
    add(
      "H3", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n",
      .malformed(.switchingProtocols))
  }

  // H4 and H5.
  private mutating func withoutBody() {
    for (status, code) in [("204 No Content", 204), ("304 Not Modified", 304)] as [(String, UInt16)]
    {
      for fields in ["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        add("H4", "HTTP/1.1 \(status)\r\n\(fields)\r\n", .ok(code, body: 0, reusable: true))
      }
    }
    for item in ["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
      add("H5", ok(item, body: ""), isHead: true, .ok(200, body: 0, reusable: true))
    }
    add(
      "H4", "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
      .ok(204, body: 0, reusable: false))
    add("H4", "HTTP/1.1 204 No Content\r\n\r\nhello", .ok(204, body: 0, reusable: true))
    add(
      "H4", "HTTP/1.1 304 No\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      .malformed(.contentLengthWithTransferEncoding))
    add("H5", hello, isHead: true, .ok(200, body: 0, reusable: true))
    add("H5", "HTTP/1.0 200 OK\r\n\r\n", isHead: true, .ok(200, body: 0, reusable: false))
    add(
      "H5", "HTTP/1.1 100 Continue\r\n\r\n" + ok("Content-Length: 5\r\n", body: ""), isHead: true,
      .ok(200, body: 0, reusable: true))
  }

  // H6 to H10.
  private mutating func counted() {
    for item in ["5", "  5 \t", "\t5", "0000000000000000000000000005"] {
      add("H6", ok("Content-Length:\(item)\r\n", body: "hello"), .ok(200, body: 5, reusable: true))
    }
    for item in [
      "-5", "+5", "0x5", "1_0", "1 0", "5;", "5a", "", " ", "5,", "five", "5.0", "\"5\"", "5, 5",
    ] {
      add("H8", ok("Content-Length: \(item)\r\n", body: "hello"), .malformed(.invalidContentLength))
    }
    for item in [
      "9223372036854775808", "18446744073709551615", "18446744073709551616", "18446744073709551621",
      "99999999999999999999999999999999", "00000000000000000000009223372036854775808",
    ] {
      add(
        "H8", ok("Content-Length: \(item)\r\n", body: "hello"), .malformed(.contentLengthTooLarge))
    }
    add("H6", hello, .ok(200, body: 5, reusable: true))
    add("H6", ok("Content-Length: 0\r\n", body: ""), .ok(200, body: 0, reusable: true))
    add("H6", ok("cOnTeNt-LeNgTh: 3\r\n", body: "abc"), .ok(200, body: 3, reusable: true))
    add(
      "H6", ok("Content-Lengths: 9\r\nContent-Lengt: 9\r\nContent-Length: 1\r\n", body: "x"),
      .ok(200, body: 1, reusable: true))
    add("H7", ok("Content-Length: 10\r\n", body: "hello"), .cutOff(.closedInBody))
    add("H8", ok("Content-Length: 4294967301\r\n", body: "hello"), .cutOff(.closedInBody))
    add("H8", ok("Content-Length: 9223372036854775807\r\n", body: "hello"), .cutOff(.closedInBody))
    add("H8", ok("Content-Length: 5\u{0B}\r\n", body: "hello"), .malformed(.invalidContentLength))
    add(
      "H9", ok("Content-Length: 5\r\nContent-Length: 5\r\n", body: "hello"),
      .ok(200, body: 5, reusable: true))
    add(
      "H9", ok("Content-Length: 5\r\nX: y\r\ncontent-length: 005\r\n", body: "hello"),
      .ok(200, body: 5, reusable: true))
    add(
      "H9", ok("Content-Length: 5\r\nContent-Length: 6\r\n", body: "hello!"),
      .malformed(.conflictingContentLengths))
    add(
      "H9", ok("Content-Length: 6\r\nContent-Length: 5\r\n", body: "hello!"),
      .malformed(.conflictingContentLengths))
    add("H9", ok("Content-Length: 5, 6\r\n", body: "hello!"), .malformed(.invalidContentLength))
    add(
      "H10", ok("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", body: "0\r\n\r\n"),
      .malformed(.contentLengthWithTransferEncoding))
    add(
      "H10", ok("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", body: "0\r\n\r\n"),
      .malformed(.contentLengthWithTransferEncoding))
  }

  // H11 to H15.
  private mutating func chunks() {
    for (chunks, body) in [
      ("5\r\nhello\r\n0\r\n\r\n", 5), ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", 11),
      ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", 20), ("0\r\n\r\n", 0),
      ("0000000000000005\r\nhello\r\n0\r\n\r\n", 5), ("5\r\nhello\r\n000\r\n\r\n", 5),
      ("1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n0\r\n\r\n", 3), ("5;a\r\nhello\r\n0;b\r\n\r\n", 5),
      ("5;a=b;c=\"d;e\\\"f\r\"\r\nhello\r\n0\r\n\r\n", nil),
      ("5;a=b;c=\"d;\\\"=\"\r\nhello\r\n0\r\n\r\n", 5), ("5 ;a\r\nhello\r\n0\r\n\r\n", 5),
      ("5\t; a = b \r\nhello\r\n0\r\n\r\n", 5), ("2\r\n\r\n\r\n0\r\n\r\n", 2),
      ("5\r\nhello\r\n0\r\nX: y\r\nZ: w\r\n\r\n", 5),
      ("5\r\nhello\r\n0\r\nX: y\r\n fold\r\n\r\n", 5),
    ] as [(String, UInt64?)] {
      add(
        "H11", chunked(chunks),
        body.map { .ok(200, body: $0, reusable: true) } ?? .malformed(.invalidChunkExtension))
    }
    for item in [
      "Content-Length: 3\r\n", "Transfer-Encoding: gzip\r\n", "Connection: close\r\n",
      "Content-Length: x\r\n", "Content-Length: 1\r\n folded\r\n",
    ] {
      add("H12", chunked("5\r\nhello\r\n0\r\n\(item)\r\n"), .ok(200, body: 5, reusable: true))
    }
    for item in [
      "\r\n", ";a\r\n", "0x5\r\n", "+5\r\n", "-5\r\n", "0_5\r\n", "5g\r\n", "g\r\n", " 5\r\n",
      "5 \r\n", "5 5\r\n", "5\n", "\n", "5,\r\n", "5\u{0}\r\n",
    ] {
      add("H13", chunked(item + "hello\r\n0\r\n\r\n"), .malformed(.invalidChunkSize))
    }
    add("H13", chunked("00000000000000005\r\nhello\r\n0\r\n\r\n"), .malformed(.chunkSizeTooLong))
    add("H13", chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"), .malformed(.chunkSizeTooLong))
    add("H13", chunked("8000000000000000\r\nhello\r\n0\r\n\r\n"), .malformed(.chunkSizeTooLarge))
    add("H13", chunked("ffffffffffffffff\r\nhello\r\n0\r\n\r\n"), .malformed(.chunkSizeTooLarge))
    add("H13", chunked("7fffffffffffffff\r\nhello"), .cutOff(.closedInBody))
    add("H13", chunked("1\r\nx\r\n7fffffffffffffff\r\nhello"), .cutOff(.closedInBody))
    add("H13", chunked("5;\u{7}\r\nhello\r\n0\r\n\r\n"), .malformed(.invalidChunkExtension))
    add("H13", chunked("5;a\nhello\r\n0\r\n\r\n"), .malformed(.invalidChunkExtension))
    add("H14", chunked("5\rhello\r\n0\r\n\r\n"), .malformed(.bareCarriageReturn))
    add("H14", chunked("5;a\rhello\r\n0\r\n\r\n"), .malformed(.bareCarriageReturn))
    add("H14", chunked("5\r\nhello\r\n0\r\n\rX"), .malformed(.bareCarriageReturn))
    add("H14", chunked("5\r\nhello\r\n0\r\n\n"), .malformed(.bareLineFeed))
    for item in ["", "XX", "\rX", "\n", "X\n", "\n\r", "\r\r\n"] {
      add("H14", chunked("5\r\nhello\(item)0\r\n\r\n"), .malformed(.chunkNotDelimited))
    }
    for item in [
      "", "5", "5\r", "5\r\n", "5\r\nhe", "5\r\nhello", "5\r\nhello\r", "5\r\nhello\r\n",
      "5\r\nhello\r\n0", "5\r\nhello\r\n0\r\n", "5\r\nhello\r\n0\r\n\r", "5\r\nhello\r\n0\r\nX: y",
      "5;a=\"", "5;a=\"\\",
    ] {
      add("H15", chunked(item), .cutOff(.closedInBody))
    }
  }

  // H16 to H18.
  private mutating func codings() {
    for item in [
      "gzip", "identity", "chunked, gzip", "chunked, chunked", "chunked,chunked", "xchunked",
      "chunkedx", "chunke", "", ",", "chunked;q=1", "chunked chunked", "gzip, chunked, br",
    ] {
      add(
        "H16", ok("Transfer-Encoding: \(item)\r\n", body: "0\r\n\r\n"), .malformed(.chunkedNotLast))
    }
    for item in ["\"chunked\"", "a=\"b,chunked\"", "\u{A0}chunked", "chunked\u{A0}", "(chunked)"] {
      add(
        "H16", ok("Transfer-Encoding: \(item)\r\n", body: "0\r\n\r\n"),
        .malformed(.invalidTransferEncoding))
    }
    for item in [
      "chunked", "Chunked", "CHUNKED", "  chunked\t", "gzip, chunked", "gzip,chunked", ",chunked",
      "chunked,", "chunked , ", "x;a=b, chunked",
    ] {
      add(
        "H16", ok("Transfer-Encoding:\(item)\r\n", body: "5\r\nhello\r\n0\r\n\r\n"),
        .ok(200, body: 5, reusable: true))
    }
    add(
      "H16", ok("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", body: "0\r\n\r\n"),
      .ok(200, body: 0, reusable: true))
    add(
      "H16", ok("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", body: "0\r\n\r\n"),
      .malformed(.chunkedNotLast))
    add(
      "H16", ok("Transfer-Encoding: \u{0B}chunked\r\n", body: "0\r\n\r\n"),
      .malformed(.controlCharacter))
    add(
      "H17", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      .malformed(.transferEncodingInHTTP10))
    add("H18", ok("", body: "hello"), .okAtClose(200, body: 5))
    add("H18", ok("", body: ""), .okAtClose(200, body: 0))
    add("H18", ok("Connection: keep-alive\r\n", body: "hello"), .okAtClose(200, body: 5))
    add("H18", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello", .okAtClose(200, body: 5))
  }

  // H19, H20, H30, H34 and H35.
  private mutating func connections() {
    for item in [
      "close", "CLOSE", "Close", "keep-alive, close", "close, keep-alive", "x,close", ",,close",
      "\tclose\t", "a , close , b", "close,",
    ] {
      add(
        "H19", ok("Connection:\(item)\r\nContent-Length: 5\r\n", body: "hello"),
        .ok(200, body: 5, reusable: false))
    }
    for item in [
      "keep-alive", "closed", "clos", "xclose", "not close", "close now", "\"close\"", "upgrade",
      "", "close;x", "keep alive", "Upgrade, keep-alive",
    ] {
      add(
        "H19", ok("Connection: \(item)\r\nContent-Length: 5\r\n", body: "hello"),
        .ok(200, body: 5, reusable: true))
    }
    add(
      "H19", ok("Content-Length: 1\r\nConnection: x\r\nconnection: close\r\n", body: "y"),
      .ok(200, body: 1, reusable: false))
    add(
      "H19", ok("Connections: close\r\nConnectio: close\r\nContent-Length: 1\r\n", body: "y"),
      .ok(200, body: 1, reusable: true))
    add(
      "H19", ok("Connection: close\r\nTransfer-Encoding: chunked\r\n", body: "0\r\n\r\n"),
      .ok(200, body: 0, reusable: false))
    add(
      "H20", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", .ok(200, body: 5, reusable: false)
    )
    add(
      "H20", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\nhello",
      .ok(200, body: 5, reusable: true))
    add(
      "H20", "HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 0\r\n\r\n",
      .ok(200, body: 0, reusable: false))
    add(
      "H30", "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
      .ok(413, body: 0, reusable: false))
    add(
      "H34", "HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
      .ok(426, body: 0, reusable: true))
    add(
      "H35", "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
      .ok(302, body: 0, reusable: true))
  }

  // H21 to H25.
  private mutating func fields() {
    add("H21", hello + "junk", .ok(200, body: 5, reusable: true))
    add("H21", hello + "\r\n", .ok(200, body: 5, reusable: true))
    add("H21", hello + "HTTP/1.1 500 X\r\n\r\n", .ok(200, body: 5, reusable: true))
    add("H21", "\r\n" + hello, .malformed(.notHTTP))
    add(
      "H22", ok("X: a\r\n b\r\n\tc\r\nContent-Length: 5\r\n", body: "hello"),
      .ok(200, body: 5, reusable: true))
    add(
      "H22", ok("X:\r\n \r\nContent-Length: 5\r\n", body: "hello"),
      .ok(200, body: 5, reusable: true))
    add("H22", ok("Content-Length: 5\r\n 5\r\n", body: "hello"), .malformed(.foldedFramingField))
    add("H22", ok("Content-Length:\r\n 5\r\n", body: ""), .malformed(.invalidContentLength))
    add(
      "H22", ok("Transfer-Encoding: gzip,\r\n chunked\r\n", body: "0\r\n\r\n"),
      .malformed(.foldedFramingField))
    add("H22", ok("Connection: x,\r\n\tclose\r\n", body: ""), .malformed(.foldedFramingField))
    add("H22", ok(" X: y\r\n", body: ""), .malformed(.leadingWhitespace))
    add("H22", ok("\tX: y\r\n", body: ""), .malformed(.leadingWhitespace))
    add(
      "H22", "HTTP/1.1 100 C\r\nX: y\r\n\r\n" + ok(" a\r\n", body: ""),
      .malformed(.leadingWhitespace))
    add("H22", chunked("0\r\n X: y\r\n\r\n"), .malformed(.leadingWhitespace))
    add(
      "H22", ok("Expect: x\r\n y\r\nHost: a\r\nHost: b\r\nContent-Length: 5\r\n", body: "hello"),
      .ok(200, body: 5, reusable: true))
    add("H23", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", .malformed(.bareLineFeed))
    add("H23", "HTTP/1.1 200 OK\r\nContent-Length: 0\n\n", .malformed(.bareLineFeed))
    add("H23", ok("X: a\nContent-Length: 3\r\n", body: ""), .malformed(.bareLineFeed))
    add("H23", ok("X\nContent-Length: 3\r\n", body: ""), .malformed(.bareLineFeed))
    add("H23", ok("X: y\r\n\n", body: ""), .malformed(.bareLineFeed))
    add("H23", ok("Connection: x\nY: z\r\n", body: ""), .malformed(.bareLineFeed))
    add("H24", ok("X: a\rb\r\n", body: ""), .malformed(.bareCarriageReturn))
    add("H24", ok("X: a\r\r\n", body: ""), .malformed(.bareCarriageReturn))
    add("H24", ok("\r\r\n", body: ""), .malformed(.bareCarriageReturn))
    add("H24", "HTTP/1.1 200 OK\rX\r\n\r\n", .malformed(.bareCarriageReturn))
    add("H24", "HTTP/1.1 200 O\u{0}K\r\n\r\n", .malformed(.nullByte))
    add("H24", "HTTP/1.1 200 O\u{1}K\r\n\r\n", .malformed(.controlCharacter))
    add("H24", ok("X: a\u{0}b\r\n", body: ""), .malformed(.nullByte))
    add("H24", ok("X\u{0}: ab\r\n", body: ""), .malformed(.nullByte))
    add("H24", ok("Connection: a\u{0}\r\n", body: ""), .malformed(.nullByte))
    add("H24", ok("X: a\u{7F}b\r\n", body: ""), .malformed(.controlCharacter))
    add("H24", ok("X: a\u{1B}[m\r\n", body: ""), .malformed(.controlCharacter))
    add("H24", ok("X : y\r\n", body: ""), .malformed(.spaceBeforeColon))
    add("H24", ok("Content-Length : 5\r\n", body: ""), .malformed(.spaceBeforeColon))
    add("H24", ok("Content-Length\t: 5\r\n", body: ""), .malformed(.spaceBeforeColon))
    add("H24", ok("X y: z\r\n", body: ""), .malformed(.spaceBeforeColon))
    add("H24", ok(": y\r\n", body: ""), .malformed(.emptyFieldName))
    add("H24", ok("X\r\n", body: ""), .malformed(.missingColon))
    add("H24", ok("(X): y\r\n", body: ""), .malformed(.invalidFieldName))
    add("H24", ok("X/Y: z\r\n", body: ""), .malformed(.invalidFieldName))
    add("H24", ok("X\u{E9}: z\r\n", body: ""), .malformed(.invalidFieldName))
    add("H24", ok("X\u{80}: z\r\n", body: ""), .malformed(.invalidFieldName))
    add("H24", ok("Server\u{7F}: z\r\n", body: ""), .malformed(.invalidFieldName))
    add(
      "H24", ok("!#$%&'*+-.^_`|~09azAZ: \u{80}\u{FF}\t~!\r\nContent-Length: 0\r\n", body: ""),
      .ok(200, body: 0, reusable: true))
    add("H24", ok("Content\u{0D}Length: 5\r\n", body: ""), .malformed(.missingColon))
    add(
      "H24", ok("Date: x\r\nX:y\r\nContent-Length:0\r\n", body: ""),
      .ok(200, body: 0, reusable: true))
    for item in [4 << 10, 8 << 10, 15_000, 64 << 10] {
      add("H25", head(byteCount: item), .ok(200, body: 5, reusable: true))
    }
    for item in [(64 << 10) + 1, 400_000] {
      add("H25", head(byteCount: item), .malformed(.headTooLong))
    }
    add(
      "H25", ok(String(repeating: "X: y\r\n", count: 255) + "Content-Length: 5\r\n", body: "hello"),
      .ok(200, body: 5, reusable: true))
    add(
      "H25", ok(String(repeating: "X: y\r\n", count: 256) + "Content-Length: 5\r\n", body: "hello"),
      .malformed(.tooManyFields))
    add("H25", "HTTP/1.1 200 " + String(repeating: "x", count: 70_000), .malformed(.headTooLong))
    add("H25", chunked("0\r\n" + trailers(byteCount: 16 << 10)), .ok(200, body: 0, reusable: true))
    add("H25", chunked("0\r\n" + trailers(byteCount: (16 << 10) + 1)), .malformed(.trailersTooLong))
    add(
      "H25", chunked("0\r\n" + String(repeating: "X: y\r\n", count: 257) + "\r\n"),
      .malformed(.tooManyFields))
    add(
      "H25", chunked("0;" + String(repeating: "a", count: 4092) + "\r\n\r\n"),
      .ok(200, body: 0, reusable: true))
    add(
      "H25", chunked("0;" + String(repeating: "a", count: 4093) + "\r\n\r\n"),
      .malformed(.chunkLineTooLong))
    add("H25", chunked("0;" + String(repeating: "a", count: 90_000)), .malformed(.chunkLineTooLong))
    add("H25", chunked(extended(16) + "0\r\n\r\n"), .ok(200, body: 16, reusable: true))
    add("H25", chunked(extended(16) + "0;\r\n\r\n"), .malformed(.chunkExtensionsTooLong))
  }

  // H26 to H28.
  private mutating func startLines() {
    for (text, code) in [("200", UInt16(200)), ("299", 299), ("599", 599), ("400", 400)]
      as [(String, UInt16)]
    {
      add(
        "H26", "HTTP/1.1 \(text) X\r\nContent-Length: 0\r\n\r\n", .ok(code, body: 0, reusable: true)
      )
    }
    for item in ["099", "000", "600", "999"] {
      add("H26", "HTTP/1.1 \(item) X\r\n\r\n", .malformed(.statusCodeOutOfRange))
    }
    for item in [
      "2x0", "20", "2000", "-200", "20\u{B2}", "2\u{CA}0", "\u{CA}00", "20\u{CA}", "", " 200",
      "200OK", "+20", "2 0", "\r",
    ] {
      add("H26", "HTTP/1.1 \(item) OK\r\n\r\n", .malformed(.invalidStatusCode))
    }
    add("H26", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", .ok(200, body: 0, reusable: true))
    add("H26", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", .ok(200, body: 0, reusable: true))
    add(
      "H26", "HTTP/1.1 200 \tNa\u{EF}ve\r\nContent-Length: 0\r\n\r\n",
      .ok(200, body: 0, reusable: true))
    add("H26", "HTTP/1.1200 OK\r\n\r\n", .malformed(.unsupportedVersion))
    add("H26", "HTTP/1.1\r\n\r\n", .malformed(.unsupportedVersion))
    add("H26", "HTTP/1.1 200\n\r\n", .malformed(.invalidStatusCode))
    for item in [
      "HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "HTTP/11.1", "HTTP/1,1", "HTTP/1.10", "HTTP/1.1x",
    ] {
      add("H27", "\(item) 200 OK\r\n\r\n", .malformed(.unsupportedVersion))
    }
    for item in ["http/1.1", "Http/1.1", "HTTPER/1.1", "ICY", "RTSP/1.0", "HTTP 1.1", "XTTP/1.1"] {
      add("H27", "\(item) 200 OK\r\n\r\n", .malformed(.notHTTP))
    }
    for item in [
      "SSH-2.0-OpenSSH_9.2\r\n", "\u{15}\u{3}\u{3}\u{0}\u{2}\u{2}\u{28}",
      "\u{0}\u{0}\u{6}\u{4}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{3}\u{0}\u{0}\u{0}\u{64}", "<html>",
      "\n", "\u{0}", "220 smtp ready\r\n", "\u{FF}\u{FE}",
    ] {
      add("H28", item, .malformed(.notHTTP))
    }
  }

  private mutating func cutOff() {
    add("H28", "", .cutOff(.closedBeforeHead))
    for item in [
      "H", "HTTP/1.1 2", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r", "HTTP/1.1 200 OK\r\n",
      "HTTP/1.1 200 OK\r\nX", "HTTP/1.1 200 OK\r\nX: y\r\n\r",
      "HTTP/1.1 200 OK\r\nContent-Length: ",
    ] {
      add("H2", item, .cutOff(.closedInHead))
    }
  }

}

extension ResponseVector {
  static let all = ResponseTable().vectors
}
