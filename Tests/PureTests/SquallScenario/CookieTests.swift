import SquallScenario
import Testing

/// One jar a user, by the examples of RFC 6265 and its rules in 5.1 to 5.4.
struct CookieTests {
  /// Requests in order, each with the cookies its answer sets and the Cookie field it must have had.
  struct Exchange {
    var path: String
    var sets: [String] = []
    var sends: String?
  }

  @Test(arguments: [
    // 3.1: a session, then one more cookie, which is over when Path and Domain are as they were.
    [
      Exchange(path: "/", sets: ["SID=31d4d96e407aad42"]),
      Exchange(
        path: "/", sets: ["lang=en-US; Path=/; Domain=example.com"], sends: "SID=31d4d96e407aad42"),
      Exchange(
        path: "/", sets: ["lang=; Expires=Sun, 06 Nov 1994 08:49:37 GMT"],
        sends: "SID=31d4d96e407aad42; lang=en-US"),
      Exchange(
        path: "/", sets: ["lang=; Domain=example.com; Expires=Sun, 06 Nov 1994 08:49:37 GMT"],
        sends: "SID=31d4d96e407aad42; lang=en-US"),
      Exchange(path: "/", sends: "SID=31d4d96e407aad42"),
    ],
    // 5.3: the same name and path replaces; another path does not, and the longer goes first.
    [
      Exchange(path: "/", sets: ["a=1; Path=/", "a=2; Path=/x"]),
      Exchange(path: "/x/y", sets: ["a=3; Path=/x"], sends: "a=2; a=1"),
      Exchange(path: "/x", sends: "a=3; a=1"),
      Exchange(path: "/xy", sends: "a=1"),
    ],
    // 5.1.4: without a path, that of the request up to its last slash.
    [
      Exchange(path: "/docs/web/page", sets: ["a=1"]),
      Exchange(path: "/docs", sends: nil),
      Exchange(path: "/docs/web", sends: "a=1"),
      Exchange(path: "/docs/web/other?q=/", sends: "a=1"),
      Exchange(path: "/docs/webs", sends: nil),
    ],
    // 5.2.2: Max-Age wins over Expires, and none or less ends the cookie.
    [
      Exchange(path: "/", sets: ["a=1; Max-Age=100; Expires=Sun, 06 Nov 1994 08:49:37 GMT"]),
      Exchange(path: "/", sets: ["a=2; max-age=0"], sends: "a=1"),
      Exchange(path: "/", sets: ["b=1; MAX-AGE=-1", "c=1; Max-Age=x"], sends: nil),
      Exchange(path: "/", sends: "c=1"),
    ],
    // 5.1.3, 5.2.5: a foreign domain is not kept; a secure cookie not sent in the clear.
    [
      Exchange(
        path: "/",
        sets: [
          "a=1; Domain=other.com", "b=1; Domain=.example.com", "c=1; Secure",
          "d=1; Domain=ample.com",
        ]),
      Exchange(path: "/", sends: "b=1"),
    ],
    // 5.2: what has no name is no cookie; spaces go; only the first = and ; part it.
    [
      Exchange(path: "/", sets: ["novalue", "=x", " a = b=c ; HttpOnly; Path=relative", "e="]),
      Exchange(path: "/", sends: "a=b=c; e="),
    ],
  ])
  func cookiesComeBackAsTheRulesSay(exchanges: [Exchange]) throws { try exchange(exchanges) }

  private func exchange(_ exchanges: [Exchange]) throws {
    let steps = exchanges.map { "{get: \"\($0.path)\"}" }.joined(separator: ",")
    let script = try Script(
      document: "{squall: 1, target: http://shop.example.com, users: {a: {do: [\(steps)]}}}")
    script.machine.wallOffsetNs = 1_764_072_000_000_000_000
    for exchange in exchanges {
      let request = try script.send()
      let cookies = request.split(separator: "\r\n").first { $0.hasPrefix("Cookie: ") }
      #expect(cookies.map { String($0.dropFirst(8)) } == exchange.sends, "\(exchange)")
      let fields = exchange.sets.map { "Set-Cookie: \($0)" }
      let judgement = script.answer(
        pieces: MachineTests.reply(status: 200, fields: fields, body: "").map { [$0] })
      #expect(judgement == .good)
    }
  }

  /// 5.1.3, 5.3, 5.4 and 8.5: a cookie is its host's on every port, or with Domain that of all hosts below;
  /// a secure one goes over TLS only; a domain that the host is not in is refused.
  @Test func cookiesGoToTheHostsTheyBelongTo() throws {
    let (shop, api) = ("http://shop.example.com", "http://api.example.com")
    try exchange([
      Exchange(
        path: "/",
        sets: ["own=1", "all=1; Domain=example.com", "safe=1; Domain=EXAMPLE.com; Secure"]),
      Exchange(
        path: api + "/", sets: ["all=2; Domain=.example.com", "own=2; Domain="], sends: "all=1"),
      Exchange(path: shop + ":8080/", sends: "own=1; all=2"),
      Exchange(path: "https://api.example.com/", sends: "safe=1; all=2; own=2"),
      Exchange(
        path: "http://example.com/", sets: ["top=1", "api=1; Domain=api.example.com"],
        sends: "all=2"),
      Exchange(path: "http://badexample.com/", sets: ["x=1; Domain=example.com"], sends: nil),
      Exchange(path: api + "/", sends: "all=2; own=2"),
      Exchange(
        path: "/", sets: ["own=; Max-Age=0; Domain=shop.example.com"], sends: "own=1; all=2"),
      Exchange(path: "/", sends: "all=2"),
    ])
    try exchange([
      Exchange(path: "http://127.0.0.1/", sets: ["a=1; Domain=127.0.0.1", "b=1; Domain=0.0.1"]),
      Exchange(path: "http://9.127.0.0.1/", sends: nil),
      Exchange(path: "http://127.0.0.1:81/", sends: "a=1"),
    ])
  }

  @Test func aFullJarIsANamedFailure() throws {
    let script = try Script("{get: /}, {get: /}")
    let big = "big=" + String(repeating: "x", count: 300)
    _ = try script.send()
    let first = script.answer(
      pieces: [MachineTests.reply(status: 200, fields: ["Set-Cookie: \(big)"], body: "")])
    #expect(first == .good)
    _ = try script.send()
    let second = script.answer(
      pieces: [MachineTests.reply(status: 200, fields: ["Set-Cookie: c\(big)"], body: "")])
    #expect(second == .jarFull)
    #expect(try script.send().contains("Cookie: \(big)\r\n"))
  }

  @Test func aUserBeginsWithAnEmptyJar() throws {
    let script = try Script("{get: /}")
    _ = try script.send()
    _ = script.answer(
      pieces: [MachineTests.reply(status: 200, fields: ["Set-Cookie: a=1"], body: "")])
    #expect(try script.send().contains("Cookie: a=1"))
    let isBegun = script.machine.begin(0, index: 1)
    #expect(isBegun)
    #expect(try !script.send().contains("Cookie"))
  }
}
