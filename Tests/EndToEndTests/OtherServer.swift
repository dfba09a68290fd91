import Foundation
import Glibc
import SquallTLS
import Testing

/// How a target is spoken to where it is not plain HTTP/1.1.
enum Wire: String, CaseIterable {
  case tls, h2, h2c

  var isSecure: Bool { self != .h2c }

  /// So many requests at a time on a connection.
  func arguments(depth: Int) -> [String] {
    switch self {
    case .tls: ["--pipeline", "\(depth)"]
    case .h2: ["--http2", "--streams", "\(depth)"]
    case .h2c: ["--http2-prior-knowledge", "--streams", "\(depth)"]
    }
  }
}

/// A port of loopback that nobody else gets, neither to listen on nor to connect from: it is bound, and
/// never listened on. Servers set SO_REUSEADDR and listen there all the same, again and again.
final class KeptPort {
  let number: UInt16
  private let socket: Int32

  init() throws {
    let socket = Glibc.socket(
      AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    self.socket = socket
    var one: Int32 = 1
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &one, 4)
    var address = loopback(port: 0)
    var byteCount = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(socket, $0, byteCount) == 0 && getsockname(socket, $0, &byteCount) == 0
      }
    }
    try #require(result, "bind: \(String(cString: strerror(errno)))")
    number = UInt16(bigEndian: address.sin_port)
  }

  deinit { close(socket) }
}

/// How often words stand in a file that grows. What was read once is not read again.
struct Occurrences {
  let path: String
  let words: [UInt8]
  private var offset: off_t = 0
  private var tail: [UInt8] = []
  private var count = 0

  init(of words: String, in path: String) {
    self.path = path
    self.words = Array(words.utf8)
  }

  mutating func now() -> Int {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return count }
    defer { close(file) }
    var room = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let byteCount = pread(file, &room, room.count, offset)
      guard byteCount > 0 else { return count }
      offset += off_t(byteCount)
      let text = tail + room.prefix(byteCount)
      count += text.withUnsafeBytes(occurrences)
      tail = text.suffix(words.count - 1)
    }
  }

  private func occurrences(in text: UnsafeRawBufferPointer) -> Int {
    guard var place = text.baseAddress else { return 0 }
    let end = place + text.count
    var count = 0
    while let found = memchr(place, Int32(words[0]), end - place) {
      place = UnsafeRawPointer(found)
      guard end - place >= words.count else { break }
      let isThere = memcmp(place, words, words.count) == 0
      if isThere { count += 1 }
      place += isThere ? words.count : 1
    }
    return count
  }
}

/// A server of another maker, over TLS or HTTP/2, that writes down each request.
final class OtherServer {
  enum Kind: String {
    case nginx, apache, haproxy, node, nghttpd

    var program: String {
      switch self {
      case .nginx: Nginx.path
      case .apache: "/usr/sbin/apache2"
      case .haproxy: "/usr/sbin/haproxy"
      case .node: "node"
      case .nghttpd: "/usr/sbin/nghttpd"
      }
    }

    var isInstalled: Bool {
      self == .node ? Node.isInstalled : FileManager.default.isExecutableFile(atPath: program)
    }

    /// What it does anew with its configuration, the connections that it has being given up politely.
    var reload: Int32 {
      switch self {
      case .nginx: SIGHUP
      case .apache: SIGUSR1
      case .haproxy: SIGUSR2
      case .node, .nghttpd: preconditionFailure("\(self) does not reload")
      }
    }

    /// Its words for a request, each once in its log.
    fileprivate var words: String { self == .nghttpd ? "recv HEADERS frame" : "GET " }
  }

  /// Requests that it answers after `stallMs`, every so many: far more than the others take.
  static let stalledEach = 4
  static let stallMs = 400

  let kind: Kind
  let wire: Wire
  var url: String { "\(wire.isSecure ? "https" : "http")://127.0.0.1:\(port.number)/" }
  /// What the other servers answer through is this one of ours.
  let behind: Served?
  private let requestsPerConnection: Int?
  private let stalls: Bool
  private let port: KeptPort
  private let folder: Folder
  private var child: Child
  private var log: Occurrences

