import Foundation
import Synchronization
import Testing

extension EndToEnd {
  /// HTTP/2 at its edges: limits that change, floods, streams given up, windows that stay closed.
  @Suite(.serialized) struct StreamEdgeTests {
    private typealias Frame = HTTP2Tests.Frame

    /// Eight at a time, then two, then none, then four (RFC 9113 5.1.2). A PING, whose answer comes behind
    /// all that was sent before it, shows that no more streams are on their way.
    @Test func aLimitThatChangesIsObeyed() throws {
      let limits = [8, 2, 0, 4]
      let beyond = Mutex(0)
      let limitCount = Mutex(0)
      let server = try Scripted { connection, server in
        guard connection.take(24) != nil else { return }
        connection.write(Frame.settings(3, UInt32(limits[0])).bytes)
        var (announced, inForce, answered) = (0, -1, 0)
        var open: [UInt32] = []
        while let frame = HTTP2Tests.frame(of: connection) {
          switch (frame.kind, frame.flags & 1) {
          case (4, 0): connection.write(Frame.acknowledged.bytes)
          case (4, 1):
            inForce += 1
            limitCount.withLock { $0 = max($0, inForce + 1) }
            if limits[inForce] == 0 { connection.write(Frame.ping.bytes) }
          case (1, _):
            server.note()
            open.append(frame.stream)
            let limit = limits[max(inForce, 0)]
            if open.count > limit { beyond.withLock { $0 += 1 } }
            if open.count == limit { connection.write(Frame.ping.bytes) }
          case (6, 1):
            var frames: [Frame] = []
            answered += open.count
            if answered >= 80 * (announced + 1) && announced < 2 || limits[announced] == 0 {
              announced += 1
              frames.append(.settings(3, UInt32(limits[announced])))
            }
            frames += open.map { .ok($0) }
            open = []
            connection.write(frames.flatMap(\.bytes))
          default: break
          }
        }
      }
      defer { server.end() }
      let result = try HTTP2Tests.count(
        server, "-c", "1", "--streams", "8", "-n", "300", "--timeout", "5s", "-d", "10s")
      #expect(result.ok == 300, "\(result.requests)")
      #expect(beyond.withLock { $0 } == 0)
      #expect(limitCount.withLock { $0 } == 4)
    }

    /// Frames that nobody knows or needs are passed over; PINGs and SETTINGS are all answered.
    @Test func framesAroundAnAnswerCostNothing() throws {
      let answers = Mutex((pings: 0, settings: 0))
      let noise =
        [
          Frame(kind: 0xEE, flags: 0xFF, stream: 1, payload: [1, 2, 3]),
          // ALTSVC (RFC 7838), ORIGIN (RFC 8336).
          Frame(kind: 10, payload: [0, 1, 97, 98]), Frame(kind: 12, payload: [0, 0]),
          Frame(kind: 2, stream: 1, payload: [0, 0, 0, 0, 16]), .settings(8, 1),
        ] + Array(repeating: Frame.ping, count: 50)
      let server = try Scripted { connection, server in
        guard connection.take(24) != nil else { return }
        connection.write(Frame.settings.bytes)
        while let frame = HTTP2Tests.frame(of: connection) {
          switch (frame.kind, frame.flags & 1) {
          case (4, 1): answers.withLock { $0.settings += 1 }
          case (6, 1): answers.withLock { $0.pings += 1 }
          case (1, _):
            server.note()
            connection.write((noise + [.ok(frame.stream)]).flatMap(\.bytes))
          default: break
          }
        }
      }
      defer { server.end() }
      let result = try HTTP2Tests.count(server, "-c", "1", "-n", "100")
      #expect(result.ok == 100, "\(result.requests)")
      #expect(result.number("connections.reopened") == 0)
      // What came with the last answer may be unanswered when the run ends.
      let counts = answers.withLock { $0 }
      #expect((4_950...5_000).contains(counts.pings) && (100...101).contains(counts.settings))
    }

