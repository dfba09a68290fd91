import SquallLoad
import SquallScenario
import Testing

/// Captures by regular expressions, against the standard library's own where both can be asked.
struct PatternTests {
  private static func capture(
    _ regex: String, from body: String, max: Int = 64, pieces size: Int? = nil
  ) throws -> String? {
    let quoted = regex.replacing(#"\"#, with: #"\\"#).replacing("\"", with: #"\""#)
    let script = try Script(
      #"{get: /, capture: {v: {regex: "\#(quoted)", max: \#(max)}}}, {if: "${v}", do: [{get: /x}]}"#
    )
    _ = try script.send()
    let reply = MachineTests.reply(status: 200, fields: [], body: body)
    let size = size ?? reply.count
    let pieces = stride(from: 0, to: reply.count, by: size).map {
      Array(reply[$0..<min($0 + size, reply.count)])
    }
    let judgement = script.answer(pieces: pieces)
    return script.words(judgement) ?? script.firstValue
  }

  @Test(
    arguments: [
      (#"id=(\d+)"#, "x id=123, id=4", "123"), (#"id=(\d+)"#, "id=", nil),
      (#"id=(\d+)"#, "id=x id=7", "7"), (#"id=(\d+)"#, "id=12", "12"),
      (#"id=(\d{2})"#, "id=1234", "12"), (#"id=(\d{2,3})"#, "id=1 id=12345", "123"),
      (#"id=(\d{2,})"#, "id=1 id=12345", "12345"),
      (#"value="(.+?)""#, #"<i value="ab" b="c">"#, "ab"),
      (#"value="(.*?)""#, #"<i value="" b="c">"#, ""),
      (#"value="([^"]*)""#, #"<i value="a\b" b="c">"#, #"a\b"#),
      (#"<b>(.*)</b>"#, "<b>a</b> <b>c</b>\n<b>", "a</b> <b>c"), (#"(a+)b?c"#, "xaaac", "aaa"),
      (#"(a?)b"#, "ab", "a"), (#"x(a*)ab"#, "xaaab", "aa"), (#"é(.)é"#, "aéxé", "x"),
      (#"\s*"t":\s*"(\w+)""#, "{ \"t\":\n \"ab_1\"}", "ab_1"), (#"a(b)c"#, "ab abab abc", "b"),
      (#"[+-]?([0-9.]+)e"#, "v=-1.5e3", "1.5"), (#"aab(.)"#, "aaab!", "!"), (#"(x)"#, "", nil),
      (#"(\D\S\W)"#, "12bx! a", "bx!"), (#"([\d\-x]{3})"#, "1--x", "1--"),
    ] as [(String, String, String?)])
  func theGroupOfTheFirstMatchIsTaken(regex: String, body: String, value: String?) throws {
    #expect(try Self.capture(regex, from: body) == value)
    for size in [1, 2, 3] { #expect(try Self.capture(regex, from: body, pieces: size) == value) }
  }

  /// Of patterns whose match cannot be told to end at two places, the library takes the same.
  @Test(arguments: UInt64(0)..<200) func theLibraryTakesTheSame(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let items = ["a", "b", "[ab]", "[^a]", ".", "c"]
    func part(_ count: Int) -> String {
      (0..<count).map { _ in
        items[Int.random(in: 0..<items.count, using: &random)]
          + ["", "", "", "{2}"][Int.random(in: 0..<4, using: &random)]
      }.joined()
    }
    let text =
      part(Int.random(in: 0...2, using: &random)) + "("
      + part(Int.random(in: 1...2, using: &random)) + ")"
      + part(Int.random(in: 0...2, using: &random))
    let body = String(
      (0..<40).map { _ in ["a", "b", "c"][Int.random(in: 0..<3, using: &random)] as Character })
    let expected = try body.firstMatch(of: Regex(text))?.output[1].substring.map(String.init)
    #expect(try Self.capture(text, from: body) == expected, "seed \(seed): \(text) in \(body)")
  }

  /// The time is that of the text, whatever the pattern.
  @Test func aPatternThatDoublesIsReadInOnePass() throws {
    let body = String(repeating: "a", count: 100_000)
    #expect(
      try Self.capture("a*a*a*a*a*a*a*a*a*a*(b)", from: body) == nil)
  }

  @Test func whatDoesNotFitIsANamedFailure() throws {
    let far = "<" + String(repeating: "-", count: 400) + "v>"
    #expect(try Self.capture("<.*(v)>", from: far) == "v is longer than the 64 bytes kept for it")
    #expect(try Self.capture("<.*(v)>", from: far, max: 200) == "v")
    let body = "<" + String(repeating: "x", count: 65) + ">"
    #expect(try Self.capture("<(x*)>", from: body) == "v is longer than the 64 bytes kept for it")
    #expect(try Self.capture("<(x*)>", from: body, max: 65) == String(repeating: "x", count: 65))
  }

  @Test(arguments: [
    ("abc", "what is to be taken stands in a group"), ("(a)(b)", "there is one group, and no more"),
    ("(a", "what is to be taken"), ("a)", "ends no group"), ("(a)+", "a group stands once"),
    ("(a|b)", "alternatives are not read"), ("^(a)", "it is looked for everywhere"),
    ("(*)", "there is nothing to repeat"), ("([a)", "a class has no end"),
    ("()", "the group is empty"),
    ("(a{70})", "up to 62"), ("(a{40}b{40})", "more than 62 items"), (#"(\q)"#, "is none of"),
    ("([é])", "a class holds characters of ASCII"), ("(é+)", "only a character of ASCII"),
    ("(?:a)(b)", "a group is written"), ("([b-a])", "from small to large"),
  ])
  func whatIsNotReadIsSaid(regex: String, words: String) throws {
    let error = #expect(throws: Sample.Unexpected.self) { try Self.capture(regex, from: "") }
    #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
  }
}
