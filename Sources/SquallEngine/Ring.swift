internal import CSquall
internal import Glibc

/// One completion of the ring, laid out as C hands it out.
package struct Completion {
  /// Of the operation that it completes: a `Token`.
  package var token: UInt64 = 0
  /// What the operation's system call would return: a count, a descriptor or -errno.
  package var result: Int32 = 0
  private var flags: UInt32 = 0

  package init() {}

  /// The provided buffer the kernel filled, which must be recycled whatever became of its asker.
  package var buffer: UInt16? {
    flags & SQUALL_HAS_BUFFER != 0 ? UInt16(truncatingIfNeeded: flags &>> 16) : nil
  }

  /// The operation stays armed and will complete again.
  package var hasMore: Bool { flags & SQUALL_HAS_MORE != 0 }
}

/// An io_uring with its registered files and provided buffers, or the same over epoll, used by the
/// thread that made it.
///
/// The operations queue; `enter` submits. See io_uring(7).
@safe package struct Ring: ~Copyable {
  package struct Options {
    package var backend = Backend.auto
    package var submissionCount: UInt32
    package var completionCount: UInt32
    /// Slots for sockets.
    package var fileCount: UInt32
    package var bufferCount: UInt32
    package var bufferByteCount: UInt32
    /// Fewer and larger buffers, lent in the place of the others once one of those came full; 0 to
    /// stay with those.
    package var largeBufferCount: UInt32
    package var largeBufferByteCount: UInt32 = 16_384

    /// Sizes for `connections` sockets: one provided buffer each within 64 ... 4,096, at most 256
    /// when they are large (a burst beyond that ends in ENOBUFS, which only costs a re-arm), and
    /// queues that hold a turn in which each connection sends.
    package init(connections: Int, bufferByteCount: UInt32 = 2_048) {
      let size = UInt32(max(64, min(connections, 4_096)))
      let power = UInt32(1) << UInt32(32 - (size - 1).leadingZeroBitCount)
      submissionCount = power
      completionCount = power * 4
      fileCount = UInt32(max(1, connections))
      bufferCount = power
      self.bufferByteCount = bufferByteCount
      largeBufferCount = min(power, 256)
    }
  }

  private let raw: OpaquePointer

  package init(_ options: Options) throws(SystemError) {
    var wanted = squall_ring_options(
      backend: options.backend.raw, submission_count: options.submissionCount,
      completion_count: options.completionCount,
      file_count: options.fileCount, buffer_count: options.bufferCount,
      buffer_bytes: options.bufferByteCount, large_buffer_count: options.largeBufferCount,
      large_buffer_bytes: options.largeBufferByteCount)
    var failure = unsafe squall_failure()
    guard let raw = unsafe squall_ring_create(&wanted, &failure) else {
      throw unsafe SystemError(call: String(cString: failure.call), errno: failure.error)
    }
    unsafe self.raw = raw
  }

  deinit { unsafe squall_ring_destroy(raw) }

  /// What it came to stand on: never `auto`.
  package var backend: Backend {
    unsafe squall_ring_backend(raw) == SQUALL_BACKEND_EPOLL ? .epoll : .ioUring
  }

  package var features: RingFeatures {
    unsafe RingFeatures(
      waitsAbsolutely: squall_ring_waits_absolutely(raw),
      connectsInRing: squall_ring_connects_in_ring(raw))
  }

  /// System calls so far.
  package var systemCalls: UInt64 { unsafe squall_ring_call_count(raw) }

  /// The kernel did not take all that was queued before the last `enter`, for want of memory: bytes
  /// that go once it has are still to be read.
  package var isBehind: Bool { unsafe squall_ring_is_behind(raw) }

  /// Submits what is queued and waits for a completion until `deadlineNs` of the monotonic clock:
  /// 0 does not wait, `UInt64.max` waits without end.
  @inline(__always)
  package func enter(deadlineNs: UInt64) throws(SystemError) {
    let result = unsafe squall_ring_enter(raw, deadlineNs)
    guard result == 0 else { throw SystemError(call: "wait in the ring", errno: -result) }
  }

  /// Whether `enter` would find completions without waiting.
  package var hasWork: Bool {
    @inline(__always) get { unsafe squall_ring_has_work(raw) }
  }

  @inline(__always)
  package func take(_ completions: UnsafeMutableBufferPointer<Completion>) -> Int {
    unsafe completions.withMemoryRebound(to: squall_completion.self) { completions in
      unsafe Int(squall_ring_take(raw, completions.baseAddress, UInt32(completions.count)))
    }
  }

  /// The bytes a receive completion brought, to be read or changed until its buffer is recycled.
  @inline(__always)
  package func bytes(_ buffer: UInt16, count: Int32) -> UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(
      mutating: UnsafeRawBufferPointer(
        start: squall_ring_buffer(raw, buffer), count: Int(count)))
  }

  @inline(__always)
  package func recycle(_ buffer: UInt16) { unsafe squall_ring_recycle(raw, buffer) }

  /// Throws when the socket could not even be made; otherwise one completion tells the outcome. The
  /// addresses are those of the lists at `peer` and `source`, which must stay in place until the
  /// ring was entered and is not behind.
  package func connect(
    slot: UInt32, to peers: borrowing AddressList, _ peer: Int,
    from sources: borrowing AddressList, _ source: Int, token: Token
  ) throws(SystemError) {
    try SystemError.check(
      "socket",
      unsafe squall_ring_connect(
        raw, slot, peers.pointer(peer), sources.count == 0 ? nil : sources.pointer(source),
        token.bits))
  }

  /// As `connect`, with a socket that is connected already. The descriptor stays the caller's.
  package func adopt(slot: UInt32, descriptor: Int32, token: Token) throws(SystemError) {
    try SystemError.check(
      "adopt a socket", unsafe squall_ring_adopt(raw, slot, descriptor, token.bits))
  }

  // What is queued below is never refused: it goes with the next `enter`, or with one after it when
  // the kernel is short of memory.

  @inline(__always)
  private func queue(
    _ kind: squall_operation_kind, _ file: Int32, isSilent: Bool = false, target: UInt64 = 0,
    token: Token
  ) {
    unsafe queue(
      squall_operation(
        kind: kind, file: file, bytes: nil, byte_count: 0, is_silent: isSilent, target: target,
        token: token.bits))
  }

  @inline(__always)
  private func queue(
    _ kind: squall_operation_kind, _ file: Int32, _ bytes: UnsafeRawBufferPointer,
    isSilent: Bool = false, token: Token
  ) {
    unsafe queue(
      squall_operation(
        kind: kind, file: file, bytes: bytes.baseAddress, byte_count: UInt32(bytes.count),
        is_silent: isSilent, target: 0, token: token.bits))
  }

  @inline(__always)
  private func queue(_ operation: squall_operation) {
    var operation = unsafe operation
    unsafe squall_ring_queue(raw, &operation)
  }

  /// Receives until a completion comes without `hasMore`.
  @inline(__always)
  package func receive(slot: UInt32, token: Token) {
    queue(SQUALL_RECEIVE, Int32(bitPattern: slot), token: token)
  }

  /// Sends bytes that stay in place until the peer has answered. With `isSilent` only a failure
  /// completes.
  @inline(__always)
  package func send(slot: UInt32, bytes: UnsafeRawBufferPointer, isSilent: Bool, token: Token) {
    unsafe queue(
      SQUALL_SEND, Int32(bitPattern: slot), bytes, isSilent: isSilent, token: token)
  }

  /// Sends what the socket takes at once of bytes that may go once the ring was entered and is not
  /// behind. With `isSilent` only a send that was cut short completes, with the bytes it took or
  /// -EAGAIN.
  @inline(__always)
  package func sendNow(slot: UInt32, bytes: UnsafeRawBufferPointer, isSilent: Bool, token: Token) {
    unsafe queue(
      SQUALL_SEND_NOW, Int32(bitPattern: slot), bytes, isSilent: isSilent, token: token)
  }

  /// Completes once when the socket takes bytes again or is broken.
  package func awaitRoom(slot: UInt32, token: Token) {
    queue(SQUALL_AWAIT_ROOM, Int32(bitPattern: slot), token: token)
  }

  /// Sends a FIN behind what was sent, and completes. The slot must not be closed before: the socket
  /// is looked up only when a thread of the kernel gets to it.
  package func finish(slot: UInt32, token: Token) {
    queue(SQUALL_FINISH, Int32(bitPattern: slot), token: token)
  }

  /// Sends a RST, in silence; the slot stays taken until it is closed.
  package func reset(slot: UInt32, token: Token) {
    queue(SQUALL_RESET, Int32(bitPattern: slot), isSilent: true, token: token)
  }

  /// Ends the operation that `target` armed, and completes when there was none.
  package func cancel(_ target: Token, token: Token) {
    queue(
      SQUALL_CANCEL, Int32(bitPattern: target.slot), isSilent: true, target: target.bits,
      token: token)
  }

  /// Closes the socket in silence.
  package func close(slot: UInt32, token: Token) {
    queue(SQUALL_CLOSE, Int32(bitPattern: slot), isSilent: true, token: token)
  }

  package func accept(listener: Int32, token: Token) {
    queue(SQUALL_ACCEPT, listener, token: token)
  }

  package func read(fd: Int32, into bytes: UnsafeMutableRawBufferPointer, token: Token) {
    unsafe queue(SQUALL_READ, fd, UnsafeRawBufferPointer(bytes), token: token)
  }

  package func write(fd: Int32, bytes: UnsafeRawBufferPointer, token: Token) {
    unsafe queue(SQUALL_WRITE, fd, bytes, token: token)
  }

  /// What a ring comes to stand on here when `wanted` is asked for.
  package static func backend(for wanted: Backend) throws(SystemError) -> Backend {
    var options = Options(connections: 64)
    options.backend = wanted
    return try Ring(options).backend
  }

  /// Why this host gives no such ring; nil when it does.
  package static func refusal(of backend: Backend) -> SystemError? {
    do throws(SystemError) {
      _ = try self.backend(for: backend)
      return nil
    } catch {
      return error
    }
  }

  /// The cause behind a failed set-up and what to do about it.
  package static func explain(_ error: SystemError) -> String {
    switch error.errno {
    case ENOSYS:
      "io_uring is not there (\(error)): the kernel is older than 5.1 or built without it, or a "
        + "container's seccomp profile hides it. Use Linux 6.1 or newer; in a container, run with "
        + "a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register."
    case EPERM, EACCES:
      "io_uring is forbidden (\(error)): kernel.io_uring_disabled is set, or a container's seccomp "
        + "profile denies it. Set `sysctl -w kernel.io_uring_disabled=0`, or run the container "
        + "with a seccomp profile that allows io_uring."
    case EINVAL:
      "this kernel's io_uring is too old (\(error)). It takes Linux 6.1 or newer "
        + "(multishot receive, provided buffer rings, DEFER_TASKRUN)."
    case ENOMEM:
      "there is not enough memory for the ring (\(error)): raise `ulimit -l` (memlock) or the "
        + "container's memory limit."
    case EMFILE, ENFILE:
      "there are not enough file descriptors (\(error)): raise `ulimit -n` to the number of "
        + "connections plus 64."
    default:
      "the ring could not be set up (\(error)); `squall doctor` shows what this host allows."
    }
  }
}