    /// A timeout gives one stream up (RST_STREAM, CANCEL). What then comes for it is passed over. No
    /// stream is reset before its time was over, so a target sees no more resets than that allows.
    @Test func lateAnswersOfStreamsGivenUpArePassedOver() throws {
      let resets = Mutex<[[UInt8]]>([])
      let server = try Scripted { connection, server in
        guard connection.take(24) != nil else { return }
        connection.write(Frame.settings.bytes)
        while let frame = HTTP2Tests.frame(of: connection) {
          switch frame.kind {
          case 1:
            server.note()
            // Every other stream is answered when it has been given up.
            if frame.stream % 4 == 1 { connection.write(Frame.ok(frame.stream).bytes) }
          case 3:
            resets.withLock { $0.append(frame.payload) }
            let late = [
              Frame(kind: 1, flags: 4, stream: frame.stream, payload: [0x88]),
              Frame(kind: 0, flags: 1, stream: frame.stream, payload: Array("late".utf8)),
            ]
            connection.write(late.flatMap(\.bytes))
          default: break
          }
        }
      }
      defer { server.end() }
      let result = try HTTP2Tests.count(
        server, "-c", "1", "--streams", "10", "--timeout", "100ms", "-d", "1s")
      let timeouts = result.errors["timeout"] ?? 0
      #expect(Set(result.errors.keys) == ["timeout"], "\(result.requests)")
      #expect(result.ok > 0 && result.number("connections.reopened") == 0)
      let heard = resets.withLock { $0 }
      #expect(heard.allSatisfy { $0 == [0, 0, 0, 8] })
      #expect(timeouts > 0 && heard.count <= timeouts)
      // Ten at a time, each for 100 ms, in one second and the drain.
      #expect(timeouts <= 10 * 15)
    }

    /// A body waits for the target's window, and the request runs out of time as others do.
    @Test func aBodyThatMayNotGoTimesOut() throws {
      let bodies = Mutex(0)
      let server = try Scripted { connection, server in
        guard connection.take(24) != nil else { return }
        connection.write(Frame.settings(4, 0).bytes)
        while let frame = HTTP2Tests.frame(of: connection) {
          switch frame.kind {
          case 0: bodies.withLock { $0 += 1 }
          case 1:
            server.note()
            // The first one's window opens, and it is answered when its body is there.
            if frame.stream == 1 {
              connection.write(
                Frame(kind: 8, stream: 1, payload: [0, 0, 0, 100]).bytes)
            }
          default: break
          }
          if frame.kind == 0 { connection.write(Frame.ok(frame.stream).bytes) }
        }
      }
      defer { server.end() }
      // One after the other: the SETTINGS are there before the second.
      let result = try HTTP2Tests.count(server, "-c", "1", "-n", "4", "-b", "some body")
      #expect(result.ok == 1, "\(result.requests)")
      #expect(result.errors == ["timeout": 3])
      #expect(bodies.withLock { $0 } == 1)
      #expect(result.number("connections.reopened") == 0)
    }

    /// A target without memory for fields (RFC 7541 4.2): the next block says that the table is empty.
    @Test func aTableOfNothingIsAcknowledged() throws {
      let blocks = Mutex<[[UInt8]]>([])
      let server = try Scripted { connection, server in
        guard connection.take(24) != nil else { return }
        connection.write(Frame.settings(1, 0).bytes)
        while let frame = HTTP2Tests.frame(of: connection) {
          guard frame.kind == 1 else { continue }
          server.note()
          blocks.withLock { $0.append(frame.payload) }
          connection.write(Frame.ok(frame.stream).bytes)
        }
      }
      defer { server.end() }
      let result = try HTTP2Tests.count(server, "-c", "1", "-n", "10")
      #expect(result.ok == 10, "\(result.requests)")
      let heard = blocks.withLock { $0 }
      // The SETTINGS may come behind the first request.
      let place = try #require(heard.firstIndex { $0.first == 0x20 })
      #expect(place <= 1)
      // Later ones put nothing into the table and take nothing out of it.
      let rest = Array(heard[place].dropFirst())
      #expect(heard[(place + 1)...].allSatisfy { $0 == rest })
    }
  }
}
