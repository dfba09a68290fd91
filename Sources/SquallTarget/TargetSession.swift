internal import CTLS
internal import Glibc
internal import SquallHTTP
internal import SquallTLS

/// What a connection has beside its row when its bytes cannot be written a second time: those that TLS
/// has sealed, and the frames of HTTP/2.
@safe struct TargetSession: ~Copyable {
  /// Nil when its bytes go as they are.
  let tls: OpaquePointer?
  /// Set once the client speaks HTTP/2.
  var h2: H2Server?
  /// Requests whose bodies are coming.
  private var begun: [(id: UInt32, request: TargetRequest)] = []
  /// The request that the client repeats, and what it is answered with.
  var usual: (request: TargetRequest, reply: TargetReply)?
  /// What the last send was given: where it lies in the arena until the next turn.
  var sentStart = 0
  var sentByteCount = 0
  /// What the socket did not take, to go before anything else.
  private var backlog: UnsafeMutableRawBufferPointer?
  /// What follows once all that is written is sent.
  var ending = TargetReply.Ending.none

  /// Takes a server's end of TLS over.
  init(_ tls: OpaquePointer?) {
    unsafe self.tls = tls
    unsafe backlog = nil
  }

  deinit {
    unsafe squall_tls_destroy(tls)
    unsafe backlog?.deallocate()
  }

  // MARK: Requests

  mutating func keep(_ request: TargetRequest, _ place: Int) {
    guard let id = h2?.streams[place].id else { return }
    begun.append((id, request))
  }

  mutating func takeRequest(_ place: Int) -> TargetRequest? {
    guard let id = h2?.streams[place].id,
      let index = begun.firstIndex(where: { $0.id == id })
    else { return nil }
    return begun.remove(at: index).request
  }

  mutating func forgetRequest(_ id: UInt32) { begun.removeAll { $0.id == id } }

  // MARK: Bytes

  /// Something waits to be sent whatever the answers are.
  var hasOutput: Bool {
    unsafe backlog != nil || tls.map { unsafe squall_tls_output_bytes($0) > 0 } ?? false
  }

  private var backlogByteCount: Int { unsafe backlog?.count ?? 0 }
  /// What goes right before frames that are not sealed.
  var plainByteCount: Int { unsafe tls == nil ? backlogByteCount : 0 }

  /// The most bytes that `byteCount` of answers become behind all that goes before them.
  func byteCountMax(_ byteCount: Int) -> Int {
    guard let tls = unsafe tls else { return backlogByteCount + byteCount }
    return unsafe backlogByteCount + squall_tls_output_bytes(tls)
      + squall_tls_sealed_bytes_max(tls, byteCount)
  }

  /// Writes what goes before all answers. Returns how many bytes that were.
  mutating func writeOutput(into room: UnsafeMutableRawBufferPointer) -> Int {
    var byteCount = 0
    if let backlog = unsafe backlog {
      unsafe room.copyMemory(from: UnsafeRawBufferPointer(backlog))
      byteCount = backlog.count
      unsafe backlog.deallocate()
      unsafe self.backlog = nil
    }
    guard let tls = unsafe tls else { return byteCount }
    while unsafe squall_tls_output_bytes(tls) > 0 {
      let output = unsafe squall_tls_output(tls)
      unsafe UnsafeMutableRawBufferPointer(rebasing: room[byteCount...]).copyMemory(
        from: UnsafeRawBufferPointer(start: output.bytes, count: output.count))
      byteCount += unsafe output.count
      unsafe squall_tls_output_taken(tls)
    }
    return byteCount
  }

  /// Seals 1 byte or more. Returns how many they became; 0 when TLS has failed.
  func seal(_ bytes: UnsafeRawBufferPointer, into room: UnsafeMutableRawBufferPointer) -> Int {
    unsafe squall_tls_seal(
      tls, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count,
      room.baseAddress?.assumingMemoryBound(to: UInt8.self))
  }

  /// close_notify, unless TLS has failed, whose last word was an alert.
  func sealClose(into room: UnsafeMutableRawBufferPointer) -> Int {
    guard let tls = unsafe tls else { return 0 }
    return unsafe squall_tls_seal_close(
      tls, room.baseAddress?.assumingMemoryBound(to: UInt8.self))
  }

  /// Keeps what the socket did not take of the last send.
  mutating func keep(_ bytes: UnsafeRawBufferPointer) {
    let kept = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    unsafe kept.copyMemory(from: bytes)
    unsafe backlog = kept
  }
}
