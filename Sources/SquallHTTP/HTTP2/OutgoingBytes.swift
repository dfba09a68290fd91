/// Where a connection writes what is to be sent: memory of the caller's, filled from its start.
@safe package struct OutgoingBytes {
  private let buffer: UnsafeMutableRawBufferPointer
  package private(set) var byteCount = 0

  /// The memory outlives this. 16 KiB or more, and the longest `headByteCountMax` of the requests:
  /// then whatever a connection has to say at once fits.
  @safe package init(_ buffer: UnsafeMutableRawBufferPointer) {
    unsafe self.buffer = buffer
  }

  package var room: Int {
    @inline(__always) get { unsafe buffer.count &- byteCount }
  }

  @inline(__always)
  mutating func append(_ bytes: ByteCursor) {
    precondition(bytes.byteCount <= room, "more bytes than the caller has room for")
    unsafe bytes.copy(to: buffer, at: byteCount)
    byteCount &+= bytes.byteCount
  }

  /// `offset` counts from where this began.
  @inline(__always)
  mutating func store<Number: FixedWidthInteger & BitwiseCopyable>(
    bigEndian number: Number, at offset: Int
  ) {
    precondition(offset + MemoryLayout<Number>.size <= byteCount, "stored outside what is written")
    unsafe buffer.storeBytes(of: number.bigEndian, toByteOffset: offset, as: Number.self)
  }

  /// The word at `offset`, counted from where this began.
  func load(bigEndianAt offset: Int) -> UInt32 {
    precondition(offset + 4 <= byteCount, "read outside what is written")
    return unsafe UInt32(bigEndian: buffer.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  mutating func append<Number: FixedWidthInteger & BitwiseCopyable>(bigEndian number: Number) {
    precondition(MemoryLayout<Number>.size <= room, "more bytes than the caller has room for")
    unsafe buffer.storeBytes(of: number.bigEndian, toByteOffset: byteCount, as: Number.self)
    byteCount &+= MemoryLayout<Number>.size
  }

  package mutating func append(_ bytes: UnsafeRawBufferPointer) {
    unsafe append(ByteCursor(bytes))
  }

  /// `fill` writes `byteCount` bytes.
  mutating func append(byteCount: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) {
    precondition(byteCount <= room, "more bytes than the caller has room for")
    unsafe fill(
      UnsafeMutableRawBufferPointer(rebasing: buffer[self.byteCount..<self.byteCount + byteCount]))
    self.byteCount &+= byteCount
  }

  mutating func append(_ header: FrameHeader) {
    append(bigEndian: header.firstWord)
    append(bigEndian: header.flags)
    append(bigEndian: header.streamID)
  }
}
