import Foundation
import SquallCluster
import SquallLoad
import SquallNode
import SquallReport
import Synchronization
import Testing

/// A master's end, with everything in flight at each of its points: requests, streams, connections of
/// workers, signals. Whoever asks is answered, the end comes, and the record is whole.
@Suite(.serialized) struct RunEndTests {
  static let points = [
    "the record", "the result", "a worker", "the workers' port", "the web port",
  ]
  private static let plan = Plan(
    to: .init(url: "http://a/", destinations: [.init(host: "a", port: 80)]),
    sending: .init(
      method: "GET",
      endpoints: [
        .init(name: "/", request: Array("GET / HTTP/1.1\r\n\r\n".utf8), expectsNoBody: false)
      ]), over: .init(4))

  /// A connection to loopback, closed with this object.
  private final class Peer: Sendable {
    let socket: Int32

    init(port: UInt16, sending text: String = "") throws {
      socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
      let connected = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
      try #require(connected == 0)
      let bytes = Array(text.utf8)
      try #require(send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count)
    }

    deinit { close(socket) }

    /// All there is until `ending` has come, or nobody sends any more.
    func read(until ending: String) async -> String {
      await withCheckedContinuation { (done: CheckedContinuation<String, Never>) in
        Thread.detachNewThread { [self] in
          var text = ""
          var room = [UInt8](repeating: 0, count: 65_536)
          while !text.contains(ending) {
            let count = recv(socket, &room, room.count, 0)
            guard count > 0 else { break }
            text += String(decoding: room.prefix(count), as: UTF8.self)
          }
          done.resume(returning: text)
        }
      }
    }

    static func asks(_ method: String, _ path: String, port: UInt16) throws -> Peer {
      try Peer(
        port: port,
        sending: "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
          + "Content-Type: application/json\r\n\r\n")
    }
  }

  @Test(arguments: points, [0, 1, 2])
  func itComesWhateverIsInFlightAndHoweverOftenItIsToldToGo(point: String, signals: Int)
    async throws
  {
    let folder = NSTemporaryDirectory() + "squall-end-\(UInt64.random(in: 0...UInt64.max))"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let file = try RecordFile(path: folder + "/record.db", for: .writing)
    let record = try file.begin(plan: Self.plan, head: RecordHead(), warn: { _ in })
    var options = RunHost.Options()
    options.expectWorkersMaxWaitNs = 100_000_000
    var listening = TCPListener.Options()
    listening.port = 0
    let workersPort = Mutex<UInt16>(0)
    let host = RunHost(
      options: options,
      carrier: TCPListener(options: listening) { announcement in
        if case .listening(let address) = announcement {
          workersPort.withLock { $0 = address.port }
        }
      })
    try await host.open(leading: record)
    var webOptions = ControlPort.Options()
    webOptions.port = 0
    let web = ControlPort(options: webOptions, showing: Shown(host))
    let port = try await web.open()
    let stream = try Peer.asks("GET", "/api/live", port: port)
    let deaf = try (0..<4).map { _ in try Peer.asks("GET", "/api/live", port: port) }
    let silent = try [Peer(port: port), Peer(port: workersPort.withLock { $0 })]

    let finished = try await host.finished()
    #expect(finished.hadTooFewWorkers)
    let result = RunResult(
      ledger: finished.ledger, plan: Self.plan, facts: finished.facts, objectives: [],
      deflate: { $0 })
    let asked = Mutex<[Peer]>([])
    let late = Mutex<[String]>([])
    let beganNs = DispatchTime.now().uptimeNanoseconds
    try await host.close(
      [record.closing(with: result), Closing.Part("the result", withinNs: nil) {}],
      last: [web.closing],
      late: { sentence in late.withLock { $0.append(sentence) } },
      before: { name in
        guard name == point else { return }
        for path in ["/api/status", "/metrics"] {
          if let peer = try? Peer.asks("GET", path, port: port) {
            asked.withLock { $0.append(peer) }
          }
        }
        if let peer = try? Peer.asks("POST", "/api/stop", port: port) {
          asked.withLock { $0.append(peer) }
        }
        for count in 1...2 where count <= signals { host.interrupted(count) }
      })
    #expect(DispatchTime.now().uptimeNanoseconds - beganNs < 2_000_000_000)
    #expect(late.withLock { $0 } == [])
    let peers = asked.withLock { $0 }
    #expect(peers.count == 3)
    for peer in peers { #expect(await peer.read(until: "\n\r\n").hasPrefix("HTTP/1.1 20")) }
    #expect(await stream.read(until: #""state":"ended""#).contains(#""state":"ended""#))
    withExtendedLifetime((deaf, silent)) {}
    let read = try RecordFile(path: file.path, for: .reading).read()
    #expect(read.isWhole == true)
    #expect(read.account.outcome?.reason == .tooFewWorkers)
  }
}
