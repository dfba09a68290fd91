import Benchmark
import SquallHTTP

/// Heads as servers of today send them; the numbers are the servers', the dates made up.
private let heads: [(name: String, text: String)] = [
  ("built-in-target", "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, World!"),
  (
    "nginx",
    "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\n"
      + "Content-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\n"
      + "Hello, World!"
  ),
  (
    "service-behind-a-proxy",
    "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\n"
      + "Content-Type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
      + "Connection: keep-alive\r\nVary: Accept-Encoding, Origin\r\nX-Request-Id: "
      + "6f1d6d0e-55b0-4a4c-9f3e-0d0b8a1b7c11\r\nCache-Control: no-store, max-age=0\r\n"
      + "Strict-Transport-Security: max-age=31536000; includeSubDomains; preload\r\n"
      + "Content-Security-Policy: default-src 'self'; img-src * data:; script-src 'self'\r\n"
      + "X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: "
      + "no-referrer\r\nETag: W/\"4f-2a8ZcV0Uq\"\r\nSet-Cookie: session=3d1f7a; Path=/; "
      + "HttpOnly; Secure; SameSite=Lax\r\n\r\nD\r\nHello, World!\r\n0\r\n\r\n"
  ),
]

func parserBenchmarks() {
  for (name, text) in heads {
    let bytes = Array(text.utf8)
    Benchmark("parser-\(name)-\(bytes.count)-bytes", configuration: .bytes) { benchmark in
      var parser = ResponseParser()
      benchmark.counting(byteCount: bytes.count) {
        for _ in benchmark.scaledIterations {
          parser.reset(expectsNoBody: false)
          blackHole(bytes.withUnsafeBytes { parser.consume($0) })
        }
      }
    }
    // What a load generator sees all day; heads that change (a date) are parsed again.
    Benchmark("parser-\(name)-same-head-again", configuration: .bytes) { benchmark in
      var parser = ResponseParser()
      var memo = HeadMemo()
      benchmark.counting(byteCount: bytes.count) {
        for _ in benchmark.scaledIterations {
          parser.reset(expectsNoBody: false)
          blackHole(bytes.withUnsafeBytes { parser.consume($0, recalling: &memo) })
        }
      }
    }
  }
}

func requestBenchmarks() {
  Benchmark("request-rendered", configuration: .single) { benchmark in
    try benchmark.counting {
      blackHole(
        try RequestTemplate(
          method: "GET", target: "/", host: "127.0.0.1:8080",
          headers: [(name: "Accept", value: "*/*")], body: [], closes: false,
          userAgent: "squall/1.0"))
    }
  }
}
