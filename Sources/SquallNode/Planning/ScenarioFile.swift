internal import Glibc
internal import SquallLoad
internal import SquallReport
internal import SquallScenario
internal import Yams

/// A scenario read from its file, compiled, and so free of faults.
package struct ScenarioFile {
  static let byteCountMax = 4 << 20
  /// All data files and bodies together travel with the plan.
  static let dataByteCountMax = 64 << 20

  private(set) var program: SquallScenario.Program
  /// What is done once, before the load.
  let setup: SquallScenario.Program?

  /// - Parameters:
  ///   - target: in the place of the file's own; nil leaves it.
  ///   - variables: values of `${var.NAME}`.
  ///   - tags: tasks with one of these are done; empty for all.
  ///   - excludedTags: tasks with one of these are not.
  package init(
    _ path: String, target: String?, variables: [String: String], tags: [String],
    excludedTags: [String]
  ) throws(Complaint) {
    let text = try Self.text(of: path)
    var sources: [Document.Source] = []
    var surroundings = Self.surroundings(target: target, variables: variables)
    surroundings.environment = { name in
      unsafe getenv(name).map { unsafe String(cString: $0) }
    }
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
    surroundings.tags = tags
    surroundings.excludedTags = excludedTags
    surroundings.included = { name in
      guard let text = try? Self.text(of: name.hasPrefix("/") ? name : folder + name) else {
        return nil
      }
      var reader = DocumentReader(name: name, text: text, index: sources.count)
      sources.append(reader.source)
      do throws(Fault) { return .success(try reader.document().root) } catch {
        return .failure(error)
      }
    }
    surroundings.file = { name in
      let bytes = readBytes(name.hasPrefix("/") ? name : folder + name)
      return bytes.flatMap { $0.count <= Self.dataByteCountMax ? $0 : nil }
    }
    let reader = DocumentReader(name: path, text: text, index: 0)
    sources.append(reader.source)
    do throws(Fault) {
      (program, setup) = try Self.program(reader, in: surroundings)
    } catch {
      throw .usage(error.message(in: sources))
    }
  }

  /// The scenario for users that have these values from their beginning on.
  func giving(_ constants: [SquallScenario.Program.Constant]) -> ScenarioFile {
    var file = self
    file.program.constants = constants
    return file
  }

  /// What is wrong with a scenario, and where; line and column from 1, 0 where there is none.
  struct Flaw: Error, Equatable {
    var reason: String
    var line: Int
    var column: Int
  }

  /// A scenario that came from somewhere: it has no files beside it, and nothing of this host's
  /// environment is for it.
  init(text: String, target: String?, variables: [String: String]) throws(Flaw) {
    guard text.utf8.count <= Self.byteCountMax else {
      throw Flaw(
        reason: "a scenario has \(Self.byteCountMax >> 20) MiB at most", line: 0, column: 0)
    }
    do throws(Fault) {
      (program, setup) = try Self.program(
        DocumentReader(name: "scenario", text: text, index: 0),
        in: Self.surroundings(target: target, variables: variables))
    } catch {
      throw Flaw(reason: error.reason, line: error.place.line, column: error.place.column)
    }
  }

  private static func surroundings(
    target: String?, variables: [String: String]
  ) -> Compiler.Surroundings {
    var surroundings = Compiler.Surroundings()
    surroundings.target = target
    surroundings.variables = variables
    surroundings.userAgent = "squall/\(Build.version)"
    return surroundings
  }

  private static func program(
    _ reader: DocumentReader, in surroundings: Compiler.Surroundings
  ) throws(Fault) -> (program: SquallScenario.Program, setup: SquallScenario.Program?) {
    var reader = reader
    let (program, setup) = try Compiler.compileWithSetup(try reader.document(), in: surroundings)
    for (index, objective) in program.objectives.enumerated() {
      do throws(Misspelt) {
        for text in texts(of: objective, in: program) { _ = try Objective.list(text) }
      } catch {
        throw Fault(
          Place(source: -1, line: 0, column: 0), "slo \(index + 1): \(error)")
      }
    }
    return (program, setup)
  }

  static func text(of path: String) throws(Complaint) -> String {
    guard let bytes = readBytes(path) else {
      throw .usage("the scenario '\(path)' cannot be read: name a readable file.")
    }
    guard bytes.count <= byteCountMax else {
      throw .usage("the scenario '\(path)' is larger than \(byteCountMax >> 20) MiB.")
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw .usage("the scenario '\(path)' is not UTF-8: save it as UTF-8.")
    }
    return text
  }

  /// The plan as people read it.
  package var explanation: String { program.explanation }
}

