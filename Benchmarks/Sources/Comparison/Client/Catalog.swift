import Foundation
import Glibc

/// Every client the suite knows, and where each was found.
package struct Catalog: Sendable {
  package struct Entry: Sendable {
    package let client: any Client
    /// Nil when it is not on this machine.
    package let path: String?
    package let version: String
    package var name: String { client.name }
  }

  package let entries: [Entry]

  package subscript(name: String) -> Entry? {
    entries.first { $0.name == name }
  }

  /// In the order of the tables' rows.
  package static func clients(locustFile: String) -> [any Client] {
    var all: [any Client] = [Squall(), Squall(name: again)]
    all += OwnClient.all.map { $0 as any Client }
    all += [Gcannon(), Wrk(), H2load(), ApacheBench(), Hey(), Zrk(), Wrk2(), Oha(), K6(), Vegeta()]
    all += [Bombardier(), Nighthawk()]
    all += Locust.all(file: locustFile).map { $0 as any Client }
    return all
  }

  /// The second row of squall: what differs between it and the first is noise.
  package static let again = "squall again"

  /// Looks for each client's program in the folders given, in order.
  package static func find(
    _ clients: [any Client], squall: String?, folders: [String], scratch: String
  ) -> Catalog {
    let entries = clients.map { client -> Entry in
      let path =
        client.program == "squall"
        ? squall : Self.find(program: client.program, folders: folders)
      let version = path.map {
        Self.version(program: $0, arguments: client.versionArguments, scratch: scratch)
      }
      return Entry(client: client, path: path, version: version ?? "")
    }
    return Catalog(entries: entries)
  }

  package static func find(program: String, folders: [String]) -> String? {
    folders.map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
  }

  /// The first line of what the program says of its version that names a number; Debian's own
  /// version of the package would be another's word.
  private static func version(program: String, arguments: [String], scratch: String) -> String {
    guard !arguments.isEmpty,
      let child = try? Child(
        [program] + arguments, environment: ["PATH": "/usr/bin:/bin", "HOME": scratch],
        cpus: nil, outputPrefix: "\(scratch)/version")
    else { return "" }
    if child.wait(untilNs: monotonicNs() + 10_000_000_000) == nil { child.end() }
    let text =
      (readText(child.standardOutput) ?? "") + "\n" + (readText(child.standardError) ?? "")
    let line = text.split(separator: "\n").first { $0.contains { $0.isNumber } }
    // Some add where they are installed, or who wrote them: neither is a version.
    let ends = [" from /", " Copyright"]
    return ends.reduce(String(line ?? "")) { text, end in
      text.range(of: end).map { String(text[..<$0.lowerBound]) } ?? text
    }.prefix(70).trimmed
  }
}
