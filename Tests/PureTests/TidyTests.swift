import Foundation
import Testing

/// What the folders promise about the files in them.
struct TidyTests {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  private static func swiftFiles(under folder: String) throws -> [(path: String, text: String)] {
    let names = try #require(
      FileManager.default.enumerator(atPath: root.appendingPathComponent(folder).path))
    return try names.compactMap { $0 as? String }.filter { $0.hasSuffix(".swift") }.map { name in
      let path = folder + "/" + name
      return (path, try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8))
    }
  }

  private static func imports(of text: String) -> Set<String> {
    Set(
      text.split(separator: "\n").compactMap { line in
        let words = line.split(separator: " ")
        guard let place = words.firstIndex(of: "import"), place + 1 < words.count,
          words[..<place].allSatisfy({ ["internal", "package", "public", "private"].contains($0) })
        else { return nil }
        return String(words[place + 1])
      })
  }

  /// The arrows between the targets. A pure target has the standard library and nothing else.
  @Test(arguments: [
    ("SquallLoad", []),
    ("SquallHTTP", []),
    ("SquallCluster", ["SquallLoad"]),
    ("SquallReport", ["SquallLoad"]),
    ("SquallScenario", ["SquallHTTP", "SquallLoad"]),
    ("SquallEngine", ["CSquall", "Glibc"]),
    (
      "SquallClient",
      [
        "CTLS", "Glibc", "SquallEngine", "SquallHTTP", "SquallLoad", "SquallScenario",
        "SquallTLS",
      ]
    ),
    ("SquallTLS", ["CTLS", "Glibc", "SquallLoad"]),
    (
      "SquallTarget", ["CTLS", "Glibc", "SquallEngine", "SquallHTTP", "SquallTLS"]
    ),
    (
      "squall",
      [
        "ArgumentParser", "Dispatch", "Glibc", "SquallLoad", "SquallNode", "SquallReport",
        "SquallTarget",
      ]
    ),
  ])
  func aTargetImportsWhatItsFolderAllows(target: String, allowed: [String]) throws {
    let files = try Self.swiftFiles(under: "Sources/" + target)
    #expect(!files.isEmpty)
    for (path, text) in files {
      let foreign = Self.imports(of: text).subtracting(allowed)
      #expect(foreign.isEmpty, "\(path) imports \(foreign.sorted())")
    }
  }

  /// The folders of the node, each of which may use those before it and none behind it.
  private static let nodeFolders = [
    "Host", "Security", "Planning", "Trial", "Report", "Record", "Agent", "Master", "Carrier",
    "Voice", "Run", "Web", "Doctor", "Fleet",
  ]

  /// By the names of types and functions that stand in a file by themselves.
  @Test func theArrowsInTheNodeGoOneWay() throws {
    let declaration = try Regex(
      #"(?m)^(?:package |internal )?(?:final )?(?:class|struct|enum|actor|protocol|func|typealias) (\w+)"#
    )
    let word = try Regex(#"(?:^|[^.\w])(\w+)"#)
    let files = try Self.swiftFiles(under: "Sources/SquallNode").map { path, text in
      let folder = String(path.split(separator: "/")[2])
      let rank = try #require(Self.nodeFolders.firstIndex(of: folder), "\(path) has no job")
      let code = text.replacing(try Regex(#"//[^\n]*|"(?:[^"\\\n]|\\.)*""#), with: "")
      return (path: path, rank: rank, code: code)
    }
    #expect(Set(files.map(\.rank)).count == Self.nodeFolders.count)
    var places: [String: [(path: String, rank: Int)]] = [:]
    for file in files {
      for match in file.code.matches(of: declaration) {
        places[String(match[1].substring ?? ""), default: []].append((file.path, file.rank))
      }
    }
    for file in files {
      let words = Set(file.code.matches(of: word).map { String($0[1].substring ?? "") })
      for name in words {
        let homes = places[name, default: []]
        guard !homes.contains(where: { $0.rank <= file.rank }), let home = homes.first else {
          continue
        }
        Issue.record("\(file.path) uses \(name) of \(home.path), which stands above it")
      }
    }
  }

  @Test func everyImportOfTheNodeIsDeclared() throws {
    let package = try String(
      contentsOf: Self.root.appendingPathComponent("Package.swift"), encoding: .utf8)
    let target = try #require(
      package.components(separatedBy: "name: \"SquallNode\",\n").last?
        .components(separatedBy: "swiftSettings").first)
    for (path, text) in try Self.swiftFiles(under: "Sources/SquallNode") {
      for name in Self.imports(of: text).subtracting(["Dispatch", "FoundationEssentials", "Glibc"])
      {
        #expect(target.contains("\"\(name)\""), "\(path) imports \(name)")
      }
    }
  }

  /// Time and chance come in as parameters.
  @Test(arguments: [
    "SquallLoad", "SquallHTTP", "SquallCluster", "SquallReport", "SquallScenario",
  ])
  func aPureTargetHasNoClockAndNoChanceOfItsOwn(target: String) throws {
    for (path, text) in try Self.swiftFiles(under: "Sources/" + target) {
      for word in ["ContinuousClock", "SuspendingClock", "SystemRandomNumberGenerator"] {
        #expect(!text.contains(word), "\(path) uses \(word)")
      }
      for line in text.split(separator: "\n") where line.contains(".random(") {
        #expect(line.contains("using:"), "\(path): \(line)")
      }
    }
  }

  @Test func everyDocumentThatIsLinkedExists() throws {
    let documents =
      ["README.md", "CHANGELOG.md"]
      + (try FileManager.default.contentsOfDirectory(
        atPath: Self.root.appendingPathComponent("docs").path
      )
      .filter { $0.hasSuffix(".md") }.map { "docs/" + $0 })
    for document in documents {
      let url = Self.root.appendingPathComponent(document)
      let text = try String(contentsOf: url, encoding: .utf8)
      for match in text.matches(of: /\]\(([^)#:]+)(#[^)]*)?\)/) {
        let target = url.deletingLastPathComponent().appendingPathComponent(String(match.output.1))
        #expect(
          FileManager.default.fileExists(atPath: target.path),
          "\(document) links to \(match.output.1)")
      }
    }
  }
}
