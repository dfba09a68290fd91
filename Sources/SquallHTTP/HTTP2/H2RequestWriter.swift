/// Makes of requests that are rendered as HTTP/1.1, each anew, what HTTP/2 sends.
///
/// Fields go as literals that no table keeps (RFC 7541 6.2.2), since their values differ, and need no
/// memory of what a connection has sent before. One serves all connections of a worker.
@safe package struct H2RequestWriter: ~Copyable {
  /// Names of the static table by a hash, in the next free place from it on.
  private static let nameMask = 127

  private let memory: UnsafeMutableRawPointer
  private let byteCountMax: Int
  private let nameIndices: UnsafeMutablePointer<UInt8>
  private let names: [ByteCursor]
  private let scheme: UInt8

  /// - Parameters:
  ///   - headByteCountMax: of the rendered heads.
  ///   - isSecure: they go over TLS.
  package init(headByteCountMax: Int, isSecure: Bool) {
    byteCountMax = Self.framesByteCountMax(ofHead: headByteCountMax)
    unsafe memory = .allocate(byteCount: byteCountMax, alignment: 16)
    names = StaticFields.all.map { ByteCursor($0.name) }
    unsafe nameIndices = .allocate(capacity: Self.nameMask + 1)
    unsafe nameIndices.initialize(repeating: 0, count: Self.nameMask + 1)
    scheme = isSecure ? 7 : 6
    for (place, name) in names.enumerated() where name.first != UInt8(ascii: ":") {
      var hash = unsafe Self.hash(name.buffer)
      while unsafe nameIndices[hash] != 0 { hash = (hash + 1) & Self.nameMask }
      unsafe nameIndices[hash] = UInt8(place + 1)
    }
  }

  deinit {
    unsafe memory.deallocate()
    unsafe nameIndices.deallocate()
  }

  /// What the frames of a head take, at most. A line of HTTP/1.1 has four bytes besides name and value,
  /// and is eight at least where its literal needs more.
  package static func framesByteCountMax(ofHead byteCount: Int) -> Int {
    let blockByteCount = 2 * byteCount + 64
    return blockByteCount
      + (blockByteCount / H2Request.pieceByteCountMax + 1) * FrameHeader.byteCount
  }

  /// The request, until the next one is made; its body lies where it was rendered. Nil when the bytes are
  /// no rendered request.
  @safe package mutating func request(
    _ rendered: UnsafeRawBufferPointer, expectsNoBody: Bool
  ) -> H2Request? {
    var block = unsafe Block(at: memory + FrameHeader.byteCount)
    guard let bodyStart = unsafe write(rendered, to: &block) else { return nil }
    let body = unsafe ByteCursor(UnsafeRawBufferPointer(rebasing: rendered[bodyStart...]))
    let byteCount = frame(blockByteCount: block.byteCount, endsStream: body.isEmpty)
    let head = unsafe ByteCursor(UnsafeRawBufferPointer(start: memory, count: byteCount))
    return H2Request(
      first: head, later: head, plain: head, body: body, addedByteCount: 0,
      expectsNoBody: expectsNoBody)
  }

  /// Where a block is written. There is room: `framesByteCountMax`.
  @safe private struct Block {
    private let start: UnsafeMutablePointer<UInt8>
    private(set) var byteCount = 0

    init(at memory: UnsafeMutableRawPointer) {
      unsafe start = memory.assumingMemoryBound(to: UInt8.self)
    }

    @inline(__always)
    mutating func append(_ byte: UInt8) {
      unsafe start[byteCount] = byte
      byteCount &+= 1
    }

    /// An integer behind the bits of `pattern` (RFC 7541 5.1).
    @inline(__always)
    mutating func append(_ number: Int, prefixBitCount: Int, pattern: UInt8 = 0) {
      let prefixMax = 1 << prefixBitCount - 1
      guard number >= prefixMax else {
        return append(pattern | UInt8(truncatingIfNeeded: number))
      }
      append(pattern | UInt8(truncatingIfNeeded: prefixMax))
      var rest = number - prefixMax
      while rest >= 0x80 {
        append(UInt8(truncatingIfNeeded: rest & 0x7F | 0x80))
        rest >>= 7
      }
      append(UInt8(truncatingIfNeeded: rest))
    }

    /// A string as it is (RFC 7541 5.2).
    @inline(__always)
    mutating func append(_ text: UnsafeRawBufferPointer) {
      append(text.count, prefixBitCount: 7)
      guard let base = text.baseAddress else { return }
      unsafe UnsafeMutableRawPointer(start + byteCount).copyMemory(
        from: base, byteCount: text.count)
      byteCount &+= text.count
    }

    /// A name, in small letters (RFC 9113 8.2).
    @inline(__always)
    mutating func append(name: UnsafeRawBufferPointer) {
      append(name.count, prefixBitCount: 7)
      for index in 0..<name.count { append(H2RequestWriter.small(unsafe name[index])) }
    }
  }

  /// Writes the head's fields. Where the body begins; nil when this is no head.
  private func write(_ rendered: UnsafeRawBufferPointer, to block: inout Block) -> Int? {
    var line = unsafe Lines(rendered)
    guard let first = unsafe line.next(), let methodEnd = unsafe first.place(of: 0x20),
      let targetEnd = unsafe first.lastPlace(of: 0x20), targetEnd > methodEnd
    else { return nil }
    let method = unsafe UnsafeRawBufferPointer(rebasing: first[..<methodEnd])
    if unsafe Self.isSame(method, Self.get) {
      block.append(0x82)
    } else if unsafe Self.isSame(method, Self.post) {
      block.append(0x83)
    } else {
      block.append(0x02)
      unsafe block.append(method)
    }
    block.append(0x80 | scheme)
    block.append(0x04)
    unsafe block.append(UnsafeRawBufferPointer(rebasing: first[methodEnd + 1..<targetEnd]))
    // Pseudo fields lead (RFC 9113 8.3), and the host is one.
    var fields = line
    while let field = unsafe line.next(), unsafe !field.isEmpty {
      guard let nameEnd = unsafe field.place(of: 0x3A) else { return nil }
      let name = unsafe UnsafeRawBufferPointer(rebasing: field[..<nameEnd])
      guard unsafe staticIndex(of: name) == Self.hostIndex else { continue }
      block.append(0x01)
      unsafe block.append(Self.value(of: field, behind: nameEnd))
      break
    }
    while let field = unsafe fields.next() {
      guard unsafe !field.isEmpty else { return fields.place }
      guard let nameEnd = unsafe field.place(of: 0x3A) else { return nil }
      let name = unsafe UnsafeRawBufferPointer(rebasing: field[..<nameEnd])
      let index = unsafe staticIndex(of: name)
      guard index != Self.hostIndex else { continue }
      block.append(index, prefixBitCount: 4)
      if index == 0 { unsafe block.append(name: name) }
      unsafe block.append(Self.value(of: field, behind: nameEnd))
    }
    return nil
  }

  private static let hostIndex = 38
  private static var get: UnsafeRawBufferPointer { unsafe ByteCursor("GET").buffer }
  private static var post: UnsafeRawBufferPointer { unsafe ByteCursor("POST").buffer }

  private static func value(
    of field: UnsafeRawBufferPointer, behind nameEnd: Int
  ) -> UnsafeRawBufferPointer {
    var start = nameEnd + 1
    while start < field.count, unsafe field[start] == 0x20 { start += 1 }
    return unsafe UnsafeRawBufferPointer(rebasing: field[start...])
  }

  @inline(__always)
  fileprivate static func small(_ byte: UInt8) -> UInt8 {
    UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte ? byte | 0x20 : byte
  }

  private static func hash(_ name: UnsafeRawBufferPointer) -> Int {
    guard name.count > 0 else { return 0 }
    let ends = unsafe Int(small(name[0])) &* 5 &+ Int(small(name[name.count - 1])) &* 3
    return (ends &+ name.count &* 11) & nameMask
  }

  /// Of a name in the static table; 0 for any other.
  private func staticIndex(of name: UnsafeRawBufferPointer) -> Int {
    var hash = unsafe Self.hash(name)
    while true {
      let index = unsafe Int(nameIndices[hash])
      guard index > 0 else { return 0 }
      if unsafe Self.isSame(name, names[index - 1].buffer) { return index }
      hash = (hash + 1) & Self.nameMask
    }
  }

  private static func isSame(
    _ name: UnsafeRawBufferPointer, _ known: UnsafeRawBufferPointer
  ) -> Bool {
    guard name.count == known.count else { return false }
    for index in 0..<name.count where unsafe name[index] != known[index] {
      guard unsafe small(name[index]) == known[index] else { return false }
    }
    return true
  }

  /// Puts headers before the block and between its pieces, and returns all their bytes.
  private func frame(blockByteCount: Int, endsStream: Bool) -> Int {
    let piece = H2Request.pieceByteCountMax
    let pieceCount = max(1, (blockByteCount + piece - 1) / piece)
    // The last first, so that none is written over.
    for index in (0..<pieceCount).reversed() {
      let start = index * piece
      let count = min(piece, blockByteCount - start)
      let place = start + index * FrameHeader.byteCount
      if index > 0 {
        unsafe (memory + place + FrameHeader.byteCount).copyMemory(
          from: memory + FrameHeader.byteCount + start, byteCount: count)
      }
      let header = FrameHeader(
        payloadByteCount: UInt32(count), kind: index == 0 ? .headers : .continuation,
        flags: (index == pieceCount - 1 ? FrameHeader.endHeaders : 0)
          | (index == 0 && endsStream ? FrameHeader.endStream : 0))
      unsafe memory.storeBytes(
        of: header.firstWord.bigEndian, toByteOffset: place, as: UInt32.self)
      unsafe memory.storeBytes(of: header.flags, toByteOffset: place + 4, as: UInt8.self)
      unsafe memory.storeBytes(of: 0, toByteOffset: place + 5, as: UInt32.self)
    }
    return blockByteCount + pieceCount * FrameHeader.byteCount
  }
}

/// The lines of a rendered head, without their ends.
@safe private struct Lines {
  private let bytes: UnsafeRawBufferPointer
  /// Where the next one begins.
  private(set) var place = 0

  init(_ bytes: UnsafeRawBufferPointer) { unsafe self.bytes = bytes }

  mutating func next() -> UnsafeRawBufferPointer? {
    let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[place...])
    guard let count = unsafe rest.place(of: 0x0D), count + 1 < rest.count,
      unsafe rest[count + 1] == 0x0A
    else { return nil }
    place += count + 2
    return unsafe UnsafeRawBufferPointer(rebasing: rest[..<count])
  }
}

extension UnsafeRawBufferPointer {
  fileprivate func place(of byte: UInt8) -> Int? { unsafe firstIndex(of: byte) }
  fileprivate func lastPlace(of byte: UInt8) -> Int? { unsafe lastIndex(of: byte) }
}
