internal import CTLS
internal import SquallEngine
internal import SquallLoad
internal import SquallTLS

/// TLS 1.2 and 1.3. Records of 1.3 are opened in the kernel's buffers and sealed into ours; see CTLS.
@safe struct TLSWire: Wire, ~Copyable {
  static var seals: Bool { true }
  /// What the wire may have to say in front of a request; more than this goes alone.
  static var outputByteCountMax: Int { 512 }

  /// Of each origin; rows take them in turn.
  private let contexts: [TLSContext]
  private let serverNames: [[CChar]]
  private let connections: Rows<OpaquePointer?>
  private let announced: Rows<Bool>
  /// Closed in this turn, and in the one before: what the ring was told of them may still be read.
  private var dying = unsafe [OpaquePointer]()
  private var dead = unsafe [OpaquePointer]()

  init(contexts: [TLSContext], serverNames: [String], rowCount: Int) {
    self.contexts = contexts
    self.serverNames = serverNames.map { $0.isEmpty ? [] : Array($0.utf8CString) }
    unsafe connections = Rows(count: rowCount) { nil }
    announced = Rows(count: rowCount) { false }
  }

  func opened(_ row: Int) {
    let origin = row % contexts.count
    let serverName = serverNames[origin]
    unsafe connections[row] = squall_tls_create(
      contexts[origin].raw, serverName.isEmpty ? nil : serverName)
    announced[row] = false
  }

  mutating func closed(_ row: Int) {
    guard let tls = unsafe connections[row] else { return }
    unsafe dying.append(tls)
    unsafe connections[row] = nil
  }

  mutating func turned() {
    guard unsafe !dying.isEmpty || !dead.isEmpty else { return }
    while let tls = unsafe dead.popLast() { unsafe squall_tls_destroy(tls) }
    unsafe swap(&dying, &dead)
  }

  func step(_ row: Int) -> Arrival {
    guard let tls = unsafe connections[row] else { return .failed }
    switch unsafe squall_tls_step(tls) {
    case SQUALL_TLS_READY: return .secured
    case SQUALL_TLS_FAILED: return .failed
    case SQUALL_TLS_CLOSED: return .closed
    default: return .needsMore
    }
  }

  @inline(__always)
  func take(_ row: Int, _ bytes: inout UnsafeMutableRawBufferPointer) -> Arrival {
    guard let tls = unsafe connections[row] else { return .failed }
    var used = 0
    var plain = unsafe squall_tls_bytes()
    let result = unsafe squall_tls_receive(
      tls, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count, &used, &plain)
    unsafe bytes = UnsafeMutableRawBufferPointer(rebasing: bytes[used...])
    switch result {
    case SQUALL_TLS_READY:
      return unsafe .bytes(UnsafeRawBufferPointer(start: plain.bytes, count: plain.count))
    case SQUALL_TLS_STEP: return .stepIsDue
    case SQUALL_TLS_CLOSED:
      announced[row] = true
      return .closed
    case SQUALL_TLS_FAILED: return .failed
    default: return .needsMore
    }
  }

  /// The library's records are the longer ones: header, nonce, tag or CBC's padding.
  func sealedByteCountMax(_ byteCount: Int) -> Int {
    byteCount + (byteCount / 16_384 + 1) * 128 + 256 + Self.outputByteCountMax
  }

  @inline(__always)
  func seal(
    _ row: Int, _ bytes: UnsafeRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer
  ) -> Int {
    guard let tls = unsafe connections[row], let start = buffer.baseAddress else { return 0 }
    let output = unsafe squall_tls_output(tls)
    let outputByteCount = unsafe output.count
    if outputByteCount > 0 {
      // How much there is was up to the peer.
      guard outputByteCount <= Self.outputByteCountMax else { return 0 }
      unsafe buffer.copyMemory(
        from: UnsafeRawBufferPointer(start: output.bytes, count: output.count))
      unsafe squall_tls_output_taken(tls)
    }
    let sealed = unsafe squall_tls_seal(
      tls, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count,
      (start + outputByteCount).assumingMemoryBound(to: UInt8.self))
    return sealed == 0 ? 0 : outputByteCount + sealed
  }

  func output(_ row: Int) -> UnsafeRawBufferPointer {
    guard let tls = unsafe connections[row] else {
      return unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    }
    let output = unsafe squall_tls_output(tls)
    return unsafe UnsafeRawBufferPointer(start: output.bytes, count: output.count)
  }

  func outputTaken(_ row: Int) {
    if let tls = unsafe connections[row] { unsafe squall_tls_output_taken(tls) }
  }

  func speaks(_ row: Int, asHTTP2: Bool) -> Bool {
    guard let tls = unsafe connections[row] else { return false }
    var facts = squall_tls_facts()
    unsafe squall_tls_facts(tls, &facts)
    let (name, byteCount) = (facts.protocol, facts.protocol_bytes)
    let isHTTP2 =
      byteCount == 2 && name.0 == CChar(UInt8(ascii: "h")) && name.1 == CChar(UInt8(ascii: "2"))
    return isHTTP2 == asHTTP2
  }

  func wasAnnounced(_ row: Int) -> Bool { announced[row] }

  func noteSecured(_ row: Int, in log: IntervalLog) {
    guard let tls = unsafe connections[row] else { return }
    var facts = squall_tls_facts()
    unsafe squall_tls_facts(tls, &facts)
    log.found(facts.is_resumed ? .handshakesResumed : .handshakesFull)
    if facts.was_retried { log.found(.handshakesRetried) }
    if !log.has(.tlsFacts) {
      unsafe TLSFacts(facts).sample.withUnsafeBytes { log.keep(.tlsFacts, $0) }
    }
  }

  func noteFailure(_ row: Int, otherwise: TLSFailure, in log: IntervalLog) {
    var failure = squall_tls_failure()
    if let tls = unsafe connections[row] { unsafe squall_tls_failure(tls, &failure) }
    log.found((TLSFailure(rawValue: UInt8(failure.reason.rawValue)) ?? otherwise).finding)
    let words = failure.alert > 0 ? "alert \(failure.alert): \(failure.words)" : failure.words
    guard !words.isEmpty, !log.has(.tlsFailure) else { return }
    unsafe Array(words.utf8).withUnsafeBytes { log.keep(.tlsFailure, $0) }
  }
}
