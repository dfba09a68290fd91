import SquallEngine
import SquallTarget
import Testing

/// What a target does to clients that ask for it.
struct TargetTestsFaults {
  private func peer(_ path: String, to target: Target) throws -> Peer {
    let peer = try Peer(to: target)
    // The fault is that of its own request.
    peer.get("/")
    peer.expect(hello)
    peer.get(path)
    return peer
  }

  @Test func resetEndsTheConnectionWithoutAnAnswer() throws {
    let target = try startTarget()
    #expect(try peer("/fault/reset", to: target).readToEnd() == ("", .reset))
    #expect(eventually { target.counts().openCount == 0 })
    #expect(target.counts().paths == ["/": 1, "/fault/reset": 1])
  }

  @Test func closeFinishesWithoutAByte() throws {
    let target = try startTarget()
    #expect(try peer("/fault/close", to: target).readToEnd() == ("", .finished))
    #expect(eventually { target.counts().openCount == 0 })
  }

  @Test func halfStopsInTheMiddleOfTheAnswer() throws {
    let target = try startTarget()
    let (text, ending) = try peer("/fault/half?size=99", to: target).readToEnd()
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n".utf8.count + 99
    #expect(text.utf8.count == whole / 2)
    #expect(text.hasPrefix("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nHello"))
    #expect(ending == .finished)
    let large = try peer("/fault/half?size=10m&chunked=1", to: target).readToEnd()
    #expect(large.text.utf8.count > 5 << 20)
    #expect(large.text.utf8.count < 6 << 20)
  }

  @Test func garbageIsNoHTTPAndTheConnectionStays() throws {
    let target = try startTarget()
    let peer = try peer("/fault/garbage", to: target)
    peer.expect("\u{1}\u{2}\u{3}\u{4}this is no HTTP\r\n\r\n")
    peer.get("/")
    peer.expect(hello)
  }

  @Test func hangNeverAnswersNorWhatComesBehind() throws {
    let target = try startTarget()
    let peer = try peer("/fault/hang", to: target)
    peer.get("/")
    #expect(eventually { target.counts().requestCount == 3 })
    let other = try Peer(to: target)
    other.get("/?delay=30ms")
    other.expect(hello)
    #expect(peer.isSilent)
    peer.finish()
    #expect(peer.readToEnd() == ("", .finished))
  }

  @Test func dripSendsAByteEachMillisecond() throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    let beganNs = monotonicNs()
    peer.get("/fault/drip")
    peer.get("/?size=1")
    peer.expect(hello)
    #expect(monotonicNs() - beganNs >= UInt64(hello.utf8.count - 1) * 1_000_000)
    peer.expect("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nH")
    peer.get("/fault/drip?size=1&close=1")
    #expect(
      peer.readToEnd()
        == ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nH", .finished))
  }

  @Test func extraAnswersTwice() throws {
    let target = try startTarget()
    let peer = try peer("/fault/extra", to: target)
    peer.expect(hello + hello)
    peer.get("/?size=0")
    peer.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    #expect(target.counts().requestCount == 3)
  }

  @Test func earlyAnswersBeforeTheBodyIsThere() throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    for _ in 0..<2 {
      peer.send("POST /fault/early HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx")
      peer.expect(hello)
      peer.send([UInt8](repeating: 0, count: 99_999))
      peer.get("/?size=1")
      peer.expect("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nH")
    }
    #expect(target.counts().paths == ["/fault/early": 2, "/": 2])
    peer.send(
      "POST /fault/early?size=0 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
        + "Content-Length: 1\r\nConnection: close\r\n\r\n")
    peer.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    peer.send("x")
    #expect(peer.readToEnd() == ("", .finished))
    let closed = try Peer(to: target)
    closed.send("POST /fault/early?close=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
    #expect(
      closed.readToEnd()
        == (
          "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\nHello, world!",
          .finished
        ))
    // Its body never came: it was never received.
    #expect(target.counts().paths == ["/fault/early": 3, "/": 2])
  }

  @Test func anUnknownFaultIsNamed() throws {
    let target = try startTarget()
    let peer = try peer("/fault/typo", to: target)
    let answer = peer.readAnswer()
    #expect(answer.head.hasPrefix("HTTP/1.1 404 Not Found\r\n"))
    #expect(answer.body.contains("drip"))
  }
}
