/// What is measured, with whom, how often.
package struct Experiment: Sendable {
  package let cells: [Cell]
  package let clients: [String]
  package let repetitions: Int

  package init(cells: [Cell], clients: [String], repetitions: Int) {
    self.cells = cells
    self.clients = clients
    self.repetitions = repetitions
  }
}

package struct Plan: Sendable {
  package var experiments: [Experiment]

  /// Seconds that starting, connecting, stopping and settling add to a run, by client.
  private static func overheadSeconds(_ client: String) -> Double {
    client.hasPrefix("Locust") ? 2.5 : client.hasPrefix("k6") ? 1.0 : 0.35
  }

  /// How long this will take when every client named is here.
  package func estimatedSeconds(isHere: (String) -> Bool) -> Double {
    experiments.reduce(0) { sum, experiment in
      let clients = experiment.clients.filter(isHere)
      return experiment.cells.reduce(sum) { sum, cell in
        let target = cell.needsFreshTarget ? 0.15 : 0
        let seconds = cell.requestCount == nil ? Double(cell.seconds) : 0.3
        return clients.reduce(sum) { sum, client in
          sum + (seconds + target + Self.overheadSeconds(client)) * Double(experiment.repetitions)
        }
      }
    }
  }

  package func runCount(isHere: (String) -> Bool) -> Int {
    experiments.reduce(0) { sum, experiment in
      sum + experiment.cells.count * experiment.clients.count(where: isHere)
        * experiment.repetitions
    }
  }

  /// Keeps the questions and clients named; nil keeps all.
  package func only(questions: Set<Question>?, clients: Set<String>?) -> Plan {
    Plan(
      experiments: experiments.compactMap { experiment in
        let cells = experiment.cells.filter { questions?.contains($0.question) ?? true }
        let names = experiment.clients.filter { clients?.contains($0) ?? true }
        guard !cells.isEmpty, !names.isEmpty else { return nil }
        return Experiment(cells: cells, clients: names, repetitions: experiment.repetitions)
      })
  }

  package func repeated(_ repetitions: Int) -> Plan {
    Plan(
      experiments: experiments.map {
        Experiment(cells: $0.cells, clients: $0.clients, repetitions: repetitions)
      })
  }

  /// Two to three minutes: what the goals need, against the peers the goals name.
  package static func quick(builtIn: TargetKind, cpuCount: Int) -> Plan {
    let closed = [64, 1_024, 4_096].map { Cell(.closed, target: builtIn, connections: $0) }
    let rates = [Self.rate(1_000, builtIn), Self.rate(10_000, builtIn)]
    return Plan(experiments: [
      Experiment(
        cells: closed, clients: ["squall", Catalog.again, "floor", "gcannon", "wrk"],
        repetitions: 5),
      Experiment(
        cells: Self.pipelines(builtIn), clients: ["squall", "floor", "gcannon"], repetitions: 1),
      Experiment(cells: rates, clients: ["squall", "floor"], repetitions: 3),
      Experiment(cells: Self.pacings, clients: ["squall", "floor", "h2load"], repetitions: 1),
      Experiment(
        cells: [Self.stall(seconds: 2)], clients: ["squall", "wrk", "h2load"], repetitions: 1),
      Experiment(
        cells: Self.counts(builtIn), clients: ["squall", "floor", "h2load", "ab", "hey"],
        repetitions: 1),
      Experiment(cells: Self.memories, clients: ["squall", "floor", "wrk"], repetitions: 1),
      Experiment(
        cells: Self.syscalls(builtIn), clients: ["squall", "wrk", "gcannon"], repetitions: 1),
      Experiment(cells: [Self.startup], clients: ["squall", "wrk"], repetitions: 3),
    ])
  }

  /// Up to 25 minutes: every question, every client that is here.
  package static func full(builtIn: TargetKind, cpuCount: Int) -> Plan {
    let fast = ["squall", Catalog.again, "floor", "epoll", "gcannon", "wrk", "h2load"]
    let slow = ["SwiftNIO", "AsyncHTTPClient", "ab", "hey", "oha", "k6", "bombardier", "nighthawk"]
    let locust = ["Locust Fast", "Locust Http"]
    let pacers = [
      "squall", "floor", "epoll", "h2load", "hey", "zrk", "wrk2", "oha", "vegeta", "bombardier",
      "nighthawk",
    ]
    let few = ["squall", "floor", "gcannon", "wrk", "h2load", "ab", "hey", "SwiftNIO"]
    func closed(_ counts: [Int]) -> [Cell] {
      counts.map { Cell(.closed, target: builtIn, connections: $0) }
    }
    var body = Cell(.body, target: builtIn)
    body.bodyByteCount = 16_384
    var freeze = Cell(.freeze)
    freeze.rateHz = 1_000
    freeze.seconds = 10
    return Plan(experiments: [
      Experiment(cells: closed([1, 16, 64, 256, 1_024, 4_096]), clients: fast, repetitions: 5),
      Experiment(cells: closed([1, 64, 1_024]), clients: slow, repetitions: 5),
      Experiment(cells: closed([64]), clients: locust, repetitions: 5),
      Experiment(
        cells: [64, 1_024].map { Cell(.nginx, target: .nginx, connections: $0) }, clients: few,
        repetitions: 5),
      Experiment(
        cells: [Cell(.ordinary, target: .ordinary)],
        clients: ["squall", "floor", "wrk", "h2load", "hey"], repetitions: 5),
      Experiment(
        cells: [body], clients: ["squall", "floor", "epoll", "gcannon", "wrk", "h2load", "hey"],
        repetitions: 5),
      Experiment(
        cells: Self.pipelines(builtIn), clients: ["squall", "floor", "gcannon", "wrk", "h2load"],
        repetitions: 5),
      Experiment(
        cells: [Self.rate(1_000, builtIn), Self.rate(10_000, builtIn)], clients: pacers + ["k6"],
        repetitions: 5),
      Experiment(cells: Self.pacings, clients: pacers, repetitions: 3),
      Experiment(
        cells: [Self.stall(seconds: 2)],
        clients: ["squall", "floor", "gcannon", "wrk", "h2load", "hey", "oha"], repetitions: 3),
      Experiment(
        cells: [Cell(.delay)], clients: ["squall", "floor", "gcannon", "wrk", "h2load", "hey"],
        repetitions: 3),
      Experiment(
        cells: [freeze],
        clients: ["squall", "h2load", "hey", "Locust Fast", "zrk", "wrk2", "oha", "vegeta"],
        repetitions: 1),
      Experiment(
        cells: Self.counts(builtIn),
        clients: ["squall", "floor", "epoll", "h2load", "ab", "hey", "oha", "k6", "bombardier"],
        repetitions: 3),
      Experiment(
        cells: Self.memories,
        clients: ["squall", "floor", "gcannon", "wrk", "h2load", "ab", "SwiftNIO"],
        repetitions: 1),
      Experiment(
        cells: Self.syscalls(builtIn),
        clients: ["squall", "floor", "epoll", "gcannon", "wrk", "h2load", "ab", "hey", "SwiftNIO"],
        repetitions: 1),
      Experiment(
        cells: [Self.startup],
        clients: ["squall", "floor", "gcannon", "wrk", "h2load", "hey", "oha", "k6"],
        repetitions: 5),
      Experiment(
        cells: Self.scalings(builtIn, cpuCount: cpuCount),
        clients: ["squall", "gcannon", "wrk", "h2load", "hey"], repetitions: 3),
    ])
  }

  /// Made when squall's closed-loop maximum is known.
  package static func headroom(maximumHz: Double, target: TargetKind) -> Experiment {
    var cell = Cell(.headroom, target: target)
    cell.rateHz = max(1_000, Int(maximumHz * 0.7 / 1_000) * 1_000)
    return Experiment(cells: [cell], clients: ["squall", "floor", "h2load"], repetitions: 3)
  }

  private static func rate(_ hz: Int, _ target: TargetKind) -> Cell {
    var cell = Cell(.rate, target: target)
    cell.rateHz = hz
    return cell
  }

  private static func pipelines(_ target: TargetKind) -> [Cell] {
    [1, 16].map { depth in
      var cell = Cell(.pipeline, target: target)
      cell.pipeline = depth
      return cell
    }
  }

  private static var pacings: [Cell] {
    [(1_000, false), (1_000, true), (10_000, false), (10_000, true)].map { rate, spins in
      var cell = Cell(.pacing)
      cell.rateHz = rate
      cell.spins = spins
      return cell
    }
  }

  private static func stall(seconds: Int) -> Cell {
    var cell = Cell(.stall, connections: 1)
    cell.seconds = seconds
    return cell
  }

  private static func counts(_ target: TargetKind) -> [Cell] {
    var cell = Cell(.count, target: target, connections: 50)
    cell.requestCount = 20_000
    return [cell]
  }

  private static var memories: [Cell] {
    [1_000, 10_000].map { connections in
      var cell = Cell(.memory, connections: connections)
      cell.seconds = 2
      return cell
    }
  }

  private static func syscalls(_ target: TargetKind) -> [Cell] {
    [64, 1_024].map { Cell(.syscalls, target: target, connections: $0) }
  }

  private static var startup: Cell { Cell(.startup, connections: 1) }

  private static func scalings(_ target: TargetKind, cpuCount: Int) -> [Cell] {
    [1, cpuCount].map { threads in
      var cell = Cell(.scaling, target: target, connections: 256)
      cell.threads = threads
      return cell
    }
  }
}
