import CRefusal
import CSquall
import Glibc
import SquallEngine
import Testing

/// One ring and one plain socket at the other end.
private final class Wire {
  let listener: Int32
  let address: Address
  var ring: Ring
  private var taken: [Completion] = []
  private var peers: [Int32] = []

  init(_ backend: Backend, _ options: Ring.Options = Ring.Options(connections: 8)) throws {
    var options = options
    options.backend = backend
    var raw = Address("127.0.0.1", port: 0)!.raw
    var port: UInt16 = 0
    listener = squall_listen(&raw, &port)
    try #require(listener >= 0)
    address = Address("127.0.0.1", port: port)!
    ring = try Ring(options)
  }

  deinit {
    for peer in peers { Glibc.close(peer) }
    Glibc.close(listener)
  }

  /// The next completion.
  func next(withinMs: UInt64 = 10_000) throws -> Completion {
    let deadlineNs = monotonicNs() + withinMs * 1_000_000
    while taken.isEmpty {
      try #require(monotonicNs() < deadlineNs, "no completion")
      try ring.enter(deadlineNs: deadlineNs)
      let room = UnsafeMutableBufferPointer<Completion>.allocate(capacity: 16)
      room.initialize(repeating: Completion())
      defer { room.deallocate() }
      taken += room.prefix(ring.take(room))
    }
    return taken.removeFirst()
  }

  var isBehind: Bool { ring.isBehind }

  /// Whether nothing completes of what is queued.
  func isSilent() throws -> Bool {
    try ring.enter(deadlineNs: monotonicNs() + 20_000_000)
    return taken.isEmpty && !ring.hasWork
  }

  /// Connects `slot`, and returns the other end.
  func connect(_ slot: UInt32 = 0, from sources: [Address] = [], turn: Int = 0) throws -> Int32 {
    let peers = AddressList([address])
    let sources = AddressList(sources)
    try ring.connect(
      slot: slot, to: peers, 0, from: sources, turn, token: Token(operation: 1, slot: slot))
    let completion = try next()
    try #require(completion.result == 0, "connect: \(completion.result)")
    #expect(Token(bits: completion.token) == Token(operation: 1, slot: slot))
    var peer: Int32
    repeat { peer = accept(listener, nil, nil) } while peer < 0 && errno == EINTR
    try #require(peer >= 0)
    self.peers.append(peer)
    return peer
  }

