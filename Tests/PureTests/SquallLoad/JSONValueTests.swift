import SquallLoad
import Testing

struct JSONValueTests {
  @Test(arguments: [
    "null", "true", "false", "0", "-1", "18446744073709551615", "1.5", "-0.25", "1e+20", "\"\"",
    "\"a\\\"b\\\\c\\n\\r\\t\"", "\"\\u0000\\u001f\\u007f\"", "\"é😀\"", "[]", "{}", "[1,[2,[]],{}]",
    "{\"b\":1,\"a\":{\"c\":[null]}}",
  ])
  func whatIsWrittenIsWhatWasRead(text: String) throws {
    #expect(try JSONValue(text: text).text == text)
    #expect(try JSONValue(text: JSONValue(text: text).indentedText).text == text)
  }

  @Test func membersKeepTheirOrderAndArraysOfScalarsTheirLine() throws {
    let text = """
      {
        "z": [1, 2],
        "a": [
          {},
          {
            "x": []
          }
        ]
      }

      """
    #expect(try JSONValue(text: text).indentedText == text)
  }

  @Test func escapesAreUnderstood() throws {
    let value = try JSONValue(text: #" "\u0041\u00e9\ud83d\ude00\/\b\f" "#)
    #expect(value == .string("Aé😀/\u{8}\u{c}"))
  }

  @Test(arguments: [
    ("", 1), ("  ", 3), ("nul", 1), ("01", 1), ("-", 2), ("1.", 3), (".5", 1), ("1e", 3), ("+1", 1),
    ("[1", 3), ("[1,]", 4), ("[1 2]", 4), ("{", 2), ("{1:2}", 2), ("{\"a\" 1}", 6),
    ("{\"a\":1,}", 8), ("{\"a\":1,\"a\":2}", 11), ("\"abc", 5), ("\"\u{1}\"", 2), ("\"\\x\"", 3),
    ("\"\\u12g4\"", 6), ("\"\\ud800\"", 8), ("\"\\udc00\"", 8), ("1 1", 3), ("1e999", 1),
    ("'a'", 1), ("NaN", 1), ("[1]]", 4),
  ])
  func whatIsNoJSONIsRefusedAtItsColumn(text: String, column: Int) {
    #expect {
      try JSONValue(text: text)
    } throws: { error in
      (error as? JSONValue.Malformed)?.column == column
    }
  }

  @Test func theLineOfAFaultIsNamed() {
    let malformed = #expect(throws: JSONValue.Malformed.self) {
      try JSONValue(text: "{\n  \"a\": 1,\n  \"b\": x\n}")
    }
    #expect(malformed?.description == "not JSON at line 3, column 8: no value begins like this")
  }

  @Test func bytesThatAreNotUTF8AreRefused() {
    #expect(throws: JSONValue.Malformed.self) { try JSONValue(text: [0x22, 0xff, 0x22]) }
  }

  @Test func nestingIsLimited() {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    #expect(throws: Never.self) { try JSONValue(text: nested(JSONValue.depthMax)) }
    #expect(throws: JSONValue.Malformed.self) {
      try JSONValue(text: nested(JSONValue.depthMax + 1))
    }
    #expect(throws: JSONValue.Malformed.self) { try JSONValue(text: nested(1_000_000)) }
  }

  @Test func aNumberThatIsNotFiniteIsWrittenAsNull() {
    #expect(JSONValue.array([.number(.infinity), .number(.nan)]).text == "[null,null]")
  }

  @Test(arguments: UInt64(0)..<200)
  func anyBytesAreReadOrRefused(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    let alphabet = Array("{}[]\",:0123456789.eE+-truefalsn \\u\n\u{1}é".utf8)
    for _ in 0..<50 {
      let bytes = (0..<Int.random(in: 0...30, using: &random)).map { _ in
        alphabet.randomElement(using: &random)!
      }
      if let value = try? JSONValue(text: bytes) {
        #expect((try? JSONValue(text: value.text)) == value)
      }
    }
  }
}

struct JSONRecordTests {
  struct Sample: JSONRecord, Equatable {
    var count: UInt64 = 0
    var name = ""
    var share: Double?
    static var fields: [JSONField<Sample>] {
      [
        .init("count", \.count, "How many."), JSONField("name", \.name).oneOf("a", "b"),
        .init(optional: "share", \.share),
      ]
    }
  }

  @Test func aRecordIsWrittenInTheOrderOfItsFields() {
    #expect(
      Sample(count: .max, name: "a").json.text == #"{"count":18446744073709551615,"name":"a"}"#)
    #expect(
      Sample(count: 1, name: "b", share: 0.5).json.text == #"{"count":1,"name":"b","share":0.5}"#)
  }

  @Test(arguments: [
    ("[]", "the document: not an object"), ("{\"count\":1}", "name: missing"),
    ("{\"count\":-1,\"name\":\"\"}", "count: an integer out of range"),
    ("{\"count\":1.5,\"name\":\"\"}", "count: not an integer"),
    ("{\"count\":1,\"name\":2}", "name: not a string"),
    ("{\"count\":1,\"name\":\"\",\"share\":null}", "share: not a number"),
    ("{\"count\":1,\"name\":\"\",\"more\":0}", "more: not a member of this schema"),
  ])
  func aMismatchSaysWhere(text: String, sentence: String) throws {
    let json = try JSONValue(text: text)
    let mismatch = #expect(throws: JSONMismatch.self) { try Sample(json: json) }
    #expect(mismatch?.description == sentence)
    let nested = #expect(throws: JSONMismatch.self) { try [Sample](json: .array([json])) }
    #expect(nested?.path.first == "0")
  }

  @Test func theSchemaSaysWhatIsRequired() {
    #expect(
      Sample.jsonSchema.text
        == #"{"type":"object","properties":{"count":{"type":"integer","minimum":0,"#
        + #""description":"How many."},"name":{"type":"string","enum":["a","b"]},"#
        + #""share":{"type":"number"}},"required":["count","name"],"additionalProperties":false}"#)
  }
}
