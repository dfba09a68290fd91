import Foundation
import Glibc
import SquallCluster
import SquallLoad
import Testing

extension EndToEnd {
  /// Connections are cut, datagrams lost, and strangers send what they like.
  @Suite(.serialized) struct ClusterNetworkTests {
    private static let token = ["SQUALL_TOKEN": "kZ3m0vYw7Qx9rT2uLbNc5eHj8sFa4dGp"]

    @Test func aConnectionThatIsCutIsMadeAgain() throws {
      let cluster = try Cluster(Cluster.gentle + ["-d", "4s"])
      let proxy = try FaultProxy(to: cluster.port)
      defer { proxy.end() }
      try cluster.addAgent(port: proxy.port)
      try cluster.addAgent()
      for time in 1...3 {
        try cluster.awaitLoad()
        proxy.cut()
        try cluster.hear("is back", times: time)
      }
      try cluster.expectExact()
      try cluster.expectAgentsLeave()
    }

    /// Nobody is told, so only silence tells; everything that was kept comes afterwards.
    @Test func aConnectionThatPassesNothingIsMissedAndReplaced() throws {
      let cluster = try Cluster(Cluster.gentle + ["-d", "4s"])
      let proxy = try FaultProxy(to: cluster.port)
      defer { proxy.end() }
      try cluster.addAgent(port: proxy.port)
      try cluster.addAgent()
      try cluster.awaitLoad()
      proxy.stall(true)
      try cluster.hear("is missing")
      try cluster.hear("shares dealt over 1 worker")
      proxy.stall(false)
      try cluster.hear("is back")
      try cluster.expectExact()
      try cluster.expectAgentsLeave()
    }

    @Test func statisticsOverALossyNetworkAreExact() throws {
      let cluster = try Cluster(
        Cluster.gentle + ["-d", "3s", "--stats-transport", "udp"], environment: Self.token)
      let proxy = try FaultProxy(
        to: cluster.port, weather: .init(loss: 30, duplication: 30, delay: 30))
      defer { proxy.end() }
      try cluster.addAgent(
        ["--stats-transport", "udp"], port: proxy.port, workers: 2, environment: Self.token)
      try cluster.awaitLoad(3_000)
      // Everything once more, as somebody on the way could.
      let replaying = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
      defer { close(replaying) }
      let seen = proxy.seen
      for datagram in seen {
        sendDatagram(datagram, by: replaying, to: loopback(port: cluster.port))
      }
      try cluster.expectExact()
      try cluster.expectAgentsLeave()
      #expect(proxy.lostCount > 0 && seen.count > 10, "seed \(proxy.seed)")
      print("\(proxy.datagramCount) datagrams, \(proxy.lostCount) lost, seed \(proxy.seed)")
    }

    @Test func whereNoDatagramPassesStatisticsGoOverTCP() throws {
      let cluster = try Cluster(Cluster.gentle + ["-d", "4s", "--stats-transport", "udp"])
      let proxy = try FaultProxy(to: cluster.port, weather: .init(loss: 100))
      defer { proxy.end() }
      let agent = try cluster.addAgent(
        ["--stats-transport", "udp"], port: proxy.port, workers: 2)
      try cluster.expectExact()
      try cluster.expectAgentsLeave()
      #expect(agent.errors.contains("statistics go over TCP"), "\(agent.errors)")
    }

    // MARK: Hosts of their own

    /// Two network namespaces joined by a cable.
    private final class Hosts {
      static let canBeMade: Bool = {
        let name = "sq-can-\(getpid())"
        defer { run("netns", "del", name) }
        return getuid() == 0 && run("netns", "add", name)
      }()

      let near = "sq-near-\(getpid())"
      let far = "sq-far-\(getpid())"

      init() throws {
        let steps = [
          "netns add \(near)", "netns add \(far)",
          "-n \(near) link add cable type veth peer name cable netns \(far)",
          "-n \(near) addr add 10.97.0.1/24 dev cable", "-n \(far) addr add 10.97.0.2/24 dev cable",
          "-n \(near) link set lo up", "-n \(far) link set lo up", "-n \(near) link set cable up",
          "-n \(far) link set cable up",
        ]
        for step in steps {
          try #require(Self.run(step.split(separator: " ").map(String.init)), "ip \(step)")
        }
      }

