import Foundation
import Glibc

/// What a suite was and where it ran: the first line of the raw record.
package struct Header: Codable, Sendable {
  package var schema = "squall.comparison/1"
  package let startedAt: String
  package let arguments: [String]
  package let seed: UInt64
  package let commit: String
  package let machine: Machine
  package let placement: Placement
  package let clients: [ClientNote]
  /// Worked with or against the machine's other load.
  package var gate: QuiesceGate.Report
  package var builtInTarget: TargetKind
  /// Of the first CPU of each side, before the first run.
  package var stillness: [Stillness]?

  package struct ClientNote: Codable, Sendable {
    package let name: String
    package let isHere: Bool
    package let version: String
    package let remark: String

    package init(name: String, isHere: Bool, version: String, remark: String) {
      self.name = name
      self.isHere = isHere
      self.version = version
      self.remark = remark
    }
  }

  package init(
    startedAt: String, arguments: [String], seed: UInt64, commit: String, machine: Machine,
    placement: Placement, clients: [ClientNote], gate: QuiesceGate.Report,
    builtInTarget: TargetKind
  ) {
    self.startedAt = startedAt
    self.arguments = arguments
    self.seed = seed
    self.commit = commit
    self.machine = machine
    self.placement = placement
    self.clients = clients
    self.gate = gate
    self.builtInTarget = builtInTarget
  }
}

/// The folder of results: every run appended as it ends, the tables and plots made from those.
///
/// A write that fails (a full disk) is said once and does not end the suite: the runs are kept in
/// memory, and what was written before is whole lines.
package final class Archive {
  package let folder: String
  package private(set) var failure: String?
  private var descriptor: Int32 = -1
  private let encoder: JSONEncoder

  package init(folder: String) {
    self.folder = folder
    encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
  }

  package var rawPath: String { "\(folder)/runs.ndjson" }

  package func begin(_ header: Header) {
    do {
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: true)
    } catch {
      failure = "\(folder): \(error.localizedDescription)"
      return
    }
    descriptor = open(rawPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    if descriptor < 0 { failure = "\(rawPath): \(String(cString: strerror(errno)))" }
    append(header)
  }

  package func add(_ run: Run) {
    append(run)
  }

  private func append(_ record: some Encodable) {
    guard failure == nil, var bytes = try? encoder.encode(record) else { return }
    bytes.append(UInt8(ascii: "\n"))
    let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    if written != bytes.count {
      failure = "\(rawPath): \(String(cString: strerror(errno))); kept in memory from here on"
    }
  }

  /// Writes one file of the report; false, with `failure` set, when it cannot be written.
  @discardableResult
  package func save(_ text: String, as name: String) -> Bool {
    do {
      try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
      return true
    } catch {
      failure = failure ?? "\(folder)/\(name): \(error.localizedDescription)"
      return false
    }
  }

  package struct Unreadable: Error, CustomStringConvertible {
    package let description: String
  }

  /// Reads a raw record back. A last line cut short is dropped.
  package static func read(folder: String) throws -> (header: Header, runs: [Run]) {
    let path = "\(folder)/runs.ndjson"
    guard let text = readText(path) else { throw Unreadable(description: "cannot read \(path)") }
    let lines = text.split(separator: "\n")
    let decoder = JSONDecoder()
    guard let first = lines.first,
      let header = try? decoder.decode(Header.self, from: Data(first.utf8))
    else { throw Unreadable(description: "\(path) does not begin with a header") }
    let runs = lines.dropFirst().compactMap { try? decoder.decode(Run.self, from: Data($0.utf8)) }
    return (header, runs)
  }
}
