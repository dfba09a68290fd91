internal import SquallLoad

/// `regex: 'id=(\d+)'`: characters, classes and quantifiers in a row, with one group.
extension Compiler {
  mutating func compilePattern(_ node: Node) throws(Fault) -> UInt32 {
    let text = try resolved(node, "'regex'")
    var reader = PatternReader(text)
    let pattern: Program.Pattern
    do throws(Misspelt) { pattern = try reader.read() } catch {
      throw Fault(node, "'regex' \(error)")
    }
    if let index = program.patterns.firstIndex(of: pattern) { return UInt32(index) }
    program.patterns.append(pattern)
    return UInt32(program.patterns.count - 1)
  }
}

private struct PatternReader {
  private var reader: Reader
  private var pattern = Program.Pattern()
  private var groupFirst: Int?
  private var groupEnd: Int?

  init(_ text: String) { reader = Reader(text) }

  private typealias Bytes = [UInt64]

  mutating func read() throws(Misspelt) -> Program.Pattern {
    while !reader.isAtEnd {
      if reader.take("(") {
        guard groupFirst == nil else { throw reader.misspelt("there is one group, and no more") }
        if reader.take("?") { throw reader.misspelt("a group is written (...)") }
        groupFirst = pattern.itemCount
      } else if reader.take(")") {
        guard groupFirst != nil, groupEnd == nil else {
          throw reader.misspelt("')' ends no group: write \\) for the character")
        }
        groupEnd = pattern.itemCount
        if reader.take("*") || reader.take("+") || reader.take("?") || reader.take("{") {
          throw reader.misspelt("a group stands once")
        }
      } else {
        try item()
      }
    }
    guard let first = groupFirst, let end = groupEnd else {
      throw reader.misspelt("what is to be taken stands in a group, as in id=(\\d+)")
    }
    guard first < end else { throw reader.misspelt("the group is empty") }
    guard pattern.itemCount <= Program.Pattern.itemCountMax else {
      throw reader.misspelt(
        "more than \(Program.Pattern.itemCountMax) items once its numbers are written out")
    }
    pattern.groupFirst = UInt8(first)
    pattern.groupEnd = UInt8(end)
    return pattern
  }

  private mutating func item() throws(Misspelt) {
    var characters: [Bytes]
    if reader.take("[") {
      characters = [try set()]
    } else if reader.take("\\") {
      characters = [try escaped()]
    } else if reader.take(".") {
      characters = [Self.not(Self.one(0x0a))]
    } else {
      for (sign, words) in [
        ("|", "alternatives are not read: write one"), ("^", "it is looked for everywhere"),
        ("$", "it is looked for everywhere"), ("*", "there is nothing to repeat"),
        ("+", "there is nothing to repeat"), ("?", "there is nothing to repeat"),
        ("{", "there is nothing to repeat"),
      ] where reader.take(sign) {
        throw reader.misspelt("\(words); write \\\(sign) for the character")
      }
      let character = try character()
      characters = character.utf8.map(Self.one)
    }
    let (low, high) = try quantifier()
    guard characters.count == 1 || (low == 1 && high == 1) else {
      throw reader.misspelt("only a character of ASCII can be repeated")
    }
    guard pattern.itemCount + max(low, high ?? low) <= 4 * Program.Pattern.itemCountMax else {
      throw reader.misspelt("more than \(Program.Pattern.itemCountMax) items")
    }
    guard low != 1 || high != 1 else {
      for bytes in characters { pattern.sets += bytes }
      return
    }
    for _ in 0..<low { pattern.sets += characters[0] }
    guard let high else { return add(characters[0], isLooping: true) }
    for _ in low..<max(low, high) { add(characters[0], isLooping: false) }
  }

  private mutating func character() throws(Misspelt) -> Character {
    guard let character = reader.next else { throw reader.misspelt("it ends too early") }
    _ = reader.take(String(character))
    return character
  }