/// YAML, and JSON as a part of it, to a document with places.
struct DocumentReader {
  /// Aliases make large documents of small ones: nodes counted as often as they stand somewhere.
  static let nodeCountMax = 100_000
  static let depthMax = 100

  let source: Document.Source
  private let text: String
  /// Among the document's sources.
  private let index: Int
  private var nodeCount = 0

  init(name: String, text: String, index: Int) {
    self.index = index
    source = .init(name: name, text: text)
    self.text = text
  }

  mutating func document() throws(Fault) -> Document {
    try refuseDepth()
    let root: Yams.Node?
    do {
      root = try Yams.compose(yaml: text)
    } catch let error as YamlError {
      throw fault(error)
    } catch {
      throw Fault(Place(source: index, line: 1, column: 1), "not YAML: \(error)")
    }
    guard let root else {
      throw Fault(
        Place(source: index, line: 1, column: 1), "an empty scenario: begin with squall: 1")
    }
    return Document(root: try node(root, depth: 0), sources: [source])
  }

  /// The parser descends as deep as brackets and dashes say, so these are counted before.
  private func refuseDepth() throws(Fault) {
    var depth = 0
    for (index, line) in source.lines.enumerated() {
      var dashes = 0
      for character in line {
        if character == "[" || character == "{" { depth += 1 }
        if character == "]" || character == "}" { depth = max(0, depth - 1) }
        if character == "-" { dashes += 1 }
        guard depth <= Self.depthMax, dashes <= 1_000 else {
          throw Fault(Place(source: index, line: index + 1, column: 1), "nested too deep")
        }
      }
    }
  }

  private mutating func node(_ node: Yams.Node, depth: Int) throws(Fault) -> SquallScenario.Node {
    let place = Place(source: index, line: node.mark?.line ?? 1, column: node.mark?.column ?? 1)
    nodeCount += 1
    guard nodeCount <= Self.nodeCountMax, depth <= Self.depthMax else {
      throw Fault(place, "too large once its aliases are followed: write less of it")
    }
    switch node {
    case .scalar(let scalar):
      return .init(.scalar(scalar.string, isPlain: scalar.style == .plain), at: place)
    case .sequence(let sequence):
      var elements: [SquallScenario.Node] = []
      for element in sequence { elements.append(try self.node(element, depth: depth + 1)) }
      return .init(.sequence(elements), at: place)
    case .mapping(let mapping):
      var entries: [SquallScenario.Node.Entry] = []
      for (key, value) in mapping {
        entries.append(
          .init(
            key: try self.node(key, depth: depth + 1), value: try self.node(value, depth: depth + 1)
          ))
      }
      return .init(.mapping(entries), at: place)
    case .alias:
      throw Fault(place, "an alias that leads nowhere: write out what it stands for")
    }
  }

  private func fault(_ error: YamlError) -> Fault {
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      return Fault(
        Place(source: index, line: mark.line, column: mark.column),
        "not YAML: \(problem); "
          + (problem.contains("tab")
            ? "indent with spaces" : "a text with {, }, [, ], : or # in it needs quotes"))
    case .duplicatedKeysInMapping(let duplicates, let context):
      return Fault(
        Place(source: index, line: context.mark.line, column: context.mark.column),
        "'\(duplicates.first ?? "")' is given twice in one mapping: take one out")
    default:
      return Fault(Place(source: index, line: 1, column: 1), "not YAML: \(error)")
    }
  }
}
