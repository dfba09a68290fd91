import Foundation
import Glibc
import SquallTLS
import Testing

/// A server of somebody else's that speaks TLS and HTTP/2, with its own count of requests.
final class OtherServer {
  enum Kind: String, CaseIterable, Sendable {
    case nginx, apache, node, nghttpd, haproxy

    var path: String {
      switch self {
      case .nginx: "/usr/sbin/nginx"
      case .apache: "/usr/sbin/apache2"
      case .node: "/usr/bin/node"
      case .nghttpd: "/usr/sbin/nghttpd"
      case .haproxy: "/usr/sbin/haproxy"
      }
    }

    var isInstalled: Bool { FileManager.default.isExecutableFile(atPath: path) }
  }

  enum Spoken: String, CaseIterable, Sendable {
    case tls, h2, h2c

    var isSecure: Bool { self != .h2c }
    var flags: [String] {
      switch self {
      case .tls: ["-k"]
      case .h2: ["-k", "--http2"]
      case .h2c: ["--http2-prior-knowledge"]
      }
    }
  }

  let kind: Kind
  let port: UInt16
  let url: String
  private let statusPort: UInt16
  private(set) var child: Child
  private let arguments: [String]
  private let folder: Folder
  /// Questions of ours that its count includes.
  private var questions = 0

  /// - Parameter requestsPerConnection: nginx ends a connection after so many.
  init(_ kind: Kind, _ spoken: Spoken, requestsPerConnection: Int = 1_000_000) throws {
    self.kind = kind
    folder = try Folder()
    // Servers that begin as root give that up before they read their files.
    chmod(folder.path, 0o755)
    let now = Int64(Date().timeIntervalSince1970)
    let certificate = try Certificate.make(
      Certificate.Options(validity: now - 3_600...now + 86_400))
    let chain = String(decoding: certificate.chain, as: UTF8.self)
    let key = String(decoding: certificate.key, as: UTF8.self)
    _ = try folder.file("chain.pem", chain)
    _ = try folder.file("key.pem", key)
    _ = try folder.file("both.pem", chain + key)
    try FileManager.default.createDirectory(
      atPath: folder.path + "/www", withIntermediateDirectories: true)
    _ = try folder.file("www/index.html", "Hello, world!")
    // None of them can be told to take any free port, so one may be gone when it starts.
    var failure = ""
    for _ in 0..<5 {
      let (port, statusPort) = (try closedPort(), try closedPort())
      let arguments = try Self.arguments(
        kind, spoken, folder, port, statusPort, requestsPerConnection)
      let child = try Child(kind.path, arguments)
      do {
        let asked = kind == .apache || kind == .nghttpd ? port : statusPort
        try child.run { accepts(port) && accepts(asked) }
      } catch {
        failure = child.output + child.errors
        continue
      }
      (self.port, self.statusPort, self.child) = (port, statusPort, child)
      self.arguments = arguments
      url = "http\(spoken.isSecure ? "s" : "")://127.0.0.1:\(port)/"
      return
    }
    throw Child.TookTooLong(description: "\(kind) did not start: \(failure)")
  }

  deinit { child.end() }