  /// A connection to the listener, made by hand.
  func dial() throws -> Int32 {
    let peer = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    let result = address.bytes.withUnsafeBytes {
      Glibc.connect(
        peer, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
    }
    try #require(result == 0 || errno == EINTR)
    return peer
  }

  func send(
    slot: UInt32, bytes: UnsafeRawBufferPointer, isSilent: Bool, token: Token
  ) { ring.send(slot: slot, bytes: bytes, isSilent: isSilent, token: token) }

  func sendNow(
    slot: UInt32, bytes: UnsafeRawBufferPointer, isSilent: Bool, token: Token
  ) { ring.sendNow(slot: slot, bytes: bytes, isSilent: isSilent, token: token) }

  func receive(slot: UInt32, token: Token) { ring.receive(slot: slot, token: token) }
  func awaitRoom(slot: UInt32, token: Token) { ring.awaitRoom(slot: slot, token: token) }
  func cancel(_ target: Token, token: Token) { ring.cancel(target, token: token) }
  func finish(slot: UInt32, token: Token) { ring.finish(slot: slot, token: token) }
  func reset(slot: UInt32, token: Token) { ring.reset(slot: slot, token: token) }
  func close(slot: UInt32, token: Token) { ring.close(slot: slot, token: token) }

  func write(_ bytes: [UInt8], to peer: Int32) {
    #expect(Glibc.send(peer, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count)
  }

  /// The next `byteCount` bytes at the other end; fewer at the end of the stream.
  func read(_ byteCount: Int, from peer: Int32) -> [UInt8] {
    var bytes: [UInt8] = []
    var room = [UInt8](repeating: 0, count: 65_536)
    while bytes.count < byteCount {
      let count = recv(peer, &room, min(room.count, byteCount - bytes.count), 0)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { break }
      bytes += room.prefix(count)
    }
    return bytes
  }

  func bytes(of completion: Completion) -> [UInt8] {
    guard let buffer = completion.buffer else { return [] }
    return Array(ring.bytes(buffer, count: completion.result))
  }
}

/// Those that this host has; the same is expected of both.
private let backends = [Backend.ioUring, .epoll].filter { Ring.refusal(of: $0) == nil }
private let hasUring = backends.contains(.ioUring)

struct RingTests {
  private func pattern(_ byteCount: Int) -> [UInt8] {
    (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
  }

  @Test(arguments: backends) func whatIsSentArrivesAndWhatComesIsReceived(backend: Backend) throws {
    let wire = try Wire(backend)
    let peer = try wire.connect()
    let request = Array("ping".utf8)
    try request.withUnsafeBytes { bytes in
      wire.send(slot: 0, bytes: bytes, isSilent: true, token: Token(operation: 3))
      wire.receive(slot: 0, token: Token(operation: 2))
      try wire.ring.enter(deadlineNs: 0)
    }
    #expect(wire.read(4, from: peer) == request)
    for text in ["one", "two"] {
      wire.write(Array(text.utf8), to: peer)
      let completion = try wire.next()
      #expect(Token(bits: completion.token).operation == 2)
      #expect(wire.bytes(of: completion) == Array(text.utf8))
      #expect(completion.hasMore)
      wire.ring.recycle(try #require(completion.buffer))
    }
    shutdown(peer, Int32(SHUT_WR))
    let last = try wire.next()
    #expect(last.result == 0)
    #expect(!last.hasMore)
    #expect(last.buffer == nil)
  }

  @Test(arguments: backends) func withoutBuffersNoByteIsLost(backend: Backend) throws {
    var options = Ring.Options(connections: 4)
    options.bufferCount = 2
    options.bufferByteCount = 16
    options.largeBufferCount = 0
    let wire = try Wire(backend, options)
    let peer = try wire.connect()
    let sent = pattern(1_000)
    wire.write(sent, to: peer)
    wire.receive(slot: 0, token: Token(operation: 2))
    var got: [UInt8] = []
    var held: [UInt16] = []
    var outOfBuffers = 0
    while got.count < sent.count {
      let completion = try wire.next()
      got += wire.bytes(of: completion)
      if let buffer = completion.buffer { held.append(buffer) }
      guard !completion.hasMore else { continue }
      // The kernel has none left: once some are back, it goes on where it stopped.
      if completion.result == -ENOBUFS { outOfBuffers += 1 }
      #expect(completion.result > 0 || completion.result == -ENOBUFS)
      for buffer in held { wire.ring.recycle(buffer) }
      held = []
      wire.receive(slot: 0, token: Token(operation: 2))
    }
    #expect(got == sent)
    #expect(outOfBuffers > 0)
  }

  /// The first arrival fills a small one; from the next loan on they are large.
  @Test(arguments: backends) func buffersGrowWhenOneComesFull(backend: Backend) throws {
    var options = Ring.Options(connections: 4)
    options.bufferCount = 8
    options.bufferByteCount = 64
    options.largeBufferCount = 2
    options.largeBufferByteCount = 4_096
    let wire = try Wire(backend, options)
    let peer = try wire.connect()
    let sent = pattern(40_000)
    wire.receive(slot: 0, token: Token(operation: 2))
    try wire.ring.enter(deadlineNs: 0)
    var got: [UInt8] = []
    var sizes: [Int] = []
    var lent: Set<UInt16> = []
    wire.write(sent, to: peer)
    while got.count < sent.count {
      let completion = try wire.next()
      let bytes = wire.bytes(of: completion)
      got += bytes
      sizes.append(bytes.count)
      if let buffer = completion.buffer {
        if bytes.count > 64 { lent.insert(buffer) }
        wire.ring.recycle(buffer)
      }
      if !completion.hasMore { wire.receive(slot: 0, token: Token(operation: 2)) }
    }
    #expect(got == sent)
    #expect(sizes.first == 64)
    #expect(sizes.max() == 4_096)
    #expect(lent.isSubset(of: [0, 1]))
  }

  @Test(arguments: backends) func moreThanTheQueueHoldsIsSubmittedInOrder(backend: Backend) throws {
    var options = Ring.Options(connections: 4)
    options.submissionCount = 8
    let wire = try Wire(backend, options)
    let peer = try wire.connect()
    let sent = pattern(5_000)
    try sent.withUnsafeBytes { bytes in
      for start in stride(from: 0, to: bytes.count, by: 10) {
        let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<start + 10])
        wire.send(slot: 0, bytes: piece, isSilent: true, token: Token(operation: 3))
      }
      try wire.ring.enter(deadlineNs: 0)
    }
    #expect(wire.read(sent.count, from: peer) == sent)
    #expect(try wire.isSilent())
  }

