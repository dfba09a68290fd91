import CSquall
import Glibc
import SquallEngine
import SquallTarget
import Testing

/// A target in threads of this process, for one test. Its rings are those of SQUALL_BACKEND.
func startTarget(
  connectionCountMax: UInt32 = 256, configure: (inout TargetOptions) -> Void = { _ in }
) throws -> Target {
  var options = TargetOptions(address: Address("127.0.0.1", port: 0)!)
  options.connectionCountMax = connectionCountMax
  if let word = getenv("SQUALL_BACKEND") {
    options.backend = try #require(Backend(rawValue: String(cString: word)))
  }
  configure(&options)
  return try Target(options: options, inThreads: true)
}

/// A blocking client that sends what it is told and shows what it got.
final class Peer {
  enum Ending: Equatable { case finished, reset, timedOut }

  private let socket: Int32
  private var isClosed = false

  init(to target: Target) throws {
    let address = target.address.bytes
    socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var time = timeval(tv_sec: 20, tv_usec: 0)
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
    var one: Int32 = 1
    setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
    // A ring that ends interrupts its process's threads; what was begun goes on then.
    var error: Int32
    repeat {
      let result = address.withUnsafeBytes {
        connect(
          socket, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
      }
      error = result == 0 ? 0 : errno
    } while error == EINTR || error == EALREADY
    try #require(error == 0 || error == EISCONN, "connect: errno \(error)")
  }

  deinit { close() }

  func close() {
    guard !isClosed else { return }
    isClosed = true
    Glibc.close(socket)
  }

  /// RST instead of FIN (SO_LINGER of zero, socket(7)).
  func reset() {
    var now = linger(l_onoff: 1, l_linger: 0)
    setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
    close()
  }

  /// Says that nothing more will be sent.
  func finish() { shutdown(socket, Int32(SHUT_WR)) }

  /// False when the target has ended the connection, or takes no more for `withinMs`.
  @discardableResult
  func send(_ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(socket, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return false }
      sent += count
    }
    return true
  }

  @discardableResult
  func send(_ text: String) -> Bool { send(Array(text.utf8)) }

  /// As much of `bytes` as the sockets take without being read from.
  func sendWhatFits(_ bytes: [UInt8]) -> Int {
    bytes.withUnsafeBytes {
      max(
        0,
        Glibc.send(
          socket, $0.baseAddress!, $0.count,
          Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)))
    }
  }

  func get(_ target: String, _ fields: String = "") {
    send("GET \(target) HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
  }

  /// The next `byteCount` bytes, fewer at the end of the connection.
  func read(_ byteCount: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    var got = 0
    while got < byteCount {
      let count = bytes.withUnsafeMutableBytes {
        recv(socket, $0.baseAddress! + got, byteCount - got, 0)
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { break }
      got += count
    }
    return Array(bytes.prefix(got))
  }

  /// What has come, or the next to come; nothing at the end of the connection.
  func readSome() -> [UInt8] {
    var chunk = [UInt8](repeating: 0, count: 65_536)
    var count: Int
    repeat { count = recv(socket, &chunk, chunk.count, 0) } while count < 0 && errno == EINTR
    return Array(chunk.prefix(max(0, count)))
  }

  func readText(_ byteCount: Int) -> String { String(decoding: read(byteCount), as: UTF8.self) }

  /// Whether exactly `text` comes next.
  func expect(_ text: String, _ location: SourceLocation = #_sourceLocation) {
    #expect(readText(text.utf8.count) == text, sourceLocation: location)
  }

  /// Everything until the end of the connection, and what that end was.
  func readToEnd() -> (text: String, ending: Ending) {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = recv(socket, &chunk, chunk.count, 0)
      if count > 0 {
        bytes += chunk[..<count]
        continue
      }
      if count < 0 && errno == EINTR { continue }
      let ending: Ending = count == 0 ? .finished : errno == ECONNRESET ? .reset : .timedOut
      return (String(decoding: bytes, as: UTF8.self), ending)
    }
  }

  /// Whether nothing has come.
  var isSilent: Bool {
    var byte: UInt8 = 0
    return recv(socket, &byte, 1, Int32(MSG_DONTWAIT) | Int32(MSG_PEEK)) < 0
      && errno == EAGAIN
  }

  /// A head and as many body bytes as its Content-Length says.
  func readAnswer() -> (head: String, body: String) {
    var head: [UInt8] = []
    while !head.suffix(4).elementsEqual("\r\n\r\n".utf8) {
      let next = read(1)
      guard !next.isEmpty else { break }
      head += next
    }
    let text = String(decoding: head, as: UTF8.self)
    let lines = text.split(separator: "\r\n")
    let length = lines.first { $0.hasPrefix("Content-Length: ") }.flatMap {
      Int($0.dropFirst("Content-Length: ".count))
    }
    return (text, readText(length ?? 0))
  }
}

/// What `GET /` is answered with.
let hello = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!"

/// A body of that size.
func greetings(_ byteCount: Int) -> [UInt8] {
  let greeting = Array("Hello, world!".utf8)
  return (0..<byteCount).map { greeting[$0 % greeting.count] }
}

/// Turns of other threads until `condition` holds; bounded by a count of turns, each of which lets
/// the target's thread run.
func eventually(_ condition: () -> Bool) -> Bool {
  for _ in 0..<20_000 {
    if condition() { return true }
    var nothing = pollfd()
    poll(&nothing, 0, 1)
  }
  return condition()
}
