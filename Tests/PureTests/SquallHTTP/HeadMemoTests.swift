import SquallHTTP
import SquallLoad
import Testing

@Suite struct HeadMemoTests {
  private let memory = GuardedBytes(capacity: 512 << 10)

  /// One memo for all of them, as one worker has: whatever came before, nothing is read differently.
  @Test(arguments: UInt64(0)..<8)
  func changesNothingInWhatIsRead(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var memo = HeadMemo()
    for _ in 0..<3_000 {
      let vector = ResponseVector.all.randomElement(using: &random)!
      guard !vector.isLarge || random.chance(2) else { continue }
      // Runs of the same response, as under load, and of others between them.
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let pieces =
          random.chance(70) ? [vector.bytes[...]] : random.pieces(vector.bytes, cutCountMax: 3)
        let closes = random.chance(50)
        let read = ResponseReading(pieces, isHead: vector.isHead, closes: closes, in: memory)
        let recalled = ResponseReading(
          pieces, isHead: vector.isHead, closes: closes, in: memory, recalling: &memo)
        #expect(recalled == read)
      }
    }
  }

  @Test func aHeadThatDiffersInOneByteIsAnother() {
    let head = Array("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: yyyyyyyy\r\n\r\n".utf8)
    let bytes = head + Array("hello".utf8)
    for index in bytes.indices {
      var memo = HeadMemo()
      _ = ResponseReading([bytes[...]], closes: false, in: memory, recalling: &memo)
      var other = bytes
      other[index] ^= 1
      let read = ResponseReading([other[...]], closes: false, in: memory)
      let recalled = ResponseReading([other[...]], closes: false, in: memory, recalling: &memo)
      #expect(recalled == read, "byte \(index)")
    }
  }

  @Test func theSameHeadMayHaveAnotherBody() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    var memo = HeadMemo()
    for (body, byteCount) in [
      ("5\r\nhello\r\n0\r\n\r\n", 5), ("0\r\n\r\n", 0), ("1\r\nx\r\n0\r\n\r\n", 1),
    ] {
      let bytes = Array((head + body).utf8)
      let read = ResponseReading([bytes[...]], closes: false, in: memory, recalling: &memo)
      #expect(read.end == .complete && read.bodyByteCount == byteCount && read.keepAlive)
    }
  }

  @Test func aHeadRequestIsAnsweredByTheSameHeadWithoutABody() {
    let head = Array("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".utf8)
    var memo = HeadMemo()
    _ = ResponseReading(
      [(head + Array("hello".utf8))[...]], closes: false, in: memory, recalling: &memo)
    let read = ResponseReading(
      [head[...]], isHead: true, closes: false, in: memory, recalling: &memo)
    #expect(read.end == .complete && read.bodyByteCount == 0)
  }
}
