import SquallLoad
import SquallScenario
import Testing

/// A program as a value: how it travels, how it is read by people, how users and rows are dealt.
struct ProgramTests {
  static let shop = """
    {squall: 1, target: "http://127.0.0.1:8080",
     defaults: {headers: {Accept: application/json}, timeout: 5s},
     data: {words: {list: [tea, coffee]}, accounts: {file: a.csv, pick: unique}},
     steps: {login: [{post: /login, form: {name: "${accounts.name}"}, capture: {token: $.t},
       check: {status: 200, has: [token]}, else: stop user}]},
     users: {
       shopper: {weight: 3, think: 1s..5s, row: accounts, on_start: [{use: login}], tasks: [
         {task: browse, weight: 10, tags: [read], do: [
           {get: "/p/${int(1,5000)}", query: {q: "${words}"}, headers: {Authorization: "Bearer ${token}"}}]},
         {task: buy, do: [
           {put: /cart, json: {n: "${int(1,3)}", k: [true, null, 1.5]}}, {think: 500ms},
           {chance: 30%, do: [{post: /rate}]}, {repeat: 1..3, do: [{get: /related}]},
           {if: "${token}", do: [{post: /pay, text: x}]}]}],
         on_stop: [{post: /logout}]},
       beacon: {think: pace 1500ms, do: [{get: /b}]}, fixed: {fixed: 2, do: [{get: /f, name: probe}]}},
     load: {users: {stages: [{to: 2, over: 30s}, {for: 90s}, {to: 0, over: 500ms}]}},
     slo: ["p99<300ms", {name: probe, is: "p95<1s"}, {tag: read, is: "p99<50ms"}]}
    """

  static func program() throws -> Program {
    var surroundings = Compiler.Surroundings()
    surroundings.file = {
      $0 == "a.csv" ? Array("name\r\n\"a, \"\"b\"\"\"\r\n\r\nc\r\n".utf8) : nil
    }
    return try Sample.program(shop, in: surroundings)
  }