  /// An item that may be left out.
  private mutating func add(_ bytes: Bytes, isLooping: Bool) {
    if pattern.itemCount < Program.Pattern.itemCountMax {
      let bit: UInt64 = 1 << UInt64(pattern.itemCount)
      pattern.skippable |= bit
      if isLooping { pattern.looping |= bit }
    }
    pattern.sets += bytes
  }

  /// How often; nil for as often as it comes.
  private mutating func quantifier() throws(Misspelt) -> (Int, Int?) {
    let range: (Int, Int?)
    if reader.take("*") {
      range = (0, nil)
    } else if reader.take("+") {
      range = (1, nil)
    } else if reader.take("?") {
      range = (0, 1)
    } else if reader.take("{") {
      let low = Int(reader.take { $0.isNumber }) ?? 0
      var high: Int? = low
      if reader.take(",") { high = Int(reader.take { $0.isNumber }) }
      guard reader.take("}"), low <= high ?? low, low <= 62, high ?? 0 <= 62, high != 0 else {
        throw reader.misspelt("a number of times is {3}, {1,3} or {1,}, up to 62")
      }
      range = (low, high)
    } else {
      return (1, 1)
    }
    if reader.take("?") { pattern.isLazy = true }
    return range
  }

  private mutating func set() throws(Misspelt) -> Bytes {
    let isNegated = reader.take("^")
    var bytes = Self.none
    var isFirst = true
    while isFirst || !reader.take("]") {
      guard !reader.isAtEnd else { throw reader.misspelt("a class has no end: write ]") }
      isFirst = false
      if reader.take("\\") {
        bytes = Self.or(bytes, try escaped())
        continue
      }
      let low = try ascii()
      var high = low
      if reader.take("-") {
        if reader.take("]") {
          bytes = Self.or(Self.or(bytes, Self.one(low)), Self.one(UInt8(ascii: "-")))
          break
        }
        high = try ascii()
      }
      guard low <= high else { throw reader.misspelt("a range goes from small to large") }
      for byte in low...high { bytes = Self.or(bytes, Self.one(byte)) }
    }
    return isNegated ? Self.not(bytes) : bytes
  }

  private mutating func ascii() throws(Misspelt) -> UInt8 {
    guard let byte = try character().utf8.first, byte < 0x80 else {
      throw reader.misspelt("a class holds characters of ASCII")
    }
    return byte
  }

  private mutating func escaped() throws(Misspelt) -> Bytes {
    let digits = Self.range(UInt8(ascii: "0"), UInt8(ascii: "9"))
    let letters = Self.or(
      Self.range(UInt8(ascii: "a"), UInt8(ascii: "z")),
      Self.range(UInt8(ascii: "A"), UInt8(ascii: "Z")))
    let word = Self.or(Self.or(digits, letters), Self.one(UInt8(ascii: "_")))
    let space = [0x20, 0x09, 0x0a, 0x0b, 0x0c, 0x0d].map(Self.one).reduce(Self.none, Self.or)
    let character = try character()
    switch character {
    case "d": return digits
    case "D": return Self.not(digits)
    case "w": return word
    case "W": return Self.not(word)
    case "s": return space
    case "S": return Self.not(space)
    case "n": return Self.one(0x0a)
    case "r": return Self.one(0x0d)
    case "t": return Self.one(0x09)
    default:
      guard let byte = character.utf8.first, byte < 0x80, !character.isLetter,
        !character.isNumber
      else { throw reader.misspelt("'\\\(character)' is none of \\d, \\w, \\s, \\n, \\r, \\t") }
      return Self.one(byte)
    }
  }

  private static let none: Bytes = [0, 0, 0, 0]

  private static func one(_ byte: UInt8) -> Bytes {
    var bytes = none
    bytes[Int(byte) / 64] = 1 << UInt64(byte % 64)
    return bytes
  }

  private static func range(_ low: UInt8, _ high: UInt8) -> Bytes {
    (low...high).map(one).reduce(none, or)
  }

  private static func or(_ a: Bytes, _ b: Bytes) -> Bytes { zip(a, b).map { $0 | $1 } }
  private static func not(_ a: Bytes) -> Bytes { a.map { ~$0 } }
}
