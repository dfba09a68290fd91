internal import SquallLoad

/// A mapping being read: each key once, none that nobody asks for.
struct Fields {
  let node: Node
  /// Such as `a task`.
  let name: String
  private var entries: [String: (key: Node, value: Node)] = [:]

  /// - Parameters:
  ///   - keys: all that may stand here.
  ///   - later: keys of the grammar that this version does not carry out, and what to do instead.
  init(
    _ node: Node, _ name: String, keys: [String], later: [String: String] = [:]
  ) throws(Fault) {
    self.node = node
    self.name = name
    for entry in try node.entries(name) {
      guard let key = entry.key.text else { throw Fault(entry.key, "a key must be a word") }
      if let instead = later[key] {
        throw Fault(entry.key, "'\(key)' is not carried out yet: \(instead)")
      }
      guard keys.contains(key) else {
        throw .unknown(entry.key, key, "a key of \(name)", known: keys)
      }
      if let first = entries[key] {
        throw Fault(
          entry.key,
          "'\(key)' is given twice, first in line \(first.key.place.line): take one out")
      }
      entries[key] = (entry.key, entry.value)
    }
  }

  subscript(key: String) -> Node? { entries[key]?.value }

  func key(_ key: String) -> Node { entries[key]?.key ?? node }

  var keys: [String] { Array(entries.keys) }

  /// At most one of these, so that no second one is ignored.
  func only(_ choices: [String]) throws(Fault) -> String? {
    let given = choices.filter { entries[$0] != nil }
    guard given.count > 1 else { return given.first }
    let places = given.compactMap { name in entries[name].map { ($0.key, name) } }
      .sorted { ($0.0.place.line, $0.0.place.column) < ($1.0.place.line, $1.0.place.column) }
    throw Fault(
      places[1].0, "'\(places[1].1)' contradicts '\(places[0].1)': give one of them")
  }
}

extension Node {
  func entries(_ name: String) throws(Fault) -> [Entry] {
    guard case .mapping(let entries) = content else {
      throw Fault(self, "\(name) must be a mapping, KEY: VALUE, this is \(described)")
    }
    return entries
  }

  func elements(_ name: String) throws(Fault) -> [Node] {
    guard case .sequence(let elements) = content else {
      throw Fault(self, "\(name) must be a list, [ITEM, …], this is \(described)")
    }
    return elements
  }

  func string(_ name: String) throws(Fault) -> String {
    guard let text, kind != .null else {
      throw Fault(self, "\(name) must be a text, this is \(described)")
    }
    return text
  }

  func boolean(_ name: String) throws(Fault) -> Bool {
    guard kind == .bool, let text else {
      throw Fault(self, "\(name) must be true or false, this is \(described)")
    }
    return text.lowercased() == "true"
  }

  func count(_ name: String, _ range: ClosedRange<UInt64>) throws(Fault) -> UInt64 {
    let text = try string(name)
    do throws(Misspelt) {
      let count = try Quantity.count(text)
      guard range.contains(count) else {
        throw Misspelt(text, column: 1, "outside of \(range.lowerBound) to \(range.upperBound)")
      }
      return count
    } catch {
      throw Fault(self, error, name)
    }
  }

  func durationNs(_ name: String) throws(Fault) -> UInt64 {
    let text = try string(name)
    do throws(Misspelt) { return try Quantity.durationNs(text) } catch {
      throw Fault(self, error, name)
    }
  }
}

extension Fault {
  init(_ node: Node, _ misspelt: Misspelt, _ name: String) {
    self.init(node, "\(name) '\(misspelt.text)': \(misspelt.reason)")
  }
}
