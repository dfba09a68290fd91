import SquallHTTP
import Testing

@Suite struct RequestTemplateTests {
  private func template(
    method: String = "GET", target: String = "/x?y", host: String = "h:8080",
    headers: [(name: String, value: String)] = [], body: String = "", closes: Bool = false
  ) throws(RequestError) -> RequestTemplate {
    try RequestTemplate(
      method: method, target: target, host: host, headers: headers, body: Array(body.utf8),
      closes: closes, userAgent: "squall/1.2")
  }

  private func text(_ template: RequestTemplate) -> String {
    String(decoding: template.bytes, as: UTF8.self)
  }

  @Test func aPlainRequestIsAsShortAsItMayBe() throws {
    let template = try template()
    #expect(
      text(template) == "GET /x?y HTTP/1.1\r\nHost: h:8080\r\nUser-Agent: squall/1.2\r\n\r\n")
    #expect(!template.expectsNoBody && !template.closes)
  }

  @Test func headersKeepTheirOrderAndSpelling() throws {
    let template = try template(headers: [
      ("x-b", "1"), ("X-A", ""), ("x-b", "é\t2"), ("accept", "*/*"),
    ])
    #expect(
      text(template) == "GET /x?y HTTP/1.1\r\nHost: h:8080\r\nx-b: 1\r\nX-A: \r\nx-b: é\t2\r\n"
        + "accept: */*\r\nUser-Agent: squall/1.2\r\n\r\n")
  }

  @Test func hostAndUserAgentMayBeReplaced() throws {
    let template = try template(headers: [("USER-AGENT", "me"), ("host", "other")])
    #expect(text(template) == "GET /x?y HTTP/1.1\r\nHost: other\r\nUSER-AGENT: me\r\n\r\n")
  }

  @Test(arguments: [
    ("POST", "hello", String?("5")), ("POST", "", "0"), ("PUT", "", "0"), ("PATCH", "", "0"),
    ("GET", "hello", "5"), ("GET", "", nil), ("DELETE", "", nil), ("HEAD", "", nil),
  ])
  func contentLengthFollowsFromTheBody(method: String, body: String, length: String?) throws {
    let text = text(try template(method: method, body: body))
    #expect(text.contains("Content-Length:") == (length != nil))
    if let length { #expect(text.hasSuffix("Content-Length: \(length)\r\n\r\n\(body)")) }
  }

  @Test func aRequestWithoutKeepAliveSaysSoOnce() throws {
    let plain = try template(closes: true)
    #expect(plain.closes && text(plain).hasSuffix("\r\nConnection: close\r\n\r\n"))

    for value in ["close", "x, CLOSE ", "\tClose"] {
      for closes in [true, false] {
        let own = try template(headers: [("connection", value)], closes: closes)
        #expect(own.closes)
        #expect(!text(own).contains("Connection: close"))
      }
    }
    let other = try template(headers: [("Connection", "upgrade")])
    #expect(!other.closes)
  }

  @Test func aHeadRequestExpectsNoBody() throws {
    #expect(try template(method: "HEAD").expectsNoBody)
    #expect(try template(method: "OPTIONS", target: "*").expectsNoBody == false)
  }

  @Test func theBodyFollowsTheHeadByteForByte() throws {
    let body = (0...255).map { UInt8($0) }
    let template = try RequestTemplate(
      method: "POST", target: "/", host: "h", headers: [], body: body, closes: false,
      userAgent: "u")
    #expect(Array(template.bytes.suffix(256)) == body)
  }

  @Test func whatItRendersIsReadBack() throws {
    let memory = GuardedBytes(capacity: 4096)
    let template = try template(
      method: "POST", headers: [("X", "y")], body: "hello", closes: true)
    let reading = RequestReading([template.bytes[...]], in: memory)
    #expect(reading.step == .complete(consumedByteCount: template.bytes.count))
    #expect(reading.method == .post && reading.bodyByteCount == 5 && !reading.keepAlive)
    #expect(String(decoding: reading.target, as: UTF8.self) == "/x?y")
  }

  @Test(arguments: ["", "G T", "GET\r\n", "G\u{0}", "GÉT", "GET:"])
  func refusesAMethodThatIsNoToken(method: String) {
    #expect(throws: RequestError.invalidMethod(method)) { try template(method: method) }
  }

  @Test(arguments: [
    ("/a b", RequestError.invalidTarget("/a b", " ")),
    ("/a\r\nX: y", .invalidTarget("/a\r\nX: y", "\r")), ("/\u{0}", .invalidTarget("/\u{0}", "\0")),
    ("/é", .invalidTarget("/é", "é")), ("/#x", .invalidTarget("/#x", "#")), ("", .targetForm("")),
    ("a", .targetForm("a")), ("*", .targetForm("*")), ("http://h/", .targetForm("http://h/")),
  ])
  func refusesABadTarget(target: String, error: RequestError) {
    #expect(throws: error) { try template(target: target) }
  }

  @Test(arguments: ["", "a b", "a\r\n", "é"])
  func refusesABadHost(host: String) {
    #expect(throws: RequestError.invalidHost(host)) { try template(host: host) }
  }

  @Test(arguments: [
    ("", "x", RequestError.invalidFieldName("")), ("a b", "x", .invalidFieldName("a b")),
    ("a:", "x", .invalidFieldName("a:")), ("a\r\nb", "x", .invalidFieldName("a\r\nb")),
    ("é", "x", .invalidFieldName("é")), ("a", "x\r\ny: z", .invalidFieldValue(name: "a", "\r")),
    ("a", "x\ny", .invalidFieldValue(name: "a", "\n")),
    ("a", "\u{0}", .invalidFieldValue(name: "a", "\0")),
    ("a", "\u{7F}", .invalidFieldValue(name: "a", "\u{7F}")),
    ("Content-length", "1", .framingField("Content-length")),
    ("transfer-encoding", "chunked", .framingField("transfer-encoding")),
    ("Host", "a b", .invalidHost("a b")), ("host", "", .invalidHost("")),
  ])
  func refusesABadHeader(name: String, value: String, error: RequestError) {
    #expect(throws: error) { try template(headers: [(name, value)]) }
  }

  @Test func refusesTwoHostsAndATunnelAndABadUserAgent() {
    #expect(throws: RequestError.repeatedHost) {
      try template(headers: [("Host", "a"), ("host", "a")])
    }
    #expect(throws: RequestError.connectMethod) { try template(method: "CONNECT") }
    #expect(throws: RequestError.invalidFieldValue(name: "User-Agent", "\n")) {
      try RequestTemplate(
        method: "GET", target: "/", host: "h", headers: [], body: [], closes: false,
        userAgent: "a\nb")
    }
  }

  @Test func anErrorNamesTheInputAndTheRemedyOnOneLine() {
    let errors: [RequestError] = [
      .invalidMethod("G\r\nT"), .connectMethod, .invalidTarget("/\u{1B}", "\u{1B}"),
      .targetForm("a"), .invalidHost(""), .repeatedHost, .invalidFieldName("a\n"),
      .invalidFieldValue(name: "a", "\n"), .framingField("Content-Length"),
    ]
    for error in errors {
      let text = error.description
      #expect(text.contains(": "))
      #expect(text.unicodeScalars.allSatisfy { $0.value >= 0x20 })
    }
  }
}
