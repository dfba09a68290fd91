import Foundation
import Glibc
import Testing

/// The built program, from outside. One test at a time: they measure, and share the CPUs.
/// Over SQUALL_BACKEND, when that is set: its processes have it from here.
@Suite(.serialized)
enum EndToEnd {}

/// The program under test.
enum Squall {
  /// `SQUALL_BINARY`, or the one beside the running tests.
  static let path: String =
    ProcessInfo.processInfo.environment["SQUALL_BINARY"]
    ?? URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    .deletingLastPathComponent().appendingPathComponent("squall").path

  static func start(
    _ arguments: [String], environment: [String: String] = [:], input: String = ""
  ) throws -> Child {
    try Child(path, arguments, environment: environment, input: input)
  }

  /// Runs to the end, whatever that is.
  static func ended(
    _ arguments: [String], environment: [String: String] = [:], input: String = "",
    withinMs: UInt64 = 60_000
  ) throws -> Child {
    let child = try start(arguments, environment: environment, input: input)
    try child.awaitEnd(withinMs: withinMs)
    return child
  }

  /// Interrupts a load of 60 s on a target that answers after 100 ms, once eight requests are there: the
  /// result has all of them, since what was in flight is awaited.
  static func expectInterruptedRunReports(
    _ arguments: [String], of target: Served, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let child = try start(
      ["run", "--quiet", "--format", "json", "-d", "60s"] + arguments + [target.url])
    try child.run { try target.count() >= 8 }
    let signalledNs = monotonicNs()
    child.signalGroup(SIGINT)
    let ending = try child.awaitEnd()
    #expect(ending == Child.Ending(code: 130), sourceLocation: sourceLocation)
    #expect(
      (child.endedNs ?? .max) - signalledNs < 4_000_000_000, sourceLocation: sourceLocation)
    let result = try Measured(child.output)
    result.expectConservation(sourceLocation: sourceLocation)
    #expect(result["interrupted"] as? Bool == true, sourceLocation: sourceLocation)
    #expect(result.inFlight == 0, sourceLocation: sourceLocation)
    #expect(result.ok == result.sent, sourceLocation: sourceLocation)
    #expect(result.number("measured_ns") < 30_000_000_000, sourceLocation: sourceLocation)
    let count = try target.count()
    #expect(count == result.sent, sourceLocation: sourceLocation)
  }

  /// Measures and reads the result. Exit code 1 is that of a run without an ok answer.
  static func run(
    _ arguments: [String], environment: [String: String] = [:], code: Int32 = 0,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> Measured {
    let child = try ended(
      ["run", "--quiet", "--format", "json"] + arguments, environment: environment)
    #expect(
      child.ending == Child.Ending(code: code), "\(child.errors)", sourceLocation: sourceLocation)
    #expect(
      !child.errors.contains("its counts are kept"), "\(child.errors)",
      sourceLocation: sourceLocation)
    return try Measured(child.output)
  }
}

/// Measures up to three times until nothing is complained of: what other processes on this host do to
/// a measurement is not what is tested. Each complaint is a sentence.
func onAQuietHost(
  sourceLocation: SourceLocation = #_sourceLocation, _ measure: () throws -> [String]
) throws {
  var complaints: [String] = []
  for _ in 1...3 {
    complaints = try measure()
    if complaints.isEmpty { return }
  }
  Issue.record(
    Comment(rawValue: complaints.joined(separator: "\n")), sourceLocation: sourceLocation)
}

/// A result file.
struct Measured {
  let text: String
  let object: [String: Any]

  init(_ text: String) throws {
    self.text = text
    object = try #require(
      try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }

  /// What stands at a path such as `requests.sent`.
  subscript(_ path: String) -> Any? {
    path.split(separator: ".").reduce(object as Any?) { value, key in
      (value as? [String: Any])?[String(key)]
    }
  }

  /// The number at a path; -1, which no count is, when there is none.
  func number(_ path: String) -> Int { self[path] as? Int ?? -1 }

  var sent: Int { number("requests.sent") }
  var ok: Int { number("requests.ok") }
  var notOk: Int { number("requests.not_ok") }
  var inFlight: Int { number("requests.in_flight_at_stop") }

  /// Causes that occurred, with their counts.
  var errors: [String: Int] {
    (self["errors"] as? [String: Int] ?? [:]).filter { $0.value > 0 }
  }

  var workers: [[String: Any]] { self["workers"] as? [[String: Any]] ?? [] }

