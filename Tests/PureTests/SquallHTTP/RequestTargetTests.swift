import SquallHTTP
import Testing

@Suite struct RequestTargetTests {
  private func look<Result>(_ text: String, _ body: (RequestTarget) throws -> Result) rethrows
    -> Result
  {
    let bytes = Array(text.utf8)
    return try bytes.withUnsafeBytes { try body(RequestTarget($0)) }
  }

  @Test(arguments: [
    ("/", "/"), ("/a?b", "/a"), ("/a?", "/a"), ("*", "*"), ("http://h:1/a?b", "/a"),
    ("http://h", ""), ("http://h?size=1", ""), ("", ""), ("/a//b:c", "/a//b:c"), ("?", ""),
    ("/http://x/y", "/http://x/y"),
  ])
  func findsThePath(text: String, path: String) {
    let found = look(text) { String(decoding: $0.path, as: UTF8.self) }
    #expect(found == path)
  }

  @Test func knowsItsPath() {
    #expect(look("/bytes?size=1") { $0.hasPath("/bytes") })
    #expect(look("/byte") { !$0.hasPath("/bytes") })
    #expect(look("/bytess") { !$0.hasPath("/bytes") })
  }

  @Test(arguments: [
    ("/?size=10", UInt64?(10)), ("/?a=b&size=0010&size=3", 10), ("/?sizes=4", nil),
    ("/?xsize=4", nil), ("/?SIZE=4", nil), ("/size=4", nil), ("/?&&size=4&", 4),
    ("http://h?size=4", 4), ("/?size=18446744073709551615", .max), ("/", nil), ("/?", nil),
  ])
  func findsNumbers(text: String, number: UInt64?) throws {
    let found = try look(text) { try $0.integer("size") }
    #expect(found == number)
  }

  @Test(arguments: [
    ("/?size", RequestTarget.Fault.notANumber), ("/?size=", .notANumber),
    ("/?size=-1", .notANumber),
    ("/?size=1k", .notANumber), ("/?size=x", .notANumber), ("/?size=1=2", .notANumber),
    ("/?size=18446744073709551616", .tooLarge), ("/?size=99999999999999999999", .tooLarge),
  ])
  func refusesWhatIsNoNumber(text: String, fault: RequestTarget.Fault) {
    #expect(throws: fault) { try look(text) { try $0.integer("size") } }
  }

  @Test(arguments: [
    ("0", UInt64(0)), ("7ns", 7), ("7us", 7_000), ("7ms", 7_000_000), ("7s", 7_000_000_000),
    ("7m", 420_000_000_000), ("0s", 0),
  ])
  func readsDurationsInNanoseconds(text: String, ns: UInt64) throws {
    let found = try look("/?delay=\(text)&x") { try $0.durationNs("delay") }
    #expect(found == ns)
  }

  @Test(arguments: [
    ("7", RequestTarget.Fault.missingUnit), ("7h", .notANumber), ("ms", .notANumber),
    ("1.5s", .notANumber), ("7 s", .notANumber), ("18446744073709551615s", .tooLarge),
  ])
  func refusesWhatIsNoDuration(text: String, fault: RequestTarget.Fault) {
    #expect(throws: fault) { try look("/?delay=\(text)") { try $0.durationNs("delay") } }
  }

  @Test(arguments: [
    ("1", UInt64(1)), ("2k", 2_048), ("3m", 3 << 20), ("4g", 4 << 30), ("0g", 0),
  ])
  func readsByteCounts(text: String, byteCount: UInt64) throws {
    let found = try look("/?size=\(text)") { try $0.byteCount("size") }
    #expect(found == byteCount)
  }

  @Test(arguments: [
    ("1kb", RequestTarget.Fault.notANumber), ("k", .notANumber),
    ("18446744073709551615k", .tooLarge),
  ])
  func refusesWhatIsNoByteCount(text: String, fault: RequestTarget.Fault) {
    #expect(throws: fault) { try look("/?size=\(text)") { try $0.byteCount("size") } }
  }

  @Test(arguments: [
    ("/?close", true), ("/?close=1", true), ("/?close=", true), ("/?close=0", false), ("/", false),
    ("/?closed", false), ("/close", false),
  ])
  func findsFlags(text: String, isSet: Bool) {
    #expect(look(text) { $0.flag("close") } == isSet)
  }
}
