internal import CTLS
package import SquallLoad

/// One TLS connection in memory, without a loop: cipher bytes in, cipher bytes out. For one exchange
/// at a time, where copies cost nothing that matters.
@safe package final class TLSConnection {
  private let context: TLSContext
  private let raw: OpaquePointer
  package private(set) var isSecured = false
  /// The peer said that it would send no more.
  package private(set) var wasClosed = false

  package struct Failure: Error, Equatable {
    package var reason: TLSFailure
    /// The peer's, when it sent one.
    package var alert: UInt8
    package var words: String

    package init(reason: TLSFailure, alert: UInt8, words: String) {
      self.reason = reason
      self.alert = alert
      self.words = words
    }
  }

  /// `name` as of `TLSPlan.serverName`; empty on a server.
  package init(_ context: TLSContext, name: String) throws(Failure) {
    let made = unsafe name.withCString {
      unsafe squall_tls_create(context.raw, name.isEmpty ? nil : $0)
    }
    guard let raw = unsafe made else {
      throw Failure(reason: .other, alert: 0, words: "no memory for a connection")
    }
    self.context = context
    unsafe self.raw = raw
  }

  deinit { unsafe squall_tls_destroy(raw) }

  /// Takes cipher bytes, none to begin. Returns what they held for the application. What is then to be
  /// sent, also of a failure, is in `output`.
  package func receive(_ bytes: [UInt8]) throws(Failure) -> [UInt8] {
    var plain: [UInt8] = []
    try receive(bytes, into: &plain)
    return plain
  }

  /// The same; what came before a failure is kept.
  package func receive(_ bytes: [UInt8], into plain: inout [UInt8]) throws(Failure) {
    var bytes = bytes
    if bytes.isEmpty && !isSecured { try step() }
    var offset = 0
    while true {
      var used = 0
      var piece = unsafe squall_tls_bytes()
      let result = unsafe bytes.withUnsafeMutableBufferPointer { buffer in
        let result = unsafe squall_tls_receive(
          raw, buffer.baseAddress.map { unsafe $0 + offset }, buffer.count - offset, &used, &piece)
        if result == SQUALL_TLS_READY {
          unsafe plain += Array(UnsafeBufferPointer(start: piece.bytes, count: piece.count))
        }
        return result
      }
      offset += used
      switch result {
      case SQUALL_TLS_READY: continue
      case SQUALL_TLS_STEP:
        try step()
        guard isSecured else { return }
      case SQUALL_TLS_CLOSED:
        wasClosed = true
        return
      case SQUALL_TLS_FAILED: throw failure
      default: return
      }
    }
  }

  private func step() throws(Failure) {
    switch unsafe squall_tls_step(raw) {
    case SQUALL_TLS_READY: isSecured = true
    case SQUALL_TLS_FAILED: throw failure
    default: break
    }
  }

  private var failure: Failure {
    var raw = squall_tls_failure()
    unsafe squall_tls_failure(self.raw, &raw)
    return Failure(
      reason: TLSFailure(rawValue: UInt8(raw.reason.rawValue)) ?? .other, alert: raw.alert,
      words: raw.words)
  }

  /// What is to be sent now, which is then regarded as sent.
  package func output() -> [UInt8] {
    let output = unsafe squall_tls_output(raw)
    defer { unsafe squall_tls_output_taken(raw) }
    return unsafe Array(UnsafeBufferPointer(start: output.bytes, count: output.count))
  }

  /// Seals application bytes, behind `output`.
  package func seal(_ plain: [UInt8]) throws(Failure) -> [UInt8] {
    let capacity = unsafe squall_tls_sealed_bytes_max(raw, plain.count)
    let sealed = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
      count = unsafe squall_tls_seal(raw, plain, plain.count, buffer.baseAddress)
    }
    guard !sealed.isEmpty else { throw failure }
    return sealed
  }

  /// close_notify.
  package func sealClose() -> [UInt8] {
    let capacity = unsafe squall_tls_sealed_bytes_max(raw, 2)
    return unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
      count = unsafe squall_tls_seal_close(raw, buffer.baseAddress)
    }
  }

  /// Announces new keys of ours, and with `asks` wants the peer to change its own (RFC 8446 4.6.3).
  package func sealKeyUpdate(asks: Bool) -> [UInt8] {
    let capacity = unsafe squall_tls_sealed_bytes_max(raw, 5)
    return unsafe [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
      count = unsafe squall_tls_seal_key_update(raw, asks, buffer.baseAddress)
    }
  }

  /// Of a secured connection.
  package var facts: TLSFacts { TLSFacts(rawFacts) }
  package var isResumed: Bool { rawFacts.is_resumed }
  package var wasRetried: Bool { rawFacts.was_retried }
  package var opensRecords: Bool { rawFacts.opens_records }

  private var rawFacts: squall_tls_facts {
    var facts = squall_tls_facts()
    unsafe squall_tls_facts(raw, &facts)
    return facts
  }
}
