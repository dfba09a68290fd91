/// A JSON document or part of one (RFC 8259). Members keep their order, integers their exact value.
package enum JSONValue: Equatable, Sendable {
  case null
  case bool(Bool)
  case integer(Int128)
  /// Finite, or it is written as null: JSON has no infinity.
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([Member])

  package struct Member: Equatable, Sendable {
    package var name: String
    package var value: JSONValue

    package init(_ name: String, _ value: JSONValue) {
      self.name = name
      self.value = value
    }
  }

  /// The member of that name; nil when there is none or this is no object.
  package subscript(name: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.name == name }?.value
  }

  /// The text on one line.
  package var text: String {
    var writer = Writer(isIndented: false)
    writer.write(self, depth: 0)
    return writer.text
  }

  /// The text with one member a line, two spaces a level, and a final newline. Arrays of scalars stay
  /// on their line.
  package var indentedText: String {
    var writer = Writer(isIndented: true)
    writer.write(self, depth: 0)
    return writer.text + "\n"
  }

  private struct Writer {
    var text = ""
    let isIndented: Bool

    mutating func write(_ value: JSONValue, depth: Int) {
      switch value {
      case .null: text += "null"
      case .bool(let bool): text += bool ? "true" : "false"
      case .integer(let integer): text += integer.description
      case .number(let number): text += number.isFinite ? number.description : "null"
      case .string(let string): write(string)
      case .array(let elements):
        let isFlat = elements.allSatisfy { !$0.isCompound }
        list(
          "[", elements.count, "]", depth: depth, breaks: isIndented && !isFlat
        ) { writer, index in
          writer.write(elements[index], depth: depth + 1)
        }
      case .object(let members):
        list("{", members.count, "}", depth: depth, breaks: isIndented) { writer, index in
          writer.write(members[index].name)
          writer.text += writer.isIndented ? ": " : ":"
          writer.write(members[index].value, depth: depth + 1)
        }
      }
    }

    private mutating func list(
      _ open: String, _ count: Int, _ close: String, depth: Int, breaks: Bool,
      element: (inout Writer, Int) -> Void
    ) {
      text += open
      for index in 0..<count {
        if index > 0 { text += breaks || !isIndented ? "," : ", " }
        if breaks { newLine(depth + 1) }
        element(&self, index)
      }
      if breaks && count > 0 { newLine(depth) }
      text += close
    }

    private mutating func newLine(_ depth: Int) {
      text += "\n"
      text += String(repeating: "  ", count: depth)
    }

    private mutating func write(_ string: String) {
      text += "\""
      for scalar in string.unicodeScalars {
        switch scalar {
        case "\"": text += "\\\""
        case "\\": text += "\\\\"
        case "\n": text += "\\n"
        case "\r": text += "\\r"
        case "\t": text += "\\t"
        case _ where scalar.value < 0x20 || scalar.value == 0x7f:
          let digits = String(scalar.value, radix: 16)
          text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: text.unicodeScalars.append(scalar)
        }
      }
      text += "\""
    }
  }

  private var isCompound: Bool {
    switch self {
    case .array, .object: true
    case .null, .bool, .integer, .number, .string: false
    }
  }
}
