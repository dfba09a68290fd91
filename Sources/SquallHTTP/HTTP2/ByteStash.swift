/// Bytes of its own, kept until more of them or a better time comes. Grows by doubling and never
/// shrinks, so that a connection in its steady state allocates nothing.
@safe struct ByteStash: ~Copyable {
  private var base: UnsafeMutableRawPointer?
  private var capacity = 0
  private(set) var byteCount = 0

  init() { unsafe base = nil }

  deinit { unsafe base?.deallocate() }

  /// The bytes, until the stash changes.
  var cursor: ByteCursor {
    guard let base = unsafe base else { return .empty }
    return unsafe ByteCursor(at: base, end: base + byteCount)
  }

  mutating func removeAll() { byteCount = 0 }

  mutating func append(_ bytes: ByteCursor) {
    guard !bytes.isEmpty else { return }
    let to = unsafe grow(by: bytes.byteCount)
    unsafe to.copyMemory(from: bytes.at, byteCount: bytes.byteCount)
  }

  mutating func append<Number: FixedWidthInteger & BitwiseCopyable>(bigEndian number: Number) {
    let to = unsafe grow(by: MemoryLayout<Number>.size)
    unsafe to.storeBytes(of: number.bigEndian, as: Number.self)
  }

  /// Nine bytes (RFC 9113 4.1).
  mutating func append(_ header: FrameHeader) {
    append(bigEndian: header.firstWord)
    append(bigEndian: header.flags)
    append(bigEndian: header.streamID)
  }

  /// Makes room for `added` more bytes and counts them as here.
  private mutating func grow(by added: Int) -> UnsafeMutableRawPointer {
    let wanted = byteCount + added
    if wanted > capacity {
      capacity = max(capacity * 2, wanted, 128)
      let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
      if let base = unsafe base {
        unsafe larger.copyMemory(from: base, byteCount: byteCount)
        unsafe base.deallocate()
      }
      unsafe base = larger
    }
    defer { byteCount = wanted }
    guard let base = unsafe base else { preconditionFailure("a stash without memory has no room") }
    return unsafe base + byteCount
  }
}

extension ByteCursor {
  private static let nothing: StaticString = ""

  static var empty: ByteCursor {
    unsafe ByteCursor(at: nothing.utf8Start, end: nothing.utf8Start)
  }

  @inline(__always)
  init(_ text: StaticString) {
    unsafe self.init(at: text.utf8Start, end: text.utf8Start + text.utf8CodeUnitCount)
  }

  @inline(__always)
  init(_ bytes: UnsafeRawBufferPointer) {
    guard let start = bytes.baseAddress else {
      self = .empty
      return
    }
    unsafe self.init(at: start, end: start + bytes.count)
  }

  /// Takes the next `count` bytes off, or all when fewer are here.
  @inline(__always)
  mutating func take(upTo count: UInt32) -> ByteCursor {
    let taken = prefix(count)
    skip(taken.byteCount)
    return taken
  }

  /// Takes the next byte off, nil at the end.
  @inline(__always)
  mutating func takeByte() -> UInt8? {
    guard let byte = first else { return nil }
    skip()
    return byte
  }

  /// Whether both hold the same bytes.
  @inline(__always)
  func equals(_ other: ByteCursor) -> Bool {
    guard byteCount == other.byteCount else { return false }
    guard byteCount >= 16 else {
      for index in 0..<byteCount {
        guard
          unsafe at.load(fromByteOffset: index, as: UInt8.self)
            == other.at.load(fromByteOffset: index, as: UInt8.self)
        else { return false }
      }
      return true
    }
    return unsafe begins(with: UnsafeRawBufferPointer(start: other.at, count: other.byteCount))
  }

  /// The bytes, for someone outside.
  var buffer: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: at, count: byteCount)
  }
}
