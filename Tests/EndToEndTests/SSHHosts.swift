import Foundation
import Glibc
import Testing

/// Hosts of a test's own: each is an sshd with a cache of its own, and all are reached by one configuration of
/// ssh. They are on loopback, by their ports, or on a network of their own.
final class SSHHosts {
  static let canBeMade = ["/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/ssh-keygen"]
    .allSatisfy { FileManager.default.isExecutableFile(atPath: $0) }

  let folder: Folder
  private let network: Network?
  private(set) var servers: [String: Child] = [:]
  private var configuration = ""

  convenience init(_ names: String...) throws { try self.init(names) }

  /// - Parameter confined: those of the names that have a container's seccomp profile, and so no io_uring.
  init(_ names: [String], on network: Network? = nil, confined: Set<String> = []) throws {
    self.network = network
    folder = try Folder()
    if getuid() == 0 { mkdir("/run/sshd", 0o755) }
    for key in ["host", "user"] {
      let making = try Child(
        "ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", folder.path + "/" + key])
      try #require(try making.awaitEnd() == Child.Ending(code: 0), "\(making.errors)")
    }
    for name in names { try add(name, isConfined: confined.contains(name)) }
  }

  deinit {
    for name in servers.keys { kill(name) }
    // Their ssh clients end with them.
  }

  /// What `squall fleet` is told besides.
  var flags: [String] { ["--ssh", "ssh -F \(folder.path)/ssh_config"] }

  /// Where a host keeps what was brought.
  func cache(of name: String) -> String { folder.path + "/\(name)/cache/squall" }

  func cached(on name: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: cache(of: name))) ?? []).sorted()
  }

  private func add(_ name: String, isConfined: Bool) throws {
    let own = folder.path + "/" + name
    try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: true)
    // Somebody may take the port between its choice and its use.
    for attempt in 1...5 {
      let port = try network == nil ? closedPort() : 22
      _ = try folder.file(
        "\(name)/sshd_config",
        """
        Port \(port)
        ListenAddress \(network == nil ? "127.0.0.1" : "0.0.0.0")
        HostKey \(folder.path)/host
        AuthorizedKeysFile \(folder.path)/user.pub
        PidFile none
        UsePAM no
        StrictModes no
        PasswordAuthentication no
        PrintMotd no
        SetEnv XDG_CACHE_HOME=\(own)/cache XDG_DATA_HOME=\(own)/data

        """)
      let words =
        (isConfined ? [Repository.path + "/Tests/confined", Repository.standardProfile] : [])
        + ["/usr/sbin/sshd", "-D", "-e", "-f", own + "/sshd_config"]
      let server =
        try network?.start(on: name, words) ?? Child(words[0], Array(words.dropFirst()))
      do {
        try server.run { server.errors.contains("Server listening on ") }
        servers[name] = server
        try self.name(name, port: port)
        return
      } catch {
        guard attempt < 5, server.errors.contains("Cannot bind any address") else { throw error }
      }
    }
  }

  /// Gives ssh another name for a port of loopback, or of a host of the network.
  func name(_ name: String, port: UInt16, through jump: String? = nil) throws {
    let address = try network?.address(of: name) ?? "127.0.0.1"
    configuration += "Host \(name)\n  HostName \(address)\n  Port \(port)\n"
    if let jump { configuration += "  ProxyJump \(jump)\n" }
    _ = try folder.file(
      "ssh_config",
      configuration + """
        Host *
          User \(NSUserName())
          IdentityFile \(folder.path)/user
          IdentitiesOnly yes
          UserKnownHostsFile \(folder.path)/known_hosts
          StrictHostKeyChecking accept-new

        """)
  }

  func port(of name: String) throws -> UInt16 {
    let text = try folder.text("\(name)/sshd_config")
    let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("Port ") })
    return try #require(UInt16(line.dropFirst(5)))
  }

  /// As a power failure does it: whatever runs on that host is gone.
  func kill(_ name: String) {
    guard let server = servers.removeValue(forKey: name) else { return }
    for process in Self.descendants(of: server.id) { Glibc.kill(process, SIGKILL) }
    server.end()
  }

  /// Cuts a host's connections, and leaves what runs there alone.
  func cutConnections(of name: String) {
    for process in servers[name]?.children ?? [] { Glibc.kill(process, SIGKILL) }
  }

  /// Everything of these hosts that runs, and is not the server that awaits connections: what it started
  /// there, what has the host's environment, and what was told of the configuration.
  var processes: [pid_t] {
    let own = Set(servers.values.map(\.id))
    let marked = Self.all.filter { process in
      ["cmdline", "environ"].contains { file in
        FileManager.default.contents(atPath: "/proc/\(process)/\(file)")
          .map { $0.range(of: Data(folder.path.utf8)) != nil } ?? false
      }
    }
    return (marked + servers.values.flatMap { Self.descendants(of: $0.id) })
      .filter { !own.contains($0) }
  }

  /// Waits until nothing runs there, and nothing but the programs is kept.
  func expectClean(sourceLocation: SourceLocation = #_sourceLocation) throws {
    let server = try #require(servers.values.first)
    try server.run(withinMs: 30_000) { processes.isEmpty }
    for name in servers.keys {
      let own = folder.path + "/" + name
      let files = try #require(FileManager.default.enumerator(atPath: own))
        .compactMap { $0 as? String }
        .filter { !["sshd_config", "cache", "cache/squall"].contains($0) }
      #expect(
        files.allSatisfy {
          $0.hasPrefix("cache/squall/") && $0.split(separator: "/")[2].count == 64
        },
        "\(files)", sourceLocation: sourceLocation)
    }
  }

  private static var all: [pid_t] {
    ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [])
      .compactMap { pid_t($0) }.filter { $0 != getpid() }
  }

  private static func descendants(of process: pid_t) -> [pid_t] {
    var parents: [pid_t: pid_t] = [:]
    for one in all {
      let text = (try? String(contentsOfFile: "/proc/\(one)/stat", encoding: .utf8)) ?? ""
      // After the name, which may have blanks, come state and parent (proc(5)).
      let fields = text.suffix(from: text.lastIndex(of: ")") ?? text.endIndex).split(separator: " ")
      if fields.count > 2, fields[1] != "Z" { parents[one] = pid_t(fields[2]) }
    }
    var found: [pid_t] = []
    var next = [process]
    while let parent = next.popLast() {
      let children = parents.filter { $0.value == parent }.map(\.key)
      found += children
      next += children
    }
    return found
  }
}