      deinit {
        Self.run("netns", "del", near)
        Self.run("netns", "del", far)
      }

      func start(
        on host: String, _ arguments: [String], environment: [String: String] = [:]
      ) throws -> Child {
        try Child(
          "ip", ["netns", "exec", host, Squall.path] + arguments, environment: environment)
      }

      func cable(_ state: String) throws {
        try #require(Self.run("-n", near, "link", "set", "cable", state))
      }

      @discardableResult
      private static func run(_ arguments: String...) -> Bool { run(arguments) }

      private static func run(_ arguments: [String]) -> Bool {
        guard let child = try? Child("ip", arguments) else { return false }
        return (try? child.awaitEnd()) == Child.Ending(code: 0)
      }
    }

    /// The cable is pulled, so nothing closes and nothing is refused: there is only silence.
    @Test(.enabled(if: Hosts.canBeMade, "network namespaces are for root only"))
    func aHostWhoseCableIsPulledIsMissedAndTakenBack() throws {
      let hosts = try Hosts()
      let target = try hosts.start(on: hosts.far, ["serve", "--port", "0"])
      let url = try #require(
        try target.firstLine().components(separatedBy: "\"").first { $0.hasPrefix("http") })
      let master = try hosts.start(
        on: hosts.near,
        ["master", url, "--headless", "--no-record", "--format", "json", "-d", "4s"]
          + ["--master-bind-host", "10.97.0.1", "--expect-workers", "2"] + Cluster.gentle
          + Cluster.haste, environment: Self.token)
      let agent = try hosts.start(
        on: hosts.far, ["worker", "--master-host", "10.97.0.1", "--workers", "2"],
        environment: Self.token)
      func hear(_ sentence: String) throws {
        try master.run { master.errors.contains(sentence) }
      }
      try hear("the load starts")
      try hosts.cable("down")
      let pulledNs = monotonicNs()
      try hear("is missing")
      let seenNs = monotonicNs() - pulledNs
      print("a host that is cut off is missed after \(seenNs / 1_000_000) ms (3 x 200 ms)")
      #expect(seenNs <= 600_000_000 + 500_000_000)
      try hosts.cable("up")
      try hear("is back")
      #expect(try master.awaitEnd() == Child.Ending(code: 0), "\(master.errors)")
      #expect(try agent.awaitEnd() == Child.Ending(code: 0), "\(agent.errors)")
      let result = try Measured(master.output)
      result.expectConservation()
      target.signal(SIGTERM)
      try target.awaitEnd()
      let counted = try #require(target.output.split(separator: "\n").last)
      let counts = try JSONSerialization.jsonObject(with: Data(counted.utf8)) as? [String: Any]
      #expect(counts?["requests"] as? Int == result.sent)
    }

    // MARK: Who may take part

    @Test func anAgentWithoutTheTokenIsToldAndKeptOut() throws {
      let cluster = try Cluster(["-n", "500"], expectWorkers: 1, environment: Self.token)
      let without = try cluster.addAgent()
      let wrong = try cluster.addAgent(
        environment: ["SQUALL_TOKEN": "this-is-another-token-altogether"])
      try without.run { without.errors.contains("asks for a token and we have none") }
      try wrong.run { wrong.errors.contains("does not know our token") }
      #expect(try cluster.target.count() == 0)
      #expect(cluster.heard("joined") == 0)
      for agent in [without, wrong] { agent.end() }
      let right = try cluster.addAgent(environment: Self.token)
      try cluster.expectExact()
      #expect(try right.awaitEnd() == Child.Ending(code: 0))
      for child in [cluster.master, right, without, wrong] {
        #expect(!child.errors.contains("kZ3m0v") && !child.output.contains("kZ3m0v"))
      }
    }

