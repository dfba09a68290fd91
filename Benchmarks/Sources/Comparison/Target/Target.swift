import Foundation
import Glibc

/// What the clients are sent against. Each counts the requests it received itself.
package enum TargetKind: String, Codable, CaseIterable, Sendable {
  /// `squall serve`.
  case squall
  /// The bare C responder of this package: the fastest, and no one's home ground.
  case responder
  /// Debian's nginx, one worker a CPU, stub_status as its count.
  case nginx
  /// Node's own HTTP server: what an ordinary service costs.
  case ordinary
}

/// How the responder should misbehave or what it should write down.
package struct TargetOptions: Codable, Equatable, Sendable {
  package var delayUs = 0
  package var stallEvery = 0
  package var stallMs = 0
  /// Stamp every arrival; `spins` lets it poll, so that its own wake-up is not in the stamps.
  package var stampsArrivals = false
  package var spins = false

  package init() {}
}

/// Programs of this package and of the machine that targets need.
package struct TargetPrograms: Sendable {
  package let squall: String?
  package let responder: String?
  package let nginx: String?
  package let node: String?
  package let ordinaryScript: String

  package init(
    squall: String?, responder: String?, nginx: String?, node: String?, ordinaryScript: String
  ) {
    self.squall = squall
    self.responder = responder
    self.nginx = nginx
    self.node = node
    self.ordinaryScript = ordinaryScript
  }

  /// Why a kind cannot be started here, with what to install; nil when it can.
  package func reasonAbsent(_ kind: TargetKind) -> String? {
    switch kind {
    case .squall where squall == nil: "the squall binary is not built"
    case .responder where responder == nil: "the responder is not built: swift build -c release"
    case .nginx where nginx == nil: "nginx is not installed: apt-get install nginx-light"
    case .ordinary where node == nil: "node is not installed: apt-get install nodejs"
    default: nil
    }
  }
}

