/// A value that is written as JSON, read back from it, and described by a JSON Schema, all three from
/// one declaration.
package protocol JSONRepresentable {
  init(json: JSONValue) throws(JSONMismatch)
  var json: JSONValue { get }
  /// JSON Schema 2020-12 of `json`.
  static var jsonSchema: JSONValue { get }
}

/// Where a document differs from what was expected there, such as `rate.ok_per_s: not a number`.
package struct JSONMismatch: Error, Equatable, CustomStringConvertible {
  /// Member names and array places from the outermost on.
  package var path: [String]
  package var reason: String

  package init(_ reason: String) {
    path = []
    self.reason = reason
  }

  package func inside(_ name: String) -> JSONMismatch {
    var outer = self
    outer.path.insert(name, at: 0)
    return outer
  }

  package var description: String {
    (path.isEmpty ? "the document" : path.joined(separator: ".")) + ": " + reason
  }
}

/// A struct written as an object, member by member.
package protocol JSONRecord: JSONRepresentable {
  /// What reading starts from; each required member is then set.
  init()
  static var fields: [JSONField<Self>] { get }
}

/// One member of a record.
package struct JSONField<Record> {
  package var name: String
  package var isRequired: Bool
  package var schema: JSONValue
  package var write: (Record) -> JSONValue?
  package var read: (inout Record, JSONValue) throws(JSONMismatch) -> Void

  /// A member that is always there. `about` becomes the schema's description.
  package init<Value: JSONRepresentable>(
    _ name: String, _ path: WritableKeyPath<Record, Value>, _ about: String? = nil
  ) {
    self.name = name
    isRequired = true
    schema = Self.described(Value.jsonSchema, about)
    write = { $0[keyPath: path].json }
    read = { (record, json) throws(JSONMismatch) in record[keyPath: path] = try Value(json: json) }
  }

  /// A member that is absent when the value is nil.
  package init<Value: JSONRepresentable>(
    optional name: String, _ path: WritableKeyPath<Record, Value?>, _ about: String? = nil
  ) {
    self.name = name
    isRequired = false
    schema = Self.described(Value.jsonSchema, about)
    write = { $0[keyPath: path]?.json }
    read = { (record, json) throws(JSONMismatch) in record[keyPath: path] = try Value(json: json) }
  }

  /// The same with a schema that names the values there are.
  package func oneOf(_ values: String...) -> JSONField {
    guard case .object(let members) = schema else { return self }
    var field = self
    field.schema = .object(members + [.init("enum", .array(values.map { .string($0) }))])
    return field
  }

  private static func described(_ schema: JSONValue, _ about: String?) -> JSONValue {
    guard let about, case .object(let members) = schema else { return schema }
    return .object(members + [.init("description", .string(about))])
  }
}

extension JSONRecord {
  package init(json: JSONValue) throws(JSONMismatch) {
    guard case .object(let members) = json else { throw JSONMismatch("not an object") }
    self.init()
    let fields = Self.fields
    for field in fields {
      guard let value = json[field.name] else {
        if field.isRequired { throw JSONMismatch("missing").inside(field.name) }
        continue
      }
      do {
        try field.read(&self, value)
      } catch {
        throw error.inside(field.name)
      }
    }
    let names = Set(fields.map(\.name))
    if let stranger = members.first(where: { !names.contains($0.name) }) {
      throw JSONMismatch("not a member of this schema").inside(stranger.name)
    }
  }

  package var json: JSONValue {
    .object(
      Self.fields.compactMap { field in
        field.write(self).map { JSONValue.Member(field.name, $0) }
      })
  }

  package static var jsonSchema: JSONValue {
    let fields = Self.fields
    return .object([
      .init("type", .string("object")),
      .init("properties", .object(fields.map { .init($0.name, $0.schema) })),
      .init("required", .array(fields.filter(\.isRequired).map { .string($0.name) })),
      .init("additionalProperties", .bool(false)),
    ])
  }
}