  /// - Parameters:
  ///   - requestsPerConnection: after so many it ends a connection, or never.
  ///   - isBefore: it hands requests on to the built-in target, except for those servers that only
  ///     answer themselves.
  ///   - stalls: every fourth request is answered late.
  init(
    _ kind: Kind, _ wire: Wire, requestsPerConnection: Int? = nil, isBefore: Bool = false,
    stalls: Bool = false
  ) throws {
    self.kind = kind
    self.wire = wire
    self.requestsPerConnection = requestsPerConnection
    self.stalls = stalls
    let handsOn = isBefore && kind != .node && kind != .nghttpd
    behind =
      handsOn
      ? try Served(
        stalls ? ["--stall", "\(Self.stallMs)ms", "--every", "\(Self.stalledEach)"] : [])
      : nil
    port = try KeptPort()
    folder = try Folder()
    // Servers that root starts read their files as somebody else.
    chmod(folder.path, 0o711)
    let now = Int64(Date().timeIntervalSince1970)
    let certificate = try Certificate.make(.init(validity: now - 3_600...now + 86_400))
    let chain = String(decoding: certificate.chain, as: UTF8.self)
    let key = String(decoding: certificate.key, as: UTF8.self)
    _ = try folder.file("chain.pem", chain)
    _ = try folder.file("key.pem", key)
    _ = try folder.file("both.pem", chain + key)
    _ = try folder.file("index.html", "Hello, world!")
    _ = try folder.file("access.log", "")
    log = Occurrences(of: kind.words, in: folder.path + "/access.log")
    child = try Child("true", [])
    try start()
  }

  deinit { child.end() }

  /// Starts it, again on the same port when it is gone.
  func start() throws {
    child.end()
    // Its workers may close the port a moment after it.
    let deadlineNs = monotonicNs() + 20_000_000_000
    while true {
      child = try Child("/bin/sh", ["-c", command, kind.program] + (try arguments()))
      do {
        return try child.run { accepts(port.number) }
      } catch {
        guard monotonicNs() < deadlineNs else { throw error }
      }
    }
  }

  /// kill -9, all of its processes.
  func kill() throws {
    child.end()
    let deadlineNs = monotonicNs() + 5_000_000_000
    while accepts(port.number), monotonicNs() < deadlineNs { usleep(1_000) }
  }

  func stop() { child.signalGroup(SIGSTOP) }
  func goOn() { child.signalGroup(SIGCONT) }

  /// Gets new processes for new connections; returned is whether all the old ones are gone.
  func reload() throws -> () -> Bool {
    let old = Set(child.children)
    #expect(!old.isEmpty)
    child.signal(kind.reload)
    return { [child] in
      let now = Set(child.children)
      return !now.isEmpty && now.isDisjoint(with: old)
    }
  }

  /// Ends it by its own means, so that all it knows is written down.
  func end() throws {
    child.signal(SIGTERM)
    try child.awaitEnd()
  }

  /// Requests so far that it has written down.
  func count() -> Int { log.now() }

  /// The same once it is at least so much, which is awaited: lines are written behind the answers.
  func count(atLeast least: Int) -> Int {
    let deadlineNs = monotonicNs() + 10_000_000_000
    while count() < least, monotonicNs() < deadlineNs { usleep(2_000) }
    return count()
  }

  /// Requests that were counted before they were answered, so that a kill -9 loses none.
  func safeCount() throws -> Int { try behind?.count() ?? count() }

  /// `arguments` and how this server is spoken to, its certificate checked.
  func addressed(_ arguments: [String], depth: Int = 1) -> [String] {
    arguments + wire.arguments(depth: depth)
      + (wire.isSecure ? ["--cacert", folder.path + "/chain.pem"] : []) + [url]
  }

  // MARK: - How each is started

  /// What a server prints goes into the log, where that is the log: a pipe would be full at some time.
  private var command: String {
    kind == .haproxy || kind == .nghttpd || kind == .node
      ? "exec \"$0\" \"$@\" >>'\(folder.path)/access.log'" : "exec \"$0\" \"$@\""
  }

  private func arguments() throws -> [String] {
    let path = folder.path
    switch kind {
    case .nginx:
      return [
        "-p", path, "-e", path + "/error.log", "-c", try folder.file("nginx.conf", nginx),
      ]
    case .apache:
      return ["-DFOREGROUND", "-f", try folder.file("apache.conf", apache)]
    case .haproxy:
      return ["-W", "-f", try folder.file("haproxy.cfg", haproxy)]
    case .node:
      return ["-e", node]
    case .nghttpd:
      return ["-v", "-a", "127.0.0.1", "-d", path]
        + (wire.isSecure
          ? ["\(port.number)", path + "/key.pem", path + "/chain.pem"]
          : ["--no-tls", "\(port.number)"])
    }
  }

