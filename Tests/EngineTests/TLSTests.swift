import Foundation
import SquallLoad
import SquallTLS
import Testing

/// Handshakes and records in memory, our own record layer held against the library's.
@Suite struct TLSTests {
  private static let now = Int64(Date().timeIntervalSince1970)

  private static func options(
    _ edit: (inout Certificate.Options) -> Void = { _ in }
  ) -> Certificate.Options {
    var options = Certificate.Options(validity: now - 3_600...now + 3_600)
    edit(&options)
    return options
  }

  /// An authority, and a certificate for localhost of its making.
  private static let authority: Certificate = {
    do {
      return try Certificate.make(
        options {
          $0.isAuthority = true
          $0.commonName = "an authority"
        })
    } catch {
      preconditionFailure("\(error)")
    }
  }()

  private static func certificate(
    _ edit: (inout Certificate.Options) -> Void = { _ in }
  ) throws -> Certificate {
    try Certificate.make(
      options {
        $0.issuer = authority
        edit(&$0)
      })
  }

  private static func plan(
    name: String = "localhost", _ edit: (inout TLSPlan) -> Void = { _ in }
  ) -> TLSPlan {
    var plan = TLSPlan(serverName: name)
    plan.authorities = authority.chain
    plan.protocols = ["http/1.1"]
    edit(&plan)
    return plan
  }

  /// Both ends, and the way between them.
  private struct Pair {
    let client: TLSConnection
    let server: TLSConnection

    init(
      _ client: TLSContext, _ server: TLSContext, name: String = "localhost"
    ) throws {
      self.client = try TLSConnection(client, name: name)
      self.server = try TLSConnection(server, name: "")
    }

    /// Shakes hands in pieces of `stride` bytes.
    func shake(stride: Int = .max) throws {
      _ = try client.receive([])
      for _ in 0..<10 where !client.isSecured || !server.isSecured {
        for piece in pieces(client.output(), stride) { _ = try server.receive(piece) }
        for piece in pieces(server.output(), stride) { _ = try client.receive(piece) }
      }
      for piece in pieces(client.output(), stride) { _ = try server.receive(piece) }
      #expect(client.isSecured && server.isSecured)
    }

    func pieces(_ bytes: [UInt8], _ stride: Int) -> [[UInt8]] {
      var pieces: [[UInt8]] = []
      var rest = bytes[...]
      while !rest.isEmpty {
        pieces.append(Array(rest.prefix(stride)))
        rest = rest.dropFirst(stride)
      }
      return pieces
    }
  }

  private static func serving(
    _ certificate: Certificate, resumes: Bool = false,
    versions: ClosedRange<UInt16> = 0x0303...0x0304
  ) throws -> TLSContext {
    try TLSContext(
      serving: certificate.chain, key: certificate.key, protocols: [8] + Array("http/1.1".utf8),
      versions: versions, resumes: resumes)
  }

  @Test(arguments: [UInt16(0x0303), 0x0304], [1, 7, 1_000, Int.max])
  func bytesComeThroughInAnySplit(version: UInt16, stride: Int) throws {
    let server = try Self.serving(try Self.certificate(), versions: version...version)
    let pair = try Pair(try TLSContext(Self.plan()), server)
    try pair.shake(stride: stride)
    #expect(pair.client.facts.version == version)
    #expect(pair.client.facts.applicationProtocol == "http/1.1")
    #expect(pair.client.opensRecords == (version == 0x0304))
    #expect(pair.client.facts.chainByteCount > 200)
    for length in [1, 100, 16_384, 16_385, 70_000] {
      let text = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      var come: [UInt8] = []
      for piece in pair.pieces(try pair.client.seal(text), stride) {
        come += try pair.server.receive(piece)
      }
      #expect(come == text)
      come = []
      let sealed = try pair.server.output() + pair.server.seal(text)
      for piece in pair.pieces(sealed, stride) { come += try pair.client.receive(piece) }
      #expect(come == text)
    }
    let end = pair.server.sealClose()
    #expect(!pair.client.wasClosed)
    _ = try pair.client.receive(end)
    #expect(pair.client.wasClosed)
  }

  /// The library's record layer reads what ours writes, and the other way round.
  @Test func ourRecordsAreTheLibrarys() throws {
    let certificate = try Self.certificate()
    for clientKeeps in [false, true] {
      for serverKeeps in [false, true] {
        let client = try TLSContext(Self.plan())
        let server = try Self.serving(certificate)
        client.keepLibrary(clientKeeps)
        server.keepLibrary(serverKeeps)
        let pair = try Pair(client, server)
        try pair.shake()
        #expect(pair.client.opensRecords != clientKeeps)
        #expect(pair.server.opensRecords != serverKeeps)
        for turn in 0..<50 {
          let text = [UInt8](repeating: UInt8(turn), count: turn * turn + 1)
          #expect(try pair.server.receive(try pair.client.seal(text)) == text)
          #expect(try pair.client.receive(try pair.server.seal(text)) == text)
        }
      }
    }
  }

