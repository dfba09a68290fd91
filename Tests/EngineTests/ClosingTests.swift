import SquallNode
import Synchronization
import Testing

/// Nothing that closes waits for what does not come.
@Suite struct ClosingTests {
  private final class Heard: Sendable {
    private let words = Mutex<[String]>([])
    func say(_ word: String) { words.withLock { $0.append(word) } }
    var all: [String] { words.withLock { $0 } }
  }

  private static let second: UInt64 = 1_000_000_000

  @Test func partsCloseInTheirOrder() async throws {
    let heard = Heard()
    let parts = ["one", "two", "three"].map { name in
      Closing.Part(name, withinNs: 60 * Self.second) { heard.say(name) }
    }
    try await Closing().close(parts, late: heard.say, before: { heard.say("before \($0)") })
    #expect(heard.all == ["before one", "one", "before two", "two", "before three", "three"])
  }

  @Test func aPartThatNeverClosesIsLeftBehind() async throws {
    let heard = Heard()
    let parts = [
      Closing.Part("the silent one", withinNs: 20_000_000) { await Self.forEver() },
      Closing.Part("next", withinNs: 60 * Self.second) { heard.say("next") },
    ]
    try await Closing().close(parts, late: heard.say)
    #expect(
      heard.all == ["the silent one did not close in time; the process ends without it", "next"])
  }

  @Test(arguments: [nil, 3_600 * Self.second]) func aHurryIsFeltByThePartThatClosesAndByTheRest(
    withinNs: UInt64?
  ) async throws {
    let heard = Heard()
    let closing = Closing()
    let names = ["one", "two", "three"]
    let parts = names.map { Closing.Part($0, withinNs: withinNs) { await Self.forEver() } }
    try await closing.close(
      parts, late: { heard.say(String($0.prefix { $0 != " " })) },
      before: { _ in Task { closing.hurry() } })
    #expect(heard.all == names)
  }

  @Test func whatGoesWrongIsThrownOnceAllIsClosed() async {
    struct Failure: Error, Equatable { var number: Int }
    let heard = Heard()
    let parts = (1...2).map { number in
      Closing.Part("\(number)", withinNs: nil) {
        heard.say("\(number)")
        throw Failure(number: number)
      }
    }
    await #expect(throws: Failure(number: 1)) {
      try await Closing().close(parts, late: heard.say)
    }
    #expect(heard.all == ["1", "2"])
  }

  private static func forEver() async {
    await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
  }
}
