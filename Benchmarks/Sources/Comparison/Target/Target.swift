import Foundation
import Glibc

/// What the clients are sent against. Each counts the requests it received itself.
package enum TargetKind: String, Codable, CaseIterable, Sendable {
  /// `squall serve`.
  case squall
  /// The bare C responder of this package: the fastest, and no one's home ground.
  case responder
  /// Debian's nginx, one worker a CPU, stub_status as its count; TLS and HTTP/2 on ports of their own.
  case nginx
  /// nghttp2's own server, one worker a CPU, HTTP/2 alone. It has no count to read.
  case nghttpd
  /// Node's own HTTP server: what an ordinary service costs.
  case ordinary

  package var counts: Bool { self != .nghttpd }
}

/// How the responder should misbehave or what it should write down.
package struct TargetOptions: Codable, Equatable, Sendable {
  package var delayUs = 0
  package var stallEvery = 0
  package var stallMs = 0
  /// Stamp every arrival; `spins` lets it poll, so that its own wake-up is not in the stamps.
  package var stampsArrivals = false
  package var spins = false
  /// nghttpd speaks TLS or plainly, not both.
  package var speaksTLSAlone = false

  package init() {}

  /// Stamps and stalls need one process that sees all.
  package var needsOneProcess: Bool {
    var rest = self
    rest.speaksTLSAlone = false
    return rest != TargetOptions()
  }
}

/// Programs of this package and of the machine that targets need.
package struct TargetPrograms: Sendable {
  package let squall: String?
  package let responder: String?
  package let nginx: String?
  package let node: String?
  package let ordinaryScript: String
  package let nghttpd: String?
  /// Makes the certificate of the targets that speak TLS.
  package let openssl: String?

  package init(
    squall: String?, responder: String?, nginx: String?, node: String?, ordinaryScript: String,
    nghttpd: String? = nil, openssl: String? = nil
  ) {
    self.nghttpd = nghttpd
    self.openssl = openssl
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
    case .nghttpd where nghttpd == nil:
      "nghttpd is not installed: apt-get install nghttp2-server"
    default: nil
    }
  }

  package var reasonWithoutTLS: String? {
    openssl == nil
      ? "openssl, which makes the target's certificate, is not installed: apt-get install openssl"
      : nil
  }
}

