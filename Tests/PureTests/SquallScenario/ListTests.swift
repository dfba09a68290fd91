import SquallScenario
import Testing

/// Lists that a user keeps, and requests that are sent until something holds.
struct ListTests {
  private func lines(_ script: Script, _ count: Int) -> [String] {
    (0..<count).map { _ in
      let line = script.nextRequestLine ?? "nothing"
      if line != "nothing" { _ = script.answer("{}") }
      return line.replacing(" HTTP/1.1", with: "")
    }
  }

  @Test func eachGoesOverWhatTheAnswerListed() throws {
    let script = try Script(
      #"""
      {get: /list, capture: {id: {json: "$.items[*].id", take: all, keep: 3}}},
      {each: id, do: [{get: "/i/${id}"}, {get: "/r/${id}"}]}, {get: /end}
      """#)
    #expect(script.nextRequestLine == "GET /list HTTP/1.1")
    #expect(
      script.answer(#"{"items":[{"id":7},{"id":null},{"id":"a/b"},{"id":9},{"id":10}]}"#) == .good)
    #expect(script.values["id"] == "7, a/b, 9")
    #expect(
      lines(script, 7) == [
        "GET /i/7", "GET /r/7", "GET /i/a%2Fb", "GET /r/a%2Fb", "GET /i/9", "GET /r/9", "GET /end",
      ])
    // The next answer has none.
    #expect(lines(script, 2) == ["GET /list", "GET /end"])
  }

  @Test func eachMayStopEarlier() throws {
    let script = try Script(
      #"""
      {get: /list, capture: {id: {json: "$[*]", take: all}}},
      {each: id, at_most: 2, do: [{get: "/i/${id}"}]}, {get: /end}
      """#)
    #expect(script.nextRequestLine == "GET /list HTTP/1.1")
    _ = script.answer("[1,2,3]")
    #expect(lines(script, 3) == ["GET /i/1", "GET /i/2", "GET /end"])
  }

  @Test func aGrowingListKeepsItsNewestValues() throws {
    let script = try Script(
      #"""
      {post: /orders, capture: {order: {header: Location, collect: 2}}},
      {if: "${order}", do: [{get: "/p/${pick(order)}"}]}
      """#)
    var picked: Set<String> = []
    for turn in 1...40 {
      #expect(script.nextRequestLine == "POST /orders HTTP/1.1")
      // An answer without one takes none away.
      let fields = turn % 3 == 0 ? [] : ["Location: o\(turn)"]
      _ = script.answer(pieces: [MachineTests.reply(status: 201, fields: fields, body: "")])
      let line = try #require(script.nextRequestLine)
      let newest = (1...turn).filter { $0 % 3 != 0 }.suffix(2).map { "GET /p/o\($0) HTTP/1.1" }
      #expect(newest.contains(line), "turn \(turn)")
      picked.insert(line)
      _ = script.answer("{}")
    }
    #expect(script.values["order"] == "o38, o40")
    #expect(picked.count > 15)
  }

  @Test func theLastOfSeveralIsTaken() throws {
    let script = try Script(
      #"{get: "/${t}", capture: {t: {json: "$[*]", take: last}}}"#,
      first: #"{get: /, capture: {t: $.t}}"#)
    _ = try script.send()
    _ = script.answer(#"{"t":1}"#)
    _ = try script.send()
    _ = script.answer("[1,2,30]")
    #expect(script.values == ["t": "30"])
  }

  @Test func aRequestIsSentUntilItsAnswerIsWhatIsAwaited() throws {
    let script = try Script(
      #"""
      {get: /order, until: {json: {$.status: shipped}, at_most: 5, every: 50ms}}, {get: /end}
      """#)
    for _ in 0..<2 {
      #expect(script.nextRequestLine == "GET /order HTTP/1.1")
      #expect(script.answer(#"{"status":"packing"}"#) == .good)
    }
    #expect(script.thoughtNs == 50_000_000)
    #expect(script.nextRequestLine == "GET /order HTTP/1.1")
    #expect(script.answer(#"{"status":"shipped"}"#) == .good)
    #expect(script.nextRequestLine == "GET /end HTTP/1.1")
    #expect(script.thoughtNs == 100_000_000)
  }

  @Test func theLastTryIsJudged() throws {
    let script = try Script(
      #"""
      {get: /order, until: {status: 200, contains: done, at_most: 3}, else: next iteration},
      {get: /end}
      """#)
    for turn in 1...3 {
      #expect(script.nextRequestLine == "GET /order HTTP/1.1")
      let judgement = script.answer("not yet")
      #expect(script.words(judgement) == (turn < 3 ? nil : "contains 'done'"))
    }
    #expect(script.nextRequestLine == "GET /order HTTP/1.1")
    _ = script.answer("done")
    #expect(script.nextRequestLine == "GET /end HTTP/1.1")
  }

  /// The checks of the request itself hold for each try.
  @Test func aTryThatFailsIsAFailure() throws {
    let script = try Script(
      #"{get: /o, check: {status: 200}, until: {json: {$.a: 1}, at_most: 9}}, {get: /end}"#)
    _ = try script.send()
    let judgement = script.answer(
      pieces: [MachineTests.reply(status: 500, fields: [], body: "")])
    #expect(script.words(judgement) == "status 200")
    #expect(script.nextRequestLine == "GET /o HTTP/1.1")
  }

  @Test func listsAndTriesTravel() throws {
    let program = try Sample.program(
      Sample.scenario(
        #"""
        {get: /, capture: {a: {json: "$[*]", take: all, keep: 7}}, until: {has: [a], at_most: 4}},
        {each: a, do: [{get: "/${a}/${pick(a)}"}]}
        """#))
    #expect(Program(bytes: program.bytes) == program)
    #expect(program.explanation.contains("until has a"))
    #expect(program.explanation.contains("for each a, up to 7"))
    #expect(program.explanation.contains("a  up to 7 values of up to 64 bytes"))
  }
}
