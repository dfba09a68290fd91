import Glibc
import SquallEngine
import SquallLoad
import SquallTarget
import Testing

/// When answers come. Only lower bounds: how late a busy host lets them be is for benchmarks.
struct TargetTestsTiming {
  private static let msNs: UInt64 = 1_000_000

  /// Nanoseconds from the request to the last byte of its answer.
  private func durationNs(_ path: String, _ peer: Peer) -> UInt64 {
    let beganNs = monotonicNs()
    peer.get(path)
    peer.expect(hello)
    return monotonicNs() - beganNs
  }

  @Test func anAnswerComesNotBeforeItsDelay() throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    for (delay, ns) in [("300us", 300_000), ("5ms", 5_000_000), ("0", 0), ("40ms", 40_000_000)] {
      #expect(durationNs("/?delay=\(delay)", peer) >= UInt64(ns))
    }
  }

  @Test func delaysOfManyConnectionsRunSideBySide() throws {
    let target = try startTarget()
    var random = SplitMix64(seed: 7)
    let delaysMs = (0..<100).map { _ in UInt64.random(in: 1...200, using: &random) }
    let peers = try delaysMs.map { _ in try Peer(to: target) }
    let beganNs = monotonicNs()
    for (peer, delayMs) in zip(peers, delaysMs) { peer.get("/?delay=\(delayMs)ms") }
    // Each in its turn: one that came before its delay would be seen by the next shorter one.
    for index in delaysMs.indices.sorted(by: { delaysMs[$0] < delaysMs[$1] }) {
      peers[index].expect(hello)
      #expect(monotonicNs() - beganNs >= delaysMs[index] * Self.msNs)
    }
    // One after the other they would have taken about 10 s.
    #expect(monotonicNs() - beganNs < 8_000 * Self.msNs)
  }

  @Test func aDelayHoldsBackWhatWasAskedBehindIt() throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    let beganNs = monotonicNs()
    peer.get("/?delay=30ms&size=1")
    peer.get("/?delay=5ms&size=2")
    peer.get("/?size=3")
    peer.expect("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nH")
    #expect(monotonicNs() - beganNs >= 30 * Self.msNs)
    peer.expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHe")
    peer.expect("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nHel")
  }

  @Test func aDelayForAllGivesWayToTheRequestsOwn() throws {
    let target = try startTarget { $0.delayNs = 25 * Self.msNs }
    let peer = try Peer(to: target)
    #expect(durationNs("/", peer) >= 25 * Self.msNs)
    #expect(durationNs("/?delay=60ms", peer) >= 60 * Self.msNs)
    // Five without delay take less than one with it would have to; the best of five tries counts.
    let bestNs = (0..<5).map { _ in durationNs("/?delay=0", peer) }.min()!
    #expect(bestNs < 25 * Self.msNs)
    // What is counted is told at once.
    let countedNs = (0..<5).map { _ in
      let beganNs = monotonicNs()
      peer.get("/count")
      #expect(peer.readAnswer().body.hasPrefix("{\"requests\":7,"))
      return monotonicNs() - beganNs
    }.min()!
    #expect(countedNs < 25 * Self.msNs)
  }

  @Test(arguments: [true, false])
  func everyNthRequestStalls(isAsked: Bool) throws {
    let target = try startTarget {
      guard !isAsked else { return }
      $0.stallNs = 50 * Self.msNs
      $0.stallEvery = 4
    }
    let peer = try Peer(to: target)
    let durations = (1...12).map { _ in
      durationNs(isAsked ? "/?stall=50ms&every=4" : "/", peer)
    }
    for (index, durationNs) in durations.enumerated() where (index + 1) % 4 == 0 {
      #expect(durationNs >= 50 * Self.msNs, "request \(index + 1)")
    }
    let others = durations.indices.filter { ($0 + 1) % 4 != 0 }.map { durations[$0] }
    #expect(others.min()! < 50 * Self.msNs)
  }

  @Test func slotsServeFirstComeFirstServed() throws {
    let target = try startTarget {
      $0.slotCount = 2
      $0.serviceNs = 20 * Self.msNs
    }
    let peers = try (0..<7).map { _ in try Peer(to: target) }
    let beganNs = monotonicNs()
    for (index, peer) in peers.enumerated() {
      peer.get("/")
      #expect(eventually { target.counts().requestCount == UInt64(index + 1) })
    }
    // Two at a time: 1 and 2 after one service time, 3 and 4 after two, …
    for (index, peer) in peers.enumerated() {
      peer.expect(hello)
      #expect(monotonicNs() - beganNs >= UInt64(index / 2 + 1) * 20 * Self.msNs)
    }
    // A place is kept when its client has gone.
    let leaver = try Peer(to: target)
    let stayer = try Peer(to: target)
    let againNs = monotonicNs()
    for _ in 0..<4 { leaver.get("/") }
    #expect(eventually { target.counts().requestCount == 11 })
    leaver.reset()
    stayer.get("/")
    stayer.expect(hello)
    #expect(monotonicNs() - againNs >= 3 * 20 * Self.msNs)
  }

  @Test func theHighestRateIsSlotsByServiceTime() throws {
    let target = try startTarget {
      $0.slotCount = 1
      $0.serviceNs = 500_000
    }
    let peers = try (0..<4).map { _ in try Peer(to: target) }
    for peer in peers { peer.get("/") }
    let beganNs = monotonicNs()
    for _ in 0..<100 {
      for peer in peers {
        peer.expect(hello)
        peer.get("/")
      }
    }
    // The 400 answers of a queue that never ran empty took 400 service times. What one wake-up was
    // late is not added to the next.
    #expect(monotonicNs() - beganNs >= 395 * 500_000)
  }

  @Test func aFreezeHoldsEverythingFromTheFirstRequestOn() throws {
    let target = try startTarget {
      $0.cpus = [nil, nil]
      $0.freezeForNs = 80 * Self.msNs
    }
    let peers = try (0..<10).map { _ in try Peer(to: target) }
    let beganNs = monotonicNs()
    for peer in peers { peer.get("/") }
    for peer in peers {
      peer.expect(hello)
      #expect(monotonicNs() - beganNs >= 80 * Self.msNs)
    }
    // It is over.
    #expect((0..<5).map { _ in durationNs("/", peers[0]) }.min()! < 80 * Self.msNs)
  }

  @Test func aFreezeBeginsWhenItIsSetTo() throws {
    let target = try startTarget {
      $0.freezeAfterNs = 300 * Self.msNs
      $0.freezeForNs = 200 * Self.msNs
    }
    let peer = try Peer(to: target)
    let beganNs = monotonicNs()
    // Answered, one after the other, until the freeze: one of them is held to its end.
    var longestNs: UInt64 = 0
    while monotonicNs() - beganNs < 500 * Self.msNs {
      longestNs = max(longestNs, durationNs("/?delay=1ms", peer))
    }
    #expect(longestNs >= 150 * Self.msNs)
    #expect(target.counts().requestCount > 10)
  }

  @Test func arrivalsAreNotedToTheNanosecond() throws {
    let path = "/tmp/squall-arrivals-\(getpid())-\(monotonicNs())"
    defer { unlink(path) }
    let target = try startTarget {
      $0.arrivalsPath = path
      $0.arrivalCountMax = 50
      $0.cpus = [nil, nil]
    }
    let peers = try (0..<8).map { _ in try Peer(to: target) }
    var brackets: [(fromNs: UInt64, toNs: UInt64)] = []
    for round in 0..<5 {
      for peer in peers {
        let fromNs = monotonicNs()
        peer.get("/\(round)?delay=100us")
        peer.expect(hello)
        brackets.append((fromNs, monotonicNs()))
      }
    }
    peers[0].get("/count")
    _ = peers[0].readAnswer()
    try target.stop()

    let file = open(path, O_RDONLY)
    defer { close(file) }
    var instants = [UInt64](repeating: 0, count: 100)
    let byteCount = read(file, &instants, 800)
    #expect(byteCount == brackets.count * 8)
    // One inside each bracket, at least the delay before its end.
    for (instantNs, bracket) in zip(instants, brackets) {
      #expect(instantNs >= bracket.fromNs)
      #expect(instantNs + 100_000 <= bracket.toNs)
    }
  }

  @Test func arrivalsBeyondTheirLimitAreOnlyCounted() throws {
    let path = "/tmp/squall-arrivals-\(getpid())-\(monotonicNs())"
    defer { unlink(path) }
    let target = try startTarget {
      $0.arrivalsPath = path
      $0.arrivalCountMax = 5
    }
    let peer = try Peer(to: target)
    for _ in 0..<9 { _ = durationNs("/", peer) }
    try target.stop()
    let file = open(path, O_RDONLY)
    defer { close(file) }
    #expect(lseek(file, 0, Int32(SEEK_END)) == 40)
    #expect(target.counts().requestCount == 9)
  }
}
