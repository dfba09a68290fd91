/// Reads JSON as it comes, in any pieces, for the values at a few paths. It checks no grammar beyond
/// what it needs to find them: text that is not JSON has no values.
///
/// Where no path can lead, only quotes, brackets and backslashes are looked at, eight bytes at once.
struct JSONScan: BitwiseCopyable {
  static let depthMax = Program.Path.segmentCountMax + 1

  private enum State: UInt8, BitwiseCopyable {
    case value, elementOrEnd, keyOrEnd, key, colon, string, scalar, afterValue
    /// In a container that no path leads into.
    case skipping
    case done
  }

  private enum Text: UInt8, BitwiseCopyable { case plain, escape, unicode }

  private var state = State.value
  private var text = Text.plain
  private var depth: UInt8 = 0
  private var isInSkippedString = false
  private var isEscaped = false
  private var digitsLeft: UInt8 = 0
  private var unit: UInt16 = 0
  private var highSurrogate: UInt16 = 0
  private var keyByteCount: UInt16 = 0
  private var skippedDepth: UInt32 = 0
  /// One bit a depth: an object, not an array.
  private var objects: UInt32 = 0
  /// Paths that lead into the container at each depth.
  private var masks = InlineArray<17, UInt16>(repeating: 0)
  /// The element being read at each depth.
  private var elements = InlineArray<17, UInt32>(repeating: 0)
  /// Paths that the key being read, or just read, goes along.
  private var keyMask: UInt16 = 0
  /// Paths whose value is being read.
  private var live: UInt16 = 0
  /// Of these, the ones taken as they stand.
  private var raw: UInt16 = 0
  private var rawDepths = InlineArray<16, UInt8>(repeating: 0)

  init() {}

  /// The paths of one request: what they are made of, and where their values go.
  protocol Sink: ~Copyable {
    var pathCount: Int { get }
    func path(_ index: Int) -> Program.Path
    func segment(_ index: Int) -> Program.Path.Segment
    func byte(_ span: Program.Span, _ index: Int) -> UInt8
    /// A value begins; false when nobody wants it any more.
    mutating func begin(_ path: Int, isString: Bool) -> Bool
    mutating func take(_ path: Int, _ bytes: UnsafeRawBufferPointer)
    mutating func end(_ path: Int)
  }

  private var isInObject: Bool { objects >> UInt32(depth) & 1 == 1 }

  @safe mutating func read<Values: Sink & ~Copyable>(
    _ bytes: UnsafeRawBufferPointer, into sink: inout Values
  ) {
    var index = 0
    // Where the bytes of a raw value begin in this piece.
    var rawFrom = InlineArray<16, Int>(repeating: 0)
    while index < bytes.count, state != .done {
      let byte = unsafe bytes[index]
      switch state {
      case .value, .elementOrEnd:
        if byte.isJSONSpace {
          index += 1
        } else if state == .elementOrEnd, byte == UInt8(ascii: "]") {
          unsafe leave(at: index, bytes, &rawFrom, &sink)
          index += 1
        } else {
          begin(byte, at: index, &rawFrom, &sink)
          if state != .scalar { index += 1 }
        }
      case .keyOrEnd:
        index += 1
        if byte == UInt8(ascii: "\"") {
          state = .key
          text = .plain
          keyByteCount = 0
          keyMask = masks[Int(depth)]
        } else if byte == UInt8(ascii: "}") {
          unsafe leave(at: index - 1, bytes, &rawFrom, &sink)
        } else if !byte.isJSONSpace && byte != UInt8(ascii: ",") {
          state = .done
        }
      case .key, .string:
        index = unsafe readText(bytes, from: index, &sink)
        if text == .plain, index > 0, isEscaped {
          // The closing quote.
          isEscaped = false
          if state == .key {
            endKey(&sink)
            state = .colon
          } else {
            unsafe endValue(at: index - 1, bytes, &rawFrom, &sink)
          }
        }
      case .colon:
        index += 1
        if byte == UInt8(ascii: ":") {
          state = .value
        } else if !byte.isJSONSpace {
          state = .done
        }
      case .scalar:
        let start = index
        while index < bytes.count, unsafe !bytes[index].endsJSONScalar { index += 1 }
        unsafe give(bytes, start..<index, live & ~raw, &sink)
        if index < bytes.count {
          unsafe endValue(at: index - 1, bytes, &rawFrom, &sink)
        }
      case .afterValue:
        index += 1
        if byte == UInt8(ascii: ",") {
          elements[Int(depth)] &+= 1
          state = isInObject ? .keyOrEnd : .value
        } else if byte == UInt8(ascii: "]") || byte == UInt8(ascii: "}") {
          unsafe leave(at: index - 1, bytes, &rawFrom, &sink)
        } else if !byte.isJSONSpace {
          state = .done
        }
      case .skipping:
        index = unsafe skip(bytes, from: index)
        if skippedDepth == 0 { unsafe endValue(at: index - 1, bytes, &rawFrom, &sink) }
      case .done: return
      }
    }
    unsafe giveRaw(upTo: bytes.count, bytes, rawFrom, raw, &sink)
  }

