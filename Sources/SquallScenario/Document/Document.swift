/// A scenario as it was written, before anybody asks what it means: values with their places. A reader
/// of YAML or JSON fills it; order and repeated keys are kept, so that both can be judged.
package struct Document: Equatable, Sendable {
  package var root: Node
  /// The files it came from; a node's place names one of them.
  package var sources: [Source]

  package init(root: Node, sources: [Source]) {
    self.root = root
    self.sources = sources
  }

  /// One file, kept to show the line that something is wrong with.
  package struct Source: Equatable, Sendable {
    package var name: String
    package var lines: [Substring]

    package init(name: String, text: String) {
      self.name = name
      lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    }
  }
}

/// Where something stands: a source of the document, line and column from 1, in characters.
package struct Place: Equatable, Sendable {
  package var source: Int
  package var line: Int
  package var column: Int

  package init(source: Int, line: Int, column: Int) {
    self.source = source
    self.line = line
    self.column = column
  }
}

package struct Node: Equatable, Sendable {
  package indirect enum Content: Equatable, Sendable {
    /// `isPlain`: written without quotes, so that `12`, `true` and `null` are not strings.
    case scalar(String, isPlain: Bool)
    case sequence([Node])
    case mapping([Entry])
  }

  package struct Entry: Equatable, Sendable {
    package var key: Node
    package var value: Node

    package init(key: Node, value: Node) {
      self.key = key
      self.value = value
    }
  }

  package var content: Content
  package var place: Place

  package init(_ content: Content, at place: Place) {
    self.content = content
    self.place = place
  }

  package var text: String? {
    guard case .scalar(let text, _) = content else { return nil }
    return text
  }

  /// As the core schema of YAML 1.2 reads plain scalars (YAML 1.2.2, 10.3.2).
  package enum Kind: Equatable, Sendable { case null, bool, number, string }

  package var kind: Kind? {
    guard case .scalar(let text, let isPlain) = content else { return nil }
    guard isPlain else { return .string }
    switch text {
    case "", "~", "null", "Null", "NULL": return .null
    case "true", "True", "TRUE", "false", "False", "FALSE": return .bool
    default: return Self.isNumber(text) ? .number : .string
    }
  }

  /// A number that JSON has too: what is written is what is sent.
  private static func isNumber(_ text: String) -> Bool {
    var rest = Substring(text)
    if rest.first == "-" { rest.removeFirst() }
    func digits() -> Int {
      let count = rest.prefix { ("0"..."9").contains($0) }.count
      rest.removeFirst(count)
      return count
    }
    let startsWithZero = rest.first == "0"
    let whole = digits()
    guard whole > 0, whole == 1 || !startsWithZero else { return false }
    if rest.first == "." {
      rest.removeFirst()
      guard digits() > 0 else { return false }
    }
    if rest.first == "e" || rest.first == "E" {
      rest.removeFirst()
      if rest.first == "+" || rest.first == "-" { rest.removeFirst() }
      guard digits() > 0 else { return false }
    }
    return rest.isEmpty
  }

  /// What a person would call it.
  var described: String {
    switch content {
    case .scalar(let text, _): kind == .null ? "nothing" : "'\(text)'"
    case .sequence: "a list"
    case .mapping: "a mapping"
    }
  }
}
