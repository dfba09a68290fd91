import SquallLoad
import SquallScenario
import Testing

/// What is taken out of answers, against a parser that reads all of them.
struct ExtractionTests {
  /// Documents made by chance, cut by chance: each path gives what reading the whole document gives.
  @Test(arguments: UInt64(0)..<60)
  func aPathFindsWhatAWholeReadingFinds(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    for _ in 0..<20 {
      let document = value(depth: 0, &random)
      var paths: [(text: String, value: JSONValue)] = []
      collect(document, "$", &paths)
      let chosen = (0..<5).map { _ in paths[Int(random.next() % UInt64(paths.count))] }
      let captures = chosen.enumerated().map { index, path in
        "v\(index): {json: \"\(path.text)\", max: 16384\(path.value.isScalar ? "" : ", as: raw")}"
      }
      let script = try Script(
        "{get: /, capture: {\(captures.joined(separator: ", "))}, check: {has: [v0,v1,v2,v3,v4]}}")
      _ = try script.send()
      let text = random.next() % 2 == 0 ? document.text : document.indentedText
      let reply = MachineTests.reply(status: 200, fields: [], body: text)
      var pieces: [[UInt8]] = []
      var rest = reply[...]
      while !rest.isEmpty {
        let count = min(rest.count, 1 + Int(random.next() % 40))
        pieces.append(Array(rest.prefix(count)))
        rest = rest.dropFirst(count)
      }
      _ = script.answer(pieces: pieces)
      for (index, path) in chosen.enumerated() {
        let found = script.values["v\(index)"]
        let expected: String?
        switch path.value {
        case .null: expected = nil
        case .string(let string): expected = string
        default: expected = path.value.isScalar ? path.value.text : nil
        }
        if path.value.isScalar {
          try #require(found == expected, "seed \(seed), \(path.text) of \(text)")
        } else {
          let raw = try JSONValue(
            text: try #require(found, "seed \(seed), \(path.text) of \(text)"))
          try #require(raw == path.value, "seed \(seed), \(path.text) of \(text)")
        }
      }
    }
  }

  private func value(depth: Int, _ random: inout SplitMix64) -> JSONValue {
    let words = [
      "", "a", "b c", "\"", "\\", "{[", "é😀", "]}\\\"", "\n\t", "x/y", "longer than sixteen bytes",
    ]
    func word() -> String { words[Int(random.next() % UInt64(words.count))] }
    switch random.next() % (depth < 4 ? 9 : 5) {
    case 0: return .null
    case 1: return .bool(random.next() % 2 == 0)
    case 2: return .integer(Int128(Int64(truncatingIfNeeded: random.next()) >> 40))
    case 3, 4: return .string(word() + word())
    case 5, 6:
      return .array((0..<random.next() % 5).map { _ in value(depth: depth + 1, &random) })
    default:
      return .object(
        (0..<random.next() % 5).map { index in
          .init("k\(index)\(index % 2 == 0 ? "é" : "")", value(depth: depth + 1, &random))
        })
    }
  }

  private func collect(
    _ value: JSONValue, _ path: String, _ paths: inout [(text: String, value: JSONValue)]
  ) {
    paths.append((path, value))
    switch value {
    case .array(let elements):
      for (index, element) in elements.enumerated() {
        collect(element, "\(path)[\(index)]", &paths)
      }
    case .object(let members):
      for member in members { collect(member.value, "\(path).\(member.name)", &paths) }
    default: break
    }
  }

  /// Any bytes at all: nothing traps, and what is no JSON has no values.
  @Test func anyBytesAreRead() throws {
    var random = SplitMix64(seed: 5)
    let script = try Script(
      #"""
      {get: /, capture: {a: "$.a[*].b", b: {json: $.a, as: raw}, c: {between: ["[", "]"]}, d: {header: X}},
       check: {contains: "aab", json: {"$.a[1]": 5}, has: [a, b, c, d]}}
      """#)
    let alphabet = Array(#"{}[]":,\ab15 nutrueé"#.utf8)
    for _ in 0..<5_000 {
      _ = try script.send()
      let body = (0..<random.next() % 80).map { _ in
        alphabet[Int(random.next() % UInt64(alphabet.count))]
      }
      let head = "HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\n\r\n"
      let bytes = Array(head.utf8) + body
      let cut = Int(random.next() % UInt64(bytes.count))
      _ = script.answer(pieces: [Array(bytes[..<cut]), Array(bytes[cut...])])
    }
  }

  /// One of several, each as often as the others: within five standard deviations.
  @Test func oneOfSeveralIsTakenEvenly() throws {
    let script = try Script(
      #"{get: /, capture: {v: {json: "$.items[*].id", take: random}}, check: {has: [v]}}"#)
    var counts: [String: Int] = [:]
    let items = (0..<8).map { #"{"x":[1],"id":\#($0)}"# }.joined(separator: ",")
    for _ in 0..<8_000 {
      _ = try script.send()
      _ = script.answer("{\"items\":[\(items)]}")
      counts[script.firstValue ?? "nothing", default: 0] += 1
    }
    #expect(counts.count == 8)
    #expect(counts.values.allSatisfy { abs(Double($0) - 1_000) < 5 * 29.6 }, "\(counts)")
  }

  /// Requests of any values parse as the body they are: escaping holds whatever was captured.
  @Test(arguments: UInt64(0)..<20)
  func whateverWasCapturedIsSentAsItself(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let script = try Script(
      #"{get: /, capture: {v: {json: $.v, max: 400}}}, {post: "/p/${v}?q=${v}", json: {a: "${v}", b: "x${v}"}}"#
    )
    for _ in 0..<50 {
      var text = "x"
      for _ in 0..<random.next() % 20 {
        text.unicodeScalars.append(
          Unicode.Scalar(UInt32(random.next() % 0x250) + 1) ?? "x")
      }
      _ = try script.send()
      let body = JSONValue.object([.init("v", .string(text))]).text
      let first = script.answer(body)
      #expect(first == .good)
      let request = try script.send()
      let sent = request.utf8.split(separator: Array("\r\n\r\n".utf8), maxSplits: 1)
      let value = try JSONValue(text: Array(sent[1]))
      #expect(value["a"] == .string(text))
      #expect(value["b"] == .string("x" + text))
      let target = request.split(separator: " ")[1].dropFirst(3).split(separator: "?q=")
      for part in target { #expect(decoded(String(part)) == text) }
      _ = script.answer("")
    }
  }

  private func decoded(_ text: String) -> String? {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      guard let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else {
        return nil
      }
      rest = rest.dropFirst(2)
      bytes.append(value)
    }
    return String(validating: bytes, as: UTF8.self)
  }
}

extension JSONValue {
  fileprivate var isScalar: Bool {
    switch self {
    case .array, .object: false
    case .null, .bool, .integer, .number, .string: true
    }
  }
}