  /// The end of the body, which is also that of a number at the root.
  mutating func finish<Values: Sink & ~Copyable>(into sink: inout Values) {
    guard state == .scalar, depth == 0 else { return }
    for path in Bits(live) { sink.end(path) }
    state = .done
  }

  // MARK: Values

  /// The paths that end at the value about to be read, and those that lead through it.
  private func split<Values: Sink & ~Copyable>(
    _ sink: borrowing Values
  ) -> (targets: UInt16, through: UInt16) {
    var candidates: UInt16 = 0
    if depth == 0 {
      candidates = UInt16(truncatingIfNeeded: (1 as UInt32) << UInt32(sink.pathCount) &- 1)
    } else if isInObject {
      candidates = keyMask
    } else {
      for path in Bits(masks[Int(depth)]) {
        let segment = sink.segment(Int(sink.path(path).segments.first) + Int(depth) - 1)
        let fits =
          segment.kind == .every
          || segment.kind == .element && segment.index == elements[Int(depth)]
        if fits { candidates |= 1 << UInt16(path) }
      }
    }
    var targets: UInt16 = 0
    for path in Bits(candidates) where sink.path(path).segments.count == UInt32(depth) {
      targets |= 1 << UInt16(path)
    }
    return (targets, candidates & ~targets)
  }

  private mutating func begin<Values: Sink & ~Copyable>(
    _ byte: UInt8, at index: Int, _ rawFrom: inout InlineArray<16, Int>, _ sink: inout Values
  ) {
    let (targets, through) = split(sink)
    let isContainer = byte == UInt8(ascii: "{") || byte == UInt8(ascii: "[")
    var begun: UInt16 = 0
    for path in Bits(targets) {
      let isRaw = sink.path(path).isRaw
      guard isRaw || !isContainer else { continue }
      guard sink.begin(path, isString: byte == UInt8(ascii: "\"") && !isRaw) else { continue }
      if isRaw {
        raw |= 1 << UInt16(path)
        rawDepths[path] = depth
        rawFrom[path] = index
      } else {
        begun |= 1 << UInt16(path)
      }
    }
    live = begun | raw
    switch byte {
    case UInt8(ascii: "{"), UInt8(ascii: "["):
      guard through != 0, depth < UInt8(Self.depthMax) - 1 else {
        state = .skipping
        skippedDepth = 1
        isInSkippedString = false
        isEscaped = false
        return
      }
      depth += 1
      masks[Int(depth)] = through
      elements[Int(depth)] = 0
      let bit = (1 as UInt32) << UInt32(depth)
      objects = byte == UInt8(ascii: "{") ? objects | bit : objects & ~bit
      state = byte == UInt8(ascii: "{") ? .keyOrEnd : .elementOrEnd
    case UInt8(ascii: "\""):
      state = .string
      text = .plain
      isEscaped = false
    case UInt8(ascii: "]"), UInt8(ascii: "}"), UInt8(ascii: ","), UInt8(ascii: ":"):
      state = .done
    default: state = .scalar
    }
  }