  /// A kernel without memory takes nothing. What is queued meanwhile is done later, in its order:
  /// also closes, cancels and reads, which nobody would ask for again.
  @Test(.enabled(if: hasUring, "io_uring is not to be had here"))
  func whatTheKernelDoesNotTakeIsHeldBackAndNotDropped() throws {
    var options = Ring.Options(connections: 4)
    options.submissionCount = 8
    let wire = try Wire(.ioUring, options)
    let (listening, leaving) = (try wire.connect(0), try wire.connect(1))
    let armed = Token(operation: 2, slot: 1)
    wire.receive(slot: 1, token: armed)
    #expect(try wire.isSilent())
    var pair: [Int32] = [-1, -1]
    try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
    defer { for end in pair { close(end) } }
    let command = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
    defer { command.deallocate() }
    let addresses = AddressList([wire.address])
    let sent = pattern(1_000)
    try sent.withUnsafeBytes { bytes in
      refuse_enters(true)
      defer { refuse_enters(false) }
      for index in bytes.indices {
        let piece = UnsafeRawBufferPointer(rebasing: bytes[index...index])
        wire.send(slot: 0, bytes: piece, isSilent: true, token: Token(operation: 3))
      }
      wire.cancel(armed, token: Token(operation: 5))
      wire.close(slot: 1, token: Token(operation: 5))
      wire.ring.read(fd: pair[0], into: command, token: Token(operation: 6))
      let again = Token(operation: 1, generation: 1, slot: 1)
      try wire.ring.connect(
        slot: 1, to: addresses, 0, from: AddressList([]), 0, token: again)
      // It does not sleep while it holds something back.
      try wire.ring.enter(deadlineNs: .max)
      #expect(wire.isBehind)

      refuse_enters(false)
      #expect(write(pair[1], "!", 1) == 1)
      var results: [UInt64: Int32] = [:]
      while results.count < 3 {
        let completion = try wire.next()
        results[completion.token] = completion.result
      }
      #expect(results == [armed.bits: -ECANCELED, Token(operation: 6).bits: 1, again.bits: 0])
      #expect(!wire.isBehind)
    }
    #expect(wire.read(sent.count, from: listening) == sent)
    #expect(wire.read(1, from: leaving) == [])
    #expect(command[0] == UInt8(ascii: "!"))
  }

