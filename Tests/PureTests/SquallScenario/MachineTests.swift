import SquallHTTP
import SquallScenario
import Testing

/// A user's way through a program, as scripts: what it sends and what the answers make of it.
struct MachineTests {
  @Test func aRequestIsRenderedWhole() throws {
    let script = try Script(
      #"{post: /login, json: {user: ann, n: 5, ok: true}, headers: {X-A: b}}"#)
    #expect(
      try script.send()
        == """
        POST /login HTTP/1.1\r
        Host: shop.test:8080\r
        User-Agent: squall\r
        Content-Type: application/json\r
        X-A: b\r
        Content-Length: 30\r
        \r
        {"user":"ann","n":5,"ok":true}
        """)
  }

  @Test func whatAnAnswerGaveIsSentAgain() throws {
    let script = try Script(
      #"{post: /login, capture: {token: $.access.token}}, {get: /me, headers: {Authorization: "Bearer ${token}"}}"#
    )
    _ = try script.send()
    #expect(
      script.answer(#"{"x":[{"token":"no"}],"access":{"id":1,"token":"abc\u00e9\n"}}"#) == .good)
    #expect(script.firstValue == "abcé\n")
    // A line feed in a header would begin another one.
    #expect(script.sendResult() == .unsendable(.refused(byte: 0x0a)))
  }

  /// The same answer in pieces of every size, and cut at every byte, comes to the same.
  @Test func anAnswerMayBeCutAnywhere() throws {
    let steps = #"""
      {post: /a, capture: {
        t: $.a.t, n: "$.list[1].id", raw: {json: $.o, as: raw}, h: {header: X-Next},
        b: {between: ["<v>", "</v>"]}, c: {cookie: sid}, last: $.z},
       check: {status: 201, contains: needle, json: {$.a.ok: true, $.name: "é\"x"},
        header: {content-type: application/json}, has: [t, n, raw, h, b, c, last]}}
      """#
    let body =
      #"{"a":{"no":"{]\\\"","t":"T-1","ok":true},"list":[{"id":1,"x":"}"},{"id":22}],"o":{"k":[1,"]"],"u":{}}"#
      + #","name":"é\"x","text":"<v>va<lu</e</v> neneedle","z":12.5e3}"#
    let reply = Self.reply(
      status: 201, fields: ["X-Next: /p?q=1 ", "Set-Cookie: sid=s1; Path=/; HttpOnly"], body: body)
    for cut in 1..<reply.count {
      let script = try Script(steps)
      _ = try script.send()
      let judgement = script.answer(pieces: [Array(reply[..<cut]), Array(reply[cut...])])
      try #require(judgement == .good, "cut at \(cut): \(script.words(judgement))")
      try #require(script.values == Self.expected, "cut at \(cut)")
    }
    for size in [1, 2, 3, 7, 16, 17, 64] {
      let script = try Script(steps)
      _ = try script.send()
      let pieces = stride(from: 0, to: reply.count, by: size).map {
        Array(reply[$0..<min($0 + size, reply.count)])
      }
      try #require(script.answer(pieces: pieces) == .good, "pieces of \(size)")
      try #require(script.values == Self.expected, "pieces of \(size)")
    }
  }

  private static let expected = [
    "t": "T-1", "n": "22", "raw": #"{"k":[1,"]"],"u":{}}"#, "h": "/p?q=1", "b": "va<lu</e",
    "c": "s1", "last": "12.5e3",
  ]

  /// A head that is skipped is one in which nothing was watched before, from its first byte to its last.
  @Test func aHeadIsKnownOnlyWhole() throws {
    let script = try Script("{get: /}")
    func knows(_ text: String) -> Bool {
      unsafe Array(text.utf8).withUnsafeBytes { script.machine.knowsHead(0, $0) }
    }
    func answer(_ pieces: String...) throws {
      _ = try script.send()
      #expect(script.answer(pieces: pieces.map { Array($0.utf8) }) == .good)
    }
    let dull = "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\n"
    try answer("HTTP/1.1 200 OK\r\nA: b\r\n", "Content-Length: 2\r\n\r\n", "ok")
    #expect(!knows(dull))
    #expect(!knows("HTTP/1.1 200 OK\r\nA: b\r\nSet-Cookie: c=1\r\nContent-Length: 2\r\n\r\n"))
    try answer(dull + "ok")
    #expect(knows(dull) && knows(dull + "ok") && knows(dull.replacing("200 OK", with: "404 No")))
    for cut in 0..<dull.utf8.count {
      #expect(!knows(String(decoding: dull.utf8.prefix(cut), as: UTF8.self)))
    }
    #expect(!knows(dull.replacing("A: b", with: "A: c")))
    #expect(!knows(dull.replacing("HTTP/1.1 200 OK", with: "HTTP/1.1 103 Hints")))
    // Fields that are known are skipped, and those that are not are read.
    try answer(dull + "ok")
    try answer("HTTP/1.1 200 OK\r\nset-cookie: c=1\r\nContent-Length: 2\r\n\r\nok")
    #expect(try script.send().contains("Cookie: c=1\r\n"))
  }

  @Test func aChunkedAnswerIsReadWithoutItsFraming() throws {
    let script = try Script(
      #"{get: "/${t}", capture: {t: $.t}}"#, first: "{get: /, capture: {t: $.t}}")
    _ = try script.send()
    let reply =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"t\":\r\n6\r\n\"abcd\"\r\n1\r\n}\r\n0\r\n\r\n"
    #expect(script.answer(pieces: [Array(reply.utf8)]) == .good)
    #expect(script.values == ["t": "abcd"])
  }

  @Test(arguments: [
    (#"{status: 200}"#, 404, "", "status 200"),
    (#"{status: [200, 404]}"#, 404, "", nil),
    (#"{status: 200-399}"#, 302, "", nil),
    (#"{contains: abc}"#, 200, "ababab", "contains 'abc'"),
    (#"{contains: abab}"#, 200, "xabaabab", nil),
    (#"{json: {$.a: 5}}"#, 200, #"{"a":5}"#, nil),
    (#"{json: {$.a: 5}}"#, 200, #"{"a":55}"#, "$.a is 5"),
    (#"{json: {$.a: 5}}"#, 200, #"{"a":"5"}"#, nil),
    (#"{json: {$.a: null}}"#, 200, #"{"a":null}"#, nil),
    (#"{json: {$.a: x}}"#, 200, #"{"a":{"b":"x"}}"#, "$.a is x"),
    (#"{json: {$.a: x}}"#, 200, #"not json"#, "$.a is x"),
    (#"{header: {x-b: two}}"#, 200, "", "x-b contains 'two'"),
    (#"{time: "<1s"}"#, 200, "", nil),
    (#"{time: "<1ms"}"#, 200, "", "time <1ms"),
  ])
  func aCheckHoldsOrIsNamed(check: String, status: Int, body: String, failure: String?) throws {
    let script = try Script("{get: /, check: \(check)}")
    _ = try script.send()
    let reply = Self.reply(status: status, fields: ["X-B: one"], body: body)
    let judgement = script.answer(pieces: [reply], serviceNs: 5_000_000)
    #expect(script.words(judgement) == failure)
  }

  @Test(arguments: [
    ("$", "5", "5"), ("$", #""a""#, "a"), ("$.a", #"{"b":1,"a":2}"#, "2"),
    ("$.a", #"{"a":null}"#, nil), ("$.a", #"{"a":[1]}"#, nil), ("$.a", #"{"b":{"a":1}}"#, nil),
    ("$.a.b", #"{"a":{"a":{"b":0},"b":1}}"#, "1"), ("$[0]", "[7,8]", "7"), ("$[1]", "[7,8]", "8"),
    ("$[2]", "[7,8]", nil), ("$[1][0]", "[[1],[2,3]]", "2"),
    ("$[*].id", #"[{"x":1},{"id":4}]"#, "4"),
    ("$.a['b.c']", #"{"a":{"b.c":true}}"#, "true"), ("$.a", #"{"\u0061":1}"#, "1"),
    ("$.a", #"{"aa":1,"a":2}"#, "2"), ("$.aa", #"{"a":1,"aa":2}"#, "2"),
    ("$.a", #"{"a":"\ud83d\ude00"}"#, "😀"), ("$.a", #"{"a":"\ud83d"}"#, ""),
    ("$.a", "{\"a\" :\n -1.5e+3 }", "-1.5e+3"),
    ("$.b[1].c", #"{"a":[1,[2]],"b":[0,{"c":"d"}]}"#, "d"),
    ("$.x", #"{"s":"\\","x":"\\\""}"#, "\\\""), ("$.a", "", nil), ("$.a", "[]", nil),
    ("$.a", #"{"a":""}"#, ""),
  ])
  func aPathLeadsToItsValue(path: String, body: String, value: String?) throws {
    let script = try Script(#"{get: /, capture: {v: "\#(path)"}}, {if: "${v}", do: [{get: /x}]}"#)
    _ = try script.send()
    #expect(script.answer(body) == .good)
    #expect(script.firstValue == value)
  }

  @Test(arguments: [
    (#"json: {a: "${v}"}"#, #"{"a":"x\"y z"}"#), (#"json: {a: "b${v}"}"#, #"{"a":"bx\"y z"}"#),
    (#"form: {a: "${v}"}"#, "a=x%22y+z"), (#"text: "${v}""#, "x\"y z"),
    (#"text: "${v:base64}""#, "eCJ5IHo="), (#"text: "${v:url}""#, "x%22y%20z"),
    (#"text: "${v:json}""#, "x\\\"y z"), (#"text: "$${v}""#, "${v}"),
    (#"json: {a: "${n}"}"#, #"{"a":7}"#), (#"json: {a: "${n} "}"#, #"{"a":"7 "}"#),
    (#"json: {a: "${o}"}"#, #"{"a":{"b":[1, 2]}}"#),
    (#"json: ["${int(3,3)}", "${int(3,3):4}"]"#, "[3,0003]"),
    (#"json: {"k${n}": null}"#, #"{"k7":null}"#), (#"text: "${float(1.5,1.5,3)}""#, "1.500"),
    (#"text: "${choice(one)}${user}${iteration}${seq}${worker}""#, "one0000"),
    (#"text: "${now} ${now(ms)} ${now(iso)}""#, "1764072000 1764072000000 2025-11-25T12:00:00Z"),
  ])
  func aValueIsWrittenAsItsPlaceDemands(body: String, expected: String) throws {
    let script = try Script(
      """
      {get: /, capture: {v: $.v, n: $.n, o: {json: $.o, as: raw}}, check: {has: [v, n, o]}},
      {post: /, \(body)}
      """)
    script.machine.wallOffsetNs = 1_764_072_000_000_000_000
    _ = try script.send()
    #expect(script.answer(#"{"v":"x\"y z","n":7,"o":{"b":[1, 2]}}"#) == .good)
    let request = try script.send()
    let parts = request.split(separator: "\r\n\r\n", maxSplits: 1)
    #expect(parts[1] == expected)
    #expect(request.contains("Content-Length: \(expected.utf8.count)\r\n"))
  }

  @Test func aPathIsEscapedAndAWholeTargetIsNot() throws {
    let script = try Script(
      #"{get: /, capture: {v: {header: Location}}}, {get: "/p/${v}", query: {q: "${v}"}}, {get: "${v}"}"#
    )
    _ = try script.send()
    _ = script.answer(pieces: [Self.reply(status: 302, fields: ["Location: /a b?c=d&e"], body: "")])
    #expect(
      try script.send().hasPrefix("GET /p/%2Fa%20b%3Fc%3Dd%26e?q=%2Fa%20b%3Fc%3Dd%26e HTTP/1.1\r\n")
    )
    _ = script.answer("")
    #expect(script.sendResult() == .unsendable(.refused(byte: 0x20)))
  }

  @Test func aValueLongerThanItsSlotIsANamedFailure() throws {
    let script = try Script(
      #"{get: "/${v}", capture: {v: {json: $.v, max: 4}}}"#, first: #"{get: /, capture: {v: $.v}}"#)
    _ = try script.send()
    let judgement = script.answer(#"{"v":"\#(String(repeating: "x", count: 65))"}"#)
    #expect(script.words(judgement) == "v is longer than the 64 bytes kept for it")
    #expect(script.values.isEmpty)
  }

  @Test func anEmptyValueIsNotSent() throws {
    let script = try Script(#"{get: /, capture: {v: $.v}}, {get: "/${v}"}"#)
    _ = try script.send()
    #expect(script.answer("{}") == .good)
    #expect(script.sendResult() == .unsendable(.empty(slot: 0)))
  }

  @Test func whatFailsDecidesHowTheUserGoesOn() throws {
    for (word, next) in [
      ("continue", "GET /b"), ("next iteration", "GET /a"), ("stop user", nil),
    ] as [(String, String?)] {
      let script = try Script(#"{get: /a, else: \#(word)}, {get: /b}"#)
      _ = try script.send()
      _ = script.answer(pieces: [Self.reply(status: 500, fields: [], body: "")])
      #expect(script.nextRequestLine == next.map { $0 + " HTTP/1.1" }, "\(word)")
    }
  }

  /// Where iterations are due by a schedule, a user waits for each. Its first request was due when the
  /// iteration was, unless the user thinks before it; the others are due when they are sent.
  @Test func anIterationBeginsWhenItIsDue() throws {
    let script = try Script(
      document: """
        {squall: 1, target: http://x, users: {a: {think: 1h, on_start: [{get: /start}], tasks: [
         {task: a, do: [{get: /a}, {get: /b}]}]}}}
        """)
    script.machine.isOpen = true
    var dueNs: [UInt64?] = []
    func send() -> Bool {
      guard case .send = script.machine.next(0, nowNs: script.nowNs) else { return false }
      dueNs.append(script.machine.takeDueNs(0))
      script.machine.beginReply(0, nowNs: script.nowNs)
      _ = script.machine.beganIteration(0)
      return script.answer("") == .good
    }
    script.nowNs = 5
    #expect(script.machine.isIdle(0) == false)
    #expect(send())
    #expect(script.machine.next(0, nowNs: 10) == .idle)
    #expect(script.machine.isIdle(0) == true)
    for startNs in [7, 30] as [UInt64] {
      script.machine.arrive(0, scheduledNs: startNs)
      #expect(script.machine.isIdle(0) == false)
      script.nowNs += 40
      #expect(send() && send())
      let ended = script.machine.next(0, nowNs: script.nowNs)
      #expect(
        ended == .iterationEnded(.init(startNs: startNs, hasSent: true, isAbandoned: false)))
      #expect(script.machine.next(0, nowNs: script.nowNs) == .idle)
      #expect(script.machine.isIdle(0) == true)
    }
    #expect(dueNs == [nil, 7, nil, 30, nil])
  }

  private func redirect(_ status: Int, _ location: String) -> [UInt8] {
    Self.reply(
      status: status, fields: ["Location: \(location)", "Set-Cookie: n=\(status)"], body: "{}")
  }

  /// Each hop is a request under a name of its own; what is checked and captured is the last answer.
  @Test func redirectsAreFollowedAsFarAsIsSaid() throws {
    let script = try Script(
      """
      {post: /form, form: {a: b}, headers: {X-A: b}, redirects: 2, check: {status: 200, contains: done},
       capture: {v: $.v}, else: stop user}, {get: "/v/${v}"}
      """)
    #expect(try script.send().hasPrefix("POST /form HTTP/1.1\r\n"))
    #expect(script.answer(pieces: [redirect(302, "HTTP://Shop.test:8080/a?b#c")]) == .good)
    let hop = try script.send()
    #expect(hop.hasPrefix("GET /a?b HTTP/1.1\r\nHost: shop.test:8080\r\n"), "\(hop)")
    #expect(hop.contains("X-A: b\r\n") && hop.contains("Cookie: n=302\r\n"))
    #expect(!hop.contains("Content-Length"))
    #expect(script.answer(pieces: [redirect(303, "http://shop.test:8080")]) == .good)
    #expect(script.nextRequestLine == "GET / HTTP/1.1")
    #expect(script.answer(#"{"v":5,"x":"done"}"#) == .good)
    #expect(script.nextRequestLine == "GET /v/5 HTTP/1.1")
    _ = script.answer("")
    #expect(
      script.machine.program.endpoints.map(\.name)
        == ["POST /form", "POST /form, redirected", "GET /v/${v}"])
    // One more than is followed is judged as it stands, and so is an answer that leads nowhere.
    for (index, location) in ["/1", "/2", "/3"].enumerated() {
      let line = try #require(script.nextRequestLine)
      #expect(line == (index == 0 ? "POST /form HTTP/1.1" : "GET /\(index) HTTP/1.1"))
      let judgement = script.answer(pieces: [redirect(301, location)])
      #expect(script.words(judgement) == (index == 2 ? "status 200" : nil))
    }
    #expect(script.nextRequestLine == nil)
  }

  @Test(
    arguments: [
      (302, "https://shop.test:8080/", "strayed"), (302, "http://shop.test:80800/", "strayed"),
      (302, "//other.test/", "strayed"), (302, "next", "strayed"), (307, "/x", nil),
      (304, "/x", nil), (302, "", nil),
    ] as [(Int, String, String?)])
  func aRedirectThatCannotBeFollowedIsNot(status: Int, location: String, words: String?) throws {
    let script = try Script("{post: /form, redirects: 3}, {get: /next}")
    _ = try script.send()
    let judgement = script.answer(pieces: [redirect(status, location)])
    // 307 keeps the method, so it is not followed behind a POST; as an answer it is good.
    #expect(script.words(judgement) == words)
    #expect(script.nextRequestLine == "GET /next HTTP/1.1")
  }

  @Test func aMethodThatIsKeptIsKept() throws {
    let script = try Script("{head: /a, redirects: 1}, {get: /b, redirects: 1}")
    #expect(script.nextRequestLine == "HEAD /a HTTP/1.1")
    #expect(script.answer(pieces: [redirect(308, "/c")]) == .good)
    #expect(script.nextRequestLine == "HEAD /c HTTP/1.1")
    _ = script.answer("")
    #expect(script.nextRequestLine == "GET /b HTTP/1.1")
    #expect(script.answer(pieces: [redirect(307, "/d")]) == .good)
    #expect(script.nextRequestLine == "GET /d HTTP/1.1")
    #expect(Program(bytes: script.machine.program.bytes) == script.machine.program)
    #expect(
      script.machine.program.explanation.contains("GET /b; status 200-399; follows redirects\n"))
    #expect(!script.machine.program.explanation.contains("location"))
  }

  /// RFC 7578, with the boundary that the head names.
  @Test func aFormOfPartsIsSentWithItsFiles() throws {
    let script = try Script(
      document: Sample.scenario(
        #"""
        {post: /, multipart: {title: "x ${user}", doc: {file: "dir/a.pdf", type: application/pdf},
         'a"b': {file: dir/a.pdf, name: "c\"d"}}}
        """#.replacing("'a\"b'", with: #""a\"b""#)), files: ["dir/a.pdf": "%PDF"])
    let request = try script.send()
    let boundary = try #require(
      request.firstMatch(of: /Content-Type: multipart\/form-data; boundary=(squall-[0-9a-f]+)\r\n/)
    ).output.1
    let body = [
      #"Content-Disposition: form-data; name="title""#, "", "x 0", "--\(boundary)",
      #"Content-Disposition: form-data; name="doc"; filename="a.pdf""#,
      "Content-Type: application/pdf", "", "%PDF", "--\(boundary)",
      #"Content-Disposition: form-data; name="a%22b"; filename="c%22d""#,
      "Content-Type: application/octet-stream", "", "%PDF", "--\(boundary)--", "",
    ].joined(separator: "\r\n")
    #expect(request.hasSuffix("\r\n\r\n--\(boundary)\r\n" + body), "\(request)")
    #expect(request.contains("Content-Length: \(body.utf8.count + boundary.utf8.count + 4)\r\n"))
  }

  /// An iteration is told with its beginning, and whether it came to its last step.
  @Test func anIterationIsToldWithItsBeginning() throws {
    let script = try Script("{get: /a, else: next iteration}, {think: 2s}, {get: /b}")
    var ended: [Iteration] = []
    var sentAtNs: [UInt64?] = []
    var thoughtNs: UInt64 = 0
    for status in [200, 200, 500, 200] {
      script.nowNs += 5
      while true {
        let action = script.machine.next(0, nowNs: script.nowNs)
        if case .iterationEnded(let iteration) = action { ended.append(iteration) }
        if case .think(let untilNs) = action {
          thoughtNs += untilNs - script.nowNs
          script.nowNs = untilNs
        }
        guard case .send = action else { continue }
        script.machine.beginReply(0, nowNs: script.nowNs)
        sentAtNs.append(script.machine.beganIteration(0))
        _ = script.answer(pieces: [Self.reply(status: status, fields: [], body: "")])
        break
      }
    }
    #expect(thoughtNs == 2_000_000_000)
    #expect(sentAtNs == [5, nil, 2_000_000_015, 2_000_000_020])
    #expect(
      ended == [
        Iteration(startNs: 5, hasSent: true, isAbandoned: false),
        Iteration(startNs: 2_000_000_015, hasSent: true, isAbandoned: true),
      ])
  }

  /// Equal words under one name are one check, whichever request asks them.
  @Test func theChecksOfANameAreNumbered() throws {
    let script = try Script(
      """
      {get: /a, name: n, check: {contains: x}, capture: {v: $.v}},
      {get: /b, name: n, check: {contains: y, status: 201, has: [v]}}, {get: /c}
      """)
    let program = script.machine.program
    #expect(
      program.endpoints.map(\.checks) == [
        [
          "status 200-399", "contains 'x'", "v is longer than the 64 bytes kept for it",
          "status 201", "contains 'y'", "has v",
        ], ["status 200-399"],
      ])
    #expect(program.checks.map(\.number) == [0, 1, 3, 4, 5, 0])
    #expect(program.captures.map(\.number) == [2])
    #expect(program.checkWords(of: 0, number: 4) == "contains 'y'")
    #expect(program.checkWords(of: 1, number: 4) == nil)
    #expect(program.checkWords(of: 1, number: Program.jarCheckNumber)?.contains("jar") == true)
  }

  @Test func branchesAndLoopsGoTheirWay() throws {
    let script = try Script(
      #"""
      {get: /a, capture: {v: $.v}}, {if: "${v}", do: [{get: /if}]}, {unless: "${v}", do: [{get: /unless}]},
      {repeat: 2, do: [{get: /r}, {repeat: 2, do: [{get: /rr}]}]}, {think: 2s}, {get: /z}
      """#)
    var lines: [String] = []
    for value in [#"{"v":1}"#, "{}"] {
      for _ in 0..<9 {
        guard let line = script.nextRequestLine else { break }
        lines.append(String(line.dropFirst(4).dropLast(9)))
        _ = script.answer(lines.last == "/a" ? value : "")
      }
    }
    let rest = ["/r", "/rr", "/rr", "/r", "/rr", "/rr", "/z"]
    #expect(lines == ["/a", "/if"] + rest + ["/a", "/unless"] + rest)
    #expect(script.thoughtNs == 4_000_000_000)
    let count = script.machine.iterationCount
    #expect(count == 1)
  }

  @Test func startAndStopComeOnce() throws {
    let text = """
      {squall: 1, target: http://x, users: {a: {
       on_start: [{get: /start}], do: [{get: /do}], on_stop: [{get: /stop}]}}}
      """
    let script = try Script(document: text)
    var lines: [String] = []
    for turn in 0..<5 {
      if turn == 3 { script.machine.stop(0) }
      guard let line = script.nextRequestLine else { break }
      lines.append(line)
      _ = script.answer("")
    }
    #expect(
      lines == ["/start", "/do", "/do", "/stop"].map { "GET \($0) HTTP/1.1" })
    let action = script.machine.next(0, nowNs: 0)
    #expect(action == .ended)
  }

  @Test func theSameSeedSendsTheSame() throws {
    let steps = #"{get: "/${uuid}/${int(1,1000000)}/${hex(9)}/${text(9)}/${float(0,1,6)}"}"#
    func lines(seed: UInt64) throws -> [String] {
      let script = try Script(steps, seed: seed)
      return (0..<50).compactMap { _ in
        defer { _ = script.answer("") }
        return script.nextRequestLine
      }
    }
    #expect(try lines(seed: 1) == lines(seed: 1))
    #expect(try lines(seed: 1) != lines(seed: 2))
    #expect(try Set(lines(seed: 1)).count == 50)
  }

  static func reply(status: Int, fields: [String], body: String) -> [UInt8] {
    let head = ["HTTP/1.1 \(status) OK", "Content-Type: application/json; charset=utf-8"] + fields
    return Array(
      (head + ["Content-Length: \(body.utf8.count)", "", body]).joined(separator: "\r\n").utf8)
  }
}

/// One user, its requests and the answers it gets.
final class Script {
  var machine: Machine
  var nowNs: UInt64 = 0
  var thoughtNs: UInt64 = 0
  private var buffer = [UInt8](repeating: 0, count: 16_384)

  convenience init(_ steps: String, first: String? = nil, seed: UInt64 = 1) throws {
    try self.init(
      document: Sample.scenario(first.map { "\($0), \(steps)" } ?? steps), seed: seed)
  }

  init(document: String, seed: UInt64 = 1, files: [String: String] = [:]) throws {
    var surroundings = Compiler.Surroundings()
    surroundings.file = { files[$0].map { Array($0.utf8) } }
    machine = Machine(
      program: try Sample.program(document, in: surroundings), seed: seed, userCount: 1, rowCount: 1
    )
    let isBegun = machine.begin(0, index: 0)
    #expect(isBegun)
  }

  /// Goes on until a request is due; nil when the user has ended.
  func sendResult() -> Rendering? {
    for _ in 0..<100 {
      switch machine.next(0, nowNs: nowNs) {
      case .send:
        let rendering = buffer.withUnsafeMutableBytes {
          machine.render(0, into: $0, nowNs: nowNs)
        }
        machine.beginReply(0, nowNs: nowNs)
        return rendering
      case .think(let untilNs):
        thoughtNs += untilNs - nowNs
        nowNs = untilNs
      case .iterationEnded: continue
      case .idle, .ended: return nil
      }
    }
    return nil
  }

  /// The bytes of the next request.
  func send() throws -> String {
    guard case .bytes(let count) = sendResult() else {
      throw Sample.Unexpected(message: "not sent")
    }
    return String(decoding: buffer[..<count], as: UTF8.self)
  }

  var nextRequestLine: String? {
    guard let request = try? send() else { return nil }
    return request.prefix { $0 != "\r\n" }.description
  }

  func answer(_ body: String) -> Judgement {
    answer(pieces: [MachineTests.reply(status: 200, fields: [], body: body)])
  }

  func answer(pieces: [[UInt8]], serviceNs: UInt64 = 1) -> Judgement {
    var parser = ResponseParser()
    parser.reset(expectsNoBody: false)
    for piece in pieces {
      machine.resumeReply(0, nowNs: nowNs)
      let step = piece.withUnsafeBytes { parser.consume($0, into: &machine) }
      if case .malformed(let fault) = step { Issue.record("\(fault)") }
    }
    return machine.endReply(0, status: parser.status, serviceNs: serviceNs)
  }

  var firstValue: String? { machine.value(0, slot: 0) }

  /// What was captured, by name.
  var values: [String: String] {
    var values: [String: String] = [:]
    for (index, slot) in machine.program.slots.enumerated() {
      values[slot.name] = machine.value(0, slot: index)
    }
    return values
  }

  func words(_ judgement: Judgement) -> String? {
    switch judgement {
    case .good: nil
    case .failed(let check): machine.program.text(machine.program.checks[check].label)
    case .overflowed(let capture): machine.program.text(machine.program.captures[capture].label)
    case .jarFull: "the jar is full"
    case .strayed: "strayed"
    case .unreadable: "unreadable"
    }
  }
}
