internal import NIOCore
internal import SquallReport

/// One host of a fleet from the first attempt to reach it to its last word, as a machine: what ssh and
/// the host's shell say goes in, what to tell them comes out.
package struct HostSession {
  package enum Job: Equatable, Sendable {
    /// A worker for the master behind the tunnel, until our end of its input closes.
    case work(token: String, arguments: [String])
    /// `squall doctor --json`.
    case doctor
    /// The cached programs go.
    case clean
  }

  package enum State: Equatable, Sendable {
    case waiting
    case connecting
    /// The program is on its way there.
    case bringing
    /// The program starts there, and its worker joins.
    case starting
    case ready(workers: Int)
    /// Nothing was wrong.
    case left
    /// It never got ready.
    case failed(String)
    /// It was ready, and ended before it was told to.
    case lost(String)

    package var isPending: Bool {
      switch self {
      case .waiting, .connecting, .bringing, .starting: true
      case .ready, .left, .failed, .lost: false
      }
    }

    /// It has ended, well or not.
    package var isOver: Bool {
      switch self {
      case .left, .failed, .lost: true
      case .waiting, .connecting, .bringing, .starting, .ready: false
      }
    }
  }

  package enum Event: Equatable, Sendable {
    case opened
    /// A line of the host's standard output, and of ssh's and the host's standard error.
    case line(String)
    case said(String)
    /// The master knows this many of its workers as ready.
    case ready(workers: Int)
    /// The master has all that it counted.
    case delivered
    /// Nothing more is wanted of it.
    case dismissed
    case tooLate(afterNs: UInt64)
    /// ssh has ended with this code, or by this signal where it is negative.
    case ended(code: Int32)
  }

  package enum Effect: Equatable, Sendable {
    case write(String)
    case writeCargo
    case closeInput
    /// A sentence of the host's own.
    case tell(String)
  }

  private static let outputByteCountMax = 1 << 20

  package let host: FleetHost
  package private(set) var state = State.waiting
  /// What a job other than work printed.
  package private(set) var output = ""
  let job: Job
  private let cargo: Cargo
  /// Port of the host that leads to the master.
  private var port: UInt16?
  private var isAwaitingPort = false
  private var isRefusedTunnel = false
  private var hasBegun = false
  private var hasDelivered = false
  private var isDismissed = false
  private var lastWords = ""

  package init(host: FleetHost, job: Job, cargo: Cargo) {
    self.host = host
    self.job = job
    self.cargo = cargo
  }

  package mutating func handle(_ event: Event) -> [Effect] {
    switch event {
    case .opened:
      state = .connecting
      return []
    case .line(let line): return heard(line)
    case .said(let line): return said(line)
    case .ready(let workers):
      guard case .starting = state else { return [] }
      state = .ready(workers: workers)
      return []
    case .delivered:
      hasDelivered = true
      return []
    case .dismissed:
      guard !isDismissed else { return [] }
      isDismissed = true
      if state == .waiting { state = .left }
      return state.isOver ? [] : [.closeInput]
    case .tooLate(let afterNs):
      guard state.isPending else { return [] }
      let sentence = "it was not ready within \(Figures.duration(afterNs)): it was \(words)"
      return fail(lastWords.isEmpty ? sentence : "\(sentence); it said last: \(lastWords)")
    case .ended(let code):
      ended(code)
      return []
    }
  }

  /// What it does now.
  package var words: String {
    switch state {
    case .waiting: "waiting for its turn"
    case .connecting: "connecting"
    case .bringing: "getting the program"
    case .starting: job == .doctor ? "examined" : "starting its workers"
    case .ready(let workers): "ready, \(workers) \(workers == 1 ? "worker" : "workers")"
    case .left: "done"
    case .failed(let why): "failed: \(why)"
    case .lost(let why): "lost: \(why)"
    }
  }

  private mutating func heard(_ line: String) -> [Effect] {
    // A shell's start-up file may print what it likes before us.
    guard !hasBegun else {
      if output.utf8.count < Self.outputByteCountMax { output += line + "\n" }
      return []
    }
    let words = line.split(separator: " ").map(String.init)
    guard words.first == RemoteScript.mark, words.count > 1 else { return [] }
    switch (words[1], job) {
    // mark here ARCHITECTURE CACHED LIBRARY
    case ("here", .work), ("here", .doctor):
      guard state == .connecting, words.count >= 4 else { return [] }
      let library = words.dropFirst(4).joined(separator: " ")
      if let misfit = cargo.misfit(architecture: words[2], library: library) {
        return fail(misfit)
      }
      guard words[3] == "absent" else { return begin() }
      state = .bringing
      return [.write("bring \(cargo.bytes.readableBytes)\n"), .writeCargo]
    case ("brought", _): return state == .bringing ? begin() : []
    case ("spoilt", _):
      return fail("the program did not arrive whole\(lastWords.isEmpty ? "" : ": \(lastWords)")")
    case ("removed", .clean):
      output = words.dropFirst(2).joined(separator: " ")
      return []
    default: return []
    }
  }

  private mutating func begin() -> [Effect] {
    guard case .work(let token, _) = job else {
      hasBegun = true
      state = .starting
      return [.write("examine 0\n")]
    }
    guard !isRefusedTunnel else {
      return fail(
        "its sshd forwards no port to us: AllowTcpForwarding and PermitListen must allow it")
    }
    guard let port else {
      // Its line comes by another way than the host's, and may be overtaken.
      isAwaitingPort = true
      return []
    }
    hasBegun = true
    state = .starting
    return [.write("work \(port)\n\(token)\n")]
  }

  private mutating func said(_ line: String) -> [Effect] {
    let line = Columns.harmless(line)
    // What ssh(1) says of a tunnel from a port that the host chooses.
    if line.hasPrefix("Allocated port ") {
      port = line.split(separator: " ").dropFirst(2).first.flatMap { UInt16($0) }
      return isAwaitingPort ? begin() : []
    }
    if line.hasPrefix("Warning: remote port forwarding failed") {
      isRefusedTunnel = true
      return isAwaitingPort ? begin() : []
    }
    guard !line.allSatisfy(\.isWhitespace), !line.hasPrefix("Warning: Permanently added") else {
      return []
    }
    lastWords = line
    guard hasBegun, !isDismissed, !line.hasPrefix("worker: joined the master") else { return [] }
    return [.tell(line)]
  }

  private mutating func fail(_ why: String) -> [Effect] {
    state = .failed(why)
    return [.closeInput]
  }

  private mutating func ended(_ code: Int32) {
    guard !state.isOver else { return }
    let hasDoneIt =
      switch job {
      case .work: hasDelivered
      // It ends with 1 where nothing can be measured, and has said so.
      case .doctor: !output.isEmpty && (code == 0 || code == 1)
      case .clean: !output.isEmpty && code == 0
      }
    if isDismissed || hasDoneIt {
      state = .left
    } else if case .ready = state {
      state = .lost(reason(code))
    } else {
      state = .failed(reason(code))
    }
  }

  private func reason(_ code: Int32) -> String {
    let words = lastWords.isEmpty ? "" : ": \(lastWords)"
    return switch code {
    // ssh's own code for its own failures.
    case 255 where state == .connecting: "ssh does not get there" + words
    case 255: "the connection was cut" + words
    case 126, 127:
      "the program does not start there\(words); bring the one that make install builds, which needs "
        + "nothing of Swift"
    case 0: "it ended by itself" + words
    case ..<0: "ssh was ended by signal \(-code)"
    default: "it ended with exit code \(code)" + words
    }
  }
}