  /// Nothing is lost between what was sent and what became of it: for the run and each worker.
  func expectConservation(sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(sent >= 0, sourceLocation: sourceLocation)
    let carriedIn = max(0, number("requests.carried_in"))
    #expect(
      sent + carriedIn == ok + notOk + inFlight, "\(requests)", sourceLocation: sourceLocation)
    #expect(
      self["verdict.conservation.balanced"] as? Bool == true, sourceLocation: sourceLocation)
    #expect(number("verdict.conservation.missing") == 0, sourceLocation: sourceLocation)
    if let due = self["requests.due"] as? Int {
      #expect(
        sent + number("requests.dropped") == due, "\(requests)", sourceLocation: sourceLocation)
    }
    let warmUp = max(0, number("requests.warmup.sent"))
    #expect(number("verdict.conservation.total") == sent + warmUp, sourceLocation: sourceLocation)
    var sums = [0, 0, 0, 0]
    for worker in workers {
      let counts = ["sent", "ok", "not_ok", "in_flight_at_stop"].map { worker[$0] as? Int ?? -1 }
      #expect(
        counts[0] == counts[1] + counts[2] + counts[3], "\(worker)", sourceLocation: sourceLocation)
      for index in sums.indices { sums[index] += counts[index] }
    }
    #expect(sums == [sent, ok, notOk, inFlight], sourceLocation: sourceLocation)
    // Openings that failed are errors, though nothing was sent on them.
    let causes =
      errors.values.reduce(0, +) - errors["connect", default: 0] - errors["tls", default: 0]
    #expect(causes == notOk, "\(errors)", sourceLocation: sourceLocation)
  }

  var requests: String { "\(self["requests"] ?? "no requests") \(errors)" }
}

/// `squall serve`, on a port the kernel chose unless told otherwise.
final class Served {
  let child: Child
  /// Ends in a slash.
  let url: String
  let port: UInt16

  init(_ arguments: [String] = [], port: UInt16 = 0) throws {
    child = try Squall.start(["serve", "--port", "\(port)"] + arguments)
    let line = try child.firstLine()
    let first = try #require(
      try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], "\(line)")
    url = try #require(first["listening"] as? String)
    self.port = try #require(UInt16(url.dropLast().split(separator: ":").last ?? ""))
    #expect((first["pids"] as? [Int])?.isEmpty == false)
  }

  deinit { child.end() }

  /// Requests it received to their last byte.
  func count() throws -> Int {
    let text = try fetch("/count", port: port)
    let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
    return try #require(object?["requests"] as? Int)
  }
}

/// The body of what a server on loopback answers to GET, by a blocking socket.
func fetch(_ path: String, port: UInt16) throws -> String {
  let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
  defer { close(socket) }
  var time = timeval(tv_sec: 10, tv_usec: 0)
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
  var address = loopback(port: port)
  let connected = withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
    }
  }
  // Not a requirement: some wait for a server by asking until one answers.
  guard connected == 0 else {
    throw Child.TookTooLong(
      description: "connect to \(port): \(String(cString: strerror(errno)))")
  }
  let request = Array("GET \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".utf8)
  try #require(send(socket, request, request.count, Int32(MSG_NOSIGNAL)) == request.count)
  var text = ""
  while true {
    if let end = text.range(of: "\r\n\r\n"),
      let length = text[..<end.lowerBound].split(separator: "\r\n")
        .first(where: { $0.lowercased().hasPrefix("content-length:") })
        .flatMap({ Int($0.dropFirst(15).trimmingCharacters(in: .whitespaces)) }),
      text[end.upperBound...].utf8.count >= length
    {
      return String(text[end.upperBound...])
    }
    var room = [UInt8](repeating: 0, count: 65_536)
    let count = recv(socket, &room, room.count, 0)
    try #require(count > 0, "the answer to \(path) ends early: \(text)")
    text += String(decoding: room.prefix(count), as: UTF8.self)
  }
}

/// Whether somebody takes connections on a port of loopback.
func accepts(_ port: UInt16) -> Bool {
  let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
  defer { close(socket) }
  var address = loopback(port: port)
  return withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
    }
  }
}

func loopback(port: UInt16) -> sockaddr_in {
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = port.bigEndian
  address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
  return address
}

/// A socket that listens on loopback, and its port.
func listener() throws -> (socket: Int32, port: UInt16) {
  let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
  var address = loopback(port: 0)
  var byteCount = socklen_t(MemoryLayout<sockaddr_in>.size)
  let result = withUnsafeMutablePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
      bind(socket, raw, byteCount) == 0 && listen(socket, 1_024) == 0
        && getsockname(socket, raw, &byteCount) == 0
    }
  }
  try #require(result, "listen: \(String(cString: strerror(errno)))")
  return (socket, UInt16(bigEndian: address.sin_port))
}

/// A port on loopback where nobody listened a moment ago.
func closedPort() throws -> UInt16 {
  let (socket, port) = try listener()
  close(socket)
  return port
}