  @Test func peopleReadThePlan() throws {
    #expect(
      try Self.program().explanation == """
        target  http://127.0.0.1:8080

        users
          shopper, 75 % of the others, thinks 1s to 5s, one row of accounts each
            on start
              POST /login, keeps token; status 200; has token; else the user stops
            90.9 %  browse  [read]
              GET /p/${int}; status 200-399
            9.1 %  buy
              PUT /cart; status 200-399
              thinks 500ms
              30 % of the time
                POST /rate; status 200-399
              1 to 3 times
                GET /related; status 200-399
              if token
                POST /pay; status 200-399
            on stop
              POST /logout; status 200-399
          beacon, 25 % of the others, one iteration every 1.5s
            each iteration
              GET /b; status 200-399
          fixed, 2 fixed
            each iteration
              probe; status 200-399

        names
          POST /login
          GET /p/${int}  [read]
          PUT /cart
          POST /rate
          GET /related
          POST /pay
          POST /logout
          GET /b
          probe

        data
          words  2 rows, drawn at random
          accounts  2 rows of a.csv, a row for each user

        captured
          token  up to 64 bytes

        load
          to 2 users over 30s, then 2 users for 1m30s, then to 0 users over 500ms

        objectives
          p99<300ms
          p95<1s  of probe
          p99<50ms  of those tagged read

        """)
  }

  /// What setup captured is every user's from its beginning on, and nothing else of it is in the load.
  @Test func whatSetupCapturedGoesToAllUsers() throws {
    let (main, setup) = try Compiler.compileWithSetup(
      FlowYAML.document(
        """
        {squall: 1, target: http://x, steps: {seed: [{post: /seed, capture: {id: $.id, word: $.word}}]},
         setup: [{use: seed}, {get: "/ready/${id}"}],
         users: {a: {do: [{post: /p, json: {id: "${id}", word: "${word}"}}]}}}
        """))
    let program = try #require(setup)
    #expect(program.endpoints.map(\.name) == ["POST /seed", "GET /ready/${id}"])
    #expect(main.endpoints.map(\.name) == ["POST /p"])
    #expect(main.slots == program.slots)
    var given = main
    given.constants = [
      .init(slot: 0, isBare: true, text: Array("7".utf8)),
      .init(slot: 1, isBare: false, text: Array("x".utf8)),
    ]
    #expect(Program(bytes: given.bytes) == given)
    var machine = Machine(program: given, seed: 1, userCount: 9, rowCount: 2)
    for row in 0..<2 {
      let isBegun = machine.begin(row, index: UInt64(row))
      #expect(isBegun)
      guard case .send = machine.next(row, nowNs: 0) else {
        Issue.record("nothing is sent")
        return
      }
      var buffer = [UInt8](repeating: 0, count: 1_000)
      let rendering = buffer.withUnsafeMutableBytes { machine.render(row, into: $0, nowNs: 0) }
      guard case .bytes(let count) = rendering else {
        Issue.record("\(rendering)")
        return
      }
      let request = String(decoding: buffer[..<count], as: UTF8.self)
      #expect(request.hasSuffix(#"{"id":7,"word":"x"}"#), "\(request)")
    }
    let constants = machine.constants(1)
    #expect(constants == given.constants)
    given.constants[0].text = [UInt8](repeating: 0x37, count: 65)
    #expect(Program(bytes: given.bytes) == nil)
  }

  @Test func iterationsAtARateAreRead() throws {
    let program = try Sample.program(
      """
      {squall: 1, target: http://x, users: {a: {do: [{get: /}]}},
       load: {iterations: {rate: 50/s, arrival: poisson, users: {max: 2k},
        stages: [{to: 1k/s, over: 30s}, {for: 1m}]}}}
      """)
    let arrivals = try #require(program.arrivals)
    #expect(arrivals.startHz == 50)
    #expect(arrivals.isPoisson)
    #expect(arrivals.userCountMax == 2_000)
    #expect(arrivals.stages.map(\.endHz) == [1_000, 1_000])
    #expect(arrivals.durationNs == 90_000_000_000)
    #expect(Program(bytes: program.bytes) == program)
    #expect(
      program.explanation.contains(
        "50 iterations begin a second, then to 1000 a second over 30s, then for 1m, at random "
          + "instants; up to 2000 users do them"), "\(program.explanation)")
  }

  /// Requests at a rate are iterations of one request, of one sequence or of each task.
  @Test(arguments: [
    "do: [{get: /}]", "tasks: [{task: a, do: [{get: /a}]}, {task: b, weight: 3, do: [{post: /b}]}]",
  ])
  func requestsAtARateAreIterations(user: String) throws {
    let program = try Sample.program(
      """
      {squall: 1, target: http://x, users: {a: {\(user)}},
       load: {requests: {rate: 50k/s, users: {max: 300}}}}
      """)
    #expect(program.arrivals?.startHz == 50_000)
    #expect(program.arrivals?.userCountMax == 300)
    #expect(program.load.requestCount == 0)
  }

  @Test func aProgramTravelsUnchanged() throws {
    let program = try Self.program()
    #expect(Program(bytes: program.bytes) == program)
    #expect(program.texts.map(program.text).contains(#"a, "b""#))
  }

  /// What comes over the network is a sound program or none: no cut and no flipped bit leads a machine
  /// out of its tables.
  @Test func noDamageLeadsAMachineAstray() throws {
    let bytes = try Self.program().bytes
    for count in stride(from: 0, to: bytes.count, by: 7) {
      #expect(Program(bytes: Array(bytes[..<count])) == nil, "\(count) bytes")
    }
    var random = SplitMix64(seed: 1)
    var buffer = [UInt8](repeating: 0, count: 8_192)
    var soundCount = 0
    for _ in 0..<2_000 {
      var damaged = bytes
      let bit = Int(random.next() % UInt64(bytes.count * 8))
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      guard let program = Program(bytes: damaged) else { continue }
      soundCount += 1
      var machine = Machine(program: program, seed: 1, userCount: 4, rowCount: 1)
      for index in 0..<4 as Range<UInt64> {
        guard machine.begin(0, index: index) else { continue }
        for _ in 0..<20 {
          guard case .send = machine.next(0, nowNs: 1_000) else { continue }
          _ = buffer.withUnsafeMutableBytes { machine.render(0, into: $0, nowNs: 1_000) }
          machine.beginReply(0, nowNs: 1_000)
          Array(#"{"t":"x"}"#.utf8).withUnsafeBytes { machine.body($0) }
          _ = machine.endReply(0, status: 200, serviceNs: 1)
        }
      }
    }
    #expect(soundCount > 100)
  }

  // MARK: Users

  @Test func classesHaveExactlyTheirShares() throws {
    let deal = UserDeal(try Self.program().users)
    let classes = (0..<402).map { deal.userClass(of: UInt64($0)) }
    #expect(classes.prefix(2).allSatisfy { $0 == 2 })
    #expect(classes.count { $0 == 0 } == 300)
    #expect(classes.count { $0 == 1 } == 100)
    // Mixed evenly: every four users in a row have one beacon.
    for start in stride(from: 2, to: 402, by: 4) {
      #expect(classes[start..<start + 4].count { $0 == 1 } == 1)
    }
  }

  /// Each task is drawn as often as its weight says, within five standard deviations.
  @Test func tasksAreDrawnByWeight() throws {
    let weights = [1.0, 10, 0.5, 3, 25]
    let tasks = weights.enumerated().map { index, weight in
      "{task: t\(index), weight: \(weight), do: [{get: /\(index)}]}"
    }
    let program = try Sample.program(
      "{squall: 1, target: http://x, users: {a: {tasks: [\(tasks.joined(separator: ","))]}}}")
    var machine = Machine(program: program, seed: 7, userCount: 1, rowCount: 1)
    let isBegun = machine.begin(0, index: 0)
    #expect(isBegun)
    var counts = [Int](repeating: 0, count: weights.count)
    let total = 100_000
    while counts.reduce(0, +) < total {
      guard case .send(let request) = machine.next(0, nowNs: 0) else { continue }
      counts[request] += 1
    }
    for (count, weight) in zip(counts, weights) {
      let share = weight / weights.reduce(0, +)
      let deviation = (Double(total) * share * (1 - share)).squareRoot()
      #expect(abs(Double(count) - Double(total) * share) < 5 * deviation)
    }
  }

  /// Kolmogorov and Smirnov: the largest distance between what was thought and the distribution asked
  /// for is below 1.95 / sqrt(n), which one sample in a thousand exceeds.
  @Test(arguments: ["1s..5s", "exp 2s"])
  func thinkTimesFollowTheirDistribution(think: String) throws {
    let program = try Sample.program(
      "{squall: 1, target: http://x, users: {a: {think: \(think), do: [{get: /}]}}}")
    var machine = Machine(program: program, seed: 3, userCount: 1, rowCount: 1)
    let isBegun = machine.begin(0, index: 0)
    #expect(isBegun)
    var times: [Double] = []
    while times.count < 20_000 {
      guard case .think(let untilNs) = machine.next(0, nowNs: 5_000) else { continue }
      times.append(Double(untilNs - 5_000) / 1e9)
    }
    times.sort()
    var distance = 0.0
    for (index, time) in times.enumerated() {
      let expected =
        think.hasPrefix("exp") ? 1 - exponential(-time / 2) : min(1, max(0, (time - 1) / 4))
      distance = max(distance, abs(expected - Double(index) / 20_000))
      distance = max(distance, abs(expected - Double(index + 1) / 20_000))
    }
    #expect(distance < 1.95 / 20_000.0.squareRoot(), "\(distance)")
  }

  /// By its series, halved until it converges fast: a test needs no library for it.
  private func exponential(_ x: Double) -> Double {
    var term = 1.0
    var sum = 1.0
    for index in 1...20 {
      term *= x / 1_024 / Double(index)
      sum += term
    }
    return (0..<10).reduce(sum) { value, _ in value * value }
  }

  @Test func aPaceHoldsWhateverTheAnswersTake() throws {
    let program = try Sample.program(
      "{squall: 1, target: http://x, users: {a: {think: pace 1s, do: [{get: /}]}}}")
    var machine = Machine(program: program, seed: 1, userCount: 1, rowCount: 1)
    let isBegun = machine.begin(0, index: 0)
    #expect(isBegun)
    var nowNs: UInt64 = 0
    var sentNs: [UInt64] = []
    while sentNs.count < 5 {
      switch machine.next(0, nowNs: nowNs) {
      case .send:
        sentNs.append(nowNs)
        nowNs += sentNs.count == 3 ? 1_500_000_000 : 300_000_000
      case .think(let untilNs): nowNs = untilNs
      case .iterationEnded, .idle, .ended: continue
      }
    }
    #expect(sentNs == [0, 1_000, 2_000, 3_500, 4_500].map { $0 * 1_000_000 })
  }

  // MARK: Rows

  @Test(arguments: ["unique", "sequential", "random", "shuffle"])
  func rowsAreDealtOverAllUsers(pick: String) throws {
    let rowCount: UInt64 = 37
    let list = (0..<rowCount).map(String.init).joined(separator: ",")
    let table = try Sample.program(
      """
      {squall: 1, target: http://x, data: {t: {list: [\(list)], pick: \(pick)}},
       users: {u: {do: [{get: "/${t}"}]}}}
      """
    ).tables[0]
    let userCount: UInt64 = pick == "unique" ? rowCount : 5
    func row(_ user: UInt64, _ iteration: UInt64, key: UInt64 = 9) -> UInt32 {
      table.row(index: user, iteration: iteration, userCount: userCount, key: key)
    }
    switch pick {
    case "unique":
      #expect(Set((0..<rowCount).map { row($0, 3) }).count == Int(rowCount))
      #expect((0..<rowCount).allSatisfy { row($0, 0) == row($0, 8) })
    case "sequential":
      // Turn by turn over the users, the rows come in order.
      for turn in 0..<100 as Range<UInt64> {
        #expect(UInt64(row(turn % userCount, turn / userCount)) == turn % rowCount)
      }
    case "random":
      let counts = (0..<3_700 as Range<UInt64>).reduce(into: [UInt32: Int]()) { counts, iteration in
        counts[row(1, iteration), default: 0] += 1
      }
      #expect(counts.count == Int(rowCount))
      #expect(counts.values.allSatisfy { (50...160).contains($0) })
    default:
      // Each row once before any comes twice, and in another order the next time.
      let turns = (0..<rowCount * 2).map { row($0 % userCount, $0 / userCount) }
      let (first, second) = (turns.prefix(Int(rowCount)), turns.suffix(Int(rowCount)))
      #expect(Set(first).count == Int(rowCount))
      #expect(Set(second).count == Int(rowCount))
      #expect(Array(first) != Array(second))
      #expect(Array(first) != Array(0..<UInt32(rowCount)))
      #expect((0..<rowCount).map { row($0 % userCount, $0 / userCount, key: 10) } != Array(first))
    }
  }

  @Test func everyUserHasItsOwnRowInTheRequests() throws {
    var surroundings = Compiler.Surroundings()
    surroundings.file = { _ in Array("name,no\nann,1\nbob,2\ncy,3\n".utf8) }
    let program = try Sample.program(
      """
      {squall: 1, target: http://x, data: {a: {file: a.csv, pick: unique}},
       users: {u: {row: a, do: [{get: "/${a.name}/${a.no}"}]}}}
      """, in: surroundings)
    var machine = Machine(program: program, seed: 1, userCount: 3, rowCount: 3)
    var buffer = [UInt8](repeating: 0, count: 1_024)
    for user in 0..<3 {
      let isBegun = machine.begin(user, index: UInt64(user))
      #expect(isBegun)
      _ = machine.next(user, nowNs: 0)
      let rendering = buffer.withUnsafeMutableBytes { machine.render(user, into: $0, nowNs: 0) }
      guard case .bytes(let count) = rendering else { return #expect(Bool(false)) }
      let expected = ["/ann/1", "/bob/2", "/cy/3"][user]
      #expect(String(decoding: buffer[..<count], as: UTF8.self).hasPrefix("GET \(expected) HTTP"))
    }
  }
}
