/// How far the answer to one request has been read.
struct Reply: BitwiseCopyable {
  enum Field: UInt8, BitwiseCopyable { case lineStart, name, space, value, lineEnd }

  var json = JSONScan()
  /// One bit a check of the request that was seen to hold.
  var held: UInt32 = 0
  /// One bit a capture that was taken.
  var taken: UInt32 = 0
  /// Times that each JSON path with `take: random` was met.
  var meetings = InlineArray<16, UInt16>(repeating: 0)
  /// Watches that the field's name fits so far; behind the name, those whose field it is.
  var named: UInt32 = 0
  var nameByteCount: UInt16 = 0
  /// Bytes of the Set-Cookie line, which grows behind the jar.
  var lineByteCount: UInt16 = 0
  var field = Field.lineStart
  var overflowedCapture: UInt8 = .max
  var isJarFull = false
}

/// A field of the answer that somebody waits for.
struct Watch: Equatable {
  enum Kind: UInt8 { case check, capture, cookies }

  var kind: Kind
  /// Among the request's checks or captures.
  var index: UInt8
  var name: Program.Span

  /// Those of each request. The name of the cookies' field stands in no program, so it is empty here.
  static func all(of program: Program) -> ([Watch], [Program.Slice]) {
    var watches: [Watch] = []
    var slices: [Program.Slice] = []
    for request in program.requests {
      let first = watches.count
      for (index, check) in program.checks[request.checks.indices].enumerated()
      where check.kind == .header {
        watches.append(Watch(kind: .check, index: UInt8(index), name: check.name))
      }
      for (index, capture) in program.captures[request.captures.indices].enumerated()
      where capture.kind == .header {
        watches.append(Watch(kind: .capture, index: UInt8(index), name: capture.first))
      }
      // One less than the bits of a mask at most: see watchCountMax.
      if program.keepsCookies { watches.append(Watch(kind: .cookies, index: 0, name: .empty)) }
      slices.append(.init(first: UInt32(first), count: UInt32(watches.count - first)))
    }
    return (watches, slices)
  }
}

/// Texts looked for in bytes as they come (Knuth, Morris, Pratt, 1977): how far a text has been seen is
/// all that is kept between two pieces.
struct Needles: Equatable {
  /// By the text's offset in the pool: where its table begins.
  private var starts: [UInt32: Int] = [:]
  private var tables: [UInt16] = []
  /// For each check and capture of the program, so that no dictionary is asked while reading.
  private(set) var ofChecks: [Int] = []
  private(set) var ofCaptures: [(first: Int, second: Int)] = []

  init(_ program: Program) {
    for check in program.checks { ofChecks.append(table(of: check.text, in: program)) }
    for capture in program.captures {
      ofCaptures.append(
        (table(of: capture.first, in: program), table(of: capture.second, in: program)))
    }
  }

  static func == (left: Needles, right: Needles) -> Bool { left.tables == right.tables }

  private mutating func table(of span: Program.Span, in program: Program) -> Int {
    if let start = starts[span.offset], span.byteCount > 0 { return start }
    let start = tables.count
    let text = Array(program.pool[Int(span.offset)..<Int(span.offset + span.byteCount)])
    var length = 0
    for index in text.indices {
      if index > 0 {
        while length > 0, text[index] != text[length] { length = Int(tables[start + length - 1]) }
        if text[index] == text[length] { length += 1 }
      }
      tables.append(UInt16(length))
    }
    if span.byteCount > 0 { starts[span.offset] = start }
    return start
  }

  /// Goes on from `seen` bytes of the text already met. Returns where in `bytes` the text ends, or nil
  /// at the end of the piece.
  @inline(__always)
  func find(
    _ needle: UnsafeBufferPointer<UInt8>, table: Int, in bytes: UnsafeRawBufferPointer,
    from start: Int, seen: inout UInt32
  ) -> Int? {
    var index = start
    var length = Int(seen)
    while index < bytes.count {
      if length == 0 {
        // Nothing of it yet: look for its first byte alone.
        while unsafe index < bytes.count && bytes[index] != needle[0] { index += 1 }
        guard index < bytes.count else { break }
      }
      let byte = unsafe bytes[index]
      while unsafe length > 0 && needle[length] != byte {
        length = Int(tables[table + length - 1])
      }
      if unsafe needle[length] == byte { length += 1 }
      index += 1
      if length == needle.count {
        seen = 0
        return index
      }
    }
    seen = UInt32(length)
    return nil
  }
}
