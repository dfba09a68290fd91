internal import Glibc
internal import SquallClient
internal import SquallEngine
internal import SquallHTTP
internal import SquallLoad
internal import SquallScenario

/// One iteration of each user of a scenario, both sides printed: what `--dry-run` does. Think times are
/// said and not waited for, but between two tries of a request that is sent until something holds.
package struct DryRun: ~Copyable {
  private static let requestByteCountMax = 1 << 20

  /// A host that the scenario speaks to, and the user's connection to it.
  private struct Peer {
    let address: Address
    let tls: TLSPlan?
    var stream: TargetStream?
  }

  private var peers: [Peer]
  private let speaksHTTP2: Bool
  private var reader: ReplyReader
  private var nowNs: UInt64 = 0
  private var requestCount = 0
  private var failureCount = 0
  private let tell: DebugExchange.Telling
  /// The first one, with the name of its request.
  private var failure: String?
  /// Of the request that was sent last.
  private var name = ""

  /// Fails when a check does not hold or a request gets no answer.
  package static func run(
    _ file: ScenarioFile, by draft: PlanDraft,
    tell: @escaping DebugExchange.Telling = { text throws(Complaint) in try Console.print(text) }
  ) throws(Complaint) {
    if file.setup != nil { try tell("== setup\n") }
    let file = try prepared(file, by: draft, tell: tell)
    var dryRun = try opened(file.program, by: draft, tell: tell)
    let deal = UserDeal(file.program.users)
    for (index, user) in file.program.users.enumerated() {
      // The first user of each kind.
      guard let number = (0..<UInt64(1_100_000)).first(where: { deal.userClass(of: $0) == index })
      else { continue }
      try tell("== \(user.name), user \(number)\n")
      try dryRun.follow(number)
    }
    let (requestCount, failureCount) = (dryRun.requestCount, dryRun.failureCount)
    try tell("\n\(requestCount) requests, \(failureCount) of them failed\n")
    if failureCount > 0 {
      throw .world(
        "\(failureCount) of \(requestCount) requests failed; what did not hold is above.")
    }
  }

  /// Does what the scenario says is to be done before the load. What it captured goes to all users.
  package static func prepared(
    _ file: ScenarioFile, by draft: PlanDraft,
    tell: @escaping DebugExchange.Telling = { _ throws(Complaint) in }
  ) throws(Complaint) -> ScenarioFile {
    guard let setup = file.setup else { return file }
    var run = try opened(setup, by: draft, tell: tell)
    try run.follow(0)
    if let failure = run.failure {
      throw .world("setup failed, so there was no load: \(failure).")
    }
    return file.giving(run.reader.machine.constants(0))
  }

  private static func opened(
    _ program: SquallScenario.Program, by draft: PlanDraft, tell: @escaping DebugExchange.Telling
  ) throws(Complaint) -> DryRun {
    let targets = try PlanDraft.targets(of: program)
    var draft = draft
    draft.tls.isOptional = targets.contains(where: \.isSecure)
    var peers: [Peer] = []
    for target in targets {
      let destination = try draft.destinations(for: target)[0]
      let tls = try draft.tlsPlan(for: target)
      do throws(Address.ResolveError) {
        // Of several addresses one that somebody listens at.
        let addresses = try TargetAddresses(
          of: destination, timeoutNs: draft.connectTimeoutNs)
        peers.append(Peer(address: addresses.used[0], tls: tls))
      } catch {
        throw .world("\(target.text): cannot look up the host '\(error.host)': \(error.cause).")
      }
    }
    return DryRun(
      peers: peers, speaksHTTP2: draft.version != .http1,
      machine: Machine(
        program: program, seed: draft.seed, userCount: max(1, program.load.userCountMax),
        rowCount: 1), tell: tell)
  }

  private init(
    peers: [Peer], speaksHTTP2: Bool, machine: consuming Machine,
    tell: @escaping DebugExchange.Telling
  ) {
    self.peers = peers
    self.speaksHTTP2 = speaksHTTP2
    reader = ReplyReader(machine, rowCount: 1)
    self.tell = tell
    reader.machine.wallOffsetNs = wallNs()
  }

  private mutating func follow(_ number: UInt64) throws(Complaint) {
    guard reader.machine.begin(0, index: number) else { return }
    for index in peers.indices { peers[index].stream = nil }
    while true {
      switch reader.machine.next(0, nowNs: nowNs) {
      case .send(let request): try exchange(request)
      case .think(let untilNs):
        let seconds = Double((untilNs - nowNs) / 1_000_000) / 1_000
        if reader.machine.isBetweenTries(0) {
          try tell("* waits \(seconds) s\n")
          Self.sleep(untilNs - nowNs)
        } else {
          try tell("* thinks \(seconds) s\n")
        }
        nowNs = untilNs
      case .iterationEnded: reader.machine.stop(0)
      case .idle, .ended: return
      }
    }
  }

  private static func sleep(_ ns: UInt64) {
    let untilNs = monotonicNs() &+ ns
    while true {
      let nowNs = monotonicNs()
      guard nowNs < untilNs else { return }
      // Signals end it early.
      _ = poll(nil, 0, Int32(clamping: (untilNs - nowNs) / 1_000_000 + 1))
    }
  }

  private mutating func exchange(_ index: Int) throws(Complaint) {
    let request = reader.machine.program.requests[index]
    requestCount += 1
    name = reader.machine.program.endpoints[Int(request.endpoint)].name
    try tell("\n* \(name)\n")
    var bytes = [UInt8](repeating: 0, count: Self.requestByteCountMax)
    let rendering = unsafe bytes.withUnsafeMutableBytes { buffer in
      reader.machine.render(0, into: buffer, nowNs: nowNs)
    }
    guard case .bytes(let count) = rendering else {
      if case .unsendable(let cause) = rendering { try fail(words(cause)) }
      return reader.failed(0)
    }
    bytes.removeLast(bytes.count - count)
    try show(bytes, mark: "> ")
    do throws(TargetStream.Failure) {
      try send(bytes, request)
    } catch {
      peers[Int(reader.machine.origin(0))].stream = nil
      try fail(error.sentence)
      reader.failed(0)
    }
  }

  private mutating func send(_ bytes: [UInt8], _ request: SquallScenario.Program.Request)
    throws(TargetStream.Failure)
  {
    let peer = Int(reader.machine.origin(0))
    if peers[peer].stream == nil {
      peers[peer].stream = try TargetStream(
        to: peers[peer].address, peers[peer].tls, speaksHTTP2: speaksHTTP2,
        timeoutNs: request.timeoutNs)
    }
    reader.begin(0, nowNs: nowNs)
    guard !speaksHTTP2 else { return try sendH2(bytes, request, to: peer) }
    var parser = ResponseParser()
    parser.reset(expectsNoBody: request.expectsNoBody)
    var answer: [UInt8] = []
    let startNs = monotonicNs()
    try peers[peer].stream?.send(bytes)
    while true {
      let chunk = try peers[peer].stream?.receive() ?? []
      answer += chunk
      let step =
        chunk.isEmpty
        ? parser.finish()
        : unsafe chunk.withUnsafeBytes { parser.consume($0, into: &reader) }
      switch step {
      case .needsMore: continue
      case .complete:
        if !parser.keepAlive { peers[peer].stream = nil }
        let judgement = reader.end(
          0, status: parser.status, serviceNs: monotonicNs() - startNs)
        return report(answer, judgement, request)
      case .malformed(let cause):
        peers[peer].stream = nil
        failureCount += 1
        _ = try? Console.print("* malformed: \(cause.explanation)\n")
        return reader.failed(0)
      }
    }
  }

  /// The same over HTTP/2, on a connection of its own.
  private mutating func sendH2(
    _ bytes: [UInt8], _ request: SquallScenario.Program.Request, to peer: Int
  ) throws(TargetStream.Failure) {
    guard var stream = peers[peer].stream else { return }
    peers[peer].stream = nil
    var trial = H2Trial()
    var answer: [UInt8] = []
    let startNs = monotonicNs()
    let end = try trial.exchange(
      bytes, expectsNoBody: request.expectsNoBody, over: &stream
    ) { piece in
      answer += piece.shown
      switch piece {
      case .head(_, let lines): unsafe lines.withUnsafeBytes { reader.fields($0) }
      case .body(let bytes): unsafe bytes.withUnsafeBytes { reader.body($0) }
      }
    }
    switch end {
    case .answered(let status, _):
      let judgement = reader.end(0, status: status, serviceNs: monotonicNs() - startNs)
      report(answer, judgement, request)
    case .failed(let cause):
      _ = try? fail(cause)
      reader.failed(0)
    }
  }

  private mutating func report(
    _ answer: [UInt8], _ judgement: Judgement, _ request: SquallScenario.Program.Request
  ) {
    let program = reader.machine.program
    do throws(Complaint) {
      try show(answer, mark: "< ")
      for capture in program.captures[request.captures.indices] {
        let slot = Int(capture.slot)
        if request.follows != .none && slot == Int(request.locationSlot) { continue }
        let value = reader.machine.value(0, slot: slot).map { "'\($0)'" } ?? "nothing"
        try tell("* keeps \(program.slots[slot].name): \(value)\n")
      }
      switch judgement {
      case .good: break
      case .failed(let check):
        try fail("does not hold: \(program.text(program.checks[check].label))")
      case .overflowed(let capture): try fail(program.text(program.captures[capture].label))
      case .jarFull: try fail(of: request, number: SquallScenario.Program.jarCheckNumber)
      case .strayed: try fail(of: request, number: SquallScenario.Program.strayCheckNumber)
      case .unreadable(let fault):
        try fail(of: request, number: SquallScenario.Program.bodyCheckNumber(fault))
      }
    } catch {
      failureCount += 1
    }
  }

  private mutating func fail(
    of request: SquallScenario.Program.Request, number: UInt8
  ) throws(Complaint) {
    try fail(reader.machine.program.checkWords(of: Int(request.endpoint), number: number) ?? "")
  }

  private mutating func fail(_ words: String) throws(Complaint) {
    failureCount += 1
    failure = failure ?? "\(name): \(words)"
    try tell("* FAILED: \(words)\n")
  }

  private func words(_ cause: Unsendable) -> String {
    switch cause {
    case .tooLarge: "the request is larger than \(Self.requestByteCountMax >> 20) MiB"
    case .empty(let slot):
      "'\(reader.machine.program.slots[slot].name)' is empty, so nothing was sent"
    case .refused(let byte):
      "a value holds the byte \(byte), which cannot stand there; nothing sent"
    }
  }

  private func show(_ bytes: [UInt8], mark: String) throws(Complaint) {
    // CR LF is one character to a String.
    let shown = bytes.prefix(DebugExchange.shownByteCountMax).filter { $0 != UInt8(ascii: "\r") }
    let lines = shown.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    let text = lines.map { mark + String(decoding: $0, as: UTF8.self) + "\n" }.joined()
    try tell(text)
  }
}
