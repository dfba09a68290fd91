import CSquall
import Glibc
import SquallEngine
import SquallLoad
import SquallTarget
import Testing

/// What clients may do to a target, and what it does to them.
struct TargetTestsPeers {
  @Test func aClientThatDoesNotReadGetsEveryByteOnceItDoes() throws {
    let target = try startTarget()
    let other = try Peer(to: target)
    for (query, head) in [
      ("size=300k", "Content-Length: 307200"), ("size=1000", "Content-Length: 1000"),
    ] {
      let peer = try Peer(to: target)
      let count = 20_000_000 / (query == "size=1000" ? 1_000 : 307_200)
      for _ in 0..<count { peer.get("/slow?\(query)") }
      // It is full; another client is served all the same.
      other.get("/")
      other.expect(hello)
      let answer =
        Array("HTTP/1.1 200 OK\r\n\(head)\r\n\r\n".utf8)
        + greetings(query == "size=1000" ? 1_000 : 307_200)
      for index in 0..<count {
        guard peer.read(answer.count) == answer else {
          Issue.record("answer \(index) of \(query) is not what was asked for")
          return
        }
      }
    }
    #expect(eventually { target.counts().openCount == 1 })
  }

  @Test func requestsWithoutEndAndWithoutReadingCostNoMemory() throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    let requests = Array(
      String(repeating: "GET /?size=1m HTTP/1.1\r\nHost: a\r\n\r\n", count: 2_000).utf8)
    // 20,000 MiB asked for, one description held.
    for _ in 0..<10 { #expect(peer.send(requests)) }
    #expect(eventually { target.counts().requestCount == 20_000 })
    #expect(target.counts().overrunCount == 0)
    peer.reset()
    #expect(eventually { target.counts().openCount == 0 })
  }

  @Test func tooManyAnswersWaitingCostTheConnection() throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    let pair =
      "GET /a?delay=60s HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n"
    let pairs = Array(String(repeating: pair, count: 9_000).utf8)
    peer.send(pairs)
    #expect(peer.readToEnd().text == "")
    #expect(target.counts().overrunCount == 1)
    #expect(eventually { target.counts().openCount == 0 })
    let other = try Peer(to: target)
    other.get("/")
    other.expect(hello)
  }

  @Test func aHalfClosedClientGetsItsAnswers() throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    for _ in 0..<3 { peer.get("/?size=1&delay=20ms") }
    peer.send("GET /incompl")
    peer.finish()
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nH"
    #expect(peer.readToEnd() == (answer + answer + answer, .finished))
    let large = try Peer(to: target)
    large.get("/?size=5m")
    large.finish()
    let (text, ending) = large.readToEnd()
    #expect(
      text.utf8.count == (5 << 20) + "HTTP/1.1 200 OK\r\nContent-Length: 5242880\r\n\r\n".utf8.count
    )
    #expect(ending == .finished)
    let idle = try Peer(to: target)
    idle.finish()
    #expect(idle.readToEnd() == ("", .finished))
    #expect(eventually { target.counts().openCount == 0 })
  }

  @Test func aClientThatGoesAwayTakesOnlyItsOwn() throws {
    let target = try startTarget()
    let stayer = try Peer(to: target)
    for round in 0..<50 {
      let peer = try Peer(to: target)
      switch round % 5 {
      case 0: peer.get("/?size=50m")
      case 1: peer.get("/?delay=5ms")
      case 2: peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
      case 3: peer.get("/fault/drip")
      default: peer.get("/fault/hang")
      }
      if round % 2 == 0 { peer.reset() } else { peer.close() }
      stayer.get("/")
      stayer.expect(hello)
    }
    // Nothing of theirs is left, and the slots serve again.
    #expect(eventually { target.counts().openCount == 1 }, "\(target.counts())")
    let next = try Peer(to: target)
    next.get("/?delay=10ms")
    next.expect(hello)
  }

  @Test func oneMoreThanTheTableHoldsIsClosedAtOnce() throws {
    let target = try startTarget(connectionCountMax: 4)
    let peers = try (0..<4).map { _ in try Peer(to: target) }
    for peer in peers {
      peer.get("/")
      peer.expect(hello)
    }
    for round in 1...3 {
      let refused = try Peer(to: target)
      #expect(refused.readToEnd().text == "")
      #expect(eventually { target.counts().refusedCount == UInt64(round) })
    }
    #expect(target.counts().acceptedCount == 4)
    peers[2].close()
    #expect(eventually { target.counts().openCount == 3 })
    let next = try Peer(to: target)
    next.get("/")
    next.expect(hello)
    peers[0].get("/")
    peers[0].expect(hello)
  }

  @Test func connectionsComeAndGoByTheThousand() throws {
    let target = try startTarget(connectionCountMax: 64)
    for round in 0..<2_000 {
      let peer = try Peer(to: target)
      if round % 2 == 0 {
        peer.get("/?close=1")
        #expect(peer.readToEnd().text.hasSuffix("Hello, world!"))
      } else {
        peer.get("/")
        peer.expect(hello)
      }
    }
    #expect(target.counts().requestCount == 2_000)
    #expect(target.counts().acceptedCount == 2_000)
    #expect(eventually { target.counts().openCount == 0 })
  }

  @Test(arguments: UInt64(1)...8)
  func noiseIsSurvived(seed: UInt64) throws {
    print("seed \(seed)")
    var random = SplitMix64(seed: seed)
    let target = try startTarget()
    let words = [
      "GET ", "POST ", "/", "/fault/extra", "/fault/drip", "?size=100", "&chunked=1",
      " HTTP/1.1\r\n",
      "Host: a\r\n", "\r\n", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n",
      "Expect: 100-continue\r\n", "0\r\n\r\n", "3\r\nabc\r\n", "\u{0}", "Connection: close\r\n",
    ]
    for _ in 0..<200 {
      let peer = try Peer(to: target)
      for _ in 0..<Int.random(in: 1...30, using: &random) {
        guard Bool.random(using: &random) else {
          peer.send(words.randomElement(using: &random)!)
          continue
        }
        peer.send((0..<8).map { _ in UInt8.random(in: 0...255, using: &random) })
        peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
      }
      if Bool.random(using: &random) { peer.reset() } else { peer.close() }
    }
    let peer = try Peer(to: target)
    peer.get("/")
    peer.expect(hello)
    #expect(eventually { target.counts().openCount == 1 })
    #expect(target.isServing(withinMs: 0))
  }
}
