internal import CSquall
internal import SquallEngine
internal import SquallHTTP
internal import SquallLoad
internal import SquallScenario

/// One iteration of each user of a scenario, both sides printed: what `--dry-run` does. Think times are
/// said and not waited for.
package struct DryRun: ~Copyable {
  private static let requestByteCountMax = 1 << 20

  private let address: Address
  private var machine: Machine
  private var socket: Socket?
  private var nowNs: UInt64 = 0
  private var requestCount = 0
  private var failureCount = 0

  /// Fails when a check does not hold or a request gets no answer.
  package static func run(_ file: ScenarioFile, seed: UInt64) throws(Complaint) {
    let target: TargetURL
    let address: Address
    do {
      target = try TargetURL(file.program.target)
      address = try Address.resolve(target.host, port: target.port)[0]
    } catch {
      throw .world("\(file.program.target): \(error)")
    }
    let userCount = max(1, file.program.load.userCountMax)
    var dryRun = DryRun(
      address: address,
      machine: Machine(program: file.program, seed: seed, userCount: userCount, rowCount: 1))
    dryRun.machine.wallOffsetNs = squall_wall_ns()
    let deal = UserDeal(file.program.users)
    for (index, user) in file.program.users.enumerated() {
      // The first user of each kind.
      guard let number = (0..<UInt64(1_100_000)).first(where: { deal.userClass(of: $0) == index })
      else { continue }
      try Console.print("== \(user.name), user \(number)\n")
      try dryRun.follow(number)
    }
    let (requestCount, failureCount) = (dryRun.requestCount, dryRun.failureCount)
    try Console.print("\n\(requestCount) requests, \(failureCount) of them failed\n")
    if failureCount > 0 {
      throw .world(
        "\(failureCount) of \(requestCount) requests failed; what did not hold is above.")
    }
  }

  private init(address: Address, machine: consuming Machine) {
    self.address = address
    self.machine = machine
  }

  private mutating func follow(_ number: UInt64) throws(Complaint) {
    guard machine.begin(0, index: number) else { return }
    socket = nil
    while true {
      switch machine.next(0, nowNs: nowNs) {
      case .send(let request): try exchange(request)
      case .think(let untilNs):
        try Console.print("* thinks \(Double((untilNs - nowNs) / 1_000_000) / 1_000) s\n")
        nowNs = untilNs
      case .iterationEnded: machine.stop(0)
      case .ended: return
      }
    }
  }

  private mutating func exchange(_ index: Int) throws(Complaint) {
    let request = machine.program.requests[index]
    requestCount += 1
    try Console.print("\n* \(machine.program.endpoints[Int(request.endpoint)].name)\n")
    var bytes = [UInt8](repeating: 0, count: Self.requestByteCountMax)
    let rendering = unsafe bytes.withUnsafeMutableBytes { buffer in
      machine.render(0, into: buffer, nowNs: nowNs)
    }
    guard case .bytes(let count) = rendering else {
      if case .unsendable(let cause) = rendering { try fail(words(cause)) }
      return machine.failed(0)
    }
    bytes.removeLast(bytes.count - count)
    try show(bytes, mark: "> ")
    do throws(SystemError) {
      try send(bytes, request)
    } catch {
      socket = nil
      try fail("\(error)")
      machine.failed(0)
    }
  }

  private mutating func send(_ bytes: [UInt8], _ request: SquallScenario.Program.Request)
    throws(SystemError)
  {
    if socket == nil { socket = try Socket(to: address, timeoutNs: request.timeoutNs) }
    machine.beginReply(0, nowNs: nowNs)
    var parser = ResponseParser()
    parser.reset(expectsNoBody: request.expectsNoBody)
    var answer: [UInt8] = []
    let startNs = squall_wall_ns()
    try socket?.send(bytes)
    while true {
      let chunk = try socket?.receive() ?? []
      answer += chunk
      let step =
        chunk.isEmpty
        ? parser.finish()
        : unsafe chunk.withUnsafeBytes { parser.consume($0, into: &machine) }
      switch step {
      case .needsMore: continue
      case .complete:
        if !parser.keepAlive { socket = nil }
        let judgement = machine.endReply(
          0, status: parser.status, serviceNs: squall_wall_ns() &- startNs)
        return report(answer, judgement, request)
      case .malformed(let cause):
        socket = nil
        failureCount += 1
        _ = try? Console.print("* malformed: \(cause.explanation)\n")
        return machine.failed(0)
      }
    }
  }

  private mutating func report(
    _ answer: [UInt8], _ judgement: Judgement, _ request: SquallScenario.Program.Request
  ) {
    let program = machine.program
    do throws(Complaint) {
      try show(answer, mark: "< ")
      for capture in program.captures[request.captures.indices] {
        let slot = Int(capture.slot)
        let value = machine.value(0, slot: slot).map { "'\($0)'" } ?? "nothing"
        try Console.print("* keeps \(program.slots[slot].name): \(value)\n")
      }
      switch judgement {
      case .good: break
      case .failed(let check):
        try fail("does not hold: \(program.text(program.checks[check].label))")
      case .overflowed(let capture): try fail(program.text(program.captures[capture].label))
      case .jarFull:
        try fail("a cookie finds no room in the \(Machine.jarByteCount) bytes of the jar")
      }
    } catch {
      failureCount += 1
    }
  }

  private mutating func fail(_ words: String) throws(Complaint) {
    failureCount += 1
    try Console.print("* FAILED: \(words)\n")
  }

  private func words(_ cause: Unsendable) -> String {
    switch cause {
    case .tooLarge: "the request is larger than \(Self.requestByteCountMax >> 20) MiB"
    case .empty(let slot): "'\(machine.program.slots[slot].name)' is empty, so nothing was sent"
    case .refused(let byte):
      "a value holds the byte \(byte), which cannot stand there; nothing sent"
    }
  }

  private func show(_ bytes: [UInt8], mark: String) throws(Complaint) {
    // CR LF is one character to a String.
    let shown = bytes.prefix(DebugExchange.shownByteCountMax).filter { $0 != UInt8(ascii: "\r") }
    let lines = shown.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    let text = lines.map { mark + String(decoding: $0, as: UTF8.self) + "\n" }.joined()
    try Console.print(text)
  }
}
