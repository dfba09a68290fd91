import Foundation

/// What is spoken between client and target.
package enum Wire: String, Codable, CaseIterable, Sendable {
  /// HTTP/1.1, plain and over TLS 1.3.
  case http1, https
  /// HTTP/2, plain from the first byte (RFC 9113 section 3.3) and over TLS 1.3.
  case h2c, h2

  package var isSecure: Bool { self == .https || self == .h2 }
  package var isHTTP2: Bool { self == .h2c || self == .h2 }

  package var title: String {
    switch self {
    case .http1: "plain"
    case .https: "TLS"
    case .h2c: "h2c"
    case .h2: "h2"
    }
  }
}

/// How long connections live, and how those after the first begin.
package enum Connecting: String, Codable, Sendable {
  case kept
  /// One for each request, each with a whole handshake.
  case full
  /// One for each request, by the tickets of those before.
  case resumed
}

/// The load a client is asked to make.
package struct Load: Codable, Equatable, Sendable {
  package var host = "127.0.0.1"
  package var port: UInt16 = 0
  package var path = "/"
  package var connections = 64
  package var seconds = 1
  package var pipeline = 1
  package var wire = Wire.http1
  /// Requests at a time on one HTTP/2 connection.
  package var streams = 1
  package var connecting = Connecting.kept
  /// A file with the certificate that signs the target's, where that is not trusted anyway.
  package var authority: String?
  /// Requests a second over all connections; nil is a closed loop.
  package var rateHz: Int?
  /// Exactly so many requests instead of a time.
  package var requestCount: Int?
  package var cpus = [1]
  /// Poll before a send instead of sleeping to it, where a client can.
  package var spins = false

  package init() {}

  package var url: String { "\(wire.isSecure ? "https" : "http")://\(host):\(port)\(path)" }
  package var threads: Int { cpus.count }
}

/// Where a client comes from, and so what to do when it is not here.
package enum Origin: Equatable, Sendable {
  case ours(String)
  case debian(String)
  case pypi(String)
  case source(String)

  package var howToGet: String {
    switch self {
    case .ours(let command): "build it: \(command)"
    case .debian(let name): "apt-get install \(name)"
    case .pypi(let name): "pip install \(name)"
    case .source(let url): "put it on PATH, from \(url)"
    }
  }
}

/// A command line, and what it needs around it.
package struct Command: Equatable, Sendable {
  package var arguments: [String]
  package var environment: [String: String] = [:]
  /// A file the client writes its result into, when that is not its standard output.
  package var resultPath: String?

  package init(
    _ arguments: [String], environment: [String: String] = [:], resultPath: String? = nil
  ) {
    self.arguments = arguments
    self.environment = environment
    self.resultPath = resultPath
  }
}

/// What a client says it did, in one vocabulary. What it does not say is nil.
package struct Claim: Codable, Equatable, Sendable {
  /// Answers that the client calls good.
  package var ok: UInt64
  /// Requests the client says it wrote, answered or not.
  package var sent: UInt64?
  package var failed: UInt64 = 0
  package var seconds: Double?
  package var meanNs: Double?
  package var p50Ns: Double?
  package var p75Ns: Double?
  package var p99Ns: Double?
  /// The same from the send instead of the scheduled start, for clients that tell both.
  package var serviceMeanNs: Double?
  package var serviceP99Ns: Double?
  /// Requests of the client's own before the load, which its target counts too.
  package var probes: UInt64 = 0
  /// Sent and not answered when the client stopped, if it says so.
  package var inFlight: UInt64 = 0
  /// Scheduled and never sent, if it says so.
  package var dropped: UInt64?
  package var verdict: String?

  package init(ok: UInt64) {
    self.ok = ok
  }
}

package struct Unable: Error, Equatable, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}

/// Files a client left behind.
package struct Output: Sendable {
  package let standardOutput: String
  package let standardError: String
  package let result: String?

  package init(standardOutput: String, standardError: String = "", result: String? = nil) {
    self.standardOutput = standardOutput
    self.standardError = standardError
    self.result = result
  }
}

/// One HTTP client that can be compared: how to ask it for a load, how to read what it says.
package protocol Client: Sendable {
  var name: String { get }
  var origin: Origin { get }
  /// The program to look for.
  var program: String { get }
  /// What a reader must know about its figures, with the source it is known from.
  var remark: String { get }
  /// What it can be asked to speak.
  var wires: Set<Wire> { get }
  /// Arguments that make it print its version.
  var versionArguments: [String] { get }
  /// The command line for a load; throws what this client cannot do.
  func command(_ load: Load, program: String, folder: String) throws(Unable) -> Command
  func claim(_ output: Output, load: Load) throws(Unable) -> Claim
}

extension Client {
  package var remark: String { "" }
  package var wires: Set<Wire> { [.http1] }
  package var versionArguments: [String] { ["--version"] }

  /// The command line, or why the client cannot be asked for this load.
  package func asked(
    _ load: Load, program: String, folder: String
  ) throws(Unable) -> Command {
    guard wires.contains(load.wire) else {
      throw Unable(load.wire.isHTTP2 ? "does not speak HTTP/2" : "not asked for this protocol")
    }
    return try command(load, program: program, folder: folder)
  }
}

/// Text between two marks, for the outputs that are written for people.
package struct Scan {
  private let text: String

  package init(_ text: String) {
    self.text = text
  }

  /// The first match of a regular expression's groups.
  package func groups(_ pattern: String) -> [String]? {
    guard let expression = try? NSRegularExpression(pattern: pattern),
      let match = expression.firstMatch(
        in: text, range: NSRange(text.startIndex..., in: text))
    else { return nil }
    return (1..<match.numberOfRanges).map { index in
      Range(match.range(at: index), in: text).map { String(text[$0]) } ?? ""
    }
  }

  package func number(_ pattern: String) -> Double? {
    groups(pattern)?.first.flatMap { Double($0) }
  }

  package func count(_ pattern: String) -> UInt64? {
    groups(pattern)?.first.flatMap { UInt64($0) }
  }

  /// A duration such as `280.59us`, `1.69ms`, `2.00s` or `1m`, in nanoseconds.
  package static func ns(_ text: String) -> Double? {
    let units: [(String, Double)] = [("us", 1e3), ("ms", 1e6), ("ns", 1), ("s", 1e9), ("m", 6e10)]
    for (unit, factor) in units where text.hasSuffix(unit) {
      if let value = Double(text.dropLast(unit.count)) { return value * factor }
    }
    return nil
  }
}

/// Reads a JSON document by paths, for the outputs that are written for programs.
package struct JSONDocument {
  private let root: Any

  package init?(_ text: String) {
    guard let root = try? JSONSerialization.jsonObject(with: Data(text.utf8)) else { return nil }
    self.root = root
  }

  package func value(_ path: String...) -> Any? {
    node(path)
  }

  /// A number, also one written as a string.
  package func number(_ path: String...) -> Double? {
    let node = node(path)
    if let text = node as? String { return Double(text) }
    return (node as? NSNumber)?.doubleValue
  }

  package func count(_ path: String...) -> UInt64? {
    (node(path) as? NSNumber)?.uint64Value
  }

  private func node(_ path: [String]) -> Any? {
    path.reduce(root as Any?) { node, key in
      if let list = node as? [Any], let index = Int(key) {
        return list.indices.contains(index) ? list[index] : nil
      }
      return (node as? [String: Any])?[key]
    }
  }
}