extension JSONValue {
  fileprivate static func type(_ name: String) -> JSONValue {
    .object([.init("type", .string(name))])
  }
}

extension Bool: JSONRepresentable {
  package init(json: JSONValue) throws(JSONMismatch) {
    guard case .bool(let bool) = json else { throw JSONMismatch("not true or false") }
    self = bool
  }
  package var json: JSONValue { .bool(self) }
  package static var jsonSchema: JSONValue { .type("boolean") }
}

extension String: JSONRepresentable {
  package init(json: JSONValue) throws(JSONMismatch) {
    guard case .string(let string) = json else { throw JSONMismatch("not a string") }
    self = string
  }
  package var json: JSONValue { .string(self) }
  package static var jsonSchema: JSONValue { .type("string") }
}

extension Double: JSONRepresentable {
  package init(json: JSONValue) throws(JSONMismatch) {
    switch json {
    case .number(let number): self = number
    case .integer(let integer): self = Double(integer)
    default: throw JSONMismatch("not a number")
    }
  }
  package var json: JSONValue { .number(self) }
  package static var jsonSchema: JSONValue { .type("number") }
}

extension JSONRepresentable where Self: FixedWidthInteger {
  package init(json: JSONValue) throws(JSONMismatch) {
    guard case .integer(let integer) = json else { throw JSONMismatch("not an integer") }
    guard let value = Self(exactly: integer) else { throw JSONMismatch("an integer out of range") }
    self = value
  }
  package var json: JSONValue { .integer(Int128(self)) }
  package static var jsonSchema: JSONValue {
    guard Self.min == 0 else { return .type("integer") }
    return .object([.init("type", .string("integer")), .init("minimum", .integer(0))])
  }
}

/// Null where there is no value, in a member that is always there.
extension Optional: JSONRepresentable where Wrapped: JSONRepresentable {
  package init(json: JSONValue) throws(JSONMismatch) {
    self = json == .null ? nil : try Wrapped(json: json)
  }
  package var json: JSONValue { map(\.json) ?? .null }
  package static var jsonSchema: JSONValue {
    guard case .object(let members) = Wrapped.jsonSchema else { return Wrapped.jsonSchema }
    return .object(
      members.map { $0.name == "type" ? .init("type", .array([$0.value, .string("null")])) : $0 })
  }
}

extension UInt64: JSONRepresentable {}
extension UInt32: JSONRepresentable {}
extension UInt16: JSONRepresentable {}
extension Int: JSONRepresentable {}
extension Int64: JSONRepresentable {}

extension Array: JSONRepresentable where Element: JSONRepresentable {
  package init(json: JSONValue) throws(JSONMismatch) {
    guard case .array(let elements) = json else { throw JSONMismatch("not an array") }
    self = []
    reserveCapacity(elements.count)
    for (index, element) in elements.enumerated() {
      do {
        append(try Element(json: element))
      } catch {
        throw error.inside(String(index))
      }
    }
  }
  package var json: JSONValue { .array(map(\.json)) }
  package static var jsonSchema: JSONValue {
    .object([.init("type", .string("array")), .init("items", Element.jsonSchema)])
  }
}

/// An object with any member names, in ascending order of them.
extension Dictionary: JSONRepresentable where Key == String, Value: JSONRepresentable {
  package init(json: JSONValue) throws(JSONMismatch) {
    guard case .object(let members) = json else { throw JSONMismatch("not an object") }
    self = [:]
    for member in members {
      do {
        self[member.name] = try Value(json: member.value)
      } catch {
        throw error.inside(member.name)
      }
    }
  }
  package var json: JSONValue {
    .object(sorted { $0.key < $1.key }.map { JSONValue.Member($0.key, $0.value.json) })
  }
  package static var jsonSchema: JSONValue {
    .object([
      .init("type", .string("object")), .init("additionalProperties", Value.jsonSchema),
    ])
  }
}