  @Test(arguments: backends) func aSendThatIsCutShortSaysWhereAndGoesOnWhenThereIsRoom(
    backend: Backend
  ) throws {
    let wire = try Wire(backend)
    let peer = try wire.connect()
    let sent = pattern(20_000_000)
    let got = try sent.withUnsafeBytes { bytes in
      wire.sendNow(slot: 0, bytes: bytes, isSilent: true, token: Token(operation: 3))
      var at = 0
      var got: [UInt8] = []
      while true {
        let completion = try wire.next()
        switch Token(bits: completion.token).operation {
        case 3:
          #expect(completion.result == -EAGAIN || completion.result > 0)
          at += max(0, Int(completion.result))
          guard at < bytes.count else { return got + wire.read(at - got.count, from: peer) }
          got += wire.read(at - got.count, from: peer)
          wire.awaitRoom(slot: 0, token: Token(operation: 4))
        default:
          let rest = UnsafeRawBufferPointer(rebasing: bytes[at...])
          wire.sendNow(slot: 0, bytes: rest, isSilent: false, token: Token(operation: 3))
        }
      }
    }
    #expect(got == sent)
  }

  @Test(arguments: backends) func aCancelledReceiveSaysSo(backend: Backend) throws {
    let wire = try Wire(backend)
    _ = try wire.connect()
    let token = Token(operation: 2, generation: 7)
    wire.receive(slot: 0, token: token)
    #expect(try wire.isSilent())
    wire.cancel(token, token: Token(operation: 5))
    let completion = try wire.next()
    #expect(Token(bits: completion.token) == token)
    #expect(completion.result == -ECANCELED)
    // Of another generation there is nothing to cancel, which is told.
    wire.cancel(Token(operation: 2, generation: 8), token: Token(operation: 5))
    #expect(try wire.next().result == -ENOENT)
  }

  @Test(arguments: backends) func aFinishComesBehindTheLastByteAndCompletes(backend: Backend) throws
  {
    let wire = try Wire(backend)
    let peer = try wire.connect()
    let sent = pattern(1_000)
    try sent.withUnsafeBytes { bytes in
      wire.sendNow(slot: 0, bytes: bytes, isSilent: true, token: Token(operation: 3))
      wire.finish(slot: 0, token: Token(operation: 7))
      let completion = try wire.next()
      #expect(Token(bits: completion.token).operation == 7)
      #expect(completion.result == 0)
    }
    #expect(wire.read(2_000, from: peer) == sent)
  }

  @Test(arguments: backends) func aResetIsOne(backend: Backend) throws {
    let wire = try Wire(backend)
    let peer = try wire.connect()
    wire.reset(slot: 0, token: Token(operation: 5))
    #expect(try wire.isSilent())
    var byte: UInt8 = 0
    #expect(recv(peer, &byte, 1, 0) == -1)
    #expect(errno == ECONNRESET)
  }

  @Test(arguments: backends) func anAddressWhereNobodyListensIsRefused(backend: Backend) throws {
    let wire = try Wire(backend)
    shutdown(wire.listener, Int32(SHUT_RDWR))
    let nothing = open("/dev/null", O_RDONLY)
    try #require(dup2(nothing, wire.listener) == wire.listener)
    close(nothing)
    let peers = AddressList([wire.address])
    let sources = AddressList([])
    try wire.ring.connect(
      slot: 3, to: peers, 0, from: sources, 0, token: Token(operation: 1, slot: 3))
    let completion = try wire.next()
    #expect(completion.result == -ECONNREFUSED)
    #expect(Token(bits: completion.token).slot == 3)
  }

  @Test(arguments: backends) func sourceAddressesAreTakenInTurn(backend: Backend) throws {
    let wire = try Wire(backend)
    let sources = ["127.0.0.2", "127.0.0.3"].map { Address($0, port: 0)! }
    for turn in 0..<4 {
      let from = source(of: try wire.connect(UInt32(turn), from: sources, turn: turn))
      #expect(from.hasPrefix(turn % 2 == 0 ? "127.0.0.2:" : "127.0.0.3:"), "\(from)")
    }
  }

