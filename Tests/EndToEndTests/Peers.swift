import Foundation
import Testing

/// Debian's nginx, which counts by `stub_status`.
final class Nginx {
  struct Counts: Equatable {
    var accepted: Int
    var requests: Int
  }

  static let path = "/usr/sbin/nginx"
  static let isInstalled = FileManager.default.isExecutableFile(atPath: path)

  let port: UInt16
  var url: String { "http://127.0.0.1:\(port)/" }
  /// It listens there as well.
  let socket: String
  private let child: Child
  private let folder = try? Folder()

  /// - Parameter logs: writes a line for each request.
  init(requestsPerConnection: Int = 1_000_000, logs: Bool = false) throws {
    let folder = try #require(folder)
    socket = folder.path + "/socket"
    // It cannot be told to take any free port, so one may be gone when it starts.
    for _ in 0..<5 {
      let port = try closedPort()
      let file = try folder.file(
        "nginx.conf", Self.configuration(folder.path, port, requestsPerConnection, logs))
      let child = try Child(
        Self.path, ["-p", folder.path, "-e", folder.path + "/error.log", "-c", file])
      do {
        try child.run { accepts(port) }
      } catch {
        continue
      }
      self.port = port
      self.child = child
      return
    }
    throw Child.TookTooLong(
      description: "nginx did not start: \((try? folder.text("error.log")) ?? "")")
  }

  deinit { child.end() }

  /// Both numbers include this question.
  func counts() throws -> Counts {
    let text = try fetch("/status", port: port)
    let words = text.split(whereSeparator: \.isWhitespace)
    let end = try #require(words.firstIndex(of: "requests"), "\(text)")
    return Counts(
      accepted: try #require(Int(words[end + 1])), requests: try #require(Int(words[end + 3])))
  }

  /// What came since, this question apart.
  func counts(since before: Counts) throws -> Counts {
    let now = try counts()
    return Counts(
      accepted: now.accepted - before.accepted - 1, requests: now.requests - before.requests - 1)
  }

  /// Requests in its log, by method and the first word of their path.
  func logged() throws -> [String: Int] {
    let lines = try #require(folder).text("access.log").split(separator: "\n")
    return lines.reduce(into: [:]) { counts, line in
      counts[
        String(
          line.prefix(while: { $0 != "?" }).split(separator: "/").prefix(2)
            .joined(separator: "/")), default: 0] += 1
    }
  }

  private static func configuration(
    _ folder: String, _ port: UInt16, _ limit: Int, _ logs: Bool
  ) -> String {
    """
    daemon off;
    worker_processes 1;
    pid \(folder)/pid;
    events { worker_connections 1024; }
    http {
      log_format short "$request_method $uri";
      access_log \(logs ? "\(folder)/access.log short" : "off");
      client_body_temp_path \(folder)/body;
      proxy_temp_path \(folder)/proxy;
      fastcgi_temp_path \(folder)/fastcgi;
      uwsgi_temp_path \(folder)/uwsgi;
      scgi_temp_path \(folder)/scgi;
      keepalive_requests \(limit);
      server {
        listen 127.0.0.1:\(port) backlog=1024;
        listen unix:\(folder)/socket;
        location / { return 200 "Hello, world!"; }
        location /status { stub_status; }
      }
    }

    """
  }
}

/// A script in Python.
final class Python {
  static let isInstalled = ended(["-c", "pass"], by: "python3")

  /// It can call OpenSSL's library itself.
  static let hasOpenSSL = ended(
    ["-c", "import ctypes; ctypes.CDLL('libssl.so.3').SSL_write_early_data"], by: "python3")

  /// One that has the module, or nil.
  static let withJsonschema = ["python3", "/usr/bin/python3"].first {
    ended(["-W", "ignore", "-c", "import jsonschema"], by: $0)
  }

  let child: Child

  init(script: String, arguments: [String] = [], by python: String = "python3") throws {
    child = try Child(python, ["-W", "ignore", "-c", script] + arguments)
  }

  deinit { child.end() }

  private static func ended(_ arguments: [String], by python: String) -> Bool {
    guard let child = try? Child(python, arguments) else { return false }
    return (try? child.awaitEnd()) == Child.Ending(code: 0)
  }

  /// Prints its port; answers /count with how many other requests there were.
  static let server = """
    import http.server, threading
    lock = threading.Lock()
    requests = 0
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        def do_GET(self):
            global requests
            body = b"Hello, world!"
            if self.path == "/count":
                body = str(requests).encode()
            else:
                with lock:
                    requests += 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *arguments):
            pass
    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
    """
}
