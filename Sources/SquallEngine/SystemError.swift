internal import Glibc

/// A call into the kernel that failed: the world's doing, not ours.
package struct SystemError: Error, Equatable, CustomStringConvertible {
  package let call: String
  package let errno: Int32

  package init(call: String, errno: Int32) {
    self.call = call
    self.errno = errno
  }

  /// The result of a C call that returns -errno on failure.
  @discardableResult
  package static func check(_ call: String, _ result: Int32) throws(SystemError) -> Int32 {
    guard result >= 0 else { throw SystemError(call: call, errno: -result) }
    return result
  }

  /// The failure errno tells of right after a C call.
  package static func last(_ call: String) -> SystemError {
    SystemError(call: call, errno: Glibc.errno)
  }

  package var description: String { "\(call): \(Self.explain(errno))" }

  /// strerror(3).
  package static func explain(_ errno: Int32) -> String {
    guard let text = unsafe strerror(errno) else { return "error \(errno)" }
    return unsafe String(cString: text)
  }
}

/// A call that returns -1 on failure, made again as long as signals interrupt it. The kernel does not
/// restart reads and writes of a socket that has a time limit (signal(7)).
package func uninterrupted(_ call: () -> Int) -> Int {
  while true {
    let result = call()
    if result >= 0 || errno != EINTR { return result }
  }
}