  /// Odd and even ports alike. By itself the kernel gives a socket one kind only until those are all
  /// taken, and from then on looks through all of them before each of the other kind.
  @Test(
    .enabled(if: portRangesAreTaken, "a socket's own port range takes Linux 6.3"),
    arguments: backends)
  func allPortsAreTakenAlike(backend: Backend) throws {
    let wire = try Wire(backend, Ring.Options(connections: 32))
    let ports = try (0..<32).compactMap { slot in
      Int(source(of: try wire.connect(slot)).split(separator: ":").last!)
    }
    #expect(Set(ports.map { $0 % 2 }) == [0, 1], "\(ports)")
  }

  private func source(of peer: Int32) -> String {
    var raw = squall_address()
    var byteCount = socklen_t(28)
    let result = withUnsafeMutableBytes(of: &raw.bytes) {
      getpeername(peer, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &byteCount)
    }
    #expect(result == 0)
    raw.byte_count = byteCount
    return Address(raw: raw).description
  }

  private static let portRangesAreTaken: Bool = {
    let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(socket) }
    var range: UInt32 = 1 | 65_535 << 16
    let localPortRange: Int32 = 51  // IP_LOCAL_PORT_RANGE of linux/in.h
    return setsockopt(socket, Int32(IPPROTO_IP), localPortRange, &range, 4) == 0
  }()

  @Test(arguments: backends) func aWaitEndsAtItsDeadlineAndNotBefore(backend: Backend) throws {
    let wire = try Wire(backend)
    for waitNs in [0, 100_000, 5_000_000] as [UInt64] {
      let deadlineNs = monotonicNs() + waitNs
      var enterCount = 0
      // A ring that ends on another thread interrupts this one's wait.
      repeat {
        try wire.ring.enter(deadlineNs: deadlineNs)
        enterCount += 1
      } while monotonicNs() < deadlineNs
      #expect(enterCount < 100)
    }
    #expect(try wire.isSilent())
  }

  @Test(arguments: backends) func aSlotIsTakenAgainAfterItsClose(backend: Backend) throws {
    let wire = try Wire(backend)
    for _ in 0..<300 {
      let peer = try wire.connect(1)
      wire.close(slot: 1, token: Token(operation: 5))
      try wire.ring.enter(deadlineNs: 0)
      #expect(wire.read(1, from: peer) == [])
    }
  }

