import Foundation
import SquallLoad
import SquallTLS
import Testing

/// Records as a broken or hostile peer may send them, read by our own record layer and by the library's:
/// both come to the same, wherever the bytes are cut.
@Suite struct RecordFuzzTests {
  /// What a reader came to.
  private struct Reading: Equatable {
    var plain: [UInt8] = []
    var wasClosed = false
    var hasFailed = false
  }

  /// What a server says after the handshake, each in records of its own.
  private enum Saying {
    case data(Int)
    case empty
    case keyUpdate(asks: Bool)
    case close
  }

  /// A client that is secured, and the server's records for it.
  private struct Scene {
    let client: TLSConnection
    var records: [[UInt8]]
    /// Why it failed.
    var words = ""

    init(
      _ sayings: [Saying], _ client: TLSContext, _ server: TLSContext
    ) throws {
      self.client = try TLSConnection(client, name: "localhost")
      let peer = try TLSConnection(server, name: "")
      _ = try self.client.receive([])
      for _ in 0..<10 where !self.client.isSecured || !peer.isSecured {
        _ = try peer.receive(self.client.output())
        _ = try self.client.receive(peer.output())
      }
      _ = try peer.receive(self.client.output())
      records = try sayings.map { saying in
        switch saying {
        case .data(let count):
          try peer.seal((0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ count) })
        case .empty: try peer.seal([])
        case .keyUpdate(let asks): peer.sealKeyUpdate(asks: asks)
        case .close: peer.sealClose()
        }
      }
    }

