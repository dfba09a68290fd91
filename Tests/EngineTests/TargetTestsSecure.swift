import Foundation
import SquallEngine
import SquallLoad
import SquallTLS
import SquallTarget
import Testing

/// A target that speaks TLS, and clients of it.
struct TargetTestsSecure {
  private static let certificate = Result {
    let now = Int64(Date().timeIntervalSince1970)
    return try Certificate.make(.init(validity: now - 3_600...now + 3_600))
  }

  private static func target(
    _ configure: (inout TargetOptions) -> Void = { _ in }
  ) throws -> Target {
    let certificate = try certificate.get()
    return try startTarget { options in
      options.certificate = certificate
      configure(&options)
    }
  }

  private static func context(_ edit: (inout TLSPlan) -> Void = { _ in }) throws -> TLSContext {
    var plan = TLSPlan(serverName: "127.0.0.1")
    plan.authorities = try certificate.get().chain
    plan.protocols = ["http/1.1"]
    edit(&plan)
    return try TLSContext(plan)
  }

  /// A client over TLS on a blocking socket.
  private final class SecurePeer {
    let tls: TLSConnection
    let peer: Peer
    private var plain: [UInt8] = []

    init(to target: Target, _ context: TLSContext? = nil) throws {
      peer = try Peer(to: target)
      tls = try TLSConnection(context ?? TargetTestsSecure.context(), name: "127.0.0.1")
      plain += try tls.receive([])
      peer.send(tls.output())
      while !tls.isSecured {
        let bytes = peer.readSome()
        try #require(!bytes.isEmpty, "the target ended the handshake")
        plain += try tls.receive(bytes)
        peer.send(tls.output())
      }
    }

    func send(_ text: String) throws { peer.send(try tls.seal(Array(text.utf8))) }

    func get(_ target: String, _ fields: String = "") throws {
      try send("GET \(target) HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
    }

    func read(_ byteCount: Int) throws -> [UInt8] {
      while plain.count < byteCount {
        let bytes = peer.readSome()
        guard !bytes.isEmpty else { break }
        plain += try tls.receive(bytes)
        peer.send(tls.output())
      }
      defer { plain.removeFirst(min(plain.count, byteCount)) }
      return Array(plain.prefix(byteCount))
    }

    func expect(_ text: String, _ location: SourceLocation = #_sourceLocation) throws {
      let got = String(decoding: try read(text.utf8.count), as: UTF8.self)
      #expect(got == text, sourceLocation: location)
    }

    func readToEnd() throws -> String { String(decoding: try read(.max), as: UTF8.self) }
  }

  @Test(arguments: [UInt16(0x0303), 0x0304])
  func answersAreThoseOfAPlainConnection(version: UInt16) throws {
    let target = try Self.target()
    let peer = try SecurePeer(
      to: target,
      Self.context {
        $0.versionMin = version
        $0.versionMax = version
      })
    #expect(peer.tls.facts.version == version)
    #expect(peer.tls.facts.applicationProtocol == "http/1.1")
    for byteCount in [0, 1, 13, 16_384, 65_537, 3 << 20] {
      try peer.get("/?size=\(byteCount)")
      try peer.expect("HTTP/1.1 200 OK\r\nContent-Length: \(byteCount)\r\n\r\n")
      #expect(try peer.read(byteCount) == greetings(byteCount))
    }
    try peer.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
    try peer.send(String(repeating: "x", count: 100_000))
    try peer.expect(hello)
    // The same port is there for those who do not speak TLS.
    let plain = try Peer(to: target)
    plain.get("/")
    plain.expect(hello)
    #expect(target.counts().paths == ["/": 7, "/up": 1])
    #expect(target.counts().fullHandshakeCount == 1)
    #expect(target.counts().tlsFailureCount == 0)
  }

  /// The socket fills up: what was sealed is kept and goes first.
  @Test func pipelinedAnswersComeInOrderToOneWhoReadsLate() throws {
    let target = try Self.target()
    let peer = try SecurePeer(to: target)
    var requests = ""
    var answers = ""
    for index in 0..<2_000 {
      let size = index % 7 == 0 ? 70_000 : index % 3
      requests += "GET /?size=\(size) HTTP/1.1\r\nHost: a\r\n\r\n"
      answers += "HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n"
      answers += String(decoding: greetings(size), as: UTF8.self)
    }
    try peer.send(requests)
    try peer.expect(answers)
    try peer.get("/", "Connection: close\r\n")
    #expect(try peer.readToEnd().hasSuffix("\r\n\r\nHello, world!"))
    #expect(peer.tls.wasClosed)
    #expect(target.counts().requestCount == 2_001)
  }

