import Foundation
import Glibc
import Synchronization
import Testing

/// Readers of the live stream on one thread of this process; some of them never read.
private final class LiveReaders: Sendable {
  private struct State {
    var eventCount = 0
    var byteCount = 0
    var isEnding = false
    var hasEnded = false
  }

  private let state = Mutex(State())

  init(_ count: Int, deaf: Int, port: UInt16) throws {
    let request = Array("GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8)
    let sockets = try (0..<count).map { _ in
      let socket = try connection(to: port)
      try #require(send(socket, request, request.count, Int32(MSG_NOSIGNAL)) == request.count)
      _ = fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK)
      return socket
    }
    Thread { self.read(Array(sockets.dropFirst(deaf)), all: sockets) }.start()
  }

  private func read(_ heard: [Int32], all: [Int32]) {
    var room = [UInt8](repeating: 0, count: 1 << 20)
    while !state.withLock({ $0.isEnding }) {
      var polls = heard.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      poll(&polls, nfds_t(polls.count), 50)
      for ready in polls where ready.revents != 0 {
        let count = recv(ready.fd, &room, room.count, 0)
        guard count > 0 else { continue }
        // The empty line behind an event: there is no other line feed in it.
        let isEnd = (1..<max(1, count)).contains { room[$0] == 10 && room[$0 - 1] == 10 }
        state.withLock {
          $0.byteCount += count
          $0.eventCount += isEnd ? 1 : 0
        }
      }
    }
    for socket in all { close(socket) }
    state.withLock { $0.hasEnded = true }
  }

  /// Events that came, over all readers, and their bytes.
  var seen: (events: Int, bytes: Int) { state.withLock { ($0.eventCount, $0.byteCount) } }

  func end() {
    state.withLock { $0.isEnding = true }
    while !state.withLock({ $0.hasEnded }) { sched_yield() }
  }
}

extension EndToEnd {
  /// Who watches a run is no burden to it.
  @Suite(.serialized) struct LiveReadersTests {
    private final class Watched {
      let master: Child
      let fleet: SimulatedFleet
      let web: UInt16

      init(agents: Int, workersEach: Int) throws {
        let master = try Squall.start([
          "master", "http://127.0.0.1:9/", "-c", "\(agents * workersEach * 4)", "-d", "600s",
          "--expect-workers", "\(agents * workersEach)", "--autostart", "--autoquit", "0s",
          "--master-bind-port", "0", "--web-port", "0", "--no-record", "--format", "json",
        ])
        try master.run { master.errors.contains("/api/start\n") }
        self.master = master
        web = try master.port(after: "the page is at http://127.0.0.1:")
        fleet = SimulatedFleet(
          agents: agents, workers: workersEach,
          master: try master.port(after: "waiting for workers at 127.0.0.1:"))
      }

      deinit { fleet.end() }

      func until(withinMs: UInt64 = 60_000, _ condition: () throws -> Bool) throws {
        try master.run(withinMs: withinMs, until: condition)
      }

      func awaitLoad() throws {
        try until { fleet.seen.deliveredCount > 0 }
      }

      /// CPU time of the master in seconds.
      func cpuSeconds() throws -> Double {
        let text = try String(contentsOfFile: "/proc/\(master.id)/stat", encoding: .utf8)
        let fields = text.components(separatedBy: ") ")[1].split(separator: " ")
        let ticks = try #require(Double(fields[11])) + #require(Double(fields[12]))
        return ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
      }

      /// Stopped: all that workers counted is in the result, and everybody goes.
      func finish() throws -> Measured {
        #expect(try Answered("POST", "/api/stop", port: web).status == 202)
        #expect(
          try master.awaitEnd(withinMs: 60_000) == Child.Ending(code: 0), "\(master.errors)")
        return try Measured(master.output)
      }
    }

    @Test func readersThatNeverReadDelayNoBatch() throws {
      let watched = try Watched(agents: 16, workersEach: 4)
      try watched.awaitLoad()
      let readers = try LiveReaders(60, deaf: 30, port: watched.web)
      defer { readers.end() }
      _ = watched.fleet.takeDeliveries()
      let before = watched.fleet.seen.batchCount
      try watched.until {
        readers.seen.events >= 90 && watched.fleet.seen.deliveredCount > before + 256
      }
      let slowestNs = try #require(watched.fleet.takeDeliveries().max())
      #expect(slowestNs < 2_000_000_000, "a batch was under way for \(slowestNs) ns")
      let result = try watched.finish()
      let seen = watched.fleet.seen
      #expect(result.sent == Int(seen.sentCount))
      result.expectConservation()
      #expect(result["verdict.incomplete"] as? Bool == false)
    }

    /// `SQUALL_MASTER_COST=1`, alone, in release: what a hundred readers of a run of 2,000 workers cost.
    @Test(
      .enabled(if: ProcessInfo.processInfo.environment["SQUALL_MASTER_COST"] != nil, "on demand"))
    func aHundredReadersOfTwoThousandWorkers() throws {
      let watched = try Watched(agents: 250, workersEach: 8)
      try watched.awaitLoad()
      let seconds = 8.0
      func phase(_ what: String) throws -> (cores: Double, p50: UInt64, p99: UInt64, max: UInt64) {
        _ = watched.fleet.takeDeliveries()
        let (cpu, startNs) = (try watched.cpuSeconds(), monotonicNs())
        try watched.until { monotonicNs() - startNs >= UInt64(seconds * 1e9) }
        let cores =
          (try watched.cpuSeconds() - cpu) / (Double(monotonicNs() - startNs) * 1e-9)
        let times = watched.fleet.takeDeliveries().sorted()
        try #require(times.count > 1_000)
        let seen = (
          cores, times[times.count / 2], times[times.count * 99 / 100], times[times.count - 1]
        )
        print(
          "\(what): \(cores) cores; a batch is delivered in \(seen.1 / 1_000) us (p99 "
            + "\(seen.2 / 1_000), max \(seen.3 / 1_000)), \(times.count) batches")
        return seen
      }
      var (without, with): ([Double], [Double]) = ([], [])
      for _ in 0..<3 {
        without.append(try phase("no reader").cores)
        let readers = try LiveReaders(100, deaf: 5, port: watched.web)
        let seen = try phase("100 readers")
        let (events, bytes) = readers.seen
        print("\(events) events, \(bytes) bytes")
        readers.end()
        with.append(seen.cores)
        #expect(events >= 95 * Int(seconds - 2))
      }
      let added = with.sorted()[1] - without.sorted()[1]
      print("100 readers add \(added) of a core")
      #expect(added <= 0.15)
    }
  }
}
