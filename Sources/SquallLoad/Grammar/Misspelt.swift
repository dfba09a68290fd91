/// What a user typed and where it stops making sense, with what would.
package struct Misspelt: Error, Equatable, CustomStringConvertible {
  package var text: String
  /// Of the first character that does not fit, from 1.
  package var column: Int
  /// A clause such as `expected a duration such as 20ms`.
  package var reason: String

  package init(_ text: String, column: Int, _ reason: String) {
    self.text = text
    self.column = column
    self.reason = reason
  }

  package var description: String { "'\(text)', column \(column): \(reason)" }
}

/// Reads a text from left to right; every failure knows its column.
package struct Reader {
  package let text: String
  private let characters: [Character]
  package private(set) var position = 0

  package init(_ text: String) {
    self.text = text
    characters = Array(text)
  }

  package var isAtEnd: Bool { position == characters.count }
  package var next: Character? { isAtEnd ? nil : characters[position] }

  package func misspelt(_ reason: String, at position: Int? = nil) -> Misspelt {
    Misspelt(text, column: (position ?? self.position) + 1, reason)
  }

  package mutating func skipSpace() {
    while let character = next, character == " " || character == "\t" { position += 1 }
  }

  package mutating func take(_ word: String) -> Bool {
    guard characters[position...].starts(with: word) else { return false }
    position += word.count
    return true
  }

  /// Characters as long as `isWanted` says so; maybe none.
  package mutating func take(while isWanted: (Character) -> Bool) -> String {
    let start = position
    while let character = next, isWanted(character) { position += 1 }
    return String(characters[start..<position])
  }

  /// A decimal number without sign or exponent; `_` may part its digits.
  package mutating func number(_ expectation: String) throws(Misspelt) -> Double {
    let start = position
    let digits = take { ("0"..."9").contains($0) || $0 == "." || $0 == "_" }.filter { $0 != "_" }
    guard let number = Double(digits), number.isFinite else {
      throw misspelt(expectation, at: start)
    }
    return number
  }

  package mutating func end() throws(Misspelt) {
    skipSpace()
    guard isAtEnd else { throw misspelt("nothing expected here") }
  }
}
