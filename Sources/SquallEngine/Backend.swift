internal import CSquall

/// What a ring stands on.
package enum Backend: String, CaseIterable, Sendable {
  /// io_uring, or epoll where the kernel refuses io_uring or has too old a one.
  case auto
  case ioUring = "io_uring"
  case epoll

  var raw: squall_backend {
    switch self {
    case .auto: SQUALL_BACKEND_AUTO
    case .ioUring: SQUALL_BACKEND_URING
    case .epoll: SQUALL_BACKEND_EPOLL
    }
  }
}