  /// Requests that it received, as far as it has said so by now.
  func count() throws -> Int {
    switch kind {
    case .nginx:
      let words = try fetch("/", port: statusPort).split(whereSeparator: \.isWhitespace)
      let end = try #require(words.firstIndex(of: "requests"))
      questions += 1
      return try #require(Int(words[end + 3])) - questions
    case .apache:
      return (try? folder.text("access"))?.split(separator: "\n").count ?? 0
    case .node: return try #require(Int(try fetch("/", port: statusPort)))
    case .nghttpd:
      try child.run { true }
      return child.output.components(separatedBy: " :method: ").count - 1
    case .haproxy:
      let lines = try fetch("/;csv", port: statusPort).split(separator: "\n")
      let names = lines[0].split(separator: ",", omittingEmptySubsequences: false)
      let place = try #require(names.firstIndex(of: "req_tot"))
      let line = try #require(lines.first { $0.hasPrefix("load,FRONTEND,") })
      return try #require(
        Int(line.split(separator: ",", omittingEmptySubsequences: false)[place]))
    }
  }

  /// Waits until its count is `expected`, for a moment: some write it down after they have answered.
  /// Returns it.
  func count(awaiting expected: Int) throws -> Int {
    var count = 0
    try? child.run(withinMs: 5_000) {
      count = try self.count()
      return count >= expected
    }
    return count
  }

  /// Ends the server, and starts it anew on the same port.
  func restart() throws {
    child.end()
    child = try Child(kind.path, arguments)
    try child.run { accepts(port) }
  }

  func signal(_ number: Int32) { child.signal(number) }

  private static func arguments(
    _ kind: Kind, _ spoken: Spoken, _ folder: Folder, _ port: UInt16, _ statusPort: UInt16,
    _ limit: Int
  ) throws -> [String] {
    let path = folder.path
    switch kind {
    case .nginx:
      let options = ["tls": "ssl", "h2": "ssl http2", "h2c": "http2"][spoken.rawValue] ?? ""
      let file = try folder.file(
        "nginx.conf",
        """
        daemon off;
        worker_processes 1;
        pid \(path)/pid;
        events { worker_connections 1024; }
        http {
          access_log off;
          client_body_temp_path \(path)/body;
          proxy_temp_path \(path)/proxy;
          fastcgi_temp_path \(path)/fastcgi;
          uwsgi_temp_path \(path)/uwsgi;
          scgi_temp_path \(path)/scgi;
          keepalive_requests \(limit);
          server {
            listen 127.0.0.1:\(port) \(options) backlog=1024;
            ssl_certificate \(path)/chain.pem;
            ssl_certificate_key \(path)/key.pem;
            location = / { return 200 "Hello, world!"; }
            location = /login {
              add_header X-Pass open;
              return 200 '{"token":"t-1"}';
            }
            location = /item {
              if ($http_authorization != "Bearer t-1") { return 401; }
              if ($http_x_pass != open) { return 403; }
              return 200 '{"stock":3}';
            }
            location = /order {
              if ($content_length != 12) { return 400; }
              if ($content_type != "application/json") { return 415; }
              return 201 '{"done":true}';
            }
          }
          server {
            listen 127.0.0.1:\(statusPort);
            location / { stub_status; }
          }
        }

        """)
      return ["-p", path, "-e", path + "/error.log", "-c", file]
    case .apache:
      let modules = "/usr/lib/apache2/modules"
      let protocols = ["tls": "http/1.1", "h2": "h2 http/1.1", "h2c": "h2c http/1.1"]
      let file = try folder.file(
        "apache.conf",
        """
        ServerRoot \(path)
        LoadModule mpm_event_module \(modules)/mod_mpm_event.so
        LoadModule authz_core_module \(modules)/mod_authz_core.so
        LoadModule dir_module \(modules)/mod_dir.so
        LoadModule ssl_module \(modules)/mod_ssl.so
        LoadModule http2_module \(modules)/mod_http2.so
        Listen 127.0.0.1:\(port)
        ServerName localhost
        PidFile \(path)/pid
        ErrorLog \(path)/error
        Mutex file:\(path)
        DefaultRuntimeDir \(path)
        DocumentRoot \(path)/www
        DirectoryIndex index.html
        KeepAlive On
        MaxKeepAliveRequests 0
        LogFormat "%r" requests
        CustomLog \(path)/access requests
        Protocols \(protocols[spoken.rawValue] ?? "")
        \(geteuid() == 0 ? "User www-data\nGroup www-data" : "")
        \(spoken.isSecure ? "SSLEngine on" : "")
        SSLCertificateFile \(path)/chain.pem
        SSLCertificateKeyFile \(path)/key.pem

        """)
      return ["-f", file, "-DFOREGROUND"]
    case .node:
      let script = """
        const fs = require('fs'), http = require('http'), http2 = require('http2')
        const options = {
          cert: fs.readFileSync('\(path)/chain.pem'), key: fs.readFileSync('\(path)/key.pem')
        }
        let count = 0
        const answer = (request, response) => {
          count += 1
          const end = () => response.end('Hello, world!')
          if (request.url == '/never') return
          end()
        }
        const spoken = '\(spoken.rawValue)'
        const server =
          spoken == 'tls' ? require('https').createServer(options, answer)
          : spoken == 'h2' ? http2.createSecureServer(options, answer)
          : http2.createServer(answer)
        server.listen(\(port), '127.0.0.1', 1024)
        http.createServer((_, response) => {
          const text = String(count)
          response.writeHead(200, { 'Content-Length': text.length })
          response.end(text)
        }).listen(\(statusPort), '127.0.0.1')
        """
      return ["-e", script]
    case .nghttpd:
      let wire = spoken.isSecure ? [] : ["--no-tls"]
      return ["-v", "-a", "127.0.0.1", "-d", path + "/www"] + wire + ["\(port)"]
        + (spoken.isSecure ? [path + "/key.pem", path + "/chain.pem"] : [])
    case .haproxy:
      let options = [
        "tls": "ssl crt \(path)/both.pem alpn http/1.1",
        "h2": "ssl crt \(path)/both.pem alpn h2,http/1.1", "h2c": "proto h2",
      ]
      let file = try folder.file(
        "haproxy.cfg",
        """
        global
          maxconn 1000
        defaults
          mode http
          timeout client 30s
          timeout server 30s
          timeout connect 30s
        frontend load
          bind 127.0.0.1:\(port) \(options[spoken.rawValue] ?? "")
          http-request return status 200 content-type text/plain string "Hello, world!"
        frontend status
          bind 127.0.0.1:\(statusPort)
          stats enable
          stats uri /

        """)
      return ["-f", file]
    }
  }
}
