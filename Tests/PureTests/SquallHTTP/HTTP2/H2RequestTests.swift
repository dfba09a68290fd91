import SquallHTTP
import Testing

@Suite struct H2RequestTests {
  private typealias W = H2Wire

  private func template(
    method: String = "GET", host: String = "example.org", target: String = "/",
    headers: [(String, String)] = [], body: [UInt8] = []
  ) throws -> H2RequestTemplate {
    try H2RequestTemplate(
      method: method, scheme: "https", target: target, host: host,
      headers: headers.map { (name: $0.0, value: $0.1) }, body: body, userAgent: "squall/1")
  }

  /// Opens `order` on one connection and returns what the oracle reads, request by request; nil for
  /// a block that it refuses.
  private func sent(
    _ templates: [H2RequestTemplate], order: [Int], answers: [Int: [UInt8]] = [:]
  ) -> [[String]?] {
    let requests = H2Requests(templates)
    var connection = H2Connection(streamCountMax: 100)
    var reader = ResponseHeadReader()
    var oracle = H2Oracle()
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
    defer { memory.deallocate() }
    var lines: [[String]?] = []
    for (tag, index) in order.enumerated() {
      answers[tag]?.withUnsafeBytes { bytes in
        var rest = bytes
        while true { if case .needsMore = connection.next(&rest, reader: &reader) { break } }
      }
      var output = OutgoingBytes(memory)
      let id = connection.open(requests[index], tag: UInt32(tag), into: &output)
      let frames = H2SentFrame.all(in: Array(memory[..<output.byteCount])) ?? []
      let heads = frames.filter { $0.kind == 1 || $0.kind == 9 }
      #expect(heads.allSatisfy { $0.stream == id && $0.payload.count <= 16_384 })
      #expect(heads.first?.kind == 1 && heads.dropFirst().allSatisfy { $0.kind == 9 })
      #expect(
        heads.map { $0.flags & W.endHeaders != 0 } == heads.indices.map { $0 == heads.count - 1 })
      lines.append(oracle.decode(heads.flatMap(\.payload)))
    }
    return lines
  }

  private func blockByteCounts(_ template: H2RequestTemplate, count: Int) -> [Int] {
    let requests = H2Requests([template])
    var connection = H2Connection(streamCountMax: 100)
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    defer { memory.deallocate() }
    var output = OutgoingBytes(memory)
    for tag in 0..<count { _ = connection.open(requests[0], tag: UInt32(tag), into: &output) }
    return (H2SentFrame.all(in: Array(memory[..<output.byteCount])) ?? [])
      .filter { $0.kind == 1 }.map(\.payload.count)
  }

  @Test func sendsItsFieldsInTheirOrder() throws {
    let request = try template(
      method: "POST", target: "/a?b", headers: [("Accept", "*/*"), ("X-One", " 1 ")], body: [1, 2])
    let expected = [
      ":method: POST", ":scheme: https", ":authority: example.org", ":path: /a?b", "accept: */*",
      "x-one: 1", "user-agent: squall/1", "content-length: 2",
    ]
    #expect(sent([request], order: [0, 0, 0]) == [expected, expected, expected])
  }

  @Test func laterRequestsAreAHandfulOfIndices() throws {
    let counts = blockByteCounts(try template(target: "/path"), count: 4)
    #expect(counts[0] > 20)
    // Method and scheme are in the static table; authority, path and agent in the dynamic one.
    #expect(counts.dropFirst().allSatisfy { $0 == 5 })
  }

  /// Whichever comes first, each connection reads the same requests.
  @Test func requestsOfSeveralKindsShareWhatTheyHaveInCommon() throws {
    let templates = [
      try template(headers: [("accept", "*/*"), ("x-a", "1"), ("cookie", "a=b")]),
      try template(method: "PUT", target: "/put", headers: [("x-a", "1"), ("accept", "*/*")]),
      try template(target: "/c", headers: [("accept", "*/*"), ("x-a", "2"), ("cookie", "c=d")]),
      try template(
        target: "/d", headers: [("cookie", "a=b"), ("accept", "*/*"), ("x-a", "1"), ("x-a", "1")]),
    ]
    let sorted = templates.map { sent([$0], order: [0])[0]?.sorted() }
    for first in templates.indices {
      let order = [first] + templates.indices + [first]
      let lines = sent(templates, order: order)
      #expect(lines.map { $0?.sorted() } == order.map { sorted[$0] })
      #expect(lines.allSatisfy { $0?.prefix(4).allSatisfy { $0.hasPrefix(":") } ?? false })
    }
  }

  @Test func aHostGivenByHandIsTheAuthority() throws {
    let lines = sent([try template(headers: [("Host", "other:81")])], order: [0])[0]
    #expect(lines?.contains(":authority: other:81") == true)
    #expect(lines?.contains { $0.hasPrefix("host") } == false)
  }

  @Test(arguments: ["Connection", "keep-alive", "Proxy-Connection", "Upgrade", "TE"])
  func refusesFieldsOfHTTP1(name: String) {
    #expect(throws: RequestError.connectionField(name)) {
      try template(headers: [(name, "x")])
    }
  }

  @Test func judgesTheRestAsHTTP1Does() throws {
    #expect(throws: RequestError.framingField("Content-Length")) {
      try template(headers: [("Content-Length", "1")])
    }
    #expect(throws: RequestError.targetForm("x")) { try template(target: "x") }
    _ = try template(headers: [("TE", "trailers")])
  }

  @Test func aHeadLargerThanAFrameIsContinued() throws {
    let large = (0..<60).map { ("x-large-\($0)", String(repeating: "~", count: 900)) }
    // The last one acknowledges a smaller table, in front of a frame that is full.
    let lines = sent(
      [try template(headers: large)], order: [0, 0, 0],
      answers: [2: W.settings([1: 4000])])
    for each in lines {
      #expect(each?.count == 65 && each?.contains("x-large-59: " + large[59].1) == true)
    }
  }

  // MARK: The peer's table

  /// SETTINGS_HEADER_TABLE_SIZE, before the request of that number.
  @Test(
    arguments: [
      [0: [0]], [1: [0]], [1: [100]], [1: [4096]], [1: [65_536]], [0: [100]], [0: [200]],
      [1: [200]],
      [1: [0, 4096]], [1: [200], 2: [0]], [1: [200], 2: [4096], 3: [150]], [2: [150, 149]],
    ] as [[Int: [UInt32]]])
  func obeysTheSizeOfThePeersTable(sizes: [Int: [UInt32]]) throws {
    let request = try template(target: "/path")
    let expected = try #require(sent([request], order: [0])[0])
    let answers = sizes.mapValues { sizes in sizes.flatMap { W.settings([1: $0]) } }
    let padded = answers.reduce(into: [0: W.settings()]) { all, each in
      all[each.key] = (each.key == 0 ? W.settings() : []) + each.value
    }
    let lines = sent([request], order: [0, 0, 0, 0, 0], answers: padded)
    #expect(lines == Array(repeating: expected, count: 5))
  }

  /// What was added takes 32 + 38 + ... bytes: below that nothing is named by index, at it all is.
  @Test func aSmallerTableIsAcknowledgedAtOnce() throws {
    var client = H2Client()
    client.receive(W.settings())
    client.open(tag: 0)
    client.receive(W.settings([1: 64]))
    _ = client.takeSent()
    client.open(tag: 1)
    client.open(tag: 2)
    let blocks = client.takeSent().map(\.payload)
    // 001 11111, 64 - 31: a table size update to 64, once.
    #expect(blocks[0].starts(with: [0x3F, 33]))
    #expect(blocks[1].first == 0x82)
    #expect(blocks[0].dropFirst(2) == blocks[1][...])
  }
}
