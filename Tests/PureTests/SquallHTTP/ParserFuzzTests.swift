import Glibc
import SquallHTTP
import SquallLoad
import Testing

/// Broken messages by the million, each made from a good one: whatever is read, it is read the same
/// wherever it is cut, nothing is read past its end, and nothing traps.
///
/// Runs 1.5 s for each parser, or `SQUALL_FUZZ_SECONDS`. The seed is printed first and
/// `SQUALL_FUZZ_SEED` gives it back; a trap is found again by running with the printed seed.
@Suite struct ParserFuzzTests {
  private let memory = GuardedBytes(capacity: 256 << 10)

  @Test func aBrokenResponseIsReadTheSameWhereverItIsCut() {
    let corpus = ResponseVector.all.filter { $0.bytes.count < 5_000 }.map(\.bytes)
    var memo = HeadMemo()
    fuzz("responses", corpus) { bytes, random in
      let isHead = random.chance(5)
      let closes = random.chance(50)
      func read(_ pieces: [ArraySlice<UInt8>]) -> ResponseReading {
        ResponseReading(pieces, isHead: isHead, closes: closes, in: memory)
      }
      let whole = read([bytes[...]])
      let cut = read(random.pieces(bytes, cutCountMax: 6))
      guard whole == cut else { return "whole \(whole), cut \(cut)" }
      // Twice: the second time the memo may know the head.
      for pieces in [[bytes[...]], random.pieces(bytes, cutCountMax: 2)] {
        let recalled = ResponseReading(
          pieces, isHead: isHead, closes: closes, in: memory, recalling: &memo)
        guard whole == recalled else { return "whole \(whole), recalled \(recalled)" }
      }
      guard random.chance(10) else { return nil }
      let dripped = read(bytes.dripped)
      return whole == dripped ? nil : "whole \(whole), dripped \(dripped)"
    }
  }

  @Test func aBrokenRequestIsReadTheSameWhereverItIsCut() {
    fuzz("requests", RequestVector.all.map(\.bytes)) { bytes, random in
      let scratchByteCount = random.chance(20) ? 12 : 4096
      func read(_ pieces: [ArraySlice<UInt8>]) -> RequestReading {
        RequestReading(pieces, scratchByteCount: scratchByteCount, in: memory)
      }
      let whole = read([bytes[...]])
      let cut = read(random.pieces(bytes, cutCountMax: 6))
      guard whole == cut else { return "whole \(whole), cut \(cut)" }
      guard random.chance(10) else { return nil }
      let dripped = read(bytes.dripped)
      return whole == dripped ? nil : "whole \(whole), dripped \(dripped)"
    }
  }

  private func fuzz(
    _ name: String, _ corpus: [[UInt8]],
    _ disagreement: ([UInt8], inout SplitMix64) -> String?
  ) {
    let environment = { (name: String) in getenv(name).flatMap { Double(String(cString: $0)) } }
    let seed =
      environment("SQUALL_FUZZ_SEED").map { UInt64($0) } ?? UInt64.random(in: 0..<1_000_000_000)
    let duration = Duration.seconds(environment("SQUALL_FUZZ_SECONDS") ?? 1.5)
    print("fuzzing \(name): SQUALL_FUZZ_SEED=\(seed)")
    fflush(nil)
    var random = SplitMix64(seed: seed)
    let clock = ContinuousClock()
    let deadline = clock.now + duration
    var count = 0
    while count % 64 != 0 || clock.now < deadline {
      count += 1
      let bytes = mutated(corpus, random: &random)
      if let text = disagreement(bytes, &random) {
        let message = String(decoding: bytes, as: UTF8.self).debugDescription
        Issue.record("seed \(seed), message \(count): \(text)\n\(message)")
        return
      }
    }
    print("fuzzing \(name): \(count) messages")
  }

  private func mutated(_ corpus: [[UInt8]], random: inout SplitMix64) -> [UInt8] {
    var bytes = corpus.randomElement(using: &random)!
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      let place = Int.random(in: 0...bytes.count, using: &random)
      let end = min(bytes.count, place + Int.random(in: 0...12, using: &random))
      switch Int.random(in: 0..<8, using: &random) {
      case 0 where place < bytes.count: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 1 where place < bytes.count: bytes[place] = UInt8.random(in: 0...255, using: &random)
      case 2: bytes.removeSubrange(place..<end)
      case 3: bytes.insert(contentsOf: bytes[place..<end], at: place)
      case 4, 5:
        bytes.insert(contentsOf: Array(Self.words.randomElement(using: &random)!.utf8), at: place)
      case 6:
        let other = corpus.randomElement(using: &random)!
        bytes.replaceSubrange(
          place..., with: other[Int.random(in: 0...other.count, using: &random)...])
      default:
        bytes.replaceSubrange(
          place..<end, with: Array(Self.words.randomElement(using: &random)!.utf8))
      }
    }
    return bytes
  }

  private static let words = [
    "\r\n", "\r", "\n", "\r\n\r\n", ":", " ", "\t", ",", ";", "\"", "\\", "\0", "\u{7F}", "0",
    "Content-Length", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "chunked", "close",
    "Connection: close\r\n", "Connection: keep-alive\r\n", "keep-alive", "100-continue", "X: y\r\n",
    "Host: a\r\n", "Expect: 100-continue\r\n", "HTTP/1.1", "HTTP/1.0", " 200 OK", " 100 C", "0\r\n",
    "5\r\nhello\r\n", "ffffffffffffffff", "9223372036854775807", "18446744073709551616",
    "GET / HTTP/1.1\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "-", "é",
  ]
}