/// A target that runs.
package final class RunningTarget {
  package let kind: TargetKind
  package let options: TargetOptions
  /// Where the target is asked for its count, or, where it has none, where it listens.
  package let port: UInt16
  private let ports: [Wire: UInt16]
  /// The certificate it shows, in a file; nil without TLS.
  package let authority: String?
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
    kind: TargetKind, options: TargetOptions, ports: [Wire: UInt16], authority: String?,
    child: Child, arguments: [String], arrivalsPath: String?
  ) {
    self.kind = kind
    self.options = options
    self.ports = ports
    self.authority = authority
    port = ports[.http1] ?? ports[.h2c] ?? ports[.h2] ?? 0
    self.child = child
    self.arguments = arguments
    self.arrivalsPath = arrivalsPath
    probe = Probe(port: port)
  }

  package func path(bodyByteCount: Int) -> String {
    if bodyByteCount == 13 { return "/" }
    return kind == .nginx ? "/\(bodyByteCount)" : "/?size=\(bodyByteCount)"
  }

  /// Where it speaks so; nil where it does not.
  package func port(of wire: Wire) -> UInt16? { ports[wire] }

  /// Whether it answers, or, where it cannot be asked, takes connections.
  package var answers: Bool { kind.counts ? count() != nil : probe.isTaken() }

  /// What was received so far; nil when the target does not answer within two seconds, or has no
  /// count.
  package func count() -> Count? {
    guard kind.counts, let body = probe.get("/count") else { return nil }
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
    var ports: [Wire: UInt16] = [:]
    var authority: String?
    let arguments: [String]
    switch kind {
    case .squall:
      arguments = [programs.squall ?? "", "serve", "--port", "0", "--cpus", list]
    case .responder:
      arguments = responderArguments(
        programs.responder ?? "", options: options, cpus: list, arrivals: arrivals)
    case .nginx:
      ports = [.http1: Probe.freePort(), .h2c: Probe.freePort()]
      if let openssl = programs.openssl {
        ports[.https] = Probe.freePort()
        ports[.h2] = ports[.https]
        authority = try writeCertificate(openssl, folder: name)
      }
      let configuration = try writeNginx(folder: name, ports: ports, cpus: cpus)
      arguments = [programs.nginx ?? "", "-c", configuration, "-p", name, "-e", "stderr"]
    case .nghttpd:
      try writeFiles(folder: name)
      let free = Probe.freePort()
      let common = [
        programs.nghttpd ?? "", "-a", "127.0.0.1", "-n", "\(cpus.count)", "-d", name + "/files",
        "\(free)",
      ]
      if options.speaksTLSAlone {
        guard let openssl = programs.openssl else {
          throw StartError(description: programs.reasonWithoutTLS ?? "")
        }
        let certificate = try writeCertificate(openssl, folder: name)
        ports[.h2] = free
        authority = certificate
        arguments = common + [name + "/key.pem", certificate]
      } else {
        ports[.h2c] = free
        arguments = common + ["--no-tls"]
      }
    case .ordinary:
      arguments = [programs.node ?? "", programs.ordinaryScript]
    }
    let child = try Child(
      arguments, environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": folder],
      cpus: cpus, outputPrefix: name)
    if ports.isEmpty {
      guard let port = listening(child) else {
        child.end()
        let why = readText(child.standardError)?.trimmed ?? ""
        throw StartError(description: "\(kind.rawValue) did not say where it listens: \(why)")
      }
      ports[.http1] = port
    }
    let target = RunningTarget(
      kind: kind, options: options, ports: ports, authority: authority, child: child,
      arguments: arguments, arrivalsPath: arrivals)
    let deadline = monotonicNs() + 5_000_000_000
    while !target.answers {
      guard monotonicNs() < deadline, child.poll() == nil else {
        target.stop()
        let why = readText(child.standardError)?.trimmed ?? ""
        throw StartError(description: "\(kind.rawValue) does not answer: \(why)")
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

  private static func writeFiles(folder: String) throws {
    try FileManager.default.createDirectory(
      atPath: folder + "/files", withIntermediateDirectories: true)
    for (byteCount, name) in [(13, "index.html"), (1_024, "1024"), (16_384, "16384")] {
      let body = String(repeating: "Hello, World!", count: byteCount / 13 + 1).prefix(byteCount)
      try body.write(toFile: "\(folder)/files/\(name)", atomically: true, encoding: .utf8)
    }
  }

  /// A self-signed certificate for 127.0.0.1, on P-256, and its key beside it as key.pem.
  private static func writeCertificate(_ openssl: String, folder: String) throws -> String {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let certificate = folder + "/certificate.pem"
    let child = try Child(
      [
        openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", folder + "/key.pem", "-out", certificate, "-days", "2", "-subj",
        "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
      ], environment: ["PATH": "/usr/bin:/bin", "HOME": folder], cpus: nil,
      outputPrefix: folder + "/openssl")
    guard let exit = child.wait(untilNs: monotonicNs() + 10_000_000_000), exit.code == 0 else {
      child.end()
      let why = readText(child.standardError)?.trimmed ?? ""
      throw StartError(description: "openssl made no certificate: \(why)")
    }
    return certificate
  }

  private static func writeNginx(
    folder: String, ports: [Wire: UInt16], cpus: [Int]
  ) throws -> String {
    try writeFiles(folder: folder)
    let listens = [(Wire.http1, ""), (.h2c, " http2"), (.h2, " ssl http2")]
      .compactMap { wire, words in
        ports[wire].map { "    listen 127.0.0.1:\($0)\(words) backlog=4096 reuseport;\n" }
      }.joined()
    // One cipher for all clients: each would choose another.
    let secure =
      ports[.h2] == nil
      ? ""
      : """
          ssl_certificate \(folder)/certificate.pem;
          ssl_certificate_key \(folder)/key.pem;
          ssl_protocols TLSv1.3;
          ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;

      """
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
      \(listens)\(secure)
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