/// A target that runs.
package final class RunningTarget {
  package let kind: TargetKind
  package let options: TargetOptions
  package let port: UInt16
  package let child: Child
  package let arguments: [String]
  package let arrivalsPath: String?
  private let probe: Probe
  /// Requests of our own that the target counts (nginx counts those for its status page).
  private var countedProbes: UInt64 = 0

  package struct Count: Codable, Equatable, Sendable {
    package let requests: UInt64
    /// Connections accepted since the start, where the target tells.
    package let accepted: UInt64?
    package let open: UInt64?
  }

  package struct StartError: Error, CustomStringConvertible {
    package let description: String

    package init(description: String) {
      self.description = description
    }
  }

  private init(
    kind: TargetKind, options: TargetOptions, port: UInt16, child: Child, arguments: [String],
    arrivalsPath: String?
  ) {
    self.kind = kind
    self.options = options
    self.port = port
    self.child = child
    self.arguments = arguments
    self.arrivalsPath = arrivalsPath
    probe = Probe(port: port)
  }

  package func path(bodyByteCount: Int) -> String {
    if bodyByteCount == 13 { return "/" }
    return kind == .nginx ? "/\(bodyByteCount)" : "/?size=\(bodyByteCount)"
  }

  /// What was received so far; nil when the target does not answer within two seconds.
  package func count() -> Count? {
    guard let body = probe.get("/count") else { return nil }
    if kind == .nginx {
      countedProbes += 1
      return Self.stubStatus(body, probes: countedProbes)
    }
    return Self.json(body)
  }

  /// nginx's ngx_http_stub_status_module page: the third number of the third line are all
  /// requests, our own for this page among them.
  package static func stubStatus(_ text: String, probes: UInt64) -> Count? {
    let lines = text.split(separator: "\n")
    guard lines.count >= 3 else { return nil }
    let numbers = lines[2].split(separator: " ").compactMap { UInt64($0) }
    let open = lines[0].split(separator: " ").last.flatMap { UInt64($0) }
    guard numbers.count == 3, numbers[2] >= probes else { return nil }
    return Count(requests: numbers[2] - probes, accepted: numbers[0], open: open)
  }

  /// `{"requests":N,"accepted":N,"open":N}`, the last two where they are told. Asking is not
  /// itself counted.
  package static func json(_ text: String) -> Count? {
    guard let object = try? JSONDecoder().decode(JSONCount.self, from: Data(text.utf8)) else {
      return nil
    }
    return Count(requests: object.requests, accepted: object.accepted, open: object.open)
  }

  private struct JSONCount: Decodable {
    let requests: UInt64
    let accepted: UInt64?
    let open: UInt64?
  }

  /// The instants written down by a responder that stamps arrivals.
  package func arrivalsNs() -> [UInt64] {
    guard let arrivalsPath, let file = fopen(arrivalsPath, "r") else { return [] }
    defer { fclose(file) }
    var count: UInt64 = 0
    guard fread(&count, 8, 1, file) == 1 else { return [] }
    var stamps = [UInt64](repeating: 0, count: Int(count))
    return fread(&stamps, 8, stamps.count, file) == stamps.count ? stamps : []
  }

  package func stop() {
    kill(child.pid, SIGCONT)
    child.end()
  }

  /// Starts a target and waits until it listens, five seconds at most.
  package static func start(
    _ kind: TargetKind, options: TargetOptions, cpus: [Int], programs: TargetPrograms,
    folder: String
  ) throws -> RunningTarget {
    if let reason = programs.reasonAbsent(kind) { throw StartError(description: reason) }
    let name = "\(folder)/target-\(kind.rawValue)-\(monotonicNs())"
    let list = cpus.map(String.init).joined(separator: ",")
    let arrivals = options.stampsArrivals ? name + ".arrivals" : nil
    var port: UInt16?
    let arguments: [String]
    switch kind {
    case .squall:
      arguments = [programs.squall ?? "", "serve", "--port", "0", "--cpus", list]
    case .responder:
      arguments = responderArguments(
        programs.responder ?? "", options: options, cpus: list, arrivals: arrivals)
    case .nginx:
      let free = Probe.freePort()
      port = free
      let configuration = try writeNginx(folder: name, port: free, cpus: cpus)
      arguments = [programs.nginx ?? "", "-c", configuration, "-p", name, "-e", "stderr"]
    case .ordinary:
      arguments = [programs.node ?? "", programs.ordinaryScript]
    }
    let child = try Child(
      arguments, environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": folder],
      cpus: cpus, outputPrefix: name)
    guard let port = port ?? listening(child) else {
      child.end()
      let why = readText(child.standardError)?.trimmed ?? ""
      throw StartError(description: "\(kind.rawValue) did not say where it listens: \(why)")
    }
    let target = RunningTarget(
      kind: kind, options: options, port: port, child: child, arguments: arguments,
      arrivalsPath: arrivals)
    let deadline = monotonicNs() + 5_000_000_000
    while target.count() == nil {
      guard monotonicNs() < deadline, child.poll() == nil else {
        target.stop()
        let why = readText(child.standardError)?.trimmed ?? ""
        throw StartError(description: "\(kind.rawValue) does not tell its count: \(why)")
      }
      pause(ns: 20_000_000)
    }
    return target
  }

  private static func responderArguments(
    _ program: String, options: TargetOptions, cpus: String, arrivals: String?
  ) -> [String] {
    var arguments = [program, "--port", "0", "--cpus", cpus]
    if options.delayUs > 0 { arguments += ["--delay-us", "\(options.delayUs)"] }
    if options.stallEvery > 0 {
      arguments += ["--stall-every", "\(options.stallEvery)", "--stall-ms", "\(options.stallMs)"]
    }
    if let arrivals { arguments += ["--arrivals", arrivals] }
    if options.spins { arguments.append("--spin") }
    return arguments
  }

  /// The port a target prints as `"listening":"127.0.0.1:PORT"` or `http://127.0.0.1:PORT`.
  package static func port(in text: String) -> UInt16? {
    guard let range = text.range(of: "127.0.0.1:") else { return nil }
    return UInt16(text[range.upperBound...].prefix { $0.isNumber })
  }

  private static func listening(_ child: Child) -> UInt16? {
    let deadline = monotonicNs() + 5_000_000_000
    while monotonicNs() < deadline {
      for path in [child.standardOutput, child.standardError] {
        // Only a whole line: the number may still be being written.
        if let text = readText(path), let end = text.lastIndex(of: "\n"),
          let port = port(in: String(text[..<end]))
        {
          return port
        }
      }
      pause(ns: 10_000_000)
    }
    return nil
  }

  private static func writeNginx(folder: String, port: UInt16, cpus: [Int]) throws -> String {
    try FileManager.default.createDirectory(
      atPath: folder + "/files", withIntermediateDirectories: true)
    for byteCount in [1_024, 16_384] {
      let body = String(repeating: "Hello, World!", count: byteCount / 13 + 1).prefix(byteCount)
      try body.write(toFile: "\(folder)/files/\(byteCount)", atomically: true, encoding: .utf8)
    }
    let masks = cpus.map { "1" + String(repeating: "0", count: $0) }.joined(separator: " ")
    let configuration = """
      daemon off;
      worker_processes \(cpus.count);
      worker_cpu_affinity \(masks);
      worker_rlimit_nofile 20000;
      pid \(folder)/pid;
      events { worker_connections 16384; }
      http {
        access_log off;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
        client_body_temp_path \(folder)/body;
        proxy_temp_path \(folder)/proxy;
        fastcgi_temp_path \(folder)/fastcgi;
        uwsgi_temp_path \(folder)/uwsgi;
        scgi_temp_path \(folder)/scgi;
        server {
          listen 127.0.0.1:\(port) backlog=4096 reuseport;
          default_type text/plain;
          location = / { return 200 "Hello, World!"; }
          location = /count { stub_status; }
          location / { root \(folder)/files; }
        }
      }

      """
    let path = folder + "/nginx.conf"
    try configuration.write(toFile: path, atomically: true, encoding: .utf8)
    return path
  }
}
