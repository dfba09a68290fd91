/// How far the answer to one request has been read.
struct Reply: BitwiseCopyable {
  enum Field: UInt8, BitwiseCopyable { case lineStart, name, space, value, lineEnd }

  /// One bit a check of the request that was seen to hold.
  var held: UInt32 = 0
  /// One bit a capture that was taken.
  var taken: UInt32 = 0
  /// Watches that the field's name fits so far; behind the name, those whose field it is.
  var named: UInt64 = 0
  var nameByteCount: UInt16 = 0
  /// Bytes of the Set-Cookie line, which grows behind the jar.
  var lineByteCount: UInt16 = 0
  var field = Field.lineStart
  var overflowedCapture: UInt8 = .max
  var isJarFull = false
  var coding = BodyCoding.identity
  /// The word of the coding's field, lower case; one that is longer is none we know.
  var codingWord = InlineArray<8, UInt8>(repeating: 0)
  var codingByteCount: UInt8 = 0
  var bodyFault = BodyFault.none
}

/// How far an answer's JSON has been read, where a path leads into it.
struct ReplyJSON: BitwiseCopyable {
  var scan = JSONScan()
  /// Times that each path with `take: random` was met.
  var meetings = InlineArray<16, UInt16>(repeating: 0)
}

/// What a machine knows of a request beforehand.
struct RequestFacts {
  /// Its JSON paths in `pathOwners`: those of its checks, then those of its captures.
  var paths: Program.Slice
  /// Of the program's fields that are watched.
  var watches: Program.Slice
  /// Some byte of the answer is of use.
  var readsReply: Bool
  /// The literal that the path of its target stands in whole, `GET /a ` or more; empty when it varies.
  var line = Program.Span.empty

  static func all(
    of program: Program, watches: [Program.Slice]
  ) -> ([RequestFacts], [PathOwner]) {
    var owners: [PathOwner] = []
    var all: [RequestFacts] = []
    for (request, watches) in zip(program.requests, watches) {
      let first = owners.count
      for index in request.checks.indices where program.checks[index].kind == .json {
        let path = program.paths[Int(program.checks[index].argument)]
        owners.append(PathOwner(isCheck: true, index: index, path: path))
      }
      for index in request.captures.indices where program.captures[index].kind == .json {
        let path = program.paths[Int(program.captures[index].argument)]
        owners.append(PathOwner(isCheck: false, index: index, path: path))
      }
      var facts = RequestFacts(
        paths: .init(first: UInt32(first), count: UInt32(owners.count - first)), watches: watches,
        readsReply: request.readsBody || watches.count > 0)
      if let part = program.parts[request.head.indices].first, part.kind == .literal {
        let bytes = program.pool[Int(part.a)..<Int(part.a + part.b)]
        let isWhole = bytes.firstIndex(of: 0x20).map { method in
          bytes[(method + 1)...].contains { $0 == 0x20 || $0 == UInt8(ascii: "?") }
        }
        if isWhole == true {
          facts.line = .init(offset: UInt32(part.a), byteCount: UInt32(part.b))
        }
      }
      all.append(facts)
    }
    return (all, owners)
  }
}

/// Which check or capture of the program a JSON path is of.
struct PathOwner {
  var isCheck: Bool
  var index: Int
  var path: Program.Path
}

/// How a body was changed for its transport (RFC 9110 section 8.4.1).
package enum BodyCoding: UInt8, BitwiseCopyable, Sendable {
  case identity, gzip, deflate
  /// One of others, or several.
  case other

  /// By its name in lower case.
  init(_ word: Swift.Span<UInt8>) {
    if word.isEmpty || Self.reads(word, "identity") {
      self = .identity
    } else if Self.reads(word, "gzip") || Self.reads(word, "x-gzip") {
      self = .gzip
    } else {
      self = Self.reads(word, "deflate") ? .deflate : .other
    }
  }

  private static func reads(_ word: Swift.Span<UInt8>, _ name: StaticString) -> Bool {
    guard word.count == name.utf8CodeUnitCount else { return false }
    for index in word.indices {
      guard unsafe word[index] == name.utf8Start[index] else { return false }
    }
    return true
  }
}

/// Why a body that was compressed could not be read.
package enum BodyFault: UInt8, BitwiseCopyable, Sendable, CaseIterable {
  case none, otherCoding, damaged, cutShort, tooLarge, noInflater

  var words: String {
    switch self {
    case .none: "the body can be read"
    case .otherCoding:
      "the body is coded otherwise than gzip or deflate: take it out of Accept-Encoding"
    case .damaged: "the compressed body is damaged"
    case .cutShort: "the compressed body is cut short"
    case .tooLarge: "the body is larger than 1 MiB when it is inflated"
    case .noInflater: "more compressed bodies were being read than can be at a time, which is 1024"
    }
  }
}

/// A field of the answer that somebody waits for.
struct Watch: Equatable {
  enum Kind: UInt8 { case check, capture, cookies, coding }

  static let cookieField: StaticString = "set-cookie"
  static let codingField: StaticString = "content-encoding"

  var kind: Kind
  /// Among the request's checks or captures.
  var index: UInt8
  var name: Program.Span
  let nameByteCount: UInt16

  init(kind: Kind, index: UInt8, name: Program.Span) {
    self.kind = kind
    self.index = index
    self.name = name
    switch kind {
    case .check, .capture: nameByteCount = UInt16(clamping: name.byteCount)
    case .cookies: nameByteCount = UInt16(Self.cookieField.utf8CodeUnitCount)
    case .coding: nameByteCount = UInt16(Self.codingField.utf8CodeUnitCount)
    }
  }

  /// Those of each request. The names of the cookies' field and the coding's stand in no program, so they
  /// are empty here.
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
      // Far fewer than the bits of a mask: see watchCountMax.
      if program.keepsCookies { watches.append(Watch(kind: .cookies, index: 0, name: .empty)) }
      if request.readsBody { watches.append(Watch(kind: .coding, index: 0, name: .empty)) }
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
