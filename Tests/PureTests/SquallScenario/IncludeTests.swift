import SquallScenario
import Testing

/// What other files give a scenario, and which of its tasks are done.
struct IncludeTests {
  private static let auth = """
    {defaults: {headers: {Accept: text/plain, X-From: auth}, timeout: 3s},
     data: {people: {file: people.csv, pick: unique}},
     steps: {login: [{post: /login, form: {name: "${people.name}"}}]}}
    """

  private static func surroundings(
    _ included: String = auth, tags: [String] = [], excluded: [String] = []
  ) -> Compiler.Surroundings {
    var surroundings = Compiler.Surroundings()
    surroundings.included = { name in
      name == "shared/auth.yaml"
        ? .success(FlowYAML.document(included, name: name, source: 1).root) : nil
    }
    surroundings.file = { name in
      name == "shared/people.csv" ? Array("name\nann\nbob\n".utf8) : nil
    }
    surroundings.tags = tags
    surroundings.excludedTags = excluded
    return surroundings
  }

  /// Its file names count from its own folder, and what this file says wins.
  @Test func anIncludedFileGivesDataStepsAndDefaults() throws {
    let program = try Sample.program(
      """
      {squall: 1, target: http://x, include: [shared/auth.yaml],
       defaults: {headers: {x-from: here}},
       users: {a: {do: [{use: login}]}}}
      """, in: Self.surroundings())
    #expect(program.tables.map(\.name) == ["people"])
    #expect(program.tables[0].rowCount == 2)
    #expect(program.requests[0].timeoutNs == 3_000_000_000)
    var machine = Machine(program: program, seed: 1, userCount: 1, rowCount: 1)
    let isBegun = machine.begin(0, index: 0)
    #expect(isBegun)
    guard case .send = machine.next(0, nowNs: 0) else {
      Issue.record("nothing is sent")
      return
    }
    var buffer = [UInt8](repeating: 0, count: 1_000)
    guard
      case .bytes(let count) = buffer.withUnsafeMutableBytes({
        machine.render(0, into: $0, nowNs: 0)
      })
    else {
      Issue.record("nothing is rendered")
      return
    }
    let request = String(decoding: buffer[..<count], as: UTF8.self)
    #expect(request.contains("Accept: text/plain\r\nx-from: here\r\n"), "\(request)")
    #expect(request.hasSuffix("\r\n\r\nname=ann"), "\(request)")
  }

  @Test(arguments: [
    ("{users: {}}", "'users' is not a key of an included file: write one of"),
    ("{squall: 2}", "this squall reads version 1, not '2'"),
    ("{data: {people: {file: none.csv}}}", "the file 'none.csv' cannot be read"),
  ])
  func whatIsWrongInAnIncludedFileIsSaidThere(included: String, words: String) throws {
    let document = FlowYAML.document(
      "{squall: 1, target: http://x, include: [shared/auth.yaml], users: {a: {do: [{get: /}]}}}")
    let fault = #expect(throws: Fault.self) {
      try Compiler.compile(document, in: Self.surroundings(included))
    }
    #expect(fault?.place.source == 1)
    #expect(fault?.reason.hasPrefix(words) == true, "\(fault?.reason ?? "")")
  }

  private static let tagged = """
    {squall: 1, target: http://x, users: {
      a: {tasks: [
        {task: look, tags: [read], do: [{get: /look}]},
        {task: buy, tags: [write, slow], do: [{get: /buy}]},
        {task: find, tags: [read, slow], do: [{get: /find}]},
        {task: rest, do: [{get: /rest}]}]},
      b: {do: [{get: /b}]}}}
    """

  @Test(
    arguments: [
      ([], [], ["look", "buy", "find", "rest"], ["a", "b"]),
      (["read"], [], ["look", "find"], ["a"]),
      (["read", "write"], ["slow"], ["look"], ["a"]),
      ([], ["slow", "read"], ["rest"], ["a", "b"]),
    ] as [([String], [String], [String], [String])])
  func tagsChooseTasks(
    tags: [String], excluded: [String], tasks: [String], users: [String]
  ) throws {
    let program = try Sample.program(
      Self.tagged, in: Self.surroundings(tags: tags, excluded: excluded))
    #expect(program.users.map(\.name) == users)
    #expect(program.users[0].tasks.map(\.name) == tasks)
    var machine = Machine(program: program, seed: 1, userCount: 1, rowCount: 1)
    let isBegun = machine.begin(0, index: 0)
    #expect(isBegun)
    var sent: Set<String> = []
    for _ in 0..<200 {
      guard case .send(let request) = machine.next(0, nowNs: 0) else { continue }
      sent.insert(program.endpoints[Int(program.requests[request].endpoint)].name)
    }
    #expect(sent == Set(tasks.map { "GET /\($0)" }))
    for task in tasks { #expect(program.explanation.contains("  \(task)")) }
    #expect(Program(bytes: program.bytes) == program)
  }

  @Test(
    arguments: [
      (["raed"], [], "'raed' is not a tag of this scenario: did you mean 'read'?"),
      ([], ["slwo"], "'slwo' is not a tag of this scenario: did you mean 'slow'?"),
      (["slow"], ["slow"], "no user has a task with these tags, so nobody would do anything"),
    ] as [([String], [String], String)])
  func tagsThatLeaveNothingAreRefused(tags: [String], excluded: [String], words: String) throws {
    let fault = #expect(throws: Fault.self) {
      try Compiler.compile(
        FlowYAML.document(Self.tagged), in: Self.surroundings(tags: tags, excluded: excluded))
    }
    #expect(fault?.reason == words)
  }
}
