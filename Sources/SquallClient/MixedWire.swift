internal import SquallLoad

/// TLS to some origins, or to all, and bytes as they are to the others. Rows take the origins in turn.
@safe struct MixedWire: Wire, ~Copyable {
  static var seals: Bool { true }
  static var outputByteCountMax: Int { TLSWire.outputByteCountMax }

  private var sealed: TLSWire
  private let plain = PlainWire()
  private let isSealed: [Bool]

  init(_ sealed: consuming TLSWire, isSealed: [Bool]) {
    self.sealed = sealed
    self.isSealed = isSealed
  }

  @inline(__always)
  func secures(_ row: Int) -> Bool { isSealed[row % isSealed.count] }

  mutating func opened(_ row: Int) { if secures(row) { sealed.opened(row) } }
  mutating func closed(_ row: Int) { if secures(row) { sealed.closed(row) } }

  mutating func step(_ row: Int) -> Arrival { secures(row) ? sealed.step(row) : .secured }

  mutating func take(_ row: Int, _ bytes: inout UnsafeMutableRawBufferPointer) -> Arrival {
    secures(row) ? unsafe sealed.take(row, &bytes) : unsafe plain.take(row, &bytes)
  }

  func sealedByteCountMax(_ byteCount: Int) -> Int { sealed.sealedByteCountMax(byteCount) }

  mutating func seal(
    _ row: Int, _ bytes: UnsafeRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer
  ) -> Int {
    guard !secures(row) else { return unsafe sealed.seal(row, bytes, into: buffer) }
    unsafe buffer.copyMemory(from: bytes)
    return bytes.count
  }

  func output(_ row: Int) -> UnsafeRawBufferPointer {
    secures(row) ? unsafe sealed.output(row) : unsafe plain.output(row)
  }

  mutating func outputTaken(_ row: Int) { if secures(row) { sealed.outputTaken(row) } }

  func speaks(_ row: Int, asHTTP2: Bool) -> Bool {
    secures(row) ? sealed.speaks(row, asHTTP2: asHTTP2) : plain.speaks(row, asHTTP2: asHTTP2)
  }

  func wasAnnounced(_ row: Int) -> Bool {
    secures(row) ? sealed.wasAnnounced(row) : plain.wasAnnounced(row)
  }

  func noteSecured(_ row: Int, in log: IntervalLog) {
    if secures(row) { sealed.noteSecured(row, in: log) }
  }

  func noteFailure(_ row: Int, otherwise: TLSFailure, in log: IntervalLog) {
    if secures(row) { sealed.noteFailure(row, otherwise: otherwise, in: log) }
  }

  mutating func turned() { sealed.turned() }
}
