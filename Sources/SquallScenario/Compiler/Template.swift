/// A text with `${…}` in it, taken apart. `$${` is a literal `${`.
enum Piece: Equatable {
  case literal(String)
  case placeholder(Placeholder)
}

/// `${name(arguments):format}` or `${name:-fallback}`.
struct Placeholder: Equatable {
  var name: String
  var arguments: [String]?
  var fallback: String?
  var format: String?
  /// Of the `$`.
  var place: Place
}

extension Node {
  /// The pieces of this text; neighbouring literals are one.
  func pieces(_ name: String) throws(Fault) -> [Piece] {
    let text = try string(name)
    let characters = Array(text)
    var pieces: [Piece] = []
    var literal = ""
    var index = 0
    while index < characters.count {
      if characters[index...].starts(with: "$${") {
        literal += "${"
        index += 3
      } else if characters[index...].starts(with: "${") {
        guard let close = characters[index...].firstIndex(of: "}") else {
          throw Fault(
            place(of: index), "'${' without its '}': close it, or write $${ for a literal ${")
        }
        if !literal.isEmpty { pieces.append(.literal(literal)) }
        literal = ""
        pieces.append(
          .placeholder(
            try Self.placeholder(String(characters[(index + 2)..<close]), at: place(of: index))))
        index = close + 1
      } else {
        literal.append(characters[index])
        index += 1
      }
    }
    if !literal.isEmpty || pieces.isEmpty { pieces.append(.literal(literal)) }
    return pieces
  }

  /// Where a character of this text stands, as long as it is on one line and unescaped.
  private func place(of index: Int) -> Place {
    var place = place
    if case .scalar(_, let isPlain) = content { place.column += index + (isPlain ? 0 : 1) }
    return place
  }

  private static func placeholder(_ text: String, at place: Place) throws(Fault) -> Placeholder {
    var rest = Substring(text)
    let name = rest.prefix { !"(:".contains($0) }
    rest.removeFirst(name.count)
    var placeholder = Placeholder(
      name: name.trimmed, arguments: nil, fallback: nil, format: nil, place: place)
    guard !placeholder.name.isEmpty else {
      throw Fault(place, "'${\(text)}' has no name: write it as ${name}")
    }
    if rest.first == "(" {
      guard let close = rest.firstIndex(of: ")") else {
        throw Fault(place, "'${\(text)}' has no ')': write it as ${name(...)}")
      }
      let inner = rest[rest.index(after: rest.startIndex)..<close]
      placeholder.arguments =
        inner.trimmed.isEmpty
        ? [] : inner.split(separator: ",", omittingEmptySubsequences: false).map(\.trimmed)
      rest = rest[rest.index(after: close)...]
    }
    if rest.hasPrefix(":-") {
      placeholder.fallback = String(rest.dropFirst(2))
    } else if rest.first == ":" {
      placeholder.format = rest.dropFirst().trimmed
    } else if !rest.isEmpty {
      throw Fault(place, "'${\(text)}': nothing expected after the ')' but a :format")
    }
    return placeholder
  }
}

extension StringProtocol {
  var trimmed: String {
    String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
  }
}