  private mutating func leave<Values: Sink & ~Copyable>(
    at index: Int, _ bytes: UnsafeRawBufferPointer, _ rawFrom: inout InlineArray<16, Int>,
    _ sink: inout Values
  ) {
    guard depth > 0 else {
      state = .done
      return
    }
    depth -= 1
    live = raw
    unsafe endValue(at: index, bytes, &rawFrom, &sink)
  }

  /// A value whose last byte is at `index` is over.
  private mutating func endValue<Values: Sink & ~Copyable>(
    at index: Int, _ bytes: UnsafeRawBufferPointer, _ rawFrom: inout InlineArray<16, Int>,
    _ sink: inout Values
  ) {
    for path in Bits(live & ~raw) { sink.end(path) }
    for path in Bits(raw) where rawDepths[path] == depth {
      unsafe giveRaw(upTo: index + 1, bytes, rawFrom, 1 << UInt16(path), &sink)
      sink.end(path)
      raw &= ~(1 << UInt16(path))
    }
    live = raw
    state = depth == 0 ? .done : .afterValue
  }

  private func give<Values: Sink & ~Copyable>(
    _ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ paths: UInt16, _ sink: inout Values
  ) {
    guard !range.isEmpty, paths != 0 else { return }
    for path in Bits(paths) {
      unsafe sink.take(path, UnsafeRawBufferPointer(rebasing: bytes[range]))
    }
  }

  private func giveRaw<Values: Sink & ~Copyable>(
    upTo end: Int, _ bytes: UnsafeRawBufferPointer, _ rawFrom: InlineArray<16, Int>,
    _ paths: UInt16, _ sink: inout Values
  ) {
    for path in Bits(paths) where rawFrom[path] < end {
      unsafe give(bytes, rawFrom[path]..<end, 1 << UInt16(path), &sink)
    }
  }

  // MARK: Strings

  /// Reads a key or a string on to its end, whose quote it marks by `isEscaped`, or to the end of the
  /// piece.
  private mutating func readText<Values: Sink & ~Copyable>(
    _ bytes: UnsafeRawBufferPointer, from start: Int, _ sink: inout Values
  ) -> Int {
    var index = start
    while index < bytes.count {
      switch text {
      case .plain:
        let from = index
        index = unsafe bytes.firstQuoteOrBackslash(from: index)
        if state == .key {
          var position = from
          while keyMask != 0 && position < index {
            unsafe matchKey(bytes[position], sink)
            position += 1
          }
        } else {
          unsafe give(bytes, from..<index, live & ~raw, &sink)
        }
        guard index < bytes.count else { return index }
        let isQuote = unsafe bytes[index] == UInt8(ascii: "\"")
        index += 1
        if isQuote {
          isEscaped = true
          return index
        }
        text = .escape
      case .escape:
        let byte = unsafe bytes[index]
        index += 1
        text = .plain
        switch byte {
        case UInt8(ascii: "u"):
          text = .unicode
          digitsLeft = 4
          unit = 0
        case UInt8(ascii: "n"): say(0x0a, &sink)
        case UInt8(ascii: "t"): say(0x09, &sink)
        case UInt8(ascii: "r"): say(0x0d, &sink)
        case UInt8(ascii: "b"): say(0x08, &sink)
        case UInt8(ascii: "f"): say(0x0c, &sink)
        default: say(byte, &sink)
        }
      case .unicode:
        unit = unit << 4 | UInt16(unsafe bytes[index].hexadecimalValue)
        index += 1
        digitsLeft -= 1
        if digitsLeft == 0 {
          text = .plain
          endUnit(&sink)
        }
      }
    }
    return index
  }

