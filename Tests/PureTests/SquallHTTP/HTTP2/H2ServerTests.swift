import SquallHTTP
import Testing

/// The server's end against bytes as a client sends them, and against our own client.
@Suite struct H2ServerTests {
  private typealias W = H2Wire
  private static let get: KeyValuePairs = [
    ":method": "GET", ":scheme": "http", ":authority": "a", ":path": "/a?b=1",
  ]

  enum Note: Equatable {
    case head(UInt32, String, isHead: Bool, isUsual: Bool, isEnd: Bool)
    case ended(UInt32)
    case reset(UInt32, answer: Int32)
    case violation(H2Violation)
  }

  struct Server: ~Copyable {
    var connection = H2Server()
    var reader = RequestHeadReader()

    mutating func receive(_ bytes: [UInt8], stride: Int = .max) -> [Note] {
      var notes: [Note] = []
      var start = 0
      while start < bytes.count {
        let end = min(bytes.count, start + min(stride, bytes.count))
        Array(bytes[start..<end]).withUnsafeBytes { piece in
          var rest = piece
          loop: while true {
            switch connection.next(&rest, reader: &reader) {
            case .needsMore: break loop
            case .head(let place, let isUsual, let isEnd):
              notes.append(
                .head(
                  connection.streams[place].id, String(decoding: reader.target, as: UTF8.self),
                  isHead: reader.isHead, isUsual: isUsual, isEnd: isEnd))
            case .ended(let place): notes.append(.ended(connection.streams[place].id))
            case .reset(let id, let answer): notes.append(.reset(id, answer: answer))
            case .violation(let violation): notes.append(.violation(violation))
            }
          }
        }
        start = end
      }
      return notes
    }

    /// What is written with `byteCount` bytes of room.
    mutating func write(
      _ byteCount: Int = 65_536, _ body: (inout H2Server, inout OutgoingBytes) -> Void = { _, _ in }
    ) -> [UInt8] {
      let room = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 16)
      defer { room.deallocate() }
      var output = OutgoingBytes(room)
      connection.write(into: &output)
      body(&connection, &output)
      return Array(room.prefix(output.byteCount))
    }

