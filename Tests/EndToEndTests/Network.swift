import Foundation
import Glibc
import Testing

/// Hosts of a test's own, each a network namespace with an address and a table of names, on switches.
final class Network {
  static let canBeMade: Bool = {
    guard getuid() == 0, Repository.has("/usr/sbin/ip") else { return false }
    let name = "sq\(getpid())-can"
    defer { ip("netns", "del", name) }
    return ip("netns", "add", name) && ip("-n", name, "link", "add", "switch", "type", "bridge")
  }()

  private static let lock = NSLock()
  nonisolated(unsafe) private static var madeCount = 0

  private let mark: String
  private var namespaces: [String] = []
  private var names: [String: String] = [:]
  private let switches: [[String]]
  /// The cables of each host: the switch's end.
  private var cables: [String: [String]] = [:]

  /// Hosts that share a switch reach each other, and nobody else: a host in two of the lists is on both.
  init(_ switches: [String]...) throws {
    Self.lock.lock()
    Self.madeCount += 1
    mark = "sq\(getpid())-\(Self.madeCount)-"
    Self.lock.unlock()
    self.switches = switches
    let hub = mark + "hub"
    try make(hub)
    for (number, hosts) in switches.enumerated() {
      try Self.ip(hub, ["link", "add", "s\(number)", "type", "bridge"])
      try Self.ip(hub, ["link", "set", "s\(number)", "up"])
      for (place, host) in hosts.enumerated() {
        if cables[host] == nil { try make(namespace(host)) }
        let cable = "c\(number)-\(place)"
        try Self.ip(
          hub,
          ["link", "add", cable, "type", "veth", "peer", "name", "e\(number)", "netns"]
            + [namespace(host)])
        try Self.ip(hub, ["link", "set", cable, "master", "s\(number)", "up"])
        let address = Self.address(number, place)
        try Self.ip(namespace(host), ["addr", "add", address + "/24", "dev", "e\(number)"])
        try Self.ip(namespace(host), ["link", "set", "e\(number)", "up"])
        cables[host, default: []].append(cable)
        // By its first address.
        if names[host] == nil { names[host] = address }
      }
    }
    try tellNames()
  }

  deinit {
    for name in namespaces {
      Self.ip("netns", "del", name)
      try? FileManager.default.removeItem(atPath: "/etc/netns/" + name)
    }
  }

  private func namespace(_ host: String) -> String { mark + host }

  private func make(_ name: String) throws {
    try #require(Self.ip("netns", "add", name), "ip netns add \(name)")
    namespaces.append(name)
    try Self.ip(name, ["link", "set", "lo", "up"])
    // What `ip netns exec` puts in the place of /etc/hosts.
    try FileManager.default.createDirectory(
      atPath: "/etc/netns/" + name, withIntermediateDirectories: true)
    try "".write(toFile: "/etc/netns/\(name)/hosts", atomically: false, encoding: .utf8)
  }

  private static func address(_ number: Int, _ place: Int) -> String {
    "10.97.\(number).\(place + 1)"
  }

  /// An address by which the hosts of all of its switches reach a host.
  func commonAddress(of host: String) throws -> String {
    let common = "10.97.255.1"
    try Self.ip(namespace(host), ["addr", "add", common + "/32", "dev", "lo"])
    for (number, hosts) in switches.enumerated() {
      guard let place = hosts.firstIndex(of: host) else { continue }
      for other in hosts where other != host {
        // A host on both switches has its way already.
        Self.ip(
          "-n", namespace(other), "route", "add", common, "via", Self.address(number, place))
      }
    }
    return common
  }

  func address(of host: String) throws -> String { try #require(names[host]) }

  /// Gives a host one more name, or a name to another host: as a service of Kubernetes, whose pod moves.
  func name(_ name: String, for host: String) throws {
    names[name] = try address(of: host)
    try tellNames()
  }

  /// In the same files, which the processes there have in the place of theirs.
  private func tellNames() throws {
    let text =
      "127.0.0.1 localhost\n" + names.map { "\($0.value) \($0.key)\n" }.sorted().joined()
    for name in namespaces {
      try text.write(toFile: "/etc/netns/\(name)/hosts", atomically: false, encoding: .utf8)
    }
  }

  func start(
    on host: String, _ arguments: [String], environment: [String: String] = [:]
  ) throws -> Child {
    try Child(
      "ip", ["netns", "exec", namespace(host)] + arguments, environment: environment)
  }

  /// Everything that runs there.
  func processes(on host: String) throws -> [pid_t] {
    try Repository.output("ip", "netns", "pids", namespace(host)).split(separator: "\n")
      .compactMap { pid_t($0) }
  }

  /// As a power failure does it: nothing runs there, and nobody is told.
  func cutPower(of host: String) throws {
    for cable in cables[host, default: []] {
      try Self.ip(mark + "hub", ["link", "set", cable, "down"])
    }
    for process in try processes(on: host) { kill(process, SIGKILL) }
  }

  private static func ip(_ namespace: String, _ arguments: [String]) throws {
    try #require(
      run(["-n", namespace] + arguments), "ip -n \(namespace) \(arguments.joined(separator: " "))")
  }

  @discardableResult
  private static func ip(_ arguments: String...) -> Bool { run(arguments) }

  private static func run(_ arguments: [String]) -> Bool {
    guard let child = try? Child("ip", arguments) else { return false }
    return (try? child.awaitEnd()) == Child.Ending(code: 0)
  }
}
