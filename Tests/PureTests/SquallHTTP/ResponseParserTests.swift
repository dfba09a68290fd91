import SquallHTTP
import SquallLoad
import Testing

@Suite struct ResponseParserTests {
  private let memory = GuardedBytes(capacity: 512 << 10)

  /// `closes` is part of what a vector says: only some of them are whole without it.
  private func expected(_ vector: ResponseVector) -> (reading: ResponseReading, closes: Bool) {
    var reading = ResponseReading([], closes: false, in: memory)
    switch vector.expectation {
    case .ok(let status, let body, let reusable):
      reading.end = .complete
      reading.status = status
      reading.bodyByteCount = body
      reading.keepAlive = reusable
    case .okAtClose(let status, let body):
      reading.end = .complete
      reading.status = status
      reading.bodyByteCount = body
      reading.consumedByteCount = vector.bytes.count
    case .malformed(let cause), .cutOff(let cause):
      reading.end = .malformed(cause)
      reading.consumedByteCount = nil
    }
    if case .ok = vector.expectation { return (reading, false) }
    if case .malformed = vector.expectation { return (reading, false) }
    return (reading, true)
  }

  private func read(
    _ pieces: [ArraySlice<UInt8>], _ vector: ResponseVector, closes: Bool
  ) -> ResponseReading {
    ResponseReading(pieces, isHead: vector.isHead, closes: closes, in: memory)
  }

  @Test(arguments: ResponseVector.all)
  func isReadAsTheTableSays(vector: ResponseVector) {
    let (expected, closes) = expected(vector)
    var whole = read([vector.bytes[...]], vector, closes: closes)
    if case .ok = vector.expectation { whole.consumedByteCount = expected.consumedByteCount }
    #expect(whole == expected)
  }

  @Test(arguments: ResponseVector.all)
  func isReadTheSameWhereverItIsCut(vector: ResponseVector) {
    let (_, closes) = expected(vector)
    let bytes = vector.bytes
    let whole = read([bytes[...]], vector, closes: closes)

    var random = SplitMix64(seed: UInt64(bytes.count))
    let cuts =
      vector.isLarge
      ? (0..<40).map { _ in Int.random(in: 0...bytes.count, using: &random) }
      : Array(0...bytes.count)
    for cut in cuts {
      let halves = read(bytes.cut(at: [cut]), vector, closes: closes)
      #expect(halves == whole, "cut at \(cut)")
    }
    let dripped = read(bytes.dripped, vector, closes: closes)
    #expect(dripped == whole, "dripped")
    let oddly = read(random.pieces(bytes, cutCountMax: 9), vector, closes: closes)
    #expect(oddly == whole, "cut into several")
  }

  @Test(arguments: ResponseVector.all)
  func leavesTheNextResponseAlone(vector: ResponseVector) {
    switch vector.expectation {
    case .okAtClose, .cutOff: return  // More bytes are more of the same response.
    case .ok, .malformed: break
    }
    let alone = read([vector.bytes[...]], vector, closes: false)
    let next = Array("HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx".utf8)
    let glued = read([(vector.bytes + next)[...]], vector, closes: false)
    #expect(glued == alone)
  }

  @Test(arguments: ResponseVector.all)
  func isNeverWholeWhenTheEndIsMissing(vector: ResponseVector) {
    let (_, closes) = expected(vector)
    let whole = read([vector.bytes[...]], vector, closes: closes)
    let end = whole.consumedByteCount ?? vector.bytes.count
    for byteCount in stride(from: 0, to: end, by: vector.isLarge ? 997 : 1) {
      let short = read([vector.bytes[..<byteCount]], vector, closes: true)
      switch short.end {
      case .needsMore: Issue.record("nothing said after \(byteCount) bytes and the close")
      case .complete:
        guard case .okAtClose = vector.expectation else {
          Issue.record("complete after \(byteCount) of \(end) bytes")
          continue
        }
        #expect(short.bodyByteCount == whole.bodyByteCount - UInt64(end - byteCount))
        #expect(!short.keepAlive)
      case .malformed(let cause):
        let isOfTheClose = [.closedBeforeHead, .closedInHead, .closedInBody].contains(cause)
        #expect(isOfTheClose || short.end == whole.end)
        #expect((cause == .closedBeforeHead) == (byteCount == 0))
      }
    }
  }