  /// Sixteen bits of UTF-16 to UTF-8. A lone surrogate becomes U+FFFD.
  private mutating func endUnit<Values: Sink & ~Copyable>(_ sink: inout Values) {
    if unit >> 10 == 0x36 {
      highSurrogate = unit
      return
    }
    var scalar = UInt32(unit)
    if unit >> 10 == 0x37 {
      scalar =
        highSurrogate == 0
        ? 0xfffd : 0x10000 + (UInt32(highSurrogate) - 0xd800) << 10 + (UInt32(unit) - 0xdc00)
    }
    highSurrogate = 0
    switch scalar {
    case 0..<0x80: say(UInt8(scalar), &sink)
    case 0x80..<0x800:
      say(UInt8(0xc0 | scalar >> 6), &sink)
      say(UInt8(0x80 | scalar & 63), &sink)
    case 0x800..<0x10000:
      say(UInt8(0xe0 | scalar >> 12), &sink)
      say(UInt8(0x80 | scalar >> 6 & 63), &sink)
      say(UInt8(0x80 | scalar & 63), &sink)
    default:
      say(UInt8(0xf0 | scalar >> 18), &sink)
      say(UInt8(0x80 | scalar >> 12 & 63), &sink)
      say(UInt8(0x80 | scalar >> 6 & 63), &sink)
      say(UInt8(0x80 | scalar & 63), &sink)
    }
  }

  /// One byte that was written as an escape.
  private mutating func say<Values: Sink & ~Copyable>(_ byte: UInt8, _ sink: inout Values) {
    if state == .key { return matchKey(byte, sink) }
    var byte = byte
    let paths = live & ~raw
    unsafe withUnsafeBytes(of: &byte) { one in
      for path in Bits(paths) { unsafe sink.take(path, one) }
    }
  }

  private mutating func matchKey<Values: Sink & ~Copyable>(_ byte: UInt8, _ sink: borrowing Values)
  {
    for path in Bits(keyMask) {
      let segment = sink.segment(Int(sink.path(path).segments.first) + Int(depth) - 1)
      if segment.kind != .member || UInt32(keyByteCount) >= segment.name.byteCount
        || sink.byte(segment.name, Int(keyByteCount)) != byte
      {
        keyMask &= ~(1 << UInt16(path))
      }
    }
    if keyByteCount < .max { keyByteCount += 1 }
  }

  private mutating func endKey<Values: Sink & ~Copyable>(_ sink: inout Values) {
    for path in Bits(keyMask) {
      let segment = sink.segment(Int(sink.path(path).segments.first) + Int(depth) - 1)
      if segment.kind != .member || segment.name.byteCount != UInt32(keyByteCount) {
        keyMask &= ~(1 << UInt16(path))
      }
    }
  }

  // MARK: Skipping

  /// Goes on to behind the bracket that closes the container, or to the end of the piece.
  private mutating func skip(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
    var index = start
    while index + 8 <= bytes.count {
      var marks = unsafe UInt64(
        littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
      ).structureMarks
      // The byte behind a backslash at the end of the last word.
      var passedOver = isEscaped ? index : -1
      isEscaped = false
      while marks != 0 {
        let position = index &+ marks.trailingZeroBitCount / 8
        marks &= marks &- 1
        if position == passedOver { continue }
        let byte = unsafe bytes[position]
        if byte == UInt8(ascii: "\\") {
          if isInSkippedString { passedOver = position &+ 1 }
        } else if step(byte) {
          return position + 1
        }
      }
      index &+= 8
      isEscaped = passedOver == index
    }
    while index < bytes.count {
      let byte = unsafe bytes[index]
      index += 1
      if isEscaped {
        isEscaped = false
      } else if byte == UInt8(ascii: "\\") {
        isEscaped = isInSkippedString
      } else if step(byte) {
        return index
      }
    }
    return index
  }