    /// Reads pieces to their end or to a failure.
    mutating func read(_ pieces: [[UInt8]]) -> Reading {
      var reading = Reading()
      for piece in pieces where !piece.isEmpty {
        do throws(TLSConnection.Failure) {
          try client.receive(piece, into: &reading.plain)
        } catch {
          reading.hasFailed = true
          words = error.words
          return reading
        }
        // What comes behind a peer's last word is nobody's.
        if client.wasClosed {
          reading.wasClosed = true
          return reading
        }
      }
      return reading
    }
  }

  /// What is done to the records, the same to those of each scene.
  private enum Damage {
    case none
    case flip(place: Double, bit: Int)
    case change(place: Double, mask: UInt8)
    case cut(place: Double)
    case drop(Int)
    case double(Int)
    case swap(Int)
    case insert(place: Double, [UInt8])

    static func random(_ random: inout SplitMix64, recordCount: Int) -> Damage {
      let place = Double.random(in: 0..<1, using: &random)
      let record = Int.random(in: 0..<recordCount, using: &random)
      switch Int.random(in: 0..<9, using: &random) {
      case 0: return .none
      case 1, 2: return .flip(place: place, bit: Int.random(in: 0..<8, using: &random))
      case 3: return .change(place: place, mask: UInt8.random(in: 1...255, using: &random))
      case 4: return .cut(place: place)
      case 5: return .drop(record)
      case 6: return .double(record)
      case 7: return .swap(record)
      default:
        let count = Int.random(in: 1...40, using: &random)
        return .insert(
          place: place, (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) })
      }
    }

    func applied(to records: [[UInt8]]) -> [UInt8] {
      var records = records
      switch self {
      case .drop(let index): records.remove(at: index)
      case .double(let index): records.insert(records[index], at: index)
      case .swap(let index): records.swapAt(index, (index + 1) % records.count)
      default: break
      }
      var bytes = records.flatMap { $0 }
      func at(_ place: Double) -> Int { Int(place * Double(bytes.count)) }
      switch self {
      case .flip(let place, let bit): bytes[at(place)] ^= 1 << UInt8(bit)
      case .change(let place, let mask): bytes[at(place)] ^= mask
      case .cut(let place): bytes.removeSubrange(at(place)...)
      case .insert(let place, var strange):
        // What stood there is another byte, or by chance one scene's record is whole and the other's is not.
        if strange[0] == bytes[at(place)] { strange[0] ^= 1 }
        bytes.insert(contentsOf: strange, at: at(place))
      default: break
      }
      return bytes
    }
  }

  private static let certificate: Certificate = {
    let now = Int64(Date().timeIntervalSince1970)
    do {
      return try Certificate.make(Certificate.Options(validity: now - 3_600...now + 3_600))
    } catch {
      preconditionFailure("\(error)")
    }
  }()

  private static func client(keepsLibrary: Bool) throws -> TLSContext {
    var plan = TLSPlan(serverName: "localhost")
    plan.authorities = certificate.chain
    let context = try TLSContext(plan)
    context.keepLibrary(keepsLibrary)
    return context
  }

  private static func server() throws -> TLSContext {
    try TLSContext(
      serving: certificate.chain, key: certificate.key, protocols: [], versions: 0x0304...0x0304,
      resumes: false)
  }

  private static func sayings(_ random: inout SplitMix64) -> [Saying] {
    var sayings: [Saying] = (0..<Int.random(in: 1...6, using: &random)).map { _ in
      switch Int.random(in: 0..<8, using: &random) {
      case 0: .empty
      case 1: .keyUpdate(asks: Bool.random(using: &random))
      // Seven of them are fewer bytes than the library is shown at once.
      case 2: .data(Int.random(in: 1_000...18_000, using: &random))
      default: .data(Int.random(in: 1...200, using: &random))
      }
    }
    if Int.random(in: 0..<4, using: &random) == 0 { sayings.append(.close) }
    return sayings
  }

  private static func pieces(_ bytes: [UInt8], _ random: inout SplitMix64) -> [[UInt8]] {
    if bytes.count < 2_000, Int.random(in: 0..<5, using: &random) == 0 { return bytes.map { [$0] } }
    var pieces: [[UInt8]] = []
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = Int.random(in: 1...max(1, min(rest.count, bytes.count / 3)), using: &random)
      pieces.append(Array(rest.prefix(count)))
      rest = rest.dropFirst(count)
    }
    return pieces
  }

  /// Runs 1.5 s, or `SQUALL_FUZZ_SECONDS`; `SQUALL_FUZZ_SEED` gives a printed seed back.
  @Test func brokenRecordsAreReadAsTheLibraryReadsThem() throws {
    let environment = { (name: String) in getenv(name).flatMap { Double(String(cString: $0)) } }
    let seed =
      environment("SQUALL_FUZZ_SEED").map { UInt64($0) } ?? UInt64.random(in: 0..<1_000_000_000)
    let duration = Duration.seconds(environment("SQUALL_FUZZ_SECONDS") ?? 1.5)
    print("fuzzing records: SQUALL_FUZZ_SEED=\(seed)")
    fflush(nil)
    var random = SplitMix64(seed: seed)
    let ours = try Self.client(keepsLibrary: false)
    let library = try Self.client(keepsLibrary: true)
    let server = try Self.server()
    let clock = ContinuousClock()
    let deadline = clock.now + duration
    var (count, failureCount, byteCount) = (0, 0, 0)
    while count % 16 != 0 || clock.now < deadline {
      count += 1
      let sayings = Self.sayings(&random)
      var (whole, cut) = (
        try Scene(sayings, ours, server), try Scene(sayings, ours, server)
      )
      var oracle = try Scene(sayings, library, server)
      try #require(whole.client.opensRecords && !oracle.client.opensRecords)
      let damage = Damage.random(&random, recordCount: sayings.count)
      let expected = oracle.read([damage.applied(to: oracle.records)])
      let got = whole.read([damage.applied(to: whole.records)])
      let split = cut.read(Self.pieces(damage.applied(to: cut.records), &random))
      // A length that RFC 8446 5.2 forbids: the library allows some bytes more and waits for them.
      let isTooLong = got.hasFailed && whole.words.contains("2^14 + 256")
      // A version in the header says nothing (RFC 8446 5.1), and makes the record one that no key opens: we wait
      // for its end, the library does not.
      let isOfAnotherVersion = expected.hasFailed && oracle.words.contains("WRONG_VERSION")
      try #require(
        got.plain == expected.plain && got.wasClosed == expected.wasClosed
          && (got.hasFailed == expected.hasFailed || isTooLong || isOfAnotherVersion),
        "seed \(seed), scene \(count), \(damage) of \(sayings): \(whole.words) | \(oracle.words)")
      // Each scene has keys of its own, so that what was damaged is the same and the bytes are not.
      try #require(
        split.plain == got.plain && split.wasClosed == got.wasClosed
          && split.hasFailed == got.hasFailed,
        "seed \(seed), scene \(count), \(damage) of \(sayings), cut: \(cut.words)")
      if got.hasFailed { failureCount += 1 }
      byteCount += got.plain.count
    }
    print("fuzzing records: \(count) scenes, \(failureCount) refused, \(byteCount) bytes read")
    #expect(failureCount > 0 && byteCount > 0)
  }

  /// Of one record, every bit flipped: nothing of it is ever given to anybody.
  @Test func everyFlippedBitOfARecordIsFound() throws {
    let ours = try Self.client(keepsLibrary: false)
    let server = try Self.server()
    let length = try #require(try Scene([.data(9)], ours, server).records.first).count
    for bit in 0..<length * 8 {
      var scene = try Scene([.data(9), .data(20_000)], ours, server)
      var bytes = scene.records.flatMap { $0 }
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      let reading = scene.read([bytes])
      #expect(reading.hasFailed && reading.plain.isEmpty, "bit \(bit)")
    }
  }

  /// Records cut off anywhere: what is whole is read, and nothing of what is not.
  @Test func recordsAreCutAnywhere() throws {
    let ours = try Self.client(keepsLibrary: false)
    let server = try Self.server()
    let sayings: [Saying] = [.data(30), .keyUpdate(asks: true), .data(40), .empty, .data(50)]
    let lengths = try Scene(sayings, ours, server).records.map(\.count)
    let sizes = [30, 0, 40, 0, 50]
    for count in 0...lengths.reduce(0, +) {
      var scene = try Scene(sayings, ours, server)
      var (end, expected) = (0, 0)
      for (length, size) in zip(lengths, sizes) {
        end += length
        if end <= count { expected += size }
      }
      let reading = scene.read([Array(scene.records.flatMap { $0 }.prefix(count))])
      #expect(!reading.hasFailed && reading.plain.count == expected, "\(count) bytes")
    }
  }
}
