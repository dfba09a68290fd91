import Foundation
import Glibc
import Testing

/// A server that does with each connection what a test's script says, on a thread for each.
final class Scripted: @unchecked Sendable {
  /// One accepted connection, with blocking calls; closed when the script returns.
  final class Connection {
    let socket: Int32
    /// Connections are counted from 0, the program's look whether somebody listens among them.
    let number: Int
    private var isClosed = false
    private var pending: [UInt8] = []

    init(socket: Int32, number: Int) {
      self.socket = socket
      self.number = number
      var time = timeval(tv_sec: 20, tv_usec: 0)
      setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
      setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
      var one: Int32 = 1
      setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
    }

    deinit { close() }

    /// False when the peer takes no more.
    @discardableResult
    func write(_ text: String) -> Bool { write(Array(text.utf8)) }

    @discardableResult
    func write(_ all: [UInt8]) -> Bool {
      var bytes = all[...]
      while !bytes.isEmpty {
        let count = bytes.withUnsafeBytes {
          send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        guard count > 0 else { return false }
        bytes = bytes.dropFirst(count)
      }
      return true
    }

    /// The next request's head; nil at the end of the connection.
    func head() -> String? {
      while true {
        if let end = pending.firstRange(of: Array("\r\n\r\n".utf8)) {
          defer { pending.removeSubrange(..<end.upperBound) }
          return String(decoding: pending[..<end.upperBound], as: UTF8.self)
        }
        guard let more = read() else { return nil }
        pending += more
      }
    }

    /// The next bytes, so many; nil at the end of the connection.
    func take(_ count: Int) -> [UInt8]? {
      while pending.count < count {
        guard let more = read() else { return nil }
        pending += more
      }
      defer { pending.removeFirst(count) }
      return Array(pending.prefix(count))
    }

    /// Bytes are here that nobody took yet.
    var hasMore: Bool {
      var look = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
      return !pending.isEmpty || poll(&look, 1, 0) > 0
    }

    func read() -> [UInt8]? {
      var room = [UInt8](repeating: 0, count: 65_536)
      let count = recv(socket, &room, room.count, 0)
      return count > 0 ? Array(room.prefix(count)) : nil
    }

    /// Until the peer ends the connection.
    func readToEnd() { while read() != nil {} }

    /// RST instead of FIN (SO_LINGER of zero, socket(7)).
    func reset() {
      var now = linger(l_onoff: 1, l_linger: 0)
      setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
      close()
    }

    func close() {
      guard !isClosed else { return }
      isClosed = true
      Glibc.close(socket)
    }
  }

  static let hello = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!"

  let port: UInt16
  var url: String { "http://127.0.0.1:\(port)/" }
  private let listening: Int32
  private let lock = NSLock()
  private var requests = 0
  private var peers: [String: Int] = [:]
  private var isEnded = false

  /// A server in which `script` is called for each connection. What it does there is of its own making.
  init(_ script: @escaping @Sendable (Connection, Scripted) -> Void) throws {
    (listening, port) = try listener()
    Thread.detachNewThread { [self, listening] in
      var number = 0
      while true {
        var address = sockaddr_in()
        var byteCount = socklen_t(MemoryLayout<sockaddr_in>.size)
        let socket = withUnsafeMutablePointer(to: &address) { pointer in
          pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            accept(listening, $0, &byteCount)
          }
        }
        guard socket >= 0 else {
          if errno == EINTR || errno == ECONNABORTED { continue }
          return
        }
        _ = fcntl(socket, F_SETFD, FD_CLOEXEC)
        let bits = UInt32(bigEndian: address.sin_addr.s_addr)
        let peer = [24, 16, 8, 0].map { "\(bits >> $0 & 255)" }.joined(separator: ".")
        lock.withLock { peers[peer, default: 0] += 1 }
        let connection = Connection(socket: socket, number: number)
        number += 1
        nonisolated(unsafe) let lent = connection
        Thread.detachNewThread { script(lent, self) }
      }
    }
  }

  /// One that answers every request with `answer` after reading its head.
  convenience init(answer: String) throws {
    try self.init { connection, server in
      while connection.head() != nil {
        server.note()
        guard connection.write(answer) else { return }
      }
    }
  }

  /// Accepts no more. The threads of open connections end with their peers.
  func end() {
    guard !isEnded else { return }
    isEnded = true
    shutdown(listening, Int32(SHUT_RDWR))
    close(listening)
  }

  /// A request was read.
  func note() { lock.withLock { requests += 1 } }

  var requestCount: Int { lock.withLock { requests } }
  /// Connections by the address they came from.
  var connectionsByPeer: [String: Int] { lock.withLock { peers } }
}