    /// Answers every stream in full, as far as windows go.
    mutating func answerAll(_ byteCount: Int, status: UInt16 = 200) -> [UInt8] {
      write(1 << 20) { server, output in
        for place in server.streams.indices {
          if !server.streams[place].isHeadWritten {
            server.writeHead(
              place, status: status, contentLength: UInt32(byteCount), isEnd: byteCount == 0,
              into: &output)
          }
          while case let left = byteCount - Int(server.streams[place].sentByteCount), left > 0,
            case let room = server.dataRoom(place, output), room > 0
          {
            server.writeData(
              place, byteCount: min(left, room), isEnd: left <= room, into: &output
            ) { $0.initializeMemory(as: UInt8.self, repeating: 120) }
          }
        }
        server.removeFinished()
      }
    }
  }

  @Test func beginsWithItsSettingsAndWindow() {
    var server = Server()
    #expect(
      server.write()
        == W.settings([3: 1_024, 4: 1 << 30 - 1, 6: 65_536])
        + W.windowUpdate(0, (1 << 30 - 1) - 65_535))
    #expect(server.receive(W.settings() + W.ping(7)) == [])
    #expect(server.write() == W.settingsAck + W.ping(7, flags: W.ack))
  }

  @Test(arguments: [1, 2, 3, 7, 50, Int.max]) func readsRequestsInAnySplit(stride: Int) {
    var server = Server()
    let post: KeyValuePairs = [
      ":method": "POST", ":scheme": "https", ":path": "/up", "content-length": "5",
    ]
    let bytes =
      W.settings() + W.head(1, Self.get, ends: true) + W.head(3, post)
      + W.data(3, "hel", ends: false)
      + W.head(5, [":method": "HEAD", ":scheme": "http", ":path": "*"], ends: true)
      + W.data(3, "lo", ends: false) + W.head(3, ["trailer": "x"], ends: true)
      + W.reset(5, .cancel) + W.reset(5, .cancel) + W.windowUpdate(5, 1) + W.data(5, "late")
    #expect(
      server.receive(bytes, stride: stride) == [
        .head(1, "/a?b=1", isHead: false, isUsual: false, isEnd: true),
        .head(3, "/up", isHead: false, isUsual: false, isEnd: false),
        .head(5, "*", isHead: true, isUsual: false, isEnd: true),
        .ended(3), .reset(5, answer: -1),
      ])
    #expect(server.connection.streams.map(\.id) == [1, 3])
  }

  /// Also while the client's table changes under it.
  @Test func knowsARequestAgain() {
    var oracle = H2Oracle()
    var server = Server()
    _ = server.receive(W.settings())
    func fields(_ path: String) -> [(String, String)] {
      [(":method", "GET"), (":scheme", "http"), (":authority", "a.example"), (":path", path)]
    }
    var usual: [Bool] = []
    for (index, path) in ["/a", "/a", "/a", "/b", "/b", "/b", "/a", "/a"].enumerated() {
      let id = UInt32(2 * index + 1)
      let notes = server.receive(W.head(id, oracle.encode(fields(path)), ends: true))
      guard case .head(id, path, false, let isUsual, true)? = notes.first else {
        Issue.record("\(path) came as \(notes)")
        continue
      }
      usual.append(isUsual)
    }
    // The first of each adds to the table, the second names it, the third is the second.
    #expect(usual == [false, false, true, false, false, true, false, true])
  }

  @Test(arguments: [0, 1, 16_384, 16_385, 100_000]) func answersAreThoseOurClientReads(
    byteCount: Int
  ) {
    var client = H2Client(streamCountMax: 10)
    var server = Server()
    for tag in 0..<10 as Range<UInt32> { client.open(.get, tag: tag) }
    client.flush()
    let requests = Array(client.sent.dropFirst(W.preface.count))
    #expect(server.receive(requests).count == 10)
    var notes = client.receive(server.answerAll(byteCount))
    // Ten of 100,000 bytes are more than the buffer: what is left comes again.
    while !server.connection.streams.isEmpty {
      notes += client.receive(server.answerAll(byteCount))
    }
    let ended = notes.filter { if case .ended = $0 { true } else { false } }
    #expect(ended == (0..<10).map { .ended($0, 200, UInt64(byteCount)) })
    #expect(client.connection.isDone == false)
  }

  @Test(arguments: [UInt16(200), 204, 299, 404, 500, 503]) func statusesAreReadByTheOracle(
    status: UInt16
  ) throws {
    var server = Server()
    _ = server.write()
    _ = server.receive(W.settings() + W.head(1, Self.get, ends: true))
    let frames = try #require(H2SentFrame.all(in: server.answerAll(0, status: status)))
    var oracle = H2Oracle()
    let head = try #require(frames.last)
    #expect(head.kind == 1 && head.flags == 5 && head.stream == 1)
    #expect(oracle.decode(head.payload) == [":status: \(status)", "content-length: 0"])
  }

  @Test func windowsAreObeyed() {
    var server = Server()
    _ = server.receive(
      W.settings([4: 10]) + W.head(1, Self.get, ends: true) + W.head(3, Self.get, ends: true))
    func sent(_ bytes: [UInt8]) -> [Int] {
      (H2SentFrame.all(in: bytes) ?? []).filter { $0.kind == 0 }.map(\.payload.count)
    }
    #expect(sent(server.answerAll(25)) == [10, 10])
    #expect(sent(server.answerAll(25)) == [])
    _ = server.receive(W.windowUpdate(3, 5) + W.windowUpdate(0, 1))
    #expect(sent(server.answerAll(25)) == [5])
    // Below zero, and up again.
    _ = server.receive(W.settings([4: 3]) + W.windowUpdate(1, 7))
    #expect(sent(server.answerAll(25)) == [])
    _ = server.receive(W.settings([4: 100]))
    #expect(sent(server.answerAll(25)) == [15, 10])
    #expect(server.connection.streams.count == 0)
  }

  @Test func moreStreamsThanAllowedAreRefused() {
    var server = Server()
    _ = server.receive(W.settings())
    for index in 0..<1_024 as Range<UInt32> {
      #expect(server.receive(W.head(2 * index + 1, Self.get, ends: true)).count == 1)
    }
    _ = server.write()
    #expect(server.receive(W.head(2_049, Self.get, ends: true)) == [])
    #expect(server.write() == W.reset(2_049, .refusedStream))
  }

  @Test func goesAwayInOrder() {
    var server = Server()
    _ = server.receive(W.settings() + W.head(1, Self.get, ends: true))
    _ = server.write()
    server.connection.goAway()
    server.connection.goAway()
    #expect(server.receive(W.head(3, Self.get, ends: true)) == [])
    #expect(server.write() == W.goAway(1) + W.reset(3, .refusedStream))
    #expect(server.connection.isDone == false)
    _ = server.answerAll(5)
    #expect(server.connection.isDone == true)
  }

  struct Offence: CustomTestStringConvertible {
    let violation: H2Violation
    let bytes: [UInt8]
    var testDescription: String { violation.name }
  }

  static let offences: [Offence] = {
    func head(_ fields: KeyValuePairs<String, String>, stream: UInt32 = 1) -> [UInt8] {
      W.settings() + W.head(stream, fields, ends: true)
    }
    return [
      Offence(violation: .missingRequestField, bytes: head([":method": "GET", ":path": "/"])),
      Offence(
        violation: .missingRequestField,
        bytes: head([":method": "GET", ":scheme": "http", ":path": ""])),
      Offence(
        violation: .repeatedRequestField,
        bytes: head([":method": "GET", ":scheme": "http", ":path": "/", ":path": "/"])),
      Offence(
        violation: .misplacedPseudoField,
        bytes: head([":method": "GET", ":scheme": "http", "a": "b", ":path": "/"])),
      Offence(violation: .unknownPseudoField, bytes: head([":status": "200"])),
      Offence(
        violation: .connectionField,
        bytes: head([":method": "GET", ":scheme": "http", ":path": "/", "connection": "close"])),
      Offence(violation: .firstFrameNotSettings, bytes: W.ping(1)),
      Offence(violation: .idleStream, bytes: head(get, stream: 2)),
      Offence(violation: .idleStream, bytes: W.settings() + W.data(1, "x")),
      Offence(violation: .closedStream, bytes: head(get) + W.data(1, "x")),
      Offence(
        violation: .trailersDoNotEndStream,
        bytes: W.settings() + W.head(1, get) + W.head(1, ["a": "b"])),
      Offence(violation: .windowOverflow, bytes: W.settings() + W.windowUpdate(0, 1 << 31 - 1)),
      Offence(violation: .zeroWindowIncrement, bytes: W.settings() + W.windowUpdate(0, 0)),
      Offence(violation: .pushPromise, bytes: W.settings() + W.frame(5, stream: 1, [0, 0, 0, 2])),
    ]
  }()

  @Test(arguments: offences) func isFoundAndSaid(_ offence: Offence) throws {
    var server = Server()
    #expect(server.receive(offence.bytes).last == .violation(offence.violation))
    let last = try #require(H2SentFrame.all(in: server.write())?.last)
    #expect(last.kind == 7)
    #expect(last.payload.suffix(4) == W.bigEndian(offence.violation.code.rawValue)[...])
    #expect(server.connection.isDone == true)
    #expect(server.receive(W.settings()) == [])
  }
}