  /// A flipped bit may change what a response says, never how it is read: no trap, no byte read
  /// twice or not at all, the same verdict however it is cut.
  @Test(arguments: ResponseVector.all.filter { !$0.isLarge })
  func isReadSomehowWithAnyBitFlipped(vector: ResponseVector) {
    var bytes = vector.bytes
    var disagreements: [String] = []
    for index in bytes.indices {
      for bit in 0..<8 {
        bytes[index] ^= 1 << UInt8(bit)
        let whole = read([bytes[...]], vector, closes: true)
        let dripped = read(bytes.dripped, vector, closes: true)
        if whole != dripped {
          disagreements.append("byte \(index) bit \(bit): whole \(whole), dripped \(dripped)")
        }
        bytes[index] ^= 1 << UInt8(bit)
      }
    }
    #expect(disagreements.isEmpty)
  }

  @Test func pipelinedResponsesComeOneByOneInTheirOrder() {
    let bytes = (205..<235).flatMap { status in
      Array("HTTP/1.1 \(status) X\r\nContent-Length: \(status - 204)\r\n\r\n".utf8)
        + Array(repeating: UInt8(ascii: "H"), count: status - 204)
    }
    var parser = ResponseParser()
    var statuses: [UInt16] = []
    var rest = bytes[...]
    while case .complete(let byteCount) = memory.lend(rest, { parser.consume($0) }) {
      statuses.append(parser.status)
      rest = rest.dropFirst(byteCount)
      parser.reset(expectsNoBody: false)
    }
    #expect(rest.isEmpty)
    #expect(statuses == Array(205..<235))
  }

  @Test func beginsWithTheFirstByteOfAnInterimResponse() {
    var parser = ResponseParser()
    let before = parser.hasBegun
    let empty = memory.lend([]) { parser.consume($0) }
    let afterNothing = parser.hasBegun
    let interim = memory.lend(ArraySlice("HTTP/1.1 100 C\r\n\r\n".utf8)) { parser.consume($0) }
    let after = parser.hasBegun
    let status = parser.status
    parser.reset(expectsNoBody: false)
    let afterReset = parser.hasBegun

    #expect(!before && !afterNothing && after && !afterReset)
    #expect(empty == .needsMore && interim == .needsMore)
    #expect(status == 0)
  }

  @Test func aResetForgetsEverything() {
    for vector in ResponseVector.all where !vector.isLarge {
      var parser = ResponseParser()
      parser.reset(expectsNoBody: vector.isHead)
      _ = memory.lend(vector.bytes[...]) { parser.consume($0) }
      parser.reset(expectsNoBody: false)
      let step = memory.lend(ArraySlice("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".utf8)) {
        parser.consume($0)
      }
      #expect(step == .complete(consumedByteCount: 40))
      #expect(parser.status == 200 && parser.bodyByteCount == 2 && parser.keepAlive)
    }
  }

  @Test func fitsACacheLine() {
    #expect(MemoryLayout<ResponseParser>.stride <= 48)
  }

  @Test func everyMalformationIsSaidInItsOwnWords() {
    let sentences = Malformation.allCases.map { "\($0.explanation)" }
    #expect(Set(sentences).count == Malformation.allCases.count)
    #expect(sentences.allSatisfy { $0.count > 15 && $0.last != "." })
  }

  @Test func theTableMeetsEveryMalformationOfAResponse() {
    let met = ResponseVector.all.compactMap { vector -> Malformation? in
      switch vector.expectation {
      case .malformed(let cause), .cutOff(let cause): cause
      case .ok, .okAtClose: nil
      }
    }
    let ofRequests: Set<Malformation> = [
      .invalidMethod, .invalidTarget, .targetTooLong, .missingHost, .repeatedHost,
    ]
    #expect(Set(met) == Set(Malformation.allCases).subtracting(ofRequests))
  }
}
