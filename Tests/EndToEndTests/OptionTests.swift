import Dispatch
import Foundation
import Testing

extension EndToEnd {
  /// What flags promise about who is connected to, how, and from where.
  @Suite(.serialized) struct OptionTests {
    private func expectAllOk(
      _ arguments: [String], from target: Served? = nil,
      sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Measured {
      let result = try Squall.run(
        ["-n", "203", "-c", "6"] + arguments, sourceLocation: sourceLocation)
      result.expectConservation(sourceLocation: sourceLocation)
      #expect(result.ok == 203, "\(result.requests)", sourceLocation: sourceLocation)
      if let target { #expect(try target.count() == 203, sourceLocation: sourceLocation) }
      return result
    }

    @Test func anIPv6AddressIsDriven() throws {
      let target = try Served(["--host", "::1"])
      _ = try expectAllOk(["http://[::1]:\(target.port)/"])
    }

    @Test func sourceAddressesTakeTurns() throws {
      let server = try Scripted(answer: Scripted.hello)
      defer { server.end() }
      _ = try expectAllOk(["--source-ip", "127.0.0.2,127.0.0.3,127.0.0.4", "-w", "1", server.url])
      var peers = server.connectionsByPeer
      // The program's own look, from wherever the kernel has it.
      peers["127.0.0.1"] = nil
      #expect(peers == ["127.0.0.2": 2, "127.0.0.3": 2, "127.0.0.4": 2])
    }

    /// The look whether somebody listens is the load's first connection.
    @Test(arguments: ["127.0.0.1", "localhost"])
    func aTargetThatTakesOneConnectionIsMeasured(host: String) throws {
      let server = try Scripted { connection, server in
        server.end()
        while connection.head() != nil {
          server.note()
          guard connection.write(Scripted.hello) else { return }
        }
      }
      let result = try Squall.run([
        "-n", "50", "-c", "1", "-w", "2", "http://\(host):\(server.port)/",
      ])
      #expect(result.ok == 50 && result.number("connections.opened") == 1, "\(result.requests)")
      #expect(server.requestCount == 50)
    }

    /// Nobody but the load holds that connection: its end reaches the target when the load ends it.
    @Test func theFirstConnectionEndsWhenTheLoadEndsIt() throws {
      let ended = DispatchSemaphore(value: 0)
      let server = try Scripted { connection, server in
        if connection.number > 0 { ended.wait() }
        guard connection.head() != nil, connection.write(Scripted.hello) else { return }
        connection.readToEnd()
        ended.signal()
      }
      defer { server.end() }
      let result = try Squall.run([
        "-n", "3", "-c", "1", "-w", "1", "--requests-per-connection", "1", "--timeout", "5s",
        server.url,
      ])
      #expect(result.ok == 3, "\(result.requests)")
      #expect(result.number("connections.opened") == 3)
    }

    @Test(.enabled(if: Nginx.isInstalled, "needs nginx"))
    func aUnixSocketIsDriven() throws {
      let target = try Nginx()
      let before = try target.counts()
      let result = try Squall.run([
        "-n", "203", "-c", "6", "http://somebody/", "--unix-socket", target.socket,
      ])
      result.expectConservation()
      #expect(result.ok == 203, "\(result.requests)")
      #expect(result["plan.destinations"] as? [String] == [target.socket])
      // The look is one of the connections.
      #expect(try target.counts(since: before) == Nginx.Counts(accepted: 6, requests: 203))
      let folder = try Folder()
      let scenario = try folder.file(
        "a.yaml", "squall: 1\ntarget: http://h\nusers: {a: {do: [{get: /}]}}\n")
      let users = try Squall.run([scenario, "-u", "2", "-n", "20", "--unix-socket", target.socket])
      #expect(users.ok == 20, "\(users.requests)")
      let trial = try Squall.ended(["run", scenario, "--dry-run", "--unix-socket", target.socket])
      #expect(trial.ending == Child.Ending(code: 0), "\(trial.errors)")
      let debug = try Squall.ended(["http://h/", "--debug", "--unix-socket", target.socket])
      #expect(debug.output.contains("* to \(target.socket)"), "\(debug.errors)")
    }

    /// What comes back is judged, with the first answer as evidence.
    @Test func redirectsAndEncodingsAreNamed() throws {
      let server = try Scripted(
        answer: "HTTP/1.1 302 Found\r\nLocation: /login?next=1\r\nContent-Encoding: gzip\r\n"
          + "Content-Length: 2\r\n\r\nhi")
      defer { server.end() }
      let child = try Squall.ended(["-n", "20", "-c", "2", server.url])
      let text = child.output.split(whereSeparator: \.isWhitespace).joined(separator: " ")
      #expect(text.contains("every answer was a redirect (302) to /login?next=1"), "\(text)")
      #expect(text.contains("encodes its answers (gzip) and was not asked to"), "\(text)")
      let asked = try Squall.ended([
        "-n", "20", "-c", "2", "-H", "accept-encoding: gzip", server.url,
      ])
      #expect(!asked.output.contains("encodes its answers"))
      let plain = try Scripted(
        answer: "HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi")
      defer { plain.end() }
      #expect(try !Squall.ended(["-n", "20", "-c", "2", plain.url]).output.contains("encodes"))
    }

    @Test func aHeadRequestHasNoBodyToRead() throws {
      let target = try Served()
      let result = try expectAllOk(["-m", "HEAD", target.url + "?size=5000"], from: target)
      #expect(result.number("bytes.body") == 0)
    }

    @Test func aBodyIsReadFromStandardInput() throws {
      let target = try Served()
      let child = try Squall.ended(
        ["run", "--quiet", "--format", "json", "-n", "20", "-c", "2", "-b", "@-", target.url],
        input: String(repeating: "y", count: 5_000))
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      let result = try Measured(child.output)
      result.expectConservation()
      #expect(result.ok == 20)
      #expect((20 * 5_000..<20 * 5_300).contains(result.number("bytes.sent")))
      #expect(result["plan.method"] as? String == "POST")
    }

    @Test func headersAndHostAreSentAsGiven() throws {
      let seen = Box<String>()
      let server = try Scripted { connection, server in
        while let head = connection.head() {
          seen.value = head
          guard connection.write(Scripted.hello) else { return }
        }
      }
      defer { server.end() }
      _ = try expectAllOk(["-H", "Host: elsewhere", "-H", "X-One: 1", "-H", "x-two:2", server.url])
      let head = try #require(seen.value)
      #expect(head.hasPrefix("GET / HTTP/1.1\r\n"))
      #expect(head.contains("\r\nHost: elsewhere\r\n"))
      #expect(head.contains("\r\nX-One: 1\r\n"))
      #expect(head.contains("\r\nx-two: 2\r\n"))
      #expect(head.components(separatedBy: "\r\nHost:").count == 2)
    }

    @Test func connectToGoesElsewhereUnderTheSameName() throws {
      let target = try Served()
      _ = try expectAllOk(
        [
          "--connect-to", "example.invalid:80:127.0.0.1:\(target.port)",
          "http://example.invalid/path",
        ], from: target)
    }

    @Test func debugShowsBothSides() throws {
      let target = try Served()
      let child = try Squall.ended(["run", "--debug", "-H", "X-One: 1", target.url + "?size=3"])
      #expect(child.ending == Child.Ending(code: 0), "\(child.errors)")
      #expect(child.output.contains("GET /?size=3 HTTP/1.1\r\n"))
      #expect(child.output.contains("X-One: 1\r\n"))
      #expect(child.output.contains("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nHel"))
      #expect(child.output.contains("status 200, 3 body bytes, connection stays open"))
      #expect(try target.count() == 1)
    }

    @Test func workersRunOnTheCPUsAskedFor() throws {
      let target = try Served()
      let pinned = try expectAllOk(["--cpus", "0", "-w", "2", target.url], from: target)
      #expect(pinned.workers.map { $0["cpu"] as? Int } == [0, 0])
      let free = try expectAllOk(["--no-pin", "-w", "2", target.url])
      #expect(free.workers.count == 2)
      #expect(free.workers.allSatisfy { $0["cpu"] as? Int == nil })
    }

    @Test func requestsThatNoConnectionWasFreeForAreDroppedAndCounted() throws {
      let target = try Served(["--delay", "200ms"])
      let result = try Squall.run([
        "-R", "1000", "-d", "500ms", "-c", "4", "-w", "1", "--drain", "0", target.url,
      ])
      result.expectConservation()
      #expect(result.number("requests.dropped") + result.sent == 500)
      #expect(result.sent <= 16)
    }

    @Test(
      .enabled(if: Node.isInstalled, "node is not installed"), arguments: [[], ["--no-keepalive"]])
    func nodesServerIsCountedExactly(arguments: [String]) throws {
      let node = try Child("node", ["-e", Node.server])
      defer { node.end() }
      let port = try #require(UInt16(try node.firstLine()))
      let result = try Squall.run(
        ["-n", "3001", "-c", "16", "http://127.0.0.1:\(port)/"] + arguments)
      result.expectConservation()
      #expect(result.ok == 3_001, "\(result.requests)")
      #expect(try fetch("/count", port: port) == "3001")
    }
  }
}

/// A value handed between a test and the threads it waits for.
final class Box<Value: Sendable>: @unchecked Sendable {
  private let lock = NSLock()
  private var stored: Value?
  var value: Value? {
    get { lock.withLock { stored } }
    set { lock.withLock { stored = newValue } }
  }
}

enum Node {
  static let isInstalled: Bool = {
    guard let child = try? Child("node", ["-e", "0"]) else { return false }
    return (try? child.awaitEnd()) == Child.Ending(code: 0)
  }()

  static let server = """
    let requests = 0
    const server = require("http").createServer((request, response) => {
      let body = "Hello, world!"
      if (request.url === "/count") body = String(requests)
      else requests++
      response.setHeader("Content-Length", Buffer.byteLength(body))
      response.end(body)
    })
    server.listen(0, "127.0.0.1", 1024, () => console.log(server.address().port))
    """
}