  /// Slots are taken from the lowest; one connection more than there are ends the accepting, and a
  /// slot that came free is the next.
  @Test(arguments: backends) func connectionsAreAcceptedIntoFreeSlots(backend: Backend) throws {
    var options = Ring.Options(connections: 3)
    options.fileCount = 3
    let wire = try Wire(backend, options)
    let accepting = Token(operation: 8)
    wire.ring.accept(listener: wire.listener, token: accepting)
    var peers: [Int32] = []
    defer { for peer in peers { close(peer) } }
    for slot in 0..<3 as Range<Int32> {
      peers.append(try wire.dial())
      let completion = try wire.next()
      #expect(Token(bits: completion.token) == accepting)
      #expect(completion.result == slot)
      #expect(completion.hasMore)
    }
    peers.append(try wire.dial())
    let refused = try wire.next()
    #expect(refused.result == -ENFILE)
    #expect(!refused.hasMore)
    #expect(wire.read(1, from: peers[3]) == [])

    wire.close(slot: 1, token: Token(operation: 5))
    wire.ring.accept(listener: wire.listener, token: accepting)
    peers.append(try wire.dial())
    #expect(try wire.next().result == 1)
    wire.receive(slot: 1, token: Token(operation: 2, slot: 1))
    wire.write(Array("hello".utf8), to: peers[4])
    let arrival = try wire.next()
    #expect(wire.bytes(of: arrival) == Array("hello".utf8))
    wire.ring.recycle(try #require(arrival.buffer))
  }

  @Test(arguments: backends) func aDescriptorIsReadAndWritten(backend: Backend) throws {
    let wire = try Wire(backend)
    var pair: [Int32] = [-1, -1]
    try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
    defer { close(pair[0]) }
    let command = UnsafeMutableRawBufferPointer.allocate(byteCount: 4, alignment: 1)
    defer { command.deallocate() }
    let notice = Array("news".utf8)
    try notice.withUnsafeBytes { bytes in
      wire.ring.read(fd: pair[0], into: command, token: Token(operation: 6))
      #expect(try wire.isSilent())
      wire.ring.write(fd: pair[0], bytes: bytes, token: Token(operation: 7))
      let written = try wire.next()
      #expect(Token(bits: written.token).operation == 7)
      #expect(written.result == 4)
    }
    #expect(wire.read(4, from: pair[1]) == notice)
    for text in ["do", "stop"] {
      #expect(write(pair[1], text, text.utf8.count) == text.utf8.count)
      let completion = try wire.next()
      #expect(Token(bits: completion.token).operation == 6)
      #expect(Array(command.prefix(Int(completion.result))) == Array(text.utf8))
      wire.ring.read(fd: pair[0], into: command, token: Token(operation: 6))
    }
    close(pair[1])
    #expect(try wire.next().result == 0)
  }

  /// A send that waits for room goes on by itself, to its last byte, and those behind it follow.
  @Test(arguments: backends) func aSendThatWaitsGoesOnInOrder(backend: Backend) throws {
    let wire = try Wire(backend)
    let peer = try wire.connect()
    let sent = pattern(20_000_000)
    let got = try sent.withUnsafeBytes { bytes in
      wire.send(slot: 0, bytes: bytes, isSilent: false, token: Token(operation: 3))
      #expect(try wire.isSilent())
      var got: [UInt8] = []
      while !wire.ring.hasWork {
        got += wire.read(min(500_000, bytes.count - got.count), from: peer)
        try wire.ring.enter(deadlineNs: 0)
      }
      let completion = try wire.next()
      #expect(Token(bits: completion.token).operation == 3)
      #expect(completion.result == Int32(bytes.count))
      return got + wire.read(bytes.count - got.count, from: peer)
    }
    #expect(got == sent)
  }

  /// What urgent data cuts in two is read to its end all the same.
  @Test(arguments: backends) func urgentDataHidesNothingBehindIt(backend: Backend) throws {
    let wire = try Wire(backend)
    let peer = try wire.connect()
    wire.write(Array("before".utf8), to: peer)
    #expect(Glibc.send(peer, "!", 1, Int32(MSG_OOB)) == 1)
    wire.write(Array("after".utf8), to: peer)
    wire.receive(slot: 0, token: Token(operation: 2))
    var got: [UInt8] = []
    while got.count < 11 {
      let completion = try wire.next()
      got += wire.bytes(of: completion)
      if let buffer = completion.buffer { wire.ring.recycle(buffer) }
      if !completion.hasMore { wire.receive(slot: 0, token: Token(operation: 2)) }
    }
    #expect(String(decoding: got, as: UTF8.self) == "beforeafter")
  }

  /// A socket that never runs dry does not keep the loop from another one.
  @Test(arguments: backends) func aStreamWithoutEndLeavesRoomForOthers(backend: Backend) throws {
    let wire = try Wire(backend)
    let (loud, quiet) = (try wire.connect(0), try wire.connect(1))
    wire.receive(slot: 0, token: Token(operation: 2))
    wire.receive(slot: 1, token: Token(operation: 2, slot: 1))
    let flood = pattern(65_536)
    wire.write(Array("here".utf8), to: quiet)
    var arrivals = 0
    while true {
      _ = Glibc.send(loud, flood, flood.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
      let completion = try wire.next()
      arrivals += 1
      if let buffer = completion.buffer { wire.ring.recycle(buffer) }
      let token = Token(bits: completion.token)
      if token.slot == 1 { break }
      if !completion.hasMore { wire.receive(slot: 0, token: Token(operation: 2)) }
      try #require(arrivals < 1_000, "nothing of the other")
    }
  }

  @Test func addressesAreReadAndWritten() throws {
    #expect(Address("10.0.0.1", port: 80)?.description == "10.0.0.1:80")
    #expect(Address("::1", port: 8_080)?.description == "[::1]:8080")
    for text in ["", "10.0.0", "10.0.0.256", "localhost", "[::1]", ":::"] {
      #expect(Address(text, port: 1) == nil, "\(text)")
    }
    let address = try #require(Address("fe80::1:2", port: 65_535))
    #expect(Address(bytes: address.bytes)?.description == address.description)
    #expect(Address(bytes: Array(repeating: 0, count: 113)) == nil)
    #expect(try Address.resolve("127.0.0.1", port: 9).map(\.description) == ["127.0.0.1:9"])
    #expect(throws: Address.ResolveError.self) {
      try Address.resolve("no-such-host.invalid", port: 9)
    }
  }

  @Test(arguments: [
    (UInt8(0), UInt32(0), UInt32(0)), (255, 0xff_ffff, .max), (6, 1, 2), (1, 0x80_0000, 49_999),
  ])
  func aTokenKeepsItsThreeParts(operation: UInt8, generation: UInt32, slot: UInt32) {
    let token = Token(operation: operation, generation: generation, slot: slot)
    #expect(Token(bits: token.bits) == token)
    #expect(token.operation == operation)
    #expect(token.generation == generation)
    #expect(token.slot == slot)
    // Generations count modulo 2^24, and a neighbour's is never the same.
    #expect(Token(operation: operation, generation: generation &+ 1 << 24, slot: slot) == token)
    #expect(Token(operation: operation, generation: generation &+ 1, slot: slot) != token)
  }
}

/// Turns until a number of deadlines has passed, with one completion to handle in between.
private struct Turning: CompletionHandler, ~Copyable {
  var turnCount = 0
  var completions: [UInt64] = []
  var earliest: Int64 = .max
  var deadlineNs: UInt64 = 0
  let intervalNs: UInt64
  let turnCountMax: Int

