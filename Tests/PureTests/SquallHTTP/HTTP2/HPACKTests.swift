import Foundation
import NIOCore
import NIOHPACK
import SquallHTTP
import SquallLoad
import Testing

/// One side's decoder, with what it read as text.
private struct Decoding: ~Copyable {
  private var decoder = FieldDecoder()
  private var table: HeaderTable

  init(tableByteCountMax: UInt32 = HeaderTable.byteCountDefault) {
    table = HeaderTable(byteCountLimit: tableByteCountMax)
  }

  private struct Lines: FieldVisitor {
    var lines: [String] = []

    mutating func take(_ field: HeaderField) {
      lines.append(
        "\(String(decoding: field.name, as: UTF8.self)): "
          + String(decoding: field.value, as: UTF8.self))
    }
  }

  var tableByteCount: UInt32 { table.byteCount }

  mutating func decode(
    _ block: [UInt8], in memory: GuardedBytes? = nil
  ) throws(H2Violation) -> [String] {
    var lines = Lines()
    var fault: H2Violation?
    func run(_ bytes: UnsafeRawBufferPointer) {
      do throws(H2Violation) {
        try decoder.decode(bytes, table: &table, into: &lines)
      } catch {
        fault = error
      }
    }
    if let memory { memory.lend(block[...], run) } else { block.withUnsafeBytes(run) }
    if let fault { throw fault }
    return lines.lines
  }
}

/// The stories of hpack-test-case that swift-nio-http2's checkout carries: what a dozen encoders
/// made of real headers.
private struct Story {
  let name: String
  let cases: [(wire: [UInt8], headers: [String])]
  let tableByteCountMax: UInt32

  static let folder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent(".build/checkouts/swift-nio-http2/Tests/hpack-test-case")

  static var isThere: Bool { FileManager.default.fileExists(atPath: folder.path) }

  static func all() throws -> [Story] {
    let encoders = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    return try encoders.filter { !$0.contains(".") }.flatMap { encoder in
      let folder = folder.appendingPathComponent(encoder)
      return try FileManager.default.contentsOfDirectory(atPath: folder.path)
        .filter { $0.hasSuffix(".json") }.sorted()
        .compactMap { try Story(folder.appendingPathComponent($0), encoder: encoder) }
    }
  }

  /// Nil for stories without wire bytes, which are for encoders.
  private init?(_ url: URL, encoder: String) throws {
    let object = try JSONSerialization.jsonObject(with: Data(contentsOf: url))
    let cases = ((object as? [String: Any])?["cases"] as? [[String: Any]]) ?? []
    name = encoder + "/" + url.lastPathComponent
    tableByteCountMax =
      cases.compactMap { $0["header_table_size"] as? Int }.max().map(UInt32.init)
      ?? HeaderTable.byteCountDefault
    self.cases = cases.compactMap { each in
      guard let wire = each["wire"] as? String, let headers = each["headers"] as? [[String: String]]
      else { return nil }
      let digits = Array(wire)
      let bytes = stride(from: 0, to: digits.count, by: 2).compactMap {
        UInt8(String(digits[$0...$0 + 1]), radix: 16)
      }
      return (bytes, headers.flatMap { $0.map { "\($0.key): \($0.value)" } })
    }
    guard !self.cases.isEmpty else { return nil }
  }
}

@Suite struct HPACKTests {
  private let memory = GuardedBytes(capacity: 256 << 10)

  @Test(.enabled(if: Story.isThere, "the checkout of swift-nio-http2 is not in .build/checkouts"))
  func readsWhatOtherEncodersWrote() throws {
    let stories = try Story.all()
    #expect(stories.count > 300)
    for story in stories {
      var decoding = Decoding(tableByteCountMax: max(story.tableByteCountMax, 4096))
      for (index, each) in story.cases.enumerated() {
        let lines = try decoding.decode(each.wire, in: memory)
        #expect(lines == each.headers, "\(story.name), case \(index)")
      }
    }
  }

  /// Fields that come back, so that tables fill, entries are evicted and used.
  @Test(arguments: UInt64(0)..<40)
  func readsWhatTheOracleWrote(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    var oracle = H2Oracle()
    var decoding = Decoding()
    for block in 0..<200 {
      if random.chance(3) {
        try oracle.encoder.setDynamicTableSize(Int.random(in: 0...4096, using: &random))
      }
      var headers = HPACKHeaders()
      for _ in 0..<Int.random(in: 0...12, using: &random) {
        let (name, value) = Self.field(&random)
        let indexing: HPACKIndexing =
          switch Int.random(in: 0..<10, using: &random) {
          case 0: .neverIndexed
          case 1: .nonIndexable
          default: .indexable
          }
        headers.add(name: name, value: value, indexing: indexing)
      }
      var buffer = ByteBuffer()
      try oracle.encoder.encode(headers: headers, to: &buffer)
      let lines = try decoding.decode(Array(buffer.readableBytesView), in: memory)
      #expect(lines == headers.map { "\($0.name): \($0.value)" }, "seed \(seed), block \(block)")
    }
  }

  private static func field(_ random: inout SplitMix64) -> (String, String) {
    let names = [
      ":status", "server", "date", "content-length", "content-type", "x-request-id", "x-a", "etag",
      "set-cookie", "cache-control", "vary",
    ]
    let name = names.randomElement(using: &random)!
    switch Int.random(in: 0..<10, using: &random) {
    case 0: return (name, "")
    case 1:
      return (name, String(repeating: "long", count: Int.random(in: 1...1500, using: &random)))
    case 2...4:
      let scalars = (0..<Int.random(in: 1...60, using: &random)).map { _ in
        Character(Unicode.Scalar(UInt8.random(in: 0x20...0x7E, using: &random)))
      }
      return (name, String(scalars))
    default: return (name, String(Int.random(in: 0..<30, using: &random)))
    }
  }