  /// True at the bracket that ends what is skipped.
  @inline(__always)
  private mutating func step(_ byte: UInt8) -> Bool {
    if byte == UInt8(ascii: "\"") {
      isInSkippedString.toggle()
    } else if !isInSkippedString {
      if byte | 0x20 == UInt8(ascii: "{") {
        skippedDepth &+= 1
      } else if byte | 0x20 == UInt8(ascii: "}") {
        skippedDepth &-= 1
        return skippedDepth == 0
      }
    }
    return false
  }
}

/// The positions of the bits that are set.
struct Bits: Sequence, IteratorProtocol {
  private var bits: UInt64

  @inline(__always)
  init(_ bits: UInt16) { self.bits = UInt64(bits) }
  @inline(__always)
  init(_ bits: UInt64) { self.bits = bits }

  @inline(__always)
  mutating func next() -> Int? {
    guard bits != 0 else { return nil }
    defer { bits &= bits &- 1 }
    return bits.trailingZeroBitCount
  }
}

extension UnsafeRawBufferPointer {
  /// From `start` on; the end when there is none.
  @inline(__always)
  fileprivate func firstQuoteOrBackslash(from start: Int) -> Int {
    var index = start
    while index + 8 <= count {
      let marks = unsafe UInt64(
        littleEndian: loadUnaligned(fromByteOffset: index, as: UInt64.self)
      ).stringMarks
      if marks != 0 { return index &+ marks.trailingZeroBitCount / 8 }
      index &+= 8
    }
    while unsafe index < count && self[index] != UInt8(ascii: "\"")
      && self[index] != UInt8(ascii: "\\")
    { index += 1 }
    return index
  }
}

/// Eight bytes looked at together: the top bit of each byte that counts is set, exactly (Warren, "Hacker's
/// Delight", 6-1, on seven bits, so that no carry leaves its byte).
extension UInt64 {
  private static let tops: UInt64 = 0x8080_8080_8080_8080
  private static let sevens: UInt64 = 0x7f7f_7f7f_7f7f_7f7f
  private static let quotes: UInt64 = 0x2222_2222_2222_2222

  /// Quotes, brackets and backslashes; also bars, which stand between the brackets.
  @inline(__always)
  fileprivate var structureMarks: UInt64 {
    let low = self & Self.sevens
    // [ \ ] fall onto { | }, which are neighbours: 0x7b to 0x7d.
    let folded = low | 0x2020_2020_2020_2020
    let brackets = (folded &+ 0x0505_0505_0505_0505) & ~(folded &+ 0x0202_0202_0202_0202)
    let quotes = ~((low ^ Self.quotes) &+ Self.sevens)
    return (brackets | quotes) & ~self & Self.tops
  }

  /// Quotes and backslashes.
  @inline(__always)
  fileprivate var stringMarks: UInt64 {
    let low = self & Self.sevens
    let quotes = ~((low ^ Self.quotes) &+ Self.sevens)
    let backslashes = ~((low ^ 0x5c5c_5c5c_5c5c_5c5c) &+ Self.sevens)
    return (quotes | backslashes) & ~self & Self.tops
  }
}

extension UInt8 {
  fileprivate var isJSONSpace: Bool { self == 0x20 || self == 0x0a || self == 0x0d || self == 0x09 }

  fileprivate var endsJSONScalar: Bool {
    isJSONSpace || self == UInt8(ascii: ",") || self == UInt8(ascii: "]")
      || self == UInt8(ascii: "}")
  }

  /// Of a hexadecimal digit; what others give is as good as nothing.
  fileprivate var hexadecimalValue: UInt8 {
    let digit = self &- UInt8(ascii: "0")
    if digit <= 9 { return digit }
    return ((self | 0x20) &- UInt8(ascii: "a") &+ 10) & 15
  }
}
