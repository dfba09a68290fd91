internal import Glibc
internal import SquallLoad
internal import SquallReport
internal import SquallScenario

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