  /// A broken block is refused by both or read alike by both, and never read past its end.
  @Test(arguments: UInt64(0)..<20)
  func agreesWithTheOracleOnBrokenBlocks(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var refused = 0
    for _ in 0..<400 {
      var oracle = H2Oracle()
      var decoding = Decoding()
      var writer = H2Oracle()
      for block in 0..<4 {
        var bytes = writer.encode((0..<6).map { _ in Self.field(&random) })
        if block > 0 {
          for _ in 0..<Int.random(in: 1...3, using: &random) {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 2 where bytes.count > 1:
              bytes.removeLast(Int.random(in: 1..<bytes.count, using: &random))
            default: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
            }
            if bytes.isEmpty { bytes = [0x88] }
          }
        }
        let theirs = oracle.decode(bytes)
        let mine = try? decoding.decode(bytes, in: memory)
        guard mine != nil || theirs != nil else {
          refused += 1
          break
        }
        #expect(mine == theirs, "seed \(seed): \(bytes)")
        guard mine == theirs else { return }
      }
    }
    #expect(refused > 50)
  }

  /// RFC 7541 C.6: responses in a table of 256 bytes, so that entries are evicted.
  @Test func readsTheExamplesOfTheRFC() throws {
    var decoding = Decoding(tableByteCountMax: 256)
    let first =
      "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff"
      + "6e919d29ad171863c78f0b97c8e9ae82ae43d3"
    let second = "4883640effc1c0bf"
    let third =
      "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7"
      + "b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007"
    let common = ["cache-control: private", "location: https://www.example.com"]
    func bytes(_ hex: String) -> [UInt8] {
      let digits = Array(hex)
      return stride(from: 0, to: digits.count, by: 2).compactMap {
        UInt8(String(digits[$0...$0 + 1]), radix: 16)
      }
    }
    #expect(
      try decoding.decode(bytes(first)) == [
        ":status: 302", common[0], "date: Mon, 21 Oct 2013 20:13:21 GMT", common[1],
      ])
    #expect(decoding.tableByteCount == 222)
    #expect(
      try decoding.decode(bytes(second)) == [
        ":status: 307", common[0], "date: Mon, 21 Oct 2013 20:13:21 GMT", common[1],
      ])
    #expect(decoding.tableByteCount == 222)
    #expect(
      try decoding.decode(bytes(third)) == [
        ":status: 200", common[0], "date: Mon, 21 Oct 2013 20:13:22 GMT", common[1],
        "content-encoding: gzip",
        "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
      ])
    #expect(decoding.tableByteCount == 215)
  }

  @Test func anEntryLargerThanTheTableEmptiesIt() throws {
    var decoding = Decoding(tableByteCountMax: 100)
    _ = try decoding.decode(H2Wire.added("a", "b"))
    #expect(decoding.tableByteCount == 34)
    _ = try decoding.decode(H2Wire.added("a", String(repeating: "b", count: 68)))
    #expect(decoding.tableByteCount == 0)
    #expect(throws: H2Violation.invalidIndex) { try decoding.decode([0xBE]) }
  }

  /// The name of a new entry may be that of the entry it evicts (RFC 7541 4.4).
  @Test func aNameOutlivesTheEntryItCameFrom() throws {
    var decoding = Decoding(tableByteCountMax: 64)
    _ = try decoding.decode(H2Wire.added("name", "0"))
    for number in 1...200 {
      let lines = try decoding.decode([0x7E] + H2Wire.string(String(number)))
      #expect(lines == ["name: \(number)"])
    }
  }

  /// A string of one byte in Huffman code, and every byte before a common one.
  @Test func everyByteHasItsWord() throws {
    var oracle = H2Oracle()
    var decoding = Decoding()
    for byte in UInt8.min...UInt8.max {
      // Only what a Swift string holds can be given to the oracle.
      guard byte < 128 else { continue }
      for text in [String(UnicodeScalar(byte)), String(UnicodeScalar(byte)) + "e"] {
        let block = oracle.encode([("x", text)])
        #expect(try decoding.decode(block) == ["x: \(text)"])
      }
    }
  }

  @Test(
    arguments: [
      ("an index of nothing", [0x80], H2Violation.invalidIndex),
      ("an entry that is not there", [0xBE], .invalidIndex),
      ("a name that is not there", [0x7E, 0], .invalidIndex),
      ("no value", [0x41], .truncatedBlock),
      ("a value cut short", [0x41, 2, 65], .truncatedBlock),
      ("a number cut short", [0xFF], .truncatedBlock),
      ("a number of six bytes", [0xFF, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], .integerTooLarge),
      ("2^32 + 126", [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F], .integerTooLarge),
      ("a table larger than allowed", [0x3F, 0xE2, 0x1F], .tableTooLarge),
      ("a table's size behind a field", [0x88, 0x20], .misplacedTableSize),
      ("three sizes", [0x20, 0x21, 0x22], .misplacedTableSize),
      ("a whole byte of padding", [0x41, 0x82, 0x1F, 0xFF], .invalidHuffman),
      ("padding with a zero", [0x41, 0x81, 0x1E], .invalidHuffman),
      ("the end of a string", [0x41, 0x84, 0xFF, 0xFF, 0xFF, 0xFF], .invalidHuffman),
    ] as [(String, [UInt8], H2Violation)])
  func refuses(name: String, block: [UInt8], violation: H2Violation) {
    var decoding = Decoding()
    #expect(throws: violation, "\(name)") { try decoding.decode(block, in: memory) }
  }
}
