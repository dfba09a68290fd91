import NIOCore
import NIOEmbedded
import NIOHTTP1
import SquallHTTP
import SquallLoad
import Testing

/// What was said about one response, in terms both parsers share.
private struct Account: Equatable {
  var status: UInt16
  var bodyByteCount: UInt64
}

/// A well-formed connection: responses to as many requests, the last of which may end it.
private struct Conversation {
  var bytes: [UInt8] = []
  var isHead: [Bool] = []
  var accounts: [Account] = []
  var endsAtClose = false

  init(random: inout SplitMix64) {
    for _ in 0..<Int.random(in: 1...6, using: &random) where !endsAtClose {
      add(random: &random)
    }
  }

  private mutating func add(random: inout SplitMix64) {
    for _ in 0..<(random.chance(20) ? Int.random(in: 1...3, using: &random) : 0) {
      let interim = ["100 Continue", "102 Processing", "103 Early Hints"].randomElement(
        using: &random)!
      bytes += Array("HTTP/1.1 \(interim)\r\n\(Self.fields(1, random: &random).joined())\r\n".utf8)
    }
    let isHead = random.chance(15)
    let status = [200, 200, 200, 201, 204, 301, 304, 404, 500, 599].randomElement(using: &random)!
    let hasBody = !isHead && status != 204 && status != 304
    var body = [UInt8]()
    if hasBody {
      let byteCount = Int.random(in: 0...(random.chance(10) ? 5_000 : 60), using: &random)
      body = (0..<byteCount).map { _ in UInt8.random(in: 0...255, using: &random) }
    }
    accounts.append(Account(status: UInt16(status), bodyByteCount: UInt64(body.count)))
    self.isHead.append(isHead)

    var fields = Self.fields(Int.random(in: 0...12, using: &random), random: &random)
    func insert(_ field: String) {
      fields.insert(field, at: Int.random(in: 0...fields.count, using: &random))
    }
    let name = { (text: String, random: inout SplitMix64) in
      String(text.map { random.chance(20) ? Character($0.uppercased()) : $0 })
    }
    var payload = body
    switch Int.random(in: 0..<10, using: &random) {
    case 0 where hasBody && bytes.count < 20_000:
      endsAtClose = true
    case 0...5:
      if status != 204 { insert("\(name("Content-Length", &random)): \(body.count)\r\n") }
    default:
      if status != 204 { insert("\(name("Transfer-Encoding", &random)): chunked\r\n") }
      if hasBody { payload = Self.chunked(body, random: &random) }
    }
    let reason = ["OK", "", "Some Reason"].randomElement(using: &random)!
    bytes += Array("HTTP/1.1 \(status) \(reason)\r\n\(fields.joined())\r\n".utf8) + payload
  }

  private static func fields(_ count: Int, random: inout SplitMix64) -> [String] {
    let names = [
      "Server", "Date", "X-Request-Id", "Content-Type", "Set-Cookie", "x_odd.name~1", "ETag",
      "Connectio", "Content-Lengt", "Vary", "T", "Keep-Alive",
    ]
    let values = [
      "", "a", "text/plain; charset=utf-8", "Sat, 21 Nov 2026 11:19:51 GMT", "\"quoted, list\"",
      "a\tb", String(repeating: "v", count: 40), "chunked", "close", "17",
    ]
    return (0..<count).map { _ in
      let space = ["", " ", "  ", "\t"].randomElement(using: &random)!
      return names.randomElement(using: &random)! + ":" + space
        + values.randomElement(using: &random)! + "\r\n"
    }
  }

  private static func chunked(_ body: [UInt8], random: inout SplitMix64) -> [UInt8] {
    var bytes = [UInt8]()
    var rest = body[...]
    while !rest.isEmpty {
      let chunk = rest.prefix(Int.random(in: 1...max(1, min(400, rest.count)), using: &random))
      rest = rest.dropFirst(chunk.count)
      let size = String(chunk.count, radix: 16, uppercase: random.chance(50))
      let zeros = String(repeating: "0", count: random.chance(10) ? 3 : 0)
      let ending = random.chance(15) ? ";name=value" : ""
      bytes += Array("\(zeros)\(size)\(ending)\r\n".utf8) + chunk + Array("\r\n".utf8)
    }
    bytes += Array("0\r\n".utf8)
    if random.chance(20) { bytes += Array("X-Trailer: 1\r\nX-Sum: abc\r\n".utf8) }
    return bytes + Array("\r\n".utf8)
  }
}

/// SwiftNIO's decoder (llhttp) reads what is generated here as the generator meant it, and so do we.
@Suite struct ResponseOracleTests {
  @Test(arguments: UInt64(0)..<1_500)
  func agreesWithNIOOnWellFormedResponses(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let conversation = Conversation(random: &random)
    let ours = read(random.pieces(conversation.bytes, cutCountMax: 30), conversation)
    let theirs = try decode(random.pieces(conversation.bytes, cutCountMax: 30), conversation)

    #expect(theirs == conversation.accounts)
    #expect(ours == conversation.accounts)
  }

  private func read(_ pieces: [ArraySlice<UInt8>], _ conversation: Conversation) -> [Account] {
    var accounts: [Account] = []
    var parser = ResponseParser()
    parser.reset(expectsNoBody: conversation.isHead[0])
    for piece in pieces {
      var rest = piece
      while accounts.count < conversation.isHead.count,
        case .complete(let byteCount) = rest.withUnsafeBytes({ parser.consume($0) })
      {
        accounts.append(Account(status: parser.status, bodyByteCount: parser.bodyByteCount))
        rest = rest.dropFirst(byteCount)
        guard accounts.count < conversation.isHead.count else { break }
        parser.reset(expectsNoBody: conversation.isHead[accounts.count])
      }
    }
    if conversation.endsAtClose, case .complete = parser.finish() {
      accounts.append(Account(status: parser.status, bodyByteCount: parser.bodyByteCount))
    }
    return accounts
  }

  private func decode(
    _ pieces: [ArraySlice<UInt8>], _ conversation: Conversation
  ) throws -> [Account] {
    let decoder = HTTPResponseDecoder(
      leftOverBytesStrategy: .dropBytes, informationalResponseStrategy: .drop)
    let channel = EmbeddedChannel(handler: ByteToMessageHandler(decoder))
    for isHead in conversation.isHead {
      let head = HTTPRequestHead(version: .http1_1, method: isHead ? .HEAD : .GET, uri: "/")
      try channel.writeOutbound(HTTPClientRequestPart.head(head))
    }
    for piece in pieces { try channel.writeInbound(ByteBuffer(bytes: piece)) }
    _ = try channel.finish(acceptAlreadyClosed: true)

    var accounts: [Account] = []
    var current = Account(status: 0, bodyByteCount: 0)
    while let part = try channel.readInbound(as: HTTPClientResponsePart.self) {
      switch part {
      case .head(let head):
        current = Account(status: UInt16(head.status.code), bodyByteCount: 0)
      case .body(let body): current.bodyByteCount += UInt64(body.readableBytes)
      case .end: accounts.append(current)
      }
    }
    return accounts
  }
}
