/// The fields of the last answer to each request in which nothing was watched. Under load a server sends the
/// same ones again and again; comparing takes a tenth of the time that reading does.
@safe struct DullFields: ~Copyable {
  /// Longer ones are read each time.
  static let byteCountMax = 512
  /// Those of later requests are read each time.
  static let requestCountMax = 64

  private let requestCount: Int
  private let bytes: UnsafeMutablePointer<UInt8>
  /// 0 where nothing is kept.
  private let byteCounts: UnsafeMutablePointer<UInt16>

  init(requestCount: Int) {
    self.requestCount = min(requestCount, Self.requestCountMax)
    unsafe bytes = .allocate(capacity: max(1, self.requestCount * Self.byteCountMax))
    unsafe bytes.initialize(repeating: 0, count: self.requestCount * Self.byteCountMax)
    unsafe byteCounts = .allocate(capacity: max(1, self.requestCount))
    unsafe byteCounts.initialize(repeating: 0, count: self.requestCount)
  }

  deinit {
    unsafe bytes.deallocate()
    unsafe byteCounts.deallocate()
  }

  /// The bytes begin with the head of a final answer, whole, whose fields these are.
  @inline(__always)
  func recallHead(_ bytes: UnsafeRawBufferPointer, of request: Int) -> Bool {
    // "HTTP/1.1 200": of an interim answer the end of its head is not that of the answer's.
    guard request < requestCount, bytes.count > 12, unsafe bytes[9] != UInt8(ascii: "1") else {
      return false
    }
    let start = unsafe bytes.firstCarriageReturn(from: 12) &+ 2
    let count = unsafe Int(byteCounts[request])
    guard count <= bytes.count &- start, count >= 4 else { return false }
    // What was kept may have been a part of a head, up to the end of a line.
    let end = unsafe bytes.loadUnaligned(fromByteOffset: start &+ count &- 4, as: UInt32.self)
    guard end == 0x0a0d_0a0d else { return false }
    return unsafe recall(
      UnsafeRawBufferPointer(rebasing: bytes[start..<start &+ count]), of: request)
  }

  @inline(__always)
  func recall(_ fields: UnsafeRawBufferPointer, of request: Int) -> Bool {
    guard request < requestCount, unsafe Int(byteCounts[request]) == fields.count,
      fields.count > 0
    else { return false }
    let kept = unsafe UnsafeRawPointer(bytes + request &* Self.byteCountMax)
    var index = 0
    while index &+ 8 <= fields.count {
      let isSame =
        unsafe kept.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        == fields.loadUnaligned(fromByteOffset: index, as: UInt64.self)
      guard isSame else { return false }
      index &+= 8
    }
    while index < fields.count {
      guard unsafe kept.load(fromByteOffset: index, as: UInt8.self) == fields[index] else {
        return false
      }
      index &+= 1
    }
    return true
  }

  func keep(_ fields: UnsafeRawBufferPointer, of request: Int) {
    guard request < requestCount, fields.count <= Self.byteCountMax,
      let start = fields.baseAddress
    else { return }
    unsafe UnsafeMutableRawPointer(bytes + request * Self.byteCountMax)
      .copyMemory(from: start, byteCount: fields.count)
    unsafe byteCounts[request] = UInt16(fields.count)
  }
}

extension UnsafeRawBufferPointer {
  /// The first CR from `start` on, or the end.
  @inline(__always)
  func firstCarriageReturn(from start: Int) -> Int {
    var index = start
    while index &+ 8 <= count {
      let word = unsafe UInt64(
        littleEndian: loadUnaligned(fromByteOffset: index, as: UInt64.self))
      // A byte that is zero borrows from its top bit.
      let marked = word ^ 0x0d0d_0d0d_0d0d_0d0d
      let zeros = (marked &- 0x0101_0101_0101_0101) & ~marked & 0x8080_8080_8080_8080
      if zeros != 0 { return index &+ zeros.trailingZeroBitCount / 8 }
      index &+= 8
    }
    while unsafe index < count && self[index] != 0x0d { index &+= 1 }
    return index
  }
}
