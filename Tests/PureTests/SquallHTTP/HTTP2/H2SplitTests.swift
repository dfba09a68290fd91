import Glibc
import SquallHTTP
import SquallLoad
import Testing

/// Whatever is read, it is read the same wherever it is cut, nothing is read past its end, and
/// nothing traps.
@Suite struct H2SplitTests {
  private let memory = GuardedBytes(capacity: 256 << 10)

  @Test(arguments: H2Conversation.all)
  func isReadTheSameWhereverItIsCut(_ conversation: H2Conversation) {
    let bytes = conversation.bytes
    let whole = H2Reading(conversation, [bytes[...]], in: memory)
    #expect(
      !whole.notes.contains { if case .violation = $0 { true } else { false } }, "\(whole.notes)")
    #expect(H2Reading(conversation, bytes.dripped, in: memory) == whole)
    for cut in bytes.indices {
      #expect(H2Reading(conversation, bytes.cut(at: [cut]), in: memory) == whole, "cut at \(cut)")
    }
  }

  /// The beginning of a conversation says the beginning of what all of it says.
  @Test(arguments: H2Conversation.all)
  func endsAnywhere(_ conversation: H2Conversation) {
    let whole = H2Reading(conversation, [conversation.bytes[...]], in: memory)
    for count in conversation.bytes.indices {
      let part = H2Reading(conversation, [conversation.bytes[..<count]], in: memory)
      // The last piece of a body may be cut too.
      let isBeginning = zip(part.notes, whole.notes).allSatisfy { mine, all in
        if case .body(let tag, let mine) = mine, case .body(tag, let all) = all {
          return all.starts(with: mine)
        }
        return mine == all
      }
      #expect(isBeginning && part.notes.count <= whole.notes.count, "\(count): \(part.notes)")
    }
  }

  @Test(arguments: H2Conversation.all)
  func aFlippedBitIsReadTheSameWhereverItIsCut(_ conversation: H2Conversation) {
    var random = SplitMix64(seed: 1)
    for index in conversation.bytes.indices {
      for bit in 0..<8 {
        var bytes = conversation.bytes
        bytes[index] ^= 1 << UInt8(bit)
        let whole = H2Reading(conversation, [bytes[...]], in: memory)
        let cut = H2Reading(conversation, random.pieces(bytes, cutCountMax: 4), in: memory)
        #expect(cut == whole, "bit \(bit) of byte \(index)")
      }
    }
  }

  /// Two conversations behind one another are two conversations' worth of nonsense, read the same.
  /// Runs 1.5 s, or `SQUALL_FUZZ_SECONDS`; `SQUALL_FUZZ_SEED` gives a printed seed back.
  @Test func brokenConversationsAreReadTheSameWhereverTheyAreCut() {
    let environment = { (name: String) in getenv(name).flatMap { Double(String(cString: $0)) } }
    let seed =
      environment("SQUALL_FUZZ_SEED").map { UInt64($0) } ?? UInt64.random(in: 0..<1_000_000_000)
    let duration = Duration.seconds(environment("SQUALL_FUZZ_SECONDS") ?? 1.5)
    print("fuzzing HTTP/2: SQUALL_FUZZ_SEED=\(seed)")
    fflush(nil)
    var random = SplitMix64(seed: seed)
    let clock = ContinuousClock()
    let deadline = clock.now + duration
    var count = 0
    while count % 16 != 0 || clock.now < deadline {
      count += 1
      let opens = H2Conversation.all.randomElement(using: &random)!.opens
      let conversation = H2Conversation("broken", opens, [broken(&random)])
      let whole = H2Reading(conversation, [conversation.bytes[...]], in: memory)
      let pieces =
        random.chance(10)
        ? conversation.bytes.dripped : random.pieces(conversation.bytes, cutCountMax: 6)
      let cut = H2Reading(conversation, pieces, in: memory)
      guard whole == cut else {
        Issue.record("seed \(seed), conversation \(count): \(whole.notes)\n\(cut.notes)")
        return
      }
    }
    print("fuzzing HTTP/2: \(count) conversations")
  }

  /// Frames of good conversations in a new order, with blocks, bytes and lengths changed.
  private func broken(_ random: inout SplitMix64) -> [UInt8] {
    var frames = (0..<Int.random(in: 1...8, using: &random)).map { _ in
      Self.frames.randomElement(using: &random)!
    }
    if random.chance(90) { frames.insert(H2Wire.settings(), at: 0) }
    var bytes = frames.flatMap { $0 }
    for _ in 0..<Int.random(in: 0...3, using: &random) where !bytes.isEmpty {
      let place = Int.random(in: 0..<bytes.count, using: &random)
      let end = min(bytes.count, place + Int.random(in: 0...12, using: &random))
      switch Int.random(in: 0..<5, using: &random) {
      case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 1: bytes[place] = UInt8.random(in: 0...255, using: &random)
      case 2: bytes.removeSubrange(place..<end)
      case 3: bytes.insert(contentsOf: bytes[place..<end], at: place)
      default: bytes.insert(contentsOf: Self.frames.randomElement(using: &random)!, at: place)
      }
    }
    return bytes
  }

  private static let frames: [[UInt8]] = H2Conversation.all.flatMap { conversation in
    (H2SentFrame.all(in: conversation.bytes) ?? []).map {
      H2Wire.frame($0.kind, flags: $0.flags, stream: $0.stream, $0.payload)
    }
  }
}