  init(intervalNs: UInt64, turnCountMax: Int) {
    self.intervalNs = intervalNs
    self.turnCountMax = turnCountMax
  }

  mutating func complete(_ completion: Completion, on ring: borrowing Ring, nowNs: UInt64) {
    completions.append(completion.token)
  }

  mutating func turn(on ring: borrowing Ring, nowNs: UInt64) -> UInt64? {
    if deadlineNs > 0 { earliest = min(earliest, Int64(bitPattern: nowNs &- deadlineNs)) }
    turnCount += 1
    if turnCount == 3 { ring.cancel(Token(operation: 1), token: Token(operation: 9)) }
    deadlineNs = nowNs + intervalNs
    return turnCount > turnCountMax ? nil : deadlineNs
  }
}

struct RingLoopTests {
  private func ring(_ backend: Backend) throws -> Ring {
    var options = Ring.Options(connections: 1)
    options.backend = backend
    return try Ring(options)
  }

  @Test(arguments: backends, [false, true])
  func aTurnComesAtItsDeadline(backend: Backend, spins: Bool) throws {
    let ring = try ring(backend)
    var loop = RingLoop(spins: spins)
    var handler = Turning(intervalNs: 1_000_000, turnCountMax: 20)
    try loop.run(&handler, on: ring)
    #expect(handler.turnCount == 21)
    // The turn that the completion brought came before its deadline; no other did.
    #expect(handler.completions == [Token(operation: 9).bits])
  }

  @Test(arguments: backends) func aTurnIsOneSystemCall(backend: Backend) throws {
    let ring = try ring(backend)
    let before = ring.systemCalls
    var loop = RingLoop()
    var handler = Turning(intervalNs: 200_000, turnCountMax: 50)
    try loop.run(&handler, on: ring)
    // One for each of the turns, and a last one that submits what the end left.
    let systemCalls = ring.systemCalls - before
    #expect(systemCalls == 51)
  }
}