  @Test func keysAreChangedBothWays() throws {
    let certificate = try Self.certificate()
    for serverKeeps in [false, true] {
      let server = try Self.serving(certificate)
      server.keepLibrary(serverKeeps)
      let pair = try Pair(try TLSContext(Self.plan()), server)
      try pair.shake()
      for turn in 0..<5 {
        let text = Array("turn \(turn)".utf8)
        // Ours, and it asks for theirs.
        var come = try pair.server.receive(pair.client.sealKeyUpdate(asks: true))
        come += try pair.server.receive(try pair.client.seal(text))
        #expect(come == text)
        #expect(try pair.client.receive(pair.server.output() + pair.server.seal(text)) == text)
      }
      guard !serverKeeps else { continue }
      for _ in 0..<32 {
        _ = try pair.client.receive(pair.server.sealKeyUpdate(asks: false))
      }
      #expect(throws: TLSConnection.Failure.self) {
        try pair.client.receive(pair.server.sealKeyUpdate(asks: false))
      }
    }
  }

  @Test func aChangedByteEndsTheConnection() throws {
    let certificate = try Self.certificate()
    let text = Array("a record like any other".utf8)
    for place in stride(from: 0, to: 22 + text.count, by: 3) {
      let pair = try Pair(try TLSContext(Self.plan()), try Self.serving(certificate))
      try pair.shake()
      var sealed = try pair.server.seal(text)
      sealed[place] ^= 0x20
      // A length that grew is not there yet.
      if place == 3 || place == 4 { sealed += [UInt8](repeating: 0, count: 16_800) }
      let failure = #expect(throws: TLSConnection.Failure.self) {
        try pair.client.receive(sealed)
      }
      #expect(failure?.reason == .badRecord, "\(place)")
      #expect(!pair.client.output().isEmpty, "no alert")
    }
  }

  @Test func aTruncatedRecordIsAwaited() throws {
    let pair = try Pair(try TLSContext(Self.plan()), try Self.serving(try Self.certificate()))
    try pair.shake()
    let text = Array("whole or not at all".utf8)
    let sealed = try pair.server.seal(text)
    for count in 0..<sealed.count {
      let piece = [sealed[count]]
      let come = try pair.client.receive(piece)
      #expect(come == (count == sealed.count - 1 ? text : []))
    }
  }

  @Test func failuresHaveTheirReasons() throws {
    func failure(
      _ certificate: Certificate, name: String = "localhost",
      _ edit: (inout TLSPlan) -> Void = { _ in }
    ) throws -> TLSFailure? {
      let pair = try Pair(
        try TLSContext(Self.plan(name: name, edit)), try Self.serving(certificate), name: name)
      do {
        try pair.shake()
        return nil
      } catch {
        return (error as? TLSConnection.Failure)?.reason
      }
    }
    let good = try Self.certificate()
    #expect(try failure(good) == nil)
    #expect(try failure(good, name: "127.0.0.1") == nil)
    #expect(try failure(good, name: "::1") == nil)
    #expect(try failure(good, name: "example.com") == .wrongName)
    #expect(try failure(good, name: "127.0.0.2") == .wrongName)
    #expect(try failure(good, name: "example.com") { $0.verifies = false } == nil)
    #expect(try failure(try Certificate.make(Self.options())) == .unknownCA)
    let old = try Self.certificate { $0.validity = Self.now - 7_200...Self.now - 3_600 }
    #expect(try failure(old) == .expired)
    let early = try Self.certificate { $0.validity = Self.now + 3_600...Self.now + 7_200 }
    #expect(try failure(early) == .notYetValid)
    #expect(try failure(try Self.certificate { $0.isRSA = true }) == nil)
  }

  /// RFC 6066 3: an address is checked and not sent.
  @Test func theHelloNamesHostsAndNoAddresses() throws {
    for (name, isSent) in [("localhost", true), ("127.0.0.1", false), ("::1", false)] {
      let client = try TLSConnection(try TLSContext(Self.plan(name: name)), name: name)
      _ = try client.receive([])
      let hello = client.output()
      #expect((hello.firstRange(of: Array(name.utf8)) != nil) == isSent, "\(name)")
      // It fits one segment, which one with the library's post-quantum groups does not.
      #expect(hello.count < 600, "\(hello.count) bytes")
    }
  }

  /// Whoever does not check certificates still wants the proof that the peer has its certificate's key.
  @Test func theProofIsCheckedWithoutAVerdict() throws {
    let server = try Self.serving(try Self.certificate(), versions: 0x0303...0x0303)
    for verifies in [false, true] {
      let pair = try Pair(try TLSContext(Self.plan { $0.verifies = verifies }), server)
      _ = try pair.client.receive([])
      _ = try pair.server.receive(pair.client.output())
      var flight = pair.server.output()
      // ServerKeyExchange ends with its signature (RFC 8422 5.4).
      var place = 0
      var hasChanged = false
      while place + 9 <= flight.count, !hasChanged {
        let length = Int(flight[place + 3]) << 8 | Int(flight[place + 4])
        if flight[place] == 22, flight[place + 5] == 12 {
          flight[place + 5 + length - 1] ^= 1
          hasChanged = true
        }
        // Several messages may share a record.
        var message = place + 5
        while message + 4 <= place + 5 + length, !hasChanged {
          let size =
            Int(flight[message + 1]) << 16 | Int(flight[message + 2]) << 8
            | Int(flight[message + 3])
          if flight[message] == 12 {
            flight[message + 4 + size - 1] ^= 1
            hasChanged = true
          }
          message += 4 + size
        }
        place += 5 + length
      }
      try #require(hasChanged)
      let failure = #expect(throws: TLSConnection.Failure.self) { try pair.client.receive(flight) }
      #expect(failure?.reason == .badSignature, "\(String(describing: failure))")
    }
  }

  @Test func aMissingIntermediateIsAnUnknownAuthority() throws {
    let middle = try Self.certificate {
      $0.isAuthority = true
      $0.commonName = "in the middle"
    }
    let leaf = try Certificate.make(Self.options { $0.issuer = middle })
    let mark = Array("-----END CERTIFICATE-----\n".utf8)
    let end = try #require(leaf.chain.firstRange(of: mark)).upperBound
    let alone = Certificate(chain: Array(leaf.chain[..<end]), key: leaf.key)
    let middleEnd = try #require(middle.chain.firstRange(of: mark)).upperBound
    let whole = Certificate(chain: alone.chain + middle.chain[..<middleEnd], key: leaf.key)
    for (certificate, reason) in [(alone, TLSFailure.unknownCA), (whole, nil)] {
      let pair = try Pair(try TLSContext(Self.plan()), try Self.serving(certificate))
      do {
        try pair.shake()
        #expect(reason == nil)
      } catch {
        let failure = try #require(error as? TLSConnection.Failure)
        #expect(failure.reason == reason)
        #expect(failure.words.contains("intermediate"), "\(failure.words)")
      }
    }
  }

  /// RFC 8446 4.1.4: the server wants a group that we offered and sent no key of.
  @Test func aRetriedHelloIsAnswered() throws {
    let certificate = try Self.certificate()
    let server = try TLSContext(
      serving: certificate.chain, key: certificate.key, protocols: [], groups: "P-384")
    let pair = try Pair(try TLSContext(Self.plan { $0.protocols = [] }), server)
    try pair.shake()
    #expect(pair.client.wasRetried && pair.client.facts.groupName.contains("384"))
    #expect(try pair.client.receive(pair.server.output() + pair.server.seal([7])) == [7])
  }

  /// RFC 8446 5.5: our keys are changed before they have sealed too much, without anybody's asking.
  @Test func keysAreChangedAtTheLimitOfTheirRecords() throws {
    for serverKeeps in [false, true] {
      let client = try TLSContext(Self.plan())
      client.limitRecords(10)
      let server = try Self.serving(try Self.certificate())
      server.keepLibrary(serverKeeps)
      let pair = try Pair(client, server)
      try pair.shake()
      var lengths = Set<Int>()
      for turn in 0..<100 {
        let text = [UInt8](repeating: UInt8(turn), count: 20)
        let sealed = try pair.client.seal(text)
        lengths.insert(sealed.count)
        #expect(try pair.server.receive(sealed) == text)
      }
      #expect(lengths.count == 2, "no key was changed")
    }
  }

  /// A ticket of TLS 1.3 is used once (RFC 8446 C.4), and one that the server does not take is no error.
  @Test func ticketsAreUsedOnceAndMayBeRefused() throws {
    let certificate = try Self.certificate()
    let first = try Self.serving(certificate, resumes: true)
    let other = try Self.serving(certificate, resumes: true)
    let client = try TLSContext(Self.plan { $0.resumes = true })
    func connect(to server: TLSContext, readsTickets: Bool) throws -> Bool {
      let pair = try Pair(client, server)
      try pair.shake()
      if readsTickets {
        #expect(try pair.client.receive(pair.server.output() + pair.server.seal([1])) == [1])
      }
      return pair.client.isResumed
    }
    #expect(try !connect(to: first, readsTickets: true))
    // Of keys that sealed no ticket of the other's.
    #expect(try !connect(to: other, readsTickets: false))
    // Two that are made while there is one ticket: the second finds none.
    let fresh = try TLSContext(Self.plan { $0.resumes = true })
    let giver = try Pair(fresh, first)
    try giver.shake()
    #expect(try giver.client.receive(giver.server.output() + giver.server.seal([1])) == [1])
    let pairs = [try Pair(fresh, first), try Pair(fresh, first)]
    for pair in pairs { try pair.shake() }
    #expect(pairs.map(\.client.isResumed) == [true, false])
  }

  @Test func aPeerThatSpeaksNoTLSIsNamed() throws {
    let client = try TLSConnection(try TLSContext(Self.plan()), name: "localhost")
    _ = try client.receive([])
    let failure = #expect(throws: TLSConnection.Failure.self) {
      try client.receive(Array("HTTP/1.1 400 Bad Request\r\n".utf8))
    }
    #expect(failure?.reason == .notTLS)
    #expect(failure?.words.hasPrefix("HTTP/1.1 400") == true)
  }

  @Test func versionsAndProtocolsThatDoNotMeetAreNamed() throws {
    let certificate = try Self.certificate()
    let old = try Self.serving(certificate, versions: 0x0303...0x0303)
    let pair = try Pair(try TLSContext(Self.plan { $0.versionMin = 0x0304 }), old)
    _ = try pair.client.receive([])
    #expect(throws: TLSConnection.Failure.self) {
      try pair.server.receive(pair.client.output())
    }
    let failure = #expect(throws: TLSConnection.Failure.self) {
      try pair.client.receive(pair.server.output())
    }
    #expect(failure?.reason == .wrongVersion)

    let other = try Pair(
      try TLSContext(Self.plan { $0.protocols = ["h2"] }), try Self.serving(certificate))
    _ = try other.client.receive([])
    #expect(throws: TLSConnection.Failure.self) {
      try other.server.receive(other.client.output())
    }
    let second = #expect(throws: TLSConnection.Failure.self) {
      try other.client.receive(other.server.output())
    }
    #expect(second?.reason == .noProtocol)
  }

  @Test func ticketsResumeWhereTheyAreAskedFor() throws {
    let server = try Self.serving(try Self.certificate(), resumes: true)
    for (resumes, expected) in [(false, [false, false]), (true, [false, true])] {
      let client = try TLSContext(Self.plan { $0.resumes = resumes })
      var resumed: [Bool] = []
      for _ in 0..<2 {
        let pair = try Pair(client, server)
        try pair.shake()
        // Tickets come with the server's first bytes.
        let answer = try pair.server.output() + pair.server.seal([1])
        #expect(try pair.client.receive(answer) == [1])
        resumed.append(pair.client.isResumed)
      }
      #expect(resumed == expected)
    }
  }

  @Test func whatCannotBeIsRefused() {
    #expect(throws: TLSContext.Refusal.self) {
      try TLSContext(Self.plan { $0.ciphers = "nonsense" })
    }
    #expect(throws: TLSContext.Refusal.self) {
      try TLSContext(Self.plan { $0.groups = "nonsense" })
    }
    #expect(throws: TLSContext.Refusal.self) {
      try TLSContext(Self.plan { $0.authorities = Array("no PEM".utf8) })
    }
    #expect(throws: TLSContext.Refusal.self) {
      try TLSContext(Self.plan { $0.certificate = Array("no PEM".utf8) })
    }
    // A key of another certificate, and one that wants a password.
    let (ours, strange) = (try? Self.certificate(), try? Self.certificate())
    for key in [
      strange?.key ?? [],
      Array(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n".utf8),
    ] {
      #expect(throws: TLSContext.Refusal.self) {
        try TLSContext(
          Self.plan {
            $0.certificate = ours?.chain ?? []
            $0.key = key
          })
      }
    }
  }

  @Test func factsGoThroughASample() throws {
    let facts = TLSFacts(
      version: 0x0304, cipher: 0x1301, group: 29, chainByteCount: 1_234, applicationProtocol: "h2",
      cipherName: "TLS_AES_128_GCM_SHA256", groupName: "X25519")
    #expect(TLSFacts(sample: facts.sample) == facts)
    #expect(facts.sample.count <= Sample.byteCountMax)
    #expect(facts.versionName == "1.3")
    #expect(TLSFacts(sample: Array("1.3 what".utf8)) == nil)
  }
}