  private var nginx: String {
    let path = folder.path
    let words = [Wire.tls: "ssl", .h2: "ssl http2", .h2c: "http2"]
    return """
      daemon off;
      worker_processes 1;
      pid \(path)/pid;
      events { worker_connections 1024; }
      http {
        log_format short "$status $request_method $uri";
        access_log \(path)/access.log short;
        client_body_temp_path \(path)/body;
        proxy_temp_path \(path)/proxy;
        fastcgi_temp_path \(path)/fastcgi;
        uwsgi_temp_path \(path)/uwsgi;
        scgi_temp_path \(path)/scgi;
        keepalive_requests \(requestsPerConnection ?? 1_000_000);
        ssl_certificate \(path)/chain.pem;
        ssl_certificate_key \(path)/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        server {
          listen 127.0.0.1:\(port.number) \(words[wire] ?? "") backlog=1024;
          location / {
            \(behind.map { "proxy_pass \($0.url);" } ?? "return 200 \"Hello, world!\";")
          }
        }
      }

      """
  }

  private var apache: String {
    let path = folder.path
    let modules = ["mpm_event", "authz_core", "dir", "http2", "ssl", "proxy", "proxy_http"].map {
      "LoadModule \($0)_module /usr/lib/apache2/modules/mod_\($0).so"
    }
    let secure = """
      SSLEngine on
      SSLCertificateFile \(path)/chain.pem
      SSLCertificateKeyFile \(path)/key.pem
      """
    return """
      \(modules.joined(separator: "\n"))
      ServerRoot \(path)
      DefaultRuntimeDir \(path)
      ServerName 127.0.0.1
      PidFile \(path)/pid
      ErrorLog \(path)/error.log
      Mutex posixsem
      \(geteuid() == 0 ? "User nobody\nGroup nogroup" : "")
      StartServers 1
      ServerLimit 4
      ThreadsPerChild 32
      MaxRequestWorkers 128
      MinSpareThreads 1
      MaxSpareThreads 128
      KeepAlive On
      MaxKeepAliveRequests \(requestsPerConnection ?? 0)
      LogFormat "%>s %m %U" short
      CustomLog \(path)/access.log short
      Listen 127.0.0.1:\(port.number)
      Protocols \(wire == .tls ? "http/1.1" : wire.rawValue)
      DocumentRoot \(path)
      \(wire.isSecure ? secure : "")
      \(behind.map { "ProxyPass / \($0.url)" } ?? "")

      """
  }

  private var haproxy: String {
    let words = [
      Wire.tls: "ssl crt \(folder.path)/both.pem alpn http/1.1",
      .h2: "ssl crt \(folder.path)/both.pem alpn h2", .h2c: "proto h2",
    ]
    let answer = "http-request return status 200 content-type text/plain string \"Hello, world!\""
    let backend = """
      default_backend behind
      backend behind
        server one 127.0.0.1:\(behind?.port ?? 0)
      """
    return """
      global
        log stdout format raw local0
        nbthread 1
        maxconn 1000
      defaults
        mode http
        log global
        log-format "%ST %HM %HP"
        timeout client 60s
        timeout server 60s
        timeout connect 5s
      frontend front
        bind 127.0.0.1:\(port.number) \(words[wire] ?? "")
        \(behind == nil ? answer : backend)

      """
  }

  /// Each request is written down before it is answered.
  private var node: String {
    """
    const fs = require("fs"), http2 = require("http2")
    const isSecure = \(wire.isSecure), each = \(requestsPerConnection ?? 0)
    let requests = 0
    const answer = (request, response) => {
      fs.writeSync(1, `${request.method} ${request.url}\\n`)
      const late = \(stalls) && ++requests % \(Self.stalledEach) === 0
      const end = () => response.end("Hello, world!")
      if (late) setTimeout(end, \(Self.stallMs)); else end()
    }
    const server = isSecure ? http2.createSecureServer({
      key: fs.readFileSync("\(folder.path)/key.pem"), allowHTTP1: true,
      cert: fs.readFileSync("\(folder.path)/chain.pem"),
    }, answer) : http2.createServer(answer)
    if (each) {
      server.maxRequestsPerSocket = each
      server.on("session", session => {
        let count = 0
        session.on("stream", () => { if (++count === each) session.close() })
      })
    }
    process.on("SIGTERM", () => process.exit(0))
    server.listen(\(port.number), "127.0.0.1", 1024)
    """
  }
}
