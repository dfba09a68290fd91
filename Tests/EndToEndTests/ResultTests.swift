import Foundation
import Testing

extension EndToEnd {
  /// What the program prints is what its schema says, judged by a validator that is not ours.
  @Suite(
    .serialized, .enabled(if: Python.withJsonschema != nil, "python3-jsonschema is not installed"))
  struct SchemaTests {
    private static let schemaPath = URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("docs/result.schema.json").path

    private static let script = """
      import json, sys, jsonschema
      schema = json.load(open(sys.argv[1]))
      kind = jsonschema.validators.validator_for(schema)
      kind.check_schema(schema)
      complaints = [f"{list(e.absolute_path)}: {e.message[:300]}" for e in kind(schema).iter_errors(json.load(open(sys.argv[2])))]
      print("valid" if not complaints else "\\n".join(complaints))
      """

    private func expectValid(
      _ text: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
      let folder = try Folder()
      let file = try folder.file("result.json", text)
      let python = try Python(
        script: Self.script, arguments: [Self.schemaPath, file],
        by: try #require(Python.withJsonschema))
      try python.child.awaitEnd()
      #expect(
        python.child.output == "valid\n", "\(python.child.errors)", sourceLocation: sourceLocation)
    }

    @Test(arguments: [
      ["-n", "500"], ["-d", "300ms", "--interval", "50ms", "--label", "a=b"],
      ["-d", "300ms", "--warmup", "200ms"],
      ["-R", "500", "-d", "400ms", "--slo", "p99<1s,errors<1%"],
      ["-R", "100:2000", "-d", "400ms", "--arrival", "poisson"],
      ["-R", "50", "-d", "200ms", "--deadline", "10ms"],
    ])
    func aResultIsValid(arguments: [String]) throws {
      let target = try Served()
      try expectValid(try Squall.run(arguments + [target.url]).text)
    }

    @Test(arguments: ["?status=503", "fault/reset", "fault/garbage", "fault/hang"])
    func aResultOfErrorsIsValid(path: String) throws {
      let target = try Served()
      let result = try Squall.run(
        ["-d", "300ms", "--timeout", "100ms", target.url + path], code: 1)
      #expect(result.ok == 0)
      try expectValid(result.text)
    }

    @Test func anInterruptedResultIsValid() throws {
      let target = try Served()
      let child = try Squall.start(["run", "--quiet", "--format", "json", "-d", "30s", target.url])
      try child.run { try target.count() > 100 }
      child.signalGroup(SIGINT)
      #expect(try child.awaitEnd() == Child.Ending(code: 130))
      try expectValid(child.output)
    }

    @Test func whatIsNoResultIsNotValid() throws {
      let folder = try Folder()
      let target = try Served()
      let text = try Squall.run(["-n", "10", target.url]).text
      let spoilt = text.replacingOccurrences(of: "\"sent\"", with: "\"went\"")
      #expect(spoilt != text)
      let file = try folder.file("result.json", spoilt)
      let python = try Python(
        script: Self.script, arguments: [Self.schemaPath, file],
        by: try #require(Python.withJsonschema))
      try python.child.awaitEnd()
      #expect(python.child.output != "valid\n")
    }
  }
}
