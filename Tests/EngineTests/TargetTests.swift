import CSquall
import Glibc
import SquallEngine
import SquallTarget
import Testing

struct TargetTests {
  @Test func anyPathIsAnsweredWithThirteenBytes() throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    for path in ["/", "/a/b?unknown=1", "http://elsewhere/", "*"] {
      peer.get(path)
      peer.expect(hello)
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
      peer.send("\(method) / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
      peer.expect(hello)
    }
    try target.stop()
  }

  @Test(arguments: [
    ("0", 0), ("1", 1), ("14", 14), ("3k", 3_072), ("64k", 65_536), ("100000", 100_000),
    ("3m", 3 << 20),
  ])
  func aBodyHasTheSizeAskedFor(size: String, byteCount: Int) throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    for _ in 0..<3 {
      peer.get("/?size=\(size)")
      peer.expect("HTTP/1.1 200 OK\r\nContent-Length: \(byteCount)\r\n\r\n")
      #expect(peer.read(byteCount) == greetings(byteCount))
    }
    peer.get("/")
    peer.expect(hello)
  }

  @Test(arguments: [0, 1, 13, 65_519, 65_520, 65_521, 300_000])
  func aChunkedBodyIsTheSameBytes(byteCount: Int) throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    for _ in 0..<2 {
      peer.get("/?chunked=1&size=\(byteCount)")
      peer.expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
      var body: [UInt8] = []
      while true {
        var size = ""
        while !size.hasSuffix("\r\n") { size += peer.readText(1) }
        let chunkByteCount = try #require(Int(size.dropLast(1), radix: 16))
        body += peer.read(chunkByteCount)
        peer.expect("\r\n")
        if chunkByteCount == 0 { break }
      }
      #expect(body == greetings(byteCount))
    }
  }

  @Test func aStatusComesWithOrWithoutABodyAsItMust() throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    peer.get("/?status=503")
    peer.expect(
      "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 13\r\n\r\nHello, world!")
    peer.get("/?status=299&size=1")
    peer.expect("HTTP/1.1 299 \r\nContent-Length: 1\r\n\r\nH")
    peer.get("/?status=204")
    peer.expect("HTTP/1.1 204 No Content\r\n\r\n")
    peer.get("/?status=304&size=5")
    peer.expect("HTTP/1.1 304 Not Modified\r\n\r\n")
    peer.get("/?status=205&size=5")
    peer.expect("HTTP/1.1 205 \r\nContent-Length: 0\r\n\r\n")
    peer.send("HEAD /?size=77 HTTP/1.1\r\nHost: a\r\n\r\n")
    peer.expect("HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n")
    peer.send("HEAD /?chunked=1 HTTP/1.1\r\nHost: a\r\n\r\n")
    peer.expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    peer.get("/")
    peer.expect(hello)
  }

  @Test(arguments: [
    "size=x", "size=2g", "size=1025m", "status=99", "status=600", "delay=1", "delay=2h",
    "delay=100m", "stall=1ms&every=0", "every=x",
  ])
  func aValueThatCannotBeIsRefusedInASentence(query: String) throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    peer.get("/?\(query)")
    let answer = peer.readAnswer()
    #expect(answer.head.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
    #expect(answer.body.contains(" "))
    peer.get("/")
    peer.expect(hello)
  }

  @Test func aConnectionEndsWhenEitherSideSaysSo() throws {
    let target = try startTarget()
    let closing = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\nHello, world!"
    let keeping =
      "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\nHello, world!"
    for request in [
      "GET /?close=1 HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
      "GET / HTTP/1.0\r\n\r\n",
      "GET /?close=1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
      // HTTP/1.0 knows no chunks.
      "GET /?chunked=1 HTTP/1.0\r\n\r\n",
    ] {
      let peer = try Peer(to: target)
      // What is sent behind it is not read.
      peer.send(request + "GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
      #expect(peer.readToEnd() == (closing, .finished), "\(request)")
    }
    let peer = try Peer(to: target)
    for _ in 0..<2 {
      peer.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
      peer.expect(keeping)
    }
    #expect(target.counts().paths["/late"] == nil)
    #expect(target.counts().requestCount == 7)
  }

  @Test func aRequestBodyIsSkippedHoweverItComes() throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    let body = [UInt8](repeating: UInt8(ascii: "x"), count: 1_000_000)
    peer.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    peer.send(body)
    peer.expect(hello)
    peer.send("POST /up?size=3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    #expect(peer.isSilent)
    peer.send("5;a=b\r\nabcde\r\n")
    peer.send("0\r\nTrailer: x\r\n\r\n")
    peer.expect("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nHel")
    #expect(target.counts().paths == ["/up": 2])
  }

  @Test func aClientThatAsksFirstIsToldToGoOn() throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    let fields = "Host: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    for _ in 0..<2 {
      peer.send("PUT /?size=2 HTTP/1.1\r\n\(fields)")
      peer.expect("HTTP/1.1 100 Continue\r\n\r\n")
      #expect(peer.isSilent)
      peer.send("body")
      peer.expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHe")
    }
    // It may come without waiting.
    peer.send("PUT / HTTP/1.1\r\n\(fields)body")
    peer.expect(hello)
  }

  @Test(arguments: [
    "\r\n\r\nhello\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
    "GET /\u{1} HTTP/1.1\r\nHost: a\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}",
    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n",
    "GET /" + String(repeating: "a", count: 9_000) + " HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nA: " + String(repeating: "a", count: 70_000) + "\r\n\r\n",
  ])
  func whatIsNoRequestGets400AndTheEnd(text: String) throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    peer.get("/")
    peer.expect(hello)
    peer.send(text)
    let (answer, ending) = peer.readToEnd()
    #expect(answer.hasPrefix("HTTP/1.1 400 Bad Request\r\nContent-Length: "))
    #expect(answer.contains("\r\nConnection: close\r\n\r\n"))
    #expect(ending == .finished)
    #expect(target.counts().malformedCount == 1)
    #expect(target.counts().requestCount == 1)
  }

  @Test func everySplitOfPipelinedRequestsIsReadAlike() throws {
    let target = try startTarget()
    let requests = Array(
      ("GET /a?size=2 HTTP/1.1\r\nHost: a\r\n\r\n"
        + "POST /b?size=3 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde"
        + "GET /a?size=2 HTTP/1.1\r\nHost: a\r\n\r\n").utf8)
    let two = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHe"
    let answers = two + "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nHel" + two
    let peer = try Peer(to: target)
    for split in 1..<requests.count {
      // The target has read the first part when it has received that many bytes.
      let before = target.counts().receivedByteCount
      peer.send(Array(requests[..<split]))
      #expect(eventually { target.counts().receivedByteCount == before + UInt64(split) })
      peer.send(Array(requests[split...]))
      peer.expect(answers)
    }
    let dripped = try Peer(to: target)
    for byte in requests { dripped.send([byte]) }
    dripped.expect(answers)
    #expect(
      target.counts().paths == ["/a": UInt64(2 * requests.count), "/b": UInt64(requests.count)])
  }

  @Test func pipelinedAnswersComeInTheOrderOfTheirRequests() throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    var requests = ""
    var answers = ""
    for index in 0..<2_000 {
      let size = index % 7 == 0 ? 70_000 : index % 3
      requests += "GET /?size=\(size) HTTP/1.1\r\nHost: a\r\n\r\n"
      answers += "HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n"
      answers += String(decoding: greetings(size), as: UTF8.self)
    }
    // Reads only when all are sent: nothing but the answers' description waits meanwhile.
    peer.send(requests)
    #expect(peer.readText(answers.utf8.count) == answers)
    peer.get("/")
    peer.expect(hello)
  }

  @Test func countsAreByPathAndCanBeginAnew() throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    for path in ["/", "/a?x=1", "/a", "/\"b\\"] {
      peer.get(path)
      peer.expect(hello)
    }
    peer.get("/count")
    #expect(
      peer.readAnswer().body.hasPrefix(
        #"{"requests":4,"paths":{"/":1,"/\"b\\":1,"/a":2,"other":0},"accepted":1,"open":1,"#))
    peer.get("/count?reset=1")
    #expect(peer.readAnswer().body.hasPrefix(#"{"requests":4,"#))
    peer.get("/count")
    #expect(
      peer.readAnswer().body.hasPrefix(
        #"{"requests":0,"paths":{"other":0},"accepted":0,"open":1,"#))
    peer.get("/a")
    peer.expect(hello)
    #expect(target.counts().requestCount == 1)
    #expect(target.counts().paths == ["/a": 1])
  }

  @Test func pathsBeyondTheTableAreCountedTogether() throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    for index in 0..<1_030 {
      peer.get("/\(index)")
      peer.expect(hello)
    }
    peer.get("/" + String(repeating: "p", count: 111))
    peer.expect(hello)
    peer.get("/1023")
    peer.expect(hello)
    let counts = target.counts()
    #expect(counts.requestCount == 1_032)
    #expect(counts.paths.count == 1_024)
    #expect(counts.paths["/1023"] == 2)
    #expect(counts.otherCount == 7)
  }

  @Test func allProcessesCountTogether() throws {
    let target = try startTarget { $0.cpus = [nil, nil, nil] }
    for _ in 0..<60 {
      let peer = try Peer(to: target)
      peer.get("/a")
      peer.expect(hello)
      peer.get("/count")
      let accepted = target.counts().acceptedCount
      #expect(peer.readAnswer().body.contains(#""accepted":\#(accepted),"#))
    }
    let counts = target.counts()
    #expect(counts.requestCount == 60)
    #expect(counts.paths == ["/a": 60])
    #expect(counts.acceptedCount == 60)
    #expect(eventually { target.counts().openCount == 0 })
  }

  @Test func bytesAreCountedToTheLast() throws {
    let target = try startTarget()
    let peer = try Peer(to: target)
    let request = "GET /?size=200000 HTTP/1.1\r\nHost: a\r\n\r\n"
    for _ in 0..<20 { peer.send(request) }
    let answerByteCount = 200_000 + "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n".utf8.count
    #expect(peer.read(20 * answerByteCount).count == 20 * answerByteCount)
    #expect(target.counts().receivedByteCount == UInt64(20 * request.utf8.count))
    #expect(target.counts().sentByteCount == UInt64(20 * answerByteCount))
  }

  @Test func aTakenPortIsRefused() throws {
    let first = try startTarget()
    var options = TargetOptions(address: first.address)
    options.connectionCountMax = 64
    let error = #expect(throws: SystemError.self) { try Target(options: options, inThreads: true) }
    #expect(error?.errno == EADDRINUSE)
    #expect(error?.call.contains(first.address.description) == true)
  }

  @Test func anUnwritableFileForArrivalsIsRefused() throws {
    let error = #expect(throws: SystemError.self) {
      try startTarget { $0.arrivalsPath = "/nowhere/at/all" }
    }
    #expect(error?.errno == ENOENT)
  }

  @Test func theTargetEndsWhenToldWhateverIsUnderWay() throws {
    let target = try startTarget()
    let peers = try (0..<20).map { _ in try Peer(to: target) }
    for peer in peers { peer.get("/?delay=60s") }
    #expect(eventually { target.counts().requestCount == 20 })
    #expect(target.isServing(withinMs: 0))
    try target.stop()
    for peer in peers { #expect(peer.readToEnd().ending != .timedOut) }
    #expect(target.counts().requestCount == 20)
  }
}
