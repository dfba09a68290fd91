import Foundation
import Glibc

/// A connection of the suite's own to a target, to read its count. Blocking, with a timeout.
package final class Probe {
  private let port: UInt16
  private var fd: Int32 = -1

  package init(port: UInt16) {
    self.port = port
  }

  deinit {
    if fd >= 0 { close(fd) }
  }

  /// Whether somebody takes connections there.
  package func isTaken() -> Bool {
    guard let socket = Self.connect(port: port, timeoutSeconds: 2) else { return false }
    close(socket)
    return true
  }

  /// The body of the answer to `GET path`; nil when there is none within two seconds.
  package func get(_ path: String) -> String? {
    if fd < 0 { fd = Self.connect(port: port, timeoutSeconds: 2) ?? -1 }
    guard fd >= 0 else { return nil }
    let request = Array("GET \(path) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\n\r\n".utf8)
    guard send(fd, request, request.count, Int32(MSG_NOSIGNAL)) == request.count,
      let body = answer()
    else {
      close(fd)
      fd = -1
      return nil
    }
    return body
  }

  private func answer() -> String? {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16_384)
    while true {
      let got = recv(fd, &chunk, chunk.count, 0)
      guard got > 0 else { return nil }
      bytes += chunk[..<got]
      if let body = Self.body(of: bytes) { return body }
    }
  }

  /// The body once it is complete: by its length, or by its chunks (RFC 9112 section 7.1).
  package static func body(of bytes: [UInt8]) -> String? {
    let text = String(decoding: bytes, as: UTF8.self)
    guard let end = text.range(of: "\r\n\r\n") else { return nil }
    let head = text[..<end.lowerBound].lowercased()
    let rest = text[end.upperBound...]
    if let field = head.range(of: "\r\ncontent-length:") {
      let digits = head[field.upperBound...].prefix { $0 != "\r\n" && $0 != "\r" }
      guard let count = Int(digits.trimmed), rest.utf8.count >= count else { return nil }
      return String(rest.prefix(count))
    }
    guard head.contains("\r\ntransfer-encoding: chunked"), rest.hasSuffix("0\r\n\r\n") else {
      return nil
    }
    return rest.split(separator: "\r\n").enumerated().compactMap { index, line in
      index % 2 == 1 ? String(line) : nil
    }.joined()
  }

  private static func connect(port: UInt16, timeoutSeconds: Int) -> Int32? {
    let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard fd >= 0 else { return nil }
    var time = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
    let size = socklen_t(MemoryLayout<timeval>.size)
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, size)
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, size)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard result == 0 else {
      close(fd)
      return nil
    }
    return fd
  }

  /// A port nobody listens on at this moment.
  package static func freePort() -> UInt16 {
    let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(fd) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    return withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(fd, $0, length)
        getsockname(fd, $0, &length)
      }
      return UInt16(bigEndian: $0.pointee.sin_port)
    }
  }
}
