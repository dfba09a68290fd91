import SquallScenario

/// Reads the flow style of YAML (`{a: 1, b: [x, "y"]}`), which has JSON in it, so that tests of the
/// compiler need no library. Traps on anything else.
struct FlowYAML {
  private let characters: [Character]
  private var index = 0
  private var line = 1
  private var column = 1

  static func document(
    _ text: String, name: String = "shop.yaml", source: Int = 0
  ) -> Document {
    var reader = FlowYAML(text, source: source)
    reader.skipSpace()
    let root = reader.node()
    reader.skipSpace()
    precondition(reader.next == nil, "something after the document, line \(reader.line)")
    return Document(root: root, sources: [.init(name: name, text: text)])
  }

  private let source: Int

  private init(_ text: String, source: Int) {
    characters = Array(text)
    self.source = source
  }

  private var next: Character? { index < characters.count ? characters[index] : nil }

  private mutating func advance() {
    (line, column) = characters[index] == "\n" ? (line + 1, 1) : (line, column + 1)
    index += 1
  }

  private mutating func skipSpace() {
    while let character = next, character == " " || character == "\n" { advance() }
  }

  private mutating func node() -> Node {
    let place = Place(source: source, line: line, column: column)
    switch next {
    case "{":
      advance()
      var entries: [Node.Entry] = []
      while true {
        skipSpace()
        if next == "}" { break }
        let key = node()
        skipSpace()
        precondition(next == ":", "no colon in line \(line)")
        advance()
        skipSpace()
        let value =
          next == "," || next == "}"
          ? Node(.scalar("", isPlain: true), at: Place(source: source, line: line, column: column))
          : node()
        entries.append(.init(key: key, value: value))
        skipSpace()
        if next == "," { advance() }
      }
      advance()
      return Node(.mapping(entries), at: place)
    case "[":
      advance()
      var elements: [Node] = []
      while true {
        skipSpace()
        if next == "]" { break }
        elements.append(node())
        skipSpace()
        if next == "," { advance() }
      }
      advance()
      return Node(.sequence(elements), at: place)
    case "\"", "'":
      let quote = next
      advance()
      var text = ""
      while let character = next, character != quote {
        advance()
        if character == "\\", quote == "\"", let escaped = next {
          text.append(escaped == "n" ? "\n" : escaped == "r" ? "\r" : escaped)
          advance()
        } else {
          text.append(character)
        }
      }
      advance()
      return Node(.scalar(text, isPlain: false), at: place)
    default:
      var text = ""
      while let character = next, !",]}\n".contains(character) {
        let after = index + 1 < characters.count ? characters[index + 1] : "\n"
        if character == ":", " \n,}".contains(after) { break }
        text.append(character)
        advance()
      }
      while text.last == " " { text.removeLast() }
      return Node(.scalar(text, isPlain: true), at: place)
    }
  }
}

enum Sample {
  /// A scenario of one user that does `steps` in each iteration.
  static func scenario(_ steps: String, more: String = "") -> String {
    """
    {squall: 1, target: http://shop.test:8080, \(more)
    users: {shopper: {do: [
    \(steps)
    ]}}}
    """
  }

  static func program(
    _ text: String, in surroundings: Compiler.Surroundings = .init()
  ) throws -> Program {
    let document = FlowYAML.document(text)
    do {
      return try Compiler.compile(document, in: surroundings)
    } catch {
      throw Unexpected(message: error.message(in: document.sources))
    }
  }

  struct Unexpected: Error, CustomStringConvertible {
    var message: String
    var description: String { message }
  }
}
