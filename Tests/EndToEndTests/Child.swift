import Foundation
import Glibc
import Testing

extension Child {
  /// The number behind words that it has said.
  func port(after words: String) throws -> UInt16 {
    let rest = errors.components(separatedBy: words).dropFirst().first
    return try #require(rest.flatMap { UInt16($0.prefix { $0.isNumber }) }, "\(errors)")
  }
}

/// A process with both outputs in memory, in a process group of its own that ends with this object:
/// whatever it started, workers and targets, ends too.
final class Child {
  struct Ending: Equatable, CustomStringConvertible {
    /// Nil when a signal ended it.
    var code: Int32?
    var signal: Int32?
    var description: String { code.map { "exit \($0)" } ?? "signal \(signal ?? 0)" }
  }

  struct TookTooLong: Error, CustomStringConvertible {
    var description: String
  }

  let id: pid_t
  let startedNs = monotonicNs()
  private(set) var ending: Ending?
  private(set) var endedNs: UInt64?
  private let name: String
  private var pipes: [Int32]
  private var bytes: [[UInt8]] = [[], []]

  /// `input` may be larger than a pipe only if the process reads all of it before it prints.
  init(
    _ executable: String, _ arguments: [String], environment: [String: String] = [:],
    input: String = ""
  ) throws {
    name = ([executable] + arguments).joined(separator: " ")
    let ends = try (0..<3).map { _ in try Self.pipe() }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, ends[0].reading, 0)
    posix_spawn_file_actions_adddup2(&actions, ends[1].writing, 1)
    posix_spawn_file_actions_adddup2(&actions, ends[2].writing, 2)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))
    posix_spawnattr_setpgroup(&attributes, 0)
    // Threads of a test block signals. Some servers, Apache's among them, do not undo that.
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)

    let all = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    let words = ([executable] + arguments).map { strdup($0) } + [nil]
    let variables = all.map { strdup("\($0)=\($1)") } + [nil]
    defer { for word in words + variables { free(word) } }
    var id: pid_t = 0
    let error = posix_spawnp(&id, executable, &actions, &attributes, words, variables)
    close(ends[0].reading)
    close(ends[1].writing)
    close(ends[2].writing)
    pipes = [ends[1].reading, ends[2].reading]
    self.id = id
    if error == 0, !input.isEmpty {
      _ = Array(input.utf8).withUnsafeBytes { write(ends[0].writing, $0.baseAddress, $0.count) }
    }
    close(ends[0].writing)
    guard error == 0 else {
      ending = Ending(code: 127)
      throw TookTooLong(description: "cannot start \(name): \(String(cString: strerror(error)))")
    }
  }

  deinit { end() }

  var output: String { String(decoding: bytes[0], as: UTF8.self) }
  var errors: String { String(decoding: bytes[1], as: UTF8.self) }

  func signal(_ number: Int32) { if ending == nil { kill(id, number) } }

  /// As a terminal's Ctrl-C does it: to everyone in the group.
  func signalGroup(_ number: Int32) { if ending == nil { kill(-id, number) } }

  /// The first line of the output.
  func firstLine(withinMs: UInt64 = 20_000) throws -> String {
    try pump(withinMs: withinMs) { bytes[0].contains(UInt8(ascii: "\n")) || ending != nil }
    return String(output.prefix { $0 != "\n" })
  }

  /// Waits for the end of the process, and looks at it every few milliseconds until then.
  @discardableResult
  func awaitEnd(withinMs: UInt64 = 60_000, meanwhile look: () -> Void = {}) throws -> Ending {
    try pump(withinMs: withinMs) {
      if ending == nil { look() }
      return ending != nil
    }
    return try #require(ending)
  }

  /// Lets the process run until `condition` holds.
  func run(withinMs: UInt64 = 20_000, until condition: () throws -> Bool) throws {
    try pump(withinMs: withinMs) { try ending != nil || condition() }
    guard ending == nil else {
      throw TookTooLong(description: "\(name) ended early: \(output)\(errors)")
    }
  }

  func end() {
    guard ending == nil else { return }
    kill(-id, SIGKILL)
    var status: Int32 = 0
    while waitpid(id, &status, 0) < 0 && errno == EINTR {}
    finished(status)
    for pipe in pipes { close(pipe) }
    pipes = []
  }

  /// Ids of the processes it started that are alive.
  var children: [pid_t] {
    let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(id)/task")) ?? []
    return threads.flatMap { thread -> [pid_t] in
      let path = "/proc/\(id)/task/\(thread)/children"
      let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
      return text.split(separator: " ").compactMap { pid_t($0) }
    }
  }

  private func pump(withinMs: UInt64, until condition: () throws -> Bool) throws {
    let deadlineNs = monotonicNs() + withinMs * 1_000_000
    while try !condition() {
      guard monotonicNs() < deadlineNs else {
        let text = "not within \(withinMs) ms: \(name)\n\(output)\(errors)"
        end()
        throw TookTooLong(description: text)
      }
      read(withinMs: 2)
      var status: Int32 = 0
      guard ending == nil, waitpid(id, &status, WNOHANG) == id else { continue }
      finished(status)
      // What it left behind in its group may still hold the pipes.
      kill(-id, SIGKILL)
      while pipes.contains(where: { $0 >= 0 }), monotonicNs() < deadlineNs { read(withinMs: 2) }
    }
  }

  private func read(withinMs: Int32) {
    var polls = pipes.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    guard poll(&polls, nfds_t(polls.count), withinMs) > 0 else { return }
    for index in pipes.indices where polls[index].revents != 0 {
      var room = [UInt8](repeating: 0, count: 65_536)
      let count = Glibc.read(pipes[index], &room, room.count)
      if count > 0 {
        bytes[index] += room.prefix(count)
      } else if count == 0 {
        close(pipes[index])
        pipes[index] = -1
      }
    }
  }

  private func finished(_ status: Int32) {
    endedNs = monotonicNs()
    let signal = status & 0x7f
    ending =
      signal == 0 ? Ending(code: (status >> 8) & 0xff) : Ending(code: nil, signal: signal)
  }

  private static func pipe() throws -> (reading: Int32, writing: Int32) {
    var ends: [Int32] = [0, 0]
    try #require(Glibc.pipe(&ends) == 0)
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
  }
}

func monotonicNs() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// A C compiler's run, with whichever there is.
func compiledC(_ arguments: [String]) throws -> Child {
  let compilers = ["cc", "clang", "gcc"].lazy.compactMap { try? Child($0, arguments) }
  let child = try #require(compilers.first, "no C compiler")
  try child.awaitEnd()
  return child
}

/// A folder that is gone with this object.
final class Folder {
  let path: String

  init() throws {
    var name = Array("/tmp/squall-test-XXXXXX".utf8CString)
    try #require(mkdtemp(&name) != nil)
    path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String, _ text: String) throws -> String {
    try text.write(toFile: path + "/" + name, atomically: false, encoding: .utf8)
    return path + "/" + name
  }

  /// A scenario's file: what it has beside its target.
  func scenario(of target: Served, _ text: String) throws -> String {
    try scenario(at: target.url, text)
  }

  /// `url` ends with the slash that paths begin with.
  func scenario(at url: String, _ text: String) throws -> String {
    try file("a.yaml", "squall: 1\ntarget: \(url.dropLast())\n" + text)
  }

  func text(_ name: String) throws -> String {
    try String(contentsOfFile: path + "/" + name, encoding: .utf8)
  }

  var names: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
  }
}