  @Test func faultsAreTheSame() throws {
    let target = try Self.target()
    for (path, start, byteCount, isAnnounced) in [
      ("/fault/close", "", 0, true), ("/fault/half?size=10m", "HTTP/1.1 200 OK", 5 << 20, true),
      ("/fault/reset", "", 0, false), ("/fault/drip?close=1", "HTTP/1.1 200 OK", 70, true),
    ] {
      let peer = try SecurePeer(to: target)
      try peer.get(path)
      let text = try peer.readToEnd()
      #expect(text.hasPrefix(start), "\(path)")
      #expect(abs(text.utf8.count - byteCount) < 100, "\(path): \(text.utf8.count)")
      #expect(peer.tls.wasClosed == isAnnounced, "\(path)")
    }
    let peer = try SecurePeer(to: target)
    try peer.get("/fault/extra")
    try peer.expect(hello + hello)
    try peer.get("/?delay=20ms")
    try peer.expect(hello)
    try peer.get("/fault/hang")
    #expect(eventually { target.counts().requestCount == 7 })
    #expect(peer.peer.isSilent)
    peer.peer.send(peer.tls.sealClose())
    #expect(try peer.readToEnd() == "")
    #expect(eventually { target.counts().openCount == 0 })
    #expect(target.counts().requestCount == 7)
  }

  @Test func aHandshakeThatFailsGetsItsAlert() throws {
    let target = try Self.target()
    let other = try Self.context { $0.protocols = ["smtp"] }
    let failure = #expect(throws: TLSConnection.Failure.self) {
      try SecurePeer(to: target, other)
    }
    #expect(failure?.reason == .noProtocol)
    let peer = try Peer(to: target)
    peer.send([22, 3, 1, 0, 5, 1, 2, 3, 4, 5])
    // An alert, fatal.
    #expect(peer.read(7).prefix(6) == [21, 3, 1, 0, 2, 2])
    #expect(peer.readToEnd() == ("", .finished))
    let broken = try SecurePeer(to: target)
    broken.peer.send([23, 3, 3, 0, 20] + [UInt8](repeating: 7, count: 20))
    let alert = #expect(throws: TLSConnection.Failure.self) { try broken.readToEnd() }
    #expect(alert?.reason == .alert && alert?.alert == 20)
    #expect(target.counts().tlsFailureCount == 3)
    #expect(target.counts().requestCount == 0)
    #expect(eventually { target.counts().openCount == 0 })
  }

  /// Also by another process than the one that gave the ticket.
  @Test func ticketsAreGivenAndTaken() throws {
    let target = try Self.target { $0.cpus = [nil, nil] }
    for version in [UInt16(0x0303), 0x0304] {
      let context = try Self.context {
        $0.resumes = true
        $0.versionMin = version
        $0.versionMax = version
      }
      for turn in 0..<10 {
        let peer = try SecurePeer(to: target, context)
        try peer.get("/")
        try peer.expect(hello)
        #expect(peer.tls.isResumed == (turn > 0))
      }
    }
    #expect(target.counts().fullHandshakeCount == 2)
    #expect(target.counts().resumedHandshakeCount == 18)
  }

  @Test func everySplitOfTheBytesIsReadAlike() throws {
    let target = try Self.target()
    let peer = try SecurePeer(to: target)
    try peer.get("/")
    try peer.expect(hello)
    let request = Array("GET /?size=2 HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
    for stride in [1, 2, 5, 6, 21, 50] {
      let bytes = try peer.tls.seal(Array(request[..<7])) + peer.tls.seal(Array(request[7...]))
      for start in Swift.stride(from: 0, to: bytes.count, by: stride) {
        let before = target.counts().receivedByteCount
        let piece = Array(bytes[start..<min(start + stride, bytes.count)])
        peer.peer.send(piece)
        #expect(eventually { target.counts().receivedByteCount == before + UInt64(piece.count) })
      }
      try peer.expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHe")
    }
  }

  /// Each asks for an answer that nobody reads.
  @Test func changesOfKeysThatNobodyWaitsForEndTheConnection() throws {
    let target = try Self.target()
    let peer = try SecurePeer(to: target)
    for _ in 0..<40 { peer.peer.send(peer.tls.sealKeyUpdate(asks: true)) }
    #expect(throws: TLSConnection.Failure.self) { try peer.readToEnd() }
    #expect(target.counts().tlsFailureCount == 1)
  }
}
