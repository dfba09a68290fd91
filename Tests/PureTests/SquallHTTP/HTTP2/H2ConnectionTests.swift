import SquallHTTP
import SquallLoad
import Testing

@Suite struct H2ConnectionTests {
  private typealias W = H2Wire
  private static let ok: KeyValuePairs = [":status": "200"]

  @Test func beginsWithItsPrefaceSettingsAndWindow() {
    var client = H2Client()
    #expect(client.connection.hasOutput == true)
    client.flush()
    #expect(client.sent.starts(with: W.preface))
    let frames = client.takeSent()
    #expect(
      frames
        == H2SentFrame.all(
          in: W.settings([2: 0, 4: 1 << 30 - 1, 6: 65_536])
            + W.windowUpdate(0, (1 << 30 - 1) - 65_535)))
    #expect(client.connection.hasOutput == false)
  }

  @Test func answersARequest() {
    var client = H2Client()
    let id = client.open(tag: 7, showsBody: true)
    #expect(id == 1)
    #expect(
      client.receive(W.settings() + W.head(1, Self.ok) + W.data(1, "hello")) == [
        .settings, .head(7, 200), .body(7, Array("hello".utf8)), .ended(7, 200, 5),
      ])
    #expect(client.connection.streamCount == 0 && !client.connection.isDone)
    #expect(client.takeSent().last == H2SentFrame(kind: 4, flags: 1, stream: 0, payload: []))
  }

  @Test func aBodyNobodyAskedForIsCounted() {
    var client = H2Client()
    client.open(tag: 7)
    #expect(
      client.receive(
        W.settings() + W.head(1, Self.ok) + W.data(1, "hel", ends: false) + W.data(1, "lo")) == [
          .settings, .head(7, 200), .ended(7, 200, 5),
        ])
  }

  @Test func interimHeadsAndTrailers() {
    var client = H2Client()
    client.open(tag: 7)
    #expect(
      client.receive(
        W.settings() + W.head(1, [":status": "100"]) + W.head(1, [":status": "103", "a": "b"])
          + W.head(1, Self.ok) + W.data(1, "x", ends: false) + W.head(1, ["a": "b"], ends: true))
        == [.settings, .head(7, 100), .head(7, 103), .head(7, 200), .ended(7, 200, 1)])
  }

  @Test(arguments: [("200", H2Client.Request.head), ("204", .get), ("304", .get)])
  func heedsNoLengthWhereThereIsNoBody(status: String, request: H2Client.Request) {
    for ends in [true, false] {
      var client = H2Client()
      client.open(request, tag: 1)
      let head = W.head(1, [":status": status, "content-length": "5"], ends: ends)
      let notes = client.receive(W.settings() + head + (ends ? [] : W.data(1, "")))
      #expect(notes.last == .ended(1, UInt16(status)!, 0))
    }
  }

  // MARK: Streams at a time

  @Test func opensAHundredUntilThePeerHasSpoken() {
    var client = H2Client(streamCountMax: 250)
    #expect(client.connection.room == 100)
    for tag in 0..<100 as Range<UInt32> { client.open(tag: tag) }
    #expect(client.connection.room == 0)
    client.receive(W.settings([3: 1000]))
    #expect(client.connection.room == 150)
    var unlimited = H2Client(streamCountMax: 250)
    unlimited.receive(W.settings([4: 1]))
    #expect(unlimited.connection.room == 250)
    var small = H2Client(streamCountMax: 3)
    small.receive(W.settings([3: 1000]))
    #expect(small.connection.room == 3)
  }

  @Test func obeysALimitThatComesLateOrChanges() {
    var client = H2Client(streamCountMax: 8)
    for tag in 0..<8 as Range<UInt32> { client.open(tag: tag) }
    client.receive(W.settings([3: 2]))
    #expect(client.connection.room == 0 && client.connection.streamCountMax == 2)
    for id in stride(from: UInt32(1), through: 13, by: 2) {
      client.receive(W.head(id, Self.ok, ends: true))
      #expect(client.connection.room == (id == 13 ? 1 : 0))
    }
    client.receive(W.settings([3: 0]))
    #expect(client.connection.room == 0)
    client.receive(W.settings([3: 100]))
    #expect(client.connection.room == 7)
  }

  @Test func refillsByQuarters() {
    var client = H2Client(streamCountMax: 32)
    #expect(client.connection.refill == 32)
    for tag in 0..<32 as Range<UInt32> { client.open(tag: tag) }
    client.receive(W.settings())
    for count in 1...5 as ClosedRange<UInt32> {
      client.receive(W.head(count * 2 - 1, Self.ok, ends: true))
      #expect(client.connection.refill == (count < 8 ? 0 : count))
    }
    var single = H2Client(streamCountMax: 1)
    #expect(single.connection.refill == 1)
    single.open(tag: 0)
    #expect(single.connection.refill == 0)
  }

  /// A number leads to a place: one whose place a slow stream has is left out.
  @Test func aSlowStreamCostsTheOthersNothing() {
    var client = H2Client(streamCountMax: 4)
    client.receive(W.settings())
    let slow = client.open(tag: 0)
    var ids: [UInt32] = []
    for tag in 1...100 as ClosedRange<UInt32> {
      let id = client.open(tag: tag)
      ids.append(id)
      #expect(client.receive(W.head(id, Self.ok, ends: true)).last == .ended(tag, 200, 0))
    }
    #expect(zip(ids, ids.dropFirst()).allSatisfy { $0 < $1 } && !ids.contains(slow))
    #expect(ids.allSatisfy { $0 & 1 == 1 })
    #expect(client.receive(W.head(slow, Self.ok, ends: true)).last == .ended(0, 200, 0))
  }

  @Test func numbersAreUsedUp() {
    var client = H2Client(streamCountMax: 4, firstID: 0x7FFF_FF01)
    client.receive(W.settings())
    var opened = 0
    while client.connection.room > 0 {
      let id = client.open(tag: 0)
      #expect(id < 0x8000_0000)
      #expect(client.connection.isDone == false)
      client.receive(W.head(id, Self.ok, ends: true))
      opened += 1
    }
    #expect(opened > 0 && client.connection.isDone)
  }

  // MARK: Endings

  @Test func aGoAwayInTwoSteps() {
    var client = H2Client()
    for tag in 0..<4 as Range<UInt32> { client.open(tag: tag) }
    #expect(client.receive(W.settings() + W.goAway(0x7FFF_FFFF)) == [.settings, .goAway(.noError)])
    #expect(client.connection.room == 0 && !client.connection.isDone)
    #expect(
      client.receive(W.goAway(3, .noError)) == [
        .goAway(.noError), .unprocessed(2), .unprocessed(3),
      ])
    #expect(
      client.receive(W.head(1, Self.ok, ends: true) + W.head(3, Self.ok, ends: true)) == [
        .head(0, 200), .ended(0, 200, 0), .head(1, 200), .ended(1, 200, 0),
      ])
    #expect(client.connection.isDone == true)
  }

  @Test func aGoAwayWithItsCode() {
    var client = H2Client()
    client.open(tag: 5)
    #expect(
      client.receive(W.settings() + W.goAway(0, .enhanceYourCalm, debug: [1, 2, 3])) == [
        .settings, .goAway(.enhanceYourCalm), .unprocessed(5),
      ])
    #expect(client.connection.isDone == true)
  }

  @Test func resetsHaveTheirCodes() {
    var client = H2Client()
    for tag in 0..<3 as Range<UInt32> { client.open(tag: tag) }
    #expect(
      client.receive(
        W.settings() + W.reset(1, .refusedStream) + W.head(3, Self.ok)
          + W.data(3, "x", ends: false) + W.reset(3, .cancel) + W.reset(5, .noError)
          + W.reset(5, .noError))
        == [
          .settings, .reset(0, .refusedStream), .head(1, 200), .reset(1, .cancel),
          .reset(2, .noError),
        ])
    #expect(client.connection.room == 100)
  }

  @Test func aCancelledStreamIsResetAndForgotten() {
    var client = H2Client()
    client.open(tag: 0)
    client.open(tag: 1)
    client.receive(W.settings())
    _ = client.takeSent()
    for _ in 0..<2 {
      // The second time changes nothing.
      let isHeard = client.connection.cancel(3)
      #expect(isHeard)
    }
    #expect(
      client.takeSent() == H2SentFrame.all(in: W.reset(3, .cancel)))
    // What was on its way is ignored, but counts: its block fills the table, its bytes a window.
    let late = W.head(3, [0x88] + W.added("x-late", "1")) + W.data(3, "late")
    #expect(client.receive(late) == [])
    #expect(
      client.receive(W.head(1, [0x88, 0xBE], ends: true)) == [.head(0, 200), .ended(0, 200, 0)])
    // A stream above it cannot be late.
    let id = client.open(tag: 9)
    client.receive(W.head(id, Self.ok, ends: true))
    #expect(client.receive(W.data(id, "x")) == [.violation(.closedStream, nil)])
  }

  @Test func cancelledAfterItsHeadSaidThatItEnds() {
    var client = H2Client()
    let id = client.open(tag: 0)
    var seen: [H2Note] = []
    (W.settings() + W.head(id, Self.ok, ends: true)).withUnsafeBytes { bytes in
      var rest = bytes
      while true {
        switch client.connection.next(&rest, reader: &client.reader) {
        case .needsMore: return
        case .head(let tag, let status):
          seen.append(.head(tag, status))
          _ = client.connection.cancel(id)
        case .settings: break
        default: Issue.record("an event of a stream that was cancelled")
        }
      }
    }
    #expect(seen == [.head(0, 200)] && client.connection.streamCount == 0)
  }

  @Test func aPeerThatDoesNotReadIsGivenUp() {
    var client = H2Client(streamCountMax: 1000)
    client.receive(W.settings([3: 1000]))
    let ids = (0..<1000).map { client.open(tag: $0) }
    // None of these is ever sent.
    var cancelled = 0
    while client.connection.cancel(ids[cancelled]) { cancelled += 1 }
    #expect(500..<1000 ~= cancelled)
    #expect(client.receive([]) == [.violation(.tooManyReplies, nil)])
    #expect(client.connection.isDone && client.popAll().count == 999 - cancelled)
  }

  @Test func whatIsLeftIsNamed() {
    var client = H2Client()
    for tag in [5, 3, 9] as [UInt32] { client.open(tag: tag) }
    client.receive(W.settings() + W.head(3, Self.ok, ends: true))
    #expect(client.popAll() == [5, 9])
    #expect(client.popAll() == [])
  }

  // MARK: Replies

  @Test func pingsAreAnsweredAndSettingsAcknowledged() {
    var client = H2Client()
    client.receive(W.settings())
    _ = client.takeSent()
    client.receive(
      W.ping(0x0102_0304_0506_0708) + W.settings([3: 5]) + W.settingsAck + W.ping(9, flags: 1)
        + W.ping(0))
    #expect(
      client.takeSent()
        == H2SentFrame.all(
          in: W.ping(0x0102_0304_0506_0708, flags: 1) + W.settingsAck + W.ping(0, flags: 1)))
  }

  @Test func windowsAreGivenBackByHalves() {
    var client = H2Client()
    client.open(tag: 0)
    client.receive(W.settings() + W.head(1, Self.ok))
    _ = client.takeSent()
    let piece = W.data(1, Array(repeating: 0, count: 16_384), ends: false)
    let padded = W.frame(0, flags: 8, stream: 1, [255] + Array(repeating: 0, count: 16_383))
    var received: UInt64 = 0
    var given: [UInt64] = [0, 0]
    for index in 0..<100_000 {
      let isPadded = index % 16 == 0
      client.receive(isPadded ? padded : piece)
      received += 16_384
      guard client.connection.hasOutput else { continue }
      for frame in client.takeSent() {
        #expect(frame.kind == 8)
        given[Int(frame.stream)] += UInt64(frame.word)
        #expect(given[Int(frame.stream)] == received, "padding counts")
      }
    }
    #expect(given[0] > 1 << 30 && given[1] > 1 << 30)
    #expect(client.notes == [.settings, .head(0, 200)])
  }

  // MARK: Request bodies

  /// The bytes of a body that were sent on `stream`, and whether it ended.
  private func body(_ frames: [H2SentFrame], _ stream: UInt32) -> (bytes: [UInt8], ends: Bool) {
    let data = frames.filter { $0.kind == 0 && $0.stream == stream }
    return (data.flatMap(\.payload), data.last?.endsStream ?? false)
  }

  @Test func aBodyStopsWhereTheWindowsEndAndGoesOnAsTheyOpen() {
    var client = H2Client()
    let id = client.open(.post, tag: 0)
    var sent = body(client.takeSent(), id)
    #expect(sent.bytes.count == 65_535 && !sent.ends)
    #expect(client.connection.awaitsWindow(id) && !client.connection.hasOutput)
    // The stream's window alone does not help, nor the connection's.
    client.receive(W.settings() + W.windowUpdate(id, 10_000))
    #expect(body(client.takeSent(), id).bytes.isEmpty && client.connection.awaitsWindow(id))
    client.receive(W.windowUpdate(0, 4_000))
    sent.bytes += body(client.takeSent(), id).bytes
    #expect(sent.bytes.count == 69_535)
    client.receive(W.windowUpdate(0, 1_000_000))
    sent.bytes += body(client.takeSent(), id).bytes
    #expect(sent.bytes.count == 75_535)
    client.receive(W.settings([4: 100_000]))
    let rest = body(client.takeSent(), id)
    #expect(sent.bytes + rest.bytes == H2Client.post && rest.ends)
    #expect(client.connection.awaitsWindow(id) == false)
    #expect(
      client.receive(W.head(id, Self.ok, ends: true)) == [.head(0, 200), .ended(0, 200, 0)])
  }

  @Test func aWindowMadeNegativeHasToBeFilledFirst() {
    var client = H2Client()
    let id = client.open(.post, tag: 0)
    _ = client.takeSent()
    client.receive(W.settings([4: 0]) + W.windowUpdate(0, 1_000_000))
    #expect(client.connection.awaitsWindow(id) == true)
    client.receive(W.windowUpdate(id, 65_535))
    #expect(body(client.takeSent(), id).bytes.isEmpty)
    client.receive(W.windowUpdate(id, 1))
    #expect(body(client.takeSent(), id).bytes.count == 1)
    // A stream opened now begins with nothing.
    let second = client.open(.post, tag: 1)
    #expect(body(client.takeSent(), second).bytes.isEmpty)
    #expect(client.connection.awaitsWindow(second) == true)
  }

  @Test func bodiesTakeTurns() {
    var client = H2Client()
    client.receive(W.settings([4: 0]))
    let ids = (0..<3).map { client.open(.post, tag: UInt32($0)) }
    _ = client.takeSent()
    client.receive(W.windowUpdate(0, 1_000_000) + W.settings([4: 200_000]))
    let frames = client.takeSent().filter { $0.kind == 0 }
    for id in ids {
      let sent = body(frames, id)
      #expect(sent.bytes == H2Client.post && sent.ends)
    }
    #expect(Set(frames.prefix(3).map(\.stream)) == Set(ids))
  }

  @Test(arguments: [16_384, 20_000, 65_536])
  func aBodyComesOutInAnyBuffer(byteCount: Int) {
    var client = H2Client()
    client.receive(W.settings([4: 200_000, 5: 1 << 20]) + W.windowUpdate(0, 1_000_000))
    client.flush(byteCount: byteCount)
    let id = client.open(.post, tag: 0)
    client.flush(byteCount: byteCount)
    let frames = client.takeSent()
    let sent = body(frames, id)
    #expect(sent.bytes == H2Client.post && sent.ends)
    #expect(frames.allSatisfy { $0.payload.count <= 1 << 20 })
  }

  @Test func framesAreNoLargerThanThePeerTakes() {
    var client = H2Client()
    client.open(.post, tag: 0)
    let frames = client.takeSent()
    #expect(frames.contains { $0.kind == 0 })
    #expect(frames.allSatisfy { $0.payload.count <= 16_384 })
  }

  @Test func anAnswerBeforeTheRequestIsDoneStopsTheBody() {
    var client = H2Client()
    let id = client.open(.post, tag: 0)
    client.receive(W.settings())
    _ = client.takeSent()
    #expect(
      client.receive(W.head(id, [":status": "413"], ends: true)) == [
        .head(0, 413), .ended(0, 413, 0),
      ])
    #expect(client.takeSent() == H2SentFrame.all(in: W.reset(id, .cancel)))
    // The peer may say so too, or still open the window.
    #expect(client.receive(W.reset(id, .noError) + W.windowUpdate(id, 5)) == [])
    client.receive(W.windowUpdate(0, 1_000_000))
    #expect(client.connection.hasOutput == false)
  }

  // MARK: Fields

  @Test func keepsFieldsForWhoAsks() {
    var client = H2Client()
    client.open(tag: 0, keepsFields: true)
    client.open(tag: 1)
    let block = [0x88] + W.added("x-token", "abc") + W.added("x-empty", "")
    client.receive(W.settings() + W.head(1, block, ends: true))
    func line(_ index: Int) -> String {
      String(decoding: client.reader.name(index), as: UTF8.self) + "="
        + String(decoding: client.reader.value(index), as: UTF8.self)
    }
    #expect(client.reader.fieldCount == 3)
    #expect(line(0) == ":status=200" && line(1) == "x-token=abc" && line(2) == "x-empty=")
    client.receive(W.head(3, [0x88, 0xBF], ends: true))
    #expect(client.reader.fieldCount == 3, "what nobody asked for is not kept")
  }

  /// A block of places in the table, which is remembered, means what stands there now.
  @Test func theSameBlockMeansWhatTheTableSaysNow() {
    var client = H2Client()
    client.receive(W.settings())
    // Place 62 six times, so that the block is long enough to be remembered.
    let block: [UInt8] = [0x88, 0xBF] + [UInt8](repeating: 0xBE, count: 6)
    func answer(_ tag: UInt32, _ block: [UInt8], _ body: String) -> H2Note? {
      let id = client.open(tag: tag)
      return client.receive(W.head(id, block) + W.data(id, body)).last
    }
    let adding = [0x88] + W.added("content-length", "1") + W.added("x-a", "b")
    #expect(answer(0, adding, "1") == .ended(0, 200, 1))
    for tag in 1..<5 as Range<UInt32> {
      #expect(answer(tag, block, "1") == .ended(tag, 200, 1))
    }
    #expect(answer(5, [0x88] + W.added("content-length", "2"), "22") == .ended(5, 200, 2))
    for tag in 6..<9 as Range<UInt32> {
      #expect(answer(tag, block, "22") == .ended(tag, 200, 2))
    }
    // A table of size 0 has no places.
    #expect(answer(9, [0x20, 0x88], "") == .ended(9, 200, 0))
    #expect(answer(10, block, "22") == .violation(.invalidIndex, 10))
  }

  /// One byte more, or another at any place, is another block.
  @Test(arguments: 8...33) func anotherBlockIsNotTheLast(byteCount: Int) {
    let block = [0x88] + [UInt8](repeating: 0xBE, count: byteCount - 1)
    for place in 1...byteCount {
      var client = H2Client()
      client.receive(W.settings())
      func answer(_ tag: UInt32, _ block: [UInt8]) -> H2Note? {
        client.receive(W.head(client.open(tag: tag), block, ends: true)).last
      }
      #expect(answer(0, [0x88] + W.added("x-a", "b")) == .ended(0, 200, 0))
      #expect(answer(1, block) == .ended(1, 200, 0))
      #expect(answer(2, block) == .ended(2, 200, 0))
      // A second status.
      var other = block + [0xBE]
      other[place] = 0x88
      if place < byteCount { other.removeLast() }
      #expect(
        answer(3, other) == .violation(place == 1 ? .repeatedStatus : .misplacedPseudoField, 3))
    }
  }

  /// A memo that all connections share changes nothing: each has its own table.
  @Test(arguments: UInt64(0)..<20)
  func aSharedMemoChangesNothing(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var shared = ResponseHeadReader()
    // One spells every field out and adds it, every time, as nginx does; two do as others do.
    var oracles = [H2Oracle(), H2Oracle(), H2Oracle()]
    let mine = UnsafeMutablePointer<H2Client>.allocate(capacity: 3)
    let theirs = UnsafeMutablePointer<H2Client>.allocate(capacity: 3)
    defer {
      mine.deinitialize(count: 3).deallocate()
      theirs.deinitialize(count: 3).deallocate()
    }
    for index in 0..<3 {
      (mine + index).initialize(to: H2Client())
      (theirs + index).initialize(to: H2Client())
      mine[index].receive(W.settings())
      theirs[index].receive(W.settings())
    }
    let dates = (0..<3).map { "Tue, 25 Nov 2026 05:00:0\($0) GMT" }
    for tag in 0..<600 as Range<UInt32> {
      let index = Int.random(in: 0..<3, using: &random)
      let id = mine[index].open(tag: tag)
      _ = theirs[index].open(tag: tag)
      let fields = [
        (":status", random.chance(80) ? "200" : "404"), ("server", "nginx/1.22.1"),
        ("date", dates.randomElement(using: &random)!), ("content-length", "0"),
        ("x-id", random.chance(10) ? String(tag) : "same"),
      ]
      let block =
        index == 0
        ? fields.flatMap { W.added($0.0, $0.1) }
        : oracles[index].encode(fields, isAdded: random.chance(70))
      let bytes = W.head(id, block, ends: true)
      swap(&mine[index].reader, &shared)
      let noted = mine[index].receive(bytes)
      swap(&mine[index].reader, &shared)
      #expect(noted == theirs[index].receive(bytes))
      #expect(noted.last == .ended(tag, UInt16(fields[0].1)!, 0))
    }
  }
}
