import Foundation
import SquallLoad
import SquallScenario
import Testing

/// docs/scenario.schema.json, by which editors complete and check, has the keys that the compiler reads.
struct SchemaTests {
  private static func schema() throws -> JSONValue {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    return try JSONValue(
      text: String(
        contentsOf: root.appending(path: "docs/scenario.schema.json"), encoding: .utf8))
  }

  /// A key that nobody knows is answered with those that are known.
  @Test(arguments: [
    ("scenario", "{ZZZZZZZZZ: 1}"),
    ("defaults", "{squall: 1, target: http://x, defaults: {ZZZZZZZZZ: 1}}"),
    ("table", "{squall: 1, target: http://x, data: {a: {ZZZZZZZZZ: 1}}}"),
    ("user", "{squall: 1, target: http://x, users: {a: {ZZZZZZZZZ: 1}}}"),
    ("task", "{squall: 1, target: http://x, users: {a: {tasks: [{ZZZZZZZZZ: 1}]}}}"),
    ("request", Sample.scenario("{get: /, ZZZZZZZZZ: 1}")),
    ("capture", Sample.scenario("{get: /, capture: {a: {ZZZZZZZZZ: 1}}}")),
    ("check", Sample.scenario("{get: /, check: {ZZZZZZZZZ: 1}}")),
    (
      "stage",
      "{squall: 1, target: http://x, users: {a: {do: [{get: /}]}}, load: {users: {stages: [{ZZZZZZZZZ: 1}]}}}"
    ),
    (
      "objective",
      "{squall: 1, target: http://x, users: {a: {do: [{get: /}]}}, slo: [{ZZZZZZZZZ: 1}]}"
    ),
  ])
  func theKeysAreThoseOfTheCompiler(definition: String, text: String) throws {
    let fault = #expect(throws: Fault.self) {
      try Compiler.compile(FlowYAML.document(text))
    }
    let reason = try #require(fault).reason
    let list = try #require(reason.firstRange(of: "write one of ").map { reason[$0.upperBound...] })
    let known = list.split(separator: ", ").map(String.init)
    let schema = try Self.schema()
    let object: JSONValue? =
      switch definition {
      case "scenario": schema
      case "defaults": schema["properties"]?["defaults"]
      default: schema["$defs"]?[definition]
      }
    guard case .object(let members)? = object?["properties"] else {
      Issue.record("no properties of \(definition)")
      return
    }
    #expect(members.map(\.name).sorted() == known)
    #expect(object?["additionalProperties"] == .bool(false))
  }
}