    /// Two squalls that would misunderstand each other part at once, with both versions named.
    @Test func aMasterOfAnotherVersionEndsTheAgent() throws {
      let (socket, port) = try listener()
      defer { close(socket) }
      let agent = try Squall.start(["worker", "--master-port", "\(port)", "--workers", "1"])
      let accepted = accept(socket, nil, nil)
      defer { close(accepted) }
      var header: [UInt8] = [0x53, 0x51, 9, 4] + [UInt8](repeating: 0, count: 12)
      header[4] = 1
      #expect(send(accepted, header, header.count, Int32(MSG_NOSIGNAL)) == header.count)
      #expect(try agent.awaitEnd() == Child.Ending(code: 2))
      #expect(agent.errors.contains("version 9"))
      #expect(agent.errors.contains("version \(Hello.protocolVersion)"))
    }

    @Test func anAgentWaitsForItsMaster() throws {
      let port = try closedPort()
      let target = try Served()
      let agent = try Squall.start(["worker", "--master-port", "\(port)", "--workers", "1"])
      try agent.run { agent.errors.contains("no master listens there") }
      let master = try Squall.start([
        "master", target.url, "--headless", "--no-record", "--master-bind-port", "\(port)", "-n",
        "100",
      ])
      #expect(try master.awaitEnd() == Child.Ending(code: 0), "\(master.errors)")
      #expect(try agent.awaitEnd() == Child.Ending(code: 0))
      #expect(agent.errors.components(separatedBy: "no master listens").count == 2, "said once")
    }

    // MARK: Strangers

    private func residentKiB(_ process: pid_t) throws -> Int {
      let text = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
      let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
      return try #require(Int(line.split(separator: " ").dropFirst().first ?? ""))
    }

    @Test func garbageOnThePortsChangesNothing() throws {
      let seed = UInt64.random(in: 0...UInt64.max)
      var random = SplitMix64(seed: seed)
      let cluster = try Cluster(Cluster.gentle + ["-d", "3s", "--stats-transport", "udp"])
      try cluster.addAgent(["--stats-transport", "udp"], workers: 2)
      try cluster.awaitLoad()
      let before = try residentKiB(cluster.master.id)

      var open: [Int32] = []
      defer { for socket in open { close(socket) } }
      func say(_ bytes: [UInt8]) throws {
        let socket = try connection(to: cluster.port)
        _ = send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        open.append(socket)
      }
      func noise(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
      }
      // A frame's head: magic, version, kind, sequence, length, checksum.
      func head(version: UInt8 = 1, kind: UInt8 = 1, length: UInt32) -> [UInt8] {
        [0x53, 0x51, version, kind, 1, 0, 0, 0]
          + (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + noise(4)
      }
      for size in [1, 15, 16, 17, 1_000, 100_000] { try say(noise(size)) }
      for length: UInt32 in [0, 1, 4_096, 4_097, 65_536, 1 << 30, .max] {
        for kind in UInt8(0)..<16 { try say(head(kind: kind, length: length) + noise(64)) }
      }
      try say(head(version: 9, length: 8) + noise(8))
      try say(Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
      for _ in 0..<200 { try say([]) }  // They connect and say nothing.
      let dribbling = try connection(to: cluster.port)
      open.append(dribbling)
      let drops = head(length: 64)
      let shooting = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
      open.append(shooting)
      for round in 0..<drops.count {
        // Slowly, for as long as the load moves on.
        _ = send(dribbling, [drops[round]], 1, Int32(MSG_NOSIGNAL))
        for size in [0, 1, 16, 40, 300, 1_200, 1_500] {
          sendDatagram(noise(size), by: shooting, to: loopback(port: cluster.port))
          let kind = UInt8.random(in: 0...15, using: &random)
          let forged = head(kind: kind, length: 20) + noise(size)
          sendDatagram(forged, by: shooting, to: loopback(port: cluster.port))
        }
        try cluster.awaitLoad(50)
      }
      let after = try residentKiB(cluster.master.id)
      print("master's memory \(before) KiB, after garbage \(after) KiB")
      #expect(after - before < 32 << 10)
      #expect(cluster.heard("is missing") == 0)
      try cluster.expectExact()
      try cluster.expectAgentsLeave()
      #expect(cluster.heard("was closed: its bytes are no frames") > 0, "seed \(seed)")
    }
  }
}
